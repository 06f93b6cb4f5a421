"""The only door to user code: ordered blocks, one status a point, the sign flip, honest counters, a budget that holds.

What user code answers passes through a `Journal` when there is one. Replaying the journal in a later session repeats no
call: the loop above runs again and is handed the recorded answers, counters included.

Accounting. Rows sent through Phi are `nphi` (rows sent through f and c where Phi is the identity). Each becomes an
evaluation (`nfev`) or stays a pass (`passes`), so that nphi = nfev + passes. When a block raises, its rows are sent
again one by one to find the bad ones, and the second trip of a row is a pass: the budget covers all that user code was
asked to do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack.blocks import Block, BlockRunner
from dfoattack.cache import point_key
from dfoattack.errors import EvaluationError
from dfoattack.gradient_view import GradientView
from dfoattack.journal import Journal
from dfoattack.ledger import Ledger, RowStore
from dfoattack.surrogate import Identity
from dfoattack.trials import NOT_RUN, OK, Counters, Evaluations, Trials
from dfoattack.workers import Workers, pool_of

if TYPE_CHECKING:
    from dfoattack.problem import Problem

__all__ = ["Evaluator", "GradientView", "Journal"]

_KEPT_BYTES = 2**25  # outputs kept for the attack step, which asks for those of the last iterations
_WIDEST_KEPT = (
    1024  # wider outputs are not kept (nor journalled) with an evaluation: an attack pays a pass for its centre
)


class Evaluator:
    """Evaluates points of the free space and counts what that costs.

    Parameters
    ----------
    problem : Problem
    budget : float, optional            evaluations in all: nfev + passes + gradient_cost * ngev never exceeds it
    gradient_cost : float, default 2    price of one vector-Jacobian product at one point, in evaluations
    timeout : float, optional           seconds for one point; points then run one by one, each in a thread of its own
    journal : Journal, optional         answers are replayed from and recorded in it
    noisy : bool, default False         a point that is evaluated again is asked of user code again
    workers : int or callable, optional processes that evaluate the points of a block, or a function like `map`; see `workers`
    keeps : bool, optional              outputs are kept for attacks; None: where the problem has gradients

    Attributes
    ----------
    counters : Counters                 totals
    remaining : float                   budget left, in evaluations (+inf without a budget)
    seconds : dict                      spent in user code so far, earlier sessions included: "forward", "outer", "vjp"
    replaying : bool                    answers come from the journal: no clock and no callback should stop the run now
    partial : Evaluations or None       what was answered of the request that the last exception cut short

    Notes
    -----
    A late thread (timeout) cannot be stopped from outside: it runs on, and user code must bear being called meanwhile.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        budget: float | None = None,
        gradient_cost: float = 2.0,
        timeout: float | None = None,
        journal: Journal | None = None,
        noisy: bool = False,
        workers: Workers = None,
        keeps: bool | None = None,
    ) -> None:
        self.problem = problem
        self.timeout = timeout
        self.noisy = noisy
        self.ledger = Ledger(budget, gradient_cost, problem.inner_cost)
        self.store = RowStore(_KEPT_BYTES)
        self.identity = isinstance(problem.surrogate, Identity)
        self.partial: Evaluations | None = None
        self._pool = pool_of(problem, self.identity, workers, timeout)
        self._runner = BlockRunner(problem, self.identity, timeout, self.ledger, self._pool)
        self._sign = float(problem.sign)
        self._keeps = problem.has_gradient if keeps is None else keeps
        self._shapes_kept = False
        self.journal = journal

    @property
    def journal(self) -> Journal | None:
        """Where answers are replayed from and recorded in; to be set before the first call."""
        return self._journal

    @journal.setter
    def journal(self, journal: Journal | None) -> None:
        self._journal = journal
        shapes = None if journal is None else journal.trait("shapes")
        self._shapes_kept = shapes is not None
        if shapes is not None:
            self.problem.learn_widths(shapes["widths"])
            self.problem.m = int(shapes["m"])

    @property
    def counters(self) -> Counters:
        return self.ledger.counters

    @property
    def remaining(self) -> float:
        return max(0.0, self.ledger.budget - self.ledger.spent)

    @property
    def seconds(self) -> dict[str, float]:
        return dict(self.ledger.seconds)

    @property
    def replaying(self) -> bool:
        return self.journal is not None and self.journal.replaying

    def close(self) -> None:
        """End the worker processes, if there are any."""
        if self._pool is not None:
            self._pool.close()

    def view(self) -> GradientView:
        """The attack step's way to gradients; counted and budget-checked by this evaluator."""
        return GradientView(self)

    def in_workers(self, Z: FloatArray) -> Block | None:
        """Answers of the worker processes to points (k, n_free) an attack looks at, paid as passes; None where there are no such processes.

        Raises `EvaluationError` for an undeclared exception of user code.
        """
        if self._pool is None:
            return None
        block, sent = self._runner.run(self.problem.space.expand(Z), None, None)
        self.ledger.sent(sent)
        self.ledger.passes += sent
        if block.error is not None:
            raise self.undeclared(block.error, Z[block.f.shape[0] - 1])
        return block

    # ---------------------------------------------------------------- evaluation

    def evaluate(self, Z: FloatArray, on_mesh: BoolArray | None = None) -> Evaluations:
        """Evaluate points, as many as the budget affords, in one call of user code.

        Parameters
        ----------
        Z : float64 (k, n_free)             inside the box and on the lattice
        on_mesh : bool (k,), optional       for the journal

        Returns
        -------
        Evaluations                         k rows in order; those beyond the budget are NOT_RUN. C has 0 columns while
                                            the number of constraints is unknown (no row of the run was answered yet)

        Raises
        ------
        EvaluationError                     user code raised something undeclared: the row is counted and recorded as
                                            FAILED, the rows behind it are NOT_RUN, `partial` holds them all
        ProblemError                        user code returned a wrong shape
        """
        k, done = Z.shape[0], 0
        blocks: list[Block] = []
        self.partial = None
        try:
            while done < k:
                count = self._affordable(Z[done:])
                if count == 0:
                    break
                rows = Z if count == k else Z[done : done + count]
                block = self._block(rows, None if on_mesh is None else on_mesh[done : done + count])
                blocks.append(block)
                done += block.f.shape[0]
                if block.error is not None:
                    raise self.undeclared(block.error, Z[done - 1])
        except BaseException:
            self.partial = self._assembled(Z, blocks)
            raise
        return self._assembled(Z, blocks)

    def run(self, trials: Trials, improves: Callable[[Evaluations], bool]) -> Evaluations:
        """Evaluate trials block by block, in order; an opportunistic list ends with the first block that improves.

        Parameters
        ----------
        trials : Trials
        improves : callable     asked about the rows of each block but the last, if the list is opportunistic

        Returns
        -------
        Evaluations             one row a trial, NOT_RUN from where it stopped

        Raises
        ------
        EvaluationError, ProblemError       as `evaluate`; `partial` holds the rows of all blocks
        """
        X, k, size = trials.X, trials.X.shape[0], trials.block
        if k <= size:
            return self.evaluate(X, trials.on_mesh)
        parts: list[Evaluations] = []
        try:
            for start in range(0, k, size):
                part = self.evaluate(X[start : start + size], trials.on_mesh[start : start + size])
                parts.append(part)
                done = start + size >= k or part.status[-1] == NOT_RUN
                if done or (trials.opportunistic and improves(part)):
                    break
        except BaseException:
            self.partial = self._joined(X, parts if self.partial is None else [*parts, self.partial])
            raise
        return self._joined(X, parts)

    # ---------------------------------------------------------------- one block

    def _affordable(self, Z: FloatArray) -> int:
        """Leading rows the budget pays for; a pass already paid becomes an evaluation for nothing."""
        k = len(Z)
        left = self.ledger.points_left()
        if left >= k:
            return k
        if not len(self.store):
            return int(left)
        turned: set[bytes] = set()
        for row in range(k):
            key = point_key(Z[row])
            if self.store.is_pending(key) and key not in turned:
                turned.add(key)
            elif left < 1:
                return row
            else:
                left -= 1
        return k

    def _block(self, Z: FloatArray, on_mesh: BoolArray | None) -> Block:
        """Answer a block from the journal, or from user code and then into the journal."""
        journal = self.journal
        if journal is None:
            return self._live(Z, self.problem.space.expand(Z))
        stored = journal.replay("evaluate", Z)
        if stored is not None:
            return self._restored(Z, stored)
        X = self.problem.space.expand(Z)
        block = self._live(Z, X)
        q = block.f.shape[0]
        answer = [block.f, block.C, block.status.astype(np.float64)]
        if block.Y is not None:
            answer.append(block.Y)
        answer.append(self.ledger.account())
        flags = None if on_mesh is None else on_mesh[:q]
        self._keep_shapes(journal)
        journal.record("evaluate", Z, tuple(answer), X=X[:q], on_mesh=flags, notes=block.notes)
        return block

    def _restored(self, Z: FloatArray, stored: tuple[FloatArray, ...]) -> Block:
        f, C, status, *outputs, account = stored
        block = Block(f, C, status.astype(np.int8), outputs[0] if outputs else None, {}, None)
        self._settle([point_key(z) for z in Z], block)
        self.ledger.restore(account)
        return block

    def _live(self, Z: FloatArray, X: FloatArray) -> Block:
        """Run user code and charge the ledger: q evaluations, rows sent beyond them as passes, settled passes back."""
        # without gradients nothing asks for outputs again, and the keys are not worth their microseconds
        keys = [point_key(z) for z in Z] if self._keeps else []
        known, missing = self._known(keys)
        block, sent = self._runner.run(X, known, missing)
        if block.Y is not None and (not self._keeps or block.Y.shape[1] > _WIDEST_KEPT):
            block = block._replace(Y=None)
        q = block.f.shape[0]
        ledger = self.ledger
        ledger.nfev += q
        ledger.sent(sent)
        ledger.passes += sent - (q if missing is None else int(np.count_nonzero(missing < q)))
        ledger.passes -= self._settle(keys, block)
        return block

    def _settle(self, keys: list[bytes], block: Block) -> int:
        """Keep the outputs an attack may ask for; returns how many passes turned into evaluations."""
        store, turned = self.store, 0
        if len(store):
            turned = sum(map(store.settle, keys[: block.f.shape[0]]))  # all of them before `put` may push one out
        if block.Y is not None:
            for key, row, status in zip(keys, block.Y, block.status.tolist(), strict=False):
                if status == 0:  # Status.OK
                    store.put(key, row, pending=False)
        return turned

    def _known(self, keys: list[bytes]) -> tuple[FloatArray | None, IntArray | None]:
        """Rows of the store as (k, w), and the indices of the rows it lacks; (None, None) if it knows none of them."""
        if not len(self.store):
            return None, None
        rows = [self.store.get(key) for key in keys]
        if self.noisy:  # what was paid as a pass is this evaluation, once; anything else known is not
            fresh = {key: i for i, key in reversed(list(enumerate(keys))) if self.store.is_pending(key)}
            rows = [row if fresh.get(key) == i else None for i, (key, row) in enumerate(zip(keys, rows, strict=True))]
        width = next((row.shape[0] for row in rows if row is not None), None)
        if width is None:
            return None, None
        known, lacking = np.zeros((len(rows), width)), []
        for i, row in enumerate(rows):
            if row is None:
                lacking.append(i)
            else:
                known[i] = row
        return known, np.array(lacking, np.int64)

    # ---------------------------------------------------------------- journal

    def through_journal(
        self, kind: str, Z: FloatArray, live: Callable[[], tuple[FloatArray, ...]]
    ) -> tuple[FloatArray, ...]:
        """Answer a call from the journal, or by `live` and then into the journal; the ledger is right either way."""
        journal = self.journal
        if journal is None:
            return live()
        stored = journal.replay(kind, Z)
        if stored is not None:
            self.ledger.restore(stored[-1])
            return stored[:-1]
        answer = live()
        self._keep_shapes(journal)
        journal.record(kind, Z, (*answer, self.ledger.account()))
        return answer

    def _keep_shapes(self, journal: Journal) -> None:
        """Note m and the widths of the constraints *before* the first answer with them: a replay needs them first."""
        if not self._shapes_kept and self.problem.widths is not None and self.problem.m is not None:
            journal.set_trait("shapes", {"m": self.problem.m, "widths": list(self.problem.widths)})
            self._shapes_kept = True

    # ---------------------------------------------------------------- answers

    def undeclared(self, error: Exception, z: FloatArray) -> EvaluationError:
        """The exception that ends a run because of `error`, raised by user code at the free point z (n_free,)."""
        x = self.problem.space.expand(z)
        shown = np.array2string(x, threshold=12, max_line_width=10**6)
        new = EvaluationError(
            f"User code raised {type(error).__name__}: {error} at x = {shown} "
            f"(evaluation {self.ledger.nfev}). To count such points as failed and go on, raise "
            "`dfoattack.EvaluationFailed` there, or name the exception in `failures` of the Problem.",
            x,
        )
        new.__cause__ = error
        return new

    def _assembled(self, Z: FloatArray, blocks: Sequence[Block]) -> Evaluations:
        """Minimised rows of all blocks, filled up with NOT_RUN."""
        k = Z.shape[0]
        if len(blocks) == 1 and blocks[0].f.shape[0] == k:
            f, C, status = blocks[0].f, blocks[0].C, blocks[0].status
        else:
            columns = max([self.problem.p or 0, *(block.C.shape[1] for block in blocks)])
            f, C, status = np.full(k, np.nan), np.full((k, columns), np.nan), np.full(k, NOT_RUN, np.int8)
            start = 0
            for block in blocks:
                stop = start + block.f.shape[0]
                f[start:stop], status[start:stop] = block.f, block.status
                if block.C.shape[1] == columns:  # else no row of it was answered
                    C[start:stop] = block.C
                start = stop
        F = self._sign * f + 0.0  # the sum turns -0.0 into 0.0
        if status[0] if k == 1 else status.any():  # Status.OK is 0
            F[status != OK] = np.inf
        return Evaluations(Z, F, C, status, self.ledger.counters)

    def _joined(self, X: FloatArray, parts: Sequence[Evaluations]) -> Evaluations:
        """The parts as one, filled up with NOT_RUN."""
        k, columns = X.shape[0], max([self.problem.p or 0, *(part.C.shape[1] for part in parts)])
        F, C, status = np.full(k, np.inf), np.full((k, columns), np.nan), np.full(k, NOT_RUN, np.int8)
        start = 0
        for part in parts:
            stop = start + len(part)
            F[start:stop], status[start:stop] = part.F, part.status
            if part.C.shape[1] == columns:
                C[start:stop] = part.C
            start = stop
        return Evaluations(X, F, C, status, self.ledger.counters)
