"""Poll directions: Householder frames, rounding into the frame, completion to a positive basis."""

from __future__ import annotations

import math

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.kernels._jit import kernel
from dfoattack.kernels.cone import positive_basis_status

__all__ = ["complete_negative", "completes", "householder", "positive_basis_status", "scale_directions"]


@kernel
def householder(v: FloatArray, out_H: FloatArray) -> None:
    """Write the reflection H = I - 2 v v^T / |v|^2, whose rows (and columns) are an orthonormal basis.

    Parameters
    ----------
    v : float64 (n,)            finite, any length; the zero vector gives the identity
    out_H : float64 (n, n)      overwritten; exactly symmetric

    Notes
    -----
    v is divided by its largest entry first, so that |v|^2 neither overflows nor underflows.
    Source: after Abramson, Audet, Dennis & Le Digabel 2009 (OrthoMADS). Twin: tests/kernels/naive.py::householder.
    """
    n = v.shape[0]
    largest = 0.0
    for i in range(n):
        if abs(v[i]) > largest:
            largest = abs(v[i])
    for i in range(n):
        for j in range(n):
            out_H[i, j] = 1.0 if i == j else 0.0
    if largest == 0.0:
        return
    u = np.empty(n)
    total = 0.0
    for i in range(n):
        u[i] = v[i] / largest
        total += u[i] * u[i]
    for i in range(n):
        for j in range(i + 1):
            out_H[i, j] -= 2.0 * (u[i] * u[j]) / total
            out_H[j, i] = out_H[i, j]


@kernel
def scale_directions(H: FloatArray, rho: FloatArray, out_Z: FloatArray) -> None:
    """Scale every row to the border of the frame and round it to integer mesh steps.

    Parameters
    ----------
    H : float64 (k, n)          directions, one a row, finite, any length
    rho : float64 (n,)          frame size over mesh size, >= 1; a smaller entry counts as 1
    out_Z : float64 (k, n)      overwritten with integers stored as float64 (no -0.0)

    Notes
    -----
    z = rint(rho * d / max|d|), so |z_i| <= rho_i for integer rho, and a non-zero row stays non-zero: its largest entry
    becomes rho_i >= 1. A zero row stays zero. Rounding may lose the positive span (see `positive_basis_status`).
    rho < 1 happens where the floating-point floor holds the mesh size above the frame size; one mesh step is then the
    least step.
    Source: after Audet & Dennis 2006, Audet, Le Digabel & Tribes 2019. Twin: tests/kernels/naive.py::scale_directions.
    """
    k, n = H.shape
    for r in range(k):
        largest = 0.0
        for i in range(n):
            if abs(H[r, i]) > largest:
                largest = abs(H[r, i])
        for i in range(n):
            if largest == 0.0:
                out_Z[r, i] = 0.0
            else:
                size = rho[i] if rho[i] > 1.0 else 1.0
                out_Z[r, i] = np.rint(size * (H[r, i] / largest)) + 0.0


@kernel
def completes(K: FloatArray, z_last: FloatArray) -> bool:
    """Decide whether one more direction turns n directions into a positive basis of n + 1.

    Parameters
    ----------
    K : float64 (n, n)          kept directions, one a row, finite
    z_last : float64 (n,)       the added direction, finite

    Returns
    -------
    completed : bool            K has rank n and -z_last = K^T c with min c > 1e-8 max c

    Notes
    -----
    Elimination with partial pivoting, equations scaled by their largest coefficient first; a pivot below 1e-12 counts
    as rank lost.
    Source: after Audet, Ianni, Le Digabel & Tribes 2014 (n + 1 directions). Twin: tests/kernels/naive.py::completes.
    """
    n = z_last.shape[0]
    M = np.empty((n, n + 1))
    for i in range(n):
        largest = 0.0
        for j in range(n):
            if abs(K[j, i]) > largest:
                largest = abs(K[j, i])
        if largest == 0.0:
            return False
        for j in range(n):
            M[i, j] = K[j, i] / largest
        M[i, n] = -z_last[i] / largest
    for s in range(n):
        row = s
        for i in range(s + 1, n):
            if abs(M[i, s]) > abs(M[row, s]):
                row = i
        if not abs(M[row, s]) > 1e-12:
            return False
        for j in range(s, n + 1):
            M[s, j], M[row, j] = M[row, j], M[s, j]
        for i in range(s + 1, n):
            ratio = M[i, s] / M[s, s]
            if ratio != 0.0:
                for j in range(s + 1, n + 1):
                    M[i, j] -= ratio * M[s, j]
    least = math.inf
    most = -math.inf
    for s in range(n - 1, -1, -1):
        value = M[s, n]
        for j in range(s + 1, n):
            value -= M[s, j] * M[j, n]
        value /= M[s, s]
        M[s, n] = value
        if not math.isfinite(value):
            return False
        if value < least:
            least = value
        if value > most:
            most = value
    return bool(least > 0.0 and least > 1e-8 * most)


@kernel
def complete_negative(K: FloatArray, rho: FloatArray, out_z: FloatArray) -> None:
    """Write the last direction of an n + 1 poll: minus the sum of the kept ones, shrunk into the frame and rounded.

    Parameters
    ----------
    K : float64 (m, n)          kept directions in mesh steps, one a row, finite
    rho : float64 (n,)          frame size over mesh size, >= 1; a smaller entry counts as 1
    out_z : float64 (n,)        overwritten with integers stored as float64 (no -0.0); zero if the kept ones cancel

    Notes
    -----
    z = rint(-sum / max(1, max_i |sum_i| / rho_i)), so |z_i| <= rho_i for integer rho. Rounding may spoil the
    completion: check it with `completes`.
    Source: after Audet, Ianni, Le Digabel & Tribes 2014 (NEG completion). Twin:
    tests/kernels/naive.py::complete_negative.
    """
    m, n = K.shape
    shrink = 1.0
    for i in range(n):
        total = 0.0
        for r in range(m):
            total += K[r, i]
        out_z[i] = -total
        ratio = abs(total) / (rho[i] if rho[i] > 1.0 else 1.0)
        if ratio > shrink:
            shrink = ratio
    for i in range(n):
        out_z[i] = np.rint(out_z[i] / shrink) + 0.0
