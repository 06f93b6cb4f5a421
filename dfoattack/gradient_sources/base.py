"""The contract of a probing source: which pairs of points to look at, and what their differences say about the Jacobian."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from dfoattack._typing import BoolArray, FloatArray

PRECISION = (
    1e-10  # relative precision of values assumed where no noise is known: float32 networks still give two digits
)


@dataclass(frozen=True, eq=False)
class Room:
    """The space around a point in which a source may probe.

    Attributes
    ----------
    lower, upper : (n,)     the box, +-inf legal
    scale : (n,)            > 0, user units: what counts as one unit of each variable (the first frame size)
    frame : float           > 0, present frame size in units of the scale
    held : (n,) bool        variables that do not move: integer, granular and categorical ones. Their entries of an estimate are zero
    noise : float           >= 0, standard deviation of one value of F, in units of its range
    """

    lower: FloatArray
    upper: FloatArray
    scale: FloatArray
    frame: float
    held: BoolArray
    noise: float = 0.0

    @property
    def moving(self) -> BoolArray:
        """Variables that can be probed, (n,)."""
        free: BoolArray = ~self.held & (self.upper > self.lower)
        return free

    def step(self, order: int) -> FloatArray:
        """Best step of a difference whose error is O(h^order) + noise / h, (n,), user units, at most half the width of the box.

        Noise and curvature balance at the (order + 1)-th root of the relative noise (More & Wild 2012).
        """
        h = max(self.noise, PRECISION) ** (1.0 / (1.0 + order)) * self.scale
        return self._within(h, 2.0)

    def radius(self, share: float, widths: float) -> FloatArray:
        """Smoothing radius, (n,), user units: a share of the present frame, no less than a central difference's step; `widths` of them fit the box."""
        return self._within(np.maximum(share * self.frame * self.scale, self.step(2)), widths)

    def inner(self, z: FloatArray, reach: FloatArray) -> FloatArray:
        """The point nearest to z (n,) that has a room of `reach` (n,) on both sides in every moving variable."""
        pushed = np.clip(z, self.lower + reach, np.maximum(self.upper - reach, self.lower + reach))
        return np.where(self.moving, pushed, z)

    def clipped(self, Z: FloatArray) -> FloatArray:
        """Z (k, n) moved into the box: what rounding has put outside comes back."""
        return np.asarray(np.clip(Z, self.lower, self.upper), dtype=np.float64)

    def _within(self, h: FloatArray, widths: float) -> FloatArray:
        width = np.where(np.isfinite(self.upper - self.lower), self.upper - self.lower, np.inf)
        return np.where(self.moving, np.minimum(h, width / widths), 0.0)


class Probing(ABC):
    """A source that pays passes: T = (F, c) is looked at in pairs of points, T(A_k) - T(B_k) = dT_k along A_k - B_k = D_k.

    A pair with a failed member is left out before `jacobian` is called.
    """

    name: ClassVar[str]
    random: ClassVar[bool] = False  # True: two estimates at one point differ, and their differences are no curvature

    @abstractmethod
    def passes(self, n: int) -> int:
        """Passes of one estimate in n variables at most, the point itself included where it is looked at."""

    @abstractmethod
    def pairs(self, z: FloatArray, room: Room, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
        """Points A and B, (q, n) each, inside the box; the only draws are from rng."""

    @abstractmethod
    def jacobian(self, D: FloatArray, dT: FloatArray, room: Room) -> FloatArray:
        """Estimate (1 + p, n) from q >= 1 differences D (q, n), dT (q, 1 + p)."""


def least_squares(D: FloatArray, dT: FloatArray, unit: FloatArray) -> tuple[FloatArray, int]:
    """Return (J (r, n), rank): the J of least norm, in units of `unit` (n,), with D J^T as near to dT (q, r) as possible.

    Exact on affine functions: everywhere if the rows of D span R^n, else on their span.
    """
    solution, _, rank, _ = np.linalg.lstsq(D / unit, dT, rcond=1e-8)
    J: FloatArray = solution.T / unit
    return J, int(rank)
