"""Space-filling designs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack import starts
from dfoattack.designs import latin_hypercube, sobol
from dfoattack.solver import Solver
from dfoattack.state import Setup
from dfoattack.steps.cma import CMA
from tests.unit.searching import alone, sphere

Design = Callable[..., np.ndarray]
MIXED = da.Box([-4.0, -np.inf, 0.0, 1.0], [6.0, 3.0, 0.7, 2.0], granularity=[1.0, 0.0, 0.1, 0.0])


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def setup_of(space: Any, x0: list[float]) -> Setup:
    return alone(CMA(), sphere, space, x0).setup


@pytest.mark.parametrize("design", [sobol, latin_hypercube])
def test_points_are_admissible_and_reproducible(design: Design) -> None:
    solver = alone(CMA(), sphere, MIXED, [0.0, 1.0, 0.3, 1.5])
    for k in (0, 1, 5, 40):
        X = design(solver.setup, rng(), k)
        assert X.shape == (k, 4) and X.tobytes() == design(solver.setup, rng(), k).tobytes()
        assert all(MIXED.contains(x) for x in X)
    assert design(solver.setup, rng(1), 5).tobytes() != design(solver.setup, rng(2), 5).tobytes()


def test_a_latin_hypercube_has_one_point_a_slice() -> None:
    setup = setup_of([(-2.0, 5.0)] * 3, [0.0] * 3)
    X = latin_hypercube(setup, rng(), 20)
    slices = np.floor((X + 2.0) / 7.0 * 20.0).astype(int)
    assert (np.sort(slices, axis=0) == np.arange(20)[:, None]).all()
    assert abs(np.corrcoef(X.T)[np.triu_indices(3, 1)]).max() < 0.8, "the order is shuffled in every variable"


def test_sobol_points_are_balanced() -> None:
    setup = setup_of([(0.0, 1.0)] * 3, [0.5] * 3)
    X = sobol(setup, rng(), 64)
    for i in range(3):
        counts, _ = np.histogram(X[:, i], bins=16, range=(0.0, 1.0))
        assert (counts == 4).all()


def test_unbounded_variables_lie_around_the_given_point() -> None:
    setup = setup_of(da.Box([-np.inf, 0.0], [np.inf, 1.0]), [0.0, 0.5])
    for design in (sobol, latin_hypercube):
        X = design(setup, rng(), 400, np.array([500.0, 0.0]))
        assert abs(X[:, 0].mean() - 500.0) < 10.0 and 40.0 < X[:, 0].std() < 60.0
        assert 0.4 < X[:, 1].mean() < 0.6


KINDS = da.Box([0.0, None, -1.0], [1.0, None, 1.0], periodic=[0], categorical={1: ("a", "b", "c")})


@pytest.mark.parametrize("name", ["sobol", "lhs"])
def test_levels_and_angles_are_drawn_evenly(name: str) -> None:
    problem = da.Problem(objective=lambda y: y.sum(1), space=KINDS)
    setup = Solver(problem, {"start_design": name}).setup
    X = starts.design(setup, rng(), 48)
    counts = np.bincount(X[:, 1].astype(int), minlength=3)
    assert counts.sum() == 48 and counts.min() >= 14 and np.all(X[:, 0] < 1.0)


def evaluated(options: dict[str, Any], budget: float = 30, **more: Any) -> np.ndarray:
    solver = Solver(da.Problem(objective=lambda y: y.sum(1), space=[(-1, 3)] * 2, **more), options, budget=budget)
    X = solver.ask().X
    solver.tell(solver.evaluate())
    assert solver.state.history.size == min(len(X), budget)
    return X


def test_start_design_by_options() -> None:
    first = evaluated({"n_init": 9, "start_design": "lhs"})
    assert first.shape == (9, 2) and first[0].tolist() == [1.0, 1.0]
    slices = np.floor((first[1:] + 1.0) / 4.0 * 8.0)
    assert (np.sort(slices, axis=0) == np.arange(8)[:, None]).all()
    assert evaluated({"n_init": 9}).tolist() != first.tolist()
    assert evaluated({}).shape == (3, 2) and evaluated({}, 500).shape == (3, 2)
    given = evaluated({"n_init": 5}, x0=[0.5, 0.25])
    assert given.shape == (5, 2) and given[0].tolist() == [0.5, 0.25]
    assert evaluated({}, x0=[0.5, 0.25]).shape == (1, 2)
    assert evaluated({"n_init": 2}, x0=[[0.5, 0.25], [0.0, 0.0], [1.0, 1.0]]).shape == (3, 2)


@pytest.mark.parametrize(("name", "value"), [("n_init", 0), ("n_init", 2.5), ("start_design", "grid")])
def test_bad_design_options(name: str, value: Any) -> None:
    with pytest.raises(da.OptionError, match=f"`{name}` must be"):
        da.Options(**{name: value})
