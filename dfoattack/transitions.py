"""The two pure transitions of the solver.

`ask(state) -> trial points` walks through the schedule (attack, speculative, searches, poll, completion, covering) until a step proposes
something; `tell(state, evaluations) -> state` appends the answers, moves the incumbents, lets the step update its own part and
decides whether the iteration goes on. Nothing else decides anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dfoattack import batches, credit, replicates, restarts, starts
from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.attacks import by_name
from dfoattack.attacks.base import AttackOperator, View
from dfoattack.barrier import (
    FULL,
    Barrier,
    Columns,
    end_of_iteration,
    hardened,
    measured,
    poll_centres,
    success_types,
    with_points,
    with_range,
)
from dfoattack.cache import History, point_keys
from dfoattack.errors import AskTellError, OptionError, ProblemError
from dfoattack.geometry import Geometry
from dfoattack.mesh import Mesh
from dfoattack.noise import NoiseState, cautious, resolution, with_evaluations
from dfoattack.options import Options
from dfoattack.problem import Problem
from dfoattack.reasons import StopReason
from dfoattack.state import (
    AttackState,
    LocalRun,
    Pending,
    RngState,
    SearchStates,
    Setup,
    SolverState,
    empty_cover,
)
from dfoattack.steps import admissible
from dfoattack.steps.attack import Attack
from dfoattack.steps.base import Outcome, Proposal, Search, Step
from dfoattack.steps.cma import CMA
from dfoattack.steps.covering import Covering
from dfoattack.steps.fill import Fill
from dfoattack.steps.model import ModelSearch
from dfoattack.steps.neighbours import neighbour_steps, unfinished
from dfoattack.steps.nelder_mead import NelderMead
from dfoattack.steps.poll import Poll, PollCompletion
from dfoattack.steps.portfolio import Portfolio
from dfoattack.steps.regression import Regression
from dfoattack.steps.speculative import Speculative
from dfoattack.steps.subspace import Subspace
from dfoattack.steps.vns import VNS
from dfoattack.trials import Counters, Evaluations, Trials

START = "start"
FILL = Fill()
IDLE = 10.0  # times n + 1: evaluations without a new incumbent after which a local run comes to its end
POLL_ARM = 0  # of the credit: poll, completion, covering and the speculative step together
GAIN_MAX = 1e12  # values may span all of float64; a larger gain tells no more
OFF_MESH_SUFFICIENT = 1e-4  # decrease / min(1, frame)^2 that makes an off-mesh point a success, in units of f_scale
EMPTY_ITERATIONS_MAX = 500  # iterations without a single new point after which nothing new is to be expected
START_DESIGN_MAX = 16  # design points a variable tried before a run without any usable start gives up


@dataclass(frozen=True)
class Schedule:
    """The steps of an iteration in order, what fills idle places of a block, and the names under which points are recorded."""

    steps: tuple[Step, ...]
    first: tuple[str, ...] = (START,)  # names that belong to no step
    fill: Step = FILL

    @classmethod
    def default(cls, options: Options, geometry: Geometry) -> Schedule:
        """The steps of a run; those of discrete neighbours only where there are any."""
        operators = [a if isinstance(a, AttackOperator) else by_name(a) for a in options.attacks]
        discrete = neighbour_steps(geometry)
        searches = Portfolio(searches_of(options))
        head: tuple[Step, ...] = (Attack(operators), Speculative())
        tail: tuple[Step, ...] = (searches, Poll(), PollCompletion(), *discrete, Covering())
        if options.noise is None:
            return cls((*head, *tail))
        return cls((*head, Regression(), *tail), (START, replicates.REPLICATE))

    @property
    def names(self) -> tuple[str, ...]:
        """Step names by the code stored in `History.step`; code 0 is a start point, the last one what fills blocks."""
        names = [*self.first]
        for step in self.steps:
            names += [search.name for search in step.searches] if isinstance(step, Portfolio) else [step.name]
        return tuple(dict.fromkeys((*names, self.fill.name)))

    @property
    def arms(self) -> int:
        """Arms of the credit: the poll, then the searches."""
        return 1 + sum(len(step.searches) for step in self.steps if isinstance(step, Portfolio))


def searches_of(options: Options) -> tuple[Search, ...]:
    """The searches that the options ask for, in the order in which ties are broken."""
    known: dict[str, Search] = {
        "model": ModelSearch(),
        "cma": CMA(restarts=options.noise is None),  # what noise has ended, noise would end again
        "nelder-mead": NelderMead(),
        "subspace": Subspace(),
        "vns": VNS(),
    }
    return tuple(known[name] for name in options.searches)


def make_setup(problem: Problem, options: Options, budget: float | None, f_target: float | None) -> Setup:
    """What is fixed during a run; raises `OptionError` for options that do not fit the problem."""
    space = problem.space
    for name, value in (("budget", budget), ("f_target", f_target)):
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating))
        ):
            raise OptionError(f"`{name}` must be a number or None, got {value!r}.")
    limit = math.inf if budget is None else float(budget)
    if not limit >= 1.0:
        raise OptionError(f"`budget` must be at least 1 evaluation, got {budget!r}.")
    if f_target is not None and math.isnan(f_target):
        raise OptionError("`f_target` must be a number, got nan.")
    size = options.frame_size_init
    if isinstance(size, tuple) and len(size) != problem.n:
        raise OptionError(
            f"`frame_size_init` must have one value or n = {problem.n} (from the space), got {len(size)}."
        )
    quota = options.covering_quota
    if quota is None:
        quota = int(min(1000.0, limit / 10.0)) if math.isfinite(limit) else min(1000, 100 * max(1, space.n_free))
    setup = Setup(
        lower=space.free_lower,
        upper=space.free_upper,
        granularity=space.free_granularity,
        inverse=space.free_inverse,
        starts=np.empty((0, space.n_free)) if problem.x0 is None else space.reduce(problem.x0),
        budget=limit,
        f_target=-math.inf if f_target is None else problem.sign * float(f_target),
        quota=quota if options.covering else 0,
        options=options,
        geometry=Geometry.of(space),
        polyhedron=problem.polyhedron,
    )
    inside = admissible.points(setup, setup.starts)
    if inside.shape[0] < setup.starts.shape[0]:
        raise ProblemError("`linear` must leave a point on the lattice of the granular variables, but there is none.")
    return evolve(setup, starts=inside)


def initial_state(setup: Setup, seed: int) -> SolverState:
    """The state before the first ask."""
    rng = RngState.from_seed(seed).generator()
    queue = starts.first_points(setup, rng)
    return SolverState(
        rng=RngState.of(rng),
        history=History.empty(setup.n),
        barrier=Barrier.empty(setup.options.h_max_init),
        mesh=None,
        attack=AttackState(setup.options.attack_radius_init),
        cover=empty_cover(setup.n),
        queue=queue,
        noise=None if setup.options.noise is None else NoiseState.start(setup.options.noise, setup.n),
    )


# --------------------------------------------------------------------------------------------------------------------- ask


def ask(
    setup: Setup, schedule: Schedule, state: SolverState, view: View | None, rng: np.random.Generator
) -> tuple[SolverState, Trials]:
    """The next trial points, and the state that remembers having asked for them.

    No trials and `state.stop` set: the run has ended. `rng` is only a vessel (a PCG64 generator): its state is overwritten by that
    of `state` first. Raises `AskTellError` while an earlier ask was not told.
    """
    if state.pending is not None:
        raise AskTellError("`ask` was called twice without `tell`; tell the evaluations of the pending trials first.")
    state.rng.fill(rng)
    first_iteration, size = state.iteration, state.history.size
    while True:
        stop = state.stop or stop_reason(setup, state)
        if stop is not None:
            return evolve(state, stop=stop, rng=RngState.of(rng)), Trials.empty(np.zeros(setup.n), START)
        if state.queue.shape[0]:
            return _ask_starts(setup, state, rng)
        state, again = replicates.due(setup, state, state.stage >= len(schedule.steps))
        if again.shape[0]:
            return _ask_again(setup, evolve(state, rng=RngState.of(rng)), again)
        if state.stage >= len(schedule.steps):
            state = _end_iteration(setup, state, rng)
            if state.iteration - first_iteration > EMPTY_ITERATIONS_MAX:
                state = evolve(state, stop=_lattice_or_frame(setup, state))
            continue
        step = schedule.steps[state.stage]
        proposal = step.propose(setup, state, rng, view)
        proposal = batches.admitted(setup, state, step, proposal)
        fresh = _fresh(state.history, proposal.X)
        if fresh and setup.options.fills:
            pending = batches.gathered(setup, schedule.steps, schedule.fill, state, rng, view, proposal)
            return evolve(state, pending=pending, rng=RngState.of(rng)), pending.trials
        if fresh:
            return _asked(setup, evolve(state, rng=RngState.of(rng)), step, proposal, fresh)
        state = evolve(step.update(setup, state, Outcome(proposal.memo, size, size)), stage=state.stage + 1)


def _fresh(history: History, X: FloatArray) -> list[int]:
    """Rows of X (k, n) that are new: neither evaluated before nor twice in X."""
    seen: set[bytes] = set()
    rows = []
    for i, key in enumerate(point_keys(X)):
        if key not in seen and history.find_key(key) < 0:
            seen.add(key)
            rows.append(i)
    return rows


def _asked(
    setup: Setup, state: SolverState, step: Step, proposal: Proposal, rows: list[int]
) -> tuple[SolverState, Trials]:
    options, origins = setup.options, proposal.origins[rows]
    trials = Trials(
        proposal.X[rows],
        proposal.name or step.name,
        proposal.on_mesh[rows],
        origins[0].copy(),
        proposal.block or options.block_size,
        options.opportunistic and proposal.opportunistic,
    )
    return evolve(state, pending=Pending(trials, origins, proposal.memo)), trials


def _ask_starts(setup: Setup, state: SolverState, rng: np.random.Generator) -> tuple[SolverState, Trials]:
    X = state.queue
    if setup.options.fills:
        X = starts.filled(setup, rng, X, None if state.mesh is None else state.mesh.scale)
    state = evolve(state, rng=RngState.of(rng))
    fresh = _fresh(state.history, X)
    X = X[fresh]
    if not X.shape[0]:  # only a lattice can run out of start points
        return evolve(state, stop=_lattice_or_frame(setup, state)), Trials.empty(np.zeros(setup.n), START)
    given = state.drawn == 0 and not state.runs
    trials = Trials(X, START, np.full(X.shape[0], True), X[0], setup.options.block_size, not given)
    return evolve(state, pending=Pending(trials, X, None)), trials


def _ask_again(setup: Setup, state: SolverState, rows: IntArray) -> tuple[SolverState, Trials]:
    X = state.history.X[rows]
    trials = Trials(X, replicates.REPLICATE, np.full(X.shape[0], False), X[0], setup.options.block_size, False)
    return evolve(state, pending=Pending(trials, X, None)), trials


# -------------------------------------------------------------------------------------------------------------------- tell


def improves(state: SolverState, evaluations: Evaluations) -> bool:
    """Whether a block holds a full success against the present incumbents: what ends an opportunistic step."""
    return replicates.improves(state, evaluations)


def tell(
    setup: Setup,
    schedule: Schedule,
    state: SolverState,
    evaluations: Evaluations,
    columns: Sequence[tuple[str, str, float, bool]] | None,
) -> SolverState:
    """The state after the pending trials were evaluated.

    `evaluations` has one row a pending trial, in order; rows of status NOT_RUN are ignored. `columns` holds name, kind, tolerance and
    "two-sided" of every constraint column; None once the barrier knows them. Raises `AskTellError` when nothing is pending or the number of rows differs.
    """
    pending = state.pending
    if pending is None:
        raise AskTellError("`tell` was called although no trials are pending; call `ask` first.")
    if len(evaluations) != len(pending.trials):
        raise AskTellError(
            f"`evaluations` must have one row a trial, {len(pending.trials)} rows, got {len(evaluations)}."
        )
    if pending.parts:
        return _tell_parts(setup, schedule, state, pending, evaluations, columns)
    run = np.flatnonzero(evaluations.run)
    told = evaluations if run.shape[0] == len(evaluations) else evaluations.take(run)
    if pending.trials.step == replicates.REPLICATE:
        code = schedule.names.index(replicates.REPLICATE)
        return evolve(replicates.told(state, told, code, len(schedule.steps)), counters=evaluations.counters)
    before = _with_columns(state, told, columns)
    starting = state.queue.shape[0] > 0
    noise = before.noise
    F, H, HE, V = measured(before.barrier, told if noise is None else cautious(noise, told, before.barrier.columns))
    types = success_types(before.barrier, before.history, F, H, HE)
    first = before.history.size
    code = 0 if starting else schedule.names.index(pending.trials.step)
    history = before.history.extended(told.X, told.F, F, H, HE, V, told.C, told.status, code, state.iteration)
    barrier = with_range(with_points(before.barrier, history, first), F, 2 * setup.n + 1)
    after = evolve(before, history=history, barrier=barrier, counters=evaluations.counters, pending=None)
    after = _with_best(after, first)
    if noise is not None:
        *_, raw = measured(before.barrier, told)
        after = evolve(after, noise=with_evaluations(noise, told, raw, code, state.iteration))
        after = replicates.judge(before, after, types, pending.trials.on_mesh[run], first)
    if starting:
        return _start_run(setup, _with_pool(setup, after, told.X))
    refine = _drop_small_gains(before, barrier.f_scale, types, F, H, HE, pending.trials.on_mesh[run])
    step = (*schedule.steps, schedule.fill)[state.stage]
    outcome = _outcome(setup, before, after, pending, run, types, first)
    if outcome.improved:
        after = evolve(after, cover=evolve(after.cover, since=0))
    after = _with_success(setup, after, step, outcome, pending.origins[run], refine)
    ends = step.ends_iteration(setup, after, outcome)
    after = _with_pool(setup, step.update(setup, _with_credit(schedule.arms, after, step, outcome), outcome), told.X)
    again = not ends and step.repeats(setup, after, outcome)
    return evolve(after, stage=len(schedule.steps) if ends else state.stage + (0 if again else 1))


def _tell_parts(
    setup: Setup,
    schedule: Schedule,
    state: SolverState,
    pending: Pending,
    evaluations: Evaluations,
    columns: Sequence[tuple[str, str, float, bool]] | None,
) -> SolverState:
    """The parts of a block told one after the other; a success of any of them ends the iteration, else it goes on behind the last one."""
    end, ends, stage = len(schedule.steps), False, state.stage
    for part, own, told in batches.told_by_part(pending, evaluations, state.counters):
        state = tell(setup, schedule, evolve(state, pending=own, stage=part.stage), told, columns)
        if part.stage < end:
            stage = state.stage
            ends = ends or stage == end
        else:
            ends = ends or state.stage == end
    return evolve(state, stage=end if ends else stage)


def _with_columns(
    state: SolverState, told: Evaluations, columns: Sequence[tuple[str, str, float, bool]] | None
) -> SolverState:
    """Constraint scales S_j = max(1, |c_j|) from the first point that could be evaluated; fixed from then on."""
    if state.barrier.columns is not None or not told.ok.any():
        return state
    p = told.C.shape[1]
    if columns is None or len(columns) != p:
        raise AskTellError(f"`C` must have {len(columns or ())} columns (from the problem's constraints), got {p}.")
    known = Columns.of(columns, told.C[told.ok][0])
    phase = 1 if known.extreme.any() else 2
    return evolve(state, barrier=evolve(state.barrier, columns=known, phase=phase))


def _with_pool(setup: Setup, state: SolverState, X: FloatArray) -> SolverState:
    """Distances of the covering candidates after new points, whatever step they came from."""
    cover = state.cover
    if not cover.Y.shape[0] or state.mesh is None or not X.shape[0]:
        return state
    d2 = cover.d2.copy()
    setup.geometry.pool_update(cover.Y, d2, np.ascontiguousarray(X), state.mesh.scale)
    return evolve(state, cover=evolve(cover, d2=d2))


def _with_best(state: SolverState, first: int) -> SolverState:
    """Best rows over all local runs: the run's incumbents against the best of earlier runs."""
    history, feas, inf = state.history.buffer, state.best_feas, state.best_inf
    run = state.barrier
    if run.phase == 2 and run.feas >= 0 and (feas < 0 or history.F[run.feas] < history.F[feas]):
        feas = run.feas
    least = float(history.V[inf]) if inf >= 0 else math.inf
    for row, violation in enumerate(history.V[first : state.history.size].tolist(), first):
        if 0.0 < violation < least:
            inf, least = row, violation
    return evolve(state, best_feas=feas, best_inf=inf)


def _drop_small_gains(
    before: SolverState,
    f_scale: float,
    types: IntArray,
    F: FloatArray,
    H: FloatArray,
    HE: FloatArray,
    on_mesh: BoolArray,
) -> bool:
    """Turn off-mesh successes below the sufficient decrease into failures (in place); True if there was one.

    Such points still become incumbents: move on simple decrease, expand on sufficient decrease, otherwise shrink.
    """
    mesh, barrier, buffer = before.mesh, before.barrier, before.history.buffer
    if mesh is None or on_mesh.all() or not types.any():
        return False
    share = OFF_MESH_SUFFICIENT * min(1.0, mesh.size or 1.0) ** 2
    small = False
    for i in np.flatnonzero((types > 0) & ~on_mesh):
        if barrier.phase == 1:
            enough = barrier.feas < 0 or HE[i] <= (1.0 - share) * buffer.HE[barrier.feas]
        elif H[i] == 0.0:
            enough = barrier.feas < 0 or buffer.F[barrier.feas] - F[i] >= share * f_scale
        else:
            h, f = (buffer.H[barrier.inf], buffer.F[barrier.inf]) if barrier.inf >= 0 else (math.inf, math.inf)
            enough = barrier.inf < 0 or H[i] <= (1.0 - share) * h or f - F[i] >= share * f_scale
        if not enough:
            types[i], small = 0, True
    return small


def _outcome(
    setup: Setup,
    before: SolverState,
    after: SolverState,
    pending: Pending,
    run: IntArray,
    types: IntArray,
    first: int,
) -> Outcome:
    row = _moved_to(setup, before, after)
    size = 0.0
    if row >= 0 and after.mesh is not None:
        step = setup.geometry.displacement(pending.origins[run][row - first], after.history.X[row])
        size = float(np.max(np.abs(step) / after.mesh.scale, initial=0.0))
    return Outcome(
        memo=pending.memo,
        first=first,
        last=after.history.size,
        success=int(types.max(initial=0)),
        row=row,
        move_size=size,
        gain=_gain(before, after) if row >= 0 else 0.0,
        cost=_cost(setup, after.counters) - _cost(setup, before.counters),
    )


def _cost(setup: Setup, counters: Counters) -> float:
    return counters.cost(setup.options.gradient_cost)


def _moved_to(setup: Setup, before: SolverState, after: SolverState) -> int:
    """Row of the new leading incumbent, -1 if the leading one did not move."""
    old, new = before.barrier, after.barrier
    if new.phase != old.phase:
        return after.centre
    if new.feas != old.feas:
        return new.feas
    primary, _ = poll_centres(old, before.history, setup.options.infeasible_margin)
    return new.inf if primary == old.inf and new.inf != old.inf else -1


def _gain(before: SolverState, after: SolverState) -> float:
    """How much the leading incumbent improved, see `Outcome.gain`."""
    old, new, buffer = before.barrier, after.barrier, after.history.buffer
    if new.phase != old.phase or (old.feas < 0 and old.inf < 0):
        return 1.0
    if new.phase == 1:
        return float(1.0 - buffer.HE[new.feas] / buffer.HE[old.feas])
    if old.feas >= 0 and new.feas != old.feas:
        return min(float(buffer.F[old.feas]) - float(buffer.F[new.feas]), GAIN_MAX * new.f_scale) / new.f_scale
    if new.feas >= 0 and old.feas < 0:
        return 1.0
    return float(max(0.0, 1.0 - buffer.H[new.inf] / buffer.H[old.inf]))


def _with_credit(arms: int, state: SolverState, step: Step, outcome: Outcome) -> SolverState:
    """What the steps that an attack can pre-empt earn: attacks must be worth their price beside them."""
    if isinstance(step, (Attack, Fill)):
        return state
    state = evolve(state, attack=evolve(state.attack, others=state.attack.others.earned(outcome.gain, outcome.cost)))
    if isinstance(step, Portfolio):
        return state
    earned = credit.earned(state.credit, arms, POLL_ARM, outcome.gain, outcome.cost, state.history.n)
    return evolve(state, credit=earned)


def _with_success(
    setup: Setup, state: SolverState, step: Step, outcome: Outcome, origins: FloatArray, refine: bool
) -> SolverState:
    success = max(state.success, outcome.success)
    move, grow = state.move, state.grow
    if outcome.improved:
        move = setup.geometry.displacement(origins[outcome.row - outcome.first], state.history.X[outcome.row])
        grow = outcome.success == FULL and step.enlarges
    return evolve(state, success=success, move=move, grow=grow, refine=state.refine or refine)


# ---------------------------------------------------------------------------------------------------------- iteration, runs


def _start_run(setup: Setup, state: SolverState) -> SolverState:
    """After start points were evaluated: set the mesh round the best of them, or draw a design when none could be used."""
    state = evolve(state, queue=state.queue[:0])
    if state.centre < 0:
        limit = START_DESIGN_MAX * (setup.n + 1)
        if state.drawn >= limit:
            return evolve(state, stop=StopReason.FRAME if state.runs else StopReason.START_FAILED)
        rng = state.rng.generator()
        around = state.history.X[0] if state.history.size else None
        queue = starts.design(setup, rng, min(8, limit - state.drawn), around)
        return evolve(state, queue=queue, rng=RngState.of(rng), drawn=state.drawn + queue.shape[0])
    x = state.history.X[state.centre]
    mesh = first_mesh(setup, x, None if state.mesh is None else state.mesh.scale)
    return _next_iteration(setup, evolve(state, mesh=mesh, drawn=0))


def first_mesh(setup: Setup, x: FloatArray, scale: FloatArray | None) -> Mesh:
    """The mesh of a run that begins at x (n,), in the metric `scale` (n,) of an earlier one if there is one."""
    geometry, request = setup.geometry, starts.mesh_scale(setup, x)
    if not geometry.plain:
        request = np.where(
            geometry.categorical, 1.0, np.where(geometry.period > 0.0, np.minimum(request, geometry.span), request)
        )
    return Mesh.start(request, setup.granularity, x, scale, geometry.unit)


def _next_iteration(setup: Setup, state: SolverState) -> SolverState:
    barrier, history = hardened(state.barrier, state.history, setup.options.infeasible_margin)
    if history is not state.history:
        state = replicates.rejudged(evolve(state, barrier=barrier, history=history))
    return evolve(
        state,
        iteration=state.iteration + 1,
        stage=0,
        success=0,
        refine=False,
        kept=None,
        grow=False,
        inf_before=state.barrier.inf,
        moved=state.grow and state.success == FULL,
    )


def _end_iteration(setup: Setup, state: SolverState, rng: np.random.Generator) -> SolverState:
    """Sizes, thresholds and convergence after the last step of an iteration."""
    mesh = state.mesh
    if mesh is None:
        return evolve(state, stop=StopReason.LATTICE)
    barrier = end_of_iteration(state.barrier, state.history, state.success, state.inf_before)
    state = evolve(state, barrier=barrier)
    x = state.history.X[state.centre] if state.centre >= 0 else np.zeros(setup.n)
    floored = False
    # A step to other levels has widened the frame already.
    at_end = mesh.size <= setup.options.frame_size_min
    if state.success and state.floored and state.move is not None and at_end:
        mesh = mesh.reset(np.maximum(np.abs(state.move), mesh.mesh_size), x)
    elif state.success == FULL and state.grow and state.move is not None:
        mesh = mesh.enlarged(state.move, x, setup.geometry.span)
    elif state.success:
        mesh = mesh.moved(x)
    else:
        smallest = max(
            setup.options.frame_size_min, resolution(state.noise, state.history, state.centre, state.searches.model)
        )
        at_end = mesh.size <= smallest if setup.continuous else mesh.finest
        floored = at_end and not state.refine
        mesh = mesh if floored else _refined(setup, state, mesh, x)
    state = _next_iteration(setup, evolve(state, mesh=mesh, floored=floored))
    if restarts.hopeless(setup, state):
        return _restart(setup, state, rng)
    # The quota backs what is said about the answer; a run that ends elsewhere needs none.
    leads = state.barrier.feas < 0 or state.best_feas < 0 or state.best_feas >= state.barrier.start
    done = not leads or state.cover.since >= setup.quota or state.cover.exhausted or not setup.geometry.moving.shape[0]
    discrete = setup.geometry.has_levels or setup.geometry.mixed
    if floored and done and not (discrete and unfinished(setup, state)):
        return _restart(setup, state, rng)
    return state


def _refined(setup: Setup, state: SolverState, mesh: Mesh, x: FloatArray) -> Mesh:
    """One notch down; half the way (in the exponent) to the resolution of the models where they are far below the frame.

    All the way where nothing has improved for long and what is left of the budget can go elsewhere.
    """
    idle = state.history.size - 1 - max(state.centre, state.barrier.start)
    if idle > IDLE * (setup.n + 1) and restarts.possible(setup):
        return mesh.reset(0.99 * setup.options.frame_size_min * mesh.scale, x)
    finer, model = mesh.refined(x), state.searches.model
    if model is None or finer.size <= 10.0 * model.resolution:
        return finer
    return finer.reset(finer.frame_size * math.sqrt(10.0 * model.resolution / finer.size), x)


def _restart(setup: Setup, state: SolverState, rng: np.random.Generator) -> SolverState:
    """The local run has converged: begin another one far from everything evaluated, or stop."""
    frame = state.mesh.size if state.mesh is not None else 0.0
    barrier, cover = state.barrier, state.cover
    trials = cover.window_n if cover.window_row == state.centre and cover.rejecting else 0
    run = LocalRun(
        start=barrier.start,
        end=state.history.size,
        feas=barrier.feas,
        inf=barrier.inf,
        frame=frame,
        window=cover.window,
        trials=trials,
        exhausted=cover.exhausted,
        kind=state.kind,
    )
    state = evolve(state, runs=(*state.runs, run))
    if not restarts.possible(setup):
        return evolve(state, stop=StopReason.FRAME)
    restart = restarts.next_restart(setup, state, rng)
    if not restart.queue.shape[0]:
        return evolve(state, stop=_lattice_or_frame(setup, state))
    return evolve(
        state,
        queue=restart.queue,
        kind=restart.kind,
        explore=restart.kind == restarts.POPULATION,
        barrier=state.barrier.restarted(state.history.size, setup.options.h_max_init),
        attack=AttackState(setup.options.attack_radius_init),
        cover=evolve(empty_cover(setup.n), window=state.cover.window),
        searches=SearchStates(cma=state.searches.cma),
        credit=credit.Credit(),
        turn=0,
        floored=False,
        move=None,
        moved=False,
    )


def _lattice_or_frame(setup: Setup, state: SolverState) -> StopReason:
    """Why a run ends that finds nothing new to evaluate."""
    return StopReason.LATTICE if state.history.size >= starts.lattice_size(setup) else StopReason.FRAME


def stop_reason(setup: Setup, state: SolverState) -> StopReason | None:
    """Why the run must end now, as far as the state tells; None to go on."""
    if state.best_feas >= 0 and state.history.buffer.F[state.best_feas] <= setup.f_target:
        return StopReason.TARGET
    if setup.budget - _cost(setup, state.counters) < 1.0:
        return StopReason.BUDGET
    if setup.n == 0 and state.history.size:
        return StopReason.LATTICE
    return None
