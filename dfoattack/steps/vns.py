"""Variable neighbourhood search: shake the incumbent, ever farther, and descend from there.

After Audet, Béchard & Le Digabel (2008), "Nonsmooth optimization through mesh adaptive direct search and variable neighborhood
search". The descent is a compact direct search of its own: random orthogonal directions, doubling along a success, halving.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.kernels import directions
from dfoattack.search_states import VnsState
from dfoattack.state import Setup, SolverState
from dfoattack.steps._fold import Fold
from dfoattack.steps._order import better
from dfoattack.steps.base import Outcome, Proposal, Search

PATIENCE = 3  # iterations without a new incumbent before the first shake
XI_MAX = 10  # ten first frames span the box
FIRST_FRAME = 0.5  # of the descent, in units of the scale
LAST_FRAME = FIRST_FRAME / 2.0**10
POINTS_A_VARIABLE = 100
KNOWN_POLLS_MAX = 3  # polls a turn whose points are all evaluated already; then the descent has ended


@dataclass(frozen=True)
class VnsMemo:
    """The descent as it was when the point x (n,) was asked."""

    run: VnsState
    x: FloatArray


class VNS(Search):
    """One point of a descent a turn; the descent wants all the turns until it ends, at the latest when it has passed the incumbent.

    Shakes are x + xi * scale * d with |d|_inf = 1 and xi = 1, 2, ...; xi falls back to 1 on a new incumbent. Levels are
    held. No turn makes sense with known linear constraints, which would move its points. Draws n normals for a shake and n normals for
    every set of directions.
    """

    name = "vns"

    def ready(self, setup: Setup, state: SolverState) -> bool:
        if (
            setup.polyhedron is not None
            or not setup.geometry.moving.shape[0]
            or state.mesh is None
            or state.centre < 0
            or state.barrier.phase == 1
        ):
            return False
        run = state.searches.vns
        return stuck(state) or (run is not None and run.active and run.around == state.centre)

    def continues(self, setup: Setup, state: SolverState, outcome: Outcome) -> bool:
        run = state.searches.vns
        return run is not None and run.active

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        n, mesh, history, centre = setup.n, state.mesh, state.history, state.centre
        if mesh is None or not self.ready(setup, state):
            return Proposal.nothing(n)
        scale, run = mesh.scale, state.searches.vns
        if run is None or not run.active or run.around != centre:
            xi = run.xi if run is not None and run.around == centre else 1
            d = np.where(setup.geometry.categorical, 0.0, rng.standard_normal(n))
            fold = Fold.of(setup, scale)
            start = fold.preimage(history.X[centre]) + xi * scale * (d / np.abs(d).max())
            x = setup.geometry.held(fold.points(start[None, :]), history.X[centre])[0]
            run = VnsState(xi, centre, history.find(x), FIRST_FRAME, _directions(n, rng))
            if run.base < 0:
                return Proposal.around(x[None, :], history.X[centre], False, memo=VnsMemo(run, x))
        for _ in range(KNOWN_POLLS_MAX * 2 * n):
            if run.tried >= 2 * n and run.along is None:
                run = evolve(run, frame=0.5 * run.frame, tried=0, next=0, H=_directions(n, rng))
            if _over(setup, run):
                break
            x = _candidate(setup, run, history.X[run.base], scale)
            row = history.find(x)
            if row < 0:
                return Proposal.around(x[None, :], history.X[centre], False, memo=VnsMemo(run, x))
            run = advanced(setup, state, run, row)
        return Proposal.nothing(n, VnsMemo(_ended(run, centre), np.empty(0)))

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        memo = outcome.memo
        if not isinstance(memo, VnsMemo):
            return state
        run = memo.run
        if run.active:
            row = state.history.find(memo.x)
            run = evolve(run, spent=run.spent + 1)
            run = evolve(run, frame=0.0) if row < 0 else advanced(setup, state, run, row)
            if state.centre != run.around or not run.active or _over(setup, run):
                run = _ended(run, state.centre)
        return evolve(state, searches=evolve(state.searches, vns=run))


def stuck(state: SolverState) -> bool:
    """More than `PATIENCE` iterations have failed since the incumbent was found, or the run has converged."""
    return state.floored or state.iteration - int(state.history.buffer.iteration[state.centre]) > PATIENCE


def _directions(n: int, rng: np.random.Generator) -> FloatArray:
    H = np.empty((n, n))
    directions.householder(rng.standard_normal(n), H)
    return H


def _candidate(setup: Setup, run: VnsState, x: FloatArray, scale: FloatArray) -> FloatArray:
    if run.along is not None:
        step = 2.0 * run.along
    else:
        h = np.where(setup.geometry.categorical, 0.0, run.H[run.next // 2])
        step = (run.frame if run.next % 2 == 0 else -run.frame) * scale * (h / np.abs(h).max())
        # A granular variable moves by its lattice step at least where the direction has more than half of it in mind.
        step = np.where(
            np.abs(h) >= 0.5 * np.abs(h).max(), np.sign(step) * np.maximum(np.abs(step), setup.granularity), step
        )
    trial: FloatArray = setup.geometry.snapped((x + step)[None, :])[0]
    return trial


def advanced(setup: Setup, state: SolverState, run: VnsState, row: int) -> VnsState:
    """The descent after the point it asked for became history row `row`."""
    history = state.history
    if run.base < 0:
        return evolve(run, base=row)
    if row != run.base and better(history, row, run.base):
        along = setup.geometry.displacement(history.X[run.base], history.X[row])
        return evolve(run, base=row, along=along, tried=0)
    if run.along is not None:
        return evolve(run, along=None)
    return evolve(run, tried=run.tried + 1, next=(run.next + 1) % (2 * history.n))


def _over(setup: Setup, run: VnsState) -> bool:
    coarse = not setup.continuous and run.frame < FIRST_FRAME  # on a lattice there is nothing to halve
    return coarse or run.frame < LAST_FRAME or run.spent >= POINTS_A_VARIABLE * setup.n


def _ended(run: VnsState, centre: int) -> VnsState:
    """No descent; the next shake is longer where the incumbent has stayed."""
    xi = run.xi % XI_MAX + 1 if centre == run.around else 1
    n = run.H.shape[0]
    return VnsState(xi, centre, -1, 0.0, np.empty((0, n)))
