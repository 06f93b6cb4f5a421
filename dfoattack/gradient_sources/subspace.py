"""Differences along a few random orthonormal directions: q = ceil(sqrt n) passes, whatever n is.

The estimate is the projection of the gradient on the subspace: exact there for affine functions, zero across it. After Kozak, Becker,
Doostan & Tenorio (2021), "A stochastic subspace approach to gradient-free optimization in high dimensions".
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.gradient_sources.base import Probing, Room, least_squares


class SubspaceDifferences(Probing):
    """Forward differences along q orthonormal directions in units of the scale, drawn anew for every point."""

    name: ClassVar[str] = "subspace"
    random: ClassVar[bool] = True

    def passes(self, n: int) -> int:
        return _count(n) + 1

    def pairs(self, z: FloatArray, room: Room, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        at, n = np.flatnonzero(room.moving), z.size
        q = min(_count(n), at.size)
        Q = np.linalg.qr(rng.standard_normal((at.size, q)))[0].T
        steps = np.zeros((q, n))
        steps[:, at] = Q * room.step(1)[at]
        # each direction towards the side on which less of it is cut off
        ahead, behind = (np.clip(z + s * steps, room.lower, room.upper) - z for s in (1.0, -1.0))
        longer = np.abs(behind / room.scale).sum(axis=1) > np.abs(ahead / room.scale).sum(axis=1)
        return z + np.where(longer[:, None], behind, ahead), np.tile(z, (q, 1))

    def jacobian(self, D: FloatArray, dT: FloatArray, room: Room) -> FloatArray:
        return least_squares(D, dT, room.scale)[0]


def _count(n: int) -> int:
    return min(n, math.isqrt(max(n - 1, 0)) + 1)
