"""Constraint violation, success of one point, the infeasible incumbent and its threshold (progressive barrier)."""

from __future__ import annotations

import math

from dfoattack._typing import BoolArray, FloatArray
from dfoattack.kernels._jit import kernel

LEAST = 5e-324  # the smallest positive float64: what an underflowed square of a violation becomes
MOST = 1.7976931348623157e308  # the largest finite one: what an overflowed square becomes
ROOT = 1.3407807929942596e154  # the largest number whose square is finite


@kernel
def add_square(h: float, violation: float) -> float:
    """Return h + violation^2 for violation > 0: never 0, and finite for finite arguments.

    Source: ours. Twin: tests/kernels/naive.py::add_square.
    """
    square = violation * violation if violation <= ROOT else MOST
    if square < LEAST:
        square = LEAST
    return h + square if square <= MOST - h else MOST


@kernel
def violations(
    C: FloatArray,
    tol: FloatArray,
    scale: FloatArray,
    extreme: BoolArray,
    equality: BoolArray,
    out_h: FloatArray,
    out_heb: FloatArray,
    out_max: FloatArray,
) -> None:
    """Aggregate constraint values into violations.

    Parameters
    ----------
    C : float64 (k, p)          constraint values; <= tol is satisfied, of an equality |c| <= tol; p = 0 is legal
    tol : float64 (p,)          tolerances, user units, finite
    scale : float64 (p,)        units S of the constraints, > 0
    extreme : bool (p,)         extreme-barrier constraints; the others are progressive
    equality : bool (p,)        two-sided constraints: their excess is |c| - tol, that of the others c - tol
    out_h : float64 (k,)        overwritten with sum over progressive j of max(excess_j / S_j, 0)^2
    out_heb : float64 (k,)      overwritten with the same sum over extreme j
    out_max : float64 (k,)      overwritten with max_j excess_j over all j, user units; -inf for p = 0

    Notes
    -----
    Feasibility is decided on out_max <= 0, never on a small h. Squares underflow: a violated constraint adds at least
    5e-324, so that h + heb > 0 iff something is violated; a square that overflows becomes the largest finite number.
    A row with NaN or an infinity is a failed point: all three are +inf.
    Source: after Fletcher & Leyffer 2002; Audet & Dennis 2009. Twin: tests/kernels/naive.py::violations.
    """
    k, p = C.shape
    for r in range(k):
        h = 0.0
        heb = 0.0
        most = -math.inf
        for j in range(p):
            if not math.isfinite(C[r, j]):
                h = math.inf
                heb = math.inf
                most = math.inf
                break
            excess = (abs(C[r, j]) if equality[j] else C[r, j]) - tol[j]
            if excess > most:
                most = excess
            if excess > 0.0:
                violation = excess / scale[j]
                if extreme[j]:
                    heb = add_square(heb, violation)
                else:
                    h = add_square(h, violation)
        out_h[r] = h
        out_heb[r] = heb
        out_max[r] = most


@kernel
def classify(f: float, h: float, f_feas: float, f_inf: float, h_inf: float, h_max: float) -> int:
    """Judge one evaluated point against the incumbents.

    Parameters
    ----------
    f, h : float                value (minimised) and violation of the point; failed or extreme-barrier violated: f =
                                +inf
    f_feas : float              value of the feasible incumbent, +inf if there is none
    f_inf, h_inf : float        value and violation of the infeasible incumbent, both +inf if there is none
    h_max : float               largest violation an infeasible incumbent may have, may be +inf

    Returns
    -------
    success : int               2 full: feasible and below f_feas, or infeasible with h <= h_max and dominating the
                                infeasible incumbent; 1 partial: the first infeasible point with h <= h_max, or one of
                                smaller h whose value is not better; 0 unsuccessful, always for a failed point (f or h
                                NaN or infinite)

    Notes
    -----
    (f, h) dominates if neither is larger and one is smaller. Values are compared, never subtracted.
    Source: after Audet & Dennis 2009 (progressive barrier). Twin: tests/kernels/naive.py::classify.
    """
    if not (math.isfinite(f) and math.isfinite(h)):
        return 0
    if h == 0.0:
        return 2 if f < f_feas else 0
    if h < 0.0 or h > h_max:
        return 0
    if h_inf == math.inf:
        return 1
    if f <= f_inf and h <= h_inf and (f < f_inf or h < h_inf):
        return 2
    return 1 if h < h_inf else 0


@kernel
def infeasible_incumbent(F: FloatArray, H: FloatArray, start: int, stop: int, h_max: float) -> int:
    """Choose the infeasible incumbent among evaluated points.

    Parameters
    ----------
    F, H : float64 (N,)         values (minimised; +inf where failed) and violations
    start, stop : int           rows start .. stop - 1 are looked at
    h_max : float               largest violation allowed, may be +inf

    Returns
    -------
    index : int                 the undominated point with 0 < H <= h_max and finite F that has the least F; -1 if
                                there is none

    Notes
    -----
    Ties go to the least H, then to the lowest index. The least F with the least H among equals is undominated by
    construction.
    Source: after Audet & Dennis 2009. Twin: tests/kernels/naive.py::infeasible_incumbent.
    """
    index = -1
    for i in range(start, stop):
        if math.isfinite(F[i]) and math.isfinite(H[i]) and 0.0 < H[i] <= h_max:
            if index < 0 or F[i] < F[index] or (F[i] == F[index] and H[i] < H[index]):
                index = i
    return index


@kernel
def shrink_h_max(H: FloatArray, F: FloatArray, start: int, stop: int, h_old: float) -> float:
    """Find the threshold after a partial success: the largest violation below the old infeasible incumbent's.

    Parameters
    ----------
    H, F : float64 (N,)         violations and values (+inf where failed) of the evaluated points
    start, stop : int           rows start .. stop - 1 are looked at
    h_old : float               violation of the old infeasible incumbent, may be +inf

    Returns
    -------
    h_max : float               max{H_i : 0 < H_i < h_old, F_i finite}; h_old if there is none

    Notes
    -----
    Source: after Audet & Dennis 2009. Twin: tests/kernels/naive.py::shrink_h_max.
    """
    largest = 0.0
    for i in range(start, stop):
        if math.isfinite(F[i]) and largest < H[i] < h_old:
            largest = H[i]
    return largest if largest > 0.0 else h_old
