"""Summaries of a log, and the figure of a run."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack import plots
from dfoattack.constraint_status import Group, constraint_rows, groups_of
from dfoattack.result import Records
from dfoattack.summary import best_row, improvements, step_shares

NAN, INF = float("nan"), float("inf")


def records(fun: list[float], maxcv: list[float], step: str, C: Any = None) -> Records:
    n = len(fun)
    status = np.array([0 if np.isfinite(v) else 1 for v in maxcv], dtype=np.int8)
    return Records(
        x=np.zeros((n, 1)),
        fun=np.array(fun),
        constraints=np.zeros((n, 0)) if C is None else np.array(C),
        maxcv=np.array(maxcv),
        status=status,
        step=tuple({"s": "start", "p": "poll", "a": "attack"}[letter] for letter in step),
        iteration=np.arange(n),
    )


# ---------------------------------------------------------------- summaries


def test_improvements_are_by_violation_first_and_then_by_value() -> None:
    log = records([9, 8, 7, 1, 3, 2, NAN, 4], [2, 3, 1, 0, 0, 0, INF, 0], "spppaapp")
    assert improvements(log, "maximize").tolist() == [0, 2, 3, 4, 7]
    assert improvements(log, "minimize").tolist() == [0, 2, 3]
    assert best_row(log, "maximize") == 7 and best_row(log, "minimize") == 3


def test_shares_of_the_gain_are_counted_from_the_first_feasible_point() -> None:
    log = records([9, 1, 2, 5, 5], [1, 0, 0, 0, 0], "sppaa")
    shares = {share.step: share for share in step_shares(log, "maximize")}
    assert list(shares) == ["start", "poll", "attack"]
    assert [shares[name].gain for name in shares] == [0.0, 0.25, 0.75]
    assert [shares[name].points for name in shares] == [1, 2, 2]
    assert [shares[name].improvements for name in shares] == [1, 2, 1]


def test_without_a_feasible_point_the_violation_is_what_is_gained() -> None:
    log = records([0, 0, 0, NAN], [5, 4, 1, INF], "spap")
    shares = {share.step: share for share in step_shares(log, "minimize")}
    assert shares["poll"].gain == 0.25 and shares["attack"].gain == 0.75 and shares["poll"].failed == 1
    assert best_row(log, "minimize") == 2


@pytest.mark.parametrize("maxcv", [[INF, INF], [0.0, 0.0]])
def test_no_gain_at_all(maxcv: list[float]) -> None:
    value = 1.0 if np.isfinite(maxcv[0]) else NAN
    assert all(np.isnan(share.gain) for share in step_shares(records([value, value], maxcv, "sp"), "minimize"))
    assert best_row(records([], [], ""), "minimize") == -1 and step_shares(records([], [], ""), "minimize") == []


def test_the_worst_column_of_every_constraint() -> None:
    groups = (Group("a", "progressive", 0.0, 2), Group("none", "extreme", 0.0, 0), Group("b", "extreme", 0.5, 1))
    C = np.array([[-1000.0, -4.0, 0.2], [-0.05, -1.0, 0.5], [0.1, 0.3, 0.4], [NAN, NAN, NAN]])
    first, active, violated = (constraint_rows(groups, C, row) for row in range(3))
    assert [(r.group.name, r.column, r.state) for r in first] == [("a", 0, "satisfied"), ("b", 0, "satisfied")]
    assert [(r.column, r.state) for r in active] == [(0, "active"), (0, "active")]
    assert (violated[0].column, violated[0].value, violated[0].state) == (1, 0.3, "violated")
    assert constraint_rows((), C, 0) == [] and constraint_rows(groups[:1], C, 0) == []


# ---------------------------------------------------------------- figures


def disc(**more: Any) -> da.Problem:
    return da.Problem(
        name="disc",
        objective=lambda y: y.sum(1),
        constraints=da.Constraint(lambda x, y: (x**2).sum(1) - 1.0, name="disc"),
        space=da.Box([-2, -2], [2, 2]),
        x0=[1.5, 1.5],
        **more,
    )


@pytest.fixture(scope="module")
def result() -> da.Result:
    return da.solve(disc(), budget=80)


def texts(figure: Any) -> list[str]:
    matplotlib_text = importlib.import_module("matplotlib.text")
    return [text.get_text() for text in figure.findobj(matplotlib_text.Text)]


def test_the_figure_tells_what_was_found(result: da.Result) -> None:
    pytest.importorskip("matplotlib")
    figure = plots.draw(result, disc(known=da.Known(2**0.5, kind="exact")))
    top, bottom = figure.axes
    words = texts(figure)
    assert f"disc: best feasible f = {result.fun:.7g} at evaluation {result.best_index + 1}" in words
    assert {"start", "poll", "infeasible", "best so far", "points", "gain"} <= set(words)
    assert top.get_xlim()[1] >= 80 and top.get_ylim()[0] < result.fun < top.get_ylim()[1]
    (line,) = (line for line in top.lines if line.get_label() == "best so far")
    assert np.array_equal(line.get_ydata(), result.records.best_so_far("maximize"), equal_nan=True)
    shares = step_shares(result.records, "maximize")
    assert len(bottom.patches) == len(shares) + sum(share.gain > 0 for share in shares)


def test_every_point_is_drawn_once_in_the_colour_of_its_step(result: da.Result) -> None:
    colors = pytest.importorskip("matplotlib.colors")
    axes = plots.draw(result, disc()).axes[0]
    drawn: dict[str, int] = {}
    hollow = 0
    for marks in axes.collections:
        count = len(marks.get_offsets())
        if count:
            colour = colors.to_hex(marks.get_edgecolors()[0])
            drawn[colour] = drawn.get(colour, 0) + count
            hollow += count if not len(marks.get_facecolors()) else 0
    steps = list(result.records.step)
    assert drawn == {plots.COLOURS[name]: steps.count(name) for name in dict.fromkeys(steps)}
    assert hollow == int(np.sum(result.records.maxcv > 0))


def test_the_picture_of_the_problem_stands_beside(result: da.Result) -> None:
    pytest.importorskip("matplotlib")
    seen = []

    def picture(found: da.Result, figure: Any) -> None:
        seen.append(found)
        figure.subplots().set_title("a circle")

    figure = plots.draw(result, disc(picture=picture))
    assert seen == [result] and "a circle" in texts(figure)


def test_a_picture_that_raises_is_told_and_does_no_harm(result: da.Result, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")

    def picture(found: da.Result, figure: Any) -> None:
        figure.subplots()
        raise KeyError("no wind")

    problem = disc(picture=picture)
    assert any("could not be drawn" in text and "no wind" in text for text in texts(plots.draw(result, problem)))
    plots.save(tmp_path / "run.png", result, problem)


def hole(y: np.ndarray) -> np.ndarray:
    return np.where(y[:, 0] > 0.2, np.nan, y[:, 0])


@pytest.mark.parametrize(
    ("problem", "word"),
    [
        (da.Problem(objective=hole, space=[(-1, 1)], x0=[0.0], sense="minimize"), "failed"),
        (da.Problem(objective=hole, space=[(0.5, 1)]), "no feasible point"),
        (da.Problem(objective=lambda y: y[:, 0], constraints=lambda y: y[:, 0] ** 2 + 1, space=[(-1, 1)]), "violation"),
        (da.Problem(objective=lambda y: 0.0 * y[:, 0] + 7.0, space=[(-1, 1)], x0=[0.0]), "nothing improved"),
        (da.Problem(objective=lambda y: 1e300 * y[:, 0], space=[(-1, 1)], x0=[0.0]), "best feasible"),
        (da.Problem(objective=lambda y: y[:, 0], space=[(1, 1)], x0=[1.0]), "best feasible"),
    ],
)
def test_strange_runs_have_a_figure_too(problem: da.Problem, word: str, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = da.solve(problem, budget=15, options={"searches": ()})
    assert any(word in text for text in texts(plots.draw(result, problem)))
    plots.save(tmp_path / "run.png", result, problem)
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(("value", "arrow"), [(1e3, "\u2191"), (-1e3, "\u2193")])
def test_a_known_value_out_of_sight_is_a_remark(result: da.Result, value: float, arrow: str) -> None:
    pytest.importorskip("matplotlib")
    figure = plots.draw(result, disc(known=da.Known(value)))
    assert f"best known {value:.6g} {arrow}" in texts(figure)
    assert figure.axes[0].get_ylim()[1] < 100


@pytest.mark.parametrize("suffix", plots.SUFFIXES)
def test_save_leaves_matplotlib_as_it_was(result: da.Result, tmp_path: Path, suffix: str) -> None:
    matplotlib = pytest.importorskip("matplotlib")
    before, loaded = dict(matplotlib.rcParams), "matplotlib.pyplot" in sys.modules
    plots.save(tmp_path / f"run{suffix}", result, disc())
    assert (tmp_path / f"run{suffix}").stat().st_size > 1000
    assert dict(matplotlib.rcParams) == before
    assert loaded or "matplotlib.pyplot" not in sys.modules  # no window system is woken


def test_targets_are_checked_before_a_run(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(da.OptionError, match=r"must be a file ending in \.png, \.pdf, \.svg, got 'run\.bmp'"):
        plots.check_target("run.bmp")
    with pytest.raises(da.OptionError, match="must lie in an existing folder"):
        plots.check_target(tmp_path / "no" / "run.png")


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    genuine = importlib.import_module

    def hidden(name: str, package: str | None = None) -> Any:
        if name.partition(".")[0] == "matplotlib":
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")
        return genuine(name, package)

    monkeypatch.setattr(importlib, "import_module", hidden)
    with pytest.raises(da.MissingExtraError, match=r"Install `dfoattack\[plot\]`") as caught:
        plots.check_target("run.png")
    assert isinstance(caught.value, ImportError)


def test_groups_follow_the_problem() -> None:
    problem = disc()
    assert groups_of(problem) == ()
    problem.outer(np.zeros((1, 2)), np.zeros((1, 2)))
    assert groups_of(problem) == (Group("disc", "progressive", 0.0, 1),)
