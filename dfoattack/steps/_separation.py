"""Where the border between accepted and refused points runs: the plane that separates them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._threads import single_thread
from dfoattack._typing import BoolArray, FloatArray
from dfoattack.attacks.qp import least_distance

__all__ = ["Plane", "separating_plane"]

COST = 1e3  # of a point on the wrong side, at distance one
NEAREST = 0.05  # distance below which a point does not count for more
LEVEL = 10.0  # weight of the offset against the normal: next to none of the price


@dataclass(frozen=True)
class Plane:
    """The plane normal . u = offset; refused points are expected where normal . u > offset.

    Attributes
    ----------
    normal : float64 (n,)   of length one
    offset : float
    """

    normal: FloatArray
    offset: float


def separating_plane(U: FloatArray, refused: BoolArray) -> Plane | None:
    """The plane of largest margin between the accepted and the refused points; None where there is none.

    A support vector machine with squared slack (Cortes & Vapnik 1995), solved in its dual as a least-distance problem (Lawson & Hanson 1974,
    chapter 23). Points near the origin cost more on the wrong side, by the inverse square of their distance: the border is a plane only nearby.

    Parameters
    ----------
    U : float64 (k, n)      points, distances of order one
    refused : bool (k,)     both kinds are there
    """
    side = np.where(refused, 1.0, -1.0)
    distance = np.maximum(np.sqrt((U * U).sum(axis=1)), NEAREST)
    rows = side[:, None] * np.column_stack([U, np.full(U.shape[0], LEVEL)])
    with single_thread():
        prices = least_distance(np.column_stack([rows, np.diag(distance / np.sqrt(COST))]), np.ones(U.shape[0]))
    if prices is None:
        return None
    solution = prices @ rows
    size = float(np.sqrt(solution[:-1] @ solution[:-1]))
    if not (size > 0.0 and np.isfinite(size)):
        return None
    return Plane(solution[:-1] / size, -LEVEL * float(solution[-1]) / size)
