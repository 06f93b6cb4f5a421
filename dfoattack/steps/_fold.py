"""Fold an unbounded space into the box, smoothly, so that a normal distribution needs no repair of its samples.

A repaired sample no longer belongs to the distribution it came from, and adapting to it shrinks the distribution at a bound. Here
the samples stay as they were drawn; only the points that are evaluated are images in the box. Near a bound the map is quadratic and
beyond it mirrors, so that a minimum on the bound is a stationary point of the folded function. After the boundary transformation of
Hansen's pycma (2019). A periodic variable has no bounds: it wraps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.state import Setup

ZONE = 0.05  # width of the quadratic zone, in ranges
ONE_SIDED = 0.5  # the same in units of the scale where only one bound is finite


@dataclass(frozen=True)
class Fold:
    """The map of one problem.

    Attributes
    ----------
    low, high : float64 (n,)       borders of the domain on which the map is one to one; infinite ones are legal
    near_low, near_high : (n,)     half widths of the quadratic zones, 0 where there is none (no bound, a granular or periodic variable)
    """

    setup: Setup
    low: FloatArray
    high: FloatArray
    near_low: FloatArray
    near_high: FloatArray

    @classmethod
    def of(cls, setup: Setup, scale: FloatArray) -> Fold:
        """The map for a box whose unbounded sides are measured in `scale` (n,)."""
        lower, upper, g = setup.lower, setup.upper, setup.granularity
        span = upper - lower
        width = np.where(np.isfinite(span), ZONE * span, ONE_SIDED * scale)
        periodic = setup.geometry.period > 0.0
        smooth = (g == 0.0) & ~periodic
        near_low = np.where(smooth & np.isfinite(lower), width, 0.0)
        near_high = np.where(smooth & np.isfinite(upper), width, 0.0)
        # The first and the last lattice value own as much room as any other.
        last = np.where(periodic, -0.5 * g, 0.5 * g)  # of a periodic variable upper is lower again
        return cls(setup, lower - near_low - 0.5 * g, upper + near_high + last, near_low, near_high)

    @property
    def width(self) -> FloatArray:
        """Widths of the domain (n,), +inf where a bound is missing."""
        return self.high - self.low

    def mirrored(self, V: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Equivalent points inside the domain, and +1 or -1 where the axis kept or changed its direction; shapes of V (..., n)."""
        sign = np.ones_like(V)
        if ((self.low <= V) & (self.high >= V)).all():
            return V, sign
        with np.errstate(invalid="ignore"):
            width = self.width
            periodic = self.setup.geometry.period > 0.0
            both = np.isfinite(width) & ~periodic
            phase = np.mod(np.where(both, V - self.low, 0.0), np.where(both, 2.0 * width, 1.0))
            back = both & (phase > width)
            out = np.where(both, self.low + np.where(back, 2.0 * width - phase, phase), V)
            below, above = ~both & ~periodic & (self.low > V), ~both & ~periodic & (self.high < V)
            out = np.where(below, 2.0 * self.low - V, np.where(above, 2.0 * self.high - V, out))
            if self.setup.geometry.wraps:
                turned = self.low + np.mod(np.where(periodic, V - self.low, 0.0), np.where(periodic, width, 1.0))
                out = np.where(periodic, turned, out)
        sign[back | below | above] = -1.0
        return out, sign

    def points(self, V: FloatArray) -> FloatArray:
        """Images of V (k, n): inside the box to the last bit and on the lattice."""
        U, _ = self.mirrored(V)
        setup = self.setup
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            below = (self.near_low > 0.0) & (setup.lower + self.near_low > U)
            above = (self.near_high > 0.0) & (setup.upper - self.near_high < U)
            X = np.where(below, setup.lower + (U - self.low) ** 2 / (4.0 * self.near_low), U)
            X = np.where(above, setup.upper - (self.high - U) ** 2 / (4.0 * self.near_high), X)
        return setup.geometry.snapped(X)

    def step(self, v: FloatArray, to: FloatArray) -> FloatArray:
        """to - v (n,), the short way round where periodic."""
        D: FloatArray = to - v
        if not self.setup.geometry.wraps:
            return D
        period = self.setup.geometry.period
        whole = np.where(period > 0.0, period, 1.0)
        return np.where(period > 0.0, D - whole * np.rint(D / whole), D)

    def preimage(self, x: FloatArray) -> FloatArray:
        """The point of the domain whose image is x (n,), up to round-off."""
        setup = self.setup
        with np.errstate(invalid="ignore", over="ignore"):
            below = (self.near_low > 0.0) & (x < setup.lower + self.near_low)
            above = (self.near_high > 0.0) & (x > setup.upper - self.near_high)
            v = np.where(below, self.low + 2.0 * np.sqrt(self.near_low * np.maximum(x - setup.lower, 0.0)), x)
            v = np.where(above, self.high - 2.0 * np.sqrt(self.near_high * np.maximum(setup.upper - x, 0.0)), v)
        return v
