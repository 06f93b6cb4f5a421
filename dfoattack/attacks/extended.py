"""What operators see where there is more than one-sided constraints c <= tol: two-sided ones, and known linear ones.

Operators know columns c <= tol only. An equality |c| <= tol becomes two of them, c and -c; a linear constraint becomes a column whose
values and gradients cost nothing. This view hands them out and translates what is asked about them.
"""

from __future__ import annotations

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.attacks.base import Target, View
from dfoattack.attacks.wrapped import WrappedView
from dfoattack.barrier import Columns
from dfoattack.polyhedron import Polyhedron

_NEAR = 1e-6  # relative distance from the polyhedron up to which a point stands for its projection
_ROOM = 1e-9  # width of a linear equality as two columns, relative to its terms


class ExtendedView(WrappedView):
    """A view with the columns (c, -c of the equalities, A x - b), see `View` for its methods.

    Parameters
    ----------
    view : View
    equality : int64 (e,)             two-sided columns of the p that `view` has
    polyhedron : Polyhedron or None   known linear constraints; a point outside has no value
    """

    def __init__(self, view: View, equality: IntArray, polyhedron: Polyhedron | None) -> None:
        super().__init__(view)
        self._equality, self._polyhedron = equality, polyhedron
        n = view.n
        self._A = np.empty((0, n)) if polyhedron is None else np.vstack([polyhedron.A, polyhedron.E, -polyhedron.E])
        self._b = np.empty(0) if polyhedron is None else np.concatenate([polyhedron.b, polyhedron.d, -polyhedron.d])
        self._at, self._rows = b"", dict[int, FloatArray]()  # the last point differentiated, and its rows

    @property
    def p(self) -> int:
        return int(self._view.p + self._equality.shape[0] + self._b.shape[0])

    def outputs(self, Z: FloatArray) -> FloatArray:
        Z, inside = self._admitted(Z)
        if inside.all():
            return self._view.outputs(Z)
        if not inside.any():
            return np.full((Z.shape[0], 1), np.nan)  # of no width anybody relies on: rows of NaN are failed points
        found = self._view.outputs(Z[inside])
        Y = np.full((Z.shape[0], found.shape[1]), np.nan)
        Y[inside] = found
        return Y

    def values(self, Z: FloatArray, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
        Z, _ = self._admitted(Z)
        p = self._view.p
        F, C = np.full(Z.shape[0], np.inf), np.full((Z.shape[0], p), np.inf)
        known = np.isfinite(Y).all(axis=1)
        if known.any():
            F[known], C[known] = self._view.values(Z[known], Y[known])
        return F, self.columns(Z, C)

    def columns(self, Z: FloatArray, C: FloatArray) -> FloatArray:
        """C (k, p) of the points Z (k, n) with the further columns; failed rows stay without finite values."""
        mirrored = np.where(np.isinf(C[:, self._equality]), np.inf, -C[:, self._equality])
        linear = np.array([self._A @ z - self._b for z in Z]).reshape(Z.shape[0], self._b.shape[0])
        return np.hstack([C, mirrored, linear])

    def grad(self, Z: FloatArray) -> FloatArray:
        return self._view.grad(self._admitted(Z)[0])

    def vjp_c(self, Z: FloatArray, W: FloatArray) -> FloatArray:
        inner, linear = self._split(W)
        gradient = np.zeros(Z.shape) if not inner.any() else self._view.vjp_c(self._admitted(Z)[0], inner)
        return gradient + linear @ self._A

    def grad_mix(self, Z: FloatArray, wf: FloatArray, W: FloatArray) -> FloatArray:
        inner, linear = self._split(W)
        return self._view.grad_mix(self._admitted(Z)[0], wf, inner) + linear @ self._A

    def constraint_jacobian(self, z: FloatArray, rows: IntArray) -> FloatArray:
        p, e = self._view.p, self._equality.shape[0]
        rows = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        J = np.empty((rows.shape[0], self.n))
        linear, mirrored = rows >= p + e, (rows >= p) & (rows < p + e)
        J[linear] = self._A[rows[linear] - p - e]
        inner = rows.copy()
        inner[mirrored] = self._equality[rows[mirrored] - p]
        # The two sides of an equality are one row of the Jacobian, together or one after the other.
        if z.tobytes() != self._at:
            self._at, self._rows = z.tobytes(), {}
        asked = np.array([j for j in np.unique(inner[~linear]) if int(j) not in self._rows], dtype=np.int64)
        if asked.shape[0]:
            found = self._view.constraint_jacobian(self._admitted(z[None, :])[0][0], asked)
            self._rows.update(zip(asked.tolist(), found, strict=True))
        for i in np.flatnonzero(~linear):
            J[i] = -self._rows[int(inner[i])] if mirrored[i] else self._rows[int(inner[i])]
        return J

    def _admitted(self, Z: FloatArray) -> tuple[FloatArray, BoolArray]:
        """Z (k, n) with points that are outside by little more than round-off projected; which of them are inside now."""
        polyhedron = self._polyhedron
        if polyhedron is None:
            return Z, np.ones(Z.shape[0], dtype=bool)
        inside = polyhedron.inside(Z)
        if inside.all():
            return Z, inside
        Z = Z.copy()
        for i in np.flatnonzero(~inside):
            scale = np.maximum(1.0, np.abs(Z[i]))
            y = polyhedron.projected(Z[i], scale)
            if y is not None and np.max(np.abs(y - Z[i]) / scale) <= _NEAR:
                Z[i], inside[i] = y, True
        return Z, inside

    def _split(self, W: FloatArray) -> tuple[FloatArray, FloatArray]:
        p, e = self._view.p, self._equality.shape[0]
        inner = W[:, :p].copy()
        inner[:, self._equality] -= W[:, p : p + e]
        return inner, W[:, p + e :]


def extended(target: Target, view: View, columns: Columns, polyhedron: Polyhedron | None) -> tuple[Target, View]:
    """Target and view with one-sided columns only; themselves where they have no others."""
    equality = np.flatnonzero(columns.equality)
    if not equality.shape[0] and polyhedron is None:
        return target, view
    wider = ExtendedView(view, equality, polyhedron)
    more = wider.p - target.tol.shape[0] - equality.shape[0]
    new = evolve(
        target,
        C=wider.columns(target.X, target.C),
        # A linear equality is met to round-off: as a column it needs room for that.
        tol=np.concatenate([target.tol, target.tol[equality], _room(target.X, polyhedron, more)]),
        scale=np.concatenate([target.scale, target.scale[equality], np.ones(more)]),
        extreme=np.concatenate([target.extreme, target.extreme[equality], np.ones(more, dtype=bool)]),
    )
    return new, wider


def softened(target: Target, view: View) -> Target:
    """The target with what the view says at its centres, for views of stand-ins, and scales that fit; a pass where the outputs are not known."""
    F, C = view.values(target.X, view.outputs(target.X))
    size = np.max(np.where(np.isfinite(C), np.abs(C), 0.0), axis=0)
    return evolve(target, F=F, C=C, scale=np.maximum(target.scale, size))


def _room(X: FloatArray, polyhedron: Polyhedron | None, count: int) -> FloatArray:
    room = np.zeros(count)
    if polyhedron is not None and polyhedron.E.shape[0]:
        size = _ROOM * float(np.max(np.abs(polyhedron.E) @ np.abs(X[0]) + np.abs(polyhedron.d)))
        room[polyhedron.b.shape[0] :] = size
    return room
