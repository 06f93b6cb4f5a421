"""dfoattack itself, behind the same books as everyone else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import dfoattack as da
from benchmarks.counting import Counter
from benchmarks.log import Log

if TYPE_CHECKING:
    from dfoattack.problem import Problem

CONFIGURATION = "dfoattack.solve, defaults"


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`. What it says it spent is compared with what was counted."""
    counter = Counter(problem, budget, gradient_cost)
    result = da.solve(counter.as_problem(), budget=int(budget), seed=seed, options={"gradient_cost": gradient_cost})
    log = counter.log()
    if result.ngev != log.ngev or result.nfev > log.nfev:
        counter.note(f"claims nfev {result.nfev}, ngev {result.ngev}; counted {log.nfev}, {log.ngev}")
    counter.note(f"stopped: {result.message}")
    return counter.log()
