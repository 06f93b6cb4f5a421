"""Single-objective legs: before the front is filled, the solver for one objective looks for the end of each objective.

A leg is a whole solver state inside this one, driven by the same two transitions; it begins with every point evaluated so far. It
minimises f_j / range_j plus a small share of the others, so that it does not stop at points that are only weakly efficient.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dfoattack import local_runs, transitions
from dfoattack._typing import FloatArray
from dfoattack._values import evolve
from dfoattack.barrier import poll_centres, with_points
from dfoattack.geometry import Geometry
from dfoattack.multi.archive import front_values, ranges, rows_of, values
from dfoattack.multi.state import Leg, MultiSetup, MultiState, constraint_part
from dfoattack.multi.steps import SINGLE
from dfoattack.options import Options
from dfoattack.schedule import Schedule
from dfoattack.state import Setup, SolverState
from dfoattack.trials import OK, Counters, Evaluations, Trials

LEG_SEARCHES = ("model", "nelder-mead")
OTHERS = 1e-2  # weight of the other objectives in a leg, in ranges
FRAME_END = (
    1e-2  # a leg ends with this frame size or resolution of its models, in units of the first: the front does the rest
)
FEASIBLE_SHARE = 0.5  # of the budget that the first leg may use to find a feasible point


def schedule(options: Options, geometry: Geometry) -> Schedule:
    """The steps of a leg: those of a run for one objective but the attacks."""
    return Schedule.default(_options(options), geometry)


def _options(options: Options) -> Options:
    # No gradients here, no budget for populations, and only the points that the steps ask for.
    searches = tuple(name for name in options.searches if name in LEG_SEARCHES)
    return replace(options, attacks=(), searches=searches, fill_blocks=False)


def _setup(setup: MultiSetup, budget: float, starts: FloatArray) -> Setup:
    return evolve(setup.base, budget=budget, f_target=-math.inf, starts=starts, options=_options(setup.base.options))


def begun(setup: MultiSetup, inner: Schedule, state: MultiState, seed: int, vessel: np.random.Generator) -> MultiState:
    """The state with the next leg begun: it is told all points known so far as its start points, at no cost."""
    j, q, history = state.legs, setup.q, state.history
    usable = np.flatnonzero(history.status == OK)
    span = ranges(values(history, usable, q)) if usable.size else np.ones(q)
    weights = _weights(span, j)
    # The start points come last, so that a leg can begin at the best of them.
    order = np.argsort(history.step == 0, kind="stable")
    fixed = _setup(setup, setup.leg_budget, history.X[order])
    first, trials = transitions.ask(fixed, inner, transitions.initial_state(fixed, seed), None, vessel)
    width = 0 if history.p is None else history.p
    C = history.C[order] if width else np.empty((history.size, 0))
    known = Evaluations(
        trials.X,
        _weighted(history.f[order], C, weights, q) if width else np.full(history.size, np.inf),
        constraint_part(C, q) if width else C,
        history.status[order],
        Counters(),
    )
    first = transitions.tell(fixed, inner, first, known, _columns(state))
    ends = [_end(state, q, _weights(span, i)) for i in range(j)]
    first = _away(fixed, first, history.X[[row for row in ends if row >= 0]], int(np.count_nonzero(history.step)))
    return evolve(state, legs=j + 1, leg=Leg(weights, setup.leg_budget, first))


def _weights(span: FloatArray, j: int) -> FloatArray:
    weights = OTHERS / span
    weights[j] = 1.0 / span[j]
    return weights


def _end(state: MultiState, q: int, weights: FloatArray) -> int:
    """History row of the best member of the front for the leg of these weights, -1 if there is no member."""
    if not state.archive.feas:
        return -1
    return int(rows_of(state.archive.feas)[np.argmin(front_values(state.history, state.archive, q) @ weights)])


def _away(fixed: Setup, inner: SolverState, ends: FloatArray, start: int) -> SolverState:
    """The leg moved to the best of its start points, rows `start`.., where it would begin beside the end of an earlier leg (k, n).

    The best value of one objective is often a stationary point of the others, and more often than not their worst.
    """
    barrier, mesh, geometry = inner.barrier, inner.mesh, fixed.geometry
    if mesh is None or inner.centre < 0:
        return inner
    x = inner.history.X[inner.centre]
    if not any(np.all(np.abs(geometry.displacement(end, x)) <= mesh.scale) for end in ends):
        return inner
    barrier = with_points(barrier.restarted(start, fixed.options.h_max_init), inner.history, start)
    row, _ = poll_centres(barrier, inner.history, fixed.options.infeasible_margin)
    if row < 0:
        return inner
    mesh = local_runs.first_mesh(fixed, inner.history.X[row].copy(), mesh.scale)
    return evolve(inner, barrier=barrier, mesh=mesh, inf_before=barrier.inf)


def asked(
    setup: MultiSetup, inner: Schedule, state: MultiState, leg: Leg, vessel: np.random.Generator
) -> tuple[Leg, Trials]:
    """The leg after its next ask, and its trials; none once it has ended."""
    budget = leg.budget
    if not state.archive.feas and state.legs == 1 and math.isfinite(setup.base.budget):
        budget = max(budget, FEASIBLE_SHARE * setup.base.budget)
    if _ended(leg, budget):
        return leg, Trials.empty(np.zeros(setup.n), SINGLE)
    fixed = _setup(setup, budget, np.empty((0, setup.n)))
    inner_state, trials = transitions.ask(fixed, inner, leg.inner, None, vessel)
    return evolve(leg, inner=inner_state), replace(trials, step=SINGLE)


def _ended(leg: Leg, budget: float) -> bool:
    inner = leg.inner
    if inner.stop is not None or inner.runs or inner.counters.nfev >= budget:
        return True
    mesh, model = inner.mesh, inner.searches.model
    if mesh is None or not np.any(mesh.granularity == 0.0) or inner.best_feas < inner.barrier.start:
        return False
    return mesh.size <= FRAME_END or (model is not None and model.resolution <= FRAME_END)


def told(setup: MultiSetup, inner: Schedule, state: MultiState, leg: Leg, evaluations: Evaluations) -> Leg:
    """The leg after the answers to its trials; `state` knows the constraint columns already."""
    fixed = _setup(setup, leg.budget, np.empty((0, setup.n)))
    scalar = weighted(setup, leg, evaluations)
    nfev = leg.inner.counters.nfev + int(np.count_nonzero(scalar.run))
    scalar = replace(scalar, counters=Counters(nfev=nfev, nphi=nfev))
    return evolve(leg, inner=transitions.tell(fixed, inner, leg.inner, scalar, _columns(state)))


def weighted(setup: MultiSetup, leg: Leg, evaluations: Evaluations) -> Evaluations:
    """Answers as the leg sees them: one objective, the constraints alone; `evaluations` are minimised already."""
    C = evaluations.C
    if not C.shape[1]:  # nothing could be evaluated
        return evaluations
    F = _weighted(evaluations.F, C, leg.weights, setup.q)
    F[evaluations.status != OK] = np.inf
    return replace(evaluations, F=F, C=constraint_part(C, setup.q))


def _weighted(f: FloatArray, C: FloatArray, weights: FloatArray, q: int) -> FloatArray:
    with np.errstate(all="ignore"):
        F: FloatArray = weights[0] * f + C[:, : q - 1] @ weights[1:]
    return np.where(np.isfinite(F), F, np.inf)


def _columns(state: MultiState) -> tuple[tuple[str, str, float, bool], ...]:
    columns = state.barrier.columns
    if columns is None:
        return ()
    kinds = np.where(columns.extreme, "extreme", np.where(columns.hybrid, "progressive-to-extreme", "progressive"))
    rows = zip(kinds.tolist(), columns.tol.tolist(), columns.equality.tolist(), strict=True)
    return tuple(("", kind, tol, equality) for kind, tol, equality in rows)
