"""Problems with several objectives: shapes, fronts that nothing dominates, hypervolumes."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.suites.multiobjective import PROBLEMS, MultiObjective

WITH_SET = [name for name, problem in PROBLEMS.items() if problem.pareto_set is not None]


def efficient(problem: MultiObjective, count: int) -> np.ndarray:
    assert problem.pareto_set is not None
    return problem.pareto_set(count)


def feasible(problem: MultiObjective, X: np.ndarray) -> np.ndarray:
    return X if problem.constraints is None else X[np.all(problem.constraints(X) <= 0.0, axis=1)]


@pytest.mark.parametrize("name", PROBLEMS)
def test_shapes_and_batches(name: str) -> None:
    problem = PROBLEMS[name]
    assert len(problem.lower) == len(problem.upper) == problem.n
    X = np.random.default_rng(0).uniform(problem.lower, problem.upper, (50, problem.n))
    F = problem.objectives(X)
    assert F.shape == (50, problem.q) and np.isfinite(F).all()
    assert F == pytest.approx(np.concatenate([problem.objectives(x[None]) for x in X]), rel=1e-12)
    if problem.constraints is not None:
        assert problem.constraints(X).shape[0] == 50


@pytest.mark.parametrize("name", WITH_SET)
def test_nothing_dominates_the_front(name: str) -> None:
    problem = PROBLEMS[name]
    lower, upper = np.array(problem.lower), np.array(problem.upper)
    S = efficient(problem, 200)
    assert np.all((S >= lower) & (S <= upper)) and S.shape[1] == problem.n
    assert len(feasible(problem, S)) == len(S)
    rng = np.random.default_rng(1)
    near = S.repeat(20, axis=0)
    near = np.clip(near + 1e-2 * (upper - lower) * rng.standard_normal(near.shape), lower, upper)
    others = feasible(problem, np.vstack([near, rng.uniform(lower, upper, (5000, problem.n))]))
    F, front = problem.objectives(others), problem.objectives(S)
    for value in front:
        assert not np.any(np.all(F <= value - 1e-9, axis=1))
        assert not np.any(np.all(front <= value, axis=1) & np.any(front < value - 1e-12, axis=1))


def area(F: np.ndarray, reference: tuple[float, ...]) -> float:
    F = F[np.argsort(F[:, 0])]
    width = np.append(F[1:, 0], reference[0]) - F[:, 0]
    return float(np.sum(width * (reference[1] - np.minimum.accumulate(F[:, 1]))))


@pytest.mark.parametrize("name", [n for n in WITH_SET if PROBLEMS[n].q == 2 and PROBLEMS[n].hypervolume is not None])
def test_area_dominated_by_the_front(name: str) -> None:
    problem = PROBLEMS[name]
    measured = area(problem.objectives(efficient(problem, 100_001)), problem.reference)
    assert measured == pytest.approx(problem.hypervolume, rel=1e-4)


@pytest.mark.parametrize("name", ["dtlz1-3", "dtlz2-3"])
def test_volume_dominated_by_the_front(name: str) -> None:
    problem = PROBLEMS[name]
    points = np.random.default_rng(2).uniform(0.0, problem.reference, (200_000, 3))
    # The fronts are the plane of sum 1/2 and the unit sphere; checked on their own points first.
    front = problem.objectives(efficient(problem, 400))
    if name == "dtlz1-3":
        assert front.sum(axis=1) == pytest.approx(np.full(len(front), 0.5))
        share = np.mean(points.sum(axis=1) >= 0.5)
    else:
        assert np.linalg.norm(front, axis=1) == pytest.approx(np.ones(len(front)))
        share = np.mean(np.linalg.norm(points, axis=1) >= 1.0)
    assert share * np.prod(problem.reference) == pytest.approx(problem.hypervolume, rel=1e-2)


def test_local_fronts_of_zdt4_and_dtlz1_lie_behind() -> None:
    X = np.zeros((2, 10))
    X[1, 1] = 0.5
    F = PROBLEMS["zdt4"].objectives(X)
    assert F[0, 1] == 1.0 and F[1, 1] == pytest.approx(1.25)
    X = np.full((2, 6), 0.5)
    X[1, 2] = 0.6
    assert PROBLEMS["dtlz1-2"].objectives(X).sum(axis=1) == pytest.approx([0.5, 1.0])
