"""Gradient descents from elsewhere, once the incumbent has nothing left to descend to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack._values import evolve
from dfoattack.attacks.base import AttackOperator, View
from dfoattack.attacks.looked import Looked
from dfoattack.source_names import EXACT
from dfoattack.state import OperatorCredit, Setup, SolverState
from dfoattack.steps import admissible
from dfoattack.steps._target import done_at, target_of, whole_box
from dfoattack.steps._watched import Watched
from dfoattack.steps.base import Outcome, Proposal, Search

CANDIDATES = 4  # random points a turn, of which the best is polished
PROMISE = 1e-4  # gain that a descent must promise, in units of f_scale
FAR = 10.0  # how far from the incumbent candidates lie where the box has no end, in units of the scale


@dataclass(frozen=True)
class Descent:
    """Which operator (index) has descended."""

    operator: int


class Multistart(Search):
    """Polish the best of a few random points by the operator that has earned most at incumbents.

    A turn makes sense where gradients are exact, no discrete variable holds a polish back, and the polishes of the attack step have failed
    at the incumbent: then it is as good as a local minimum. Draws `CANDIDATES` uniform points a turn.
    """

    name = "multistart"
    hope = 1.0
    elsewhere = True

    def __init__(self, operators: Sequence[AttackOperator]) -> None:
        self.operators = tuple(operators)
        self._polishes = [i for i, operator in enumerate(self.operators) if operator.whole_box]

    def ready(self, setup: Setup, state: SolverState) -> bool:
        if setup.gradient_source not in EXACT or state.mesh is None or state.centre < 0:
            return False
        if np.any(setup.granularity > 0.0) or not setup.geometry.plain:
            return False
        credits = self._credits(state)
        return any(done_at(state, credits[i], state.centre) for i in self._polishes)

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        if view is None or not view.has_gradient or not self._polishes or state.mesh is None or state.centre < 0:
            return Proposal.nothing(setup.n)
        X = admissible.points(setup, self._candidates(setup, state, rng))
        if not X.shape[0] or not view.affords(1, X.shape[0] + 1):
            return Proposal.nothing(setup.n)
        looked = Looked(view)
        view = looked if setup.rejudged else view
        F, C = view.values(X, view.outputs(X))
        operator = self._best(state)
        target, view = target_of(setup, state, X, F, C, operator.inner_points, view)
        best = np.lexsort((F, target.violation))[:1]
        target = replace(target, X=target.X[best], F=target.F[best], C=target.C[best])
        # What is expected to end at the incumbent's value is given up early.
        feasible, f_scale = state.barrier.feas >= 0, state.barrier.f_scale
        level = state.history.F[state.barrier.feas] - PROMISE * f_scale if feasible and not setup.softened else np.inf
        watched = Watched(view, target, level, setup.options.gradient_cost)
        found = operator(target, whole_box(setup, state), watched, rng)
        ends = setup.geometry.snapped(target.X[found.centre] + found.D)
        # The start is paid for: as an evaluation it costs nothing more.
        memo = Descent(self.operators.index(operator))
        seen = np.vstack([ends, target.X, *looked.seen.values()])
        return Proposal.around(seen, state.history.X[state.centre], False, memo=memo, opportunistic=not setup.rejudged)

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        memo: Descent | None = outcome.memo
        if memo is None or not outcome.improved:
            return state
        # The new incumbent is polished already.
        credits = list(self._credits(state))
        credits[memo.operator] = evolve(credits[memo.operator], failed_at=outcome.row)
        return evolve(state, attack=evolve(state.attack, credits=tuple(credits)))

    def _candidates(self, setup: Setup, state: SolverState, rng: np.random.Generator) -> FloatArray:
        """Uniform points of the box (k, n)."""
        assert state.mesh is not None
        x = state.history.X[state.centre]
        lower = np.where(np.isfinite(setup.lower), setup.lower, np.minimum(x, setup.upper) - FAR * state.mesh.scale)
        upper = np.where(np.isfinite(setup.upper), setup.upper, np.maximum(x, setup.lower) + FAR * state.mesh.scale)
        U = rng.random((CANDIDATES, setup.n))
        points: FloatArray = np.clip(lower + (upper - lower) * U, setup.lower, setup.upper)
        return points

    def _best(self, state: SolverState) -> AttackOperator:
        credits = self._credits(state)
        return self.operators[max(self._polishes, key=lambda i: (credits[i].rate, -i))]

    def _credits(self, state: SolverState) -> tuple[OperatorCredit, ...]:
        return state.attack.credits or (OperatorCredit(),) * len(self.operators)
