"""One trip to user code: Phi, then objective and constraints; and the clock that may cut it short."""

from __future__ import annotations

import threading
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING

from dfoattack._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from dfoattack.problem import Problem


class LateError(Exception):
    """Internal: user code was not back in time."""


def within(seconds: float | None, call: Callable[[], None]) -> None:
    """Run `call` here, or (with a limit) in a daemon thread which is abandoned when late.

    A late thread cannot be stopped from outside: it runs on in the background, and what it finds is ignored. Exceptions
    of `call` are raised here, KeyboardInterrupt and SystemExit included.

    Raises
    ------
    LateError       after `seconds`
    """
    if seconds is None:
        call()
        return
    raised: list[BaseException] = []
    finished = threading.Event()

    def target() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)
        finally:
            finished.set()

    threading.Thread(target=target, name="dfoattack-user-code", daemon=True).start()
    if not finished.wait(seconds):
        raise LateError
    if raised:
        raise raised[0]


class UserCall:
    """f and c of a block of points, Phi being run only where its output is not known yet.

    Parameters
    ----------
    problem : Problem
    identity : bool                 Phi is the identity: then f and c are the expensive part, and `known` holds (f, c)
    X : (k, n)                      full space
    known : (k, w) or None          outputs (or (f, c) where `identity`) of the rows that need no expensive call
    missing : (q,) int64 or None    rows of `X` not in `known`; None: all are missing (known is None)

    Attributes
    ----------
    f, C : (k,), (k, p)     user's sense, after `run`
    Y : (k, m) or None      outputs once Phi is back; survives an exception of the outer functions
    sent : int              rows of the expensive part started so far
    """

    __slots__ = ("C", "X", "Y", "f", "forward_s", "identity", "known", "missing", "outer_s", "problem", "sent")

    def __init__(
        self,
        problem: Problem,
        identity: bool,
        X: FloatArray,
        known: FloatArray | None = None,
        missing: IntArray | None = None,
    ) -> None:
        self.problem, self.identity, self.X, self.known, self.missing = problem, identity, X, known, missing
        self.Y: FloatArray | None = None
        self.sent = 0
        self.forward_s = self.outer_s = 0.0

    def run(self) -> None:
        """Call user code; an exception passes through, `sent`, `Y` and the seconds stay right."""
        if self.identity:
            self._run_identity()
            return
        began = perf_counter()
        try:
            Y = self.Y = self._forward()
        finally:
            now = perf_counter()
            self.forward_s = now - began
        try:
            self.f, self.C = self.problem.outer(self.X, Y)
        finally:
            self.outer_s = perf_counter() - now

    def _forward(self) -> FloatArray:
        if self.known is None:
            self.sent = self.X.shape[0]
            return self.problem.forward(self.X)
        Y = self.known.copy()
        if self.missing is not None and self.missing.size:
            self.sent = int(self.missing.size)
            Y[self.missing] = self.problem.forward(self.X[self.missing])
        return Y

    def _run_identity(self) -> None:
        began = perf_counter()
        try:
            if self.known is None:
                self.sent = self.X.shape[0]
                self.Y = self.X
                self.f, self.C = self.problem.outer(self.X, self.X)
                return
            f, C = self.known[:, 0].copy(), self.known[:, 1:].copy()
            if self.missing is not None and self.missing.size:
                self.sent = int(self.missing.size)
                part = self.X[self.missing]
                f[self.missing], C[self.missing] = self.problem.outer(part, part)
            self.f, self.C = f, C
            self.Y = self.X
        finally:
            self.outer_s = perf_counter() - began
