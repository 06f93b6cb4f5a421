"""Suites whose functions are written here: shifts and rotations, printed optima, jumps, noise."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from benchmarks import suites
from benchmarks.suites import discontinuous, geometry, mixed_integer, noisy, scalable, shapes, textbook
from benchmarks.suites.written import Written

# ------------------------------------------------------------------------------------------------ analytic families


def test_placement_is_an_isometry_drawn_from_its_key() -> None:
    rng = np.random.default_rng(0)
    X = rng.uniform(-5.0, 5.0, (6, 9))
    placement = geometry.place(9, 4.0, "key", 1)
    Z = placement(X)
    assert np.linalg.norm(Z, axis=1) == pytest.approx(np.linalg.norm(X - placement.optimum, axis=1), rel=1e-12)
    assert not np.allclose(np.abs(Z), np.abs(X - placement.optimum), atol=0.1)
    assert np.array_equal(placement(placement.optimum[None]), np.zeros((1, 9)))
    assert np.all(np.abs(placement.optimum) <= 4.0)
    assert np.array_equal(placement.optimum, geometry.place(9, 4.0, "key", 1).optimum)
    assert not np.allclose(placement.optimum, geometry.place(9, 4.0, "key", 2).optimum)
    # The numbers themselves: results of different versions are compared.
    assert geometry.place(2, 1.0, "pinned").optimum == pytest.approx(PINNED, abs=1e-12)


PINNED = [-0.8160106833136, -0.8060623782108]


@pytest.mark.parametrize("family", scalable.FAMILIES)
def test_scalable_minimum(family: str) -> None:
    rng = np.random.default_rng(2)
    for instance in suites.load("scalable").instances(n=[2, 30], only=[family]):
        problem = instance.problem()
        assert problem.known is not None and problem.known.x is not None
        for radius in (1e-6, 1e-2, 1.0):
            X = problem.known.x + radius * rng.standard_normal((50, instance.n))
            assert np.all(problem.objective(X) > 0.0)


def test_condition_and_steps() -> None:
    axis = np.zeros((2, 50))
    axis[0, 0] = axis[1, -1] = 1.0
    assert shapes.ellipsoid(axis).tolist() == pytest.approx([1.0, 1e6])
    below, at = np.full((1, 2), 0.25 - 1e-12), np.full((1, 2), 0.25)
    assert shapes.stepped_valley(at)[0] - shapes.stepped_valley(below)[0] == pytest.approx(2.0, abs=1e-8)


# ------------------------------------------------------------------------------------------------ printed optima


WRITTEN = {**textbook.PROBLEMS, **mixed_integer.PROBLEMS}


@pytest.mark.parametrize("name", WRITTEN)
def test_printed_optimum(name: str) -> None:
    entry: Written = WRITTEN[name]
    problem = entry.problem(name)
    x = np.array([entry.x])
    f, C = problem.outer(x, x)
    assert np.all(C <= 1e-12)
    assert abs(f[0] - float(entry.published)) <= 1.02 * entry.half_unit
    assert np.array_equal(problem.space.snap(problem.space.reduce(x)), problem.space.reduce(x))


@pytest.mark.parametrize("name", WRITTEN)
def test_no_feasible_sample_beats_the_printed_optimum(name: str) -> None:
    entry: Written = WRITTEN[name]
    problem = entry.problem(name)
    space, rng = problem.space, np.random.default_rng(3)
    wide = rng.uniform(space.lower, space.upper, (20000, entry.n))
    near = np.array(entry.x) + rng.choice([1e-4, 1e-2, 1.0], (20000, 1)) * rng.standard_normal((20000, entry.n))
    X = space.snap(np.clip(np.vstack([wide, near]), space.lower, space.upper))
    f, C = problem.outer(X, X)
    assert np.isfinite(C).all()
    better = (f < entry.value() - 1e-12 * abs(entry.value()) - 1e-15) & np.all(C <= 0.0, axis=1)
    assert not np.any(better)


def test_gears_by_trying_all() -> None:
    teeth = np.arange(12, 61)
    products = np.unique(np.multiply.outer(teeth, teeth))
    best = np.min((1.0 / 6.931 - products[:, None] / products[None, :]) ** 2)
    assert mixed_integer.PROBLEMS["gears"].value() == pytest.approx(best, rel=1e-9)


@pytest.mark.parametrize("family", mixed_integer.FAMILIES)
def test_mixed_families_have_their_optimum_on_the_lattice(family: str) -> None:
    for instance in suites.load("mixed-integer").instances(n=[4], only=[family]):
        problem = instance.problem()
        known = problem.known
        assert known is not None and known.x is not None
        granular = problem.space.granularity > 0.0
        assert granular.sum() == (4 if family.startswith("integer") else 2)
        assert np.array_equal(np.rint(known.x[granular]), known.x[granular])
        X = np.random.default_rng(5).uniform(problem.space.lower, problem.space.upper, (5000, 4))
        X[:, granular] = np.rint(X[:, granular])
        X = X[np.any(X != known.x, axis=1)]
        assert np.all(problem.objective(X) > 0.0)


# ------------------------------------------------------------------------------------------------ jumps


def at(function: object, *points: float) -> list[float]:
    assert callable(function)
    return np.asarray(function(np.array(points)[:, None])).tolist()


def test_inflection_is_smooth_and_one_sided_is_not() -> None:
    h = 1e-6
    left, middle, right = at(discontinuous.inflection, -1.0 - h, -1.0, -1.0 + h)
    assert (middle - left) / h == pytest.approx(3.0, abs=1e-4) and (right - middle) / h == pytest.approx(3.0, abs=1e-4)
    assert at(discontinuous.inflection, -1.5, 0.0) == [-1.75, 0.0]
    assert at(discontinuous.one_sided, -1.0, 0.0, 1e-9) == pytest.approx([-2.0, -1.0, 0.0])


def test_cusp_is_thinner_than_every_cone() -> None:
    for cusp, power in ((discontinuous.cusp_2, 2), (discontinuous.cusp_4, 4)):
        t = np.array([1.0, 0.5, 0.1])
        inside, on_edge = np.stack([t, 0.99 * t**power], axis=1), np.stack([t, t**power], axis=1)
        assert np.array_equal(cusp(inside), -t) and np.all(cusp(on_edge) > 0.0)
        assert cusp(np.array([[0.0, 0.0], [-0.5, 0.0], [1.1, 0.0]])) == pytest.approx([0.0, 0.25, 1.21])


def test_ball() -> None:
    centre = np.full(4, 0.25)
    along = np.array([1.0, 0.0, 0.0, 0.0])
    points = np.stack([centre, centre + 0.24 * along, centre + 0.26 * along, np.zeros(4)])
    assert discontinuous.ball(points)[:2].tolist() == [-1.0, -1.0]
    assert discontinuous.ball(points)[3] == 0.0 and discontinuous.ball(points)[2] > 0.0


def test_moved_counterexamples_keep_their_shape() -> None:
    for name in discontinuous.COUNTEREXAMPLES:
        for first, moved in zip(
            suites.load("discontinuous").instances(only=[f"{name}-n*-i1"]),
            suites.load("discontinuous").instances(only=[f"{name}-n*-i3"]),
            strict=True,
        ):
            a, b = first.problem(), moved.problem()
            assert a.x0 is not None and b.x0 is not None
            assert np.all(np.abs(a.x0 - b.x0) > 1e-3)
            steps = np.random.default_rng(0).choice([-0.5, -0.125, 0.0, 0.25, 1.0], (200, first.n))
            assert a.objective(np.floor(a.x0) + steps) == pytest.approx(
                b.objective(b.x0 - a.x0 + np.floor(a.x0) + steps)
            )


def test_cliff_wall_checkerboard_and_plateaus() -> None:
    Z = np.array([[0.0, 0.0], [1e-12, 0.0], [-1e-12, 0.0], [0.5, 0.5], [-0.5, 0.5]])
    assert discontinuous.cliff(Z)[:3] == pytest.approx([0.0, 10.0, 0.0], abs=1e-9)
    assert np.isnan(discontinuous.hidden_wall(Z)).tolist() == [False, True, False, True, False]
    assert discontinuous.checkerboard(Z[3:]) == pytest.approx([0.5, 5.5])
    assert discontinuous.staircase(Z).tolist() == [0.0, 0.0, 0.0, 0.5, 0.5]
    inside = discontinuous.step_ellipsoid(np.array([[0.1, 0.1], [0.2, 0.2], [0.3, 0.1]]))
    assert 0.0 < inside[0] < inside[1] < 1e-4 and inside[2] > 0.25


# ------------------------------------------------------------------------------------------------ noise


def test_noise_depends_on_point_and_repetition_alone() -> None:
    instance = suites.load("noisy").instances(n=[5], only=["ellipsoid-high-*"])[0]
    X = np.random.default_rng(0).uniform(-5.0, 5.0, (20, 5))
    a, b = instance.problem(), instance.problem()
    block = a.objective(X)
    assert np.array_equal(block, [b.objective(x[None])[0] for x in X[::-1]][::-1])
    again = a.objective(X)
    assert np.all(again != block)
    assert np.array_equal(again, b.objective(X))
    travelled = pickle.loads(pickle.dumps(a))
    assert np.array_equal(travelled.objective(X), a.objective(X))
    other = suites.load("noisy").instances(n=[5], only=["ellipsoid-high-*"])[1].problem()
    assert not np.allclose(other.objective(X) / [other.verify(x) for x in X], block / [a.verify(x) for x in X])


@pytest.mark.parametrize("level", noisy.LEVELS)
def test_noise_is_standard_normal_times_its_level(level: str) -> None:
    problem = suites.load("noisy").instances(n=[2], only=[f"sphere-{level}-*"])[0].problem()
    X = np.random.default_rng(0).uniform(-5.0, 5.0, (4000, 2))
    exact = np.array([problem.verify(x) for x in X])
    xi = (problem.objective(X) / exact - 1.0) / noisy.LEVELS[level]
    assert abs(xi.mean()) < 4.0 / np.sqrt(4000)
    assert xi.std() == pytest.approx(1.0, abs=0.05)
    assert np.mean(np.abs(xi) < 1.0) == pytest.approx(0.6827, abs=0.03)


def test_noise_leaves_the_fingerprint_alone() -> None:
    problem = suites.load("noisy").instances(n=[2])[0].problem()
    before = problem.fingerprint()
    problem.objective(np.zeros((3, 2)))
    assert problem.fingerprint() == before
