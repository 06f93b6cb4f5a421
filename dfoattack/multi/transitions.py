"""The two pure transitions for several objectives.

A run has three parts: start points and a small design; one single-objective leg an objective (`legs`); then iterations on the front:
the centre beside the largest gap, speculative step, bridge, model search, poll, completion, covering, until a step changes the archive.

Success, after Bigeon, Le Digabel & Salomon (2021) and Custodio, Madeira, Vaz & Vicente (2011): a point that dominates a member enlarges
the frame it inherits, one that only extends the front keeps it. The centre's frame is refined unless something dominates a member or the
gap was filled on purpose (model search, bridge).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dfoattack import local_runs, starts, transitions
from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.barrier import Barrier, Columns, measured
from dfoattack.cache import History, point_keys
from dfoattack.errors import AskTellError, OptionError
from dfoattack.geometry import Geometry
from dfoattack.mesh import Mesh
from dfoattack.multi import legs
from dfoattack.multi.archive import (
    Archive,
    Element,
    Seen,
    Verdict,
    added,
    front_values,
    progress,
    values,
)
from dfoattack.multi.iteration import at_end, begin_iteration, end_iteration
from dfoattack.multi.model import Descent, FrontModel
from dfoattack.multi.problem import MultiProblem
from dfoattack.multi.state import MultiSetup, MultiState, constraint_part
from dfoattack.multi.steps import SINGLE, START, FrontSchedule, schedule, seen_from
from dfoattack.options import Options
from dfoattack.reasons import StopReason
from dfoattack.schedule import Schedule
from dfoattack.state import Pending, RngState, empty_cover
from dfoattack.steps import admissible
from dfoattack.steps.base import Outcome, Proposal
from dfoattack.trials import OK, Evaluations, Trials

EXTREMES_SHARE = 0.3  # of the budget for all single-objective legs together
LEG_POINTS = 30  # evaluations a variable of a leg, where there is no budget
OFF_MESH_SUFFICIENT = 1e-4  # progress / min(1, frame)^2 that makes an off-mesh point a success
LEVELS_FRAME = 0.1  # of the first frame: least frame of a point whose levels are not those of its origin
FRAME_LARGEST = 2.0  # of the first frame: on a front large frames make members wait for each other and models blur
EMPTY_ITERATIONS_MAX = 500  # iterations without a single new point after which nothing new is to be expected


@dataclass(frozen=True)
class Steps:
    """The schedule of the front and that of the legs."""

    front: FrontSchedule
    inner: Schedule

    @classmethod
    def default(cls, options: Options, geometry: Geometry) -> Steps:
        """The steps of a run; that of discrete neighbours only where some variable is categorical."""
        return cls(schedule(Descent(), FrontModel(), geometry), legs.schedule(options, geometry))


def make_setup(problem: MultiProblem, options: Options, budget: float | None) -> MultiSetup:
    """What is fixed during a run; raises `OptionError` for options that do not fit the problem."""
    if options.noise is not None:
        raise OptionError(f"`noise` must be None with several objectives, got {options.noise!r}.")
    if options.gradient_source not in ("auto", "none"):
        raise OptionError(
            f"`gradient_source` must be 'auto' or 'none' with several objectives, got {options.gradient_source!r}."
        )
    if options.starts is not None:
        raise OptionError(f"`starts` must be None with several objectives, got {options.starts}.")
    base = transitions.make_setup(problem.carrier, options, budget, None)
    limit = (
        EXTREMES_SHARE * base.budget if math.isfinite(base.budget) else float(LEG_POINTS * problem.q * max(1, base.n))
    )
    return MultiSetup(base, problem.q, problem.signs, max(1.0, limit / problem.q))


def initial_state(setup: MultiSetup, seed: int) -> MultiState:
    """The state before the first ask: the user's start points and a small design are waiting."""
    rng = RngState.from_seed(seed).generator()
    base = setup.base
    if base.options.n_init is not None:
        queue = starts.first_points(base, rng)
    else:
        queue = starts.first_design(base, rng) if base.n else np.empty((1, 0))
        queue = np.vstack([base.starts, queue[1:]]) if base.starts.shape[0] else queue
    return MultiState(
        rng=RngState.of(rng),
        history=History.empty(setup.n),
        barrier=Barrier.empty(base.options.h_max_init),
        archive=Archive(h_max=base.options.h_max_init),
        scale=None,
        queue=queue,
        cover=empty_cover(setup.n),
    )


# --------------------------------------------------------------------------------------------------------------------- ask


def ask(setup: MultiSetup, steps: Steps, state: MultiState, rng: np.random.Generator) -> tuple[MultiState, Trials]:
    """The next trial points, and the state that remembers having asked for them.

    No trials and `state.stop` set: the run has ended. `rng` is only a vessel: its state is overwritten by that of `state` first.
    Raises `AskTellError` while an earlier ask was not told.
    """
    if state.pending is not None:
        raise AskTellError("`ask` was called twice without `tell`; tell the evaluations of the pending trials first.")
    nothing, first = Trials.empty(np.zeros(setup.n), START), state.iteration
    while True:
        stop = state.stop or stop_reason(setup, state)
        if stop is not None:
            return evolve(state, stop=stop, focus=None), nothing
        if state.queue.shape[0]:
            rows = _fresh(state.history, state.queue)
            X = state.queue[rows]
            state = evolve(state, queue=X)
            if rows:
                trials = Trials(X, START, np.full(len(rows), True), X[0], setup.base.options.block_size, False)
                return evolve(state, pending=Pending(trials, X, None)), trials
        elif state.leg is not None:
            state, trials = _ask_leg(setup, steps, state, rng)
            if len(trials):
                return state, trials
        elif state.legs < setup.q:
            seed = int(state.rng.fill(rng).integers(2**63))
            state = legs.begun(setup, steps.inner, evolve(state, rng=RngState.of(rng)), seed, rng)
        elif state.focus is None:
            state = begin_iteration(setup, state)
            if state.iteration - first > EMPTY_ITERATIONS_MAX:
                state = evolve(state, stop=at_end(setup, state))
        elif state.stage >= len(steps.front.steps):
            state = end_iteration(setup, state)
        else:
            state, trials = _ask_step(setup, steps, state, rng)
            if len(trials):
                return state, trials


def _fresh(history: History, X: FloatArray) -> list[int]:
    """Rows of X (k, n) that are new: neither evaluated before nor twice in X."""
    seen: set[bytes] = set()
    rows = []
    for i, key in enumerate(point_keys(X)):
        if key not in seen and history.find_key(key) < 0:
            seen.add(key)
            rows.append(i)
    return rows


def _ask_leg(setup: MultiSetup, steps: Steps, state: MultiState, rng: np.random.Generator) -> tuple[MultiState, Trials]:
    leg = state.leg
    assert leg is not None
    leg, trials = legs.asked(setup, steps.inner, state, leg, rng)
    if len(trials):
        return evolve(state, leg=leg, pending=Pending(trials, trials.X, None)), trials
    failed = leg.inner.stop == StopReason.START_FAILED
    return evolve(state, leg=None, stop=StopReason.START_FAILED if failed else None), trials


def _ask_step(
    setup: MultiSetup, steps: Steps, state: MultiState, rng: np.random.Generator
) -> tuple[MultiState, Trials]:
    step, element = steps.front.steps[state.stage], _centre(state)
    proposal: Proposal = step.propose(setup, state, element, state.rng.fill(rng))
    state, geometry = evolve(state, rng=RngState.of(rng)), setup.base.geometry
    if not (geometry.plain or step.changes_levels):
        proposal = evolve(proposal, X=geometry.held(proposal.X, proposal.origins))
    if setup.base.polyhedron is not None:
        proposal = admissible.proposal(setup.base, seen_from(setup, state, element), proposal)
    rows = _fresh(state.history, proposal.X)
    if not rows:
        size = state.history.size
        after = step.update(setup, state, element, Outcome(proposal.memo, size, size))
        return evolve(after, stage=state.stage + 1), Trials.empty(np.zeros(setup.n), step.name)
    options, origins = setup.base.options, proposal.origins[rows]
    trials = Trials(
        proposal.X[rows],
        step.name,
        proposal.on_mesh[rows],
        origins[0].copy(),
        proposal.block or options.block_size,
        options.opportunistic and proposal.opportunistic,
    )
    return evolve(state, pending=Pending(trials, origins, proposal.memo)), trials


def _centre(state: MultiState) -> Element:
    """The element of the present focus, also where the archive has lost it in the meantime (only the end of an iteration looks then)."""
    element = None if state.focus is None else state.archive.find(state.focus.row)
    if element is None:
        raise AssertionError("an iteration lost its centre before it ended")
    return element


def stop_reason(setup: MultiSetup, state: MultiState) -> StopReason | None:
    """Why the run must end now, as far as the state tells; None to go on."""
    if setup.base.budget - state.counters.cost(setup.base.options.gradient_cost) < 1.0:
        return StopReason.BUDGET
    if setup.n == 0 and state.history.size:
        return StopReason.LATTICE
    return None


# -------------------------------------------------------------------------------------------------------------------- tell


def minimised(setup: MultiSetup, evaluations: Evaluations) -> Evaluations:
    """Answers in the user's senses, as the evaluator gives them, with every objective minimised: the one place where signs change."""
    q, C = setup.q, evaluations.C
    F = setup.signs[0] * evaluations.F + 0.0
    F[evaluations.status != OK] = np.inf
    if C.shape[1]:
        C = C.copy()
        C[:, : q - 1] = setup.signs[1:] * C[:, : q - 1] + 0.0
    return replace(evaluations, F=F, C=C)


def improves(setup: MultiSetup, steps: Steps, state: MultiState, block: Evaluations) -> bool:
    """Whether a block (user's senses) ends an opportunistic step."""
    block = minimised(setup, block)
    if state.leg is not None:
        return transitions.improves(state.leg.inner, legs.weighted(setup, state.leg, block))
    if state.focus is None or not block.C.shape[1]:
        return False
    F, H, _, _ = measured(state.barrier, replace(block, C=constraint_part(block.C, setup.q)))
    G = np.column_stack([block.F, block.C[:, : setup.q - 1]])
    seen = Seen.of(state.archive, state.history, setup.q)
    wanted = 1 if steps.front.steps[state.stage].greedy else 2
    return any(seen.verdict(G[i], float(H[i])) >= wanted for i in np.flatnonzero(np.isfinite(F)))


def tell(
    setup: MultiSetup,
    steps: Steps,
    state: MultiState,
    evaluations: Evaluations,
    columns: Sequence[tuple[str, str, float, bool]],
) -> MultiState:
    """The state after the pending trials were evaluated.

    `evaluations` has one row a pending trial, in order, in the user's senses: F the first objective, the first q - 1 columns of C the
    others. `columns` holds name, kind, tolerance and "two-sided" of every constraint column. Raises `AskTellError` when nothing is pending or the number of
    rows or columns differs.
    """
    pending = state.pending
    if pending is None:
        raise AskTellError("`tell` was called although no trials are pending; call `ask` first.")
    if len(evaluations) != len(pending.trials):
        raise AskTellError(
            f"`evaluations` must have one row a trial, {len(pending.trials)} rows, got {len(evaluations)}."
        )
    whole = minimised(setup, evaluations)
    run = np.flatnonzero(whole.run)
    told = whole.take(run)
    before = _with_columns(setup, state, told, columns)
    code = 0 if state.queue.shape[0] else 1 if state.leg is not None else state.stage + 2
    first = before.history.size
    history = _extended(setup, before.history, before.barrier, told, code, before.iteration)
    before = _with_scale(setup, before, history)
    after = evolve(before, history=history, counters=evaluations.counters, pending=None)
    after = _with_least_infeasible(_with_pool(setup, after, told.X), first)
    if code < 2:
        after, _ = _entered(setup, after, first, pending.origins[run], None, False)
        if state.leg is not None and not state.queue.shape[0]:
            return evolve(after, leg=legs.told(setup, steps.inner, after, state.leg, whole))
        return evolve(after, queue=after.queue[:0])
    return _tell_step(setup, steps, after, first, pending, run)


def _extended(
    setup: MultiSetup, history: History, barrier: Barrier, told: Evaluations, code: int, iteration: int
) -> History:
    """The history with the answers; F only tells which of them are usable."""
    q, C = setup.q, told.C
    part = replace(told, C=constraint_part(C, q)) if C.shape[1] else told
    F, H, HE, V = measured(barrier, part)
    F = np.where(np.isfinite(F), 0.0, np.inf)
    return history.extended(told.X, told.F, F, H, HE, V, C, told.status, code, iteration)


def _with_columns(
    setup: MultiSetup, state: MultiState, told: Evaluations, columns: Sequence[tuple[str, str, float, bool]]
) -> MultiState:
    """Constraint scales from the first point that could be evaluated; fixed from then on."""
    if state.barrier.columns is not None or not told.ok.any():
        return state
    C = constraint_part(told.C[told.ok][:1], setup.q)[0]
    if C.shape[0] != len(columns):
        raise AskTellError(f"`C` must have {len(columns)} constraint columns (from the problem), got {C.shape[0]}.")
    return evolve(state, barrier=evolve(state.barrier, columns=Columns.of(columns, C)))


def _with_scale(setup: MultiSetup, state: MultiState, history: History) -> MultiState:
    """The metric, from the first usable point."""
    usable = np.flatnonzero(history.status == OK)
    if state.scale is not None or not usable.size:
        return state
    return evolve(state, scale=local_runs.first_mesh(setup.base, history.X[usable[0]].copy(), None).scale)


def _with_pool(setup: MultiSetup, state: MultiState, X: FloatArray) -> MultiState:
    """Distances of the covering candidates after new points, whatever step they came from."""
    cover = state.cover
    if not cover.Y.shape[0] or state.scale is None or not X.shape[0]:
        return state
    d2 = cover.d2.copy()
    setup.base.geometry.pool_update(cover.Y, d2, np.ascontiguousarray(X), state.scale)
    return evolve(state, cover=evolve(cover, d2=d2))


def _with_least_infeasible(state: MultiState, first: int) -> MultiState:
    V, best = state.history.V, state.best_inf
    least = float(V[best]) if best >= 0 else math.inf
    for row, violation in enumerate(V[first:].tolist(), first):
        if 0.0 < violation < least:
            best, least = row, violation
    return evolve(state, best_inf=best)


def _entered(
    setup: MultiSetup, state: MultiState, first: int, origins: FloatArray, mesh: Mesh | None, grow: bool
) -> tuple[MultiState, IntArray]:
    """The state with new rows in its archive, and what they did; without a parent's mesh they get the first one."""
    if state.scale is None:
        return state, np.zeros(state.history.size - first, dtype=np.int64)
    mesh = mesh or local_runs.first_mesh(setup.base, state.history.X[first].copy(), state.scale)
    geometry, X = setup.base.geometry, state.history.X[first:]
    meshes = [mesh] * X.shape[0]
    if geometry.has_levels:
        # Other levels are another landscape: they begin with a wide frame.
        wide = np.maximum(mesh.frame_size, LEVELS_FRAME * mesh.scale)
        for i in np.flatnonzero(np.any((X != origins) & geometry.categorical, axis=1)).tolist():
            meshes[i] = mesh.reset(wide, X[i].copy())
    span = np.minimum(geometry.span, FRAME_LARGEST * state.scale)
    moves = geometry.displacement(origins, X)
    archive, types = added(state.archive, state.history, setup.q, first, meshes, moves, span, grow)
    return evolve(state, archive=archive), types


def _tell_step(
    setup: MultiSetup, steps: Steps, state: MultiState, first: int, pending: Pending, run: IntArray
) -> MultiState:
    step, element = steps.front.steps[state.stage], _centre(state)
    on_mesh = pending.trials.on_mesh[run]
    G = front_values(state.history, state.archive, setup.q)
    after, types = _entered(setup, state, first, pending.origins[run], element.mesh, step.enlarges)
    verdict = _verdict(setup, after, G, types, on_mesh, first, element.frame)
    outcome = Outcome(pending.memo, first, after.history.size, verdict.best, verdict.row)
    if verdict.row >= 0:
        after = evolve(after, cover=evolve(after.cover, since=0))
    after = step.update(setup, after, element, outcome)
    after = evolve(
        after,
        success=max(state.success, verdict.best),
        refine=state.refine or verdict.small,
        weak=state.weak or (verdict.best == 1 and not step.greedy) or (verdict.best == 0 and step.refines),
        follow=verdict.row if verdict.best == 2 and step.enlarges else state.follow,
    )
    return evolve(
        after,
        stage=len(steps.front.steps) if verdict.best or after.archive.find(element.row) is None else state.stage + 1,
    )


def _verdict(
    setup: MultiSetup, state: MultiState, G: FloatArray, types: IntArray, on_mesh: BoolArray, first: int, size: float
) -> Verdict:
    """What the block did; off the mesh only a sufficient progress of the front counts, as for one objective."""
    share = OFF_MESH_SUFFICIENT * min(1.0, size or 1.0) ** 2
    small = False
    best, row = 0, -1
    for i in np.flatnonzero(types).tolist():
        r = first + i
        if not on_mesh[i] and state.history.H[r] == 0.0:
            if progress(values(state.history, np.array([r]), setup.q)[0], G) < share:
                small = True
                continue
        if types[i] > best or (types[i] == best and best == 2 and state.archive.find(r) is not None):
            best, row = int(types[i]), r
    return Verdict(best, row, small)


__all__ = [
    "SINGLE",
    "START",
    "Steps",
    "ask",
    "improves",
    "initial_state",
    "make_setup",
    "minimised",
    "stop_reason",
    "tell",
]
