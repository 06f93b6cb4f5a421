"""The solver's own CPU time per evaluated point, time in the objective taken off."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
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
    "defaults": {},
}
NOMAD_POLL = (
    "DIRECTION_TYPE ORTHO 2N",
    "QUAD_MODEL_SEARCH no",
    "NM_SEARCH no",
    "EVAL_QUEUE_SORT DIR_LAST_SUCCESS",
)


class Rosenbrock:
    """Chained Rosenbrock function, batched, which knows how long it was at work."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.points = 0

    def __call__(self, X: FloatArray) -> FloatArray:
        start = time.process_time()
        value = np.sum(100.0 * (X[:, 1:] - X[:, :-1] ** 2) ** 2 + (1.0 - X[:, :-1]) ** 2, axis=1)
        self.seconds += time.process_time() - start
        self.points += len(X)
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


def peer_microseconds(name: str, n: int) -> float | None:
    """The same for another solver, in a process of its own; None where it is not installed, or its process dies."""
    module = PEERS[name].module
    if find_spec(module) is None:
        return None
    context = multiprocessing.get_context("spawn")
    answers: Any = context.Queue()
    child = context.Process(target=_peer, args=(name, n, answers))
    child.start()
    child.join()
    return float(answers.get()) if child.exitcode == 0 else None


def _peer(name: str, n: int, answers: Any) -> None:
    f = Rosenbrock()
    PEERS[name].run(f, n, 10)  # what is imported late
    f.seconds, f.points = 0.0, 0
    start = time.process_time()
    PEERS[name].run(f, n, PEERS[name].budget(n))
    answers.put(1e6 * (time.process_time() - start - f.seconds) / f.points)


def _nomad(f: Rosenbrock, n: int, budget: int, parameters: tuple[str, ...] = ()) -> None:
    import PyNomad

    def blackbox(x: Any) -> int:
        X = np.array([[x.get_coord(i) for i in range(n)]])
        x.setBBO(repr(float(f(X)[0])).encode())
        return 1

    lines = [f"DIMENSION {n}", "BB_OUTPUT_TYPE OBJ", f"MAX_BB_EVAL {budget}", "DISPLAY_DEGREE 0", *parameters]
    PyNomad.optimize(blackbox, [-1.2] * n, [-5.0] * n, [5.0] * n, lines)


def _cobyqa(f: Rosenbrock, n: int, budget: int) -> None:
    import cobyqa
    from scipy.optimize import Bounds

    box = Bounds(np.full(n, -5.0), np.full(n, 5.0))
    options = {"maxfev": budget, "radius_init": 0.2, "scale": True}
    cobyqa.minimize(lambda x: float(f(x[None])[0]), np.full(n, -1.2), bounds=box, options=options)


def _cma(f: Rosenbrock, n: int, budget: int) -> None:
    import cma

    quiet = {"bounds": [-5.0, 5.0], "maxfevals": budget, "verbose": -9, "verb_log": 0, "seed": 1}
    cma.fmin2(lambda x: float(f(x[None])[0]), np.full(n, -1.2), 2.0, quiet)


@dataclass(frozen=True)
class Peer:
    """Another solver: the package it needs, one run, and how many evaluations of n variables are enough to see its cost."""

    module: str
    run: Callable[[Rosenbrock, int, int], None]
    budget: Callable[[int], int]


PEERS = {
    "NOMAD 4.6 from Python, poll 2n only": Peer(
        "PyNomad", lambda f, n, budget: _nomad(f, n, budget, NOMAD_POLL), lambda n: BUDGET if n < 100 else 1000
    ),
    "NOMAD 4.6 from Python, defaults": Peer("PyNomad", _nomad, lambda n: 600),
    "COBYQA, defaults": Peer("cobyqa", _cobyqa, lambda n: max(600, 3 * n)),
    "CMA-ES, defaults": Peer("cma", _cma, lambda n: BUDGET),
}


def section(say: Callable[[str], None]) -> str:
    """Markdown of this measurement."""
    lines = [
        "## Solver overhead",
        "",
        f"CPU microseconds per evaluated point, objective taken off: chained Rosenbrock, {BUDGET} evaluations, median "
        f"of {REPEATS} seeds, warm. NOMAD's figures contain handing each point to Python and back. Goals at n = 20: "
        "at most 50 for the poll, at most 1000 with models. Others: one run of 600 to 4000 evaluations in a process of its own; "
        "from n = 50 NOMAD's models are off.",
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
    for name in PEERS:
        peer = [peer_microseconds(name, n) for n in DIMENSIONS]
        say(f"overhead, {name}: {peer} microseconds")
        if any(value is not None for value in peer):
            lines.append(f"| {name} | " + " | ".join("failed" if v is None else f"{v:.0f}" for v in peer) + " |")
    return "\n".join(lines)
