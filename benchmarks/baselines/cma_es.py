"""CMA-ES (pycma) with its augmented Lagrangian for constraints; the loop is that of `cma.fmin_con2`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import cma
import numpy as np
from cma import constraints_handler
from cma.logger import LoggerDummy

from benchmarks.baselines.restarts import run_restarted
from benchmarks.columns import Columns, columns
from benchmarks.counting import Counter
from benchmarks.log import Log
from benchmarks.starts import generator

if TYPE_CHECKING:
    import numpy.typing as npt

    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "cma.CMAEvolutionStrategy with cma.ConstrainedFitnessAL (the loop of fmin_con2), variables scaled to the unit "
    "box, sigma 0.2, pycma's bound transformation; above 20 constraint columns the largest of each named constraint; "
    "random restarts, population doubled at each"
)
# pycma's own way to keep its augmented Lagrangian from writing files into the working directory.
constraints_handler._Logger = LoggerDummy

COLUMN_LIMIT = 20
SIGMA = 0.2
# pycma wants the start strictly inside its bounds; in units of the box.
MARGIN = 1e-6


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    counter = Counter(problem, budget, gradient_cost)
    finite = np.isfinite(counter.lower) & np.isfinite(counter.upper)
    width = np.where(finite, counter.upper - counter.lower, 1.0)
    origin = np.where(finite, counter.lower, 0.0)
    low = np.where(np.isfinite(counter.lower), (counter.lower - origin) / width, -np.inf)
    high = np.where(np.isfinite(counter.upper), (counter.upper - origin) / width, np.inf)
    seen: Columns | None = None

    def point(u: npt.ArrayLike) -> FloatArray:
        # Rounding in the scaling may leave the box by an ulp.
        u = np.asarray(u, dtype=np.float64)
        return np.asarray(np.clip(origin + width * u, counter.lower, counter.upper), dtype=np.float64)

    def local(z: FloatArray, k: int) -> None:
        nonlocal seen
        seen = chosen = seen if seen is not None else columns(counter, COLUMN_LIMIT)
        u0 = np.clip((z - origin) / width, low + MARGIN, high - MARGIN)
        strategy = _strategy(u0, low, high, k, int(generator(counter.problem, seed, k).integers(1, 2**31 - 1)))
        if not chosen.q:
            while not strategy.stop():
                U = strategy.ask()
                counter.prefetch(np.array([point(u) for u in U]))
                strategy.tell(U, [counter.value(point(u))[0] for u in U])
            return

        def violation(u: npt.ArrayLike) -> list[float]:
            return list(np.nan_to_num(chosen.one_sided(counter.value(point(u))[1]), nan=1e30))

        fitness = cma.ConstrainedFitnessAL(lambda u: min(counter.value(point(u))[0], 1e30), violation)
        while not strategy.stop():
            U = strategy.ask()
            counter.prefetch(np.array([point(u) for u in U]))
            strategy.tell(U, [fitness(u) for u in U])
            fitness.update(strategy)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pycma warns on each constrained run that moarchiving is not installed
        return run_restarted(counter, seed, local)


def _strategy(u0: FloatArray, low: FloatArray, high: FloatArray, k: int, seed: int) -> cma.CMAEvolutionStrategy:
    population = int(4 + 3 * np.log(u0.shape[0])) * 2**k
    options = {
        "bounds": [list(low), list(high)],
        "seed": seed,
        "verbose": -9,
        "verb_log": 0,
        "popsize": min(population, 4096),
    }
    return cma.CMAEvolutionStrategy(u0, SIGMA, options)
