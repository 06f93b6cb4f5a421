"""Maps on which the route really changes: `python -m benchmarks.counterfactual --out FOLDER`.

Random tasks of `counterfactual-map-path`, every solver once a task at the same counted budget (a vector-Jacobian product
counts 2). A run succeeds if it has evaluated a feasible point: inside the annulus, the wanted route the cheapest; with
`--stop` it ends there. Stopped, the command goes on where it was; the table holds all runs that the folder has.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import baselines, machine
from benchmarks.counting import LimitReached
from dfoattack import registry
from dfoattack.studies import StudyLine

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

SOLVERS = "dfoattack,nomad,cma-es"


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.counterfactual", description=__doc__.partition("\n")[0])
    parser.add_argument("--pairs", type=int, default=50, help="tasks 0, 1, ...; default 50")
    parser.add_argument("--solvers", default=SOLVERS, help=f"default {SOLVERS}")
    parser.add_argument("--budget", type=float, default=3000.0, help="counted evaluations, default 3000")
    parser.add_argument(
        "--start", default="initial", choices=["initial", "alternative", "both"], help="default initial"
    )
    parser.add_argument("--stop", action="store_true", help="end a run at its first valid map")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/study/counterfactual-route"))
    options = parser.parse_args(argv)
    options.out.mkdir(parents=True, exist_ok=True)
    name = f"{options.start}-{options.budget:g}{'-stop' if options.stop else ''}"
    file = options.out / f"{name}.jsonl"
    rows = [json.loads(text) for text in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    known = {(row["pair"], row["solver"]) for row in rows}
    cells = [(pair, solver) for pair in range(options.pairs) for solver in baselines.names(options.solvers)]
    line = StudyLine()
    for done, (pair, solver) in enumerate(cells, start=1):
        if (pair, solver) not in known:
            rows.append(run(pair, solver, options.budget, options.start, options.stop))
            with file.open("a", encoding="utf-8") as log:
                log.write(json.dumps(rows[-1]) + "\n")
        line(done, len(cells), f"{solver}, task {pair}")
    line.close()
    rows.sort(key=lambda row: (row["solver"], row["pair"]))
    text = document(rows, options.start, options.budget, options.stop)
    (options.out / f"{name}.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def run(pair: int, solver: str, budget: float, start: str, stop: bool = False) -> dict[str, Any]:
    """One run, seed = number of the task."""
    problem = registry.load(registry.PROBLEMS, "counterfactual-map-path")(pair, start=start)
    if stop:
        problem = ended_by_success(problem)
    began = time.perf_counter()
    log = baselines.load(solver).run(problem, budget, pair, 2.0)
    inside = (log.C <= 0.0).all(1) & (log.spent <= budget)
    valid = np.flatnonzero(inside)
    return {
        "pair": pair,
        "solver": solver,
        "valid": len(valid) > 0,
        "first": float(log.spent[valid[0]]) if len(valid) else None,
        "f": float(log.f[valid].max()) if len(valid) else None,
        "nfev": log.nfev,
        "ngev": log.ngev,
        "error": log.error,
        "seconds": round(time.perf_counter() - began, 2),
    }


def ended_by_success(problem: Problem) -> Problem:
    """The problem whose user code reports the limit at the next call after one that had a feasible point."""
    over = [False]
    annulus, path = problem.constraints

    def watched(x: FloatArray, y: FloatArray) -> FloatArray:
        if over[0]:
            raise LimitReached
        differ = np.asarray(path.fn(y))
        over[0] = bool(np.any((differ <= 0.0) & (np.asarray(annulus.fn(y)) <= 0.0)))
        return differ

    return problem.replace(constraints=[annulus, replace(path, fn=watched)])


def document(rows: Sequence[dict[str, Any]], start: str, budget: float, stop: bool = False) -> str:
    """The table."""
    solvers = list(dict.fromkeys(row["solver"] for row in rows))
    lines = [
        f"# A changed route within {budget:g} counted evaluations, start: {start}",
        "",
        *(["Every run ends at its first valid map: f is that map's.", ""] if stop else []),
        machine.paragraph(),
        "",
        "| solver | tasks | valid maps | first valid at, median of those | f, median of those | seconds a run, median |",
        "|---|---|---|---|---|---|",
    ]
    for solver in solvers:
        mine = [row for row in rows if row["solver"] == solver]
        good = [row for row in mine if row["valid"]]
        first = f"{np.median([row['first'] for row in good]):.0f}" if good else "-"
        f = f"{np.median([row['f'] for row in good]):.3f}" if good else "-"
        seconds = np.median([row["seconds"] for row in mine])
        lines.append(
            f"| {solver} | {len(mine)} | {len(good)} ({len(good) / len(mine):.0%}) | {first} | {f} | {seconds:.0f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
