"""dfoattack beside other solvers on trained networks, at equal counted evaluations: `python -m benchmarks.networks`.

    python -m benchmarks.networks --problems biodiesel,airfoil --solvers all --out benchmarks/results

Every run is a fresh process that writes its raw log; tables (`networks.md`), pictures (`networks-NAME.png`), staircases
(`networks.csv`) and one JSON line a run (`networks.jsonl`) are made from these logs; `--report` makes them again
without running.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import baselines, machine, report, scores
from benchmarks.cell import load_problem, short_fingerprint
from benchmarks.log import Log

if TYPE_CHECKING:
    from dfoattack.problem import Problem

PROBLEMS = "biodiesel,airfoil"
BUDGETS = {"biodiesel": 200.0, "airfoil": 1000.0}
SEEDS = {"biodiesel": 20, "airfoil": 10}
# One thread each: equal conditions, and small networks are slower on two.
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}


@dataclass(frozen=True)
class Cell:
    """One run; `fingerprint` tells problems of the same name but with other weights or code apart."""

    problem: str
    solver: str
    seed: int
    budget: float
    gradient_cost: float
    fingerprint: str

    def line(self) -> str:
        """What `benchmarks.cell` takes."""
        return json.dumps(vars(self))

    def file(self, folder: Path) -> Path:
        """Where its log goes; the hash keeps runs of other budgets, rates and problems apart."""
        short = hashlib.sha256(self.line().encode()).hexdigest()[:8]
        return folder / f"{self.problem}-{self.solver}-{self.seed}-{short}.npz"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status (1 if a run failed)."""
    arguments = _parser().parse_args(argv)
    out = Path(arguments.out)
    logs = out / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    names = [name.strip() for name in arguments.problems.split(",") if name.strip()]
    solvers = baselines.names(arguments.solvers)
    problems = {name: load_problem(name) for name in names}
    cells = [
        Cell(
            problem=name,
            solver=solver,
            seed=seed,
            budget=arguments.budget or BUDGETS.get(name, 50.0 * (problem.space.n_free + 1)),
            gradient_cost=arguments.gradient_cost,
            fingerprint=short_fingerprint(problem),
        )
        for name, problem in problems.items()
        for seed in range(arguments.seeds or SEEDS.get(name, 10))
        for solver in solvers
    ]
    # Our own code changes between comparisons, that of the others does not.
    kept = {c for c in cells if arguments.keep and c.solver != report.OURS and c.file(logs).exists()}
    todo = [] if arguments.report else [c for c in cells if c not in kept]
    failed = run_all(todo, logs, arguments.jobs)
    write_reports(problems, solvers, cells, out, logs)
    for cell, text in failed:
        print(f"\n{cell.line()} failed:\n{text}", file=sys.stderr)
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.networks", description=__doc__.partition("\n")[0])
    parser.add_argument("--problems", default=PROBLEMS, help=f"comma-separated names (default {PROBLEMS})")
    parser.add_argument(
        "--solvers", default="all", help=f"comma-separated, of {', '.join(baselines.SOLVERS)}; default all"
    )
    parser.add_argument(
        "--budget",
        type=float,
        default=None,
        help="counted evaluations; default 200 (biodiesel), 1000 (airfoil), else 50 (n+1)",
    )
    parser.add_argument(
        "--seeds",
        type=int,
        default=None,
        help="runs of every solver, seeds 0, 1, ...; default 20 (biodiesel), 10 (others)",
    )
    parser.add_argument(
        "--gradient-cost", type=float, default=2.0, help="evaluations charged for a vector-Jacobian product (default 2)"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, help="runs at a time (default 1: CPU seconds are then comparable)"
    )
    parser.add_argument("--out", default="benchmarks/results", help="folder of the tables (default benchmarks/results)")
    parser.add_argument("--keep", action="store_true", help="do not repeat other solvers' runs whose log is there")
    parser.add_argument(
        "--report", action="store_true", help="run nothing, make the tables from the logs that are there"
    )
    return parser


def run_all(cells: Sequence[Cell], logs: Path, jobs: int) -> list[tuple[Cell, str]]:
    """Run every cell in a process of its own, `jobs` at a time; returns those that failed, with what they said."""
    failed: list[tuple[Cell, str]] = []
    began = time.monotonic()

    def one(cell: Cell) -> tuple[Cell, subprocess.CompletedProcess[str]]:
        command = [sys.executable, "-m", "benchmarks.cell", cell.line(), str(cell.file(logs))]
        return cell, subprocess.run(command, capture_output=True, text=True, env={**os.environ, **THREADS}, check=False)

    with ThreadPoolExecutor(jobs) as pool:
        for done, (cell, process) in enumerate(pool.map(one, cells), start=1):
            if process.returncode != 0:
                failed.append((cell, process.stderr[-2000:]))
            elapsed = time.monotonic() - began
            _progress(
                f"{done}/{len(cells)} runs, {elapsed:.0f} s, about {elapsed / done * (len(cells) - done):.0f} s to go"
                f" | {cell.problem} {cell.solver} seed {cell.seed}" + (f" | {len(failed)} failed" if failed else "")
            )
    if cells:
        print(file=sys.stderr)
    return failed


def _progress(text: str) -> None:
    """One line that overwrites itself on a terminal; one line a run elsewhere."""
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"{text:<110.110}", end=end, file=sys.stderr, flush=True)


def write_reports(
    problems: Mapping[str, Problem], solvers: Sequence[str], cells: Sequence[Cell], out: Path, logs: Path
) -> None:
    """Tables, pictures, staircases and run lines, from the logs alone."""
    comparisons = []
    for name, problem in problems.items():
        found: dict[str, dict[int, Log]] = {}
        mine = [c for c in cells if c.problem == name and c.file(logs).exists()]
        for solver in solvers:
            runs = {c.seed: Log.load(c.file(logs)) for c in mine if c.solver == solver}
            if runs:
                found[solver] = runs
        if found:
            comparisons.append(report.Comparison(problem, mine[0].budget, mine[0].gradient_cost, found))
    for comparison in comparisons:
        report.picture(comparison, out / f"networks-{comparison.problem.name}.png")
    report.write_csv(comparisons, out / "networks.csv")
    _write_lines([c for c in cells if c.file(logs).exists()], logs, out / "networks.jsonl")
    text = _document(comparisons, solvers)
    (out / "networks.md").write_text(text, encoding="utf-8")
    print(text)


def _write_lines(cells: Sequence[Cell], logs: Path, path: Path) -> None:
    """One JSON line a run: the cell, its counters, the machine."""
    place = machine.describe()
    with path.open("w", encoding="utf-8") as file:
        for cell in cells:
            log = Log.load(cell.file(logs))
            record: dict[str, Any] = {
                **vars(cell),
                "nfev": log.nfev,
                "nphi": log.nphi,
                "ngev": log.ngev,
                "hits": log.hits,
            }
            record |= {
                "seconds_cpu": round(log.seconds_cpu, 3),
                "seconds_user": round(log.seconds_user, 3),
                "notes": log.notes,
            }
            file.write(json.dumps({**record, **place}) + "\n")


def _document(comparisons: Sequence[report.Comparison], solvers: Sequence[str]) -> str:
    """The Markdown file."""
    lines = ["# Networks", "", machine.paragraph(), ""]
    lines += [
        "One evaluation = f and all c at one point; repeats are free; forward passes inside an attack count. Every "
        "solver starts at the problem's own start and, once it has stopped, at random points (the same for all solvers "
        "of a seed) until the budget is spent. Feasibility and values are recomputed from the raw logs. The median of "
        "an even number of runs is the better middle one. **Bold** in our row: another solver (random search aside) is "
        "better there.",
        "",
    ]
    for comparison in comparisons:
        p = comparison.problem
        seeds = sorted({seed for runs in comparison.logs.values() for seed in runs})
        level, source = comparison.level(scores.TOLERANCES[0])
        lines += [
            f"## {p.name}",
            "",
            f"n = {p.space.n_free}, {p.sense}, {_columns(comparison)} constraint columns; budget {comparison.budget:g} "
            f"counted evaluations, a vector-Jacobian product counts as {comparison.gradient_cost:g}; "
            f"seeds {seeds[0]} to {seeds[-1]}; best known {level:.9g}, {source}.",
            "",
        ]
        for tolerance in scores.TOLERANCES:
            rule = f"Feasible: every c <= {tolerance:g}" if tolerance else "Feasible: every c <= 0, strictly"
            lines += [f"{rule}.", "", report.markdown(comparison, tolerance), ""]
        lines += [f"![{p.name}](networks-{p.name}.png)", ""]
        lines += [*_notes(comparison), ""]
    lines += ["## Solvers", ""]
    shown: set[str] = set()
    for name in solvers:
        configuration = baselines.load(name).configuration
        if configuration not in shown:
            lines.append(f"- {name}: {configuration}.")
            shown.add(configuration)
    return "\n".join(lines) + "\n"


def _columns(comparison: report.Comparison) -> int:
    return max(int(log.C.shape[1]) for runs in comparison.logs.values() for log in runs.values())


def _notes(comparison: report.Comparison) -> list[str]:
    """What the adaptors had to say, with how many runs said it; restarts and reasons for stopping are left out."""
    lines = []
    for solver, runs in comparison.logs.items():
        counts: dict[str, int] = {}
        for log in runs.values():
            for note in log.notes:
                if not note.startswith("stopped:") and not note.endswith("restarts"):
                    counts[note] = counts.get(note, 0) + 1
        lines += [f"- {solver}, {count} of {len(runs)} runs: {note}." for note, count in counts.items()]
    return lines


if __name__ == "__main__":
    sys.exit(main())
