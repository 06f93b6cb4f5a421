"""The solver's own CPU time per evaluated point, time in the objective taken off."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

import dfoattack as da

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

DIMENSIONS = (5, 20, 50, 200)
REPEATS = 3
BUDGET = 4000
POLL: dict[str, Any] = {"attacks": (), "searches": (), "covering": False}
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "poll n+1": POLL,
    "poll 2n, complete, blocks of 2n": {**POLL, "poll": "2n", "opportunistic": False},
    "poll n+1, covering": {**POLL, "covering": True},
    "poll n+1, covering, quadratic models": {**POLL, "covering": True, "searches": ("model",)},
}
NOMAD = "NOMAD 4.6 from Python, poll 2n only"
NOMAD_PARAMETERS = (
    "DIRECTION_TYPE ORTHO 2N",
    "QUAD_MODEL_SEARCH no",
    "NM_SEARCH no",
    "EVAL_QUEUE_SORT DIR_LAST_SUCCESS",
    "DISPLAY_DEGREE 0",
)


class Rosenbrock:
    """Chained Rosenbrock function, batched, which knows how long it was at work."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self, X: FloatArray) -> FloatArray:
        start = time.process_time()
        value = np.sum(100.0 * (X[:, 1:] - X[:, :-1] ** 2) ** 2 + (1.0 - X[:, :-1]) ** 2, axis=1)
        self.seconds += time.process_time() - start
        return np.asarray(value)


def one(n: int, options: dict[str, Any], budget: int, seed: int, store: str | None = None) -> tuple[float, int]:
    """CPU seconds of one solve without those of the objective, and the points evaluated."""
    f = Rosenbrock()
    problem = da.Problem(
        objective=f, space=da.Box([-5.0] * n, [5.0] * n), x0=[-1.2] * n, sense="minimize", backend="numpy"
    )
    options = {"block_size": 2 * n if options.get("opportunistic") is False else 1, **options}
    start = time.process_time()
    result = da.solve(problem, budget=budget, seed=seed, options=options, store=store)
    return time.process_time() - start - f.seconds, result.nfev


def microseconds(n: int, options: dict[str, Any]) -> float:
    """Median over repeats, after a solve that loads the compiled code."""
    one(n, options, 300, 0)
    values = []
    for seed in range(REPEATS):
        seconds, points = one(n, options, BUDGET, seed)
        values.append(1e6 * seconds / points)
    return median(values)


def nomad_microseconds(n: int) -> float | None:
    """The same for NOMAD's poll (process of its own); None where PyNomadBBO is not installed."""
    try:
        import PyNomad  # noqa: F401  # only to know whether it is there
    except ImportError:
        return None
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    child = context.Process(target=_nomad, args=(n, answers))
    child.start()
    child.join()
    return float(answers.get()) if child.exitcode == 0 else None


def _nomad(n: int, answers: Any) -> None:
    import PyNomad

    f = Rosenbrock()
    points = 0

    def blackbox(x: Any) -> int:
        nonlocal points
        points += 1
        X = np.array([[x.get_coord(i) for i in range(n)]])
        x.setBBO(repr(float(f(X)[0])).encode())
        return 1

    parameters = [f"DIMENSION {n}", "BB_OUTPUT_TYPE OBJ", f"MAX_BB_EVAL {BUDGET}", *NOMAD_PARAMETERS]
    start = time.process_time()
    PyNomad.optimize(blackbox, [-1.2] * n, [-5.0] * n, [5.0] * n, parameters)
    answers.put(1e6 * (time.process_time() - start - f.seconds) / points)


def section(say: Callable[[str], None]) -> str:
    """Markdown of this measurement."""
    lines = [
        "## Solver overhead",
        "",
        f"CPU microseconds per evaluated point, objective taken off: chained Rosenbrock, {BUDGET} evaluations, median "
        f"of {REPEATS} seeds, warm. NOMAD's figure contains handing each point to Python and back. Goals at n = 20: "
        "at most 50 for the poll, at most 1000 with models.",
        "",
        "| | " + " | ".join(f"n = {n}" for n in DIMENSIONS) + " |",
        "| --- |" + " ---: |" * len(DIMENSIONS),
    ]
    for name, options in CONFIGURATIONS.items():
        cells = []
        for n in DIMENSIONS:
            cells.append(f"{microseconds(n, options):.0f}")
            say(f"overhead, {name}, n = {n}: {cells[-1]} microseconds")
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    peer = [nomad_microseconds(n) for n in DIMENSIONS]
    if any(value is not None for value in peer):
        lines.append(f"| {NOMAD} | " + " | ".join("failed" if v is None else f"{v:.0f}" for v in peer) + " |")
    return "\n".join(lines)
