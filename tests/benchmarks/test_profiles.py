"""Profiles, ECDFs and intervals on tables small enough to be done by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.arena import profiles
from benchmarks.arena.cells import Cell
from benchmarks.arena.compare import compare
from benchmarks.arena.document import Table, markdown
from benchmarks.arena.slices import slices_of
from benchmarks.arena.store import Run, Store
from benchmarks.arena.tables import by_group, by_n, coverage, feasibility, finals, shares

INF = np.inf


def made(
    solver: str,
    at: list[float],
    value: list[float],
    *,
    instance: str = "a",
    seed: int = 0,
    n: int = 2,
    f_opt: float | None = 0.0,
    loose: tuple[list[float], list[float]] | None = None,
    constraints: int = 0,
    session: int = 1,
    budget: float = 100.0,
    cpu: float = 0.5,
) -> Run:
    """A run with that staircase."""
    strict = (np.array(at), np.array(value))
    curves = {"strict": strict, "loose": strict if loose is None else (np.array(loose[0]), np.array(loose[1]))}
    curves["violation"] = (np.empty(0), np.empty(0))
    return Run(
        cell=Cell("s", instance, f"group {instance}", n, solver, seed, budget, 2.0),
        unit="n",
        status="ok",
        f_opt=f_opt,
        constraints=constraints,
        spent=budget,
        nfev=int(budget),
        nphi=int(budget),
        ngev=0,
        hits=0,
        cpu=cpu,
        cpu_user=0.1,
        user=0.1,
        wall=1.0,
        setup=2.0,
        configuration=f"made by hand, {solver}",
        notes=(),
        curves=curves,
        session=session,
        commit="abc",
    )


def test_first_hits() -> None:
    at, value = np.array([1.0, 5.0, 9.0]), np.array([3.0, 1.0, 0.5])
    levels = np.array([4.0, 3.0, 2.0, 1.0, 0.5, 0.4, np.nan])
    assert profiles.first_hits(at, value, levels).tolist() == [1.0, 1.0, 5.0, 5.0, 9.0, INF, INF]
    assert profiles.first_hits(np.empty(0), np.empty(0), levels[:2]).tolist() == [INF, INF]
    assert profiles.values_at(at, value, np.array([0.5, 1.0, 6.0, 99.0])).tolist() == [INF, 3.0, 1.0, 0.5]


def test_profiles_by_hand() -> None:
    # two solvers, four problems; nobody solves the last
    times = np.array([[2.0, 10.0, INF, INF], [4.0, 5.0, 8.0, INF]])
    grid = np.array([1.0, 4.0, 5.0, 10.0])
    assert profiles.data_profile(times, grid).tolist() == [[0.0, 0.25, 0.25, 0.5], [0.0, 0.25, 0.5, 0.75]]
    ratios = np.array([1.0, 1.5, 2.0])
    assert profiles.performance_profile(times, ratios).tolist() == [[0.25, 0.25, 0.5], [0.5, 0.5, 0.75]]


def test_ecdf_and_area_by_hand() -> None:
    times = np.array([[[1.0, 10.0], [100.0, INF]]])  # one solver, two problems, two targets; in multiples of n
    assert profiles.ecdf(times, np.array([0.9, 1.0, 10.0, 100.0])).tolist() == [[0.0, 0.25, 0.5, 0.75]]
    # from 1 to 10 a quarter, from 10 to 100 a half, of a width of two decades
    assert profiles.area(times, 100.0, points=20001)[0] == pytest.approx((0.25 + 0.5) / 2, abs=1e-4)
    assert len(profiles.TARGETS) == 51
    assert (profiles.TARGETS[0], profiles.TARGETS[-1]) == (100.0, 1e-8)
    assert set(profiles.SHORT_TARGETS) <= set(np.round(profiles.TARGETS, 12))


def test_levels_are_those_of_more_and_wild() -> None:
    levels = profiles.relative_levels(np.array([10.0, np.nan]), np.array([2.0, 0.0]), (1e-1, 0.5))
    np.testing.assert_allclose(levels[0], [2.0 + 0.1 * 8.0, 2.0 + 0.5 * 8.0])
    assert np.isnan(levels[1]).all()


def test_bootstrap_draws_instances_not_seeds() -> None:
    d = np.array([1.0, 1.0, 0.0, 0.0])
    mean, low, high = profiles.bootstrap(d, ["a", "a", "b", "b"])
    assert (mean, low, high) == (0.5, 0.0, 1.0)
    mean, low, high = profiles.bootstrap(np.full(6, 0.25), list("abcdef"))
    assert mean == low == high == 0.25
    alone = profiles.bootstrap(d, ["a"] * 4)
    assert alone == (0.5, -INF, INF)
    assert profiles.interval_text(alone) == "+0.500"
    wide = profiles.bootstrap(d, ["a", "b", "c", "d"])
    assert 0.0 <= wide[1] < 0.5 < wide[2] <= 1.0


def test_slices_hold_common_problems_and_the_best_known_level() -> None:
    runs = [
        made("dfoattack", [1.0, 20.0], [8.0, 1.0], f_opt=None),
        made("nomad", [1.0, 30.0], [8.0, 0.5], f_opt=None),
        made("nomad", [1.0], [8.0], instance="b", f_opt=None),
        # another budget's runs count for the level only
        made("nomad", [1.0, 400.0], [8.0, 0.0], f_opt=None, budget=500.0),
    ]
    short = next(p for p in slices_of(runs, {}) if p.multiple == 50.0)
    assert short.solvers == ("dfoattack", "nomad")
    assert short.keys == (("a", 2, 0),)
    assert short.dropped == {"dfoattack": 0, "nomad": 1}
    assert short.f_ref["strict"].tolist() == [0.0]
    assert short.f_start["strict"].tolist() == [8.0]
    assert not short.known
    reference = slices_of(runs, {("s", "a", 2): -3.0})[0]
    assert reference.f_ref["strict"].tolist() == [-3.0]
    with pytest.raises(ValueError, match="No problem was run by all"):
        slices_of([runs[0], runs[2]], {})


def test_the_first_feasible_value_is_the_worst_of_all_solvers() -> None:
    runs = [made("dfoattack", [3.0], [5.0], constraints=1), made("cobyqa", [9.0], [7.0], constraints=1)]
    runs += [made("random", [], [], constraints=1, loose=([2.0], [6.0]))]
    (part,) = slices_of(runs, {})
    assert part.f_start["strict"].tolist() == [7.0]
    assert part.f_start["loose"].tolist() == [7.0]
    assert part.times("strict", np.array([[7.0, 5.0]])).tolist() == [[[3.0, 3.0]], [[9.0, INF]], [[INF, INF]]]
    rows = {row[0]: row[1:] for row in feasibility(part).rows}
    assert rows["dfoattack"] == ("1.000", "3", "1.000", "3")
    assert rows["random"] == ("0.000", "-", "1.000", "2")


def table(t: Table) -> dict[str, dict[str, str]]:
    return {row[0]: dict(zip(t.columns[1:], row[1:], strict=True)) for row in t.rows}


def test_tables_show_shares_and_our_losses_in_bold() -> None:
    runs = [
        made("dfoattack", [1.0, 20.0], [50.0, 0.5]),  # hits 10 and 1
        made("nomad", [1.0, 40.0], [50.0, 1e-4]),  # hits 10, 1, .1 and 1e-3
        made("random", [1.0], [1e-9]),  # everything, but it is no rival
        made("dfoattack", [1.0, 2.0], [50.0, 0.0], instance="b"),
        made("nomad", [1.0, 90.0], [50.0, 5.0], instance="b"),
        made("random", [1.0], [50.0], instance="b"),
    ]
    (part,) = slices_of(runs, {})
    t = shares(part, "strict")
    cells = table(t)
    assert [cells["dfoattack"][c] for c in ("10", "1", "0.1", "0.001", "1e-05")] == ["1.000", "1.000", *["0.500"] * 3]
    assert [cells["nomad"][c] for c in ("10", "1", "0.1", "0.001", "1e-05")] == ["1.000", *["0.500"] * 3, "0.000"]
    assert cells["dfoattack"]["mean of five"] == "0.700"
    assert cells["nomad"]["mean of five"] == "0.500"
    # tau of f0 - f_opt = 50: 0.5 is within 1e-1 only, 1e-4 within 1e-5
    assert cells["nomad"]["tau 1e-05"] == "0.500"
    assert cells["dfoattack"]["tau 0.001"] == "0.500"
    assert not any(i == 0 and t.columns[j] in ("10", "1", "0.1") for i, j in t.bold)
    groups = by_group(part, "strict")
    assert table(groups)["group a"] == {"dfoattack": "0.400", "nomad": "0.800", "random": "1.000"}
    assert groups.bold == {(0, 1)}
    assert "| group a | **0.400** | 0.800 | 1.000 |" in markdown([groups])
    assert table(by_n([part], "strict"))["dfoattack"] == {"n=2, 50n": "0.700"}
    assert table(coverage([part]))["nomad"]["ended"] == "2 ok"


def test_a_few_instances_are_shown_one_by_one() -> None:
    runs = [made("dfoattack", [1.0, 9.0], [5.0, 1.0 + 5e-3], seed=s, f_opt=1.0) for s in range(3)]
    runs += [made("nomad", [1.0, 20.0 + s], [5.0, 1.0 + 10.0 ** -(3 + s)], seed=s, f_opt=1.0) for s in range(3)]
    (t,) = finals(slices_of(runs, {})[0], "strict")
    cells = table(t)
    assert cells["dfoattack"]["median gap"] == "0.005"
    assert cells["nomad"]["worst gap"] == "0.001"
    assert cells["nomad"]["evaluations to 1e-3"] == "21"
    assert cells["dfoattack"]["evaluations to 1e-3"] == "-"
    assert cells["dfoattack"]["within 1 %"] == "1.000"
    assert {t.columns[j] for i, j in t.bold if i == 0} >= {
        "median gap",
        "worst gap",
        "within 1e-3",
        "evaluations to 1e-3",
    }
    assert "evaluations to 1 %" not in {t.columns[j] for i, j in t.bold if i == 0}


def test_small_suites_are_taken_together_over_n() -> None:
    runs = [made("nomad", [1.0], [0.0], n=n, budget=50.0 * n) for n in (2, 3)]
    (part,) = slices_of(runs, {})
    assert part.label == "n=2-3, 50n"
    assert part.units.tolist() == [2.0, 3.0]
    assert set(table(by_n([part], "strict"))["nomad"]) == {"n=2, 50n", "n=3, 50n", "mean"}
    many = [made("nomad", [1.0], [0.0], n=n, budget=50.0 * n, instance=f"i{i}") for n in (2, 3) for i in range(15)]
    assert [p.label for p in slices_of(many, {})] == ["n=2, 50n", "n=3, 50n"]


def stored(folder: Path, runs: list[Run]) -> Path:
    about = {"date": "today", "machine": "m", "threads": "1", "versions": "python 3", "commit": "abc"}
    with Store(folder, create=True) as store:
        session = store.start_session(about, "by hand")
        assert session == 1
        for run in runs:
            store.add(run)
    return folder


def test_compare_says_what_became_better(tmp_path: Path) -> None:
    def runs(shift: float) -> list[Run]:
        return [
            made("dfoattack", [1.0, 10.0 * shift], [50.0, 0.5 if shift > 1 else 1e-6], instance=i, seed=s)
            for i in "abcd"
            for s in range(3)
        ]

    old, new = stored(tmp_path / "old", runs(2.0)), stored(tmp_path / "new", runs(1.0))
    text = markdown(compare(old, new, "dfoattack"))
    assert "share better +0.600 [+0.600, +0.600]" in text
    assert "| all | 0.400 | 1.000 | +0.600 [+0.600, +0.600] | +0.600 .. +0.600 |" in text
    assert "| 12 | 0 |" in text
    back = markdown(compare(new, old, "dfoattack"))
    assert "share worse -0.600" in back
    assert "**-0.600 [-0.600, -0.600]**" in back
    with pytest.raises(ValueError, match="No runs of `nomad`"):
        compare(old, new, "nomad")
