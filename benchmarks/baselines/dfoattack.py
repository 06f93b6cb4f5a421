"""dfoattack itself, behind the same books as everyone else; options come from the solver's name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import dfoattack as da
from benchmarks.counting import Counter, LimitReached
from benchmarks.log import Log
from benchmarks.starts import start

if TYPE_CHECKING:
    from collections.abc import Mapping

    from dfoattack.problem import Problem

CONFIGURATION = "dfoattack.solve, defaults; its own restarts"


def check(options: Mapping[str, Any]) -> None:
    """Raises `dfoattack.OptionError` for an option that does not exist or has another kind of value."""
    da.Options.make(options)


def run(
    problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0, options: Mapping[str, Any] | None = None
) -> Log:
    """See `benchmarks.baselines`. What it says it spent is compared with what was counted."""
    counter = Counter(problem, budget, gradient_cost)
    chosen = {"gradient_cost": gradient_cost, **(options or {})}
    booked = counter.as_problem()
    nfev = ngev = k = 0
    try:
        # Its own restarts use the budget up; switched off by an option, the rule of all others holds.
        while counter.remaining >= 1.0:
            before = counter.spent
            if k > 0:
                booked.x0 = problem.space.expand(start(problem, seed, k))[None]
            result = da.solve(booked, budget=int(counter.remaining), seed=seed + 1000 * k, options=chosen)
            nfev, ngev = nfev + result.nfev, ngev + result.ngev
            k += 1
            counter.note(f"stopped: {result.message}")
            if counter.spent == before:
                break
    except LimitReached:
        return counter.log()
    except Exception as error:
        counter.fail(f"{type(error).__name__}: {error}"[:500])
        return counter.log()
    log = counter.log()
    # A second solve may ask again for points that are logged already; it pays for them.
    if ngev != log.ngev or (k == 1 and nfev > log.nfev):
        counter.note(f"claims nfev {nfev}, ngev {ngev}; counted {log.nfev}, {log.ngev}")
    return counter.log()
