"""NOMAD 4 through PyNomadBBO, in a process of its own.

PyNomad ends the process on some inputs and swallows exceptions of the blackbox, so it runs in a child that asks this
process for every value; points and values are read from our log, and a crash costs a restart, not the run.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.baselines.restarts import run_restarted
from benchmarks.columns import Columns, columns
from benchmarks.counting import Counter, LimitReached
from benchmarks.log import Log
from benchmarks.starts import generator

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "NOMAD 4.6 (PyNomadBBO) at its defaults (quadratic models, Nelder-Mead, initial frame a tenth of the box), "
    "progressive barrier; above 20 constraint columns the largest of each named constraint; bounds kept; after mesh "
    "convergence random restarts with a new seed"
)
COLUMN_LIMIT = 20
_CRASHES = 5


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    counter = Counter(problem, budget, gradient_cost)
    seen: Columns | None = None
    crashes = 0

    def local(z: FloatArray, k: int) -> None:
        nonlocal seen, crashes
        seen = chosen = seen if seen is not None else columns(counter, COLUMN_LIMIT)
        params = _parameters(counter, chosen.q, int(generator(counter.problem, seed, k).integers(1, 2**31 - 1)))
        code = _converse(counter, chosen, z, params)
        if code != 0:
            crashes += 1
            counter.note(f"PyNomad ended its process with exit status {code}")
            if crashes == _CRASHES:
                counter.fail(f"PyNomad ended its process {crashes} times, at last with exit status {code}")
                raise LimitReached

    return run_restarted(counter, seed, local)


def _parameters(counter: Counter, q: int, seed: int) -> list[str]:
    """NOMAD's parameter lines for this problem."""

    def vector(values: FloatArray) -> str:
        return "( " + " ".join(repr(float(v)) if np.isfinite(v) else "-" for v in values) + " )"

    g = counter.space.free_granularity
    lines = [
        f"DIMENSION {counter.n}",
        "BB_OUTPUT_TYPE OBJ" + " PB" * q,
        f"LOWER_BOUND {vector(counter.lower)}",
        f"UPPER_BOUND {vector(counter.upper)}",
        # The answers to repeats are free here, so NOMAD may count more than we do; our limit is the one that holds.
        f"MAX_BB_EVAL {int(counter.budget) + 1}",
        f"SEED {seed}",
        "DISPLAY_DEGREE 0",
    ]
    if np.any(g > 0.0):
        lines.append("BB_INPUT_TYPE ( " + " ".join("I" if step == 1.0 else "R" for step in g) + " )")
        lines.append(f"GRANULARITY {vector(g)}")
    return lines


def _converse(counter: Counter, chosen: Columns, z: FloatArray, params: list[str]) -> int:
    """Run NOMAD once; answers its questions until it ends. Returns the child's exit status."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=_child, args=(theirs, [float(v) for v in z], params), daemon=True)
    child.start()
    theirs.close()
    try:
        while True:
            try:
                message = ours.recv()
                if isinstance(message, float):
                    counter.add_cpu(message)
                else:
                    ours.send(_answer(counter, chosen, message))
            except (EOFError, ConnectionError):
                break
        child.join()
        return child.exitcode or 0
    finally:
        # PyNomad cannot be stopped from inside: it reports an exception of the blackbox as a failed point and goes on.
        child.terminate()
        child.join()
        ours.close()


def _answer(counter: Counter, chosen: Columns, z: list[float]) -> bytes | None:
    """f and c as PyNomad reads them, all digits; None where the point failed."""
    F, c = counter.value(np.array(z))
    outputs = [F, *chosen.values(c)]
    return " ".join(repr(float(v)) for v in outputs).encode() if np.all(np.isfinite(outputs)) else None


def _child(questions: Connection, start: list[float], params: list[str]) -> None:
    """The other process: NOMAD, whose blackbox asks through the pipe."""
    import PyNomad

    # NOMAD writes to file descriptor 1 whatever its display degree; the table on the terminal is not its place.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    asked = time.process_time()

    def blackbox(x: Any) -> int:
        nonlocal asked
        questions.send([x.get_coord(i) for i in range(x.size())])
        answer = questions.recv()
        now = time.process_time()
        if now - asked > 0.01:
            questions.send(now - asked)
            asked = now
        if answer is None:
            return 0
        x.setBBO(answer)
        return 1

    PyNomad.optimize(blackbox, start, [], [], params)
    questions.send(time.process_time() - asked)
    questions.close()
