"""The attack step: one operator proposes displacements along gradients, exact or estimated; the barrier decides.

Alternating attacks with the covering direct search method after Bouchet et al. (2025), arXiv 2510.01461. What keeps the theory of
the latter: an attack may end an iteration early only after a sufficient decrease and only a bounded number of times in a row, its
points never touch the mesh, and an operator that fails sleeps longer and longer, so that a useless attack costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack._values import evolve
from dfoattack.attacks.base import AttackOperator, View
from dfoattack.attacks.looked import Looked
from dfoattack.barrier import poll_centres
from dfoattack.credit import followed
from dfoattack.source_names import EXACT
from dfoattack.state import AttackState, OperatorCredit, Setup, SolverState
from dfoattack.steps import _estimates
from dfoattack.steps._target import done_at, target_of, whole_box
from dfoattack.steps.base import Outcome, Proposal, Step

LADDER = (1.0, 0.25)  # radii of one ladder, in units of the attack radius
RADIUS_MAX = 1e3  # in units of the first frame size
UP, SLIGHTLY_UP, DOWN = 1.3, 1.1, 1.0 / 1.3
SUFFICIENT = 1e-3  # gain / min(1, radius)^2, in units of f_scale, that allows an attack to end the iteration
WORTH = 0.2  # an attack whose gain an evaluation is below this share of what the other steps earn counts as a failure


@dataclass(frozen=True)
class AttackMemo:
    """Which operator proposed (index), at which radius, from which history row, the gradient of F there, the multipliers it ended with."""

    operator: int
    radius: float
    row: int
    gradient: FloatArray | None
    multipliers: FloatArray | None = None


class Attack(Step):
    """Run one attack operator from the primary poll centre.

    Operators compete: each new one is tried once, in the order given; then the one with the best discounted gain a cost among
    those that are awake. Pauses double with every failure in a row, over restarts too, so that what a useless operator costs tends to
    zero. A polish is not run again where it has failed or arrived. The trial points are not rounded to the mesh (granular variables
    are rounded to their lattice).
    """

    name = "attack"

    def __init__(self, operators: Sequence[AttackOperator]) -> None:
        self.operators = tuple(operators)

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        row, _ = poll_centres(state.barrier, state.history, setup.options.infeasible_margin)
        if view is None or state.mesh is None or row < 0 or not self.operators:
            return Proposal.nothing(setup.n)
        looked: Looked | None = None
        if setup.gradient_source not in EXACT:
            if not _estimates.due(setup, state):
                return Proposal.nothing(setup.n)
            looked = view = _estimates.source_view(setup, state, view, row, rng)
        elif setup.rejudged:
            looked = view = Looked(view)
        chosen = self._choose(setup, state, row, view.has_gradient)
        if chosen < 0:
            return Proposal.nothing(setup.n)
        operator, scale = self.operators[chosen], state.mesh.scale
        longest = float(scale.max())
        radius = state.attack.radius
        radii = whole_box(setup, state) if operator.whole_box else np.array(LADDER) * radius * longest
        history, x, here = state.history, state.history.X[row], slice(row, row + 1)
        if setup.softened and not view.affords(0, 1):
            return Proposal.nothing(setup.n)
        target, view = target_of(
            setup, state, history.X[here], history.f[here], history.C[here], operator.inner_points, view
        )
        known = state.attack.multipliers
        if known is not None and known.shape == target.C.shape[1:]:
            target = replace(target, multipliers=known[None])
        found = operator(target, radii, view, rng)
        X = setup.geometry.snapped(x + found.D)
        gradient = found.gradient[0] if found.gradient is not None and np.any(found.gradient[0]) else None
        multipliers = None if found.multipliers is None else found.multipliers[0]
        memo = AttackMemo(chosen, radius, row, gradient, multipliers)
        if looked is None or not looked.seen:
            return Proposal.around(X, x, False, memo=memo)
        # What was looked at is paid for: as evaluations it costs nothing more, and models and incumbents learn from it.
        found_too = np.vstack([*looked.seen.values(), X])
        return Proposal.around(found_too, x, False, memo=memo, opportunistic=False, paid=True)

    def _choose(self, setup: Setup, state: SolverState, row: int, gradients: bool = True) -> int:
        """Index of the operator to run, -1 if all sleep or lack what they need."""
        best, best_score = -1, -1.0
        # Where the search along a border has led, a polish would run into what no gradient tells of.
        border = state.searches.boundary
        at_border = border is not None and border.made == row
        for i, operator in enumerate(self.operators):
            credit = state.attack.credits[i] if state.attack.credits else OperatorCredit()
            if credit.sleeps_until > state.iteration or (
                operator.whole_box and (at_border or done_at(state, credit, row))
            ):
                continue
            if operator.inner_points and not setup.continuous:
                continue
            if operator.lattice and not np.any(setup.granularity[~setup.geometry.categorical] > 0.0):
                continue
            if operator.needs_gradient and not (
                gradients and _estimates.suits(operator, self.operators, setup.gradient_source)
            ):
                continue
            score = np.inf if not credit.tried else credit.rate
            if score > best_score:
                best, best_score = i, float(score)
        return best

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        memo: AttackMemo | None = outcome.memo
        if memo is None:
            return (
                evolve(state, attack=evolve(state.attack, skips=0, skipped_cost=0.0)) if state.attack.skips else state
            )
        attack = state.attack
        credits = list(attack.credits) or [OperatorCredit()] * len(self.operators)
        credits[memo.operator] = self._credit(setup, state, credits[memo.operator], outcome, memo)
        if self.operators[memo.operator].whole_box and outcome.improved:
            # Where a polish has arrived it has nothing more to do.
            credits[memo.operator] = evolve(credits[memo.operator], failed_at=outcome.row)
        radius = attack.radius
        operator = self.operators[memo.operator]
        if not (operator.whole_box or operator.lattice):
            radius = self._radius(setup, attack, outcome, memo)
        ends = self.ends_iteration(setup, state, outcome)
        skips = attack.skips + 1 if ends else 0
        skipped_cost = attack.skipped_cost + outcome.cost if ends else 0.0
        spent = attack.spent + outcome.cost
        fresh = evolve(
            attack, radius=radius, skips=skips, skipped_cost=skipped_cost, credits=tuple(credits), spent=spent
        )
        if memo.gradient is not None:
            fresh = evolve(fresh, row=memo.row, gradient=memo.gradient)
        if memo.multipliers is not None:
            fresh = evolve(fresh, multipliers=memo.multipliers)
        # What attacks have gained is the measure of what the others gain.
        gained = followed(state.credit, outcome.gain if outcome.improved else 0.0)
        return evolve(state, attack=fresh, credit=gained)

    @staticmethod
    def _credit(
        setup: Setup, state: SolverState, credit: OperatorCredit, outcome: Outcome, memo: AttackMemo
    ) -> OperatorCredit:
        credit = credit.earned(outcome.gain if outcome.improved else 0.0, outcome.cost)
        credit = evolve(credit, left=memo.row, path=(outcome.first, outcome.last))
        if _worth(state, outcome):
            return evolve(credit, fails=0, sleeps_until=0, failed_at=-1)
        fails = credit.fails + 1
        pause = min(2 ** min(fails, 30), setup.options.attack_sleep_max)
        failed_at = -1 if outcome.improved else memo.row
        return evolve(credit, fails=fails, sleeps_until=state.iteration + 1 + pause, failed_at=failed_at)

    @staticmethod
    def _radius(setup: Setup, attack: AttackState, outcome: Outcome, memo: AttackMemo) -> float:
        options = setup.options
        if outcome.move_size > 0.0:
            factor = UP if _sufficient(outcome, memo.radius) else SLIGHTLY_UP
            radius = factor * outcome.move_size
        else:
            radius = DOWN * memo.radius * (min(LADDER) if outcome.last > outcome.first else 1.0)
        return float(min(max(radius, options.attack_radius_min), RADIUS_MAX))

    def ends_iteration(self, setup: Setup, state: SolverState, outcome: Outcome) -> bool:
        """Only a sufficient gain, only so many times in a row, and only while the attacks have cost no more than the poll they skip.

        A merely simple gain never ends an iteration.
        """
        memo: AttackMemo | None = outcome.memo
        enough = memo is not None and _worth(state, outcome) and _sufficient(outcome, memo.radius)
        fair = state.attack.skipped_cost + outcome.cost <= setup.n + 2
        return enough and fair and state.attack.skips < setup.options.attack_skips_max


def _worth(state: SolverState, outcome: Outcome) -> bool:
    """The attack moved the incumbent, at a price that compares with what the other steps ask for a gain."""
    return outcome.improved and outcome.gain / max(outcome.cost, 1.0) >= WORTH * state.attack.others.rate


def _sufficient(outcome: Outcome, radius: float) -> bool:
    return outcome.gain >= SUFFICIENT * min(1.0, radius) ** 2
