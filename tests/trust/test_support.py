"""Data support: distances against naive twins, gradients against differences, the constraint in a problem."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dfoattack as da
from dfoattack._fingerprint import fingerprint_of
from dfoattack.errors import OptionError, ProblemError
from dfoattack.surrogate import CallableSurrogate
from dfoattack.trust.knn import NearestNeighbours
from dfoattack.trust.mahalanobis import Mahalanobis, Moments
from dfoattack.trust.scaling import Standardised
from dfoattack.trust.support import DataSupport, supported


def data(seed: int, N: int = 60, n: int = 3) -> Any:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(N, n)) * np.array([1.0, 10.0, 0.1])[:n] + 5.0


def naive_knn(x: Any, X: Any, k: int, skip: int | None = None) -> float:
    distances = sorted(float(np.sqrt((((x - row) / X.std(axis=0)) ** 2).sum())) for i, row in enumerate(X) if i != skip)
    return float(np.mean(distances[:k]))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 7))
def test_knn_distance_is_the_mean_of_the_k_smallest(seed: int, k: int) -> None:
    X = data(seed)
    points = data(seed + 1, 5)
    nearest = NearestNeighbours(X, k)
    assert nearest.distance(points) == pytest.approx([naive_knn(x, X, k) for x in points], rel=1e-12)
    own = sorted(naive_knn(x, X, k, skip=i) for i, x in enumerate(X))
    assert nearest.own == pytest.approx(own, rel=1e-12)


def test_twins_in_the_data_have_leave_one_out_distance_zero() -> None:
    X = np.repeat(data(0, 10), 2, axis=0)
    assert NearestNeighbours(X, 1).own == pytest.approx(np.zeros(20), abs=1e-12)


def differences(fun: Any, X: Any, step: float = 1e-6) -> Any:
    columns = []
    for j in range(X.shape[1]):
        h = np.zeros(X.shape[1])
        h[j] = step
        columns.append((fun(X + h) - fun(X - h)) / (2.0 * step))
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("build", [lambda X: NearestNeighbours(X, 4), Mahalanobis], ids=["knn", "mahalanobis"])
def test_gradients_agree_with_differences(build: Any) -> None:
    measure = build(data(3))
    points = data(4, 7) + 1.5
    assert measure.gradient(points) == pytest.approx(differences(measure.distance, points), rel=1e-5, abs=1e-7)


def test_gradients_are_zero_where_the_distance_is() -> None:
    X = data(5)
    assert np.all(NearestNeighbours(X, 1).gradient(X) == 0.0)
    moments = Moments(np.array([1.0, 2.0]), np.eye(2))
    assert np.all(moments.gradient(np.array([[1.0, 2.0]])) == 0.0)


def test_mahalanobis_is_the_closed_form() -> None:
    X = data(6, 200)
    C = np.cov(X, rowvar=False)
    points = data(7, 5)
    D = points - X.mean(axis=0)
    expected = np.sqrt(np.einsum("ij,jk,ik->i", D, np.linalg.inv(C), D))
    assert Mahalanobis(X).distance(points) == pytest.approx(expected, rel=1e-6)
    moments = Moments(X.mean(axis=0), np.linalg.inv(C))
    assert moments.distance(points) == pytest.approx(expected, rel=1e-9)
    assert moments.gradient(points) == pytest.approx(differences(moments.distance, points), rel=1e-5)
    assert moments.own.size == 0 and 0.0 < moments.normal_share(2.0) < 1.0


def test_moments_of_features_use_the_pullback() -> None:
    A = np.array([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]])
    moments = Moments(np.zeros(3), np.eye(3), features=lambda X: X @ A.T, pullback=lambda X, G: G @ A)
    points = np.array([[1.0, 2.0], [-0.5, 0.2]])
    assert moments.distance(points) == pytest.approx(np.linalg.norm(points @ A.T, axis=1))
    assert moments.gradient(points) == pytest.approx(differences(moments.distance, points), rel=1e-6)
    with pytest.raises(ProblemError, match="pullback"):
        Moments(np.zeros(3), np.eye(3), features=lambda X: X @ A.T).gradient(points)


def test_mahalanobis_survives_a_direction_without_spread() -> None:
    X = data(8)
    X[:, 2] = X[:, 0]  # exactly correlated
    measure = Mahalanobis(X)
    inside, across = X[:1].copy(), X[:1].copy()
    across[0, 2] += 0.5
    assert np.isfinite(measure.distance(inside)).all()
    assert measure.distance(across)[0] > 100.0 * measure.own[-1]


# ---------------------------------------------------------------- variables of every kind


def test_periodic_variables_go_the_short_way_round() -> None:
    space = da.Box([0.0, 0.0], [360.0, 1.0], periodic=[0])
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(0.0, 10.0, 200) % 360.0, rng.random(200)])
    scaling = Standardised(X, space)
    assert scaling.scale[0] == pytest.approx(10.0, rel=0.2)  # not the 170 that plain numbers would give
    for measure in (NearestNeighbours(X, 3, space), Mahalanobis(X, space)):
        points = np.array([[359.9, 0.5], [0.1, 0.5], [180.0, 0.5]])
        near, also, far = measure.distance(points)
        assert abs(near - also) < 0.1 and far > 10.0 * max(near, 0.1)
        moved = np.array([[350.0, 0.4], [40.0, 0.7]])
        assert measure.gradient(moved) == pytest.approx(differences(measure.distance, moved), rel=1e-4, abs=1e-7)


def test_categorical_codes_are_no_numbers() -> None:
    space = da.Box([0.0, None], [1.0, None], categorical={1: ["a", "b", "c", "d"]})
    rng = np.random.default_rng(1)
    X = np.column_stack([rng.random(50), np.zeros(50)])
    measure = NearestNeighbours(X, 1, space)
    d = measure.distance(np.array([[X[0, 0], 0.0], [X[0, 0], 1.0], [X[0, 0], 3.0]]))
    assert d == pytest.approx([0.0, 1.0, 1.0], abs=1e-9)
    assert np.all(measure.gradient(np.array([[2.0, 3.0]]))[:, 1] == 0.0)


def test_a_variable_that_never_varied_counts_as_left_at_once() -> None:
    X = data(9)
    X[:, 1] = 4.0
    measure = NearestNeighbours(X, 5)
    away = X[:1].copy()
    away[0, 1] = 4.5
    assert measure.distance(away)[0] > 10.0 * measure.own[-1]


# ---------------------------------------------------------------- the constraint


@pytest.mark.parametrize("method", ["knn", "mahalanobis", "box"])
def test_the_constraint_holds_for_the_stated_share_of_the_data(method: Any) -> None:
    X = data(10, 400)
    support = DataSupport(X, method, quantile=0.9)
    inside = np.all(support.excess(X) <= 1e-12, axis=1).mean()
    assert inside == 1.0 if method == "box" else 0.88 <= inside
    far = X[:5] + 1e3
    assert np.all(np.max(support.excess(far), axis=1) > 0.0)


@pytest.mark.parametrize("method", ["knn", "mahalanobis", "box"])
def test_the_constraint_is_ordinary_and_its_gradient_right(method: Any) -> None:
    X = data(11)
    support = DataSupport(X, method)
    problem = da.Problem(
        objective=lambda y: y[:, 0],
        surrogate=CallableSurrogate(lambda X: X @ np.ones((3, 1)), lambda X, V: V @ np.ones((1, 3))),
        space=da.Box([-50.0] * 3, [50.0] * 3),
        constraints=[support.constraint()],
    )
    points = data(12, 4) + 2.0
    Y = problem.forward(points)
    _, C = problem.outer(points, Y)
    assert C.shape == (4, 6 if method == "box" else 1)
    W = np.random.default_rng(0).normal(size=C.shape)

    def weighted(P: Any) -> Any:
        return (W * problem.outer(P, problem.forward(P))[1]).sum(axis=1)

    assert problem.vjp(points, Y, np.zeros(4), W) == pytest.approx(differences(weighted, points), rel=1e-4, abs=1e-6)


def test_supported_uses_what_the_problem_declares() -> None:
    X = np.random.default_rng(0).uniform(0.0, 0.5, size=(300, 2))
    problem = da.Problem(objective=lambda y: y.sum(axis=1), space=da.Box([0, 0], [1, 1]), x0=[0.2, 0.2], support=X)
    free = da.solve(problem, budget=200)
    held = da.solve(supported(problem, "box"), budget=200)
    assert free.fun == pytest.approx(2.0) and held.fun == pytest.approx(X.max(axis=0).sum(), rel=1e-6)
    assert da.solve(supported(problem, "knn"), budget=300).fun < 1.1
    with pytest.raises(ProblemError, match="declares no training inputs"):
        supported(problem.replace(support=None))


def test_thresholds_scale_and_boxes_shrink_about_their_centre() -> None:
    X = data(13)
    support = DataSupport(X, "knn")
    assert support.scaled(0.5).tau == 0.5 * support.tau
    box = DataSupport(X, "box").scaled(0.5)
    middle = 0.5 * (X.min(axis=0) + X.max(axis=0))
    half = 0.25 * (X.max(axis=0) - X.min(axis=0))
    assert np.all(box.excess((middle + 0.999 * half)[None]) <= 0.0)
    assert np.any(box.excess((middle + 1.001 * half)[None]) > 0.0)


def test_fingerprints_follow_the_definition_and_pickles_work() -> None:
    X = data(14)
    first, again, other = DataSupport(X), DataSupport(X.copy()), DataSupport(X, quantile=0.5)
    assert fingerprint_of(first.constraint().fn) == fingerprint_of(again.constraint().fn)
    assert fingerprint_of(first.constraint().fn) != fingerprint_of(other.constraint().fn)
    copy = pickle.loads(pickle.dumps(first))
    assert copy.excess(X[:3] + 1).tolist() == first.excess(X[:3] + 1).tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "hull"}, "`method` must be"),
        ({"k": 0}, "`k` must be an integer >= 1, got 0"),
        ({"quantile": 0.0}, r"`quantile` must be in \(0, 1\], got 0.0"),
        ({"tau": -1.0}, "`tau` must be"),
    ],
)
def test_wrong_options_are_named(arguments: Any, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        DataSupport(data(0), **arguments)


def test_wrong_inputs_are_named() -> None:
    with pytest.raises(ProblemError, match=r"shape \(N, n\)"):
        DataSupport(np.zeros(3))
    with pytest.raises(ProblemError, match="must be finite"):
        DataSupport(np.array([[np.nan, 1.0]]))
    with pytest.raises(ProblemError, match="n = 2 columns"):
        DataSupport(np.zeros((4, 3)), space=da.Box([0, 0], [1, 1]))
    with pytest.raises(ProblemError, match="`support` must be training inputs of shape"):
        da.Problem(objective=lambda y: y[:, 0], space=[(0, 1)], support=np.zeros((4, 3)))
    with pytest.raises(ProblemError, match="`tau` must be given"):
        DataSupport(np.zeros((1, 2)))


def test_a_constraint_may_be_written_in_another_language_than_the_problem() -> None:
    with pytest.raises(ProblemError, match="`backend` must be"):
        da.Constraint(lambda y: y, backend="jax")


def test_replace_keeps_the_rest() -> None:
    problem = da.Problem(
        objective=lambda y: y[:, 0], space=[(0, 1)], x0=[0.5], sense="minimize", name="a", known=da.Known(0.0)
    )
    other = problem.replace(sense="maximize")
    assert (other.sense, other.name, other.known) == ("maximize", "a", None)
    assert other.x0 is not None and other.x0.tolist() == [[0.5]]
    with pytest.raises(ProblemError, match="Did you mean `sense`"):
        problem.replace(sens="maximize")
