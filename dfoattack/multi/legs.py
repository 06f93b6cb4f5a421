"""Single-objective legs: before the front is filled, the solver for one objective looks for the end of each objective.

A leg is a whole solver state inside this one, driven by the same two transitions; it begins with every point evaluated so far. It
minimises f_j / range_j plus a small share of the others, so that it does not stop at points that are only weakly efficient.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from dfoattack import transitions
from dfoattack._typing import FloatArray
from dfoattack._values import evolve
from dfoattack.geometry import Geometry
from dfoattack.multi.archive import ranges, values
from dfoattack.multi.state import Leg, MultiSetup, MultiState, constraint_part
from dfoattack.multi.steps import SINGLE
from dfoattack.options import Options
from dfoattack.state import Setup
from dfoattack.trials import OK, Counters, Evaluations, Trials

OTHERS = 1e-2  # weight of the other objectives in a leg, in ranges
FRAME_END = 1e-3  # a leg ends with this frame size, in units of the first: the front does the rest
FEASIBLE_SHARE = 0.5  # of the budget that the first leg may use to find a feasible point


def schedule(options: Options, geometry: Geometry) -> transitions.Schedule:
    """The steps of a leg: those of a run for one objective but the attacks."""
    return transitions.Schedule.default(_options(options), geometry)


def _options(options: Options) -> Options:
    return replace(options, attacks=())  # no gradients here


def _setup(setup: MultiSetup, budget: float, starts: FloatArray) -> Setup:
    return evolve(setup.base, budget=budget, f_target=-math.inf, starts=starts, options=_options(setup.base.options))


def begun(
    setup: MultiSetup, inner: transitions.Schedule, state: MultiState, seed: int, vessel: np.random.Generator
) -> MultiState:
    """The state with the next leg begun: it is told all points known so far as its start points, at no cost."""
    j, q, history = state.legs, setup.q, state.history
    usable = np.flatnonzero(history.status == OK)
    span = ranges(values(history, usable, q)) if usable.size else np.ones(q)
    weights = OTHERS / span
    weights[j] = 1.0 / span[j]
    fixed = _setup(setup, setup.leg_budget, history.X.copy())
    first, trials = transitions.ask(fixed, inner, transitions.initial_state(fixed, seed), None, vessel)
    width = 0 if history.p is None else history.p
    known = Evaluations(
        trials.X,
        _weighted(history.f, history.C, weights, q) if width else np.full(history.size, np.inf),
        constraint_part(history.C, q) if width else np.empty((history.size, 0)),
        history.status.copy(),
        Counters(),
    )
    first = transitions.tell(fixed, inner, first, known, _columns(state))
    return evolve(state, legs=j + 1, leg=Leg(weights, setup.leg_budget, first))


def asked(
    setup: MultiSetup, inner: transitions.Schedule, state: MultiState, leg: Leg, vessel: np.random.Generator
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
    mesh = inner.mesh
    return (
        mesh is not None and bool(np.any(mesh.granularity == 0.0)) and mesh.size <= FRAME_END and inner.best_feas >= 0
    )


def told(setup: MultiSetup, inner: transitions.Schedule, state: MultiState, leg: Leg, evaluations: Evaluations) -> Leg:
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
