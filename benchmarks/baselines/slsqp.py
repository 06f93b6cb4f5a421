"""SciPy's SLSQP from many starts: the solver to beat where everything is smooth.

Two ways to its derivatives: exact ones, each vector-Jacobian product charged (`run`), and forward differences, each
point charged (`run_differences`). The second is the cheaper one for few variables and many constraints.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import Bounds, minimize

from benchmarks.baselines.restarts import run_restarted
from benchmarks.columns import Columns, columns, grouped
from benchmarks.counting import Counter
from benchmarks.log import Log

if TYPE_CHECKING:
    from dfoattack._typing import BoolArray, FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "scipy.optimize.minimize(method='SLSQP', ftol=1e-9, maxiter=1000); bounds kept; random restarts. `slsqp`: exact "
    "gradients from the network, all constraint columns if the network has few outputs, else the largest of each named "
    "constraint; "
    "`slsqp-differences`: SciPy's forward differences, all columns"
)
OPTIONS = {"ftol": 1e-9, "maxiter": 1000}
# F of a failed point is infinite, which SLSQP's line search cannot use.
LARGE = 1e30

Local = Callable[["FloatArray", int], None]


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`. Falls back to differences, and says so, where the problem has no gradient."""
    counter = Counter(problem, budget, gradient_cost)
    if not problem.has_gradient:
        counter.note("no gradient: forward differences")
        return run_restarted(counter, seed, _local_differences(counter))
    return run_restarted(counter, seed, _local_exact(counter))


def run_differences(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    counter = Counter(problem, budget, gradient_cost)
    return run_restarted(counter, seed, _local_differences(counter))


def _local_exact(counter: Counter) -> Local:
    seen: Columns | None = None

    def local(z: FloatArray, k: int) -> None:
        nonlocal seen
        seen = chosen = seen if seen is not None else _affordable(counter, z)

        def jacobian(v: FloatArray, members: BoolArray) -> FloatArray:
            # SciPy asks for the gradient where it has just asked for the value: a repeat, therefore free.
            return -counter.jacobian(v, chosen.rows(counter.value(v)[1])[members])

        _solve(counter, z, chosen, counter.gradient, jacobian)

    return local


def _local_differences(counter: Counter) -> Local:
    def local(z: FloatArray, k: int) -> None:
        _solve(counter, z, columns(counter, counter.problem.p or 0), None, None)

    return local


def _affordable(counter: Counter, z: FloatArray) -> Columns:
    """All columns where their Jacobian costs at most twice that of the grouped ones, else the grouped ones."""
    p = counter.problem.p or 0
    return columns(counter, p if min(p, counter.outputs_of(z)) <= 2 * grouped(counter).q else 0)


def _solve(counter: Counter, z: FloatArray, chosen: Columns, gradient: Any, jacobian: Any) -> None:
    def slack(v: FloatArray) -> FloatArray:
        return -np.nan_to_num(chosen.values(counter.value(v)[1]), nan=LARGE)

    constraints = []
    for kind, members in (("ineq", ~chosen.equality), ("eq", chosen.equality)):
        if members.any():
            constraint: dict[str, Any] = {"type": kind, "fun": lambda v, members=members: slack(v)[members]}
            if jacobian is not None:
                constraint["jac"] = lambda v, members=members: jacobian(v, members)
            constraints.append(constraint)
    # SciPy's stubs know neither a dict of constraints built in steps nor a gradient that may be absent.
    minimize(  # type: ignore[call-overload]
        lambda v: min(counter.value(v)[0], LARGE),
        z,
        jac=gradient,
        bounds=Bounds(counter.lower, counter.upper),
        constraints=constraints,
        method="SLSQP",
        options=OPTIONS,
    )
