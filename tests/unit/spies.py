"""User code that keeps a log of what it was asked, for tests of counting and accounting."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from dfoattack.evaluator import Evaluator
from dfoattack.problem import Constraint, Problem
from dfoattack.space import Box


class SpyPhi:
    """Phi(x) = (sum x, sum x^2, x_0), with its vector-Jacobian product; counts rows, can be told to misbehave.

    bad : maps a point (n,) to an exception to raise, a number to answer in the first column, "hang", or None
    """

    def __init__(self, bad: Callable[[np.ndarray], Any] = lambda x: None, hang: float = 5.0) -> None:
        self.rows = self.calls = self.vjp_rows = 0
        self.bad = bad
        self.hang = hang

    def predict(self, X: np.ndarray) -> np.ndarray:
        self.calls += 1
        self.rows += len(X)
        Y = np.stack([X.sum(axis=1), (X**2).sum(axis=1), X[:, 0]], axis=1)
        for i, x in enumerate(X):
            mischief = self.bad(x)
            if isinstance(mischief, BaseException):
                raise mischief
            if mischief == "hang":
                time.sleep(self.hang)
            elif mischief is not None:
                Y[i, 0] = mischief
        return Y

    def vjp(self, X: np.ndarray, V: np.ndarray) -> np.ndarray:
        self.vjp_rows += len(X)
        G = V[:, :1] + 2.0 * X * V[:, 1:2]
        G[:, 0] += V[:, 2]
        return G

    def fingerprint(self) -> str:
        return "spy"


class BlindPhi(SpyPhi):
    """The same without gradients."""

    vjp = None  # type: ignore[assignment]


def network_problem(
    phi: SpyPhi, n: int = 3, sense: str = "maximize", fixed: dict[int, float] | None = None, **more: Any
) -> Problem:
    """f = y_0 with c_0 = y_1 - 1 and c_1 = y_2 + x_1 - 1 in [-2, 2]^n."""
    return Problem(
        surrogate=phi,
        objective=lambda y: y[:, 0],
        constraints=[Constraint(lambda y: y[:, 1] - 1.0), Constraint(lambda x, y: y[:, 2] + x[:, 1] - 1.0)],
        space=Box(np.full(n, -2.0), np.full(n, 2.0), fixed=fixed),
        sense=sense,
        **more,
    )


class SpyFunction:
    """f(x) = sum x^2 as a batched objective without a network; counts rows."""

    def __init__(self, bad: Callable[[np.ndarray], Any] = lambda x: None) -> None:
        self.rows = 0
        self.gradient_rows = 0
        self.bad = bad

    def __call__(self, y: np.ndarray) -> np.ndarray:
        self.rows += len(y)
        f = (y**2).sum(axis=1)
        for i, x in enumerate(y):
            mischief = self.bad(x)
            if isinstance(mischief, BaseException):
                raise mischief
            if mischief is not None:
                f[i] = mischief
        return f

    def gradient(self, y: np.ndarray) -> np.ndarray:
        self.gradient_rows += len(y)
        return 2.0 * y


def plain_problem(fun: SpyFunction, n: int = 3, gradient: bool = False, **more: Any) -> Problem:
    """Minimise the function in [-2, 2]^n."""
    grad = fun.gradient if gradient else None
    return Problem(
        objective=fun, objective_grad=grad, space=Box(np.full(n, -2.0), np.full(n, 2.0)), sense="minimize", **more
    )


def points(k: int, n: int = 3, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1.0, 1.0, (k, n))


def marked(value: float) -> Callable[[Callable[[], Any]], Callable[[np.ndarray], Any]]:
    """Mischief at the points whose first coordinate is `value`."""

    def with_mischief(make: Callable[[], Any]) -> Callable[[np.ndarray], Any]:
        return lambda x: make() if x[0] == value else None

    return with_mischief


def mixed_session(evaluator: Evaluator, steps: int = 6) -> list[np.ndarray]:
    """A loop like a solver's: blocks, passes that become evaluations, gradients. Returns all it was told."""
    told: list[np.ndarray] = []
    x = np.zeros(evaluator.problem.space.n_free)
    rng = np.random.default_rng(5)
    for iteration in range(steps):
        if evaluator.journal is not None:
            evaluator.journal.set_step("poll", iteration)  # type: ignore[attr-defined]
        Z = np.clip(x + 0.5 * rng.standard_normal((3, x.size)), -2.0, 2.0)
        answer = evaluator.evaluate(Z, np.ones(3, np.bool_))
        told += [answer.F, answer.C, answer.status]
        view = evaluator.view()
        if view.has_gradient and answer.ok[0] and view.affords(3, 4):
            g = view.grad(Z[:1])
            W = np.ones((1, view.p))
            told += [g, view.vjp_c(Z[:1], W), view.grad_mix(Z[:1], np.ones(1), W)]
            ladder = np.clip(Z[0] - np.outer([0.1, 0.2, 0.3], g[0]), -2.0, 2.0)
            Y = view.outputs(ladder)
            F, C = view.values(ladder, Y)
            told += [Y, F, C]
            if view.p:
                told.append(view.constraint_jacobian(Z[0], np.arange(view.p)))
            answer = evaluator.evaluate(ladder[:1])
            told += [answer.F, answer.C, answer.status]
        x = Z[int(np.argmin(answer.F))] if len(answer.F) == 3 else ladder[0]
        told.append(np.array([*_counts(evaluator)], dtype=np.float64))
    return told


def _counts(evaluator: Evaluator) -> tuple[int, int, int, int]:
    c = evaluator.counters
    return c.nfev, c.nphi, c.ngev, c.passes


def same(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    """Equal bit by bit."""
    return len(left) == len(right) and all(a.tobytes() == b.tobytes() for a, b in zip(left, right, strict=True))


def store_path(folder: Path) -> Path:
    return folder / "run.db"
