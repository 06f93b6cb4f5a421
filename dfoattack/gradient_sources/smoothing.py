"""Antithetic random estimates: SPSA and Gaussian smoothing (NES), 2 ceil(sqrt n) passes.

Both are unbiased on quadratic functions, with a variance that grows like n over the number of pairs; they look as far as a share of
the present frame, and so past kinks and noise. Near a bound the centre of the pair moves inwards until both its points fit.
"""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.gradient_sources.base import Probing, Room

SHARE = 0.01  # smoothing radius, in units of the present frame
CUT = 3.0  # standard deviations at which normal numbers are cut off
# E[min(abs(z), CUT)^2] of a normal number z
CUT_VARIANCE = (
    math.erf(CUT / math.sqrt(2.0)) * (1.0 - CUT**2)
    + CUT**2
    - 2.0 * CUT * math.exp(-(CUT**2) / 2.0) / math.sqrt(2.0 * math.pi)
)


class SPSA(Probing):
    """Simultaneous perturbation of Spall (1992): signs s, g_i = mean of (T(c + e s) - T(c - e s)) / (2 e_i s_i)."""

    name: ClassVar[str] = "spsa"
    random: ClassVar[bool] = True
    reach: ClassVar[float] = 1.0  # of a pair to one side, in units of the smoothing radius

    def passes(self, n: int) -> int:
        return 2 * _count(n)

    def pairs(self, z: FloatArray, room: Room, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        e = room.radius(SHARE, 2.0 * self.reach)
        c = room.inner(z, self.reach * e)
        S = e * self._directions(_count(z.size), z.size, rng)
        return room.clipped(c + S), room.clipped(c - S)

    def jacobian(self, D: FloatArray, dT: FloatArray, room: Room) -> FloatArray:
        inverse = np.divide(1.0, D, out=np.zeros_like(D), where=D != 0.0)
        J: FloatArray = dT.T @ inverse / len(D)
        return J

    @staticmethod
    def _directions(q: int, n: int, rng: np.random.Generator) -> FloatArray:
        return np.asarray(rng.choice([-1.0, 1.0], (q, n)), dtype=np.float64)


class NES(SPSA):
    """Gaussian smoothing of Nesterov & Spokoiny (2017), antithetic as in Salimans et al. (2017): z normal, g = mean of (T(c + e z) - T(c - e z)) z / (2 e)."""

    name: ClassVar[str] = "nes"
    reach: ClassVar[float] = CUT

    def jacobian(self, D: FloatArray, dT: FloatArray, room: Room) -> FloatArray:
        e = room.radius(SHARE, 2.0 * self.reach)
        weights = np.divide(D, 4.0 * CUT_VARIANCE * e * e, out=np.zeros_like(D), where=e > 0.0)
        J: FloatArray = dT.T @ weights / len(D)
        return J

    @staticmethod
    def _directions(q: int, n: int, rng: np.random.Generator) -> FloatArray:
        return np.clip(rng.standard_normal((q, n)), -CUT, CUT)


def _count(n: int) -> int:
    return math.isqrt(max(n - 1, 0)) + 1
