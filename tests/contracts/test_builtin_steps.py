"""Every built-in step passes the contract given to authors of steps and searches."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

import dfoattack as da
from dfoattack.attacks import by_name
from dfoattack.options import SEARCHES, Options
from dfoattack.schedule import searches_of
from dfoattack.solver import Solver
from dfoattack.steps.attack import Attack
from dfoattack.steps.covering import Covering
from dfoattack.steps.fill import Fill
from dfoattack.steps.poll import Poll, PollCompletion
from dfoattack.steps.portfolio import Portfolio
from dfoattack.steps.speculative import Speculative
from dfoattack.steps.subspace import Subspace
from dfoattack.testing.steps import SearchContract, StepContract
from tests.integration.cases import sphere_problem


@pytest.mark.parametrize("name", SEARCHES)
class TestSearches(SearchContract):
    proposes = False  # not all of them have something to propose everywhere

    @pytest.fixture
    def search(self, name):
        return Subspace(minimum=1) if name == "subspace" else searches_of(Options(searches=(name,)))[0]


STEPS = {
    "poll": Poll(),
    "completion": PollCompletion(),
    "covering": Covering(),
    "speculative": Speculative(),
    "attack": Attack([by_name(name) for name in Options().attacks]),
    "portfolio": Portfolio(searches_of(Options(searches=SEARCHES))),
    "fill": Fill(),
}


@pytest.mark.parametrize("name", STEPS)
class TestSteps(StepContract):
    options: ClassVar[dict[str, Any]] = {"searches": SEARCHES}
    proposes = False

    @pytest.fixture
    def step(self, name):
        return STEPS[name]


@pytest.mark.parametrize("name", STEPS)
class TestStepsInBlocks(StepContract):
    options: ClassVar[dict[str, Any]] = {"poll": "2n", "block_size": 3, "covering_quota": 10, "searches": SEARCHES}
    proposes = False

    @pytest.fixture
    def step(self, name):
        return STEPS[name]


def test_names_are_those_of_the_records() -> None:
    solver = Solver(sphere_problem(), budget=10)
    assert solver.schedule.names == ("start", "attack", "speculative", *Options().searches, "poll", "covering", "fill")
    steps = solver.schedule.steps
    assert [step.name for step in steps if isinstance(step, PollCompletion)] == ["poll"]
    assert da.solve(sphere_problem(), budget=10).records.step[0] == "start"
    assert set(da.solve(sphere_problem(), budget=300).records.step) <= set(solver.schedule.names)
