"""A suite of two instances a size and solvers that misbehave, for the arena's tests."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass

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


def eats_memory(problem: da.Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    return np.ones(1 << 31).sum()  # 16 GiB
