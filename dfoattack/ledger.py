"""What a run has spent (Ledger), and the rows of user answers it may still need (RowStore)."""

from __future__ import annotations

import math

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.trials import Counters


class Ledger:
    """Counters, budget and seconds of one run: the mutable book-keeping behind the evaluator and its gradient views.

    Parameters
    ----------
    budget : float or None     evaluations; None or +inf: no limit
    gradient_cost : float      price of one vector-Jacobian product at one point, in evaluations, > 0
    inner : (int, int)         further passes and products that each row sent through Phi takes, see `Problem.inner_cost`
    """

    __slots__ = ("_inner", "_price", "budget", "gradient_cost", "nfev", "ngev", "nphi", "passes", "seconds")

    def __init__(self, budget: float | None, gradient_cost: float, inner: tuple[int, int] = (0, 0)) -> None:
        self._inner = inner
        self._price = 1 + inner[0] + float(gradient_cost) * inner[1]  # of a row, in evaluations
        self.budget = math.inf if budget is None else float(budget)
        self.gradient_cost = float(gradient_cost)
        self.nfev = self.nphi = self.ngev = self.passes = 0
        self.seconds = {"forward": 0.0, "outer": 0.0, "vjp": 0.0}  # spent in user code

    @property
    def counters(self) -> Counters:
        return Counters(self.nfev, self.nphi, self.ngev, self.passes)

    @property
    def spent(self) -> float:
        return self.nfev + self.passes + self.gradient_cost * self.ngev

    def affords(self, points: int, vjps: int = 0) -> bool:
        """Whether the formula of the budget still holds after so many further points and products."""
        spent = self.nfev + self.passes + points * self._price + self.gradient_cost * (self.ngev + vjps)
        return spent <= self.budget

    def points_left(self) -> float:
        """Whole points the budget still pays for, >= 0; +inf without a budget."""
        left = self.budget - self.spent
        if left == math.inf:
            return math.inf
        whole = max(0, math.floor(left / self._price))
        # The subtraction may round up where gradient_cost is not an integer; `affords` is the rule that must hold.
        while whole and not self.affords(whole):
            whole -= 1
        return whole

    def sent(self, rows: int) -> None:
        """Count rows that went through Phi, with what each of them took inside; whether a row is a pass is the caller's matter."""
        passes, products = self._inner
        self.nphi += rows * (1 + passes)
        self.passes += rows * passes
        self.ngev += rows * products

    def account(self) -> FloatArray:
        """All totals as one array (7,), the last entry of every journalled answer."""
        return np.array((self.nfev, self.nphi, self.ngev, self.passes, *self.seconds.values()))

    def restore(self, account: FloatArray) -> None:
        """Totals as they were when `account` was written."""
        *counts, forward, outer, vjp = account.tolist()
        self.nfev, self.nphi, self.ngev, self.passes = map(int, counts)
        self.seconds.update(forward=forward, outer=outer, vjp=vjp)

    def adopt(self, counters: Counters) -> None:
        """Go on counting from the totals of a saved state."""
        self.nfev, self.nphi, self.ngev, self.passes = counters.nfev, counters.nphi, counters.ngev, counters.passes


class RowStore:
    """Answers by exact point: outputs of Phi, or (f, c) where Phi is the identity. Oldest rows leave first.

    A row is *pending* while it is a counted pass that has not become an evaluation.

    Parameters
    ----------
    limit : int     bytes of row data kept
    """

    __slots__ = ("_bytes", "_limit", "_pending", "_rows")

    def __init__(self, limit: int) -> None:
        self._rows: dict[bytes, FloatArray] = {}
        self._pending: set[bytes] = set()
        self._bytes = 0
        self._limit = limit

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: bytes) -> FloatArray | None:
        return self._rows.get(key)

    def is_pending(self, key: bytes) -> bool:
        return key in self._pending

    def settle(self, key: bytes) -> bool:
        """The point has been evaluated. True if a pending pass turned into this evaluation."""
        if key in self._pending:
            self._pending.remove(key)
            return True
        return False

    def put(self, key: bytes, row: FloatArray, *, pending: bool) -> None:
        """Keep a row (w,); it must not be changed afterwards."""
        old = self._rows.pop(key, None)
        if old is not None:
            self._bytes -= old.nbytes
        self._rows[key] = row
        self._bytes += row.nbytes
        if pending:
            self._pending.add(key)
        while self._bytes > self._limit and len(self._rows) > 1:
            oldest = next(iter(self._rows))
            self._bytes -= self._rows.pop(oldest).nbytes
            self._pending.discard(oldest)

    def snapshot(self) -> tuple[tuple[bytes, FloatArray, bool], ...]:
        """All rows, oldest first: (key, row, pending); `adopt` takes them back."""
        return tuple((key, row, key in self._pending) for key, row in self._rows.items())

    def adopt(self, rows: tuple[tuple[bytes, FloatArray, bool], ...]) -> None:
        """Replace all rows by those of a snapshot."""
        self._rows, self._pending, self._bytes = {}, set(), 0
        for key, row, pending in rows:
            self.put(key, row, pending=pending)
