"""Suites: what every instance promises, and each suite against what its sources print."""

from __future__ import annotations

import importlib.util
import pickle
import re

import numpy as np
import pytest
from scipy.optimize import least_squares

import dfoattack as da
from benchmarks import suites
from benchmarks.suites import discontinuous, geometry, mixed_integer, more_wild, noisy, scalable, shapes, textbook
from benchmarks.suites.written import Written

needs_coco = pytest.mark.skipif(importlib.util.find_spec("cocoex") is None, reason="cocoex is not installed")


def named(names: list[str] | dict[str, str]) -> list[object]:
    """Suite names as parameters; those of COCO are skipped where cocoex is missing."""
    return [pytest.param(name, marks=needs_coco if name.startswith("bbob") else ()) for name in names]


def sample(name: str) -> list[suites.Instance]:
    """All instances of a suite, or, of the large ones of COCO, every seventh."""
    found = suites.load(name).instances()
    return found[::7] if name.startswith("bbob") else found


# ------------------------------------------------------------------------------------------------ every suite


@pytest.mark.parametrize("name", named(suites.SUITES))
def test_names_are_unique_and_safe_and_instances_travel(name: str) -> None:
    suite = suites.load(name)
    instances = suite.instances()
    assert suite.name == name and suite.unit in ("n", "n+1")
    assert len({instance.name for instance in instances}) == len(instances)
    for instance in instances:
        assert re.fullmatch(r"[a-z0-9-]+", instance.name)
        assert instance.suite == name and instance.n in suite.dimensions
        assert pickle.loads(pickle.dumps(instance)) == instance


@pytest.mark.parametrize("name", named(suites.SUITES))
def test_problems_are_what_the_instance_says(name: str) -> None:
    for instance in sample(name):
        problem = instance.problem()
        assert problem.n == instance.n
        if name != "networks":  # these keep their own name and sense
            assert problem.name == instance.title and problem.sense == "minimize"


@pytest.mark.parametrize("name", named(suites.SUITES))
def test_known_optimum_is_attained_and_no_start_is_better(name: str) -> None:
    if name == "networks":
        pytest.skip("the plug-ins' own tests verify their optima")
    for instance in sample(name):
        problem, known = instance.problem(), instance.problem().known
        if known is None:
            assert name in ("more-wild-noisy", "more-wild-nonsmooth")
            continue
        starts = np.stack([instance.start(seed) for seed in range(3)])
        f, C = problem.outer(starts, starts)
        exact = f if problem.verify is None else np.array([problem.verify(x) for x in starts])
        feasible = np.all(C <= 0.0, axis=1) & np.isfinite(exact)
        assert np.all(exact[feasible] >= known.value), instance.title
        if known.x is None:
            continue
        assert problem.space.contains(known.x), instance.title
        value, columns = problem.outer(known.x[None], known.x[None])
        assert np.all(columns <= 1e-12), instance.title
        attained = value[0] if problem.verify is None else problem.verify(known.x)
        assert attained == pytest.approx(known.value, rel=1e-12, abs=1e-12), instance.title


@pytest.mark.parametrize(
    "name", named(["bbob", "bbob-constrained", "bbob-mixint", "mixed-integer", "scalable", "noisy"])
)
def test_starts_are_random_repeatable_and_in_the_space(name: str) -> None:
    for instance in [i for i in sample(name) if i.n <= 50][:40]:
        space = instance.problem().space
        first, again, second = instance.start(0), instance.start(0), instance.start(1)
        assert np.array_equal(first, again) and space.contains(first) and space.contains(second)
        assert not np.array_equal(first, second) or np.all(space.granularity > 0.0)
        assert np.array_equal(instance.problem(seed=1).x0, second[None])


def test_starts_differ_between_instances() -> None:
    a, b = suites.load("scalable").instances(n=[5], only=["ellipsoid-*"])[:2]
    assert not np.allclose(a.start(0), b.start(0))


def test_own_starts_are_used_whatever_the_seed() -> None:
    instance = suites.load("more-wild").instances(only=["helical-valley"])[1]
    assert instance.start(0).tolist() == instance.start(17).tolist() == [-10.0, 0.0, 0.0]


def test_unbounded_problem_without_start_is_refused() -> None:
    instance = suites.Instance("mine", "free", "free", 1, free_problem)
    with pytest.raises(ValueError, match="`mine/free` must have finite bounds or a start of its own"):
        instance.start(0)


def free_problem(title: str) -> da.Problem:
    return da.Problem(objective=lambda x: x[:, 0] ** 2, space=da.Box([None], [None]), sense="minimize", name=title)


def test_selection() -> None:
    suite = suites.load("scalable")
    assert {i.n for i in suite.instances(n=[7])} == {7}
    assert {i.group for i in suite.instances(n=[7], only=["l1", "max-*"])} == {"l1", "max-linear"}
    assert [i.name for i in suite.instances(n=[7], only=["l1-n7-i2"])] == ["l1-n7-i2"]
    with pytest.raises(ValueError, match=r"Suite `scalable` has no instance or group `l2`; groups: ellipsoid, "):
        suite.instances(only=["l1", "l2"])
    with pytest.raises(ValueError, match=r"Suite `more-wild` has no instances with n in \[13\]"):
        suites.load("more-wild").instances(n=[13])
    with pytest.raises(ValueError, match="Unknown suite `bbbo`; known: bbob, "):
        suites.load("bbbo")


def test_budgets() -> None:
    assert suites.load("scalable").budget(100) == 5000
    assert suites.load("more-wild").budget(4) == 250
    assert suites.load("more-wild").budget(4, multiple=0.5) == 3


# ------------------------------------------------------------------------------------------------ COCO


@needs_coco
def test_bbob_equals_cocos_own_suite() -> None:
    from benchmarks.suites.coco import BareFunction, SuiteProblem, optimum

    X = np.random.default_rng(0).uniform(-5.0, 5.0, (4, 5))
    for function in range(1, 25):
        bare = BareFunction(function, 5, 3)
        assert np.array_equal(bare(X), SuiteProblem("bbob", function, 5, 3).objective(X))
        assert bare.best_value() == pytest.approx(optimum("bbob", function, 5, 3)[0], rel=1e-12)
        assert np.array_equal(pickle.loads(pickle.dumps(bare))(X), bare(X))


@needs_coco
def test_reading_the_optimum_leaves_no_file(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    from pathlib import Path

    from benchmarks.suites.coco import optimum

    monkeypatch.chdir(str(tmp_path))
    optimum.__wrapped__("bbob-constrained", 3, 2, 1)
    assert Path.cwd() == Path(str(tmp_path)) and not list(Path.cwd().iterdir())


@needs_coco
@pytest.mark.parametrize("n", [2, 5, 10])
def test_numbers_of_constraints(n: int) -> None:
    levels = [1, 3, 9, 9 + 3 * n // 4, 9 + 3 * n // 2, 9 + 9 * n // 2]
    for instance in suites.load("bbob-constrained").instances(n=[n], only=["*-i1"]):
        problem = instance.problem()
        problem.outer(instance.start(0)[None], instance.start(0)[None])
        assert problem.p == levels[(int(instance.name[1:3]) - 1) % 6]


@needs_coco
def test_constrained_optimum_is_best_among_feasible_neighbours() -> None:
    rng = np.random.default_rng(0)
    for instance in suites.load("bbob-constrained").instances(n=[2], only=["*-i1"]):
        problem = instance.problem()
        assert problem.known is not None and problem.known.x is not None
        for radius in (1e-3, 1e-1, 2.0):
            X = np.clip(problem.known.x + radius * rng.standard_normal((300, 2)), -5.0, 5.0)
            f, C = problem.outer(X, X)
            assert np.all(f[np.all(C <= 0.0, axis=1)] >= problem.known.value), instance.title


def test_missing_cocoex_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cocoex", None)
    instance = suites.load("bbob").instances(n=[2])[0]
    with pytest.raises(ImportError, match=r"The COCO suites need cocoex. Install `dfoattack\[bench\]`"):
        instance.problem()


# ------------------------------------------------------------------------------------------------ Moré and Wild

# f at the start: smooth, noisy, nonsmooth, as printed by the authors' own programs.
PUBLISHED = """
1 7.20000e+01 7.19428e+01 5.40000e+01
2 1.12500e+03 1.12405e+03 2.25000e+02
3 1.16542e+07 1.16443e+07 1.76050e+04
4 1.16859e+09 1.16771e+09 1.76365e+05
5 4.98920e+06 4.98494e+06 1.11890e+04
6 5.00936e+08 5.00558e+08 1.12169e+05
7 2.42000e+01 2.41953e+01 6.60000e+00
8 1.79577e+06 1.79407e+06 1.35300e+03
9 2.50000e+03 2.50215e+03 5.00000e+01
10 1.06000e+04 1.05909e+04 1.40000e+02
11 2.15000e+02 2.15057e+02 2.28852e+01
12 1.61540e+06 1.61525e+06 1.45727e+03
13 4.00500e+02 4.00899e+02 2.40000e+01
14 1.54575e+08 1.54489e+08 1.73760e+04
15 4.16817e+01 4.16979e+01 2.18829e+01
16 1.30623e+03 1.30579e+03 1.39339e+02
17 5.31317e-03 5.31185e-03 1.95153e-01
18 1.69361e+09 1.69338e+09 1.33046e+05
19 1.64308e+01 1.64338e+01 1.58545e+01
20 2.32337e+06 2.32392e+06 5.42767e+03
21 2.69042e+01 2.69298e+01 2.24125e+01
22 8.15888e+06 8.16061e+06 8.54458e+03
23 7.36782e+01 7.36733e+01 3.43398e+01
24 2.05938e+07 2.05759e+07 1.18978e+04
25 1.03115e+03 1.03165e+03 9.91512e+01
26 4.17131e+03 4.17513e+03 1.20588e+02
27 7.92669e+06 7.92937e+06 1.13038e+04
28 3.08106e+11 3.08386e+11 2.41278e+06
29 4.64282e-02 4.63839e-02 3.29087e-01
30 3.37706e-02 3.37880e-02 2.75893e-01
31 3.86177e-02 3.86560e-02 3.46953e-01
32 2.88830e-02 2.88622e-02 2.91449e-01
33 3.37633e-02 3.37317e-02 3.53857e-01
34 2.67406e-02 2.67299e-02 3.16982e-01
35 2.73248e+02 2.73508e+02 5.04990e+01
36 1.61741e+01 1.61588e+01 1.63733e+01
37 2.09342e+00 2.09278e+00 9.60594e+00
38 1.99685e+02 1.99878e+02 5.49148e+01
39 9.04000e+02 9.03152e+02 6.40000e+01
40 1.35600e+03 1.35466e+03 9.60000e+01
41 1.58200e+03 1.58097e+03 1.12000e+02
42 1.80800e+03 1.80885e+03 1.28000e+02
43 5.65000e+01 5.65201e+01 1.55000e+01
44 7.05625e+01 7.05752e+01 1.92500e+01
45 9.86875e+01 9.87522e+01 2.67500e+01
46 2.53908e+09 2.53762e+09 1.12235e+05
47 6.87380e+12 6.87417e+12 5.83904e+06
48 3.36796e+09 3.36590e+09 1.62440e+05
49 3.73513e+09 3.73726e+09 1.90072e+05
50 3.99107e+09 3.98712e+09 2.13528e+05
51 1.13001e+13 1.12997e+13 1.13405e+07
52 9.38567e+00 9.37970e+00 4.92225e+00
53 3.36582e+10 3.36341e+10 2.64839e+05
"""


def test_published_start_values() -> None:
    rows = [line.split() for line in PUBLISHED.strip().splitlines()]
    for column, name in enumerate(("more-wild", "more-wild-noisy", "more-wild-nonsmooth"), start=1):
        instances = suites.load(name).instances()
        assert len(instances) == len(rows) == 53
        for instance, row in zip(instances, rows, strict=True):
            problem = instance.problem()
            value = problem.objective(instance.start(0)[None])[0]
            assert float(f"{value:.5e}") == pytest.approx(float(row[column]), rel=1.1e-5), instance.title


LOCAL_FROM_THE_START = {"freudenstein-roth": 48.98425367924}


@pytest.mark.parametrize("row", more_wild.ROWS, ids=lambda row: f"{row.function}-{row.n}")
def test_minimum_is_where_levenberg_and_marquardt_end(row: more_wild.Row) -> None:
    def residuals(x: np.ndarray) -> np.ndarray:
        return more_wild.FUNCTIONS[row.function][0](x[None], row.m)[0]

    x = more_wild.standard_start(row.function, row.n, 0)
    for _ in range(2):
        scale = np.maximum(np.abs(x), 1e-3)
        x = least_squares(residuals, x, method="lm", x_scale=scale, xtol=1e-15, ftol=1e-15, gtol=1e-15).x
    value = float(np.sum(residuals(x) ** 2))
    expected = LOCAL_FROM_THE_START.get(row.function, row.minimum)
    assert value == pytest.approx(expected, rel=1e-6, abs=1e-15)
    assert value >= row.minimum * (1.0 - 1e-12)


def test_noise_is_deterministic_and_small() -> None:
    X = np.random.default_rng(1).uniform(-3.0, 3.0, (500, 4))
    phi = more_wild.oscillation(X)
    assert np.array_equal(phi, more_wild.oscillation(X.copy()))
    assert np.all(np.abs(phi) <= 1.0) and phi.min() < -0.9 and phi.max() > 0.9
    smooth, rough = more_wild.SumOfSquares("powell-singular", 4)(X), more_wild.Noisy("powell-singular", 4)(X)
    assert np.allclose(rough / smooth - 1.0, 1e-3 * phi, atol=1e-14)


def test_batches_equal_single_points() -> None:
    for name in ("more-wild", "more-wild-noisy", "more-wild-nonsmooth"):
        for instance in suites.load(name).instances():
            problem = instance.problem()
            X = instance.start(0) * np.array([[1.0], [0.9], [1.2]])
            single = [problem.objective(x[None])[0] for x in X]
            assert problem.objective(X) == pytest.approx(single, rel=1e-12), instance.title


def test_overflow_gives_no_warning() -> None:
    for instance in suites.load("more-wild").instances():
        far = np.array([np.full(instance.n, 1e200), np.full(instance.n, -1e200), np.zeros(instance.n)])
        assert instance.problem().objective(far).shape == (3,)  # warnings are errors here


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
    points = np.stack([centre, centre + [0.24, 0, 0, 0], centre + [0.26, 0, 0, 0], np.zeros(4)])
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


# ------------------------------------------------------------------------------------------------ with the solver


@pytest.mark.parametrize(
    ("suite", "name"), [("more-wild", "07-rosenbrock-n2"), ("textbook", "g08"), ("mixed-integer", "kocis-1")]
)
def test_solver_reaches_the_known_value(suite: str, name: str) -> None:
    instance = suites.load(suite).instances(only=[name])[0]
    problem = instance.problem(seed=0)
    assert problem.known is not None
    result = da.solve(problem, budget=600, seed=0)
    assert result.maxcv <= 1e-6
    assert result.fun == pytest.approx(problem.known.value, abs=1e-3)
