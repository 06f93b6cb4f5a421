"""Restarts: what becomes of the budget that is left when a local run has converged, or when it cannot catch up any more.

Three kinds take turns, the one that has spent least (weighted) next: a local run far from all evaluated points, which counts double where
few variables make a box that such points soon fill, a local run from a shaken incumbent (variable neighbourhood search, after Hansen,
Mladenović & Moreno Pérez 2010), and a run of the population search with growing populations from a random point (after Hansen 2009,
BIPOP-CMA-ES), which counts double elsewhere. After a lockstep multistart there is a fourth: a local
run beside the next best end of its descents.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dfoattack import starts
from dfoattack._typing import FloatArray
from dfoattack.source_names import EXACT
from dfoattack.state import Setup, SolverState
from dfoattack.steps import admissible
from dfoattack.steps.cma import CMA

FIRST, END, POPULATION, FAR, SHAKE = "first", "end", "population", "far", "shake"
# The first of equals is next.
WEIGHTS_FEW = {END: 1.0, FAR: 2.0, SHAKE: 1.0, POPULATION: 1.0}
WEIGHTS_MANY = {END: 1.0, POPULATION: 2.0, FAR: 1.0, SHAKE: 1.0}
FEW = 4  # variables
BESIDE_DESCENTS = 0.5  # weight of the population search where exact gradients descend from everywhere
LOOK_BACK = 3.0  # times n + 1: evaluations over which the progress of a run is measured
YOUNG = 6.0  # times n + 1: evaluations every run may spend
PATIENCE = 10.0  # times the recent progress: what a run may still be expected to gain
BESIDE = (
    1e-2  # in units of the frame: a run from an end of the lockstep descents begins beside it, where nothing is known
)
AGAIN = 0.01  # frames from the end of an earlier run within which a run that is no better ends there too
SHAKES = 6  # shakes of growing size before the first size comes again


@dataclass(frozen=True)
class Restart:
    """Kind of the next local run and where it starts, (k, n); k = 0 if no point is left."""

    kind: str
    queue: FloatArray


def weights_of(setup: Setup) -> dict[str, float]:
    """Shares of the kinds of runs, in the order in which ties are broken."""
    weights = WEIGHTS_FEW if setup.n <= FEW else WEIGHTS_MANY
    return {**weights, POPULATION: BESIDE_DESCENTS} if setup.gradient_source in EXACT else weights


def next_restart(setup: Setup, state: SolverState, rng: np.random.Generator) -> Restart:
    """Which kind of run comes next, and its start point. Draws from rng."""
    weights = weights_of(setup)
    spent = dict.fromkeys(weights, 0.0)
    for run in state.runs:
        if run.kind in spent:
            spent[run.kind] += run.end - run.start
    population = "cma" in setup.options.searches and CMA.usable(setup)
    end = _next_end(state)
    usable = {END: end >= 0, POPULATION: population}
    kinds = [kind for kind in weights if usable.get(kind, True)]
    kind = min(kinds, key=lambda name: spent[name] / weights[name])
    scale = state.mesh.scale if state.mesh is not None else np.ones(setup.n)
    if kind in (END, SHAKE):
        beside = _moved(setup, state, end, BESIDE, rng, scale) if kind == END else _shaken(setup, state, rng, scale)
        if beside.shape[0]:
            return Restart(kind, beside)
    return Restart(kind, starts.restart_point(setup, rng, state.history, scale))


def _next_end(state: SolverState) -> int:
    """History row of the best end of the lockstep descents from which no run has started yet, -1 if there is none."""
    used = 1 + sum(run.kind == END for run in state.runs)  # the first run went on from the best of them
    ends = state.lockstep.ends if state.lockstep is not None else ()
    return int(ends[used]) if used < len(ends) else -1


def _shaken(setup: Setup, state: SolverState, rng: np.random.Generator, scale: FloatArray) -> FloatArray:
    best = state.best_feas if state.best_feas >= 0 else state.best_inf
    if best < 0:
        return np.empty((0, setup.n))
    size = 1 + sum(run.kind == SHAKE for run in state.runs) % SHAKES
    return _moved(setup, state, best, size, rng, scale)


def _moved(
    setup: Setup, state: SolverState, row: int, size: float, rng: np.random.Generator, scale: FloatArray
) -> FloatArray:
    """A point (1, n) `size` frames from a history row in a random direction; (0, n) if that is no new point."""
    d = rng.standard_normal(setup.n)
    d[setup.geometry.categorical] = 0.0
    longest = float(np.abs(d).max())
    if not longest > 0.0:
        return np.empty((0, setup.n))
    out = admissible.points(setup, setup.geometry.snapped((state.history.X[row] + size * scale * d / longest)[None, :]))
    if not out.shape[0]:
        return out
    return out if state.history.find(out[0]) < 0 else np.empty((0, setup.n))


def hopeless(setup: Setup, state: SolverState) -> bool:
    """Whether the present run, at its recent pace, will not reach the best value of the runs before it, or ends where one of them has.

    The latter after the rule of multi level single linkage that no local search is to find a minimum twice (Rinnooy Kan & Timmer 1987).
    """
    begin, size = state.barrier.start, state.history.size
    if not state.runs or state.barrier.feas < 0 or state.best_feas < 0 or state.best_feas >= begin or state.explore:
        return False
    if _found_again(setup, state):
        return True
    n = setup.n
    if size - begin < YOUNG * (n + 1):
        return False
    buffer = state.history.buffer
    past = slice(begin, max(begin + 1, size - int(LOOK_BACK * (n + 1))))
    feasible = buffer.F[past][buffer.H[past] == 0.0]
    before = float(feasible.min()) if feasible.size else math.inf
    now = float(buffer.F[state.barrier.feas])
    best = float(buffer.F[state.best_feas])
    return math.isfinite(before) and now - PATIENCE * (before - now) > best


def _found_again(setup: Setup, state: SolverState) -> bool:
    history, row = state.history, state.barrier.feas
    ends = np.array([run.feas for run in state.runs if run.feas >= 0], dtype=np.int64)
    ends = ends[history.F[ends] <= history.F[row]]
    if state.mesh is None or not ends.shape[0]:
        return False
    x = history.X[row]
    distance2 = (((setup.geometry.images(x, history.X[ends]) - x) / state.mesh.scale) ** 2).sum(axis=1)
    return bool(distance2.min() <= AGAIN**2)
