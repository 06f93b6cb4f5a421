"""NLopt's BOBYQA and Sbplx (subspace Nelder-Mead): compiled, bounds only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nlopt
import numpy as np

from benchmarks.baselines._common import PENALTY_TEXT, UnitBox, penalised
from benchmarks.baselines.restarts import run_restarted
from benchmarks.counting import Counter
from benchmarks.log import Log

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "nlopt LN_BOBYQA (`nlopt-bobyqa`), LN_SBPLX (`nlopt-sbplx`), variables scaled to the unit box, first step 0.1, "
    f"xtol_rel 1e-10; {PENALTY_TEXT}; random restarts"
)


def run_bobyqa(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    return _run(nlopt.LN_BOBYQA, problem, budget, seed, gradient_cost)


def run_sbplx(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    return _run(nlopt.LN_SBPLX, problem, budget, seed, gradient_cost)


def _run(algorithm: int, problem: Problem, budget: float, seed: int, gradient_cost: float) -> Log:
    counter = Counter(problem, budget, gradient_cost)
    box = UnitBox.of(counter)

    def local(z: FloatArray, k: int) -> None:
        optimiser = nlopt.opt(algorithm, counter.n)
        raised: list[BaseException] = []

        def value(u: FloatArray, gradient: FloatArray) -> float:
            # NLopt loses what is raised in some of its algorithms; it is kept here and raised again below.
            try:
                return penalised(counter, box.point(u))
            except BaseException as error:
                raised.append(error)
                optimiser.force_stop()
                return 0.0

        optimiser.set_min_objective(value)
        optimiser.set_lower_bounds(np.zeros(counter.n))
        optimiser.set_upper_bounds(np.ones(counter.n))
        optimiser.set_initial_step(0.1)
        optimiser.set_xtol_rel(1e-10)
        # Points asked again are free: without this a solver could go on for ever.
        optimiser.set_maxeval(10 * int(budget) + 100)
        try:
            optimiser.optimize(box.unit(z))
        except (nlopt.ForcedStop, nlopt.RoundoffLimited):
            pass
        if raised:
            raise raised[0]

    return run_restarted(counter, seed, local)
