"""Repeated evaluations of known points: which, when, and what follows from them; nothing of it happens without the option `noise`.

A trial whose value is not certainly better than that of the incumbent is no success: it and the incumbent are evaluated again, a few
times at most, and where this settles nothing the iteration refines. An iteration that failed in doubt has its incumbent evaluated again, so
that incumbents are the better known the smaller the frame is; other incumbents are evaluated again now and then, and the last
evaluations of the budget tell the best points apart.
"""

from __future__ import annotations

import math

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.barrier import FULL, Barrier, beats, measured, success_types, with_points
from dfoattack.cache import History
from dfoattack.noise import CERTAIN, NoiseState, cautious, optimistic, with_evaluations, with_replicates
from dfoattack.state import Setup, SolverState
from dfoattack.trials import Counters, Evaluations

_COUNTERS = Counters()
REPLICATE = "replicate"  # step name of repeated evaluations
FIRST = 3  # repetitions of the first incumbent, from which the noise is estimated
ROUNDS = 3  # repetitions of an uncertain trial
COUNT_MAX = 64  # evaluations of one point
SHARE = 0.25  # largest share of repetitions in all evaluations, those of the end apart
ALLOWANCE = 8  # repetitions beyond that share
INTERVAL = 10  # times n + 1: evaluations after which the incumbent is evaluated again in any case
LAST = 0.04  # share of the budget kept for telling the best points apart


def due(setup: Setup, state: SolverState, at_end: bool) -> tuple[SolverState, IntArray]:
    """History rows (k,) to be evaluated again now, and the state that remembers having asked; `at_end`: the iteration is over."""
    noise, row = state.noise, state.barrier.feas if state.barrier.feas >= 0 else state.barrier.inf
    nothing = np.empty(0, dtype=np.int64)
    if noise is None or row < 0 or state.mesh is None:
        return state, nothing
    size = noise.raw.size
    if noise.replicates < FIRST and (noise.estimated or state.history.p):
        wanted = [row] * int(min(FIRST - noise.replicates, max(1.0, setup.budget / 20.0)))
        return _with(state, evolve(noise, checked=size)), np.array(wanted, dtype=np.int64)
    if _is_last(setup, state, noise):
        last = optimistic(noise, state.history, _contenders(state))
        if noise.answer >= 0 and noise.replicates % 2:
            last = noise.answer
        if last >= 0:
            return state, np.array([last], dtype=np.int64)
    once = noise.count(row) == 1 and noise.error(state.history, row) > 0.0
    doubtful = at_end and (noise.doubt or once) and not state.success
    if at_end and noise.doubt:
        noise = evolve(noise, doubt=False)
        state = _with(state, noise)
    if noise.replicates >= SHARE * size + ALLOWANCE:
        return _with(state, evolve(noise, trial=-1, rival=-1, rounds=0)) if noise.trial >= 0 else state, nothing
    if noise.trial >= 0 and noise.rounds > 0:
        both = noise.rival >= 0 and noise.count(noise.rival) <= noise.count(noise.trial)
        wanted = [noise.trial, noise.rival] if both else [noise.trial]
        return _with(state, evolve(noise, rounds=noise.rounds - 1)), np.array(wanted, dtype=np.int64)
    if (doubtful or size - noise.checked >= INTERVAL * (setup.n + 1)) and noise.count(row) < COUNT_MAX:
        return _with(state, evolve(noise, checked=size)), np.array([row], dtype=np.int64)
    return state, nothing


def told(state: SolverState, evaluations: Evaluations, code: int, stages: int) -> SolverState:
    """The state after known points were evaluated again: estimates, incumbents, and the verdict on an uncertain trial."""
    assert state.noise is not None
    barrier = state.barrier
    *_, V = measured(barrier, evaluations)
    noise = with_evaluations(state.noise, evaluations, V, code, state.iteration)
    noise, f, C = with_replicates(noise, state.history, evaluations)
    history = _judged(barrier, noise, state.history, f, C)
    fresh = _reselected(barrier, history)
    after = _with(evolve(state, history=history, barrier=fresh, pending=None), noise)
    after = _with_best(after)
    if noise.trial >= 0:
        return _verdict(after, noise, stages)
    if fresh.feas != barrier.feas:
        # The incumbent has lost its place: nothing was polled around the new one, so nothing may refine.
        after = evolve(after, success=FULL, grow=False, stage=stages)
    return after


def _verdict(state: SolverState, noise: NoiseState, stages: int) -> SolverState:
    """Certain success, no success, or another round; a trial that leads although it is no success ends a poll, which then refines."""
    history, trial, rival = state.history, noise.trial, noise.rival
    if noise.certain(float(history.f[trial]), noise.error(history, trial), history, rival):
        move = history.X[trial] - history.X[rival]
        state = evolve(state, success=FULL, move=move, grow=False, stage=stages)
        return _with(state, evolve(noise, trial=-1, rival=-1, rounds=0))
    leads = state.barrier.feas == trial
    if noise.rounds > 0 and (leads or history.f[trial] < history.f[rival]):
        return state
    state = _with(state, evolve(noise, trial=-1, rival=-1, rounds=0))
    if leads and noise.polled:
        return evolve(state, stage=stages)
    if leads or state.barrier.feas == rival:
        return state
    return evolve(state, success=FULL, grow=False, stage=stages)  # a third point leads: as in `told`


def judge(before: SolverState, after: SolverState, types: IntArray, on_mesh: BoolArray, first: int) -> SolverState:
    """Turn successes that are not certain into failures (in place).

    The best trial that may be better than the incumbent is noted as uncertain, to be evaluated again before anything else is asked.
    Only feasible trials are judged against a feasible incumbent: violations have their margin already.
    """
    noise, rival, history = after.noise, before.barrier.feas, after.history
    if noise is None or before.barrier.phase == 1 or rival < 0:
        return after
    rows = np.arange(first, history.size)
    f = history.f[rows]
    deviation = noise.sigma(f)
    if not (deviation > 0.0).any():
        return after
    gain = float(history.f[rival]) - f
    band = CERTAIN * np.hypot(deviation, noise.error(history, rival))
    unsure = (history.H[rows] == 0.0) & np.isfinite(history.F[rows]) & (gain <= band)
    types[unsure] = 0
    doubt = noise.doubt or bool(np.any(unsure & (gain > -band)))
    better = unsure & (gain > 0.0)
    if better.any() and not types.any():
        best = int(np.argmax(np.where(better, gain, -math.inf)))
        noise = evolve(noise, trial=int(rows[best]), rival=rival, rounds=ROUNDS, polled=bool(on_mesh[best]))
    return _with(after, evolve(noise, doubt=doubt))


def improves(state: SolverState, evaluations: Evaluations) -> bool:
    """Whether a block holds a success beyond doubt: what ends an opportunistic step."""
    noise, barrier = state.noise, state.barrier
    if noise is None:
        return beats(barrier, state.history, evaluations)
    if barrier.columns is None:
        return False
    F, H, HE, _ = measured(barrier, cautious(noise, evaluations, barrier.columns))
    full = success_types(barrier, state.history, F, H, HE) == FULL
    if barrier.phase == 1 or barrier.feas < 0:
        return bool(full.any())
    deviation = noise.sigma(evaluations.F)
    return any(
        H[i] > 0.0 or noise.certain(float(evaluations.F[i]), float(deviation[i]), state.history, barrier.feas)
        for i in np.flatnonzero(full)
    )


def rejudged(state: SolverState) -> SolverState:
    """The state with all points judged again, after the kinds of the constraints have changed."""
    if state.noise is None:
        return state
    history = _judged(state.barrier, state.noise, state.history, state.history.f, state.history.C)
    return evolve(state, history=history, barrier=_reselected(state.barrier, history))


# ---------------------------------------------------------------- parts


def _with(state: SolverState, noise: NoiseState) -> SolverState:
    return evolve(state, noise=noise)


def _is_last(setup: Setup, state: SolverState, noise: NoiseState) -> bool:
    """Whether what is left of the budget is kept for the best points."""
    if not math.isfinite(setup.budget) or not bool(noise.sigma(np.ones(1))[0] > 0.0):
        return False
    left = setup.budget - state.counters.cost(setup.options.gradient_cost)
    return left <= LAST * setup.budget


def _contenders(state: SolverState) -> BoolArray:
    """Feasible rows (N,), of all local runs."""
    history = state.history
    usable: BoolArray = (history.H == 0.0) & np.isfinite(history.F)
    return usable


def _judged(barrier: Barrier, noise: NoiseState, history: History, f: FloatArray, C: FloatArray) -> History:
    """The history with means f (N,), C (N, p) and the cautious values that follow from them."""
    means = Evaluations(history.X, f, C, history.status, _COUNTERS)
    F, H, HE, V = measured(barrier, cautious(noise, means, barrier.columns, noise.all_counts(history.size)))
    return history.revised(f, F, H, HE, V, C)


def _reselected(barrier: Barrier, history: History) -> Barrier:
    """The incumbents of the present local run anew; the old ones where no point could lead any more."""
    fresh = with_points(evolve(barrier, feas=-1, inf=-1), history, barrier.start)
    return fresh if fresh.feas >= 0 or fresh.inf >= 0 else barrier


def _with_best(state: SolverState) -> SolverState:
    """Best rows over all local runs, from all points anew."""
    history, feas, inf = state.history, state.best_feas, state.best_inf
    usable = _contenders(state)
    feas = int(np.argmin(np.where(usable, history.F, np.inf))) if usable.any() else -1
    noise = state.noise
    if noise is not None and noise.answer >= 0 and feas >= 0 and noise.count(noise.answer) > 1:
        # What all points together suggest stands unless its own values speak against it: those were not selected, the best were.
        if not noise.certain(float(history.f[feas]), noise.error(history, feas), history, noise.answer):
            feas = noise.answer if history.H[noise.answer] == 0.0 else feas
    violated = (history.V > 0.0) & np.isfinite(history.V)
    inf = int(np.argmin(np.where(violated, history.V, np.inf))) if violated.any() else -1
    return evolve(state, best_feas=feas, best_inf=inf)
