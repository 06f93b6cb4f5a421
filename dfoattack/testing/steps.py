"""The contracts of a step and of a search, as tests: pure, reproducible, inside the box, saveable, and with an end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import pytest

from dfoattack import codec
from dfoattack._typing import FloatArray
from dfoattack.attacks.base import View
from dfoattack.problem import Problem
from dfoattack.schedule import Schedule
from dfoattack.solver import Solver
from dfoattack.space import Box
from dfoattack.state import SolverState
from dfoattack.steps.base import Outcome, Proposal, Search, Step

__all__ = ["CASES", "SearchContract", "StepContract", "make_problem"]

CASES = (
    *("smooth", "one variable", "constrained", "lattice", "mixed"),
    *("periodic", "categorical", "failing", "plateau", "huge"),
)


def _bent(X: FloatArray) -> FloatArray:
    value: FloatArray = ((X - 0.3) ** 2).sum(axis=1) + 2.0 * (X[:, 0] - X[:, -1] ** 2) ** 2
    return value


def _bent_slope(X: FloatArray) -> FloatArray:
    slope: FloatArray = 2.0 * (X - 0.3)
    gap = X[:, 0] - X[:, -1] ** 2
    slope[:, 0] += 4.0 * gap
    slope[:, -1] -= 8.0 * gap * X[:, -1]
    return slope


def make_problem(case: str) -> Problem:
    """A fresh problem of the contract by its name, one of `CASES`."""
    more: dict[str, Any] = {
        "objective": _bent,
        "space": Box([-1.0, -2.0, -0.5], [1.0, 2.0, 0.5]),
        "x0": [0.9, -1.3, 0.4],
    }
    if case == "smooth":
        more["objective_grad"] = _bent_slope
    elif case == "one variable":
        more.update(space=Box([-1.0], [2.0]), x0=[1.7])
    elif case == "constrained":
        more["constraints"] = [lambda X: X[:, 0] + X[:, 1] - 0.2, lambda X: 0.25 - (X**2).sum(axis=1)]
    elif case == "lattice":
        more.update(space=Box([-3, -4], [3, 4], integer=[0, 1]), x0=[3, -4])
    elif case == "mixed":
        more.update(space=Box([-2, -5, -1], [2, 5, 1], integer=[1], granularity={2: 0.1}), x0=[1.5, -4, 0.8])
    elif case == "periodic":
        more.update(
            space=Box([0, 0, -1], [24, 0.7, 1], integer=[0], granularity={1: 0.1}, periodic=[0, 1]), x0=[19, 0.3, -0.8]
        )
    elif case == "categorical":
        more.update(space=Box([None, -4, -4], [None, 4, 4], categorical={0: ("a", "b", "c")}), x0=[1, 1.5, -2.0])
    elif case == "failing":
        more["objective"] = lambda X: np.where(X[:, 0] + X[:, 1] > 0.4, np.nan, _bent(X))
        more["x0"] = [-0.5, -1.3, 0.4]
    elif case == "plateau":
        more["objective"] = lambda X: np.floor(np.abs(X[:, 0]))
    elif case == "huge":
        more["objective"] = lambda X: 1e300 * np.sign(X[:, 0]) * np.minimum(_bent(X), 10.0)
    return Problem(sense="minimize", **more)


def _bytes(proposal: Proposal) -> tuple[bytes, ...]:
    arrays = (proposal.X, proposal.origins, proposal.on_mesh)
    return *(np.ascontiguousarray(a).tobytes() for a in arrays), codec.to_bytes(proposal.memo)


class StepContract:
    """Subclass in a test file (class name Test...) and override `step`.

    The step is asked at many states that real runs pass through, without having taken part in them.

    Attributes
    ----------
    budget : int            evaluations of the runs
    options : dict          options of the runs
    proposes : bool         the step has something to propose in at least one state of the runs
    """

    budget: int = 100
    options: ClassVar[dict[str, Any]] = {}
    proposes: bool = True

    @pytest.fixture
    def step(self) -> Any:
        """Return the step; override."""
        raise NotImplementedError("override the fixture `step`")

    def states(self, case: str, every: int = 4) -> Iterator[tuple[Solver, SolverState, View | None]]:
        """States of one run between two iterations' trials, and a view whose cost the run does not see."""
        solver, other = Solver(make_problem(case), self.options, budget=self.budget, seed=4), make_problem(case)
        calls = 0
        while len(solver.ask()):
            solver.tell(solver.evaluate())
            state = solver.state
            if state.mesh is None or state.centre < 0 or state.stop is not None or state.queue.shape[0]:
                continue
            calls += 1
            if calls % every == 1:
                if solver.problem.widths is not None:
                    other.learn_widths(solver.problem.widths)
                yield solver, state, Solver(other, self.options, budget=10**6).evaluator.view()

    def check(self, solver: Solver, state: SolverState, proposal: Proposal) -> None:
        """Shapes, points in the box to the last bit and on the lattice, origins that were evaluated, a memo that can be saved."""
        X, space = proposal.X, solver.problem.space
        assert X.ndim == 2 and X.shape[1] == solver.setup.n and X.dtype == np.float64
        assert proposal.origins.shape == X.shape
        assert proposal.on_mesh.shape == (len(X),) and proposal.on_mesh.dtype == np.bool_
        assert np.isfinite(X).all()
        assert (solver.setup.lower <= X).all() and (solver.setup.upper >= X).all()
        for x, origin in zip(X, proposal.origins, strict=True):
            assert space.contains(space.expand(x)), "inside the box and on the lattice"
            assert state.history.find(origin) >= 0, "built around an evaluated point"
        again = codec.from_bytes(codec.to_bytes(proposal.memo))
        assert codec.to_bytes(again) == codec.to_bytes(proposal.memo)

    def test_it_has_a_name(self, step: Step) -> None:
        assert isinstance(step.name, str) and step.name

    @pytest.mark.parametrize("case", CASES)
    def test_it_is_pure_and_reproducible(self, step: Step, case: str) -> None:
        """Neither proposing nor updating changes what it is given; what is drawn depends on state and generator alone."""
        hyper = dict(vars(step))
        seen = proposed = 0
        for solver, state, view in self.states(case):
            seen += 1
            before = codec.to_bytes(state)
            one, two = (np.random.Generator(np.random.PCG64(1)) for _ in range(2))
            first = step.propose(solver.setup, state, one, view)
            again = step.propose(solver.setup, state, two, view)
            self.check(solver, state, first)
            assert _bytes(first) == _bytes(again)
            assert one.bit_generator.state == two.bit_generator.state
            restored = codec.from_bytes(before)
            third = step.propose(solver.setup, restored, np.random.Generator(np.random.PCG64(1)), view)
            assert _bytes(first) == _bytes(third), "a state that was saved and loaded proposes the same"
            proposed += len(first.X)
            self.check_update(step, solver, state, first)
            assert codec.to_bytes(state) == before
        assert dict(vars(step)) == hyper, "a step keeps no state of its own"
        assert seen > 0 and (proposed > 0 or not self.proposes or case in ("lattice", "plateau", "huge"))

    def check_update(self, step: Step, solver: Solver, state: SolverState, proposal: Proposal) -> None:
        """An outcome without points ends nothing and leaves what belongs to the solver alone."""
        size = state.history.size
        nothing = Outcome(proposal.memo, size, size)
        assert step.ends_iteration(solver.setup, state, nothing) is False
        after = step.update(solver.setup, state, nothing)
        assert isinstance(after, SolverState)
        for name in ("rng", "history", "barrier", "mesh", "counters", "pending", "queue", "runs", "iteration", "stage"):
            assert getattr(after, name) is getattr(state, name), name
        codec.from_bytes(codec.to_bytes(after))


class SearchContract(StepContract):
    """Subclass in a test file (class name Test...) and override `search`.

    What `StepContract` asks, and runs in which nothing but the search proposes, or the search beside the poll.
    """

    @pytest.fixture
    def search(self) -> Any:
        """Return the search; override."""
        raise NotImplementedError("override the fixture `search`")

    @pytest.fixture
    def step(self, search: Search) -> Any:
        return search

    def drive(self, search: Search, case: str, alone: bool, save: bool = False) -> Solver:
        """A whole run of the search by itself or beside the other steps; `save`: through bytes between any two calls."""
        solver = Solver(make_problem(case), {**self.options, "searches": ()}, budget=self.budget, seed=4)
        solver.schedule = Schedule((search,) if alone else (search, *solver.schedule.steps))
        while len(solver.ask()):
            if save:
                solver.state = codec.from_bytes(codec.to_bytes(solver.state))
            solver.tell(solver.evaluate())
            if save:
                solver.state = codec.from_bytes(codec.to_bytes(solver.state))
        return solver

    def test_it_hopes_for_something(self, search: Search) -> None:
        assert 0.0 <= search.hope < np.inf

    @pytest.mark.parametrize("case", CASES)
    def test_ready_is_a_cheap_question(self, search: Search, case: str) -> None:
        """The answer is a bool that repeats; who is not ready proposes nothing."""
        for solver, state, view in self.states(case):
            ready = search.ready(solver.setup, state)
            assert ready is search.ready(solver.setup, state) and isinstance(ready, (bool, np.bool_))
            if not ready:
                proposal = search.propose(solver.setup, state, np.random.Generator(np.random.PCG64(1)), view)
                assert not len(proposal.X)

    @pytest.mark.parametrize("alone", [True, False])
    @pytest.mark.parametrize("case", CASES)
    def test_runs_end_within_their_budget(self, search: Search, case: str, alone: bool) -> None:
        """The run ends; no point twice, none outside; the budget is met exactly or not needed."""
        solver = self.drive(search, case, alone)
        X = solver.state.history.X
        assert solver.state.stop is not None
        assert solver.state.history.size <= self.budget
        assert len({x.tobytes() for x in X}) == len(X)
        assert all(solver.problem.space.contains(solver.problem.space.expand(x)) for x in X)

    @pytest.mark.parametrize("case", CASES)
    def test_saving_between_any_two_calls_changes_nothing(self, search: Search, case: str) -> None:
        plain, saved = self.drive(search, case, False), self.drive(search, case, False, save=True)
        assert plain.state.history.X.tobytes() == saved.state.history.X.tobytes()
        assert codec.to_bytes(plain.state) == codec.to_bytes(saved.state)
