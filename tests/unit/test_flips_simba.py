"""Flips of granular variables by predicted gain, and moves along an orthonormal basis without gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.attacks import by_name
from dfoattack.attacks.base import Target
from dfoattack.errors import OptionError
from dfoattack.testing.views import FunctionView, affine_view, target_at

N, HIGH = 40, 1
DEFAULT = da.Options().attacks  # flips come last


def lattice_target(view: FunctionView, X: Any, unit: Any, lower: Any = 0.0, upper: Any = 1.0) -> Target:
    from dataclasses import replace

    return replace(target_at(view, X, lower, upper), granularity=np.asarray(unit, dtype=np.float64))


def propose(name: str, target: Target, view: FunctionView, seed: int = 0, **options: Any) -> Any:
    return by_name(name, options)(target, np.array([0.3]), view, np.random.default_rng(seed))


# ------------------------------------------------------------------------------------------------ flips


def test_the_best_flips_come_first_and_then_every_combination() -> None:
    g = np.array([1.0, -5.0, 3.0, -2.0, 4.0, 0.5])
    view = affine_view(g)
    found = propose("flips", lattice_target(view, [0.0, 0.0, 1.0, 0.0, 1.0, 0.0], np.ones(6)), view)
    # gains: x1 5, x4 4, x2 3, x3 2; x0 and x5 are at the bound already
    full = {1: 1.0, 4: -1.0, 2: -1.0, 3: 1.0}
    rows = [frozenset(np.flatnonzero(d).tolist()) for d in found.D]
    assert rows[:3] == [{1, 2, 3, 4}, {1, 4}, {1}] and len(rows) == len(set(rows)) == 15
    assert all(d[i] == full[i] for d in found.D for i in np.flatnonzero(d))
    gains = [-float(g @ d) for d in found.D[3:]]
    assert gains == sorted(gains, reverse=True) and view.vjps == 1


def test_flips_respect_lattice_and_box_and_leave_continuous_variables() -> None:
    g = np.array([-1.0, -100.0, -3.0, 2.0])
    view = affine_view(g)
    unit = np.array([0.5, 0.0, 2.0, 1.0])
    found = propose("flips", lattice_target(view, [1.0, 0.3, 4.0, 0.0], unit, 0.0, [1.0, 1.0, 9.0, 3.0]), view, most=3)
    assert [d.tolist() for d in found.D] == [[0.0, 0.0, 2.0, 0.0]]


def test_an_infeasible_centre_flips_towards_the_constraint() -> None:
    view = affine_view(np.array([1.0, 1.0, 1.0]), np.array([[-1.0, -2.0, -8.0]]), np.array([-6.0]))
    found = propose("flips", lattice_target(view, np.zeros(3), np.ones(3)), view, most=1)
    assert found.D[0].tolist() == [0.0, 0.0, 1.0]
    assert not len(propose("flips", lattice_target(view, np.zeros(3), np.zeros(3)), view))


def pairs_problem(gradient: bool, seed: int) -> da.Problem:
    """A random network on integers."""
    rng = np.random.default_rng(seed)
    W, b, v = rng.normal(size=(20, N)) * 1.5 / np.sqrt(N), rng.normal(size=20), rng.normal(size=20)

    class Phi:
        def predict(self, X: np.ndarray) -> np.ndarray:
            return np.asarray((np.tanh(X @ W.T + b) @ v)[:, None])

        if gradient:

            def vjp(self, X: np.ndarray, V: np.ndarray) -> np.ndarray:
                return np.asarray(V * (((1.0 - np.tanh(X @ W.T + b) ** 2) * v) @ W))

    space = da.Box([0] * N, [HIGH] * N, integer=True)
    return da.Problem(
        surrogate=Phi(), objective=lambda y: y[:, 0], space=space, x0=np.zeros(N), sense="minimize", name=str(seed)
    )


def evaluations_to(target: float, attacks: tuple[str, ...], gradient: bool, seed: int, **options: Any) -> float:
    result = da.solve(
        pairs_problem(gradient, seed), budget=250, f_target=target, options={"attacks": attacks, **options}
    )
    return result.cost


def best_known(seed: int) -> float:
    """The best of single steps from many starts."""
    problem, rng = pairs_problem(False, seed), np.random.default_rng(0)
    best = np.inf
    for _ in range(60):
        x, f = rng.integers(0, HIGH + 1, N).astype(float), np.inf
        while True:
            X = np.clip(np.vstack([x + np.eye(N), x - np.eye(N)]), 0, HIGH)
            values = problem.forward(X)[:, 0]
            if not values.min() < f:
                break
            x, f = X[np.argmin(values)], float(values.min())
        best = min(best, f)
    return best


@pytest.mark.slow
def test_flips_reach_the_optimum_of_integer_networks_with_fewer_evaluations() -> None:
    targets = [f + 0.01 * abs(f) for f in map(best_known, range(6))]
    costs = np.array(
        [
            [evaluations_to(targets[seed], attacks, True, seed) for attacks in (DEFAULT[:-1], DEFAULT)]
            for seed in range(6)
        ]
    )
    assert costs[:, 1].sum() < 0.8 * costs[:, 0].sum() and np.median(costs[:, 1]) < np.median(costs[:, 0])


# ------------------------------------------------------------------------------------------------ SimBA


@pytest.mark.parametrize("basis", ["coordinates", "random", "dct"])
def test_simba_goes_both_ways_along_orthogonal_directions(basis: str) -> None:
    view = FunctionView(16, lambda z: 0.0, lambda z: z, has_gradient=False)
    found = propose("simba", target_at(view, np.zeros(16), -9.0, 9.0), view, basis=basis, tries=3)
    D = found.D[::2]
    np.testing.assert_allclose(D, -found.D[1::2])
    np.testing.assert_allclose(np.max(np.abs(found.D), axis=1), 0.3)
    gram = D @ D.T
    np.testing.assert_allclose(gram - np.diag(np.diag(gram)), 0.0, atol=1e-12)
    assert view.passes == view.vjps == 0 and len(D) == 3


def test_simba_knows_the_low_frequencies() -> None:
    """All cosines of the lowest quarter are smooth: few changes of sign."""
    view = FunctionView(32, lambda z: 0.0, lambda z: z)
    found = propose("simba", target_at(view, np.zeros(32)), view, basis="dct", tries=8)
    changes = (np.diff(np.sign(found.D), axis=1) != 0).sum(axis=1)
    assert len(found) == 16 and sorted(changes[::2].tolist()) == list(range(8))


def test_simba_attacks_a_black_box_without_any_source() -> None:
    problem = da.Problem(
        objective=lambda y: np.abs(y - 0.3).sum(axis=1),
        space=da.Box([-2] * 8, [2] * 8),
        x0=np.ones(8),
        sense="minimize",
    )
    result = da.solve(problem, budget=200, options={"attacks": ("simba",), "searches": ()})
    again = da.solve(problem, budget=200, options={"attacks": ("simba",), "searches": ()})
    assert "attack" in result.records.step and result.gradient_source == "none"
    assert result.records.x.tobytes() == again.records.x.tobytes()


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("flips", {"most": 0}, r"`most` must be an integer in \[1, 10\], got 0"),
        ("flips", {"active": -1.0}, "`active` must be >= 0"),
        ("simba", {"basis": "wavelets"}, "`basis` must be one of"),
        ("simba", {"tries": 0}, "`tries` must be an integer >= 1, got 0"),
        ("simba", {"frequencies": 0.0}, "`frequencies` must be in"),
    ],
)
def test_wrong_parameters(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        by_name(name, options)
