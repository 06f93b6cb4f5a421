"""Space-filling designs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.designs import latin_hypercube, sobol
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
