"""Best known values of the shipped digits bank, how they are found, and the table of them.

``python -m dfoattack_problems.merging.best_known`` finds them again (some minutes): the convex problems by SLSQP with
exact gradients, problems in one variable on a grid of 1001 points, the others by the package's own solver from several
seeds, coarse solutions handed on to the finer problem.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

import dfoattack as da
from dfoattack.problem import Known

if TYPE_CHECKING:
    from dfoattack.problem import Problem

TABLE = Path(__file__).resolve().parent / "known.npz"
FloatArray = npt.NDArray[np.float64]
CONVEX_TOL = 1e-8
STEPS_TOL = 5e-3  # of piecewise constant values, where nothing proves that no better step exists
SMOOTH_TOL = 5e-3
LINE = 1001


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    if not TABLE.exists():
        return {}
    with np.load(TABLE, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def look_up(case: str, digest: str) -> Known | None:
    """Return what is known of a case with the weights of this digest, if anything."""
    table = _table()
    if f"{case}:x" not in table or str(table[f"{case}:weights"]) != digest:
        return None
    return Known(
        float(table[f"{case}:value"]),
        x=table[f"{case}:x"],
        kind=str(table[f"{case}:kind"]),
        tol=float(table[f"{case}:tol"]),
        how=str(table[f"{case}:how"]),
        fingerprint=digest,
    )


class Found(NamedTuple):
    """Where, how good, and how it was found."""

    x: FloatArray
    value: float
    kind: str
    tol: float
    how: str


def convex(problem: Problem) -> Found:
    """SLSQP with exact gradients on a concave objective with at most one convex constraint."""

    def values(x: FloatArray) -> tuple[float, FloatArray]:
        f, C = problem.outer(x[None], problem.forward(x[None]))
        return float(f[0]), C[0]

    def slope(x: FloatArray, wf: float, wc: float) -> FloatArray:
        W = np.full((1, problem.p or 0), wc) if wc else None
        return problem.vjp(x[None], problem.forward(x[None]), np.array([wf]), W)[0]

    assert problem.x0 is not None
    values(problem.x0[0])  # learns the number of columns
    limits: Any = ()
    if problem.constraints:
        limits = {"type": "ineq", "fun": lambda x: -values(x)[1], "jac": lambda x: -slope(x, 0.0, 1.0)[None]}
    found = minimize(
        lambda x: -values(x)[0],
        problem.x0[0],
        jac=lambda x: -slope(x, 1.0, 0.0),
        bounds=list(zip(problem.space.lower, problem.space.upper, strict=True)),
        constraints=limits,
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 2000},
    )
    x = np.clip(found.x, problem.space.lower, problem.space.upper)
    return Found(x, values(x)[0], "convex", CONVEX_TOL, "SLSQP with exact gradients on a convex program")


def line(problem: Problem) -> Found:
    """Best feasible of 1001 points, n = 1."""
    X = np.linspace(problem.space.lower[0], problem.space.upper[0], LINE)[:, None]
    parts = [problem.outer(block, problem.forward(block)) for block in np.array_split(X, 50)]
    f, C = np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])
    feasible = np.all(C <= 0.0, axis=1)
    best = int(np.argmax(np.where(feasible, f, -np.inf)))
    return Found(X[best], float(f[best]), "grid", STEPS_TOL, f"best feasible of {LINE} equidistant points")


def searched(problem: Problem, starts: list[FloatArray], budget: int, tol: float) -> Found:
    """The package's own solver from every start and with three seeds."""
    best: Found | None = None
    how = f"best of this package's solver, {3 * len(starts)} runs of {budget} evaluations"
    for start in starts:
        problem.x0 = start[None]
        for seed in range(3):
            result = da.solve(problem, budget=budget, seed=seed)
            if result.maxcv == 0.0 and (best is None or result.fun > best.value):
                best = Found(np.array(result.x), float(result.fun), "best_known", tol, how)
    if best is None:
        raise RuntimeError(f"No feasible point of {problem.name} was found.")
    return best


def cases(bank: str, budget: int) -> Iterator[tuple[str, Callable[[], Found]]]:
    """Name of the case, and how it is found."""
    from . import problem as make

    for per_tensor in (False, True):
        for control in (False, True):
            one = make.make_linear(bank, per_tensor=per_tensor, control=control)
            yield one.case, lambda one=one: convex(one)
    for one in (make.make_global(bank), make.make_negate(bank)):
        yield one.case, lambda one=one: line(one)
    for one in (make.make_xi_max(bank), make.make_xi_max(bank, goal="best")):
        corners = [np.array(corner) for corner in ((1.0, 1.0), (-2.0, -2.0), (1.0, -1.0))]
        yield one.case, lambda one=one, corners=corners: searched(one, corners, budget, STEPS_TOL)
    for one in (make.make_negate(bank, per_tensor=True), make.make_negate_multi(bank)):
        yield one.case, lambda one=one: searched(one, [one.x0[0]], budget, STEPS_TOL)
    for objective, tol in (("accuracy", STEPS_TOL), ("loss", SMOOTH_TOL)):
        coarse = make.make_task(bank, objective=objective)
        fine = make.make_layer(bank, objective=objective)
        kept: dict[str, Found] = {}

        def task(coarse: Any = coarse, tol: float = tol, kept: dict[str, Found] = kept) -> Found:
            kept["task"] = searched(coarse, [coarse.x0[0]], budget, tol)
            return kept["task"]

        def layer(fine: Any = fine, tol: float = tol, kept: dict[str, Found] = kept) -> Found:
            return searched(fine, [np.repeat(kept["task"].x, fine.n // len(kept["task"].x))], 2 * budget, tol)

        yield coarse.case, task
        yield fine.case, layer


def main(arguments: list[str] | None = None) -> int:
    """Find all values and write the table."""
    parser = argparse.ArgumentParser(description="Find the best known values of the digits bank again.")
    parser.add_argument("--out", type=Path, default=TABLE)
    parser.add_argument("--bank", default="digits")
    parser.add_argument("--budget", type=int, default=400, help="evaluations of a run")
    options = parser.parse_args(arguments)
    from .bank import shipped_bank

    digest = shipped_bank(options.bank).fingerprint()
    table: dict[str, Any] = {}
    for case, find in cases(options.bank, options.budget):
        found = find()
        print(f"{case}: {found.value:.8g} ({found.how})", flush=True)
        entries = {**found._asdict(), "weights": digest}
        table |= {f"{case}:{name}": np.asarray(value) for name, value in entries.items()}
    np.savez_compressed(options.out, **table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
