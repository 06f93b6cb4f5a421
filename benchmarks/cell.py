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
        _warm_up()
    log = solver.run(problem, float(cell["budget"]), int(cell["seed"]), float(cell["gradient_cost"]))
    log.save(path)


def _warm_up() -> None:
    """Load the compiled kernels before the clock starts; what that costs is measured in `benchmarks.micro`."""
    import numpy as np

    import dfoattack as da

    problem = da.Problem(
        objective=lambda x: np.sum(x * x, axis=1),
        objective_grad=lambda x: 2.0 * x,
        constraints=[
            da.Constraint(lambda x: 0.1 - x[:, 0], grad=lambda X, Y, W: (np.zeros_like(X), -W[:, :1] * np.eye(2)[:1]))
        ],
        space=da.Box([-1.0, -1.0], [1.0, 1.0]),
        x0=[0.7, -0.4],
        sense="minimize",
        name="warm-up",
    )
    da.solve(problem, budget=200, seed=0)


if __name__ == "__main__":
    run(json.loads(sys.argv[1]), Path(sys.argv[2]))
