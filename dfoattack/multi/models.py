"""Quadratic models of several functions at once from scattered points.

With enough points a least-squares regression, otherwise the interpolant whose Hessian has the smallest Frobenius norm, after Conn,
Scheinberg & Vicente (2009), "Introduction to Derivative-Free Optimization", chapters 4 and 5. One factorisation serves the objective
and all constraints.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, lstsq

from dfoattack._typing import FloatArray

_RIDGE = 1e-13  # of the mean squared column of the basis
_RESIDUAL_MAX = (
    1e-6  # of an interpolation, relative to the range of the values; above that the points were too degenerate
)


@dataclass(frozen=True)
class QuadraticModels:
    """m models c + g.s + s.H s / 2 in the scaled displacement s.

    Attributes
    ----------
    c : float64 (m,)         values at s = 0
    g : float64 (m, n)       gradients
    H : float64 (m, n, n)    symmetric Hessians
    """

    c: FloatArray
    g: FloatArray
    H: FloatArray

    def value(self, s: FloatArray) -> FloatArray:
        """All models at one s (n,), (m,)."""
        values: FloatArray = self.c + self.g @ s + 0.5 * (self.H @ s) @ s
        return values

    def gradient(self, s: FloatArray) -> FloatArray:
        """All gradients at one s (n,), (m, n)."""
        gradients: FloatArray = self.g + self.H @ s
        return gradients


def quadratic_models(S: FloatArray, values: FloatArray, weights: FloatArray) -> QuadraticModels | None:
    """Models of m functions from p points, or None where the points do not determine even their linear parts.

    Parameters
    ----------
    S : float64 (p, n)         scaled displacements of the points, of order one
    values : float64 (p, m)    finite function values
    weights : float64 (p,)     > 0, of the points in a regression; an interpolant does not need them

    Returns
    -------
    QuadraticModels or None    regression for p >= (n + 1)(n + 2) / 2, minimum Frobenius norm for n + 1 <= p below that
    """
    p, n = S.shape
    if p < n + 1:
        return None
    if p >= (n + 1) * (n + 2) // 2:
        return _regression(S, values, weights)
    return _minimum_norm(S, values)


def _regression(S: FloatArray, values: FloatArray, weights: FloatArray) -> QuadraticModels | None:
    p, n = S.shape
    i, j = np.triu_indices(n, 1)
    basis = weights[:, None] * np.hstack([np.ones((p, 1)), S, 0.5 * S**2, S[:, i] * S[:, j]])
    values = weights[:, None] * values
    # Normal equations: a fifth of the time of an orthogonal factorisation, and the ridge makes the lost digits harmless.
    gram = basis.T @ basis
    gram.flat[:: gram.shape[0] + 1] += _RIDGE * np.trace(gram) / gram.shape[0]
    try:
        factor = cho_factor(gram, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return None
    right = basis.T @ values
    solution = cho_solve(factor, right, check_finite=False)
    solution += cho_solve(factor, basis.T @ (values - basis @ solution), check_finite=False)
    m = values.shape[1]
    H = np.zeros((m, n, n))
    diagonal = np.arange(n)
    H[:, diagonal, diagonal] = solution[n + 1 : 2 * n + 1].T
    H[:, i, j] = H[:, j, i] = solution[2 * n + 1 :].T
    return QuadraticModels(solution[0].copy(), solution[1 : n + 1].T.copy(), H)


def _minimum_norm(S: FloatArray, values: FloatArray) -> QuadraticModels | None:
    p, n = S.shape
    m = values.shape[1]
    products = S @ S.T
    system = np.zeros((p + n + 1, p + n + 1))
    system[:p, :p] = 0.5 * products**2
    system[:p, p] = system[p, :p] = 1.0
    system[:p, p + 1 :] = S
    system[p + 1 :, :p] = S.T
    right = np.vstack([values, np.zeros((n + 1, m))])
    # Points of one poll are often nearly dependent in the squares: a truncated solution is still the right model there.
    try:
        solution = lstsq(system, right, cond=1e-14, lapack_driver="gelsy", check_finite=False)[0]
    except (LinAlgError, ValueError):
        return None
    if not np.isfinite(solution).all():
        return None
    weights = solution[:p]
    H = np.einsum("km,ki,kj->mij", weights, S, S)
    models = QuadraticModels(solution[p].copy(), solution[p + 1 :].T.copy(), H)
    fitted = models.c + S @ models.g.T + 0.5 * np.einsum("ki,mij,kj->km", S, H, S)
    spread = np.maximum(np.ptp(values, axis=0), 1e-300)
    return models if np.all(np.abs(fitted - values) <= _RESIDUAL_MAX * spread) else None
