"""Forward and central differences along the coordinates: n and 2n passes, errors O(h) and O(h^2)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.gradient_sources.base import Probing, Room, least_squares


class Forward(Probing):
    """One step in every variable, towards the side that has room; step from the noise level (More & Wild 2012)."""

    name: ClassVar[str] = "forward"

    def passes(self, n: int) -> int:
        return n + 1

    def pairs(self, z: FloatArray, room: Room, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        h, at = room.step(1), np.flatnonzero(room.moving)
        step = np.where(room.upper - z >= z - room.lower, h, -h)
        A = np.tile(z, (at.size, 1))
        A[np.arange(at.size), at] = z[at] + step[at]
        return A, np.tile(z, (at.size, 1))

    def jacobian(self, D: FloatArray, dT: FloatArray, room: Room) -> FloatArray:
        return least_squares(D, dT, room.scale)[0]


class Central(Forward):
    """One step to both sides in every variable, round the nearest point that has room for it."""

    name: ClassVar[str] = "central"

    def passes(self, n: int) -> int:
        return 2 * n

    def pairs(self, z: FloatArray, room: Room, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        h, at = room.step(2), np.flatnonzero(room.moving)
        c, E = room.inner(z, h), np.zeros((at.size, z.size))
        E[np.arange(at.size), at] = h[at]
        return c + E, c - E
