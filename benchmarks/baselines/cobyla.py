"""SciPy's COBYLA (the PRIMA translation): linear models of f and of every c."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import Bounds, NonlinearConstraint, minimize

from benchmarks.baselines._common import LARGE, UnitBox
from benchmarks.baselines.restarts import run_restarted
from benchmarks.columns import Columns, columns
from benchmarks.counting import Counter
from benchmarks.log import Log

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "scipy.optimize.minimize(method='COBYLA'), variables scaled to the unit box, first radius 0.1, tol 1e-8; a point "
    "outside the box is moved to its bound; above 20 constraint columns the largest of each named constraint; random "
    "restarts"
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

        def violation(u: FloatArray) -> FloatArray:
            return np.nan_to_num(chosen.values(counter.value(box.point(u))[1]), nan=LARGE)

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # SciPy's stubs know no float options beside whole ones.
            minimize(  # type: ignore[call-overload]
                lambda u: min(counter.value(box.point(u))[0], LARGE),
                box.unit(z),
                method="COBYLA",
                bounds=Bounds(np.zeros(counter.n), np.ones(counter.n)),
                constraints=[NonlinearConstraint(violation, chosen.low, chosen.high)] if chosen.q else [],
                options={"rhobeg": 0.1, "tol": 1e-8, "maxiter": 10 * int(budget) + 10 * counter.n},
            )

    return run_restarted(counter, seed, local)
