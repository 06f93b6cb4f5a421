"""The four methods of the directional-attack study by its own rules (`dfoattack_problems.study.published`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.baselines.restarts import run_restarted
from benchmarks.counting import Counter, LimitReached
from dfoattack_problems.study.published import SLIPS, Rules, run_method

if TYPE_CHECKING:
    from benchmarks.log import Log
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "rules of the code published with arXiv 2510.01461: one point at a time, sum of max(c, 0)^2 subtracted from the value, "
    "published radii on its three problems and a tenth of the widest side on others, all slips of that code in; "
    "a point asked again is paid again, as there; restarts at random points"
)


def check(options: Mapping[str, Any]) -> None:
    """Options are the slips, True or False each: `study-hybrid:poll=False`. Raises ValueError for others."""
    for name, value in options.items():
        if name not in SLIPS or not isinstance(value, bool):
            raise ValueError(
                f"Options of the study's methods are {', '.join(SLIPS)}, True or False; got {name}={value!r}."
            )


def _run(
    method: str, problem: Problem, budget: float, seed: int, gradient_cost: float, options: Mapping[str, Any] | None
) -> Log:
    counter = Counter(problem, budget, gradient_cost)
    booked = counter.as_problem()
    rules = Rules(**(options or {}))

    def local(z: FloatArray, k: int) -> None:
        if counter.remaining < 1.0:
            raise LimitReached
        run_method(
            method,
            booked,
            counter.remaining,
            seed + 1000 * k,
            gradient_cost=gradient_cost,
            rules=rules,
            start=problem.space.expand(z),
            on_gradient=lambda: counter.charge(vjps=1),
        )

    return run_restarted(counter, seed, local)


def run_line_search(
    problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0, options: Mapping[str, Any] | None = None
) -> Log:
    """Random line searches."""
    return _run("line-search", problem, budget, seed, gradient_cost, options)


def run_cdsm(
    problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0, options: Mapping[str, Any] | None = None
) -> Log:
    """The covering direct search method."""
    return _run("cdsm", problem, budget, seed, gradient_cost, options)


def run_attacks(
    problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0, options: Mapping[str, Any] | None = None
) -> Log:
    """Attacks alone. Raises ValueError where the problem has no gradient."""
    return _run("attacks", problem, budget, seed, gradient_cost, options)


def run_hybrid(
    problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0, options: Mapping[str, Any] | None = None
) -> Log:
    """Attacks and the covering direct search method. Raises ValueError where the problem has no gradient."""
    return _run("hybrid", problem, budget, seed, gradient_cost, options)
