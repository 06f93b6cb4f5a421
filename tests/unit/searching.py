"""Searches by themselves: a solver whose schedule holds nothing else."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import dfoattack as da
from dfoattack import codec
from dfoattack.schedule import Schedule
from dfoattack.solver import Solver
from dfoattack.steps.base import Search


def alone(search: Search, objective: Callable[[np.ndarray], np.ndarray], space: Any, x0: Any, **more: Any) -> Solver:
    """A solver that runs `search` and nothing else; the covering quota is never met, so the local run does not end."""
    settings: dict[str, Any] = dict(budget=500, seed=1, options={})
    settings.update({key: more.pop(key) for key in tuple(more) if key in settings})
    problem = da.Problem(objective=objective, space=space, x0=x0, sense="minimize", **more)
    options = {"covering_quota": 1, **settings.pop("options")}
    solver = Solver(problem, options, **settings)
    solver.schedule = Schedule((search,))
    return solver


def run(solver: Solver, turns: int = 10**9) -> Solver:
    while turns and len(solver.ask()):
        solver.tell(solver.evaluate())
        turns -= 1
    return solver


def best(solver: Solver) -> float:
    row = solver.state.best_feas
    return float(solver.state.history.F[row]) if row >= 0 else np.inf


def check_points(solver: Solver) -> None:
    """All points inside the box to the last bit, on the lattice, none twice."""
    space = solver.problem.space
    X = solver.state.history.X
    assert all(space.contains(space.expand(x)) for x in X)
    assert (solver.setup.lower <= X).all() and (solver.setup.upper >= X).all()
    assert len({x.tobytes() for x in X}) == len(X)


def check_replay(make: Callable[[], Solver], every: int = 3) -> None:
    """Saving and loading the state between any two calls, pending ones included, changes no point."""
    plain, saved = run(make()), make()
    while len(saved.ask()):
        saved.state = codec.from_bytes(codec.to_bytes(saved.state))
        saved.tell(saved.evaluate())
        if saved.state.history.size % every == 0:
            saved.state = codec.from_bytes(codec.to_bytes(saved.state))
    assert plain.state.history.X.tobytes() == saved.state.history.X.tobytes()
    assert codec.to_bytes(plain.state) == codec.to_bytes(saved.state)


def sphere(X: np.ndarray) -> np.ndarray:
    return (X**2).sum(axis=1)


def ellipsoid(X: np.ndarray, condition: float = 1e6) -> np.ndarray:
    return sphere(X * condition ** (0.5 * np.arange(X.shape[1]) / max(1, X.shape[1] - 1)))


def rosenbrock(X: np.ndarray) -> np.ndarray:
    return (100.0 * (X[:, 1:] - X[:, :-1] ** 2) ** 2 + (1.0 - X[:, :-1]) ** 2).sum(axis=1)


def rastrigin(X: np.ndarray) -> np.ndarray:
    return (10.0 + X**2 - 10.0 * np.cos(2.0 * np.pi * X)).sum(axis=1)
