"""One block of points through user code: a status for each row, and the bad rows told from the good ones."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dfoattack._typing import FloatArray, IntArray, StatusArray
from dfoattack.errors import DfoattackError, EvaluationFailed
from dfoattack.trials import Status
from dfoattack.user_call import LateError, UserCall, within
from dfoattack.workers import Answer, Died, Mapped, Pool

if TYPE_CHECKING:
    from dfoattack.ledger import Ledger
    from dfoattack.problem import Problem

_NOTE_LENGTH = 500


class Block(NamedTuple):
    """What became of the first q rows of a block."""

    f: FloatArray  # (q,) user's sense, NaN unless OK
    C: FloatArray  # (q, p) NaN rows unless OK; p = 0 while no row of the run was answered
    status: StatusArray  # (q,)
    Y: FloatArray | None  # (q, m) outputs of Phi, rows right where OK
    notes: dict[int, str]  # why a row is not OK
    error: Exception | None  # undeclared, raised by the last of the rows; the rows behind it are not part of the answer


class BlockRunner:
    """Runs blocks and counts the rows sent through the expensive part: Phi, or f and c where Phi is the identity.

    Parameters
    ----------
    problem : Problem
    identity : bool             Phi is the identity
    timeout : float or None     seconds a point; every row then runs by itself, in a thread of its own
    ledger : Ledger             asked whether a second trip of a row is affordable; only its seconds are changed here
    pool : Pool or Mapped       where the rows are run, one by one; None: here
    """

    def __init__(
        self,
        problem: Problem,
        identity: bool,
        timeout: float | None,
        ledger: Ledger,
        pool: Pool | Mapped | None = None,
    ) -> None:
        self._problem = problem
        self._identity = identity
        self._timeout = timeout
        self._ledger = ledger
        self._pool = pool

    def run(self, X: FloatArray, known: FloatArray | None, missing: IntArray | None) -> tuple[Block, int]:
        """Run the rows X (k, n), full space; `known` and `missing` as in `UserCall`.

        A block that raises is run again row by row, so that only the bad rows fail. Rows whose second trip the budget
        does not cover share the fate of the block. ProblemError and what is not an Exception pass through.

        Returns
        -------
        (Block, int)    the rows up to the first undeclared exception; rows sent in all
        """
        if self._pool is not None and known is None:
            return self._elsewhere(X, self._pool)
        if self._timeout is not None:
            return self._one_by_one(X, known, missing)
        call = UserCall(self._problem, self._identity, X, known, missing)
        try:
            call.run()
        except Exception as error:
            self._clock(call)
            refuse(error)
            return self._one_by_one(X, known, missing, call, error)
        self._clock(call)
        f = call.f
        return _screened(f, call.C, np.zeros(f.shape[0], np.int8), None if self._identity else call.Y, {}), call.sent

    def _elsewhere(self, X: FloatArray, pool: Pool | Mapped) -> tuple[Block, int]:
        """Run all rows in the pool; every row makes one trip, and none is sent again."""
        rows: list[Answer | Exception] = []
        for result in pool(X):
            if isinstance(result, Answer):
                m, widths = result.shapes
                if widths is not None:
                    self._problem.learn_widths(widths)
                    self._problem.m = m
                self._ledger.seconds["forward"] += result.forward_s
                self._ledger.seconds["outer"] += result.outer_s
            else:
                refuse(result)
            rows.append(result)
            if isinstance(result, Exception) and not isinstance(result, (LateError, Died, *self._problem.failures)):
                return self._gathered(rows)._replace(error=result), X.shape[0]
        return self._gathered(rows), X.shape[0]

    def _one_by_one(
        self,
        X: FloatArray,
        known: FloatArray | None,
        missing: IntArray | None,
        failed: UserCall | None = None,
        cause: Exception | None = None,
    ) -> tuple[Block, int]:
        """Run rows singly; `failed`, `cause`: the block that raised before, and what."""
        k = X.shape[0]
        first_trip = sent = 0 if failed is None else failed.sent
        fresh = k if missing is None else int(missing.size)
        if failed is not None and failed.Y is not None and not self._identity:
            known, missing = failed.Y, np.empty(0, np.int64)  # Phi did answer: only f and c are asked again
        lacking = np.zeros(k, np.bool_)
        lacking[slice(None) if missing is None else missing] = True
        rows: list[Answer | Exception] = []
        for row in range(k):
            priced = not lacking[row] or self._ledger.affords(fresh + sent - first_trip + 1)
            if cause is not None and (k == 1 or not priced):
                result: Answer | Exception = cause
            else:
                part = None if known is None or lacking[row] else known[row : row + 1]
                one = UserCall(self._problem, self._identity, X[row : row + 1], part)
                raised = self._timed(one)
                sent += one.sent
                result = _answer(one, self._identity) if raised is None else raised
            rows.append(result)
            if isinstance(result, Exception) and not isinstance(result, (LateError, *self._problem.failures)):
                return self._gathered(rows)._replace(error=result), sent
        return self._gathered(rows), sent

    def _timed(self, call: UserCall) -> Exception | None:
        """Run one call under the time limit and return the exception it raised, if that is a matter of the point."""
        try:
            within(self._timeout, call.run)
        except LateError as late:
            # The abandoned thread goes on writing into `call`: book the wait, not its clock.
            self._ledger.seconds["outer" if self._identity else "forward"] += self._timeout or 0.0
            return late
        except Exception as error:
            self._clock(call)
            refuse(error)
            return error
        self._clock(call)
        return None

    def _gathered(self, rows: list[Answer | Exception]) -> Block:
        """One block of single rows."""
        q, p = len(rows), self._problem.p or 0
        f, C, status = np.full(q, np.nan), np.full((q, p), np.nan), np.full(q, Status.FAILED, np.int8)
        Y: FloatArray | None = None
        notes: dict[int, str] = {}
        for i, row in enumerate(rows):
            if isinstance(row, Answer):
                f[i], C[i], status[i] = row.f, row.C, Status.OK
                if row.Y is not None:
                    Y = np.full((q, row.Y.shape[0]), np.nan) if Y is None else Y
                    Y[i] = row.Y
            elif isinstance(row, LateError):
                status[i], notes[i] = Status.TIMEOUT, f"not back within {self._timeout} s"
            else:
                notes[i] = f"{type(row).__name__}: {row}"[:_NOTE_LENGTH]
        return _screened(f, C, status, Y, notes)

    def _clock(self, call: UserCall) -> None:
        seconds = self._ledger.seconds
        seconds["forward"] += call.forward_s
        seconds["outer"] += call.outer_s


def _answer(call: UserCall, identity: bool) -> Answer:
    """The answer of a call of one row."""
    Y = None if identity or call.Y is None else call.Y[0]
    return Answer(float(call.f[0]), call.C[0], Y, call.forward_s, call.outer_s, (None, None))


def refuse(error: Exception) -> None:
    """Raise what is wrong with the statement of the problem: that is nobody's failed point."""
    if isinstance(error, DfoattackError) and not isinstance(error, EvaluationFailed):
        raise error


def _screened(f: FloatArray, C: FloatArray, status: StatusArray, Y: FloatArray | None, notes: dict[int, str]) -> Block:
    """The block, rows with NaN or an infinity made NONFINITE."""
    single = f.shape[0] == 1 and not C.shape[1]  # the commonest block, and reductions of arrays cost ten times as much
    if math.isfinite(f[0]) if single else (np.isfinite(f).all() and np.isfinite(C).all()):
        return Block(f, C, status, Y, notes, None)
    bad = ~(np.isfinite(f) & np.isfinite(C).all(axis=1))
    for row in np.flatnonzero(bad & (status == Status.OK)).tolist():
        notes[row] = _nonfinite(float(f[row]), C[row])
        status[row] = Status.NONFINITE
    f[bad], C[bad] = np.nan, np.nan
    return Block(f, C, status, Y, notes, None)


def _nonfinite(f: float, c: FloatArray) -> str:
    if not np.isfinite(f):
        return f"f = {f}"
    column = int(np.flatnonzero(~np.isfinite(c))[0])
    return f"c[{column}] = {c[column]}"
