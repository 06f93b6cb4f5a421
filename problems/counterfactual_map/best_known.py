"""Best known values of the shipped networks: the table of them, and how it is made.

``python -m dfoattack_problems.counterfactual_map.best_known --out known.npz`` makes it again: for each case dfoattack
itself with a large budget and several seeds, and SLSQP with exact gradients where the constraint has any, from the
initial map, from the alternative one, and from noisy copies of both. None of it proves that nothing better exists.
"""

from __future__ import annotations

import argparse
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize

import dfoattack as da
from dfoattack.problem import Known

from .routes import FloatArray

if TYPE_CHECKING:
    from dfoattack.problem import Problem

TABLE = Path(__file__).resolve().parent / "known.npz"
TOLERANCE = 1e-6
MARGIN = 1e-9


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    if not TABLE.exists():
        return {}
    with np.load(TABLE, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def look_up(case: str, digest: str) -> Known | None:
    """What is known of a case ("cost_0", "path_3", ...) with these weights, if anything."""
    table = _table()
    if f"{case}.x" not in table or str(table["weights"]) != digest:
        return None
    return Known(
        float(table[f"{case}.value"]),
        x=table[f"{case}.x"],
        kind="best_known",
        tol=TOLERANCE,
        how=str(table[f"{case}.how"]),
        fingerprint=digest,
    )


def best_feasible(problem: Problem, X: FloatArray) -> tuple[FloatArray, float]:
    """The feasible row of X (k, 64) with the best f, and that f (-inf if none is feasible)."""
    f, C = problem.outer(X, problem.forward(X))
    f = np.where((problem.excess(C) <= 0.0).all(1), f, -np.inf)
    return X[int(np.argmax(f))], float(f.max())


def slsqp(problem: Problem, start: FloatArray, iterations: int = 300) -> FloatArray:
    """Where SLSQP with exact gradients of f and all columns ends, limits tightened by `MARGIN`, inside the box."""

    def parts(x: FloatArray) -> tuple[FloatArray, FloatArray]:
        f, C = problem.outer(x[None], problem.forward(x[None]))
        return f[0], C[0]

    def gradient(x: FloatArray) -> FloatArray:
        return -problem.vjp(x[None], problem.forward(x[None]), np.ones(1))[0]

    def jacobian(x: FloatArray) -> FloatArray:
        y = problem.forward(x[None])[0]
        return -problem.constraint_jacobian(x, y, np.arange(problem.p or 0))[0]

    found = minimize(
        lambda x: -parts(x)[0],
        start,
        jac=gradient,
        bounds=list(zip(problem.space.lower, problem.space.upper, strict=True)),
        constraints={"type": "ineq", "fun": lambda x: -parts(x)[1] - MARGIN, "jac": jacobian},
        method="SLSQP",
        options={"maxiter": iterations, "ftol": 1e-12},
    )
    return np.clip(found.x, problem.space.lower, problem.space.upper)


def find(
    problem: Problem, alternative: FloatArray, seeds: int, budget: int, starts: int
) -> tuple[FloatArray, float, str]:
    """Best feasible point over all searches, its f, and a sentence about who found it."""
    rng = np.random.default_rng(0)
    initial = problem.x0[0]  # type: ignore[index]
    found: dict[str, FloatArray] = {}
    for seed in range(seeds):
        found[f"dfoattack, budget {budget}, seed {seed}"] = da.solve(problem, budget=budget, seed=seed).x
    noisy = [x + 0.3 * rng.standard_normal(len(x)) for x in (initial, alternative) for _ in range(starts)]
    for i, x in enumerate([initial, alternative, *noisy]):
        found[f"SLSQP, start {i}"] = slsqp(problem, np.clip(x, problem.space.lower, problem.space.upper))
    names = list(found)
    X = np.array([found[name] for name in names])
    x, value = best_feasible(problem, X)
    winner = names[int(np.argmin(np.abs(X - x).sum(1)))]
    return x, value, f"best of {len(names)} runs ({seeds} of dfoattack, the others SLSQP): {winner}; not proven"


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    from .problem import make_path_problem, make_problem

    parser = argparse.ArgumentParser(description="Find best known values of the counterfactual maps again.")
    parser.add_argument("--pairs", type=int, default=1, help="tasks 0, 1, ..., per constraint")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--budget", type=int, default=10_000)
    parser.add_argument("--starts", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("known.npz"))
    options = parser.parse_args(arguments)
    table: dict[str, Any] = {}
    for pair in range(options.pairs):
        for case, make in (
            (f"cost_{pair}", make_problem),
            (f"value_{pair}", lambda pair, start="initial": make_problem(pair, route="value", start=start)),
            (f"path_{pair}", make_path_problem),
        ):
            problem = make(pair)
            alternative = make(pair, start="alternative").x0[0]
            x, value, how = find(problem, alternative, options.seeds, options.budget, options.starts)
            if np.isfinite(value):
                table.update({f"{case}.x": x, f"{case}.value": value, f"{case}.how": np.array(how)})
            print(f"{case}: {value:.9f}; {how}", flush=True)
    from .model import load

    table["weights"] = np.array(load()[2])
    np.savez(options.out, **table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
