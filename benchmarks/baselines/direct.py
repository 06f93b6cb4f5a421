"""SciPy's DIRECT: deterministic division of the box into rectangles; it takes no start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import Bounds, direct

from benchmarks.baselines._common import PENALTY_TEXT, UnitBox, penalised
from benchmarks.baselines.restarts import run_restarted
from benchmarks.counting import Counter
from benchmarks.log import Log

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "scipy.optimize.direct, locally biased, eps 1e-4, no tolerances on volume or length; after its own end again in a "
    f"box half as wide around a random point; {PENALTY_TEXT}"
)


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    counter = Counter(problem, budget, gradient_cost)
    box = UnitBox.of(counter)
    raised: list[BaseException] = []

    def value(z: FloatArray) -> float:
        if raised:
            return 0.0
        try:
            return penalised(counter, np.clip(z, box.lower, box.upper))
        except BaseException as error:
            # Raised through its C code it would come out as another error.
            raised.append(error)
            return 0.0

    def local(z: FloatArray, k: int) -> None:
        lower, upper = box.lower, box.upper
        if k > 0:
            # It would repeat its first run in the whole box.
            quarter = 0.25 * (upper - lower)
            lower, upper = np.maximum(lower, z - quarter), np.minimum(upper, z + quarter)
        direct(
            value,
            Bounds(lower, upper),
            maxfun=int(budget) + 10,
            maxiter=10**6,
            vol_tol=0.0,
            len_tol=0.0,
            f_min_rtol=0.0,
        )
        if raised:
            raise raised[0]

    return run_restarted(counter, seed, local)
