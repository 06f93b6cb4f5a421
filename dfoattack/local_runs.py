"""Local runs: how one begins, what the end of an iteration does to its frame, when it has converged, and what follows."""

from __future__ import annotations

import math

import numpy as np

from dfoattack import credit, replicates, restarts, starts
from dfoattack._typing import FloatArray
from dfoattack._values import evolve
from dfoattack.barrier import FULL, end_of_iteration, hardened
from dfoattack.mesh import Mesh
from dfoattack.noise import resolution
from dfoattack.reasons import StopReason
from dfoattack.state import (
    AttackState,
    LocalRun,
    OperatorCredit,
    RngState,
    SearchStates,
    Setup,
    SolverState,
    empty_cover,
)
from dfoattack.steps._model_rules import settled
from dfoattack.steps.neighbours import unfinished

IDLE = 10.0  # times n + 1: evaluations without a new incumbent after which a local run comes to its end
START_DESIGN_MAX = 16  # design points a variable tried before a run without any usable start gives up


def start_run(setup: Setup, state: SolverState) -> SolverState:
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


def end_iteration(setup: Setup, state: SolverState, rng: np.random.Generator) -> SolverState:
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
    if floored and state.cover.window_row != state.barrier.reported:
        # The quota backs what is said about this point; trials round an infeasible centre that led the polls say nothing of it.
        state = evolve(state, cover=evolve(state.cover, since=0, exhausted=False))
    # A run that ends elsewhere than the answer needs no quota.
    leads = state.barrier.feas < 0 or state.best_feas < 0 or state.best_feas >= state.barrier.start
    done = not leads or state.cover.since >= setup.quota or state.cover.exhausted or not setup.geometry.moving.shape[0]
    discrete = setup.geometry.has_levels or setup.geometry.mixed
    if floored and done and not (discrete and unfinished(setup, state)):
        return _restart(setup, state, rng)
    return state


def _refined(setup: Setup, state: SolverState, mesh: Mesh, x: FloatArray) -> Mesh:
    """One notch down; half the way (in the exponent) to the resolution of the models where they are far below the frame.

    All the way where what is left of the budget can go elsewhere and nothing has improved for long, or the models have converged.
    """
    idle = state.history.size - 1 - max(state.centre, state.barrier.start)
    if (idle > IDLE * (setup.n + 1) and setup.followed) or settled(setup, state):
        return mesh.reset(0.99 * setup.options.frame_size_min * mesh.scale, x)
    finer, model = mesh.refined(x), state.searches.model
    if model is None or finer.size <= 10.0 * model.resolution:
        return finer
    return finer.reset(finer.frame_size * math.sqrt(10.0 * model.resolution / finer.size), x)


def _restart(setup: Setup, state: SolverState, rng: np.random.Generator) -> SolverState:
    """The local run has converged: begin another one far from everything evaluated, or stop."""
    frame = state.mesh.size if state.mesh is not None else 0.0
    barrier, cover = state.barrier, state.cover
    here = cover.window_row == barrier.reported
    trials = cover.window_n if here and cover.rejecting else 0
    run = LocalRun(
        start=barrier.start,
        end=state.history.size,
        feas=barrier.feas,
        inf=barrier.inf,
        frame=frame,
        window=cover.window,
        trials=trials,
        exhausted=cover.exhausted and here,
        kind=state.kind,
    )
    state = evolve(state, runs=(*state.runs, run))
    if not setup.followed:
        return evolve(state, stop=StopReason.FRAME)
    restart = restarts.next_restart(setup, state, rng)
    if not restart.queue.shape[0]:
        return evolve(state, stop=lattice_or_frame(setup, state))
    return evolve(
        state,
        queue=restart.queue,
        kind=restart.kind,
        explore=restart.kind == restarts.POPULATION,
        barrier=state.barrier.restarted(state.history.size, setup.options.h_max_init),
        attack=_rested(setup, state.attack),
        cover=evolve(empty_cover(setup.n), window=state.cover.window),
        searches=SearchStates(cma=state.searches.cma),
        credit=credit.Credit(),
        turn=0,
        floored=False,
        move=None,
        moved=False,
    )


def _rested(setup: Setup, attack: AttackState) -> AttackState:
    """The attack state of the next local run: operators are awake again, but those that keep failing will sleep at once for as long as before."""
    credits = tuple(OperatorCredit(fails=credit.fails) for credit in attack.credits)
    radius = setup.options.attack_radius_init
    return AttackState(radius, credits=credits, noise=attack.noise, probes=attack.probes, spent=attack.spent)


def lattice_or_frame(setup: Setup, state: SolverState) -> StopReason:
    """Why a run ends that finds nothing new to evaluate."""
    return StopReason.LATTICE if state.history.size >= starts.lattice_size(setup) else StopReason.FRAME
