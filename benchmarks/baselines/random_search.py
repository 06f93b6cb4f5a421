"""Uniform random points of the box: the floor of every comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.counting import Counter, LimitReached
from benchmarks.log import Log
from benchmarks.starts import generator, start, uniform

if TYPE_CHECKING:
    from dfoattack.problem import Problem

CONFIGURATION = "uniform in the box after the problem's start"
BLOCK = 64


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    counter = Counter(problem, budget, gradient_cost)
    rng = generator(problem, seed, 0)
    try:
        counter.value(start(problem, seed, 0))
        while counter.remaining >= 1.0:
            before = counter.spent
            counter.prefetch(uniform(problem, rng, BLOCK))
            if counter.spent == before:  # one point left, or a lattice whose points are all known
                counter.value(uniform(problem, rng, 1)[0])
                if counter.spent == before:
                    break
    except LimitReached:
        pass
    return counter.log()
