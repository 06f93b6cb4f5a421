"""The search stage: who has the turn, what the credit learns, and that neither poll nor covering starves."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.options import SEARCHES, Options
from dfoattack.solver import Solver
from dfoattack.state import Setup, SolverState
from dfoattack.steps.base import Outcome, Proposal, Search
from dfoattack.steps.portfolio import SPELL, Portfolio
from tests.unit.searching import rosenbrock, run, sphere


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


class Fixed(Search):
    """Proposes one new random point a turn."""

    def __init__(self, name: str, ready: bool = True, goes_on: bool = False) -> None:
        self.name, self.is_ready, self.goes_on = name, ready, goes_on

    def ready(self, setup: Setup, state: SolverState) -> bool:
        return self.is_ready

    def continues(self, setup: Setup, state: SolverState, outcome: Outcome) -> bool:
        return self.goes_on

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        X = setup.lower + (setup.upper - setup.lower) * rng.random((1, setup.n))
        return Proposal.around(X, state.history.X[state.centre], False, memo=(self.name,))


def begun(n: int = 3, **options: Any) -> Solver:
    problem = da.Problem(objective=sphere, space=[(-3.0, 3.0)] * n, x0=np.ones(n), sense="minimize")
    solver = Solver(problem, options, budget=500, seed=1)
    solver.ask()
    solver.tell(solver.evaluate())
    return solver


def turn(
    stage: Portfolio, solver: Solver, state: SolverState, gain: float = 0.0, cost: float = 1.0
) -> tuple[str, SolverState]:
    """Name of the search that proposed (empty: the poll), and the state after an outcome of that gain and cost."""
    proposal = stage.propose(solver.setup, state, rng(), None)
    size = state.history.size
    row = state.centre if gain > 0.0 else -1
    outcome = Outcome(proposal.memo, size, size + 1, 0, row, 0.0, gain, cost)
    return proposal.name, stage.update(solver.setup, state, outcome)


def test_the_name_and_the_memo_are_those_of_the_search() -> None:
    solver = begun()
    stage = Portfolio([Fixed("one", ready=False), Fixed("two")])
    proposal = stage.propose(solver.setup, evolve(solver.state, turn=2), rng(), None)
    assert proposal.name == "two" and proposal.memo.arm == 2 and proposal.memo.memo == ("two",)
    assert stage.repeats(solver.setup, solver.state, Outcome(proposal.memo, 0, 1))
    assert not stage.repeats(solver.setup, solver.state, Outcome(None, 0, 0))
    assert stage.update(solver.setup, solver.state, Outcome(None, 0, 0)) is solver.state


def test_one_that_goes_on_keeps_the_turn_for_a_spell() -> None:
    solver = begun()
    stage = Portfolio([Fixed("one", goes_on=True), Fixed("two")])
    state = evolve(solver.state, turn=1)
    names = []
    for _ in range(int(SPELL * (solver.setup.n + 1)) + 3):
        name, state = turn(stage, solver, state)
        names.append(name)
        if state.turn != 1:
            break
    assert len(names) == int(SPELL * (solver.setup.n + 1)) + 1 and set(names) == {"one"}
    state, names = evolve(solver.state, turn=1), []
    for _ in range(50):
        name, state = turn(stage, solver, state, gain=1.0)
        names.append(name)
        if name:
            assert name == "one" and state.turn == 1 and state.spell == 0.0, "success renews the spell"
    first = names.index("")
    assert first > 20 and "two" not in names, "only the poll, once it starves, comes between"


def test_gains_are_credited_to_the_arm() -> None:
    solver = begun()
    stage = Portfolio([Fixed("one"), Fixed("two")])
    state = evolve(solver.state, turn=2)
    _, state = turn(stage, solver, state, gain=3.0, cost=5.0)
    assert [arm.cost for arm in state.credit.arms] == [0.0, 0.0, 5.0]
    assert state.credit.arms[2].reward == 0.5 and state.credit.typical == 3.0


def test_once_the_frame_has_converged_only_covering_is_left() -> None:
    solver = begun()
    stage = Portfolio([Fixed("one")])
    state = evolve(solver.state, floored=True)
    proposal = stage.propose(solver.setup, state, rng(), None)
    assert len(proposal.X) == 0 and proposal.memo is None


def test_exploration_belongs_to_the_population_search() -> None:
    solver = begun()
    (stage,) = (step for step in solver.schedule.steps if isinstance(step, Portfolio))
    state = evolve(solver.state, explore=True)
    for _ in range(5):
        name, state = turn(stage, solver, state, gain=0.0, cost=6.0)
        state = evolve(state, explore=True)
        assert name == "cma"


@pytest.mark.parametrize("searches", [SEARCHES, Options().searches, ("model",), ("cma",), ("vns", "nelder-mead"), ()])
@pytest.mark.parametrize("n", [1, 4])
def test_poll_and_covering_have_their_share(n: int, searches: tuple[str, ...]) -> None:
    """In a whole run, whatever the searches would like."""
    problem = da.Problem(
        objective=rosenbrock if n > 1 else sphere, space=[(-3.0, 3.0)] * n, x0=np.full(n, 2.0), sense="minimize"
    )
    result = da.solve(problem, budget=400, seed=2, options={"searches": searches, "covering_quota": 20})
    steps = Counter(result.records.step)
    assert steps["covering"] >= 2
    assert steps["poll"] + steps["covering"] + steps["speculative"] >= 0.06 * len(result.records.step)
    assert set(steps) <= {"start", "poll", "covering", "speculative", *searches}


def test_no_search_is_the_poll_alone() -> None:
    solver = begun(searches=())
    (stage,) = (step for step in solver.schedule.steps if isinstance(step, Portfolio))
    assert isinstance(stage, Portfolio) and not stage.searches
    assert len(stage.propose(solver.setup, solver.state, rng(), None).X) == 0
    run(solver)
    assert set(solver.result().records.step) <= {"start", "poll", "covering", "speculative"}
