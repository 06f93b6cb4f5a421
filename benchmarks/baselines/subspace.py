"""Direct search in random subspaces (package directsearch, Roberts and Royer 2023), for many variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import directsearch

from benchmarks.baselines._common import PENALTY_TEXT, UnitBox, old_seed, penalised
from benchmarks.baselines.restarts import run_restarted
from benchmarks.counting import Counter
from benchmarks.log import Log

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "directsearch.solve_subspace_directsearch, one-dimensional Gaussian sketches (its authors' choice), poll 2n, "
    "variables scaled to the unit box, first step 0.1, alpha_min 1e-9; it knows no bounds: a point outside the box is "
    f"moved to its bound; {PENALTY_TEXT}; random restarts"
)


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    counter = Counter(problem, budget, gradient_cost)
    box = UnitBox.of(counter)

    def local(z: FloatArray, k: int) -> None:
        with old_seed(counter, seed, k):
            directsearch.solve_subspace_directsearch(
                lambda u: penalised(counter, box.point(u)),
                box.unit(z),
                sketch_dim=1,
                sketch_type="gaussian",
                maxevals=10 * int(budget) + 100,
                alpha0=0.1,
                alpha_min=1e-9,
            )

    return run_restarted(counter, seed, local)
