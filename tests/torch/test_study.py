"""The directional-attack study: its methods by their rules, what each slip does, traces, and the command."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import dfoattack as da  # noqa: E402
from benchmarks import baselines  # noqa: E402
from dfoattack_problems.study import run, settings, tables  # noqa: E402
from dfoattack_problems.study.books import Books, sufficient  # noqa: E402
from dfoattack_problems.study.published import (  # noqa: E402
    METHODS,
    SLIPS,
    Radii,
    Rules,
    ascent_direction,
    poll_directions,
    run_method,
)
from dfoattack_problems.study.trace import Trace, of_books, of_solver  # noqa: E402


class Spy:
    """A smooth map R^n -> R^m with its vjp; counts rows."""

    def __init__(self, n: int, m: int) -> None:
        self.A = np.random.default_rng(3).normal(size=(m, n))
        self.forward_rows = self.backward_rows = 0

    def predict(self, X: np.ndarray) -> np.ndarray:
        self.forward_rows += len(X)
        return np.tanh(X @ self.A.T)

    def vjp(self, X: np.ndarray, V: np.ndarray) -> np.ndarray:
        self.backward_rows += len(X)
        return (V * (1.0 - np.tanh(X @ self.A.T) ** 2)) @ self.A

    def fingerprint(self) -> str:
        return "spy"


def problem_of(n: int = 4, m: int = 3, limit: float = 10.0) -> tuple[da.Problem, Spy]:
    """Maximise the sum of squares of the outputs plus their sum; |x|^2 <= limit."""
    spy = Spy(n, m)
    problem = da.Problem(
        surrogate=spy,
        objective=lambda y: (y**2).sum(1) + y.sum(1),
        objective_grad=lambda y: 2.0 * y + 1.0,
        constraints=[
            da.Constraint(lambda x, y: (x**2).sum(1) - limit, name="ball", grad=lambda X, Y, W: (2.0 * W * X, None))
        ],
        space=da.Box([-2.0] * n, [2.0] * n),
        x0=[0.1] * n,
        backend="numpy",
    )
    return problem, spy


@pytest.mark.parametrize("n", [1, 2, 3, 4, 8, 16, 33])
def test_the_published_poll_has_half_the_rank_and_the_right_one_spans_positively(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(20):
        full, half = poll_directions(n, False, rng), poll_directions(n, True, rng)
        assert full.shape == (2 * n, n) and half.shape == (n + 1, n)
        assert np.linalg.matrix_rank(full) == n
        assert np.linalg.matrix_rank(half) == min(n, n // 2 + 1)
        assert np.allclose(full.sum(0), 0.0)  # with full rank: positively spanning


def test_without_slips_the_direction_is_the_gradient_of_the_score() -> None:
    for limit, walls in ((10.0, True), (0.01, True), (0.01, False)):
        problem, _ = problem_of(limit=limit)
        rules = dataclasses.replace(Rules.right(), walls=walls)
        books = Books(problem, 1e9, scale=np.array([3.0]), barrier=not walls)
        point = books.evaluate(problem.x0[0], "start", 0)
        g = ascent_direction(books, point, rules)
        part = 1 if walls or limit > 1 else 0
        for j in range(4):
            shift = np.zeros(4)
            shift[j] = 1e-6
            high, low = (books.evaluate(point.x + s * shift, "probe", 0).score[part] for s in (1, -1))
            assert g[j] == pytest.approx((high - low) / 2e-6, rel=1e-5, abs=1e-8)


def test_the_centred_direction_loses_the_mean_of_the_output_gradient_and_dies_with_one_output() -> None:
    problem, spy = problem_of(limit=0.01)
    books = Books(problem, 1e9, scale=np.array([3.0]))
    point = books.evaluate(problem.x0[0], "start", 0)
    # A naive twin: the Jacobian of (y, max(3 c, 0)) times the centred gradient.
    J = np.vstack([(1.0 - point.y[:, None] ** 2) * spy.A, 3.0 * 2.0 * point.x[None]])
    u = np.concatenate([2.0 * point.y + 1.0, [-2.0 * 3.0 * point.c[0]]])
    g = ascent_direction(books, point, dataclasses.replace(Rules.right(), direction=True, walls=True))
    assert np.allclose(g, J.T @ (u - u.mean()))
    single = da.Problem(
        surrogate=Spy(4, 1),
        objective=lambda y: (y**2).sum(1) + y.sum(1),
        objective_grad=lambda y: 2.0 * y + 1.0,
        space=da.Box([-2.0] * 4, [2.0] * 4),
        x0=[0.1] * 4,
        backend="numpy",
    )
    books = Books(single, 1e9)
    point = books.evaluate(single.x0[0], "start", 0)
    assert not ascent_direction(books, point, Rules()).any()
    assert ascent_direction(books, point, Rules.right()).any()
    assert len(run_method("attacks", single, 200, 0, rules=Rules()).rows) == 1
    assert len(run_method("attacks", single, 200, 0, rules=Rules.right()).rows) > 10


def test_detached_constraints_and_a_wrong_gradient_are_followed_when_asked_for() -> None:
    problem, spy = problem_of(limit=0.01)
    books = Books(problem, 1e9)
    point = books.evaluate(problem.x0[0], "start", 0)
    blind = dataclasses.replace(Rules.right(), gradient=True, walls=True)
    J = (1.0 - point.y[:, None] ** 2) * spy.A
    assert np.allclose(ascent_direction(books, point, blind), J.T @ (2.0 * point.y + 1.0))
    wrong = ascent_direction(books, point, blind, lambda y: np.array([1.0, 0.0, 0.0]))
    assert np.allclose(wrong, J[0])


@pytest.mark.parametrize("method", list(METHODS))
@pytest.mark.parametrize("rules", [Rules(), Rules.right()], ids=["published", "mended"])
def test_every_call_is_counted_and_runs_repeat(method: str, rules: Rules) -> None:
    problem, spy = problem_of()
    books = run_method(method, problem, 300, 5, rules=rules)
    assert (spy.forward_rows, spy.backward_rows) == (books.nfev, books.ngev) == (len(books.rows), books.ngev)
    assert books.spent == books.nfev + 2.0 * books.ngev <= 300.0
    again = run_method(method, problem_of()[0], 300, 5, rules=rules)
    assert [row[0] for row in again.rows] == [row[0] for row in books.rows]
    first, best = books.rows[0][0], max(row[0] for row in books.rows)
    assert best > first
    X = np.array(books.points)
    assert X.min() >= -2.0 and X.max() <= 2.0


def test_the_barrier_ends_feasible_where_the_penalty_does_not() -> None:
    """A weak penalty: its best point is outside."""
    ends = {}
    for walls in (True, False):
        problem, _ = problem_of(limit=0.3)
        books = run_method(
            "cdsm", problem, 600, 0, rules=dataclasses.replace(Rules.right(), walls=walls), scale=np.array([0.3])
        )
        c = [float((x**2).sum()) - 0.3 for x in books.points]
        scores = [books.score(row[0], np.array([value])) for row, value in zip(books.rows, c, strict=True)]
        ends[walls] = books.rows[scores.index(max(scores))][1]
    assert ends[True] > 1e-3 and ends[False] == 0.0


def test_sufficient_is_a_thousandth_of_the_value_whatever_the_step() -> None:
    assert sufficient((0.0, 1.01), (0.0, 1.0)) and not sufficient((0.0, 1.0001), (0.0, 1.0))
    assert sufficient((0.0, 1e-9), (0.0, 0.0)), "the test that starves the poll as the value goes to 0"
    assert sufficient((-1.0, -50.0), (-2.0, 3.0)) and not sufficient((-2.0, 9.0), (-1.0, 0.0))


def test_radii_are_the_published_ones_by_name() -> None:
    problem, _ = problem_of()
    assert Radii.of(problem) == Radii(0.4, (4e-7, 4.0), (4e-7, 4.0))
    problem.name = "biodiesel"
    assert Radii.of(problem) == Radii(1e-3, (1e-6, 1.0), (1e-6, 0.1))


def test_traces_keep_everything_and_tell_best_and_improving(tmp_path: Path) -> None:
    problem, _ = problem_of(limit=1.0)
    books = run_method("hybrid", problem, 200, 1, rules=Rules.right())
    for trace in (of_books(books, 1.0), of_solver(problem, 120, 0)):
        trace.save(tmp_path / "t.npz")
        again = Trace.load(tmp_path / "t.npz")
        for name, value in vars(trace).items():
            assert np.array_equal(getattr(again, name), value), name
        best, best_h, improving = -np.inf, np.inf, []
        for f, h in zip(trace.f, trace.violation, strict=True):
            better = h < best_h if best_h > 0.0 else (h <= 0.0 and f > best)
            improving.append(better)
            if better:
                best_h, best = min(best_h, h), f if h <= 0.0 else -np.inf
        assert trace.improving().tolist() == improving
        assert np.nanmax(trace.best()) == max(f for f, h in zip(trace.f, trace.violation, strict=True) if h <= 1e-9)
        assert np.all(np.diff(trace.spent) >= 0.99) and len(trace.moves) == sum(improving)
        assert tables.work_to(trace, float(trace.best()[-1])) <= trace.spent[-1]
        assert tables.work_to(trace, 1e9) == np.inf


@pytest.mark.slow
def test_the_command_writes_tables_and_pictures_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    small = dataclasses.replace(settings.SETTINGS["biodiesel"], budgets=(40.0, 40.0))
    monkeypatch.setitem(settings.SETTINGS, "biodiesel", small)
    seen: list[tuple[int, int, str]] = []
    run.run_biodiesel(tmp_path, quick=True, seeds=1, progress=lambda *part: seen.append(part))
    assert [part[0] for part in seen] == list(range(1, 6 + len(SLIPS) + 1))
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"runs", "results.md", "value.png", "steps.png", "time.png", "attack.png", "solution.png"}
    text = (tmp_path / "results.md").read_text()
    for method in settings.MAIN:
        assert f"| {method} |" in text
    assert "a quarter" in text and "with the slip `poll`" in text
    files = list((tmp_path / "runs").iterdir())
    stamps = {path: path.stat().st_mtime_ns for path in files}
    files[0].unlink()
    run.run_biodiesel(tmp_path, quick=True, seeds=1, progress=lambda *part: None)
    assert files[0].exists()
    (tmp_path / "results.md").unlink()
    run.run_biodiesel(tmp_path, quick=True, seeds=1, progress=lambda *part: None)
    assert (tmp_path / "results.md").exists()
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items() if path != files[0])


@pytest.mark.parametrize("solver", ["study-line-search", "study-cdsm", "study-attacks", "study-hybrid:poll=False"])
def test_the_arena_can_run_the_methods_and_counts_their_gradients(solver: str) -> None:
    problem, spy = problem_of()
    log = baselines.load(solver).run(problem, 150.0, 0, 2.0)
    assert not log.error
    assert log.ngev == spy.backward_rows and log.nphi == spy.forward_rows
    assert log.nphi + 2.0 * log.ngev <= 150.0
    assert (log.ngev > 0) == ("attacks" in solver or "hybrid" in solver)
    with pytest.raises(ValueError, match="study's methods are poll"):
        baselines.load("study-hybrid:speed=3")
    blind = da.Problem(objective=lambda y: y.sum(1), space=[(-1, 1)] * 2, x0=[0.0, 0.0])
    with pytest.raises(ValueError, match="needs gradients"):
        run_method("hybrid", blind, 10, 0)


def test_the_map_study_knows_the_published_gradient_and_it_is_wrong() -> None:
    setting: Any = settings.SETTINGS["counterfactual-map"]
    problem = setting.make(True)
    wrong = setting.wrong_gradient(problem)
    y = problem.forward(problem.x0)[0]
    assert np.allclose(wrong(y)[:64], 0.0)
    assert np.allclose(wrong(y)[64:], -2e-4 * (1.0 + y[64:].sum() - y[64:]))
    assert wrong(y)[64:].max() < -0.01, "the true gradient is zero at the start"
