"""Covering: candidates of a pool and their distances to every evaluated point; uniform points of a ball; fill distance.

All distances are Euclidean in x / scale and kept as squares.
"""

from __future__ import annotations

import math

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack.kernels._jit import kernel


@kernel
def reciprocals(scale: FloatArray) -> FloatArray:
    """Return 1 / scale, float64 (n,); scale > 0.

    Source: standard. Twin: tests/kernels/naive.py::reciprocals.
    """
    weight = np.empty(scale.shape[0])
    for i in range(scale.shape[0]):
        weight[i] = 1.0 / scale[i]
    return weight


@kernel
def bounded_distance(A: FloatArray, i: int, B: FloatArray, j: int, weight: FloatArray, limit: float) -> float:
    """Return |A_i - B_j|^2 in the metric, or some number above limit (a partial sum) once it is known to be above.

    Parameters
    ----------
    A, B : float64 (., n)       points, user units
    weight : float64 (n,)       1 / scale
    limit : float               squared distance, may be +inf

    Notes
    -----
    Partial sums never decrease, so stopping early changes no comparison with limit. Four squares are added as a group:
    the processor works on them side by side, and the grouping, hence the number, is the same in every build.
    Source: standard. Twin: tests/kernels/naive.py::bounded_distance.
    """
    n = weight.shape[0]
    total = 0.0
    m = 0
    while m + 4 <= n:
        t0 = (A[i, m] - B[j, m]) * weight[m]
        t1 = (A[i, m + 1] - B[j, m + 1]) * weight[m + 1]
        t2 = (A[i, m + 2] - B[j, m + 2]) * weight[m + 2]
        t3 = (A[i, m + 3] - B[j, m + 3]) * weight[m + 3]
        total += (t0 * t0 + t1 * t1) + (t2 * t2 + t3 * t3)
        if total > limit:
            return float(total)
        m += 4
    while m < n:
        t0 = (A[i, m] - B[j, m]) * weight[m]
        total += t0 * t0
        m += 1
    return float(total)


@kernel
def pool_update(Y: FloatArray, d2: FloatArray, T: FloatArray, scale: FloatArray) -> None:
    """Lower every candidate's squared distance to the evaluated points by new ones, in place.

    Parameters
    ----------
    Y : float64 (N, n)          candidates, user units
    d2 : float64 (N,)           squared distances, modified in place; +inf where no point is known
    T : float64 (k, n)          newly evaluated points (failed ones too), user units
    scale : float64 (n,)        the metric, > 0

    Notes
    -----
    d2 <- min(d2, |y - t|^2): the exact distance to all of them, at O(N n) a point whatever the length of the history.
    Source: after the covering step of arXiv 2401.07097; the pool is ours. Twin: tests/kernels/naive.py::pool_update.
    """
    weight = reciprocals(scale)
    for j in range(Y.shape[0]):
        for r in range(T.shape[0]):
            distance = bounded_distance(Y, j, T, r, weight, d2[j])
            if distance < d2[j]:
                d2[j] = distance


@kernel
def pool_refresh(
    Y: FloatArray,
    d2: FloatArray,
    rows: IntArray,
    V: FloatArray,
    n_history: int,
    centre: FloatArray,
    radius: float,
    scale: FloatArray,
) -> None:
    """Compute the squared distances of the named candidates to all evaluated points from scratch, in place.

    Parameters
    ----------
    Y : float64 (N, n)          candidates, user units
    d2 : float64 (N,)           d2[rows] is overwritten; +inf where the history is empty
    rows : int64 (q,)           candidates to compute
    V : float64 (M, n)          evaluated points, user units; the first n_history rows are used
    n_history : int             in [0, M]
    centre : float64 (n,)       centre of the ball, user units
    radius : float              of the ball, in x / scale, > 0, may be +inf
    scale : float64 (n,)        the metric, > 0

    Notes
    -----
    Points farther than 2 radius from the centre are skipped after their first coordinates. A candidate at distance c
    from the centre is farther than 2 radius - c from them; if nothing as near as that was found (a centre not
    evaluated, a candidate outside the ball) the whole history is scanned. The answer is exact in every case.
    Source: after the covering step of arXiv 2401.07097. Twin: tests/kernels/naive.py::pool_refresh.
    """
    n = scale.shape[0]
    weight = reciprocals(scale)
    limit = 4.0 * radius * radius * (1.0 + 1e-9)  # the slack keeps the skip safe from round-off
    for q in range(rows.shape[0]):
        d2[rows[q]] = math.inf
    for v in range(n_history):
        total = 0.0
        for m in range(n):
            t = (V[v, m] - centre[m]) * weight[m]
            total += t * t
            if total > limit:
                break
        if total > limit:
            continue
        for q in range(rows.shape[0]):
            distance = bounded_distance(V, v, Y, rows[q], weight, d2[rows[q]])
            if distance < d2[rows[q]]:
                d2[rows[q]] = distance
    for q in range(rows.shape[0]):
        total = 0.0
        for m in range(n):
            t = (Y[rows[q], m] - centre[m]) * weight[m]
            total += t * t
        safe = 2.0 * radius - math.sqrt(total)
        if safe > 0.0 and d2[rows[q]] <= safe * safe:
            continue
        for v in range(n_history):
            distance = bounded_distance(V, v, Y, rows[q], weight, d2[rows[q]])
            if distance < d2[rows[q]]:
                d2[rows[q]] = distance


@kernel
def ball_points(
    centre: FloatArray,
    radius: float,
    scale: FloatArray,
    lower: FloatArray,
    upper: FloatArray,
    normals: FloatArray,
    uniforms: FloatArray,
    out_X: FloatArray,
) -> int:
    """Turn random numbers into points uniform on the part of a ball that lies in the box.

    Parameters
    ----------
    centre : float64 (n,)       user units
    radius : float              in x / scale, > 0, finite
    scale : float64 (n,)        the metric, > 0
    lower, upper : float64 (n,) bounds, user units
    normals : float64 (k, n)    independent standard normals
    uniforms : float64 (k,)     independent uniforms in [0, 1)
    out_X : float64 (k, n)      the first `count` rows are overwritten, in the order drawn; rows after them are left
                                undefined

    Returns
    -------
    count : int                 points kept, in [0, k]; the others lay outside the box (or their normals were all zero)

    Notes
    -----
    x = centre + scale * radius * u^(1/n) * normal / |normal|: u^(1/n), not (u radius)^(1/n), makes the volume uniform
    at every radius. Rejection, not clipping, keeps it uniform at a bound.
    Source: Muller 1959. Twin: tests/kernels/naive.py::ball_points.
    """
    k, n = normals.shape
    count = 0
    for r in range(k):
        total = 0.0
        for i in range(n):
            total += normals[r, i] * normals[r, i]
        if not total > 0.0:
            continue
        factor = radius * math.pow(uniforms[r], 1.0 / n) / math.sqrt(total)
        inside = True
        for i in range(n):
            value = centre[i] + scale[i] * (factor * normals[r, i])
            if not lower[i] <= value <= upper[i]:
                inside = False
                break
            out_X[count, i] = value
        if inside:
            count += 1
    return count


@kernel
def farthest(Y: FloatArray, d2: FloatArray, centre: FloatArray, radius: float, scale: FloatArray) -> int:
    """Find the candidate inside the ball that is farthest from every evaluated point.

    Parameters
    ----------
    Y : float64 (N, n)          candidates, user units
    d2 : float64 (N,)           squared distances to the evaluated points; a value <= 0 (evaluated, or struck off) is
                                never chosen
    centre : float64 (n,)       centre of the ball, user units
    radius : float              of the ball, in x / scale
    scale : float64 (n,)        the metric, > 0

    Returns
    -------
    index : int                 row of Y, lowest index on ties; -1 if no candidate qualifies

    Notes
    -----
    Inside means within radius up to round-off (1e-12 relative).
    Source: after the covering step of arXiv 2401.07097. Twin: tests/kernels/naive.py::farthest.
    """
    weight = reciprocals(scale)
    limit = radius * radius * (1.0 + 1e-12)
    index = -1
    largest = 0.0
    for j in range(Y.shape[0]):
        if d2[j] > largest:
            total = 0.0
            for m in range(scale.shape[0]):
                t = (Y[j, m] - centre[m]) * weight[m]
                total += t * t
                if total > limit:
                    break
            if total <= limit:
                largest = d2[j]
                index = j
    return index


@kernel
def fill_distance(T: FloatArray, V: FloatArray, scale: FloatArray, out_d2: FloatArray) -> None:
    """Compute the squared distance of every test point to its nearest evaluated point.

    Parameters
    ----------
    T : float64 (N, n)          test points, user units
    V : float64 (M, n)          evaluated points, user units
    scale : float64 (n,)        the metric, > 0
    out_d2 : float64 (N,)       overwritten; +inf where M = 0

    Notes
    -----
    Exact, O(N M n) at worst; a distance is abandoned once it exceeds the nearest so far.
    Source: standard. Twin: tests/kernels/naive.py::fill_distance.
    """
    weight = reciprocals(scale)
    for j in range(T.shape[0]):
        nearest = math.inf
        for v in range(V.shape[0]):
            distance = bounded_distance(T, j, V, v, weight, nearest)
            if distance < nearest:
                nearest = distance
        out_d2[j] = nearest
