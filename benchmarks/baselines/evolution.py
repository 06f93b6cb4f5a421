"""SciPy's differential evolution."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import Bounds, NonlinearConstraint, differential_evolution

from benchmarks.baselines._common import LARGE, UnitBox
from benchmarks.baselines.restarts import run_restarted
from benchmarks.columns import Columns, columns
from benchmarks.counting import Counter
from benchmarks.log import Log
from benchmarks.starts import generator

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "scipy.optimize.differential_evolution, defaults (15 n points, best1bin, L-BFGS-B or trust-constr polish with "
    "counted differences), the start is one of the first points; above 20 constraint columns the largest of each named "
    "constraint; random restarts"
)
COLUMN_LIMIT = 20


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    counter = Counter(problem, budget, gradient_cost)
    box = UnitBox.of(counter)
    seen: Columns | None = None

    def local(z: FloatArray, k: int) -> None:
        nonlocal seen
        seen = chosen = seen if seen is not None else columns(counter, COLUMN_LIMIT)

        def violation(v: FloatArray) -> FloatArray:
            # The polish may step out of the box by an ulp of its differences.
            c = counter.value(np.clip(v, box.lower, box.upper))[1]
            return np.nan_to_num(chosen.values(c), nan=LARGE)

        def value(v: FloatArray) -> float:
            return min(counter.value(np.clip(v, box.lower, box.upper))[0], LARGE)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            differential_evolution(
                value,
                Bounds(box.lower, box.upper),
                x0=np.clip(z, box.lower, box.upper),
                maxiter=10**6,
                constraints=NonlinearConstraint(violation, chosen.low, chosen.high) if chosen.q else (),
                rng=generator(counter.problem, seed, 1000 + k),
            )

    return run_restarted(counter, seed, local)
