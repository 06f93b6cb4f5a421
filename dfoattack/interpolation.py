"""Quadratic models of several functions on one interpolation set, as a value that changes point by point.

The models take the functions' values at the p points of the set, and among all such quadratics they are those whose Hessians differ
least (Frobenius norm) from the ones before. After Powell (2004, 2006: NEWUOA); one inverse serves the objective and every constraint.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.kernels import interpolation as kernels

WORST_INVERSE = 1e14  # largest entry of an inverse that is still believed, points being at distances of order one
FAR = 6  # power of the distance with which far points are preferred for replacement


@dataclass(frozen=True)
class Interpolation:
    """An interpolation set with its models Q_k(s) = c_k + g_k . s + s . H_k s / 2, x = base + basis s.

    Attributes
    ----------
    rows : int64 (p,)               history rows of the points, p >= n + 1
    S : float64 (p, n)              the points
    base : float64 (n,)             user units
    basis, back : float64 (n, n)    x = base + basis s, and the inverse of basis; they make the distances of order one
    inverse : float64 (q, q)        of the interpolation system, q = p + 1 + n
    offset : float64 (m,)           subtracted from all values
    c, g, H : (m,), (m, n), (m, n, n)
    """

    rows: IntArray
    S: FloatArray
    base: FloatArray
    basis: FloatArray
    back: FloatArray
    inverse: FloatArray
    offset: FloatArray
    c: FloatArray
    g: FloatArray
    H: FloatArray

    @property
    def size(self) -> int:
        return int(self.rows.shape[0])

    def place(self, X: FloatArray) -> FloatArray:
        """Model coordinates of points x, (..., n)."""
        s: FloatArray = (X - self.base) @ self.back.T
        return s

    def point(self, s: FloatArray) -> FloatArray:
        """The point x (n,) with model coordinates s (n,)."""
        x: FloatArray = self.base + self.basis @ s
        return x

    def values(self, s: FloatArray) -> FloatArray:
        """All models at s (n,), offset removed, (m,)."""
        out = np.empty(self.c.shape[0])
        kernels.model_values(self.c, self.g, self.H, s, out)
        return out

    def weights(self, s: FloatArray) -> tuple[FloatArray, FloatArray, float]:
        """(W^-1 w, replacement denominators (p,), beta) of a new point s (n,)."""
        p = self.size
        w, Hw, sigma = np.empty(self.inverse.shape[0]), np.empty(self.inverse.shape[0]), np.empty(p)
        kernels.system_row(self.S, s, w)
        beta = kernels.replacement_weights(self.inverse, w, float(s @ s), p, Hw, sigma)
        return Hw, sigma, beta

    def lagrange(self, t: int, s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Gradient at s (n,) and Hessian of the Lagrange function of point t."""
        p, column = self.size, self.inverse[:, t]
        H = (self.S.T * column[:p]) @ self.S
        g: FloatArray = column[p + 1 :] + H @ s
        return g, H


def system_inverse(S: FloatArray) -> FloatArray | None:
    """Inverse of the interpolation system of the points S (p, n), or None where it cannot be believed."""
    p, n = S.shape
    W = np.zeros((p + 1 + n, p + 1 + n))
    W[:p, :p] = 0.5 * (S @ S.T) ** 2
    W[:p, p] = W[p, :p] = 1.0
    W[:p, p + 1 :] = S
    W[p + 1 :, :p] = S.T
    try:
        inverse = np.linalg.inv(W)
    except np.linalg.LinAlgError:
        return None
    inverse = 0.5 * (inverse + inverse.T)
    # A bound that a NaN fails too.
    return inverse if float(np.abs(inverse).max()) < WORST_INVERSE else None


def interpolate(
    rows: IntArray,
    S: FloatArray,
    values: FloatArray,
    base: FloatArray,
    basis: FloatArray,
    back: FloatArray,
    H: FloatArray | None = None,
) -> Interpolation | None:
    """Models through values (p, m) at the points S (p, n), Hessians nearest to H (m, n, n) (None: to zero); None if badly placed."""
    inverse = system_inverse(S)
    if inverse is None:
        return None
    # One memory layout, that of a loaded state: matrix products of another one may differ in the last bit.
    S, basis, back = (np.ascontiguousarray(part) for part in (S, basis, back))
    (p, n), m = S.shape, values.shape[1]
    prior = np.zeros((m, n, n)) if H is None else H
    offset = values[0].copy()
    missing = values - offset - 0.5 * np.einsum("ki,mij,kj->km", S, prior, S, optimize=True)
    solution = inverse[:, :p] @ missing
    change = np.einsum("km,ki,kj->mij", solution[:p], S, S, optimize=True)
    H = prior + 0.5 * (change + change.swapaxes(1, 2))
    parts = (S, base, basis, back, inverse, offset, solution[p], solution[p + 1 :].T, H)
    # In C order, as a saved state comes back: products of other layouts may differ in the last bit.
    return Interpolation(rows, *(np.array(part, order="C") for part in parts))


def with_point(found: Interpolation, row: int, s: FloatArray, values: FloatArray, t: int) -> Interpolation:
    """The set with one more point: in the place of point t, or behind the others for t = p."""
    Hw, _, beta = found.weights(s)
    p = found.size
    c, g, H = found.c.copy(), found.g.copy(), found.H.copy()
    residual = values - found.offset - found.values(s)
    if t == p:
        inverse = np.empty((found.inverse.shape[0] + 1,) * 2)
        kernels.append_inverse(found.inverse, Hw, beta, p, inverse)
        rows, S = np.append(found.rows, row), np.vstack([found.S, s])
    else:
        inverse, rows, S = found.inverse.copy(), found.rows.copy(), found.S.copy()
        kernels.replace_inverse(inverse, Hw, beta, t)
        rows[t], S[t] = row, s
    kernels.update_models(np.ascontiguousarray(inverse[:, t]), residual, S, c, g, H)
    return evolve(found, rows=rows, S=S, inverse=inverse, c=c, g=g, H=H)


def rebased(
    found: Interpolation, s: FloatArray, stretch: FloatArray, shrink: FloatArray, values: FloatArray
) -> Interpolation | None:
    """The same set seen from s (n,) with basis `basis stretch`, `shrink` the inverse of stretch (n, n).

    values (p, m) at its points correct what round-off has lost; None where the points are badly placed in the new basis.
    """
    S = (found.S - s) @ shrink.T
    H = stretch.T @ found.H @ stretch
    H = 0.5 * (H + H.swapaxes(1, 2))
    return interpolate(found.rows, S, values, found.point(s), found.basis @ stretch, shrink @ found.back, H)


def leaving(sigma: FloatArray, distance: FloatArray, near: float, keep: int) -> tuple[int, float]:
    """Which point a new one replaces: (t, score); a score below 1 says that the set is better without the new one.

    Denominators weighted by the distance (p,) of the points from the centre in units of `near`, to the power 6; `keep` stays.
    After Powell 2006, section 7.
    """
    weighted = np.abs(sigma) * np.maximum(1.0, (distance / near) ** FAR)
    if keep >= 0:
        weighted[keep] = -1.0
    t = int(np.argmax(weighted))
    return t, float(weighted[t])
