"""The model search beside constraints that say yes or no, beside points it has met, and beside bounds."""

from __future__ import annotations

import numpy as np
import pytest

import dfoattack as da
from dfoattack._values import evolve
from dfoattack.schedule import Schedule
from dfoattack.solver import Solver
from dfoattack.steps._model_frame import ROOM, Frame
from dfoattack.steps._model_rules import steplike
from dfoattack.steps.model import BARREN_MAX, REFUSED, SAME, ModelSearch, _Turn
from dfoattack.steps.poll import Poll, PollCompletion
from tests.unit.searching import alone, check_replay, run, sphere

CENTRE = np.array([0.0, 0.2, -0.3, 0.1])


def verdict(X: np.ndarray) -> np.ndarray:
    """-1/2 outside a ball, 1/2 inside."""
    return np.where(sphere(X - CENTRE) >= 1.0, -0.5, 0.5)


def judged(budget: int = 200, **more: object) -> Solver:
    """Nearest point to the middle of the ball outside of it: every step of a model of the distance alone is refused."""
    constraints = more.pop("constraints", [verdict])
    solver = alone(
        ModelSearch(),
        lambda X: sphere(X - CENTRE - 0.1),
        [(-3.0, 3.0)] * 4,
        np.full(4, 1.5),
        budget=budget,
        constraints=constraints,
        **more,
    )
    solver.schedule = Schedule((ModelSearch(), Poll(), PollCompletion()))
    return solver


def test_two_values_on_two_sides_are_a_verdict() -> None:
    solver = judged(60, constraints=[verdict, lambda X: 0.5 - X[:, 0], lambda X: np.where(X[:, 0] > 9.0, 1.0, -1.0)])
    run(solver)
    assert solver.state.barrier.columns is not None
    assert steplike(solver.state, solver.state.barrier.columns).tolist() == [True, False, False]


def test_failed_points_say_nothing() -> None:
    def failing(X: np.ndarray) -> np.ndarray:
        return np.where(X[:, 0] > 1.6, np.nan, verdict(X))

    solver = run(judged(60, constraints=[failing]))
    assert (solver.state.history.status != 0).any() and solver.state.barrier.columns is not None
    assert steplike(solver.state, solver.state.barrier.columns).tolist() == [True]


def test_a_violation_met_once_is_no_verdict() -> None:
    """A violation cut off at zero, max(0, g), has two values until it is met again."""
    solver = run(judged(60, constraints=[lambda X: np.maximum(0.0, 0.3 - 1e9 * np.abs(X - 1.5).max(axis=1))]))
    C, columns = solver.state.history.C, solver.state.barrier.columns
    assert columns is not None and C.shape[0] > 12 and np.count_nonzero(C > 0.0) == 1
    assert not steplike(solver.state, columns).any()


def test_equalities_and_few_points_are_none() -> None:
    for solver in (judged(5), judged(60, constraints=[da.Constraint(verdict, equality=True, tol=0.1)])):
        run(solver)
        assert solver.state.barrier.columns is not None
        assert not steplike(solver.state, solver.state.barrier.columns).any()


def test_a_refused_step_ends_the_search_until_the_centre_moves() -> None:
    solver, refused = judged(), 0
    while len(trials := solver.ask()):
        before = solver.state.searches.model
        solver.tell(solver.evaluate())
        model, state = solver.state.searches.model, solver.state
        if trials.step != "model" or before is None or model is None or model.ratio != REFUSED:
            continue
        refused += 1
        assert _Turn(solver.setup, state).current().columns.size == 0, "a verdict has no model"
        assert model.barren == BARREN_MAX and model.level == state.centre and not model.check
        assert not ModelSearch().ready(solver.setup, state)
    assert refused


def test_replay_beside_a_verdict() -> None:
    check_replay(lambda: judged(90))


@pytest.mark.parametrize("seed", range(3))
def test_a_verdict_in_the_way_leaves_the_budget_to_poll_and_population(seed: int) -> None:
    """With a model of the verdict it spent a quarter to a half of the budget on steps to one and the same refused point."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform(-0.5, 0.5, 6)
    weights = rng.uniform(0.5, 2.0, 6)
    problem = da.Problem(
        objective=lambda X: ((X - centre) ** 2) @ weights,
        constraints=[lambda X: np.where((X @ weights) * np.abs(X).max(axis=1) > 2.0, -0.5, 0.5)],
        space=[(-2.0, 2.0)] * 6,
        x0=np.full(6, 1.5),
        sense="minimize",
    )
    solver = run(Solver(problem, budget=600, seed=seed))
    by = solver.state.history.step[: solver.state.history.size]
    assert np.mean(by == solver.schedule.names.index("model")) < 0.15
    assert solver.result().feasible


def test_the_same_step_is_not_taken_again() -> None:
    solver = run(alone(ModelSearch(), sphere, [(-2.0, 3.0)] * 3, np.ones(3), budget=30))
    turn = _Turn(solver.setup, solver.state)
    model = solver.state.searches.model
    assert model is not None and model.found is not None
    found = model.found
    last = found.place(turn.frame.seen(solver.state.history.X[-1]))
    assert turn._again(found, last, 1.0)
    assert turn._again(found, last + 0.5 * SAME / np.sqrt(3.0), 1.0)
    assert not turn._again(found, last + 100.0, 1.0)


def test_design_points_have_room_at_the_bounds() -> None:
    """In a corner nearly every direction of the orthogonal complement points out of the box; variables never both ways."""
    n = 8
    solver = run(alone(ModelSearch(), lambda X: X.sum(axis=1), [(0.0, 1.0)] * n, np.zeros(n), budget=1))
    frame = Frame(solver.setup, solver.state, solver.state.centre)
    rng = np.random.default_rng(0)
    known = np.linalg.qr(rng.standard_normal((n, 3)))[0].T
    X = frame.missing(known, 1.0)
    D = (X - frame.x) / frame.scale
    assert X.shape == (n - 3, n) and (np.abs(D).max(axis=1) >= ROOM).all()
    assert np.linalg.matrix_rank(np.vstack([known, D]), tol=0.05) == n
    free = frame.missing(np.empty((0, n)), 1.0)
    assert np.array_equal((free - frame.x) / frame.scale, np.eye(n))


def test_models_of_other_columns_that_cannot_be_made_mean_a_new_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """With more columns than have models others come into sight; where the set is too flat for them it is made anew."""
    slopes = np.random.default_rng(0).standard_normal((60, 4))
    solver = alone(
        ModelSearch(),
        lambda X: sphere(X - 1.0),
        [(-3.0, 3.0)] * 4,
        np.zeros(4),
        budget=60,
        constraints=[lambda X: X @ slopes.T - 1.0],
    )
    run(solver)
    model = solver.state.searches.model
    assert model is not None and model.found is not None and model.columns.shape[0] == 40
    monkeypatch.setattr("dfoattack.steps.model.interpolate", lambda *a: None)
    missing = np.setdiff1d(np.arange(60), model.columns)
    turn = _Turn(solver.setup, solver.state)
    monkeypatch.setattr(turn, "_relevant", lambda rows: np.concatenate([missing, model.columns])[:40])
    assert turn.current().found is not None, "nothing new was seen"
    assert turn._with_columns(model).found is None
    seen = evolve(model, seen=model.seen - 1)
    other = _Turn(solver.setup, evolve(solver.state, searches=evolve(solver.state.searches, model=seen)))
    monkeypatch.setattr(other, "_relevant", lambda rows: np.concatenate([missing, model.columns])[:40])
    assert other.current().found is None
