"""The search stage: several searches, one turn at a time, by credit; the poll is one of the arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dfoattack import credit
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.state import Setup, SolverState
from dfoattack.steps.base import Outcome, Proposal, Search, Step
from dfoattack.steps.cma import CMA

SPELL = 2.0  # times n + 1: cost without success after which a search that wants to go on must stand in line again
POLISHED_HOPE = 0.02  # of poll and local searches where a polish has nothing left to do
SEARCH_FLOOR = 0.02  # least share of every search that is ready


@dataclass(frozen=True)
class Chosen:
    """Which search proposed, and what it wants to remember."""

    arm: int
    memo: Any


class Portfolio(Step):
    """Give a turn to the search or to the poll, whichever is farthest below the share of the cost that its credit earns.

    Arm 0 is the poll (with completion, covering and the speculative step); choosing it leaves the stage. A search that succeeds ends the
    iteration, one that fails is followed by another choice. The poll's floor keeps the theory: poll and covering are never starved.
    """

    name = "search"

    def __init__(self, searches: Sequence[Search]) -> None:
        self.searches = tuple(searches)
        self.population = next((i for i, search in enumerate(searches, 1) if isinstance(search, CMA)), 0)
        self.floors = (credit.POLL_FLOOR, *(SEARCH_FLOOR for _ in searches))
        self.hopes = (credit.POLL_HOPE, *(search.hope for search in searches))

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        # Converged: what is left are the quota of covering trials, searches elsewhere, then the next local run.
        over = state.floored and not state.explore
        ready = [True, *((search.elsewhere or not over) and search.ready(setup, state) for search in self.searches)]
        if state.explore and self.population > 0:
            arm = self.population
        elif state.turn > 0 and ready[state.turn] and not credit.starves(state.credit, self.floors):
            arm = state.turn
        else:
            arm = credit.choose(state.credit, ready, self.floors, self._hopes(ready), setup.n)
        if arm <= 0:
            return Proposal.nothing(setup.n)
        proposal = self.searches[arm - 1].propose(setup, state, rng, view)
        return evolve(proposal, memo=Chosen(arm, proposal.memo), name=self.searches[arm - 1].name)

    def _hopes(self, ready: Sequence[bool]) -> tuple[float, ...]:
        """Rates expected of the arms; next to nothing round an incumbent that is known to be as good as a local minimum."""
        far = [i for i, search in enumerate(self.searches, 1) if search.elsewhere]
        if not any(ready[i] for i in far):
            return self.hopes
        return tuple(hope if i in far else min(hope, POLISHED_HOPE) for i, hope in enumerate(self.hopes))

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        chosen: Chosen | None = outcome.memo
        if chosen is None:
            return state
        search = self.searches[chosen.arm - 1]
        inner = evolve(outcome, memo=chosen.memo)
        state = search.update(setup, state, inner)
        spell = 0.0 if outcome.improved else (state.spell if state.turn == chosen.arm else 0.0) + max(outcome.cost, 1.0)
        turn = chosen.arm if spell <= SPELL * (setup.n + 1) and search.continues(setup, state, inner) else 0
        earned = credit.earned(state.credit, len(self.floors), chosen.arm, outcome.gain, outcome.cost, setup.n)
        return evolve(state, credit=earned, turn=turn, spell=spell)

    def repeats(self, setup: Setup, state: SolverState, outcome: Outcome) -> bool:
        return outcome.memo is not None
