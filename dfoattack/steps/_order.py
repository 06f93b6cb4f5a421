"""A total order of evaluated points: extreme constraints first, then the progressive ones, then the objective.

After Deb (2000), "An efficient constraint handling method for genetic algorithms": a feasible point is better than an infeasible one,
two feasible ones are compared by objective, two infeasible ones by violation. Failed points come last; equal ones keep the order
of a tie-break or of their positions.
"""

from __future__ import annotations

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack.cache import History

OBJECTIVE, VIOLATION, EXTREME, FAILED = 2, 1, 0, -1


def keys(history: History, rows: IntArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """(HE, H, V, F) of history rows (k,), compared in this order; V counts only where something is violated; NaN reads as +inf."""
    buffer = history.buffer
    HE, H, V, F = (
        np.where(np.isnan(A), np.inf, A) for A in (a[rows] for a in (buffer.HE, buffer.H, buffer.V, buffer.F))
    )
    return HE, H, np.maximum(V, 0.0), F


def order(history: History, rows: IntArray, tie: FloatArray | None = None) -> IntArray:
    """Positions of history rows (k,) from the best to the worst; `tie` (k,) decides between equal ones, the smaller first."""
    HE, H, V, F = keys(history, rows)
    last = np.arange(rows.shape[0]) if tie is None else tie
    ranks: IntArray = np.lexsort((last, F, V, H, HE))
    return ranks


def better(history: History, a: int, b: int) -> bool:
    """Whether history row a is strictly better than row b."""
    buffer = history.buffer
    for values in (buffer.HE, buffer.H):
        u, v = float(values[a]), float(values[b])
        if not u == v:
            return u < v
    if buffer.HE[a] > 0.0 or buffer.H[a] > 0.0:
        u, v = float(buffer.V[a]), float(buffer.V[b])
        if not u == v:
            return u < v
    return bool(buffer.F[a] < buffer.F[b])


def levels(history: History, rows: IntArray) -> tuple[IntArray, FloatArray]:
    """What decides about each history row (k,): OBJECTIVE, VIOLATION, EXTREME or FAILED, and its value (k,), +inf where it failed."""
    buffer = history.buffer
    HE, H, F = buffer.HE[rows], buffer.H[rows], buffer.F[rows]
    # Not "> 0": NaN decides too, and is a failure.
    kinds = np.where(HE != 0.0, EXTREME, np.where(H != 0.0, VIOLATION, OBJECTIVE))
    values: FloatArray = np.choose(kinds, (HE, H, F))
    failed = ~np.isfinite(values)
    return np.where(failed, FAILED, kinds), np.where(failed, np.inf, values)
