"""GradientView: an attack's only way to user code; counted, cached, budget-checked.

Everything is in the free space and minimised. Prices: the outputs of a point not seen before are one pass, a
vector-Jacobian product at one point is one `ngev`, the outer functions are free at known outputs. Where Phi is the
identity it is the other way round: outputs are free and `values` costs the pass. A pass turns into an evaluation when
the evaluator is asked for the same point later, so that no operator pays twice for what it proposes.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import compress
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack.blocks import refuse
from dfoattack.cache import point_key, point_keys
from dfoattack.errors import BudgetSpent
from dfoattack.native import Functions, Tally, WalkFound, WalkRecord, WalkRequest
from dfoattack.user_call import LateError, within

if TYPE_CHECKING:
    from dfoattack.evaluator import Evaluator

T = TypeVar("T")


class GradientView:
    """What attack operators may ask; made by `Evaluator.view`, meant to live for one attack step.

    Attributes
    ----------
    n : int                 free variables
    p : int                 constraint columns (0 while unknown)
    has_gradient : bool     False: `grad` and its kin raise ProblemError

    Notes
    -----
    Values and gradients are those of `Problem.attacked`: of the stand-ins, where the problem declares some. Points that fail
    (declared exceptions, NaN, infinities, too late) have outputs NaN, F = +inf, C = +inf (so that they
    read as violated) and zero gradients. Undeclared exceptions raise EvaluationError. A call that the budget does not
    cover in full raises BudgetSpent before it runs.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        self._door = evaluator
        self._problem = evaluator.problem
        self._ledger = evaluator.ledger
        self._store = evaluator.store
        self._space = evaluator.problem.space

    @property
    def n(self) -> int:
        return self._space.n_free

    @property
    def p(self) -> int:
        return self._problem.p or 0

    @property
    def has_gradient(self) -> bool:
        return self._problem.has_gradient

    def affords(self, vjps: int, passes: int) -> bool:
        """Whether the budget covers so many products and passes together."""
        return self._ledger.affords(passes, vjps)

    # ---------------------------------------------------------------- forwards

    def outputs(self, Z: FloatArray) -> FloatArray:
        """Y (k, m) of the points Z (k, n); each distinct point not seen before costs one pass. Failed rows are NaN."""
        Z = np.ascontiguousarray(Z, dtype=np.float64)
        if self._door.identity:
            return self._space.expand(Z)
        keys = point_keys(Z)
        rows = {key: self._store.get(key) for key in keys}
        lacking = self._lacking(keys, rows)
        if lacking:
            self._require(len(lacking), 0)
            part = Z[lacking]
            (found,) = self._door.through_journal("outputs", part, lambda: (self._live_outputs(part),))
            finite: BoolArray = np.all(np.isfinite(found), axis=1)
            for row, i, good in zip(found, lacking, finite, strict=True):
                rows[keys[i]] = row
                if good:
                    self._store.put(keys[i], row, pending=True)
            if len(lacking) == len(keys) and found.shape[1] == self._problem.m:
                return found.copy()  # nothing to put together
        return _stacked([rows[key] for key in keys], self._problem.m or 1)

    def values(self, Z: FloatArray, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """F (k,) and C (k, p) of Z (k, n) with outputs Y (k, m); free, or a pass a point where Phi is the identity."""
        Z = np.ascontiguousarray(Z, dtype=np.float64)
        X = self._space.expand(Z)
        table = self._identity_values(Z, X, Y) if self._door.identity else self._outer_values(Z, X, Y)
        F, C = float(self._problem.sign) * table[:, 0] + 0.0, table[:, 1:]
        bad = ~np.isfinite(table).all(axis=1)
        F[bad], C[bad] = np.inf, np.inf
        return F, C

    def _outer_values(self, Z: FloatArray, X: FloatArray, Y: FloatArray) -> FloatArray:
        """(f, c) of known outputs, (k, 1 + p), NaN where something failed."""
        usable = np.flatnonzero(np.isfinite(Y).all(axis=1))
        if usable.size == 0:
            return np.full((len(Z), 1 + self.p), np.nan)
        (found,) = self._door.through_journal("values", Z[usable], lambda: (self._outer(X[usable], Y[usable]),))
        table = np.full((len(Z), found.shape[1]), np.nan)
        table[usable] = found
        return table

    def _identity_values(self, Z: FloatArray, X: FloatArray, Y: FloatArray) -> FloatArray:
        # The operator moved y away from x, or a stand-in is asked: nothing an evaluation could use later.
        if self._problem.softened or not np.array_equal(X, Y):
            self._require(len(Z), 0)
            (table,) = self._door.through_journal(
                "values", Z, lambda: (self._passes(Z, lambda _: self._table(X, Y), retry=False),)
            )
            return _stacked(list(table), 1 + self.p)
        keys = [point_key(z) for z in Z]
        rows = {key: self._store.get(key) for key in keys}
        lacking = self._lacking(keys, rows)
        if lacking:
            self._require(len(lacking), 0)
            part = Z[lacking]
            (found,) = self._door.through_journal("values", part, lambda: (self._live_table(part),))
            for row, i in zip(found, lacking, strict=True):
                rows[keys[i]] = row
                if np.isfinite(row).all():
                    self._store.put(keys[i], row, pending=True)
        return _stacked([rows[key] for key in keys], 1 + self.p)

    # ---------------------------------------------------------------- backwards

    def grad(self, Z: FloatArray) -> FloatArray:
        """Gradient of F, (k, n); k products (and a pass for a point whose output is not known)."""
        return self._products("grad", Z, np.ones(len(Z)), None)

    def vjp_c(self, Z: FloatArray, W: FloatArray) -> FloatArray:
        """Gradient of sum_j W[:, j] c_j, (k, n), W (k, p); k products."""
        return self._products("vjp_c", Z, np.zeros(len(Z)), W)

    def grad_mix(self, Z: FloatArray, wf: FloatArray, W: FloatArray) -> FloatArray:
        """Gradient of wf F + sum_j W[:, j] c_j, (k, n), wf (k,), W (k, p); k products."""
        return self._products("grad_mix", Z, np.asarray(wf, dtype=np.float64), W)

    def constraint_jacobian(self, z: FloatArray, rows: IntArray) -> FloatArray:
        """Gradients of the constraint columns `rows` (q,) at one point z (n,), (q, n); at most min(q, m) products."""
        Z = np.ascontiguousarray(z, dtype=np.float64).reshape(1, -1)
        index = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        q = index.shape[0]
        if q == 0:
            return np.empty((0, self.n))
        most = min(q, self._problem.m or q)
        self._require(self._unknown(Z), most)
        Y = self.outputs(Z)
        if not np.isfinite(Y).all():
            return np.zeros((q, self.n))

        def live() -> tuple[FloatArray]:
            x = self._space.expand(Z)[0]
            answer = self._guarded(q, x, lambda: self._problem.constraint_jacobian(x, Y[0], index))
            J, used = (np.zeros((q, self._space.n)), most) if answer is None else answer
            self._ledger.ngev += most if self._door.identity else used  # a gradient is never free, network or not
            return (self._reduced(J),)

        asked = np.concatenate((Z, index[None, :].astype(np.float64)), axis=1)
        (jacobian,) = self._door.through_journal("constraint_jacobian", asked, live)
        return jacobian

    # ---------------------------------------------------------------- whole walks

    def walk(self, request: WalkRequest) -> WalkFound | None:
        """All steps of an attack where the network lives; None where that is not possible, and the operator has to make them.

        Counts what the steps would have cost through this view: a pass a distinct point not seen before, a product a distinct point
        and goal. Only the outputs of the best points are kept, which are the ones proposed. Taken only where the budget covers the
        dearest course. After a declared failure no row has found anything.
        """
        problem, k = self._problem, request.X.shape[0]
        if not problem.may_walk or self._door.timeout is not None:
            return None
        goals = 1 if not self.p else 2
        y = self._store.get(point_key(request.X[0]))
        if y is None or not self.affords(goals * k * request.steps, k * (1 + request.steps)):
            return None
        functions = problem.walking_functions(self._space.expand(request.X[:1])[0], y)
        if functions is None:
            return None
        sides = (request.radius, request.eta)
        asked = np.concatenate([request.X, request.D, *(side[:, None] for side in sides)], axis=1)
        answer = self._door.through_journal("walk", asked, lambda: self._walked(request, functions))
        points, outputs, found, gradient = answer
        screened = bool(getattr(problem.surrogate, "screens", False))
        for key, row in zip(point_keys(points), outputs, strict=True):
            if not screened and self._store.get(key) is None:
                self._store.put(key, row, pending=True)
        return WalkFound(found[:, :-2], found[:, -2], found[:, -1], gradient, screened)

    def _products(self, kind: str, Z: FloatArray, wf: FloatArray, W: FloatArray | None) -> FloatArray:
        """Gradients of wf F + W c through one block of products."""
        Z = np.ascontiguousarray(Z, dtype=np.float64)
        gradient = np.zeros((len(Z), self.n))
        if W is not None:
            W = np.asarray(W, dtype=np.float64)
        active = np.flatnonzero(wf != 0.0 if W is None else (wf != 0.0) | (W != 0.0).any(axis=1))
        products = self._problem.products(wf[active], None if W is None else W[active])
        self._require(self._unknown(Z[active]), products)
        Y = self.outputs(Z[active])
        usable = np.isfinite(Y).all(axis=1)
        rows, Y = active[usable], Y[usable]
        if rows.size == 0:
            return gradient
        weights = None if W is None else W[rows]

        def live() -> tuple[FloatArray]:
            X = self._space.expand(Z[rows])
            user_wf = float(self._problem.sign) * wf[rows]
            G = self._guarded(rows.size, X[0], lambda: self._problem.vjp(X, Y, user_wf, weights))
            self._ledger.ngev += self._problem.products(user_wf, weights)
            return (self._reduced(np.zeros_like(X) if G is None else G),)

        # the weights belong to the question: a resumed run that would ask for another combination has diverged
        parts = [Z[rows], wf[rows, None]] + ([] if weights is None else [weights])
        (found,) = self._door.through_journal(kind, np.concatenate(parts, axis=1), live)
        gradient[rows] = found
        return gradient

    def _walked(self, request: WalkRequest, functions: Functions) -> tuple[FloatArray, ...]:
        """Best points and outputs there, (best, h, F) and gradients of the rows; no points and zeros after a declared failure."""
        k, n = request.X.shape
        tally, ledger = Tally(), self._ledger
        surrogate: Any = self._problem.surrogate
        record: WalkRecord | None = None
        try:
            record = self._guarded(k, functions.base, lambda: surrogate.walk(request, functions, tally))
        finally:
            if record is None:  # nothing is known of where the rows have been: what was sent counts
                ledger.nphi += tally.passes
                ledger.passes += tally.passes
                ledger.ngev += tally.products
        if record is None:
            nothing = np.column_stack([np.zeros((k, n)), np.full((k, 2), np.inf)])
            return np.empty((0, n)), np.empty((0, self._problem.m or 1)), nothing, np.zeros((k, n))
        keys = point_keys(record.Z.reshape(-1, n))
        new = sum(self._store.get(key) is None for key in dict.fromkeys(keys))
        ledger.nphi += new
        ledger.passes += new
        for step, (of_f, of_h) in enumerate(zip(record.of_f, record.of_h, strict=True)):
            for wanted in (of_f, of_h):
                if wanted.any():
                    ledger.ngev += len(set(compress(keys[step * k : (step + 1) * k], wanted.tolist())))
        points = np.clip(request.X + record.best, request.lower, request.upper)
        keep = np.flatnonzero(np.isfinite(record.best_f))
        found = np.column_stack([record.best, record.best_h, record.best_f])
        return points[keep], record.Y[keep], found, record.gradient

    def _reduced(self, G: FloatArray) -> FloatArray:
        """Free columns (k, n), rows that are not finite set to zero."""
        part = self._space.reduce(G)
        part[~np.isfinite(part).all(axis=1)] = 0.0
        return part

    # ---------------------------------------------------------------- calls of user code

    def _live_outputs(self, Z: FloatArray) -> FloatArray:
        """Y of points not seen before, in worker processes where a black box has them."""
        block = None if self.has_gradient else self._door.in_workers(Z)
        if block is None:
            return self._passes(Z, self._forward)
        return np.full((len(Z), 1), np.nan) if block.Y is None else block.Y

    def _live_table(self, Z: FloatArray) -> FloatArray:
        """(f, c) rows likewise, where Phi is the identity."""
        block = None if self.has_gradient else self._door.in_workers(Z)
        return self._passes(Z, self._objective_rows) if block is None else np.column_stack([block.f, block.C])

    def _forward(self, Z: FloatArray) -> FloatArray:
        X = self._space.expand(Z)
        return self._clocked("forward", len(Z), lambda: self._problem.forward(X, traced=self.has_gradient))

    def _objective_rows(self, Z: FloatArray) -> FloatArray:
        X = self._space.expand(Z)
        return self._table(X, X)

    def _table(self, X: FloatArray, Y: FloatArray) -> FloatArray:
        f, C = self._clocked("outer", len(X), lambda: self._problem.attacked(X, Y))
        return np.concatenate((f[:, None], C), axis=1)

    def _passes(self, Z: FloatArray, call: Callable[[FloatArray], FloatArray], retry: bool = True) -> FloatArray:
        """Rows of `call`, counted as passes, NaN where failed; a raising block goes again row by row if affordable."""
        k = len(Z)
        self._ledger.sent(k)
        self._ledger.passes += k
        try:
            return call(Z)
        except LateError:
            return np.full((k, 1), np.nan)
        except Exception as error:
            refuse(error)
            if k == 1 or not retry:
                self._declared(error, Z[0])
                return np.full((k, 1), np.nan)
        found: list[FloatArray | None] = []
        for row in range(k):
            affordable = self._ledger.affords(1)
            found.append(self._passes(Z[row : row + 1], call)[0] if affordable else None)
        return _stacked(found, 1)

    def _outer(self, X: FloatArray, Y: FloatArray) -> FloatArray:
        """(f, c) rows; a raising block is asked again row by row, at no cost because the outputs are known."""
        try:
            return self._table(X, Y)
        except LateError:
            return np.full((len(X), 1 + self.p), np.nan)
        except Exception as error:
            refuse(error)
            if len(X) == 1:
                self._declared(error, self._space.reduce(X[0]))
                return np.full((1, 1 + self.p), np.nan)
        return _stacked([self._outer(X[i : i + 1], Y[i : i + 1])[0] for i in range(len(X))], 1 + self.p)

    def _guarded(self, points: int, x: FloatArray, call: Callable[[], T]) -> T | None:
        """Answer of a gradient call, None if it failed in a declared way or too late."""
        try:
            return self._clocked("vjp", points, call)
        except LateError:
            return None
        except Exception as error:
            refuse(error)
            self._declared(error, self._space.reduce(x))
            return None

    def _declared(self, error: Exception, z: FloatArray) -> None:
        if not isinstance(error, self._problem.failures):
            raise self._door.undeclared(error, z)

    def _clocked(self, account: str, points: int, call: Callable[[], T]) -> T:
        """Answer of `call`, its seconds added to the ledger; the time limit is that of one point times the points."""
        answer: list[T] = []
        limit = None if self._door.timeout is None else self._door.timeout * max(1, points)
        began = perf_counter()
        try:
            within(limit, lambda: answer.append(call()))
        finally:
            self._ledger.seconds[account] += perf_counter() - began
        return answer[0]

    # ---------------------------------------------------------------- book-keeping

    def _lacking(self, keys: list[bytes], rows: dict[bytes, FloatArray | None]) -> list[int]:
        """First index of every key without a row."""
        first: dict[bytes, int] = {}
        for i, key in enumerate(keys):
            if rows[key] is None:
                first.setdefault(key, i)
        return list(first.values())

    def _unknown(self, Z: FloatArray) -> int:
        """Passes that the outputs of Z would cost."""
        if self._door.identity:
            return 0
        return len({key for key in map(point_key, Z) if self._store.get(key) is None})

    def _require(self, passes: int, vjps: int) -> None:
        if not self._ledger.affords(passes, vjps):
            raise BudgetSpent(
                f"{passes} passes and {vjps} vector-Jacobian products must fit into the budget of "
                f"{self._ledger.budget:g} evaluations, got {self._door.remaining:g} left."
            )


def _stacked(rows: list[FloatArray | None], width: int) -> FloatArray:
    """Rows as one array (k, w), w the widest of them and of `width`; None and narrower rows (failed calls) as NaN."""
    w = max([width, *(row.shape[0] for row in rows if row is not None)])
    out = np.full((len(rows), w), np.nan)
    for i, row in enumerate(rows):
        if row is not None and row.shape[0] == w:
            out[i] = row
    return out
