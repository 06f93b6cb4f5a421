"""SciPy's L-BFGS-B with forward differences, every point of which is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import Bounds, minimize

from benchmarks.baselines._common import PENALTY_TEXT, penalised
from benchmarks.baselines.restarts import run_restarted
from benchmarks.counting import Counter
from benchmarks.log import Log

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "scipy.optimize.minimize(method='L-BFGS-B'), its forward differences (step about 1.5e-8 relative), ftol 1e-15, "
    f"gtol 1e-10; {PENALTY_TEXT}; random restarts"
)


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    counter = Counter(problem, budget, gradient_cost)

    def local(z: FloatArray, k: int) -> None:
        # SciPy's stubs know no float options beside whole ones.
        minimize(  # type: ignore[call-overload]
            lambda v: penalised(counter, np.clip(v, counter.lower, counter.upper)),
            z,
            method="L-BFGS-B",
            bounds=Bounds(counter.lower, counter.upper),
            options={"maxfun": 10**9, "maxiter": 10**6, "ftol": 1e-15, "gtol": 1e-10},
        )

    return run_restarted(counter, seed, local)
