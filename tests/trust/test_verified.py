"""The verified loop: it leaves an error of the model, refits, shrinks a support, and says what it did."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.errors import OptionError, ProblemError

OPTIMUM = np.array([0.3, 0.6])


def true_f(x: Any) -> float:
    return float(-((x - OPTIMUM) ** 2).sum())


def bumped(height: float) -> Any:
    """The truth with an error: a bump of this height at (0.9, 0.1)."""

    def model(X: Any) -> Any:
        bump = height * np.exp(-(((X - np.array([0.9, 0.1])) / 0.08) ** 2).sum(axis=1))
        return -((X - OPTIMUM) ** 2).sum(axis=1) + bump

    return model


def problem(height: float = 2.0, **more: Any) -> da.Problem:
    arguments: dict[str, Any] = {
        "objective": lambda y: y[:, 0],
        "surrogate": bumped(height),
        "space": da.Box([0.0, 0.0], [1.0, 1.0]),
        "x0": [[0.6, 0.4], [0.85, 0.15]],  # the second one on the slope of the bump
        "verify": true_f,
        "backend": "numpy",
    }
    return da.Problem(**{**arguments, **more})


def test_the_loop_leaves_a_bump_that_fools_the_plain_run() -> None:
    fooled = da.solve(problem(), budget=300)
    assert true_f(fooled.x) < -0.3 and fooled.fun > 1.0
    found = da.solve_verified(problem(), budget=1500, rounds=10)
    assert found.x == pytest.approx(OPTIMUM, abs=0.01)
    assert found.fun == true_f(found.x) and found.fun > -1e-4
    assert found.rounds[0].action == "shrink" and found.rounds[-1].action == "end"
    assert found.cost <= 1500.0
    assert found.f_true.max() == found.fun and np.all([true_f(x) for x in found.X] == found.f_true)


def test_a_right_model_is_believed_at_once() -> None:
    found = da.solve_verified(problem(0.0), budget=800)
    assert found.x == pytest.approx(OPTIMUM, abs=1e-3) and len(found.rounds) <= 2
    assert all(r.action in ("keep", "end") for r in found.rounds)


def test_the_answer_is_never_worse_than_the_start() -> None:
    found = da.solve_verified(problem(verify=lambda x: -abs(x[0] - 0.6) - abs(x[1] - 0.4)), budget=300, rounds=3)
    assert found.x.tolist() == [0.6, 0.4] and found.fun == 0.0
    assert not math.isnan(found.predicted)


def test_true_constraints_come_first() -> None:
    def verify(x: Any) -> tuple[float, float]:
        return true_f(x), float(x[0] - 0.2)  # the model does not know that x_0 <= 0.2

    found = da.solve_verified(problem(0.0, verify=verify, x0=[0.1, 0.1]), budget=600, rounds=6)
    assert found.feasible and found.violation <= 0.0 and found.x[0] <= 0.2
    assert found.fun > true_f(np.array([0.1, 0.1]))
    assert found.rounds[0].action == "shrink" and found.rounds[0].violation > 0.0


def test_a_model_that_insists_on_a_point_that_is_wrong_is_trusted_less() -> None:
    X = np.vstack([np.random.default_rng(0).uniform(0.2, 0.7, size=(200, 2)), np.full((50, 2), [0.9, 0.1])])
    support = da.trust.DataSupport(X, "knn", tau=1.0)  # shrinking leaves the bump inside for a while
    found = da.solve_verified(problem(), budget=1000, rounds=5, support=support)
    again = [r for r in found.rounds if math.isnan(r.true)]
    assert all(r.action in ("shrink", "end") for r in again)
    assert found.rounds[-1].action != "end" or found.fun > -1e-2


def test_a_true_violation_within_its_tolerance_is_none() -> None:
    def verify(x: Any) -> tuple[float, float]:
        return true_f(x), 0.01  # truly infeasible everywhere, by a little

    strict = da.solve_verified(problem(0.0, verify=verify), budget=200, rounds=2)
    mild = da.solve_verified(problem(0.0, verify=verify), budget=200, rounds=2, violation_tol=0.02)
    assert not strict.feasible and mild.feasible and mild.violation == 0.01
    assert mild.x == pytest.approx(OPTIMUM, abs=1e-3)


def test_a_refit_mends_the_model_instead_of_shrinking() -> None:
    calls: list[int] = []

    def refit(old: da.Problem, X: Any, f: Any, violation: Any) -> da.Problem:
        calls.append(len(f))
        assert X.shape == (len(f), 2) and f.tolist() == [true_f(x) for x in X] and np.isnan(violation).all()
        return old.replace(surrogate=bumped(0.0))

    found = da.solve_verified(problem(), budget=600, refit=refit)
    assert calls == [2] and found.rounds[0].action == "refit"
    assert found.rounds[1].size == 1.0 and found.x == pytest.approx(OPTIMUM, abs=1e-3)


def test_a_support_can_be_shrunk_instead_of_a_box() -> None:
    X = np.random.default_rng(0).uniform(0.1, 0.8, size=(300, 2))
    X = X[(X[:, 0] < 0.7) | (X[:, 1] > 0.3)]
    support = da.trust.DataSupport(X, "knn", quantile=1.0, tau=1.5)  # wide at first: the bump is inside
    found = da.solve_verified(problem(), budget=1200, rounds=8, support=support)
    assert found.rounds[0].action == "shrink"
    assert found.fun > -1e-3


def test_several_points_are_verified_apart_from_each_other() -> None:
    found = da.solve_verified(problem(), budget=200, rounds=1, top=4)
    assert len(found.X) == 5  # the start and four
    distances = np.abs(found.X[1:, None] - found.X[None, 1:]).max(axis=2)[np.triu_indices(4, 1)]
    assert distances.min() >= 1e-3
    assert found.f_predicted[1] >= found.f_predicted[2] >= found.f_predicted[3]


def test_granular_variables_keep_a_step_to_each_side() -> None:
    space = da.Box([0.0, 0.0], [10.0, 1.0], integer=[0])
    narrow = space.within(np.array([3.0 - 1.0, 0.4]), np.array([3.0 + 1.0, 0.5]))
    assert narrow.lower.tolist() == [2.0, 0.4] and narrow.upper.tolist() == [4.0, 0.5]
    assert narrow.free_upper.tolist() == [4.0, 0.5] and narrow.names == space.names
    wraps = da.Box([0.0, 0.0], [360.0, 1.0], periodic=[0]).within(np.array([10.0, 0.1]), np.array([20.0, 0.2]))
    assert wraps.upper.tolist() == [360.0, 0.2]
    with pytest.raises(ProblemError):
        space.within(np.array([4.0, 0.0]), np.array([3.0, 1.0]))


def test_the_same_seed_gives_the_same_answer_and_the_print_holds_every_round() -> None:
    first = da.solve_verified(problem(), budget=400, seed=3, rounds=4)
    again = da.solve_verified(problem(), budget=400, seed=3, rounds=4)
    assert first.X.tolist() == again.X.tolist() and first.rounds == again.rounds
    text = str(first)
    assert (
        "verified f" in text and "constraints not verified" in text and len(text.splitlines()) == 4 + len(first.rounds)
    )


def test_rounds_are_told() -> None:
    told: list[Any] = []
    found = da.solve_verified(problem(), budget=200, rounds=2, callback=lambda number, r: told.append((number, r)))
    assert [number for number, _ in told] == [1, 2] and tuple(r for _, r in told) == found.rounds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rounds": 0}, "`rounds` must be an integer >= 1, got 0"),
        ({"top": True}, "`top` must be an integer >= 1, got True"),
        ({"shrink": 1.0}, r"`shrink` must be in \(0, 1\), got 1\.0"),
        ({"tol": -1.0}, "`tol` must be"),
        ({"violation_tol": -1.0}, "`violation_tol` must be"),
        ({"budget": 3.0}, "`budget` must be at least one evaluation a round, 8, got 3"),
    ],
)
def test_wrong_arguments_are_named(arguments: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        da.solve_verified(problem(), **{"budget": 100, **arguments})


def test_a_simulator_is_needed_and_a_refit_must_give_a_problem() -> None:
    with pytest.raises(ProblemError, match="no true simulator"):
        da.solve_verified(problem(verify=None), budget=100)
    with pytest.raises(ProblemError, match="`refit` must return a Problem, got None"):
        da.solve_verified(problem(), budget=200, rounds=2, refit=lambda *arguments: None)
