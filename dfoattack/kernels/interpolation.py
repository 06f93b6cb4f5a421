"""Minimum-change quadratic interpolation: the inverse of its system, updated point by point.

With p points s_i (relative to a base) the system is W = [[A, M], [M^T, 0]], A_ij = (s_i . s_j)^2 / 2, M = [1, s_i]. Its inverse gives the
quadratic whose Hessian changes least in the Frobenius norm and that takes given values at the points.
After Powell (2004), "Least Frobenius norm updating of quadratic models that satisfy interpolation conditions".
"""

from __future__ import annotations

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.kernels._jit import kernel

__all__ = [
    "append_inverse",
    "model_values",
    "replace_inverse",
    "replacement_weights",
    "system_row",
    "update_models",
]


@kernel
def system_row(S: FloatArray, s: FloatArray, out_w: FloatArray) -> None:
    """Write the row of W that belongs to a point s: (s_i . s)^2 / 2, then 1, then s.

    Parameters
    ----------
    S : float64 (p, n)              points of the set
    s : float64 (n,)
    out_w : float64 (p + 1 + n,)    overwritten

    Notes
    -----
    Source: after Powell 2004, section 2. Twin: tests/kernels/naive.py::system_row.
    """
    p, n = S.shape
    for i in range(p):
        total = 0.0
        for j in range(n):
            total += S[i, j] * s[j]
        out_w[i] = 0.5 * total * total
    out_w[p] = 1.0
    for j in range(n):
        out_w[p + 1 + j] = s[j]


@kernel
def replacement_weights(
    inverse: FloatArray, w: FloatArray, squared: float, p: int, out_Hw: FloatArray, out_sigma: FloatArray
) -> float:
    """Write W^-1 w, and for every point t the denominator of its replacement by the point behind w.

    Parameters
    ----------
    inverse : float64 (q, q)    W^-1, q = p + 1 + n
    w : float64 (q,)            from `system_row`
    squared : float             |s|^2 of the new point
    p : int                     points of the set
    out_Hw : float64 (q,)       overwritten; entry t < p is the value of the t-th Lagrange function at s
    out_sigma : float64 (p,)    overwritten; det W after / det W before, up to sign: large is well poised

    Returns
    -------
    beta : float                Schur complement of adding s as a further point; 0 where the set determines everything there

    Notes
    -----
    Source: after Powell 2004, equation 4.12. Twin: tests/kernels/naive.py::replacement_weights.
    """
    q = w.shape[0]
    beta = 0.5 * squared * squared
    for i in range(q):
        total = 0.0
        for j in range(q):
            total += inverse[i, j] * w[j]
        out_Hw[i] = total
        beta -= w[i] * total
    for t in range(p):
        out_sigma[t] = inverse[t, t] * beta + out_Hw[t] * out_Hw[t]
    return beta


@kernel
def replace_inverse(inverse: FloatArray, Hw: FloatArray, beta: float, t: int) -> None:
    """Update W^-1 in place for the replacement of point t.

    Parameters
    ----------
    inverse : float64 (q, q)    symmetric; modified
    Hw : float64 (q,)           from `replacement_weights`; modified
    beta : float                from there
    t : int                     0 <= t < p, with a non-zero denominator

    Notes
    -----
    Source: after Powell 2004, equation 4.11. Twin: tests/kernels/naive.py::replace_inverse.
    """
    q = Hw.shape[0]
    alpha = inverse[t, t]
    tau = Hw[t]
    sigma = alpha * beta + tau * tau
    column = inverse[:, t].copy()
    Hw[t] -= 1.0  # now W^-1 w - e_t; signs below account for it
    a = alpha / sigma
    b = beta / sigma
    c = tau / sigma
    for i in range(q):
        left = a * Hw[i] - c * column[i]
        right = -b * column[i] - c * Hw[i]
        for j in range(i + 1):
            value = inverse[i, j] + left * Hw[j] + right * column[j]
            inverse[i, j] = value
            inverse[j, i] = value


@kernel
def append_inverse(inverse: FloatArray, Hw: FloatArray, beta: float, p: int, out_inverse: FloatArray) -> None:
    """Write the inverse for a set with one more point, which comes behind the p others.

    Parameters
    ----------
    inverse : float64 (q, q)                symmetric, q = p + 1 + n
    Hw : float64 (q,)                       from `replacement_weights`
    beta : float                            from there, not 0
    out_inverse : float64 (q + 1, q + 1)    overwritten; the new point has index p

    Notes
    -----
    Source: standard (inverse of a bordered matrix). Twin: tests/kernels/naive.py::append_inverse.
    """
    q = Hw.shape[0]
    for i in range(q):
        row = i if i < p else i + 1
        for j in range(i + 1):
            col = j if j < p else j + 1
            value = inverse[i, j] + Hw[i] * Hw[j] / beta
            out_inverse[row, col] = value
            out_inverse[col, row] = value
        value = -Hw[i] / beta
        out_inverse[row, p] = value
        out_inverse[p, row] = value
    out_inverse[p, p] = 1.0 / beta


@kernel
def model_values(c: FloatArray, g: FloatArray, H: FloatArray, s: FloatArray, out_values: FloatArray) -> None:
    """Write c_k + g_k . s + s . H_k s / 2 for all models k.

    Parameters
    ----------
    c : float64 (m,);  g : float64 (m, n);  H : float64 (m, n, n)
    s : float64 (n,)
    out_values : float64 (m,)   overwritten

    Notes
    -----
    Source: standard. Twin: tests/kernels/naive.py::model_values.
    """
    m, n = g.shape
    for k in range(m):
        total = c[k]
        for i in range(n):
            row = 0.0
            for j in range(n):
                row += H[k, i, j] * s[j]
            total += s[i] * (g[k, i] + 0.5 * row)
        out_values[k] = total


@kernel
def update_models(
    column: FloatArray, residual: FloatArray, S: FloatArray, c: FloatArray, g: FloatArray, H: FloatArray
) -> None:
    """Add residual_k times one Lagrange function to all models, in place.

    Parameters
    ----------
    column : float64 (p + 1 + n,)   column of W^-1 that belongs to the point with the residual
    residual : float64 (m,)         what the models miss there
    S : float64 (p, n)              points of the set, the new one included
    c, g, H : (m,), (m, n), (m, n, n)   modified

    Notes
    -----
    Source: after Powell 2004, section 3. Twin: tests/kernels/naive.py::update_models.
    """
    p, n = S.shape
    L = np.zeros((n, n))
    for i in range(p):
        weight = column[i]
        if weight != 0.0:
            for a in range(n):
                scaled = weight * S[i, a]
                for b in range(a + 1):
                    L[a, b] += scaled * S[i, b]
    for k in range(residual.shape[0]):
        r = residual[k]
        c[k] += r * column[p]
        for a in range(n):
            g[k, a] += r * column[p + 1 + a]
            for b in range(a + 1):
                value = H[k, a, b] + r * L[a, b]
                H[k, a, b] = value
                H[k, b, a] = value
