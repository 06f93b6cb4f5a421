"""One run (problem, solver, seed, budget) in a fresh process: `python -m benchmarks.cell JSON FILE.npz`.

The JSON object holds problem, solver, seed, budget, gradient_cost and the problem's fingerprint; it is the line that
the table's record keeps, so any cell can be run again from its line.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import baselines
from benchmarks.warm_up import warm_up
from dfoattack import registry

if TYPE_CHECKING:
    from dfoattack.problem import Problem


def load_problem(name: str) -> Problem:
    """The plug-in of that name, at its defaults."""
    problem: Problem = registry.load(registry.PROBLEMS, name)()
    return problem


def short_fingerprint(problem: Problem) -> str:
    """Eight characters that change with the network's weights, the functions and the space."""
    return hashlib.sha256(json.dumps(problem.fingerprint(), sort_keys=True).encode()).hexdigest()[:8]


def run(cell: dict[str, Any], path: Path) -> None:
    """Run the cell and write its log."""
    solver = baselines.load(cell["solver"])
    problem = load_problem(cell["problem"])
    if cell["fingerprint"] != short_fingerprint(problem):
        raise ValueError(f"The problem {cell['problem']} has changed since this cell was described.")
    if cell["solver"] == "dfoattack":
        warm_up(solver)
    log = solver.run(problem, float(cell["budget"]), int(cell["seed"]), float(cell["gradient_cost"]))
    log.save(path)


if __name__ == "__main__":
    run(json.loads(sys.argv[1]), Path(sys.argv[2]))
