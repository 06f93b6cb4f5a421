"""The first thing to know before differences are paid for: how noisy the values are."""

from __future__ import annotations

import math

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.cache import point_keys
from dfoattack.gradient_sources.noise_level import VALUES, noise_level
from dfoattack.state import Setup, SolverState
from dfoattack.steps import _estimates
from dfoattack.steps.base import Outcome, Proposal, Step

SPACING = 1e-2  # of the scale, between two points of the line


class NoiseProbe(Step):
    """Evaluate a few points on a short line through the incumbent where differences are to come first.

    What their values say of the noise sets the step of the differences, or rules these out. Where noise is seen other lines are looked at,
    and the least of it counts: kinks and jumps do not lie everywhere. Draws n normals a line. The points are recorded as those of the attack
    step, whose concern they are.
    """

    name = "attack"

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        if view is None or state.mesh is None or state.centre < 0 or not _estimates.wants_noise(setup, state):
            return Proposal.nothing(setup.n)
        x, scale = state.history.X[state.centre], state.mesh.scale
        direction = rng.standard_normal(setup.n)
        step = SPACING * scale * direction / float(np.linalg.norm(direction))
        at = np.arange(VALUES) - VALUES // 2
        middle = np.clip(x, setup.lower + at[-1] * np.abs(step), setup.upper - at[-1] * np.abs(step))
        X = np.clip(middle + at[:, None] * step, setup.lower, setup.upper)
        return Proposal.around(X, x, False, memo=X, block=VALUES, opportunistic=False)

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        X: FloatArray | None = outcome.memo
        if X is None:
            return state
        rows = np.array([state.history.find_key(key) for key in point_keys(X)])
        noise = 0.0
        if (rows >= 0).all() and (state.history.status[rows] == 0).all():
            f = state.history.f[rows]
            # In units of what the objective changes by over one unit of the scale along its gradient.
            change = math.sqrt(setup.n) * abs(float(f[-1] - f[0])) / (SPACING * (VALUES - 1))
            level = noise_level(f)
            noise = level / change if change > 0.0 else math.inf if level > 0.0 else 0.0
        least = min(noise, state.attack.noise) if state.attack.probes else noise
        return evolve(state, attack=evolve(state.attack, noise=least, probes=state.attack.probes + 1))

    def ends_iteration(self, setup: Setup, state: SolverState, outcome: Outcome) -> bool:
        return False

    def repeats(self, setup: Setup, state: SolverState, outcome: Outcome) -> bool:
        return _estimates.wants_noise(setup, state)
