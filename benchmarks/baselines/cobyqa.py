"""COBYQA: quadratic models of f and of every c in a trust region, without derivatives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cobyqa
import numpy as np
from scipy.optimize import Bounds, NonlinearConstraint

from benchmarks.baselines.restarts import run_restarted
from benchmarks.columns import Columns, columns
from benchmarks.counting import Counter
from benchmarks.log import Log

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "cobyqa.minimize, defaults but for scale=True and a first radius of a tenth of the box where all bounds are finite; "
    "bounds always respected; above 20 constraint columns the largest of each named constraint; random restarts"
)
COLUMN_LIMIT = 20
# In units of the scaled box [-1, 1]^n. COBYQA moves a start that is nearer to a bound than this: at its default of 1 every
# random start would become a corner, an edge or the centre, and most restarts repeats of earlier ones.
RADIUS = 0.2


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    counter = Counter(problem, budget, gradient_cost)
    scale = bool(np.all(np.isfinite(counter.lower)) and np.all(np.isfinite(counter.upper)))
    seen: Columns | None = None

    def local(z: FloatArray, k: int) -> None:
        nonlocal seen
        seen = chosen = seen if seen is not None else columns(counter, COLUMN_LIMIT)
        constraint = NonlinearConstraint(lambda v: chosen.values(counter.value(v)[1]), chosen.low, chosen.high)
        cobyqa.minimize(
            lambda v: counter.value(v)[0],
            z,
            bounds=Bounds(counter.lower, counter.upper),
            constraints=[constraint] if chosen.q else [],
            options={"maxfev": int(budget) + 1, "scale": scale, **({"radius_init": RADIUS} if scale else {})},
        )

    return run_restarted(counter, seed, local)
