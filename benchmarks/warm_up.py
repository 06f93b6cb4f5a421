"""Two small runs before the clock starts: what a solver imports or compiles late is not its cost per evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

import dfoattack as da

if TYPE_CHECKING:
    from benchmarks.baselines import Solver

_BUDGET = 250.0


def warm_up(solver: Solver) -> None:
    """Run the solver on a constrained problem with gradients and on one that has neither."""
    constrained = da.Problem(
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
    solver.run(constrained, _BUDGET, 0, 2.0)
    free = da.Problem(
        objective=lambda x: np.sum((x - 0.3) ** 2, axis=1) + x[:, 0] * x[:, 1],
        space=da.Box([-1.0, -1.0, -1.0], [1.0, 1.0, 1.0]),
        x0=[0.7, -0.4, 0.1],
        sense="minimize",
        name="warm-up, free",
        backend="numpy",
    )
    if not solver.needs_gradients:
        solver.run(free, _BUDGET, 0, 2.0)
