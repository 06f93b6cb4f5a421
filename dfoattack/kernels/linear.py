"""Known linear constraints: is a point inside, and how far can a step go before it leaves."""

from __future__ import annotations

import math

from dfoattack._typing import BoolArray, FloatArray
from dfoattack.kernels._jit import kernel


@kernel
def linear_inside(
    X: FloatArray, A: FloatArray, b: FloatArray, E: FloatArray, d: FloatArray, slack: float, out_inside: BoolArray
) -> None:
    """Decide which points satisfy A x <= b and E x = d.

    Parameters
    ----------
    X : float64 (k, n)          points, user units, finite
    A, b : float64 (q, n), (q,) inequalities, q = 0 is legal
    E, d : float64 (e, n), (e,) equalities, e = 0 is legal
    slack : float               >= 0; round-off an equality may have, relative to sum_i |E_ji x_i| + |d_j|
    out_inside : bool (k,)      overwritten

    Notes
    -----
    Sums are taken in the order of the variables, in double precision. An inequality is met iff that sum is <= b, without tolerance.
    Source: standard. Twin: tests/kernels/naive.py::linear_inside.
    """
    k, n = X.shape
    for r in range(k):
        inside = True
        for j in range(A.shape[0]):
            total = 0.0
            for i in range(n):
                total += A[j, i] * X[r, i]
            if not total <= b[j]:
                inside = False
                break
        for j in range(E.shape[0]):
            if not inside:
                break
            total = -d[j]
            size = abs(d[j])
            for i in range(n):
                term = E[j, i] * X[r, i]
                total += term
                size += abs(term)
            if not abs(total) <= slack * size:
                inside = False
        out_inside[r] = inside


@kernel
def longest_step(
    x: FloatArray, step: FloatArray, A: FloatArray, b: FloatArray, lower: FloatArray, upper: FloatArray
) -> float:
    """Compute the largest t in [0, 1] with A (x + t step) <= b and lower <= x + t step <= upper, up to round-off.

    Parameters
    ----------
    x, step : float64 (n,)      a point inside, and a displacement; user units, finite
    A, b : float64 (q, n), (q,) inequalities
    lower, upper : float64 (n,) bounds, infinite ones are legal

    Returns
    -------
    t : float                   0 where a constraint that the step violates is active at x already

    Notes
    -----
    Source: the ratio test of active-set methods. Twin: tests/kernels/naive.py::longest_step.
    """
    n = x.shape[0]
    t = 1.0
    for j in range(A.shape[0]):
        rate = 0.0
        value = 0.0
        for i in range(n):
            rate += A[j, i] * step[i]
            value += A[j, i] * x[i]
        if rate > 0.0:
            room = b[j] - value
            if room <= 0.0:
                return 0.0
            if room < t * rate:
                t = room / rate
    for i in range(n):
        if step[i] > 0.0:
            room = upper[i] - x[i]
            if room < t * step[i]:
                t = room / step[i]
        elif step[i] < 0.0:
            room = x[i] - lower[i]
            if room < -t * step[i]:
                t = -room / step[i]
    return float(t) if t > 0.0 and math.isfinite(t) else 0.0
