"""Small strictly convex quadratic programmes with bounds and linear constraints, by least-distance programming.

minimise g . d + d . B d / 2   subject to   A d <= b,  lo <= d <= hi

After Lawson & Hanson 1974, chapter 23: with B = L L^T the programme is the least-distance problem min |u| subject to G u >= h, whose dual is a
non-negative least-squares problem. That finds the active set; the step is then computed again from the active set alone, to full accuracy.
An inconsistent programme is relaxed as in Schittkowski 1983: one extra variable scales the violated right-hand sides back, at a price.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solve_triangular
from scipy.optimize import nnls

from dfoattack._threads import single_thread
from dfoattack._typing import FloatArray

_PRICE = 1e3  # of the relaxation, relative to the objective's own scale; raised twice by 1e3
_RELAXED_MAX = 0.9  # a larger share of violation left is worth another try at a higher price
_CONSISTENT = 1e-10  # a residual of the dual below this says that no point satisfies the constraints


@dataclass(frozen=True, eq=False)
class QpSolution:
    """Solution of one programme.

    Attributes
    ----------
    d : (n,)                the step, inside the bounds
    multipliers : (q,)      >= 0, of the rows of A
    relaxed : float         0: all rows hold; in (0, 1]: share of the violation at d = 0 that had to be left
    """

    d: FloatArray
    multipliers: FloatArray
    relaxed: float


@np.errstate(over="ignore", invalid="ignore")
def solve_qp(
    B: FloatArray, g: FloatArray, A: FloatArray, b: FloatArray, lo: FloatArray, hi: FloatArray
) -> QpSolution | None:
    """Solve the programme of the module's head; None if the numbers do not allow it (B not positive definite, overflow).

    Parameters
    ----------
    B : (n, n)          symmetric positive definite
    g : (n,)
    A, b : (q, n), (q,) linear rows
    lo, hi : (n,)       lo <= 0 <= hi, +-inf legal
    """
    with single_thread():
        return _relaxing(B, g, A, b, lo, hi)


def _relaxing(
    B: FloatArray, g: FloatArray, A: FloatArray, b: FloatArray, lo: FloatArray, hi: FloatArray
) -> QpSolution | None:
    """The programme as it is, or with rows relaxed as little as possible where it is inconsistent."""
    exact = _solve(B, g, A, b, lo, hi)
    if exact is not None:
        return QpSolution(exact[0], exact[1], 0.0)
    short = np.maximum(-b, 0.0)  # what d = 0 violates
    if not np.any(short > 0.0):
        return None
    # One more variable, the share of the violation that is left: d = 0 with share 1 satisfies the relaxed rows.
    n = g.size
    scale = max(float(np.linalg.norm(g)), float(np.trace(B)) / n, 1e-12)
    relaxed_rows = np.column_stack([A, -short])
    best: QpSolution | None = None
    for price in (_PRICE * scale, 1e3 * _PRICE * scale, 1e6 * _PRICE * scale):
        B_e = np.zeros((n + 1, n + 1))
        B_e[:n, :n] = B
        B_e[n, n] = price
        found = _solve(B_e, np.append(g, 0.0), relaxed_rows, b, np.append(lo, 0.0), np.append(hi, 1.0))
        if found is not None:
            best = QpSolution(found[0][:n], found[1], float(found[0][n]))
            if best.relaxed < _RELAXED_MAX:
                break
    return best


def _solve(
    B: FloatArray, g: FloatArray, A: FloatArray, b: FloatArray, lo: FloatArray, hi: FloatArray
) -> tuple[FloatArray, FloatArray] | None:
    """The programme without relaxation; None if it is inconsistent."""
    n, q = g.size, b.size
    if not all(np.all(np.isfinite(numbers)) for numbers in (B, g, A, b)):
        return None
    try:
        L = np.linalg.cholesky(B)
    except np.linalg.LinAlgError:
        return None
    free = -solve_triangular(L, g, lower=True)  # u of the unconstrained minimiser
    d_free = solve_triangular(L.T, free, lower=False)
    below, above = np.isfinite(lo), np.isfinite(hi)
    unit = np.eye(n)
    rows = np.concatenate([A, -unit[below], unit[above]])
    limit = np.concatenate([b, -lo[below], hi[above]])
    short = rows @ d_free - limit
    if not np.all(np.isfinite(short)):
        return None
    if not np.any(short > 0.0):
        return np.clip(d_free, lo, hi), np.zeros(q)
    # Rows in the metric of B, of unit length: G v >= h for d = d_free + L^-T v.
    G = -solve_triangular(L, rows.T, lower=True).T
    length = np.linalg.norm(G, axis=1)
    if np.any((length <= 1e-14) & (short > 1e-14)):
        return None
    length = np.where(length > 1e-14, length, 1.0)
    G /= length[:, None]
    h = short / length
    y = least_distance(G, h)
    if y is None:
        return None
    active = np.flatnonzero(y > 0.0)
    v, y_active = _on_active(G[active], h[active])
    if np.any(y_active < 0.0) or np.any(G @ v < h - 1e-9 * (1.0 + np.abs(h))):
        v, y_active = y[active] @ G[active], y[active]
    multipliers = np.zeros(rows.shape[0])
    multipliers[active] = y_active / length[active]
    d = np.clip(d_free + solve_triangular(L.T, v, lower=False), lo, hi)
    return (d, multipliers[:q]) if np.all(np.isfinite(d)) else None


def least_distance(G: FloatArray, h: FloatArray) -> FloatArray | None:
    """Multipliers y >= 0 of min |v|^2 / 2 subject to G v >= h (v = G^T y); None if no v satisfies the rows."""
    size = float(np.max(h))  # > 0: the answer scales with h, and the residual test wants h of order one
    E = np.vstack([G.T, h / size])
    target = np.zeros(E.shape[0])
    target[-1] = 1.0
    try:
        y, residual = nnls(E, target, maxiter=10 * E.shape[1] + 100)
    except RuntimeError:
        return None
    if residual <= _CONSISTENT:
        return None
    rest = 1.0 - float(E[-1] @ y)
    if rest <= _CONSISTENT**2:
        return None
    return np.asarray(y * (size / rest), dtype=np.float64)


def _on_active(G: FloatArray, h: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Least v with G v = h for independent rows, and its multipliers."""
    Q, R = np.linalg.qr(G.T)
    diagonal = np.abs(np.diag(R))
    if R.shape[0] != R.shape[1] or np.min(diagonal, initial=1.0) <= 1e-12:
        return np.zeros(G.shape[1]), np.full(h.size, -1.0)
    half = solve_triangular(R.T, h, lower=True)
    v: FloatArray = Q @ half
    y: FloatArray = solve_triangular(R, half, lower=False)
    return v, y
