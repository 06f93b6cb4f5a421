"""The one door between a solver under comparison and a problem: it counts, logs and stops.

Scores are computed from the `Log` alone, never from what a solver says about itself. Counting rules:

- one evaluation = f and all c at one point. Asked again at the same point (f and c apart, a solver without a cache) it
  is a hit and free, as dfoattack's own cache hits are; hits are reported.
- a vector-Jacobian product at one point costs `gradient_cost` evaluations, whoever asks for it.
- a forward pass of the network whose f and c are not asked for (inside an attack) costs one evaluation as well.
- failed points cost what they would have cost otherwise.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.log import FAILED, NONFINITE, OK, Log
from dfoattack.surrogate import Identity

if TYPE_CHECKING:
    import numpy.typing as npt

    from dfoattack._typing import FloatArray, IntArray
    from dfoattack.problem import Problem


class LimitReached(BaseException):
    """The budget, or the time of a run, is spent. Not an `Exception`: solvers that catch those must not swallow it."""


@dataclass
class _Answer:
    """What is known about one point; `F` is minimised (+inf after a failure)."""

    y: FloatArray | None
    F: float
    c: FloatArray


@dataclass
class _Rows:
    """The log while it grows."""

    X: list[FloatArray] = field(default_factory=list)
    f: list[float] = field(default_factory=list)
    C: list[FloatArray | None] = field(default_factory=list)
    status: list[int] = field(default_factory=list)
    spent: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


class Counter:
    """Counts and logs every use of a problem; raises `LimitReached` instead of exceeding the budget.

    Solvers talk to it in one of two ways: point by point in the space of the free variables, everything minimised
    (`value`, `gradient`, `jacobian`), or through `as_problem()`, a `Problem` whose calls go through the same books.

    Parameters
    ----------
    problem : Problem
    budget : float > 0          counted evaluations
    gradient_cost : float > 0   evaluations charged for one vector-Jacobian product at one point
    """

    def __init__(self, problem: Problem, budget: float, gradient_cost: float = 2.0) -> None:
        self.problem = problem
        self.space = problem.space
        self.n = int(problem.space.n_free)
        self.lower: FloatArray = problem.space.free_lower
        self.upper: FloatArray = problem.space.free_upper
        self.budget = float(budget)
        self.gradient_cost = float(gradient_cost)
        self.spent = 0.0
        self.notes: list[str] = []
        self._granular = bool(np.any(problem.space.free_granularity > 0.0))
        self._known: dict[bytes, _Answer] = {}
        self._rows = _Rows()
        self._nfev = self._nphi = self._ngev = self._hits = 0
        self._seconds_user = self._cpu_user = 0.0
        self._extra_cpu = 0.0
        self._error = ""
        self._wall0, self._cpu0 = time.perf_counter(), time.process_time()

    @property
    def remaining(self) -> float:
        """Counted evaluations left."""
        return self.budget - self.spent

    def full(self, z: npt.ArrayLike) -> FloatArray:
        """(n_free,) -> (n,): lattice values for granular variables, fixed ones put in. Bounds are not repaired."""
        point = np.array(z, dtype=np.float64)
        if self._granular:
            point = self.space.snap(point)
        return self.space.expand(point) + 0.0

    def value(self, z: npt.ArrayLike) -> tuple[float, FloatArray]:
        """F (minimised, +inf if the point failed) and c (p,) (NaN if it failed) at one point."""
        answer = self._answer(self.full(z))
        return answer.F, answer.c

    def prefetch(self, Z: npt.ArrayLike) -> None:
        """Evaluate the rows of Z (k, n_free) in one block, as far as the budget allows; `value` then finds them."""
        points = [self.full(z) for z in np.atleast_2d(np.asarray(Z, dtype=np.float64))]
        new = {x.tobytes(): x for x in points if x.tobytes() not in self._known}
        block = list(new.values())[: max(0, int(self.remaining))]
        if len(block) > 1:
            self._evaluate(np.array(block))

    def gradient(self, z: npt.ArrayLike, weights: FloatArray | None = None) -> FloatArray:
        """Gradient (n_free,) of the minimised objective, plus `weights` (p,) times c; one vector-Jacobian product.

        Zero where there is none.
        """
        x, answer = self._at(z)
        if answer.y is None:
            return np.zeros(self.n)
        weight = np.full(1, float(self.problem.sign))
        with self._user_code():
            W = None if weights is None else weights[None]
            g = np.asarray(self.problem.vjp(x[None], answer.y[None], weight, W), dtype=np.float64)
        self.charge(vjps=1)
        return self.space.reduce(np.where(np.isfinite(g), g, 0.0)[0])

    def jacobian(self, z: npt.ArrayLike, rows: IntArray) -> FloatArray:
        """Jacobian (q, n_free) of the named constraint columns; charged as the problem says (min(q, m) at most)."""
        x, answer = self._at(z)
        if answer.y is None:
            return np.zeros((len(rows), self.n))
        with self._user_code():
            J, vjps = self.problem.constraint_jacobian(x, answer.y, rows)
        self.charge(_price(self.problem, J, vjps))
        return self.space.reduce(np.where(np.isfinite(J), J, 0.0))

    def outputs_of(self, z: npt.ArrayLike) -> int:
        """m: how many numbers the network returns (the point is evaluated if it is new)."""
        _, answer = self._at(z)
        return 0 if answer.y is None else int(answer.y.shape[0])

    def charge(self, vjps: int) -> None:
        """Book vector-Jacobian products; raises when they no longer fit."""
        self._ngev += vjps
        self.spent += self.gradient_cost * vjps
        if self.spent > self.budget:
            raise LimitReached

    def add_cpu(self, seconds: float) -> None:
        """CPU seconds of a child process that belong to this run."""
        self._extra_cpu += seconds

    def note(self, text: str) -> None:
        """Remember a remark for the report, once."""
        if text not in self.notes:
            self.notes.append(text)

    def fail(self, text: str) -> None:
        """The solver broke down and the run ends here; what was logged before counts."""
        self._error = text

    def as_problem(self) -> Problem:
        """A `Problem` like the original whose forward passes, answers and gradients are booked and logged here.

        It never raises `LimitReached`: a solver that overspends is shown by its log, whose rows beyond the budget do
        not count.
        """
        return _booked(self)

    def log(self) -> Log:
        """The log so far, as arrays."""
        # A time limit may interrupt between two appends; `cpu` is the last column of a row.
        rows, N = self._rows, len(self._rows.cpu)
        p = next((c.shape[0] for c in rows.C if c is not None), 0)
        C = np.full((N, p), np.nan)
        for i, c in enumerate(rows.C[:N]):
            if c is not None:
                C[i] = c
        return Log(
            X=np.array(rows.X[:N]).reshape(N, self.problem.n),
            f=np.array(rows.f[:N]),
            C=C,
            status=np.array(rows.status[:N], dtype=np.int8),
            spent=np.array(rows.spent[:N]),
            wall=np.array(rows.wall[:N]),
            cpu=np.array(rows.cpu),
            nfev=self._nfev,
            nphi=self._nphi,
            ngev=self._ngev,
            hits=self._hits,
            budget=self.budget,
            gradient_cost=self.gradient_cost,
            seconds_user=self._seconds_user,
            seconds_cpu=time.process_time() - self._cpu0 + self._extra_cpu,
            notes=tuple(self.notes),
            cpu_user=self._cpu_user,
            error=self._error,
        )

    @contextmanager
    def _user_code(self) -> Iterator[None]:
        """Clocks around the problem's own code."""
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self._seconds_user += time.perf_counter() - wall
            self._cpu_user += time.process_time() - cpu

    def _answer(self, x: FloatArray) -> _Answer:
        found = self._known.get(x.tobytes())
        if found is not None:
            self._hits += 1
            return found
        self._evaluate(x[None])
        return self._known[x.tobytes()]

    def _at(self, z: npt.ArrayLike) -> tuple[FloatArray, _Answer]:
        """The point and what is known there; evaluated first (and counted) if it is new."""
        x = self.full(z)
        answer = self._known.get(x.tobytes())
        return x, answer if answer is not None else self._answer(x)

    def _evaluate(self, X: FloatArray) -> None:
        """One block (k, n), k within what remains; a block that raises is run again row by row."""
        if self.remaining < X.shape[0]:
            raise LimitReached
        try:
            with self._user_code():
                Y = np.asarray(self.problem.forward(X), dtype=np.float64)
                f, C = self.problem.outer(X, Y)
        except self.problem.failures:
            if X.shape[0] > 1:
                for row in X:
                    self._evaluate(row[None])
                return
            self._nphi += 1
            self._book(X[0], None, np.nan, None)
            return
        self._nphi += X.shape[0]
        for i in range(X.shape[0]):
            self._book(X[i], Y[i].copy(), float(f[i]), np.array(C[i], dtype=np.float64))

    def _book(self, x: FloatArray, y: FloatArray | None, f: float, c: FloatArray | None) -> None:
        self._nfev += 1
        self.spent += 1.0
        self._write(x, f, c, self.spent)
        usable = c is not None and bool(np.isfinite(f)) and bool(np.isfinite(c).all())
        p = self.problem.p or 0
        F = self.problem.sign * f if usable else np.inf
        self._known[x.tobytes()] = _Answer(y, F, c if usable and c is not None else np.full(p, np.nan))

    def _write(self, x: FloatArray, f: float, c: FloatArray | None, spent: float) -> None:
        finite = c is not None and bool(np.isfinite(f)) and bool(np.isfinite(c).all())
        rows = self._rows
        rows.X.append(np.array(x, dtype=np.float64))
        rows.f.append(f)
        rows.C.append(c)
        rows.status.append(OK if finite else FAILED if c is None else NONFINITE)
        rows.spent.append(spent)
        rows.wall.append(time.perf_counter() - self._wall0)
        rows.cpu.append(time.process_time() - self._cpu0)


def _price(problem: Problem, J: FloatArray, vjps: int) -> int:
    """Products to charge for a Jacobian (q, n): those of the network; without a network min(q, n), for none is free."""
    return min(J.shape) if isinstance(problem.surrogate, Identity) else int(vjps)


def _booked(counter: Counter) -> Problem:
    """A shallow copy of the problem whose four calls pass through the counter's books."""
    booked = copy.copy(counter.problem)
    kind = type(booked)
    identity = isinstance(booked.surrogate, Identity)  # then the outer functions are what costs
    paid: dict[bytes, float] = {}  # points of the latest forward pass -> what was spent when each was paid
    written: set[bytes] = set()

    def keys(X: FloatArray) -> list[bytes]:
        return [(x + 0.0).tobytes() for x in X]

    def pay(X: FloatArray) -> None:
        paid.clear()
        for key in keys(X):
            counter._nphi += 1
            counter.spent += 1.0
            paid[key] = counter.spent

    def forward(X: FloatArray, traced: bool = False) -> FloatArray:
        if not identity:
            pay(X)
        with counter._user_code():
            return kind.forward(booked, X, traced)

    def outer(X: FloatArray, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
        if identity:
            pay(X)
        with counter._user_code():
            f, C = kind.outer(booked, X, Y)
        if counter.problem.widths is None and booked.widths is not None:
            # The scores must know which columns are equalities.
            counter.problem.learn_widths(booked.widths)
        for i, key in enumerate(keys(X)):
            if key not in written:
                written.add(key)
                counter._nfev += 1
                counter._write(X[i] + 0.0, float(f[i]), np.array(C[i], dtype=np.float64), paid.get(key, counter.spent))
        return f, C

    def vjp(X: FloatArray, Y: FloatArray, wf: FloatArray, W: FloatArray | None = None) -> FloatArray:
        with counter._user_code():
            G = kind.vjp(booked, X, Y, wf, W)
        charge(X.shape[0])
        return G

    def constraint_jacobian(x: FloatArray, y: FloatArray, rows: npt.ArrayLike) -> tuple[FloatArray, int]:
        with counter._user_code():
            J, vjps = kind.constraint_jacobian(booked, x, y, rows)
        charge(_price(booked, J, vjps))
        return J, vjps

    def charge(vjps: int) -> None:
        counter._ngev += vjps
        counter.spent += counter.gradient_cost * vjps

    # Instance attributes hide the methods of the class: the copy stays a Problem in every other respect.
    vars(booked).update(forward=forward, outer=outer, vjp=vjp, constraint_jacobian=constraint_jacobian)
    return booked
