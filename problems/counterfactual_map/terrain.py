"""Training data: random terrain maps of 12 x 12 tiles, their costs, and pictures of them with texture. No downloads."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SIDE = 12
"""Tiles along one side of a map."""
TILE = 4
"""Pixels along one side of a tile."""
PIXELS = SIDE * TILE
TERRAINS = ("water", "sand", "grass", "forest", "rock")
COSTS = np.array([8.0, 1.6, 1.0, 2.5, 6.0])
"""Cost to enter a tile of each terrain."""
SHARES = (0.18, 0.28, 0.60, 0.82)
"""Heights below the standard normal quantile of the first share are water, and so on."""
NOISE = 0.05
"""Standard deviation of the pixel noise."""

_COLOURS = np.array(
    [[0.16, 0.38, 0.72], [0.86, 0.78, 0.52], [0.45, 0.70, 0.30], [0.12, 0.38, 0.16], [0.52, 0.49, 0.47]]
)
# One 4 x 4 pattern a terrain, added to all three channels: waves, plain sand, tufts, crowns, cracks.
_TEXTURES = 0.10 * np.array(
    [
        [[1, 1, -1, -1], [-1, 1, 1, -1], [-1, -1, 1, 1], [1, -1, -1, 1]],
        [[0, 0, 0, 0], [0, 0, -0.5, 0], [0, 0, 0, 0], [-0.5, 0, 0, 0]],
        [[0, 1, 0, 0], [0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 1, 0]],
        [[0, 1, 1, 0], [1, 2, 1, -1], [1, 1, -1, -1], [0, -1, -1, 0]],
        [[1, 1, -1.5, 0], [1, -1.5, 0, 1], [-1.5, 0, 1, 1], [0, 1, 1, -1.5]],
    ]
)


def maps(rng: np.random.Generator, count: int) -> IntArray:
    """Terrain codes (count, 12, 12) of random maps: smoothed noise, standardised, shifted by N(0, 0.4^2), quantised."""
    field = np.empty((count, SIDE, SIDE))
    for i in range(count):
        coarse = gaussian_filter(rng.standard_normal((SIDE, SIDE)), 1.8)
        fine = gaussian_filter(rng.standard_normal((SIDE, SIDE)), 0.6)
        field[i] = coarse / coarse.std() + 0.08 * fine / fine.std()
    field -= field.mean((1, 2), keepdims=True)
    field /= field.std((1, 2), keepdims=True)
    field += rng.normal(0.0, 0.4, (count, 1, 1))
    return np.asarray(np.digitize(field, norm.ppf(SHARES)), dtype=np.int64)


def costs(codes: IntArray) -> FloatArray:
    """Cost to enter every tile, (k, 12, 12) codes -> (k, 144), row by row."""
    return COSTS[codes].reshape(len(codes), SIDE * SIDE)


def pictures(rng: np.random.Generator, codes: IntArray) -> FloatArray:
    """Pictures (k, 3, 48, 48) in [0, 1]: colour and texture of every tile, and pixel noise."""
    tiles = _COLOURS[:, :, None, None] + _TEXTURES[:, None]  # (terrain, channel, 4, 4)
    drawn = tiles[codes]  # (k, 12, 12, channel, 4, 4)
    plain = drawn.transpose(0, 3, 1, 4, 2, 5).reshape(len(codes), 3, PIXELS, PIXELS)
    return np.asarray(np.clip(plain + rng.normal(0.0, NOISE, plain.shape), 0.0, 1.0))
