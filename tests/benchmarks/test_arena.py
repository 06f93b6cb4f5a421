"""The arena's runner: whatever a solver does, every cell ends in the result file, once."""

from __future__ import annotations

import io
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import dfoattack as da
from benchmarks import baselines
from benchmarks.__main__ import main
from benchmarks.arena.cells import Cell, cells_of, parse_budget
from benchmarks.arena.document import markdown
from benchmarks.arena.process import ROOT, Limits
from benchmarks.arena.progress import Progress
from benchmarks.arena.runner import run_all
from benchmarks.arena.slices import slices_of
from benchmarks.arena.store import FILE, Run, Store
from benchmarks.arena.tables import by_n

SUITE = "tests.benchmarks.toy:suite"
TOY = "tests.benchmarks.toy."
SESSION = {"date": "today", "machine": "m", "threads": "1", "versions": "v", "commit": "abc"}


def run(folder: Path, solvers: list[str], limits: Limits, **choice: object) -> list[Run]:
    """Run the toy suite in real processes and read back what was stored."""
    cells = cells_of(SUITE, solvers, budget="20n", seeds=1, gradient_cost=2.0, **{"n": [2], **choice})  # type: ignore[arg-type]
    with Store(folder, create=True) as store:
        session = store.start_session(SESSION, "test")
        run_all(cells, store, session, limits, jobs=2, progress=Progress(cells, 2, file=io.StringIO()))
        return list(store.runs())


def test_budgets_are_read_as_written() -> None:
    assert parse_budget("200n", 5) == 1000.0
    assert parse_budget("50(n+1)", 5) == parse_budget("50 (n + 1)", 5) == 300.0
    assert parse_budget("1.5n", 4) == 6.0
    assert parse_budget("700", 5) == 700.0
    for wrong in ("n", "200m", "0n", "-3", "20n+1", ""):
        with pytest.raises(ValueError, match="200n"):
            parse_budget(wrong, 5)


def test_solver_names_carry_options() -> None:
    names = baselines.names("dfoattack:covering=False,poll=2n,cma-es, dfoattack:attacks=('sign','l2'),seed=3,random")
    assert names == [
        "dfoattack:covering=False,poll=2n",
        "cma-es",
        "dfoattack:attacks=('sign','l2'),seed=3",
        "random",
    ]
    assert baselines.split_options(names[0]) == ("dfoattack", {"covering": False, "poll": "2n"})
    assert baselines.split_options(names[2])[1] == {"attacks": ("sign", "l2"), "seed": 3}
    with pytest.raises(da.OptionError, match="Did you mean `searches`"):
        baselines.load("dfoattack:serches=()")
    with pytest.raises(ValueError, match="takes no options"):
        baselines.load("random:covering=False")
    with pytest.raises(ValueError, match="Unknown solver `nomd`"):
        baselines.names("nomd")
    assert "covering=False" in baselines.load("dfoattack:covering=False").configuration


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, package in baselines.PACKAGES.items():
        monkeypatch.setitem(sys.modules, package, None)
        extra = baselines.EXTRAS.get(name, "bench")
        with pytest.raises(ImportError, match=rf"Solver `{name}` needs {package}. Install `dfoattack\[{extra}\]`"):
            baselines.load(name)


def test_an_option_reaches_the_solver() -> None:
    from tests.benchmarks.toy import suite

    instance = suite().instances(n=[3], only=["sphere"])[0]
    problem = instance.problem()
    problem.x0 = instance.start(0)[None]
    full = baselines.load("dfoattack").run(problem, 60.0, 0, 2.0)
    without = baselines.load("dfoattack:searches=()").run(problem, 60.0, 0, 2.0)
    assert not np.array_equal(full.X, without.X)


def test_solvers_that_break_down_are_recorded_failures(tmp_path: Path) -> None:
    names = [TOY + name for name in ("raises", "crashes", "eats_memory")]
    runs = run(tmp_path, [*names, "random"], Limits(seconds=60.0, memory=2 << 30))
    status = {(r.cell.solver, r.cell.instance): r.status for r in runs}
    for instance in ("sphere", "ball"):
        assert status[names[0], instance] == "error"
        assert status[names[1], instance] == "crash"
        assert status[names[2], instance] == "memory"
        assert status["random", instance] == "ok"
    notes = {r.cell.solver: " ".join(r.notes) for r in runs}
    assert "made to fail" in notes[names[0]]
    assert "SIGSEGV" in notes[names[1]]
    assert all(len(r.curves["strict"][0]) == 0 for r in runs if r.status != "ok")


def test_hanging_solvers_are_killed_and_slow_ones_keep_what_they_found(tmp_path: Path) -> None:
    names = [TOY + name for name in ("hangs", "is_slow")]
    began = time.monotonic()
    runs = run(tmp_path, names, Limits(seconds=1.0, grace=6.0), only=["sphere"])
    assert time.monotonic() - began < 60.0
    found = {r.cell.solver: r for r in runs}
    assert found[names[0]].status == "hang"
    assert "killed" in found[names[0]].notes[0]
    assert found[names[1]].status == "time"
    assert found[names[1]].nfev == 2
    assert len(found[names[1]].curves["strict"][0]) >= 1


def test_what_lies_beyond_the_budget_or_the_constraints_does_not_count(tmp_path: Path) -> None:
    over, out = (TOY + name for name in ("overspends", "returns_infeasible"))
    found = {(r.cell.solver, r.cell.instance): r for r in run(tmp_path, [over, out], Limits())}
    for instance in ("sphere", "ball"):
        cut = found[over, instance]
        assert cut.status == "ok"
        assert "80 evaluations beyond the budget, which do not count" in cut.notes
        assert cut.spent == 40.0  # of 120
    at, value = found[over, "sphere"].curves["strict"]
    assert at[-1] <= 40.0
    assert value[-1] > 5.0  # the optimum came later
    assert len(found[over, "ball"].curves["strict"][0]) == 0  # and so did the first feasible point
    inside = 2.0 * 0.9**2
    assert found[out, "ball"].curves["strict"] == (pytest.approx([1.0]), pytest.approx([inside]))
    assert found[out, "ball"].curves["loose"][1][-1] == pytest.approx(inside)
    assert found[out, "sphere"].curves["strict"][1][-1] == 0.0  # where nothing forbids it


def test_logs_that_contradict_the_problem_are_cheats_and_count_for_nothing(tmp_path: Path) -> None:
    reasons = {
        "forges_constraints": "the log says c[0] = -1 at its best point, where it is 1",
        "forges_values": "at its best point, where it is",
        "forges_counts": "2 different points for 1 evaluations",
        "forges_budget": "the log is that of a budget of 120, not 40",
    }
    runs = run(tmp_path, [TOY + name for name in reasons], Limits(), only=["ball"])
    for r in runs:
        assert r.status == "cheat"
        assert reasons[r.cell.solver.rpartition(".")[2]] in r.notes[-1]
        assert all(len(at) == 0 for at, _ in r.curves.values())


def test_what_is_stored_is_what_was_measured(tmp_path: Path) -> None:
    (run_,) = run(tmp_path, ["random"], Limits(), only=["ball"])
    from benchmarks.arena.worker import curves_of, started
    from tests.benchmarks.toy import suite

    problem = started(suite().instances(n=[2], only=["ball"])[0], run_.cell)
    log = baselines.load("random").run(problem, 40.0, 0, 2.0)
    again = curves_of(log, problem)
    for kind, (at, value) in run_.curves.items():
        np.testing.assert_array_equal(at, again[kind][0])
        np.testing.assert_array_equal(value, again[kind][1])
    feasible = np.flatnonzero(log.C.max(axis=1) <= 0.0)
    assert run_.curves["strict"][0][0] == feasible[0] + 1
    assert run_.curves["violation"][0][0] == 1.0
    assert run_.f_opt == pytest.approx((2.0**0.5 - 1.0) ** 2)
    assert (run_.nfev, run_.spent, run_.unit, run_.constraints, run_.commit) == (40, 40.0, "n", 1, "abc")
    assert run_.cpu_solver >= 0.0
    assert run_.setup is not None
    assert run_.setup > 0.05  # imports


def test_the_soft_score_and_the_violation_are_those_of_the_log() -> None:
    from dataclasses import replace

    from benchmarks.arena.worker import curves_of

    p = da.Problem(
        objective=lambda x: x[:, 0],
        constraints=[
            da.Constraint(lambda x: 1.0 - x[:, 0], name="least"),
            da.Constraint(lambda x: x[:, 1], name="zero", equality=True, tol=0.1),
        ],
        space=da.Box([-9.0, -9.0], [9.0, 9.0]),
        sense="minimize",
        known=da.Known(1.0, kind="exact"),
        backend="numpy",
    )
    log = baselines.load("random").run(p, 3.0, 0, 2.0)
    X = np.array([[4.0, 2.1], [0.5, -0.05], [1.25, 0.0]])
    log = replace(log, X=X, f=X[:, 0].copy(), C=p.outer(X, X)[1])
    found = curves_of(log, p)
    # gaps 3, 0 (better than the optimum), .25; violations 2 of the equality's band, .5 of the inequality, none
    assert found["soft"] == ([1.0, 2.0, 3.0], [5.0, 0.5, 0.25])
    assert found["violation"] == ([1.0, 2.0, 3.0], [2.0, 0.5, 0.0])
    assert found["strict"] == ([3.0], [1.25])


def command(folder: Path, solvers: str = "random,cma-es", seeds: int = 2) -> list[str]:
    words = ["run", SUITE, "--solvers", solvers, "--budget", "20n", "--seeds", str(seeds), "--n", "2,3"]
    return [*words, "--jobs", "1", "--out", str(folder)]


def rows(folder: Path) -> list[tuple[object, ...]]:
    if not (folder / FILE).exists():
        return []
    with sqlite3.connect(folder / FILE) as db:
        try:
            return db.execute("SELECT id, session, solver, instance, n, seed FROM runs ORDER BY id").fetchall()
        except sqlite3.OperationalError:  # the table is not there yet
            return []


def table(folder: Path) -> str:
    """The table that a report of this folder begins with, and the staircases behind it."""
    with Store(folder) as store:
        runs = sorted(store.runs(), key=lambda run: run.cell.key)
    staircases = [
        (r.cell.key, r.status, r.nfev, {k: (a.tolist(), v.tolist()) for k, (a, v) in r.curves.items()}) for r in runs
    ]
    return markdown([by_n(slices_of(runs, {}), "strict")]) + repr(staircases)


def test_a_runner_that_is_killed_goes_on_where_it_stopped_and_gives_the_same_table(tmp_path: Path) -> None:
    pytest.importorskip("cma")
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks", *command(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 90.0
    while len(rows(tmp_path)) < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    before = rows(tmp_path)
    assert 3 <= len(before) < 16
    assert main(command(tmp_path)) == 0
    after = rows(tmp_path)
    assert after[: len(before)] == before
    assert len(after) == len({row[2:] for row in after}) == 16
    assert main(command(tmp_path)) == 0
    assert rows(tmp_path) == after
    assert main(command(tmp_path / "never stopped")) == 0
    assert table(tmp_path) == table(tmp_path / "never stopped")
    for child in children:  # a solver does not outlive its runner
        assert not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes()


def test_failed_and_chosen_cells_are_run_again_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = command(tmp_path, f"random,{TOY}raises", seeds=1)

    def sessions() -> set[tuple[object, object]]:
        return {(row[2], row[1]) for row in rows(tmp_path)}

    assert main(words) == 1
    assert sessions() == {("random", 1), (f"{TOY}raises", 1)}
    assert main([*words, "--retry"]) == 1
    assert sessions() == {("random", 1), (f"{TOY}raises", 2)}
    assert main([*words, "--again", "random"]) == 0
    assert sessions() == {("random", 3), (f"{TOY}raises", 2)}
    assert len(rows(tmp_path)) == 8
    capsys.readouterr()
    assert main(["run", SUITE, "--solvers", "nomd", "--budget", "5n", "--out", str(tmp_path)]) == 2
    assert "Unknown solver `nomd`" in capsys.readouterr().err


def test_a_second_runner_does_not_double_a_cell(tmp_path: Path) -> None:
    empty = np.empty(0)
    cell = Cell("s", "i", "g", 2, "random", 0, 10.0, 2.0)
    numbers = dict.fromkeys(("f_opt", "constraints", "spent", "nfev", "nphi", "ngev", "hits"))
    seconds = dict.fromkeys(("cpu", "cpu_user", "user", "wall", "setup"))
    with Store(tmp_path, create=True) as store:
        session = store.start_session(SESSION, "test")
        one = Run(cell, "n", "ok", **numbers, **seconds, configuration="", notes=("a",), curves={"strict": (empty, empty)}, session=session)  # type: ignore[arg-type]  # fmt: skip
        store.add(one)
        store.add(one)
        assert len(list(store.runs())) == 1
        assert store.finished() == {cell.key}


def test_time_left_is_estimated_from_what_each_solver_took() -> None:
    cells = [Cell("s", f"i{i}", "g", 2, name, 0, 100.0, 2.0) for i in range(4) for name in ("fast", "slow")]
    file = io.StringIO()
    progress = Progress(cells, jobs=2, already=3, file=file)
    assert np.isnan(progress.seconds_left())
    progress.done(cells[0], 1.0, "ok")
    progress.done(cells[1], 9.0, "crash")
    assert progress.seconds_left() == pytest.approx((3 * 1.0 + 3 * 9.0) / 2)
    progress.tick(last=True)
    assert "2/8 runs" in file.getvalue()
    assert "3 were there" in file.getvalue()
    assert "1 failed" in file.getvalue()
    assert "slow i0 n=2 seed 0 crash" in file.getvalue()
