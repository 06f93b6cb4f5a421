"""The networks: a variational autoencoder of map pictures, and a small convolutional net that reads tile costs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from .terrain import PIXELS, SIDE, TILE

FloatArray = npt.NDArray[np.float64]

LATENT = 64
CELLS = SIDE * SIDE
WEIGHTS = Path(__file__).resolve().parent / "weights.npz"
COST_FLOOR = 0.5
"""Costs are this plus a softplus, so they are positive by construction and routes are well defined."""


class Encoder(nn.Module):
    """Pictures (k, 3, 48, 48) -> mean and log variance of the code, (k, 64) each. Needed for training only."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(32, 64, 4, 2, 1), nn.ReLU(),
            nn.Conv2d(64, 64, 4, 2, 1), nn.ReLU(),
            nn.Flatten(), nn.Linear(64 * 6 * 6, 2 * LATENT),
        )  # fmt: skip

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """(k, 3, 48, 48) -> (k, 64), (k, 64)."""
        mean, log_variance = self.body(pictures).chunk(2, dim=1)
        return mean, log_variance


class Decoder(nn.Sequential):
    """Codes (k, 64) -> pictures (k, 3, 48, 48) in (0, 1): 64-256-2304, then three transposed convolutions 64-48-24-3."""

    def __init__(self) -> None:
        super().__init__(
            nn.Linear(LATENT, 256), nn.ReLU(),
            nn.Linear(256, 64 * 6 * 6), nn.ReLU(),
            nn.Unflatten(1, (64, 6, 6)),
            nn.ConvTranspose2d(64, 48, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(48, 24, 4, 2, 1), nn.ReLU(),
            nn.ConvTranspose2d(24, 3, 4, 2, 1), nn.Sigmoid(),
        )  # fmt: skip


class CostNet(nn.Module):
    """Pictures (k, 3, 48, 48) -> cost to enter every tile (k, 144), above 0.5. One convolution reads a tile at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 24, TILE, TILE), nn.ReLU(),
            nn.Conv2d(24, 32, 1), nn.ReLU(),
            nn.Conv2d(32, 32, 3, 1, 1), nn.ReLU(),
            nn.Conv2d(32, 1, 1), nn.Softplus(),
        )  # fmt: skip

    def forward(self, pictures: Tensor) -> Tensor:
        """(k, 3, 48, 48) -> (k, 144)."""
        costs: Tensor = COST_FLOOR + self.body(pictures).flatten(1)
        return costs


class MapNet(nn.Module):
    """Phi(x) = (x, C(x)): the code itself and the tile costs of the decoded picture, (k, 64) -> (k, 208)."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder = Decoder()
        self.cost = CostNet()

    def forward(self, x: Tensor) -> Tensor:
        """(k, 64) -> (k, 208)."""
        return torch.cat([x, self.cost(self.decoder(x))], 1)

    def picture(self, x: FloatArray) -> FloatArray:
        """The decoded map of one code (64,) as (48, 48, 3) in [0, 1], to be looked at."""
        with torch.inference_mode():
            drawn = self.decoder(torch.as_tensor(x, dtype=torch.float64)[None]).numpy()[0]
        return np.asarray(drawn.transpose(1, 2, 0).reshape(PIXELS, PIXELS, 3))


def save(net: MapNet, codes: FloatArray, path: Path) -> None:
    """Write the parameters and the codes of the test maps as float32 arrays, no pickles."""
    arrays = {name: value.detach().cpu().numpy().astype(np.float32) for name, value in net.state_dict().items()}
    np.savez_compressed(path, codes=codes.astype(np.float32), **arrays)


def load(path: Path | None = None) -> tuple[MapNet, FloatArray, str]:
    """The network in float64, the codes (count, 64) of the test maps, and the SHA-256 over names and numbers of both.

    Raises
    ------
    ValueError      a name or a shape in the file is not the network's
    """
    net = MapNet().double()
    with np.load(WEIGHTS if path is None else path, allow_pickle=False) as file:
        arrays = {name: np.ascontiguousarray(file[name], dtype=np.float64) for name in file.files}
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(arrays[name].tobytes())
    codes = arrays.pop("codes", np.empty(0))
    expected = {name: tuple(value.shape) for name, value in net.state_dict().items()}
    found = {name: value.shape for name, value in arrays.items()}
    if expected != found or codes.ndim != 2 or codes.shape[1] != LATENT:
        raise ValueError(f"`weights` must hold arrays {expected} and codes (count, {LATENT}), got {found} in {path}.")
    net.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    net.eval().requires_grad_(False)
    return net, codes, digest.hexdigest()
