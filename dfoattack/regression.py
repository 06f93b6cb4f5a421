"""Quadratic models of several functions through many points at once, by least squares, the nearest points counting most.

Where the points determine less than a quadratic, its Hessian stays as near as possible to a given one (Frobenius norm), as in Powell (2004),
"Least Frobenius norm updating of quadratic models that satisfy interpolation conditions".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import FloatArray

CURVATURE_WEIGHT = (
    1e-3  # of the Hessian's entries in the norm that decides where the points do not: gradients are free, nearly
)
DIMENSION_MAX = 30  # beyond, the coefficients of a quadratic are too many for a least-squares problem a round


@dataclass(frozen=True)
class Quadratics:
    """Models Q_k(s) = c_k + g_k . s + s . H_k s / 2.

    Attributes
    ----------
    c, g, H : (m,), (m, n), (m, n, n)
    """

    c: FloatArray
    g: FloatArray
    H: FloatArray

    def values(self, S: FloatArray) -> FloatArray:
        """All models at the points S (k, n), (k, m)."""
        values: FloatArray = self.c + S @ self.g.T + 0.5 * np.einsum("ki,mij,kj->km", S, self.H, S, optimize=True)
        return values


def coefficients(n: int) -> int:
    """Number of coefficients of a quadratic in n variables, (n + 1)(n + 2) / 2."""
    return (n + 1) * (n + 2) // 2


def quadratic_fit(
    S: FloatArray, values: FloatArray, weights: FloatArray, prior: FloatArray | None = None
) -> Quadratics:
    """Models with the first value at the first point, which is the origin, and a least-squares fit to the others.

    Parameters
    ----------
    S : float64 (p, n)             points, S[0] = 0, p >= 2; distances of order one
    values : float64 (p, m)        finite
    weights : float64 (p,)         > 0, of the residuals
    prior : float64 (m, n, n)      Hessians to be changed as little as possible; None: zero

    Returns
    -------
    Quadratics                     m models; not finite where LAPACK gives up
    """
    n, m = S.shape[1], values.shape[1]
    H0 = np.zeros((m, n, n)) if prior is None else prior
    c = values[0].copy()
    rest = values[1:] - c - 0.5 * np.einsum("ki,mij,kj->km", S[1:], H0, S[1:], optimize=True)
    P, w = S[1:], weights[1:, None]
    if n > DIMENSION_MAX:
        return _least_change(P, rest, w, c, H0)
    rows, columns = np.triu_indices(n)
    # An entry off the diagonal stands for two of the Frobenius norm.
    half = np.where(rows == columns, 0.5, np.sqrt(0.5)) * CURVATURE_WEIGHT
    A = np.concatenate([P, P[:, rows] * P[:, columns] * half], axis=1)
    try:
        z = np.linalg.lstsq(A * w, rest * w, rcond=1e-14)[0]
    except np.linalg.LinAlgError:
        z = np.full((A.shape[1], m), np.nan)
    H = np.zeros((m, n, n))
    H[:, rows, columns] = z[n:].T * half * np.where(rows == columns, 2.0, 1.0)
    H = H + np.triu(H, 1).swapaxes(1, 2)
    return Quadratics(c, z[:n].T.copy(), H0 + H)


def _least_change(P: FloatArray, rest: FloatArray, w: FloatArray, c: FloatArray, H0: FloatArray) -> Quadratics:
    """The same in as many unknowns as there are points: least change of the Hessians, residuals nearly zero."""
    (p, n), m = P.shape, rest.shape[1]
    K = np.zeros((p + n, p + n))
    K[:p, :p] = 0.5 * (P @ P.T) ** 2
    K[np.arange(p), np.arange(p)] += 1e-10 * max(float(np.trace(K)) / p, 1e-300) / w[:, 0] ** 2
    K[:p, p:], K[p:, :p] = P, P.T
    try:
        z = np.linalg.solve(K, np.vstack([rest, np.zeros((n, m))]))
    except np.linalg.LinAlgError:
        z = np.full((p + n, m), np.nan)
    change = np.einsum("km,ki,kj->mij", z[:p], P, P, optimize=True)
    return Quadratics(c, z[p:].T.copy(), H0 + 0.5 * (change + change.swapaxes(1, 2)))
