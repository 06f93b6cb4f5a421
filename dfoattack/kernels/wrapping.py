"""Periodic variables: values wrapped into [lower, upper), distances that know the wrap and the levels.

Twins of the plain kernels for spaces with periodic or categorical variables; spaces without them never come here.
"""

from __future__ import annotations

import math

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack.kernels._jit import kernel
from dfoattack.kernels.covering import reciprocals
from dfoattack.kernels.mesh import snap_one

__all__ = [
    "fill_distance_wrapped",
    "mesh_points_wrapped",
    "pool_refresh_wrapped",
    "pool_update_wrapped",
    "snap_periodic",
    "snap_wrapped",
    "wrap_one",
    "wrapped_distance",
]


@kernel
def wrap_one(value: float, lower: float, upper: float, period: float) -> float:
    """Return the image of a value in [lower, upper); the value itself where period = 0.

    Parameters
    ----------
    value : float               user units, finite
    lower, upper : float        user units; finite where period > 0
    period : float              upper - lower > 0, or 0 for a variable that is not periodic

    Notes
    -----
    A value inside comes back bit for bit. Round-off at the seam, and the ties of rint, go to lower, which is the same
    point as upper.
    Source: standard. Twin: tests/kernels/naive.py::wrap_one.
    """
    if not period > 0.0 or lower <= value < upper:
        return value
    value = value - period * np.rint((value - lower) / period - 0.5)
    if value < lower or value >= upper:
        return lower
    return value


@kernel
def snap_periodic(value: float, lower: float, upper: float, period: float, g: float, inverse: float) -> float:
    """Wrap, then round to the lattice and clip; upper counts as lower where period > 0.

    Parameters
    ----------
    value, lower, upper, period : float     as for `wrap_one`
    g, inverse : float                      granularity and its whole inverse, as for `snap_one`

    Source: ours. Twin: tests/kernels/naive.py::snap_periodic.
    """
    value = snap_one(wrap_one(value, lower, upper, period), lower, upper, g, inverse)
    if period > 0.0 and value >= upper:
        return lower
    return value + 0.0


@kernel
def mesh_points_wrapped(
    x: FloatArray,
    Z: FloatArray,
    delta: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    period: FloatArray,
    g: FloatArray,
    inverse: FloatArray,
    out_X: FloatArray,
) -> None:
    """Write the trial points x + delta * z, wrapped where periodic, on the lattice and inside the box to the last bit.

    Parameters
    ----------
    x : float64 (n,)            the centre, inside the box, user units
    Z : float64 (k, n)          integer mesh steps
    delta : float64 (n,)        mesh sizes, > 0, user units
    lower, upper : float64 (n,) bounds, user units; finite where periodic
    period : float64 (n,)       upper - lower, or 0 for variables that are not periodic
    g, inverse : float64 (n,)   granularity and its whole inverse, as for `snap_one`
    out_X : float64 (k, n)      overwritten

    Notes
    -----
    The mesh sizes of a periodic variable divide its period (`Mesh.unit`), so that the mesh x + delta * z closes on
    itself at the seam and stays finite however often a run goes round.
    Source: ours. Twin: tests/kernels/naive.py::mesh_points_wrapped.
    """
    k, n = Z.shape
    for r in range(k):
        for i in range(n):
            out_X[r, i] = snap_periodic(x[i] + delta[i] * Z[r, i], lower[i], upper[i], period[i], g[i], inverse[i])


@kernel
def snap_wrapped(
    X: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    period: FloatArray,
    g: FloatArray,
    inverse: FloatArray,
    out_X: FloatArray,
) -> None:
    """Wrap points where periodic, round them to the lattice and clip them exactly to the box.

    Parameters
    ----------
    X : float64 (k, n)          points, user units, finite
    lower, upper : float64 (n,) bounds, user units; finite where periodic
    period : float64 (n,)       upper - lower, or 0 for variables that are not periodic
    g, inverse : float64 (n,)   granularity and its whole inverse, as for `snap_one`
    out_X : float64 (k, n)      overwritten; may be X itself

    Notes
    -----
    Source: ours. Twin: tests/kernels/naive.py::snap_wrapped.
    """
    k, n = X.shape
    for r in range(k):
        for i in range(n):
            out_X[r, i] = snap_periodic(X[r, i], lower[i], upper[i], period[i], g[i], inverse[i])


@kernel
def wrapped_distance(
    A: FloatArray, i: int, B: FloatArray, j: int, weight: FloatArray, metric: FloatArray, limit: float
) -> float:
    """Return the squared distance of A_i and B_j the short way round, or some number above limit once it is above.

    Parameters
    ----------
    A, B : float64 (., n)       points, user units
    weight : float64 (n,)       1 / scale
    metric : float64 (n,)       0: plain; > 0: the period; < 0: a categorical variable, whose different levels are
                                |metric| apart in scaled units (-inf: points of different levels are not comparable)
    limit : float               squared distance, may be +inf

    Notes
    -----
    Source: standard. Twin: tests/kernels/naive.py::wrapped_distance.
    """
    total = 0.0
    for m in range(weight.shape[0]):
        t = A[i, m] - B[j, m]
        if metric[m] < 0.0:
            t = 0.0 if t == 0.0 else -metric[m]
        else:
            if metric[m] > 0.0:
                t -= metric[m] * np.rint(t / metric[m])
            t *= weight[m]
        total += t * t
        if total > limit:
            return float(total)
    return float(total)


@kernel
def pool_update_wrapped(Y: FloatArray, d2: FloatArray, T: FloatArray, scale: FloatArray, metric: FloatArray) -> None:
    """Lower every candidate's squared distance to the evaluated points by new ones, in place.

    Parameters
    ----------
    Y : float64 (N, n)          candidates, user units
    d2 : float64 (N,)           squared distances, modified in place; +inf where no point is known
    T : float64 (k, n)          newly evaluated points, user units
    scale : float64 (n,)        the metric, > 0
    metric : float64 (n,)       as for `wrapped_distance`

    Notes
    -----
    Source: after the covering step of arXiv 2401.07097. Twin: tests/kernels/naive.py::pool_update_wrapped.
    """
    weight = reciprocals(scale)
    for j in range(Y.shape[0]):
        for r in range(T.shape[0]):
            distance = wrapped_distance(Y, j, T, r, weight, metric, d2[j])
            if distance < d2[j]:
                d2[j] = distance


@kernel
def pool_refresh_wrapped(
    Y: FloatArray, d2: FloatArray, rows: IntArray, V: FloatArray, n_history: int, scale: FloatArray, metric: FloatArray
) -> None:
    """Compute the squared distances of the named candidates to all evaluated points from scratch, in place.

    Parameters
    ----------
    Y : float64 (N, n)          candidates, user units
    d2 : float64 (N,)           d2[rows] is overwritten; +inf where the history is empty
    rows : int64 (q,)           candidates to compute
    V : float64 (M, n)          evaluated points, user units; the first n_history rows are used
    n_history : int             in [0, M]
    scale : float64 (n,)        the metric, > 0
    metric : float64 (n,)       as for `wrapped_distance`

    Notes
    -----
    Source: after the covering step of arXiv 2401.07097. Twin: tests/kernels/naive.py::pool_refresh_wrapped.
    """
    weight = reciprocals(scale)
    for q in range(rows.shape[0]):
        nearest = math.inf
        for v in range(n_history):
            distance = wrapped_distance(Y, rows[q], V, v, weight, metric, nearest)
            if distance < nearest:
                nearest = distance
        d2[rows[q]] = nearest


@kernel
def fill_distance_wrapped(
    T: FloatArray, V: FloatArray, scale: FloatArray, metric: FloatArray, out_d2: FloatArray
) -> None:
    """Compute the squared distance of every test point to its nearest evaluated point.

    Parameters
    ----------
    T : float64 (N, n)          test points, user units
    V : float64 (M, n)          evaluated points, user units
    scale : float64 (n,)        the metric, > 0
    metric : float64 (n,)       as for `wrapped_distance`
    out_d2 : float64 (N,)       overwritten; +inf where M = 0

    Notes
    -----
    Source: standard. Twin: tests/kernels/naive.py::fill_distance_wrapped.
    """
    weight = reciprocals(scale)
    for j in range(T.shape[0]):
        nearest = math.inf
        for v in range(V.shape[0]):
            distance = wrapped_distance(T, j, V, v, weight, metric, nearest)
            if distance < nearest:
                nearest = distance
        out_d2[j] = nearest
