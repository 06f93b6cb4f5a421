"""Py-BOBYQA: quadratic interpolation models in a trust region, bounds only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pybobyqa

from benchmarks.baselines._common import PENALTY_TEXT, old_seed, penalised
from benchmarks.baselines.restarts import run_restarted
from benchmarks.counting import Counter
from benchmarks.log import Log

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "pybobyqa.solve, defaults (2n+1 interpolation points, rhoend 1e-8) but for scaling_within_bounds=True where all "
    f"bounds are finite (first radius then a tenth of the box); {PENALTY_TEXT}; random restarts"
)


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    counter = Counter(problem, budget, gradient_cost)
    lower, upper = counter.lower, counter.upper
    scale = bool(np.all(np.isfinite(lower)) and np.all(np.isfinite(upper)))
    free = not (np.any(np.isfinite(lower)) or np.any(np.isfinite(upper)))
    # Its own stand-in for "no bound".
    bounds = None if free else (np.maximum(lower, -1e20), np.minimum(upper, 1e20))

    def local(z: FloatArray, k: int) -> None:
        with old_seed(counter, seed, k):
            pybobyqa.solve(
                # Undoing its scaling may leave the box by an ulp.
                lambda v: penalised(counter, np.clip(v, lower, upper)),
                z,
                bounds=bounds,
                # Repeats are free here but not in its books; our limit is the one that holds.
                maxfun=10 * int(budget) + 100,
                scaling_within_bounds=scale,
                do_logging=False,
            )

    return run_restarted(counter, seed, local)
