"""The two pure transitions of the solver.

`ask(state) -> trial points` walks through the schedule (attack, speculative, searches, poll, completion, covering) until a step proposes
something; `tell(state, evaluations) -> state` appends the answers, moves the incumbents, lets the step update its own part and
decides whether the iteration goes on. Nothing else decides anything.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from dfoattack import batches, credit, gains, local_runs, replicates, starts
from dfoattack._typing import FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.barrier import FULL, Barrier, Columns, measured, success_types, with_points, with_range
from dfoattack.cache import History, point_keys
from dfoattack.errors import AskTellError, OptionError, ProblemError
from dfoattack.geometry import Geometry
from dfoattack.gradient_sources import choice
from dfoattack.noise import NoiseState, cautious, with_evaluations
from dfoattack.options import Options
from dfoattack.problem import Problem
from dfoattack.reasons import StopReason
from dfoattack.schedule import START, Schedule
from dfoattack.state import AttackState, Pending, RngState, Setup, SolverState, empty_cover
from dfoattack.steps import admissible
from dfoattack.steps.attack import Attack
from dfoattack.steps.base import Outcome, Proposal, Step
from dfoattack.steps.fill import Fill
from dfoattack.steps.lockstep import Lockstep
from dfoattack.steps.portfolio import Portfolio
from dfoattack.surrogate import Identity
from dfoattack.trials import Evaluations, Trials

POLL_ARM = 0  # of the credit: poll, completion, covering and the speculative step together
QUOTA_BEFORE_END, QUOTA_BEFORE_RESTARTS = (
    0.1,
    0.03,
)  # of the budget: covering trials before the best local run may converge, where that ends everything and where other runs follow
EMPTY_ITERATIONS_MAX = 500  # iterations without a single new point after which nothing new is to be expected


def make_setup(
    problem: Problem, options: Options, budget: float | None, f_target: float | None, may_ask: bool = False
) -> Setup:
    """What is fixed during a run; raises `OptionError` for options that do not fit the problem. `may_ask`: see `gradient_sources.choice`."""
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
    price = 1.0 + problem.inner_cost[0] + options.gradient_cost * problem.inner_cost[1]
    quota = options.covering_quota
    if quota is None:
        share = QUOTA_BEFORE_RESTARTS if options.restarts else QUOTA_BEFORE_END
        affordable = limit / price * share
        quota = int(min(1000.0, affordable)) if math.isfinite(limit) else min(1000, 100 * max(1, space.n_free))
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
        gradient_source=choice.chosen(options, problem, may_ask),
        softened=problem.softened,
        rejudged=bool(problem.softened) and not isinstance(problem.surrogate, Identity),
        price=price,
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
            state = local_runs.end_iteration(setup, state, rng)
            if state.iteration - first_iteration > EMPTY_ITERATIONS_MAX:
                state = evolve(state, stop=local_runs.lattice_or_frame(setup, state))
            continue
        step = schedule.steps[state.stage]
        proposal = step.propose(setup, state, rng, view)
        proposal = batches.admitted(setup, state, step, proposal)
        fresh = _fresh(state.history, proposal.X)
        if fresh and setup.options.fills and not proposal.paid:
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
        return evolve(state, stop=local_runs.lattice_or_frame(setup, state)), Trials.empty(np.zeros(setup.n), START)
    given = state.drawn == 0 and not state.runs
    size = setup.options.block_size if setup.options.starts is None else max(setup.options.block_size, X.shape[0])
    trials = Trials(X, START, np.full(X.shape[0], True), X[0], size, not given)
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
        return local_runs.start_run(setup, _with_pool(setup, after, told.X))
    smallest = setup.options.frame_size_min
    refine = gains.drop_small(before, barrier.f_scale, types, F, H, HE, pending.trials.on_mesh[run], smallest)
    step = (*schedule.steps, schedule.fill)[state.stage]
    outcome = gains.outcome(setup, before, after, pending, run, types, first)
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


def _with_credit(arms: int, state: SolverState, step: Step, outcome: Outcome) -> SolverState:
    """What the steps that an attack can pre-empt earn: attacks must be worth their price beside them."""
    if isinstance(step, (Attack, Fill, Lockstep)):
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


def stop_reason(setup: Setup, state: SolverState) -> StopReason | None:
    """Why the run must end now, as far as the state tells; None to go on."""
    if state.best_feas >= 0 and state.history.buffer.F[state.best_feas] <= setup.f_target:
        return StopReason.TARGET
    if setup.budget - gains.cost(setup, state.counters) < setup.price:
        return StopReason.BUDGET
    if setup.n == 0 and state.history.size:
        return StopReason.LATTICE
    return None
