"""`python -m benchmarks run | report | compare`: the arena's command line."""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import baselines, machine, suites
from benchmarks.arena import report
from benchmarks.arena.cells import cells_of
from benchmarks.arena.compare import compare
from benchmarks.arena.document import markdown
from benchmarks.arena.process import Limits
from benchmarks.arena.progress import Progress
from benchmarks.arena.runner import run_all
from benchmarks.arena.store import Store

# Suite, instances, budget, seeds, jobs of `--quick`: kinked within half-spaces, and discontinuous.
QUICK = ("networks", "relu-polytope-n10-i1,treatment-i1", "60", 1, 2)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status: 0, 1 if a run failed, 2 for bad arguments, 130 when interrupted."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.call(arguments))
    except (ValueError, FileNotFoundError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Solvers beside each other on suites.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_run(commands.add_parser("run", help="run solvers on a suite; goes on where an earlier call stopped"))
    _add_report(commands.add_parser("report", help="tables, pictures and a page from result folders"))
    _add_compare(commands.add_parser("compare", help="one solver in two result folders: better or worse?"))
    _add_best(commands.add_parser("best", help="best known values of result folders, for `report --reference`"))
    return parser


def _add_best(p: argparse.ArgumentParser) -> None:
    p.set_defaults(call=_best)
    p.add_argument("folders", type=Path, nargs="+", help="result folders, of long runs rather")
    p.add_argument(
        "--out", type=Path, required=True, help="CSV file to write: suite, instance, n, value, solver, budget"
    )


def _best(a: argparse.Namespace) -> int:
    count = report.write_references(report.read(a.folders)[0], a.out)
    print(f"{count} values in {a.out}")
    return 0


def _add_compare(p: argparse.ArgumentParser) -> None:
    p.set_defaults(call=_compare)
    p.add_argument("old", type=Path, help="result folder before")
    p.add_argument("new", type=Path, help="result folder after")
    p.add_argument("--solver", default="dfoattack", help="default dfoattack")
    p.add_argument("--out", type=Path, default=None, help="Markdown file to write as well")


def _compare(a: argparse.Namespace) -> int:
    text = markdown(compare(a.old, a.new, a.solver))
    print(text, end="")
    if a.out is not None:
        a.out.write_text(text, encoding="utf-8")
    return 0


def _add_report(p: argparse.ArgumentParser) -> None:
    p.set_defaults(call=_report)
    p.add_argument("folders", type=Path, nargs="+", help="result folders; of runs of the same cell the last counts")
    p.add_argument("--out", type=Path, default=None, help="where to write (default: `report` in the first folder)")
    p.add_argument("--baseline", default=None, help="the solver that differences are taken to (default: nomad)")
    p.add_argument("--solvers", default=None, help="comma-separated; default all that are there")
    p.add_argument("--reference", type=Path, default=None, help="CSV of best known values: suite, instance, n, value")


def _report(a: argparse.Namespace) -> int:
    path = report.write(
        a.folders,
        a.out or a.folders[0] / "report",
        baseline=a.baseline,
        solvers=baselines.names(a.solvers) if a.solvers else None,
        references=report.read_references(a.reference) if a.reference else None,
    )
    print(f"{path}\n{path.with_suffix('.html')}")
    return 0


def _add_run(p: argparse.ArgumentParser) -> None:
    p.set_defaults(call=_run)
    p.add_argument("suite", nargs="?", help=f"one of {', '.join(suites.SUITES)}, or package.module:function")
    p.add_argument("--solvers", help=f"comma-separated, of {', '.join(baselines.SOLVERS)}; options: name:key=value")
    p.add_argument("--budget", help="counted evaluations of a run: 200n, 50(n+1) or a number")
    p.add_argument(
        "--quick",
        action="store_true",
        help="a smoke test of two minutes: every solver that is installed on a few networks, and the report of it",
    )
    p.add_argument("--seeds", type=int, default=3, help="runs of every solver on every instance (default 3)")
    p.add_argument("--n", default=None, help="comma-separated numbers of variables; default all of the suite")
    p.add_argument("--only", default=None, help="comma-separated instances (or what the suite takes for a selection)")
    p.add_argument("--jobs", type=int, default=1, help="runs at a time (default 1: seconds are then comparable)")
    p.add_argument("--out", type=Path, required=True, help="folder of the result file")
    p.add_argument("--gradient-cost", type=float, default=2.0, help="evaluations a vector-Jacobian product costs (2)")
    p.add_argument(
        "--seconds", type=float, default=1800.0, help="time limit of a run (default 1800); what it found counts"
    )
    p.add_argument("--memory", type=float, default=4.0, help="memory limit of a process, GiB (default 4)")
    p.add_argument("--retry", action="store_true", help="run those again that crashed, hung or raised")
    p.add_argument(
        "--again", default=None, help="comma-separated solvers whose finished runs of these cells are redone"
    )


def _quick(a: argparse.Namespace) -> int:
    """`run` with everything chosen, then `report`."""
    a.suite, a.only, a.budget, a.seeds, a.jobs, a.quick = *QUICK, False
    a.solvers = ",".join(baselines.installed())
    missing = [name for name in baselines.SOLVERS if name not in baselines.installed()]
    if missing:
        print(f"not installed: {', '.join(missing)}", file=sys.stderr)
    status = _run(a)
    if status < 2:  # 1: a run failed, which the report shows
        print(report.write([a.out], a.out / "report"))
    return status


def _run(a: argparse.Namespace) -> int:
    if a.quick:
        return _quick(a)
    for name in ("suite", "solvers", "budget"):
        if getattr(a, name) is None:
            raise ValueError(f"`{name if name == 'suite' else '--' + name}` must be given, or `--quick`.")
    if a.jobs < 1 or a.seeds < 1:
        raise ValueError(f"`--jobs` and `--seeds` must be >= 1, got {a.jobs} and {a.seeds}.")
    solvers = baselines.names(a.solvers)
    for name in solvers:
        baselines.load(name)  # a missing package or a wrong option is an error now, not thousands of failed runs
    sizes = None if a.n is None else [int(v) for v in a.n.split(",")]
    only = None if a.only is None else [v.strip() for v in a.only.split(",")]
    cells = cells_of(
        a.suite, solvers, budget=a.budget, seeds=a.seeds, gradient_cost=a.gradient_cost, n=sizes, only=only
    )
    limits = Limits(seconds=a.seconds, memory=int(a.memory * 2**30))
    with Store(a.out, create=True) as store:
        again = baselines.names(a.again) if a.again else []
        there = store.finished()
        good = store.finished(failures_too=False)
        store.remove(
            {c.key for c in cells if c.key in there and (c.solver in again or (a.retry and c.key not in good))}
        )
        there = store.finished()
        todo = [c for c in cells if c.key not in there]
        about = machine.describe()
        for other in {s["commit"] for s in store.sessions()} - {about["commit"]}:
            print(f"note: {a.out} holds runs of commit {other}; this is {about['commit']}", file=sys.stderr)
        progress = Progress(todo, a.jobs, already=len(cells) - len(todo))
        counts: dict[str, int] = {}
        try:
            if todo:
                _announce(about, len(todo), len(cells), a.seeds)
                session = store.start_session(about, "python -m benchmarks " + shlex.join(sys.argv[1:]))
                counts = run_all(todo, store, session, limits, jobs=a.jobs, progress=progress)
        except KeyboardInterrupt:
            print("\ninterrupted; the same command goes on from here", file=sys.stderr)
            return 130
        progress.tick(last=True)
    text = ", ".join(f"{count} {status}" for status, count in sorted(counts.items())) or "nothing to do"
    print(f"{text}; {len(cells) - len(todo)} of {len(cells)} were there; results in {a.out}")
    return 1 if set(counts) - {"ok", "time"} else 0


def _announce(about: dict[str, str], todo: int, total: int, seeds: int) -> None:
    """Where and with what the following is measured."""
    text = f"{todo} of {total} runs to go, seeds 0 to {seeds - 1}; commit {about['commit']}; {about['machine']}"
    print(f"{text}; {about['versions']}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
