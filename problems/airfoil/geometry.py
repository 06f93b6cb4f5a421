"""Kulfan (CST) airfoils: thickness at fixed stations and surface coordinates.

After Kulfan 2008 (J. Aircraft 45) with the leading-edge modification of Kulfan 2020. With s = x/c and Bernstein
polynomials B_i of degree 7, a surface is

    y(s) = sqrt(s) (1 - s) sum_i B_i(s) w_i + LE s (1 - s)^8.5

The leading-edge term is common to both surfaces, so the thickness depends on the weights u (upper) and l (lower) alone.
A design is a row (u_1..u_8, l_1..l_8, LE, alpha); lengths are fractions of the chord.
"""

from __future__ import annotations

from math import comb

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["NACA0012", "STATIONS", "TE_STATION", "naca0012_weights", "shape_matrix", "surfaces", "thickness"]

FloatArray = npt.NDArray[np.float64]

N_WEIGHTS = 8

STATIONS: FloatArray = (1.0 - np.cos(np.arange(1, 80) * np.pi / 80.0)) / 2.0
"""(79,) cosine-spaced stations x/c where the thickness is limited."""

TE_STATION = 63
"""Index of the station s = 0.9045 at which the trailing edge must keep its thickness."""

NACA0012: FloatArray = np.array(
    [0.17296113, 0.15244338, 0.17400286, 0.13006697, 0.16511177, 0.13010885, 0.14786026, 0.14374724]
)
"""(8,) upper weights of NACA 0012, `naca0012_weights` rounded to 1e-8; the lower ones are their negatives."""


def shape_matrix(s: FloatArray) -> FloatArray:
    """Return (q, 8): class function times Bernstein polynomials at the stations s (q,); y = matrix @ weights."""
    i = np.arange(N_WEIGHTS)
    binomial = np.array([comb(N_WEIGHTS - 1, int(k)) for k in i], dtype=np.float64)
    column = s[:, None]
    bernstein: FloatArray = binomial * column**i * (1.0 - column) ** (N_WEIGHTS - 1 - i)
    return np.sqrt(column) * (1.0 - column) * bernstein


_THICKNESS = torch.from_numpy(shape_matrix(STATIONS).T.copy())


def thickness(design: torch.Tensor) -> torch.Tensor:
    """Return the thickness (k, 79) at `STATIONS` of designs (k, 18); linear in the design."""
    return (design[:, :N_WEIGHTS] - design[:, N_WEIGHTS : 2 * N_WEIGHTS]) @ _THICKNESS.to(design)


def surfaces(design: FloatArray, s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the heights (q,) of the upper and the lower surface of one design (18,) at the stations s (q,)."""
    matrix = shape_matrix(s)
    common = design[16] * s * (1.0 - s) ** (N_WEIGHTS + 0.5)
    upper: FloatArray = matrix @ design[:N_WEIGHTS] + common
    lower: FloatArray = matrix @ design[N_WEIGHTS : 2 * N_WEIGHTS] + common
    return upper, lower


def naca0012_weights() -> FloatArray:
    """Fit the upper weights (8,) of NACA 0012 by least squares in y over 200 cosine-spaced stations.

    The last coefficient is 0.1036 (closed trailing edge) because the problem fixes the trailing-edge thickness at zero.
    """
    s = (1.0 - np.cos(np.arange(1, 200) * np.pi / 200.0)) / 2.0
    y = 0.6 * (0.2969 * np.sqrt(s) - 0.1260 * s - 0.3516 * s**2 + 0.2843 * s**3 - 0.1036 * s**4)
    weights: FloatArray = np.linalg.lstsq(shape_matrix(s), y, rcond=None)[0]
    return weights
