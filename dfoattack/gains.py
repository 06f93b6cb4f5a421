"""What a block of evaluations was worth: which successes count, how far the leading incumbent moved, what it gained and cost."""

from __future__ import annotations

import math

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack.barrier import PARTIAL, poll_centres
from dfoattack.state import Pending, Setup, SolverState
from dfoattack.steps.base import Outcome
from dfoattack.trials import Counters

GAIN_MAX = 1e12  # values may span all of float64; a larger gain tells no more
OFF_MESH_SUFFICIENT = 1e-4  # decrease / min(1, frame)^2 that makes an off-mesh point a success, in units of f_scale


def drop_small(
    before: SolverState,
    f_scale: float,
    types: IntArray,
    F: FloatArray,
    H: FloatArray,
    HE: FloatArray,
    on_mesh: BoolArray,
    smallest: float,
) -> bool:
    """Turn off-mesh successes below the sufficient decrease into failures (in place); True if there was one.

    Such points still become incumbents: move on simple decrease, expand on sufficient decrease, otherwise shrink. On the mesh of the
    `smallest` frame partial successes are failures too: a violation that falls by as little as such steps can make it fall would keep a run
    from converging for ever.
    """
    mesh, barrier, buffer = before.mesh, before.barrier, before.history.buffer
    if mesh is None or not types.any():
        return False
    if mesh.size <= smallest:
        types[on_mesh & (types == PARTIAL)] = 0
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


def outcome(
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
        cost=cost(setup, after.counters) - cost(setup, before.counters),
    )


def cost(setup: Setup, counters: Counters) -> float:
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
