"""What an attack of many steps asks of a surrogate that can walk by itself: the whole loop where the network lives.

An operator written against `View` crosses the border between NumPy and the network's device twice a step. A surrogate may offer
``walk(request, functions, tally)`` instead, which makes all steps and hands back everything that was visited, so that counting and caching
stay what they are without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray

__all__ = ["Functions", "Tally", "WalkFound", "WalkRecord", "WalkRequest"]


@dataclass(frozen=True, eq=False)
class WalkRequest:
    """k rows that take steps of the projected gradient method in the l_inf ball cut by the box, free variables, minimised sign.

    Attributes
    ----------
    X, D : float64 (k, n)           centres, and displacements where the rows begin
    radius, eta : float64 (k,)      of the balls; of one step
    lower, upper, weights : (n,)
    tol, scale : float64 (p,)       of the constraint columns
    steps : int
    active : float                  closeness to a constraint, in units of `scale`, from which a row minds it
    """

    X: FloatArray
    D: FloatArray
    radius: FloatArray
    eta: FloatArray
    lower: FloatArray
    upper: FloatArray
    weights: FloatArray
    tol: FloatArray
    scale: FloatArray
    steps: int
    active: float

    def part(self, rows: slice) -> WalkRequest:
        """The same for some of the rows."""
        changed = {name: getattr(self, name)[rows] for name in ("X", "D", "radius", "eta")}
        return WalkRequest(**{**self.__dict__, **changed})


@dataclass(frozen=True, eq=False)
class WalkRecord:
    """What the rows have seen.

    Attributes
    ----------
    Z : float64 (1 + steps, k, n)       points visited, the beginning first
    Y : float64 (k, m)                  outputs at the best points
    of_f, of_h : bool (steps, k)        whether a gradient of F, of the violation, was needed at Z[s]
    best : float64 (k, n)               displacement of the best point, the beginning left out
    best_h, best_f : float64 (k,)       its violation and objective; +inf where nothing had a value
    gradient : float64 (k, n)           of F at the beginning, zero where there is none
    """

    Z: FloatArray
    Y: FloatArray
    of_f: BoolArray
    of_h: BoolArray
    best: FloatArray
    best_h: FloatArray
    best_f: FloatArray
    gradient: FloatArray

    @classmethod
    def joined(cls, parts: Sequence[WalkRecord]) -> WalkRecord:
        """The record of all rows from those of some."""
        if len(parts) == 1:
            return parts[0]
        along = {"Z": 1, "Y": 0, "of_f": 1, "of_h": 1, "best": 0, "best_h": 0, "best_f": 0, "gradient": 0}
        return cls(
            **{name: np.concatenate([getattr(p, name) for p in parts], axis=axis) for name, axis in along.items()}
        )


@dataclass(frozen=True, eq=False)
class WalkFound:
    """What an operator learns of a walk: `best`, `best_h`, `best_f` and `gradient` of the record.

    screened: they were computed in a lower precision, not to be compared with other values.
    """

    best: FloatArray
    best_h: FloatArray
    best_f: FloatArray
    gradient: FloatArray
    screened: bool = False


@dataclass(frozen=True, eq=False)
class Functions:
    """Objective and constraints as the walk calls them.

    Attributes
    ----------
    sign : float                        F = sign f
    outer : tuple of (fn, takes_x, dtype)   the objective, then the constraints, with the dtype of their arguments
    base : float64 (n_full,)            a point with the fixed variables
    free : int64 (n,)                   places of the free ones
    """

    sign: float
    outer: tuple[tuple[Callable[..., Any], bool, str], ...]
    base: FloatArray
    free: IntArray


@dataclass
class Tally:
    """Rows sent so far, right also when the walk has ended by an exception."""

    passes: int = 0
    products: int = 0
