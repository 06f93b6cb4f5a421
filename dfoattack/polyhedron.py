"""The polyhedron of the known linear constraints and the bounds, in the free variables: tests, steps that stay inside, projections.

Distances are Euclidean in x / scale. Continuous variables do the moving: those on a lattice are held where a trial point has put them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, linprog, milp

from dfoattack._typing import BoolArray, FloatArray
from dfoattack._validation import shown
from dfoattack.errors import ProblemError
from dfoattack.kernels import cone, linear
from dfoattack.linear import Linear
from dfoattack.space import Box

ROUND_OFF = 16.0 * 2.0**-52  # of an equality, relative to the sizes of its terms
RETREATS = (
    2e-15,
    1e-14,
    1e-13,
    1e-12,
    1e-10,
    1e-8,
)  # withdrawal from the faces, relative to the terms, until round-off is outweighed
SHORTEST = 1e-6  # of a proposed step: what is left of it below this is no trial point
_ROUNDS = 12  # rounds of adding violated rows to a projection
_INTERIOR = 1e-9  # relative radius of an inscribed ball that counts as an interior


@dataclass(frozen=True)
class Polyhedron:
    """{x : A x <= b, E x = d, lower <= x <= upper}, x_i on a lattice where `granular`.

    Attributes
    ----------
    A, b : float64 (q, n), (q,)      inequalities as given, one-sided
    E, d : float64 (e, n), (e,)      equalities of full row rank in the continuous variables
    lower, upper : float64 (n,)      bounds, infinite ones are legal
    granularity, inverse : (n,)      lattice of the variables, 0 = continuous, and 1 / granularity where that is whole, else 0
    """

    A: FloatArray
    b: FloatArray
    E: FloatArray
    d: FloatArray
    lower: FloatArray
    upper: FloatArray
    granularity: FloatArray
    inverse: FloatArray

    @classmethod
    def of(cls, linears: Sequence[Linear], space: Box) -> Polyhedron | None:
        """The polyhedron of a problem, or None where nothing binds the free variables.

        Raises
        ------
        ProblemError    a row holds a periodic or categorical variable, no point satisfies everything, an equality holds no continuous
                        variable, equalities depend on each other
        """
        rows: list[tuple[FloatArray, float]] = []
        equal: list[tuple[FloatArray, float]] = []
        fixed = np.where(space.fixed_mask, space.fixed_values, 0.0)
        for entry in linears:
            _check_kinds(entry, space)
            offset = entry.A @ fixed
            free = np.ascontiguousarray(entry.A[:, space.free])
            for j, equality in enumerate(entry.equality.tolist()):
                high, low = float(entry.upper[j] - offset[j]), float(entry.lower[j] - offset[j])
                if not free[j].any():
                    size = abs(float(offset[j])) + 1.0
                    if high < -ROUND_OFF * size or low > ROUND_OFF * size:
                        raise ProblemError(f"Linear constraint `{entry.name}` must be satisfiable, row {j} is not.")
                elif equality:
                    equal.append((free[j], high))
                else:
                    rows += [
                        (sign * free[j], sign * side) for sign, side in ((1.0, high), (-1.0, low)) if np.isfinite(side)
                    ]
        if not rows and not equal:
            return None
        n, granular = space.n_free, space.free_granularity > 0.0
        E = np.array([row for row, _ in equal]).reshape(-1, n)
        d = np.array([side for _, side in equal])
        if E.shape[0] and np.linalg.matrix_rank(E[:, ~granular]) < E.shape[0]:
            raise ProblemError(
                "Linear equalities must be independent in the continuous variables. Leave out the dependent ones; state "
                "one of integers alone as `Constraint(..., equality=True)`."
            )
        A, b = np.array([row for row, _ in rows]).reshape(-1, n), np.array([side for _, side in rows])
        # A copy in C order for the kernels; zeros are positive, so that equal problems have equal bits.
        lattice = space.free_granularity, space.free_inverse
        made = cls(A + 0.0, b + 0.0, E + 0.0, d + 0.0, space.free_lower, space.free_upper, *lattice)
        radius = made._inscribed()
        if radius < 0.0:
            raise ProblemError("`linear` must leave a point inside the bounds, but no x satisfies all of it.")
        if radius == 0.0 and rows:
            raise ProblemError(
                "`linear` must leave an interior: inequalities that pin x to a plane must be stated as equalities "
                "(`lower` equal to `upper`)."
            )
        return made

    # ---------------------------------------------------------------- questions

    @property
    def granular(self) -> BoolArray:
        """(n,) variables on a lattice."""
        flags: BoolArray = self.granularity > 0.0
        return flags

    def inside(self, X: FloatArray) -> BoolArray:
        """(k,) whether the points X (k, n) satisfy the linear constraints (bounds are not asked)."""
        out = np.empty(X.shape[0], dtype=bool)
        linear.linear_inside(np.ascontiguousarray(X), self.A, self.b, self.E, self.d, ROUND_OFF, out)
        return out

    def near(self, x: FloatArray, frame: FloatArray) -> FloatArray:
        """(q,) room b - A x of the inequalities in units of the largest change within the frame; <= 1 is within reach."""
        reach = np.abs(self.A) @ frame
        room: FloatArray = (self.b - self.A @ x) / np.where(reach > 0.0, reach, 1.0)
        return room

    def room_for(self, x: FloatArray, step: FloatArray) -> float:
        """The part t in [0, 1] of a step from x that stays inside, up to round-off."""
        return float(linear.longest_step(x, step, self.A, self.b, self.lower, self.upper))

    # ---------------------------------------------------------------- points inside

    def repaired(self, origin: FloatArray, x: FloatArray, scale: FloatArray, slide: bool) -> FloatArray | None:
        """A point inside in place of x (n,): x itself; the projection of x, with `slide` or where the lattice moved; else the
        longest part of the step from `origin`, a point inside. None where nothing of the step is left.
        """
        if self.inside(x[None, :])[0]:
            return x
        step = x - origin
        if slide or step[self.granular].any():
            found = self.projected(x, scale)
            if found is not None and self._counts(found - origin, step, scale):
                return found
        step = self.along(np.where(self.granular, 0.0, step), scale)
        size = np.abs(self.A) @ np.abs(origin) + np.abs(self.b)
        for retreat in RETREATS:
            t = float(linear.longest_step(origin, step, self.A, self.b - retreat * size, self.lower, self.upper))
            y = np.where(self.granular, origin, np.clip(origin + t * step, self.lower, self.upper))
            y = self._on_equalities(y, scale)
            if self.inside(y[None, :])[0]:
                return y if self._counts(y - origin, x - origin, scale) else None
        return None

    def along(self, step: FloatArray, scale: FloatArray) -> FloatArray:
        """The part of a step of continuous variables that keeps the equalities, (n,)."""
        if not self.E.shape[0]:
            return step
        return step - self._least(self.E @ step, scale)

    def shortened(self, origin: FloatArray, X: FloatArray, scale: FloatArray) -> FloatArray:
        """Points X (k, n) cut back along their steps from `origin`, a point inside, (k, n); `origin` itself where nothing else helps."""
        if self.granular.any():
            found = [self.repaired(origin, x, scale, slide=False) for x in X]
            return np.array([origin if x is None else x for x in found])
        D = X - origin
        if self.E.shape[0]:
            D = D - np.array([self._least(self.E @ d, scale) for d in D])
        size = np.abs(self.A) @ np.abs(origin) + np.abs(self.b)
        room = np.concatenate([self.b - RETREATS[1] * size - self.A @ origin, self.upper - origin, origin - self.lower])
        rates = np.hstack([D @ self.A.T, D, -D])
        with np.errstate(divide="ignore", invalid="ignore"):
            limits = np.where(rates > 0.0, np.maximum(room, 0.0) / rates, np.inf)
        Y: FloatArray = np.clip(origin + np.minimum(1.0, limits.min(axis=1))[:, None] * D, self.lower, self.upper)
        Y[~self.inside(Y)] = origin
        return Y

    def projected(self, x: FloatArray, scale: FloatArray) -> FloatArray | None:
        """The nearest point inside that differs from x in continuous variables only, or None where there is none."""
        unit = np.where(self.granular, 0.0, scale)
        x = np.clip(x, self.lower, self.upper)
        if self.granular.all():
            return x if self.inside(x[None, :])[0] else None
        base, N = x, np.diag(unit)[:, ~self.granular]
        if self.E.shape[0]:
            M = (self.E * unit)[:, ~self.granular]
            base = x + self._least(self.d - self.E @ x, scale)
            N = N @ _null_space(M)
        size = np.abs(self.A) @ np.abs(base) + np.abs(self.b)
        for retreat in RETREATS:
            y = self._least_step(base, N, self.b - retreat * size)
            if y is None:
                return None
            y = self._on_equalities(np.clip(y, self.lower, self.upper), scale)
            if self.inside(y[None, :])[0]:
                return y
        return None

    def nearest(self, x: FloatArray, scale: FloatArray) -> FloatArray | None:
        """The nearest point inside, lattice variables moved as well where they must (then nearest in the sum of distances), or None."""
        found = self.projected(x, scale)
        if found is not None or not self.granular.any():
            return found
        lattice = self._lattice_point(x, scale)
        return None if lattice is None else self.projected(lattice, scale)

    def _lattice_point(self, x: FloatArray, scale: FloatArray) -> FloatArray | None:
        """A point of the lattice inside with the least sum of |y_i - x_i| / scale_i: a mixed-integer linear program."""
        n, unit = x.shape[0], np.where(self.granular, self.granularity, 1.0)
        eye = np.eye(n)
        # Variables (k, t): y = unit k, t_i >= |y_i - x_i|.
        rows = np.vstack([np.hstack([np.diag(unit), -eye]), np.hstack([-np.diag(unit), -eye])])
        fit = LinearConstraint(rows, ub=np.concatenate([x, -x]))
        M = np.hstack([np.vstack([self.A, self.E]) * unit, np.zeros((self.b.shape[0] + self.d.shape[0], n))])
        low = np.concatenate([np.full(self.b.shape[0], -np.inf), self.d])
        found = milp(
            np.concatenate([np.zeros(n), 1.0 / scale]),
            integrality=np.concatenate([self.granular, np.zeros(n)]),
            bounds=Bounds(
                np.concatenate([self.lower / unit, np.zeros(n)]), np.append(self.upper / unit, np.full(n, np.inf))
            ),
            constraints=[fit, LinearConstraint(M, low, np.concatenate([self.b, self.d]))],
        )
        if found.x is None:
            return None
        k = np.where(self.granular, np.rint(found.x[:n]), found.x[:n])
        y = np.where(
            self.granular & (self.inverse > 0.0), k / np.where(self.inverse > 0.0, self.inverse, 1.0), k * unit
        )
        return np.clip(y, self.lower, self.upper) + 0.0

    def _least_step(self, base: FloatArray, N: FloatArray, b: FloatArray) -> FloatArray | None:
        """base + N w with the least |w| inside A . <= b and the bounds, by least distance programming on the rows that matter."""
        n = base.shape[0]
        bounded = np.isfinite(self.upper), np.isfinite(self.lower)
        G = np.vstack([self.A, np.eye(n)[bounded[0]], -np.eye(n)[bounded[1]]])
        h = np.concatenate([b, self.upper[bounded[0]], -self.lower[bounded[1]]]) - G @ base
        G = G @ N
        chosen = np.zeros(h.shape[0], dtype=bool)
        w = np.zeros(N.shape[1])
        tolerance = 1e-12 * (1.0 + np.abs(h))
        for _ in range(_ROUNDS):
            violated = (G @ w - h > tolerance) & ~chosen
            if not violated.any():
                break
            chosen |= violated
            found = _least_distance(G[chosen], h[chosen])
            if found is None:
                return None
            w = found
        return base + N @ w

    def _on_equalities(self, y: FloatArray, scale: FloatArray) -> FloatArray:
        """y with the round-off in the equalities taken out, as far as the bounds allow."""
        if not self.E.shape[0]:
            return y
        return np.clip(y + self._least(self.d - self.E @ y, scale), self.lower, self.upper)

    def _least(self, change: FloatArray, scale: FloatArray) -> FloatArray:
        """The shortest step (n,) of continuous variables that changes E x by `change` (e,)."""
        unit = np.where(self.granular, 0.0, scale)
        M = self.E * unit
        step: FloatArray = unit * (M.T @ np.linalg.solve(M @ M.T, change))
        return step

    @staticmethod
    def _counts(step: FloatArray, asked: FloatArray, scale: FloatArray) -> bool:
        return bool(np.max(np.abs(step) / scale) > SHORTEST * np.max(np.abs(asked) / scale))

    def _inscribed(self) -> float:
        """-1 if nothing satisfies everything, 0 if there is no interior, else 1."""
        n = (self.b.shape[0] and self.A.shape[1]) or self.E.shape[1]
        # The radius is relative: each row in units of its own size.
        sizes = np.linalg.norm(self.A, axis=1)
        A = np.hstack([self.A / sizes[:, None], np.ones((sizes.shape[0], 1))]) if sizes.shape[0] else None
        E = np.hstack([self.E, np.zeros((self.E.shape[0], 1))]) if self.E.shape[0] else None
        sides = [
            (None if np.isneginf(low) else low, None if np.isposinf(high) else high)
            for low, high in zip(self.lower.tolist(), self.upper.tolist(), strict=True)
        ]
        found = linprog(
            np.append(np.zeros(n), -1.0),
            A_ub=A,
            b_ub=None if A is None else self.b / sizes,
            A_eq=E,
            b_eq=None if E is None else self.d,
            bounds=[*sides, (0.0, 1.0)],
            method="highs",
        )
        if found.x is None:
            return -1.0
        return 1.0 if found.x[-1] > _INTERIOR * max(1.0, float(np.abs(found.x[:-1]).max(initial=0.0))) else 0.0


def _check_kinds(entry: Linear, space: Box) -> None:
    """Where a variable wraps, or is a label, a half space of its values means nothing."""
    for i in np.flatnonzero(np.any(entry.A != 0.0, axis=0)).tolist():
        kind = "categorical" if i in space.categories else "periodic" if space.period[i] > 0.0 else ""
        if kind:
            raise ProblemError(
                f"`A` of linear constraint `{entry.name}` must be 0 in column {i}, for variable `{space.names[i]}` is {kind}, "
                f"got {shown(entry.A[:, i].tolist())}. State it as a `Constraint`."
            )


def _null_space(M: FloatArray) -> FloatArray:
    """Orthonormal columns that M (e, c) of full row rank sends to zero, (c, c - e)."""
    full: FloatArray = np.linalg.svd(M)[2]
    return np.ascontiguousarray(full[M.shape[0] :].T)


def _least_distance(G: FloatArray, h: FloatArray) -> FloatArray | None:
    """The shortest w (c,) with G w <= h, or None; after Lawson & Hanson (1974), "Solving least squares problems", chapter 23."""
    unit = max(
        float(np.max(-h / np.maximum(np.linalg.norm(G, axis=1), 1e-300))), 1e-300
    )  # about the length of the answer
    rows = np.hstack([-G, -h[:, None] / unit])
    lengths = np.linalg.norm(rows, axis=1)
    rows = np.ascontiguousarray(rows / lengths[:, None])
    target, weights = np.zeros(rows.shape[1]), np.empty(rows.shape[0])
    target[-1] = 1.0
    cone.nonnegative_least_squares(rows, target, weights)
    residual = rows.T @ weights - target
    if not abs(residual[-1]) > 1e-13:
        return None
    w: FloatArray = -residual[:-1] / residual[-1] * unit
    return w if np.isfinite(w).all() else None
