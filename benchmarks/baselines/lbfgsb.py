"""SciPy's L-BFGS-B from many starts, with exact gradients (`run`) or forward differences (`run_differences`), counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import Bounds, minimize

from benchmarks.baselines._common import PENALTY, PENALTY_TEXT, penalised, violation_slopes
from benchmarks.baselines.restarts import run_restarted
from benchmarks.counting import Counter
from benchmarks.log import Log

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "scipy.optimize.minimize(method='L-BFGS-B'), ftol 1e-15, gtol 1e-10; "
    f"{PENALTY_TEXT}; random restarts. `lbfgsb`: exact gradients of objective and penalty, one product a point for both; "
    "`lbfgsb-fd`: its forward differences (step about 1.5e-8 relative)"
)
OPTIONS = {"maxfun": 10**9, "maxiter": 10**6, "ftol": 1e-15, "gtol": 1e-10}


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`. Raises ValueError where the problem has no gradient."""
    if not problem.has_gradient:
        raise ValueError(f"`lbfgsb` needs gradients, and the problem {problem.name} has none. Use `lbfgsb-fd`.")
    counter = Counter(problem, budget, gradient_cost)

    def slope(z: FloatArray) -> FloatArray:
        _, c = counter.value(z)
        return counter.gradient(z, PENALTY * np.nan_to_num(violation_slopes(counter, c)))

    return _run(counter, seed, slope)


def run_differences(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    return _run(Counter(problem, budget, gradient_cost), seed, None)


def _run(counter: Counter, seed: int, slope: Callable[[FloatArray], FloatArray] | None) -> Log:
    def inside(v: FloatArray) -> FloatArray:
        return np.asarray(np.clip(v, counter.lower, counter.upper), dtype=np.float64)

    def local(z: FloatArray, k: int) -> None:
        # SciPy's stubs know no float options beside whole ones.
        minimize(  # type: ignore[call-overload]
            lambda v: penalised(counter, inside(v)),
            z,
            method="L-BFGS-B",
            jac=None if slope is None else lambda v: slope(inside(v)),
            bounds=Bounds(counter.lower, counter.upper),
            options=OPTIONS,
        )

    return run_restarted(counter, seed, local)
