"""Gradient descents from elsewhere, once the incumbent has nothing left to descend to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack._values import evolve
from dfoattack.attacks.base import AttackOperator, View
from dfoattack.state import OperatorCredit, Setup, SolverState
from dfoattack.steps import admissible
from dfoattack.steps._looked import Looked
from dfoattack.steps._rest import explores, rest, resting
from dfoattack.steps._target import done_at, target_of, whole_box
from dfoattack.steps._watched import Watched
from dfoattack.steps.base import Outcome, Proposal, Search

CANDIDATES = 4  # random points a turn, of which the best is polished; one beside constraints that are met at the incumbent: violations say little of values
PROMISE = 1e-4  # gain that a descent must promise, in units of f_scale
FAR = 10.0  # how far from the incumbent candidates lie where the box has no end, in units of the scale


@dataclass(frozen=True)
class Descent:
    """Which operator (index) has descended, and what is to be expected of it where it has paused."""

    operator: int
    outlook: float | None


class Multistart(Search):
    """Polish the best of a few random points by the operator that has earned most at incumbents.

    A turn makes sense where gradients are exact, no discrete variable holds a polish back, and the polishes of the attack step have failed
    at the incumbent: then it is as good as a local minimum; or while they rest. Draws at most `CANDIDATES` uniform points a turn.
    """

    name = "multistart"
    hope = 1.0
    elsewhere = True

    def __init__(self, operators: Sequence[AttackOperator]) -> None:
        self.operators = tuple(operators)
        self._polishes = [i for i, operator in enumerate(self.operators) if operator.whole_box]

    def ready(self, setup: Setup, state: SolverState) -> bool:
        if not explores(setup) or state.mesh is None or state.centre < 0:
            return False
        credits = self._credits(state)
        over = any(done_at(state, credits[i], state.centre) for i in self._polishes)
        return over or resting(setup, state, state.centre)

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        if view is None or not view.has_gradient or not self._polishes or state.mesh is None or state.centre < 0:
            return Proposal.nothing(setup.n)
        X = admissible.points(setup, self.candidates(setup, state, rng))
        if not X.shape[0] or not view.affords(1, X.shape[0] + 1):
            return Proposal.nothing(setup.n)
        looked = Looked(view)
        view = looked if setup.rejudged else view
        F, C = view.values(X, view.outputs(X))
        operator = self._best(state)
        target, view = target_of(setup, state, X, F, C, operator.inner_points, view)
        best = np.lexsort((F, target.violation))[:1]
        target = replace(target, X=target.X[best], F=target.F[best], C=target.C[best])
        level = np.inf if setup.softened else self._level(setup, state)
        watched = Watched(view, target, level, setup.options.gradient_cost, pauses=True)
        found = operator(target, whole_box(setup, state), watched, rng)
        ends = setup.geometry.snapped(target.X[found.centre] + found.D)
        # The start is paid for: as an evaluation it costs nothing more.
        memo = Descent(self.operators.index(operator), watched.outlook)
        seen = np.vstack([ends, target.X, *looked.seen.values()])
        return Proposal.around(seen, state.history.X[state.centre], False, memo=memo, opportunistic=not setup.rejudged)

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        memo: Descent | None = outcome.memo
        if memo is None or not outcome.improved:
            return state
        # The new incumbent is polished already, or will be after a pause.
        pause, credits = rest(setup, state, memo.outlook), list(self._credits(state))
        credits[memo.operator] = evolve(credits[memo.operator], failed_at=outcome.row if pause is None else -1)
        return evolve(state, attack=evolve(state.attack, credits=tuple(credits), rest=pause))

    def candidates(self, setup: Setup, state: SolverState, rng: np.random.Generator) -> FloatArray:
        """Uniform points of the box (k, n)."""
        assert state.mesh is not None
        x = state.history.X[state.centre]
        lower = np.where(np.isfinite(setup.lower), setup.lower, np.minimum(x, setup.upper) - FAR * state.mesh.scale)
        upper = np.where(np.isfinite(setup.upper), setup.upper, np.maximum(x, setup.lower) + FAR * state.mesh.scale)
        columns, feasible = state.barrier.columns, state.barrier.feas >= 0
        count = 1 if feasible and columns is not None and columns.tol.size else CANDIDATES
        U = rng.random((count, setup.n))
        points: FloatArray = np.clip(lower + (upper - lower) * U, setup.lower, setup.upper)
        return points

    @staticmethod
    def _level(setup: Setup, state: SolverState) -> float:
        """What a descent must be expected to fall below, or it is given up: the incumbent, or what that one promises while it rests."""
        feas, pause = state.barrier.feas, state.attack.rest
        if feas < 0:
            return np.inf
        level = float(state.history.F[feas]) - PROMISE * state.barrier.f_scale
        return min(level, pause.low) if pause is not None and resting(setup, state, feas) else level

    def _best(self, state: SolverState) -> AttackOperator:
        credits = self._credits(state)
        return self.operators[max(self._polishes, key=lambda i: (credits[i].rate, -i))]

    def _credits(self, state: SolverState) -> tuple[OperatorCredit, ...]:
        return state.attack.credits or (OperatorCredit(),) * len(self.operators)
