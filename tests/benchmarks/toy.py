"""A suite of two instances a size and solvers that misbehave, for the arena's tests."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, replace

import numpy as np

import dfoattack as da
from benchmarks.counting import Counter
from benchmarks.log import Log

CONFIGURATION = "made to test the arena"


@dataclass(frozen=True)
class ToyInstance:
    name: str
    group: str
    n: int

    def problem(self) -> da.Problem:
        inside = self.name == "ball"
        return da.Problem(
            objective=lambda y: ((y - 1.0) ** 2).sum(axis=1),
            constraints=[da.Constraint(lambda y: (y**2).sum(axis=1) - 1.0, name="ball")] if inside else [],
            space=da.Box([-3.0] * self.n, [3.0] * self.n),
            sense="minimize",
            name=self.name,
            known=da.Known((np.sqrt(self.n) - 1.0) ** 2 if inside else 0.0, kind="exact"),
            backend="numpy",
        )

    def start(self, seed: int) -> np.ndarray:
        return np.random.default_rng([seed, self.n]).uniform(-3.0, 3.0, self.n)


class ToySuite:
    unit = "n"

    def instances(self, n: list[int] | None = None, only: list[str] | None = None) -> list[ToyInstance]:
        every = [ToyInstance(name, name + "s", size) for size in (2, 3) for name in ("sphere", "ball")]
        return [i for i in every if (n is None or i.n in n) and (only is None or i.name in only)]


def suite() -> ToySuite:
    return ToySuite()


def raises(problem: da.Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    raise ValueError("made to fail")


def crashes(problem: da.Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError("not reached")


def hangs(problem: da.Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])  # as a solver that never comes back to Python
    while True:
        time.sleep(1.0)


def is_slow(problem: da.Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    from benchmarks.baselines.restarts import run_restarted

    counter = Counter(problem, budget, gradient_cost)

    def local(z: np.ndarray, k: int) -> None:
        while True:
            time.sleep(0.02)
            counter.value(counter.lower + (counter.upper - counter.lower) * np.random.default_rng(k).random(counter.n))
            time.sleep(60.0)

    return run_restarted(counter, seed, local)


def overspends(problem: da.Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """Goes on after its budget, towards the optimum."""
    counter = Counter(problem, budget, gradient_cost)
    booked = counter.as_problem()
    for share in np.linspace(0.0, 1.0, 3 * int(budget)):
        X = (problem.space.lower + share * (0.7 - problem.space.lower))[None]
        booked.outer(X, booked.forward(X))
    return counter.log()


def returns_infeasible(problem: da.Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """Evaluates one point within the constraints, and then the minimum of the objective alone."""
    counter = Counter(problem, budget, gradient_cost)
    counter.value(np.full(counter.n, 0.1))
    counter.value(np.ones(counter.n))
    return counter.log()


def forges_constraints(problem: da.Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """The same, and says that it was feasible."""
    log = returns_infeasible(problem, budget, seed, gradient_cost)
    return replace(log, C=np.full_like(log.C, -1.0))


def forges_values(problem: da.Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """Says that the first point was better than anything."""
    log = returns_infeasible(problem, budget, seed, gradient_cost)
    return replace(log, f=log.f - 100.0)


def forges_counts(problem: da.Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """Says that everything was free."""
    log = overspends(problem, budget, seed, gradient_cost)
    return replace(log, spent=np.ones(len(log)))


def forges_budget(problem: da.Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """Gives itself more."""
    return overspends(problem, 3.0 * budget, seed, gradient_cost)


def eats_memory(problem: da.Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    return np.ones(1 << 31).sum()  # 16 GiB
