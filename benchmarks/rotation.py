"""dfoattack beside other solvers on the rotation problems: `python -m benchmarks.rotation`.

`rot-worst`: evaluations until an autoencoder is found 179 degrees wrong, from ten starts, and the largest error found where
the representation is continuous. `ik-fk`: evaluations until the end of a chain is within 1e-3 of its length of the target,
inside the joint limits, for a hundred targets (twenty where others are compared). Every run stops at its target; a run that has not met it counts with the
whole budget. Runs whose line is in `rotation.jsonl` are not repeated.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import baselines, machine
from benchmarks.counting import LimitReached
from dfoattack import registry
from dfoattack.problem import Problem

if TYPE_CHECKING:
    from benchmarks.log import Log
    from dfoattack._typing import FloatArray

OURS = "dfoattack"
MANY_STARTS = "dfoattack:n_init=50"
BLIND = "dfoattack:attacks=(),n_init=50"
REACH = 1e-3
"""Of the chain's length: how near its end must come."""


@dataclass(frozen=True)
class Task:
    """One run: a problem by name and parameters, a target, a solver. The instance is the seed too."""

    problem: str
    params: tuple[tuple[str, Any], ...]
    instance: int
    solver: str
    budget: float
    target: float

    def line(self) -> str:
        """What the file of results knows it by."""
        return json.dumps(vars(self))

    def make(self) -> Problem:
        """The problem, which ends the run after the first feasible value at least as good as the target."""
        made: Problem = registry.load(registry.PROBLEMS, self.problem)(**dict(self.params), instance=self.instance)
        assert made.x0 is not None
        made.outer(made.x0, made.forward(made.x0))  # from here on it knows its constraint columns; not counted
        return _Stopping.of(made, self.target)


class _Stopping(Problem):
    """A problem that raises `LimitReached` once the target has been met; the point that meets it is still answered."""

    target: float
    met: bool

    @classmethod
    def of(cls, problem: Problem, target: float) -> _Stopping:
        stopping = copy.copy(problem)
        stopping.__class__ = cls
        vars(stopping).update(target=target, met=False)
        assert isinstance(stopping, cls)
        return stopping

    def outer(self, X: FloatArray, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """As the problem's own."""
        if self.met:
            raise LimitReached
        f, C = super().outer(X, Y)
        self.met = bool(np.any((self.sign * f <= self.sign * self.target) & np.all(self.excess(C) <= 0.0, axis=1)))
        return f, C


def tasks(starts: int, targets: int, few: int) -> Iterator[Task]:
    """Every run: `targets` of the short chain for us, the first `few` of them for others, `few` of the long chain for all."""
    for rep in ("quaternion", "euler"):
        for solver in (OURS, MANY_STARTS, BLIND, "cma-es", "nomad", "random"):
            yield from (Task("rot-worst", (("rep", rep),), i, solver, 3000.0, 179.0) for i in range(starts))
    for rep in ("6d", "5d", "svd"):
        yield from (Task("rot-worst", (("rep", rep),), i, MANY_STARTS, 1500.0, 179.0) for i in range(starts))
    for joints, rep in ((4, "rodriguez"), (10, "6d")):
        for solver in (OURS, "dfoattack:attacks=()", "slsqp", "slsqp-differences", "cma-es", "nomad"):
            if (joints, solver) != (10, "nomad"):  # minutes an iteration with 60 variables and models
                params = (("joints", joints), ("rep", rep))
                count = targets if joints == 4 and solver.startswith(OURS) else few
                target = -((REACH * joints) ** 2)
                yield from (Task("ik-fk", params, i, solver, 2000.0, target) for i in range(count))


def measured(task: Task) -> dict[str, Any]:
    """Run it: the cost to the target (None if it was not met), the best feasible value, the constraint kept or not."""
    problem = task.make()
    began = _cpu_seconds()
    log = baselines.load(task.solver).run(problem, task.budget, task.instance, 2.0)
    cost, best = _outcome(problem, log, task.target)
    return {"cost": cost, "best": best, "seconds": round(_cpu_seconds() - began, 2), "error": log.error}


def _cpu_seconds() -> float:
    """Of this process and of the children that have ended: NOMAD runs in one."""
    return sum(os.times()[:4])


def _outcome(problem: Problem, log: Log, target: float) -> tuple[float | None, float | None]:
    usable = np.isfinite(log.f) & np.all(problem.excess(log.C) <= 0.0, axis=1)
    F = np.where(usable, problem.sign * log.f, np.inf)
    hits = np.flatnonzero(problem.sign * target >= F)
    best = None if not usable.any() else float(problem.sign * F.min())
    return (float(log.spent[hits[0]]) if hits.size else None), best


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.rotation", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=10, help="starts of rot-worst (default 10)")
    parser.add_argument("--targets", type=int, default=100, help="our targets of the short chain (default 100)")
    parser.add_argument("--few", type=int, default=20, help="others' targets, and those of the long chain (default 20)")
    parser.add_argument("--only", default="", help="comma-separated: problems or solvers that are run")
    parser.add_argument(
        "--report", action="store_true", help="run nothing, make the table from the lines that are there"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("benchmarks/results"), help="folder (default benchmarks/results)"
    )
    arguments = parser.parse_args(argv)
    store = arguments.out / "rotation.jsonl"
    done = _read(store)
    only = {word for word in arguments.only.split(",") if word}
    wanted = list(tasks(arguments.starts, arguments.targets, arguments.few))
    todo = [t for t in wanted if t.line() not in done and (not only or {t.problem, t.solver.partition(":")[0]} & only)]
    for count, task in enumerate([] if arguments.report else todo, start=1):
        result = measured(task)
        done[task.line()] = result
        with store.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**vars(task), **result}) + "\n")
        print(
            f"{count}/{len(todo)} {task.problem} {dict(task.params)} {task.solver} {task.instance} {result}",
            file=sys.stderr,
        )
    text = document([(task, done[task.line()]) for task in wanted if task.line() in done])
    (arguments.out / "rotation.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def _read(store: Path) -> dict[str, dict[str, Any]]:
    """Results by the line of their task."""
    results: dict[str, dict[str, Any]] = {}
    for line in store.read_text(encoding="utf-8").splitlines() if store.exists() else []:
        record = json.loads(line)
        params = tuple((str(key), value) for key, value in record["params"])
        task = Task(record["problem"], params, *(record[k] for k in ("instance", "solver", "budget", "target")))
        results[task.line()] = {key: record[key] for key in ("cost", "best", "seconds", "error")}
    return results


def document(results: Sequence[tuple[Task, dict[str, Any]]]) -> str:
    """The Markdown file."""
    lines = ["# Rotation problems", "", machine.paragraph(), ""]
    lines += [
        "Cost in evaluations, a vector-Jacobian product counts as 2; runs without success count with the whole budget in "
        "the median and the mean. Made by `python -m benchmarks.rotation`.",
        "",
        "| problem | solver | runs | target met | median cost | mean cost | best value: least, largest | CPU s a run |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    groups: dict[tuple[str, str], list[tuple[Task, dict[str, Any]]]] = {}
    for task, result in results:
        name = f"{task.problem} " + " ".join(str(value) for _, value in task.params)
        groups.setdefault((name, task.solver), []).append((task, result))
    for (name, solver), runs in groups.items():
        costs = [task.budget if r["cost"] is None else r["cost"] for task, r in runs]
        met = sum(r["cost"] is not None for _, r in runs)
        best = [r["best"] for _, r in runs if r["best"] is not None]
        extremes = f"{min(best):.4g}, {max(best):.4g}" if best else "none feasible"
        seconds = statistics.fmean(r["seconds"] for _, r in runs)
        lines.append(
            f"| {name} | {solver} | {len(runs)} | {100 * met / len(runs):.0f} % | {statistics.median(costs):.0f} | "
            f"{statistics.fmean(costs):.0f} | {extremes} | {seconds:.2f} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
