"""The process that solvers run in: `python -m benchmarks.arena.worker FD SECONDS BYTES`.

It reads one cell a line from standard input and answers one line of JSON a cell on the pipe FD; what solvers print goes
to the files that standard output and error are bound to. SECONDS is the time of a run, after which what it has found
is answered with status "time"; BYTES is the memory that the process may use. It ends with its parent.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import baselines, scores
from benchmarks.arena.audit import audit
from benchmarks.arena.cells import Cell, load_suite
from benchmarks.counting import LimitReached
from benchmarks.warm_up import warm_up
from dfoattack.problem import Problem

if TYPE_CHECKING:
    from types import FrameType

    from benchmarks.arena.contract import Instance
    from benchmarks.log import Log
    from dfoattack._typing import FloatArray

_PR_SET_PDEATHSIG = 1
# A solver that swallows the first interruption gets another one.
_REPEAT_SECONDS = 20.0


class Clock:
    """Raises `LimitReached` in the main thread when a run's time is over; remembers that it did."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.over = False
        signal.signal(signal.SIGALRM, self._ring)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        self.over = True
        raise LimitReached

    def start(self) -> None:
        self.over = False
        signal.setitimer(signal.ITIMER_REAL, self.seconds, _REPEAT_SECONDS)

    def stop(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.0)


def main(argv: list[str]) -> None:
    """Answer cells until standard input ends."""
    began = time.perf_counter()
    answers = os.fdopen(int(argv[0]), "w", encoding="utf-8")
    _die_with_parent()
    resource.setrlimit(resource.RLIMIT_DATA, (int(argv[2]), int(argv[2])))
    clock = Clock(float(argv[1]))
    instances: dict[tuple[str, int], tuple[str, dict[str, Instance]]] = {}
    for count, line in enumerate(sys.stdin):
        cell = Cell(**json.loads(line))
        try:
            answer = _run(cell, clock, instances, began, count > 0)
        except MemoryError:
            answer = {"status": "memory", "notes": [traceback.format_exc(limit=-3)[-800:]]}
        except LimitReached:
            answer = {"status": "time", "notes": ["interrupted outside the solver's own loop; nothing was kept"]}
        except Exception:
            answer = {"status": "error", "notes": [traceback.format_exc(limit=-6)[-1500:]]}
        finally:
            clock.stop()
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        began = time.perf_counter()


def _die_with_parent() -> None:
    """A runner that is killed leaves no solver behind (Linux; elsewhere the end of standard input does it)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _run(
    cell: Cell,
    clock: Clock,
    instances: dict[tuple[str, int], tuple[str, dict[str, Instance]]],
    began: float,
    warm: bool,
) -> dict[str, Any]:
    """One run, from the name of its solver to its staircases."""
    if (cell.suite, cell.n) not in instances:
        suite = load_suite(cell.suite)
        found = {i.name: i for i in suite.instances(n=[cell.n]) if i.n == cell.n}
        instances[cell.suite, cell.n] = (suite.unit, found)
    unit, by_name = instances[cell.suite, cell.n]
    solver = baselines.load(cell.solver)
    problem = started(by_name[cell.instance], cell)
    if not warm and not baselines.alone(cell.solver):
        warm_up(solver)
    wall = time.perf_counter()
    setup = wall - began
    clock.start()
    log = solver.run(problem, cell.budget, cell.seed, cell.gradient_cost)
    clock.stop()
    verdict, remarks = audit(log, problem, cell.budget)
    empty: tuple[list[float], list[float]] = ([], [])
    return {
        **_counted(log),
        "status": verdict or ("time" if clock.over else "error" if log.error else "ok"),
        "unit": unit,
        "f_opt": _known(problem),
        "constraints": problem.p,
        "wall": time.perf_counter() - wall,
        "setup": setup,
        "configuration": solver.configuration,
        "notes": [*log.notes, *([log.error] if log.error else []), *remarks],
        "curves": {kind: empty if verdict else curve for kind, curve in curves_of(log, problem).items()},
    }


def started(instance: Instance, cell: Cell) -> Problem:
    """The instance's problem at its start of that seed, under a name that no other cell shares.

    The name seeds the later random starts (`benchmarks.starts`).
    """
    problem = instance.problem()
    problem.x0 = np.asarray(instance.start(cell.seed), dtype=np.float64).reshape(1, problem.n)
    problem.name = f"{cell.suite}/{cell.instance}/{cell.n}"
    return problem


def _counted(log: Log) -> dict[str, Any]:
    within = log.spent[log.spent <= log.budget]
    return {
        "spent": float(within[-1]) if len(within) else 0.0,
        "nfev": log.nfev,
        "nphi": log.nphi,
        "ngev": log.ngev,
        "hits": log.hits,
        "cpu": log.seconds_cpu,
        "cpu_user": log.cpu_user,
        "user": log.seconds_user,
    }


def _known(problem: Problem) -> float | None:
    """The optimal value, minimised; None where the problem declares none."""
    known = problem.known
    return None if known is None or known.kind == "none" else float(problem.sign * known.value)


def curves_of(log: Log, problem: Problem) -> dict[str, tuple[list[float], list[float]]]:
    """Staircases in the log's order of payment, objective minimised.

    Where the objective is noisy (it has an attribute `exact`: X (k, n) -> (k,)) the values are those without noise.
    """
    exact = getattr(problem.objective, "exact", None)
    if exact is not None and len(log):
        log = replace(log, f=np.where(log.status == 0, np.asarray(exact(log.X), dtype=np.float64), log.f))
    out = {}
    for kind, tolerance in (("strict", 0.0), ("loose", 1e-6)):
        c = scores.curve(log, problem, tolerance)
        out[kind] = ([float(v) for v in c.spent], [float(problem.sign * v) for v in c.value])
    if log.C.shape[1]:
        C = np.where(problem.equality, problem.excess(log.C), log.C)
        excess = np.maximum(C, 0.0)
        out["violation"] = _unconstrained(log, problem, np.max(excess, axis=1))
        known = _known(problem)
        if known is not None:
            gap = np.maximum(problem.sign * log.f - known, 0.0)
            out["soft"] = _unconstrained(log, problem, gap + np.sum(excess, axis=1))
    return out


def _unconstrained(log: Log, problem: Problem, values: FloatArray) -> tuple[list[float], list[float]]:
    """Staircase of `values` (N,), minimised, whatever the constraints."""
    free = Problem(objective=problem.objective, space=problem.space, sense="minimize")
    c = scores.curve(replace(log, f=values, C=np.zeros((len(log), 0))), free, 0.0)
    return [float(v) for v in c.spent], [float(v) for v in c.value]


if __name__ == "__main__":
    main(sys.argv[1:])
