"""NOMAD 4 through PyNomadBBO, in a process of its own.

PyNomad ends the process on some inputs and swallows exceptions of the blackbox, so it runs in a child that asks this
process for every value; points and values are read from our log, and a crash costs a restart, not the run.
"""

from __future__ import annotations

import json
import subprocess
import sys
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import TYPE_CHECKING

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
    "progressive barrier, an equality as two inequalities; above 20 constraint columns the largest of each named constraint; bounds kept; after mesh "
    "convergence random restarts with a new seed. `nomad-nomodels`: no quadratic models anywhere (QUAD_MODEL_SEARCH no, "
    "DIRECTION_TYPE ORTHO N+1 NEG, EVAL_QUEUE_SORT DIR_LAST_SUCCESS), Nelder-Mead as it is"
)
COLUMN_LIMIT = 20
NO_MODELS = ("QUAD_MODEL_SEARCH no", "DIRECTION_TYPE ORTHO N+1 NEG", "EVAL_QUEUE_SORT DIR_LAST_SUCCESS")
# NOMAD draws and throws away as many random numbers as its seed says: a seed of 2e9 costs it half a minute.
SEEDS = 10_000
_CRASHES = 5
_CHILD = Path(__file__).with_name("nomad_child.py")


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    return _run(problem, budget, seed, gradient_cost, ())


def run_without_models(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    return _run(problem, budget, seed, gradient_cost, NO_MODELS)


def _run(problem: Problem, budget: float, seed: int, gradient_cost: float, extra: tuple[str, ...]) -> Log:
    counter = Counter(problem, budget, gradient_cost)
    seen: Columns | None = None
    crashes = 0

    def local(z: FloatArray, k: int) -> None:
        nonlocal seen, crashes
        seen = chosen = seen if seen is not None else columns(counter, COLUMN_LIMIT)
        params = _parameters(counter, chosen.sides, int(generator(counter.problem, seed, k).integers(1, SEEDS)))
        params += extra
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
    ours, theirs = Pipe()
    child = subprocess.Popen(
        [sys.executable, str(_CHILD), str(theirs.fileno())],
        stdin=subprocess.PIPE,
        # NOMAD prints whatever its display degree; the table on the terminal is not its place.
        stdout=subprocess.DEVNULL,
        pass_fds=[theirs.fileno()],
    )
    theirs.close()
    try:
        assert child.stdin is not None
        child.stdin.write(json.dumps({"start": [float(v) for v in z], "params": params}).encode() + b"\n")
        child.stdin.close()
        while True:
            try:
                message = ours.recv()
                if isinstance(message, float):
                    counter.add_cpu(message)
                else:
                    ours.send(_answer(counter, chosen, message))
            except (EOFError, ConnectionError):
                break
        return child.wait()
    finally:
        # PyNomad cannot be stopped from inside: it reports an exception of the blackbox as a failed point and goes on.
        child.kill()
        child.wait()
        ours.close()


def _answer(counter: Counter, chosen: Columns, z: list[float]) -> bytes | None:
    """f and c as PyNomad reads them, all digits; None where the point failed."""
    F, c = counter.value(np.array(z))
    outputs = [F, *chosen.one_sided(c)]
    return " ".join(repr(float(v)) for v in outputs).encode() if np.all(np.isfinite(outputs)) else None
