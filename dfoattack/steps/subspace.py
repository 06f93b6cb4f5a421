"""Poll in random subspaces of few dimensions, for many variables.

After Roberts & Royer (2023), "Direct search based on probabilistic descent in reduced spaces": a random subspace holds a descent
direction with a probability that does not depend on n, so a poll of 2p points replaces one of 2n. The points are not on the mesh
and the step size is the search's own; a failure says nothing about the other directions and refines no frame by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._threads import single_thread
from dfoattack._typing import FloatArray
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.barrier import poll_centres
from dfoattack.search_states import SubspaceState
from dfoattack.state import Setup, SolverState
from dfoattack.steps.base import Outcome, Proposal, Search

VARIABLES_MIN = 101  # below, models of the whole space do better
STEP_MIN, STEP_MAX = 1e-12, 1e3  # in units of the scale
EXPAND, SHRINK = 2.0, 0.5


@dataclass(frozen=True)
class SubspaceMemo:
    """Step size and directions of a turn: P (2p, n), one a trial, in units of the scale, unit length; X (2p, n) the trials."""

    step: float
    P: FloatArray
    X: FloatArray


class Subspace(Search):
    """Poll x +- step * scale * p_j along p orthonormal random directions; each pair begins with the side of the last success.

    Levels are held. Draws n * p normals a turn, n without the categorical variables.

    Parameters
    ----------
    dimension : int >= 1     p
    minimum : int            number of variables from which the search makes sense
    """

    name = "subspace"

    def __init__(self, dimension: int = 2, minimum: int = VARIABLES_MIN) -> None:
        self.dimension, self.minimum = dimension, minimum

    def ready(self, setup: Setup, state: SolverState) -> bool:
        return (
            setup.geometry.moving.shape[0] >= self.minimum
            and state.mesh is not None
            and state.centre >= 0
            and not state.floored
        )

    def continues(self, setup: Setup, state: SolverState, outcome: Outcome) -> bool:
        return outcome.improved

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        n, mesh = setup.n, state.mesh
        if mesh is None or not self.ready(setup, state):
            return Proposal.nothing(n)
        own = state.searches.subspace
        own = SubspaceState(float(np.sqrt(n))) if own is None else own
        row, _ = poll_centres(state.barrier, state.history, setup.options.infeasible_margin)
        moving = setup.geometry.moving
        draws = np.zeros((n, min(self.dimension, moving.shape[0])))
        draws[moving] = rng.standard_normal((moving.shape[0], draws.shape[1]))
        with single_thread():
            Q, _ = np.linalg.qr(draws)
        P = np.ascontiguousarray(Q.T)
        if own.last is not None:
            P[own.last @ Q < 0.0] *= -1.0
        P = np.stack([P, -P], axis=1).reshape(-1, n)
        x = state.history.X[row]
        X = setup.geometry.snapped(x + own.step * mesh.scale * P)
        return Proposal.around(X, x, False, memo=SubspaceMemo(own.step, P, X))

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        memo = outcome.memo
        if not isinstance(memo, SubspaceMemo):
            return state
        own = state.searches.subspace
        last, fails = (None, 0) if own is None else (own.last, own.fails)
        if outcome.improved:
            hits = np.flatnonzero((memo.X == state.history.X[outcome.row]).all(axis=1))
            last = memo.P[hits[0]] if hits.shape[0] else last
            new = SubspaceState(min(EXPAND * memo.step, STEP_MAX), last, 0)
        else:
            new = SubspaceState(max(SHRINK * memo.step, STEP_MIN), last, fails + 1)
        return evolve(state, searches=evolve(state.searches, subspace=new))
