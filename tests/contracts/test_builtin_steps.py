"""Every step of the schedule keeps the contract of a step, at every state that real runs pass through."""

from __future__ import annotations

import numpy as np
import pytest

import dfoattack as da
from dfoattack import codec
from dfoattack.solver import Solver
from dfoattack.steps.base import Outcome, Proposal, Step
from dfoattack.steps.cma import CMA
from dfoattack.steps.fill import Fill
from dfoattack.steps.nelder_mead import NelderMead
from dfoattack.steps.poll import PollCompletion
from dfoattack.steps.subspace import Subspace
from dfoattack.steps.vns import VNS
from tests.integration.cases import mixed_problem, network_problem, sphere_problem
from tests.integration.test_barriers import waves_problem
from tests.integration.test_variable_kinds import KINDS

PROBLEMS = {
    "network": network_problem,
    "mixed": mixed_problem,
    "sphere": sphere_problem,
    "waves": waves_problem,
    **KINDS,
}
CASES = [
    (name, budget, options)
    for name, budget in (
        *(("network", 90), ("mixed", 120), ("sphere", 150), ("waves", 150)),
        *(("seam", 120), ("clock", 120), ("catalogue", 250), ("everything", 200)),
    )
    for options in ({}, {"poll": "2n", "block_size": 3, "covering_quota": 10})
]
SEARCHES = (CMA(), NelderMead(), VNS(), Subspace(minimum=2), Fill())


def check(step: Step, solver: Solver, proposal: Proposal) -> None:
    """Shapes, admissible points, origins that were evaluated, a memo that can be saved."""
    setup, state = solver.setup, solver.state
    X, n = proposal.X, setup.n
    assert X.ndim == 2 and X.shape[1] == n and X.dtype == np.float64
    assert proposal.origins.shape == X.shape and proposal.on_mesh.shape == (len(X),)
    space = solver.problem.space
    for x, origin in zip(X, proposal.origins, strict=True):
        assert space.contains(space.expand(x)), step.name
        assert state.history.find(origin) >= 0, step.name
    codec.from_bytes(codec.to_bytes(proposal.memo))


@pytest.mark.parametrize(("name", "budget", "options"), CASES)
def test_steps_keep_their_contract_along_a_run(name: str, budget: int, options: dict[str, object]) -> None:
    solver = Solver(PROBLEMS[name](), options, budget=budget, seed=4)
    proposed: set[str] = set()
    calls = 0
    while len(solver.ask()):
        solver.tell(solver.evaluate())
        state, setup = solver.state, solver.setup
        if state.mesh is None or state.centre < 0 or state.stop is not None or state.queue.shape[0]:
            continue
        calls += 1
        if calls % 4:
            continue
        before = codec.to_bytes(state)
        other = PROBLEMS[name]()  # a view of its own: what is tried here costs the run nothing
        if solver.problem.widths is not None:
            other.learn_widths(solver.problem.widths)
        view = Solver(other, options, budget=10**6).evaluator.view()
        for step in (*solver.schedule.steps, *SEARCHES):
            first = step.propose(setup, state, np.random.Generator(np.random.PCG64(1)), view)
            again = step.propose(setup, state, np.random.Generator(np.random.PCG64(1)), view)
            check(step, solver, first)
            assert first.X.tobytes() == again.X.tobytes(), "what is drawn depends on the state and the generator alone"
            if len(first.X):
                proposed.add(type(step).__name__)
            size = state.history.size
            nothing = step.update(setup, state, Outcome(first.memo, size, size))
            assert nothing.history is state.history and nothing.barrier is state.barrier
            assert nothing.pending is state.pending and nothing.counters == state.counters
            assert step.ends_iteration(setup, state, Outcome(first.memo, size, size)) is False
        assert codec.to_bytes(state) == before, "neither proposing nor updating changes the state they were given"
    assert {"CMA", "Subspace"} <= proposed
    assert ({"Poll", "Attack"} if name == "network" else {"Poll", "Covering"}) <= proposed
    assert calls > 8


def test_names_are_those_of_the_records() -> None:
    solver = Solver(sphere_problem(), budget=10)
    names = [step.name for step in solver.schedule.steps]
    assert all(isinstance(name, str) and name for name in names)
    assert solver.schedule.names == ("start", *names)
    assert [step.name for step in solver.schedule.steps if isinstance(step, PollCompletion)] == ["poll"]
    assert da.solve(sphere_problem(), budget=10).records.step[0] == "start"
