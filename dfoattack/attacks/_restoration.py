"""The way back to feasible points where a polish has lost it: first-order steps on the violation alone.

Models of kinked constraints are wrong as soon as a step is long enough to help, and a polish crawls. Averaged gradients do
not mind kinks (Kingma & Ba 2015), and one vector-Jacobian product a step serves all violated constraints together.
"""

from __future__ import annotations

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks._local import Local, Point

_RATE = 1.0 / 150.0  # length of a step in every variable, in units of the scaling
_SHORTEST = 0.25 * _RATE
_PATIENCE = 25  # steps after which the violation must have fallen
_PROGRESS = 0.9  # to this share at most; else steps are halved, from the best point
_FORGET, _FORGET_SQUARES = 0.9, 0.99


def restore(local: Local, start: Point) -> Point | None:
    """A feasible point found from `start`; None if the violation falls no more, or the budget ends.

    A step costs one product and one pass. Every point visited is remembered in `local`.
    """
    best = point = start
    least = known = _violation(start)
    rate, since = _RATE, 0
    averages = _Averages(start)
    while local.view.affords(1, 1):
        g = local.pull(point)
        if not np.all(np.isfinite(g)) or not np.any(g):
            return None
        point = local.visit(point, -rate * averages.towards(g))
        violation = _violation(point)
        if violation == 0.0:
            return point
        if violation < least:
            best, least = point, violation
        since += 1
        if since < _PATIENCE and np.isfinite(violation):
            continue
        if least > _PROGRESS * known:
            rate *= 0.5
            if rate < _SHORTEST:
                return None
            point, averages = best, _Averages(start)
        known, since = least, 0
    return None


class _Averages:
    """Discounted means of gradients and of their squares, corrected for their short history."""

    def __init__(self, start: Point) -> None:
        self._mean, self._square = np.zeros_like(start.d), np.zeros_like(start.d)
        self._age = 0

    def towards(self, g: FloatArray) -> FloatArray:
        """The mean in units of the root mean square with the new gradient (n,) in them; at most about 1 a variable."""
        self._age += 1
        self._mean = _FORGET * self._mean + (1.0 - _FORGET) * g
        self._square = _FORGET_SQUARES * self._square + (1.0 - _FORGET_SQUARES) * g * g
        mean = self._mean / (1.0 - _FORGET**self._age)
        size = np.sqrt(self._square / (1.0 - _FORGET_SQUARES**self._age))
        return np.divide(mean, size, out=np.zeros_like(mean), where=size > 0.0)


def _violation(point: Point) -> float:
    """Sum of the scaled violations; +inf where the point failed."""
    if not (np.isfinite(point.F) and np.all(np.isfinite(point.c))):
        return np.inf
    return float(np.sum(np.maximum(point.c, 0.0)))
