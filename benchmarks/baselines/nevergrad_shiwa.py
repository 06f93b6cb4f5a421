"""Nevergrad's Shiwa, which chooses among its algorithms by the problem's size and budget (Liu et al. 2020).

Its successor NGOpt raises in its meta-model under NumPy 2.4 (nevergrad 1.0.12: a float is made of an array).
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import nevergrad
import numpy as np

from benchmarks.baselines._common import LARGE, UnitBox, number, old_seed, one_sided
from benchmarks.baselines.restarts import run_restarted
from benchmarks.counting import Counter
from benchmarks.log import Log

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "nevergrad.optimizers.Shiwa, defaults, told the budget; variables scaled to the unit box, the start suggested first; "
    "violations max(c, 0) given as constraint_violation, which Nevergrad adds to the loss as a growing penalty"
)


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    counter = Counter(problem, budget, gradient_cost)
    box = UnitBox.of(counter)

    def local(z: FloatArray, k: int) -> None:
        with old_seed(counter, seed, k), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            array = nevergrad.p.Array(init=np.full(counter.n, 0.5)).set_bounds(0.0, 1.0)
            array.random_state = np.random.RandomState(number(counter, seed, k))
            limit = max(1, int(counter.remaining))
            optimiser = nevergrad.optimizers.Shiwa(parametrization=array, budget=limit, num_workers=1)
            optimiser.suggest(box.unit(z))
            # Points asked again are free; a run that only repeats itself must end all the same.
            for _ in range(4 * limit):
                candidate = optimiser.ask()
                F, c = counter.value(box.point(candidate.value))
                violation = np.maximum(np.nan_to_num(one_sided(counter, c), nan=LARGE), 0.0)
                optimiser.tell(candidate, min(F, LARGE), list(violation) if len(violation) else None)

    return run_restarted(counter, seed, local)
