"""The coordinates of the model search: which variables it moves, how it sees points, what bounds its steps."""

from __future__ import annotations

import numpy as np
from scipy.linalg import qr

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack.interpolation import Interpolation
from dfoattack.state import Setup, SolverState

__all__ = ["Frame"]

AT_BOUND = 1e-2  # of the scale
SHORT = 1e-3  # length below which a point says too little about its direction
ROOM = 0.1  # share of a step inside the bounds below which it says too little
FLAT = 1e-10  # of the largest singular value: a direction in which the known linear equalities leave no room


class Frame:
    """The n variables that move, periodic ones as seen from the centre, and what limits them.

    Categorical variables never move, nor do those that are `held`: granular ones whose steps are longer than those looked at.

    Attributes
    ----------
    row : int                       history row of the centre
    centre : float64 (n_free,)      the centre as a free point
    moving, resting : int64         which of the n_free variables move, (n,), and which do not
    x, scale, lower, upper : (n,)   centre, metric, bounds
    A, b, E : (q, n), (q,), (e, n)  known linear inequalities A x <= b and equalities E x = const
    span : float64 (n, k) or None   orthonormal basis, in units of the scale, of the steps that are looked at; None: all
    """

    def __init__(
        self,
        setup: Setup,
        state: SolverState,
        row: int,
        span: FloatArray | None = None,
        held: BoolArray | None = None,
    ) -> None:
        assert state.mesh is not None
        geometry = setup.geometry
        at = geometry.moving if held is None else geometry.moving[~held[geometry.moving]]
        self.geometry, self.moving, self.row = geometry, at, row
        self.centre = state.history.X[row]
        self.lower, self.upper = geometry.around(self.centre)
        self.x, self.scale, self.n = self.centre, state.mesh.scale, setup.n
        self.resting = np.setdiff1d(np.arange(setup.n), at)
        if self.resting.shape[0]:
            self.n, self.x, self.scale = int(at.shape[0]), self.x[at], self.scale[at]
            self.lower, self.upper = self.lower[at], self.upper[at]
        none = np.empty((0, self.n))
        self.A, self.b, self.E = none, np.empty(0), none
        self.span: FloatArray | None = span
        if setup.polyhedron is not None:
            self.A, self.b, self.E = (
                setup.polyhedron.A[:, self.moving],
                setup.polyhedron.b.copy(),
                setup.polyhedron.E[:, self.moving],
            )
            self.b -= setup.polyhedron.A[:, self.resting] @ self.centre[self.resting]
            if self.E.shape[0]:
                _, sizes, right = np.linalg.svd(self.E * self.scale)
                rank = int(np.count_nonzero(sizes > FLAT * sizes[0]))
                allowed = np.ascontiguousarray(right[rank:].T)
                self.span = allowed if span is None else np.linalg.qr(allowed @ (allowed.T @ span))[0]

    @property
    def k(self) -> int:
        """Dimension of the steps."""
        return self.n if self.span is None else int(self.span.shape[1])

    def subspace(self, directions: list[FloatArray], rng: np.random.Generator, k: int) -> FloatArray:
        """Orthonormal basis (n, k), in units of the scale, of a subspace: directions D (n,) worth keeping, then random ones.

        Variables at a bound stay there, or hardly any step would be left.
        """
        D = np.column_stack([*(d / self.scale for d in directions), rng.standard_normal((self.n, k - len(directions)))])
        free = np.minimum(self.upper - self.x, self.x - self.lower) > AT_BOUND * self.scale
        if np.count_nonzero(free) <= k:
            free[:] = True
        D[~free] = 0.0
        basis: FloatArray = np.linalg.qr(D)[0]
        basis[~free] = 0.0  # round-off would count as a step against the bound
        return np.ascontiguousarray(basis)

    def basis(self, radius: float) -> tuple[FloatArray, FloatArray]:
        """(n, k) basis of the steps with lengths of `radius` in units of the scale, and its left inverse (k, n)."""
        unit = self.scale * radius
        if self.span is None:
            return np.diag(unit), np.diag(1.0 / unit)
        return unit[:, None] * self.span, self.span.T / unit

    def seen(self, X: FloatArray) -> FloatArray:
        """Free points X (..., n_free) in these coordinates."""
        if self.geometry.plain:
            return X[..., self.moving] if self.resting.shape[0] else X
        seen: FloatArray = self.x + self.geometry.displacement(self.centre, X)[..., self.moving]
        return seen

    def snapped(self, X: FloatArray) -> FloatArray:
        """Points of these coordinates (j, n) as free points inside the box and on the lattice."""
        if self.resting.shape[0]:
            full = np.repeat(self.centre[None, :], X.shape[0], axis=0)
            full[:, self.moving] = X
            X = full
        return self.geometry.snapped(X)

    def beside(self, X: FloatArray) -> BoolArray:
        """Which free points X (j, n_free) differ from the centre in moving variables only, (j,)."""
        beside: BoolArray = np.all(X[:, self.resting] == self.centre[self.resting], axis=1)
        return beside

    def distances(self, X: FloatArray) -> FloatArray:
        """Distances of free points X (j, n_free) from the centre in units of the scale, (j,)."""
        D = (self.seen(X) - self.x) / self.scale
        distance: FloatArray = np.sqrt((D * D).sum(axis=1))
        return distance

    def bounds(self, found: Interpolation, s: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bounds of a step from s in model units where the basis is diagonal; never inconsistent with s."""
        size = np.diag(found.basis)
        lower = np.minimum((self.lower - found.base) / size - s, 0.0)
        upper = np.maximum((self.upper - found.base) / size - s, 0.0)
        return lower, upper

    def walls(self, found: Interpolation, s: FloatArray, radius: float, bounds: bool) -> tuple[FloatArray, FloatArray]:
        """What limits a step d from s within reach, as rows A d <= b in model units, scaled to changes of order one in the ball.

        Known linear inequalities, and the bounds if `bounds`.
        """
        x = found.point(s)
        rows, room = [self.A], [self.b - self.A @ x]
        if bounds:
            unit = np.eye(self.n)
            rows += [unit, -unit]
            room += [self.upper - x, x - self.lower]
        A, b = np.vstack(rows) @ found.basis, np.maximum(np.concatenate(room), 0.0)
        size = np.sqrt((A * A).sum(axis=1)) * radius
        near = (b < size) & (size > 0.0)
        return A[near] / size[near, None], b[near] / size[near]

    def inside(self, x: FloatArray) -> bool:
        """Whether x (n,) meets the bounds and the known linear inequalities."""
        met = np.all(x >= self.lower) and np.all(x <= self.upper)
        return bool(met and np.all(self.A @ x <= self.b))

    def independent(self, S: FloatArray, threshold: float) -> tuple[list[int], FloatArray]:
        """Indices of rows of S (p, k), in order, that are well independent, and an orthonormal basis (j, k) of their span."""
        chosen: list[int] = []
        basis = np.empty((0, self.k))
        for i, s in enumerate(S):
            if len(chosen) == self.k:
                break
            rest = s - basis.T @ (basis @ s)
            rest = rest - basis.T @ (basis @ rest)
            size = float(np.sqrt(rest @ rest))
            if size > threshold * max(float(np.sqrt(s @ s)), SHORT / threshold):
                chosen.append(i)
                basis = np.vstack([basis, rest / size])
        return chosen, basis

    def missing(self, known: FloatArray, radius: float) -> FloatArray:
        """Free points (j, n_free) at `radius` along the directions that the orthonormal rows of `known` (., k) leave open.

        Where bounds leave some of these hardly any room, along variables instead, each of which can move one way or the other.
        """
        left = np.eye(self.k) if not known.shape[0] else np.linalg.svd(known)[2][known.shape[0] :]
        basis, _ = self.basis(radius)
        D, room = self._into_the_box(left @ basis.T)
        if self.span is None and room.min(initial=1.0) < ROOM:
            rest = np.eye(self.k) - known.T @ known
            variables = qr(rest, mode="r", pivoting=True)[-1][: left.shape[0]]
            D, _ = self._into_the_box(basis[np.sort(variables)])
        return self.snapped(self.x + D)

    def _into_the_box(self, D: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Steps D (j, n) turned round where there is more room behind, cut at the bounds, and what is left of each, (j,)."""
        above, below = self.upper - self.x, self.lower - self.x
        with np.errstate(divide="ignore", invalid="ignore"):
            ahead = np.where(D > 0, above / D, np.where(D < 0, below / D, np.inf)).min(axis=1, initial=1.0)
            behind = np.where(D < 0, -above / D, np.where(D > 0, -below / D, np.inf)).min(axis=1, initial=1.0)
        share = np.where(ahead >= behind, ahead, -behind)
        return D * share[:, None], np.abs(share)

    def holds(self, x: FloatArray) -> bool:
        """Whether a free point x (n_free,) lies in the affine subspace through the centre."""
        if self.span is None:
            return True
        d = (self.seen(x) - self.x) / self.scale
        rest = d - self.span @ (self.span.T @ d)
        return bool(rest @ rest <= FLAT * (d @ d))

    def rows_near(self, state: SolverState, reach: float, largest: float) -> IntArray:
        """History rows of usable points within `reach` of the centre, nearest first, without the centre."""
        history = state.history
        distance = self.distances(history.X)
        usable = (history.status == 0) & (np.abs(history.f) <= largest) & (distance <= reach) & (distance > 0.0)
        usable &= self.beside(history.X)
        rows = np.flatnonzero(usable)
        if self.span is not None:
            rows = rows[[self.holds(history.X[row]) for row in rows]] if rows.size else rows
        return rows[np.lexsort((rows, distance[rows]))]
