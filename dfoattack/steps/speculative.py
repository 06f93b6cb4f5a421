"""Speculative search: go on along the step that has just succeeded."""

from __future__ import annotations

import numpy as np

from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.barrier import poll_centres
from dfoattack.kernels import mesh as kernels
from dfoattack.state import Setup, SolverState
from dfoattack.steps.base import Outcome, Proposal, Step

MAX_STREAK = 5


class Speculative(Step):
    """Try x + s after a step s that succeeded, doubling s while it goes on succeeding, at most five times in a row.

    The point is rounded to the mesh. After the speculative search of Audet & Dennis (2006), "Mesh adaptive direct search
    algorithms for constrained optimization", section 2.
    """

    name = "speculative"
    enlarges = True

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        if not setup.options.speculative or not state.moved or state.move is None or state.mesh is None:
            return Proposal.nothing(setup.n)
        if state.streak >= MAX_STREAK:
            return Proposal.nothing(setup.n)
        row, _ = poll_centres(state.barrier, state.history, setup.options.infeasible_margin)
        if row < 0:
            return Proposal.nothing(setup.n)
        x = state.history.X[row]  # the incumbent that has moved: the infeasible one where it leads
        step = state.move * (2.0 if state.streak else 1.0)
        Z = np.empty((1, setup.n))
        kernels.round_steps(step[None, :], state.mesh.mesh_size, Z)
        X = setup.geometry.mesh_points(x, Z, state.mesh.mesh_size)
        return Proposal.around(X, x, True)

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        streak = state.streak + 1 if outcome.success else 0
        return state if streak == state.streak else evolve(state, streak=streak)
