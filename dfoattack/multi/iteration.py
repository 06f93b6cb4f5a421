"""Beginning and end of an iteration on the front: centre, frames, threshold of the barrier, convergence."""

from __future__ import annotations

import numpy as np

from dfoattack import starts
from dfoattack._values import evolve
from dfoattack.barrier import measured
from dfoattack.multi.archive import Element, with_threshold
from dfoattack.multi.selection import chosen
from dfoattack.multi.state import Focus, MultiSetup, MultiState, constraint_part
from dfoattack.reasons import StopReason
from dfoattack.state import RngState
from dfoattack.trials import Counters, Evaluations


def begin_iteration(setup: MultiSetup, state: MultiState) -> MultiState:
    """Choose the centre; where every frame is at its end, the covering quota decides whether the run has converged."""
    rng = state.rng.generator()
    focus = chosen(setup, state, rng)
    if focus is not None:
        state, gone = _hardened(setup, state, focus)
        focus = chosen(setup, state, rng) if gone else focus
    if focus is None:
        if not state.archive.feas and not state.archive.inf:
            return evolve(state, stop=at_end(setup, state))
        if state.cover.since >= setup.base.quota or not setup.base.geometry.moving.shape[0]:
            return evolve(state, stop=at_end(setup, state))
        pool = state.archive.feas or state.archive.inf
        focus = Focus(pool[int(rng.integers(len(pool)))].row)
    return evolve(
        state,
        rng=RngState.of(rng),
        focus=focus,
        iteration=state.iteration + 1,
        stage=0,
        success=0,
        refine=False,
        weak=False,
        kept=None,
        polled=False,
        follow=-1,
        streak=state.streak + 1 if focus.follows else 0,
    )


def _hardened(setup: MultiSetup, state: MultiState, focus: Focus) -> tuple[MultiState, bool]:
    """The state after hybrid columns that a centre satisfies have turned extreme, for good, and whether a centre is out by that.

    All points of the history are judged again. Infeasible elements that violate such a column leave the archive; the others keep their h.
    """
    columns, history = state.barrier.columns, state.history
    if columns is None or not columns.hybrid.any():
        return state, False
    C = constraint_part(history.C, setup.q)
    centres = [row for row in (focus.row, focus.second) if row >= 0]
    met = (columns.excess(C[centres]) <= 0.0).any(axis=0)
    turning = columns.hybrid & met
    if not turning.any():
        return state, False
    columns = evolve(columns, extreme=columns.extreme | turning, hybrid=columns.hybrid & ~met)
    barrier = evolve(state.barrier, columns=columns)
    F, H, HE, _ = measured(barrier, Evaluations(history.X, history.f, C, history.status, Counters()))
    history = history.judged(np.where(np.isfinite(F), 0.0, np.inf), H, HE)
    inf = tuple(e for e in state.archive.inf if np.isfinite(history.F[e.row]))
    archive = evolve(state.archive, inf=inf)
    gone = any(archive.find(row) is None for row in centres)
    return evolve(state, barrier=barrier, history=history, archive=archive), gone


def end_iteration(setup: MultiSetup, state: MultiState) -> MultiState:
    """Frame of the centre, threshold of the barrier, and whether the next iteration follows the last move."""
    focus, archive = state.focus, state.archive
    assert focus is not None
    if not state.success or state.weak:
        # A feasible member that only stands beside an infeasible centre was hardly polled: it keeps its frame.
        for centre in (focus.row, focus.second):
            element = archive.find(centre) if centre >= 0 else None
            if element is not None and (centre == focus.row or state.history.H[centre] > 0.0):
                archive = archive.replaced(
                    _refined(setup, state, element, complete=centre == focus.row and state.polled)
                )
    archive = with_threshold(archive, state.history)
    return evolve(state, archive=archive, focus=None)


def _refined(setup: MultiSetup, state: MultiState, element: Element, complete: bool) -> Element:
    """The element after a failed iteration: smaller frame, or done at the smallest one."""
    mesh, options = element.mesh, setup.base.options
    polled = min(element.polled, element.frame) if complete else element.polled
    floor = mesh.size <= options.frame_size_min if setup.base.continuous else mesh.finest
    if floor and not state.refine:
        # A member of the front is done only after a complete poll; an infeasible one beside it just waits no longer.
        return evolve(element, polled=polled, done=complete or bool(state.history.H[element.row] > 0.0))
    return evolve(element.refined(state.history.X[element.row].copy()), polled=polled, checked=False)


def at_end(setup: MultiSetup, state: MultiState) -> StopReason:
    return StopReason.LATTICE if state.history.size >= starts.lattice_size(setup.base) else StopReason.FRAME
