"""Least-squares models that rank points, and how far their ranking can be trusted.

After Hansen (2019), "A global surrogate assisted CMA-ES": linear, diagonal or full quadratic, as the points allow, the best ones
counting most. There a model is judged at the points it was fitted to. Here every point is predicted by a model of the others (Allen 1974,
the prediction sum of squares), since a fit to hardly more points than coefficients agrees with anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import FloatArray

TERMS_MAX = 160  # coefficients: beyond, a fit a round takes longer than it is worth
ENOUGH = 1.1  # points a coefficient
KEPT = 2  # points a coefficient of the largest model: older ones tell about another place
BEST_WEIGHT = 20.0  # of the best point, beside 1 of the worst
SINGULAR = 1e-10  # of the largest pivot


@dataclass(frozen=True)
class Ranking:
    """A model of the objective.

    Attributes
    ----------
    coefficients : float64 (d,)     of the first d features
    left_out : float64 (k,)         every fitted point's value, up to a constant, as predicted by a model of the others
    """

    coefficients: FloatArray
    left_out: FloatArray

    def values(self, U: FloatArray) -> FloatArray:
        """The model at points U (k, n), up to a constant."""
        out: FloatArray = features(U, self.coefficients.shape[0]) @ self.coefficients
        return out


def terms(n: int) -> tuple[int, ...]:
    """Coefficients of a linear, a diagonal quadratic and a quadratic model of n variables, in order, as far as they are not too many."""
    return tuple(d for d in (n + 1, 2 * n + 1, (n + 1) * (n + 2) // 2) if d <= TERMS_MAX)


def points_max(n: int) -> int:
    """Number of points that a model is fitted to at most; 0 where there are too many variables."""
    return KEPT * max(terms(n), default=0)


def features(U: FloatArray, d: int) -> FloatArray:
    """1, the variables, their squares, their products: the first d of them at every point U (k, n)."""
    k, n = U.shape
    parts = [np.ones((k, 1)), U]
    if d > n + 1:
        parts.append(U * U)
    if d > 2 * n + 1:
        i, j = np.triu_indices(n, 1)
        parts.append(U[:, i] * U[:, j])
    return np.hstack(parts)


def fitted(U: FloatArray, F: FloatArray) -> Ranking | None:
    """The largest model that the points U (k, n) with finite values F (k,) determine; None: none.

    The coordinates are to be of order one.
    """
    k, n = U.shape
    d = max((d for d in terms(n) if k >= ENOUGH * d), default=0)
    if d == 0:
        return None
    weights = np.empty(k)
    weights[np.argsort(F, kind="stable")] = np.linspace(BEST_WEIGHT, 1.0, k)
    A = features(U, d)
    unit = np.abs(A).max(axis=0)
    unit[unit == 0.0] = 1.0
    Q, R = np.linalg.qr(A / unit * weights[:, None])
    pivots = np.abs(np.diag(R))
    if not pivots.min() > SINGULAR * pivots.max():
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        y = F - F.min()
        c = np.linalg.solve(R, Q.T @ (weights * y)) / unit
        # A residual divided by what is left of its weight in the fit is the error of a model without the point.
        left_out = y - (y - A @ c) / np.maximum(1.0 - (Q * Q).sum(axis=1), 1e-9)
    return Ranking(c, left_out) if np.isfinite(left_out).all() else None


def kendall(a: FloatArray, b: FloatArray) -> float:
    """Rank correlation of two samples (k,): pairs in the same order minus pairs in the opposite one, as a share of all pairs."""
    k = a.shape[0]
    if k < 2:
        return 0.0
    same = np.sign(a[:, None] - a) * np.sign(b[:, None] - b)
    return float(np.sum(same)) / float(k * (k - 1))
