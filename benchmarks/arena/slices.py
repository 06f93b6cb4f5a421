"""Runs sorted for comparison: a slice is one suite at one budget, and one n where there are many problems of each n.

Within a slice every solver has run the same problems.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.arena.profiles import first_hits
from benchmarks.suites.base import evaluations_in

if TYPE_CHECKING:
    from benchmarks.arena.store import Run
    from dfoattack._typing import FloatArray

# (instance, n, seed): what profiles call a problem
Key = tuple[str, int, int]
# Suites with fewer instances an n are compared over all n together.
INSTANCES_PER_N = 15
# (suite, instance, n) -> a value at least this good is known to exist
References = Mapping[tuple[str, str, int], float]


@dataclass(frozen=True)
class Slice:
    """All solvers on the problems that each of them has run; P problems, S solvers.

    suite, unit : str
    multiple : float                    budget in units
    solvers : tuple of str              ours first, random search last
    keys : tuple of (instance, n, seed) common to all solvers
    groups : tuple of str               of each key
    runs : {solver: {key: Run}}
    dropped : {solver: int}             runs of problems that some other solver lacks
    sizes, units : float64 (P,)         n, and evaluations in a unit (n, n+1 or 1)
    f_opt : float64 (P,)                known optimal values, NaN where unknown
    f_ref : {kind: float64 (P,)}        the level gaps are measured from; NaN where nothing feasible is known
    f_start : {kind: float64 (P,)}      worst first feasible value over all solvers; f(x0) where x0 is feasible
    """

    suite: str
    unit: str
    multiple: float
    gradient_cost: float
    solvers: tuple[str, ...]
    keys: tuple[Key, ...]
    groups: tuple[str, ...]
    runs: dict[str, dict[Key, Run]]
    dropped: dict[str, int]
    sizes: FloatArray
    units: FloatArray
    f_opt: FloatArray
    f_ref: dict[str, FloatArray]
    f_start: dict[str, FloatArray]

    @property
    def size(self) -> str:
        """`n=5`, or `n=2-12` where several are taken together."""
        low, high = int(self.sizes.min()), int(self.sizes.max())
        return f"n={low}" if low == high else f"n={low}-{high}"

    @property
    def label(self) -> str:
        """For the heads of columns."""
        unit = {"n": "n", "n+1": "(n+1)", "1": " evaluations"}[self.unit]
        return f"{self.size}, {self.multiple:g}{unit}"

    @property
    def title(self) -> str:
        """For headings."""
        return f"{self.suite}, {self.label}"

    @property
    def name(self) -> str:
        """For file names."""
        return f"{safe(self.suite)}-{self.size.replace('=', '')}-{self.multiple:g}"

    @property
    def instances(self) -> tuple[str, ...]:
        """Of each key: the unit of the bootstrap, since seeds of one instance are not independent problems."""
        return tuple(f"{instance}/{n}" for instance, n, _ in self.keys)

    @property
    def constrained(self) -> bool:
        """True iff some run has constraint columns."""
        return any((run.constraints or 0) > 0 for runs in self.runs.values() for run in runs.values())

    @property
    def known(self) -> bool:
        """True iff every optimum is known."""
        return bool(np.all(np.isfinite(self.f_opt)))

    def times(self, kind: str, levels: FloatArray) -> FloatArray:
        """(S, P, T) evaluations to levels (P, T), +inf where not reached or NaN."""
        out = np.full((len(self.solvers), len(self.keys), levels.shape[1]), np.inf)
        for s, solver in enumerate(self.solvers):
            for p, key in enumerate(self.keys):
                out[s, p] = first_hits(*self.runs[solver][key].curves[kind], levels[p])
        return out


def ours(solver: str) -> bool:
    """True for dfoattack and its variants."""
    return solver.partition(":")[0] == "dfoattack"


def ordered(solvers: Iterable[str]) -> list[str]:
    """Ours first, random search last."""
    return sorted(set(solvers), key=lambda name: (not ours(name), name == "random", name))


def safe(name: str) -> str:
    """A suite's name as part of a file name."""
    return name.replace(":", "-").replace("/", "-")


def slices_of(runs: Sequence[Run], references: References, solvers: Sequence[str] | None = None) -> list[Slice]:
    """Slices by suite, budget and n. Of runs of the same cell the last counts. Raises ValueError if nothing is left."""
    best = _best(runs, references)
    by_budget: dict[tuple[str, str, float, float], dict[str, dict[Key, Run]]] = {}
    units = {run.cell.suite: run.unit for run in runs if run.unit}
    for run in runs:
        c = run.cell
        if solvers is None or c.solver in solvers:
            unit = units.get(c.suite, "n")
            multiple = round(c.budget / evaluations_in(unit, c.n), 6)
            place = by_budget.setdefault((c.suite, unit, multiple, c.gradient_cost), {})
            place.setdefault(c.solver, {})[c.instance, c.n, c.seed] = run
    out = []
    for where, by_solver in sorted(by_budget.items()):
        for part in _by_size(by_solver):
            found = _slice(*where, part, best)
            if found is not None:
                out.append(found)
    if not out:
        raise ValueError("No problem was run by all solvers; choose some with --solvers.")
    return out


def _by_size(by_solver: dict[str, dict[Key, Run]]) -> list[dict[str, dict[Key, Run]]]:
    """One part an n where each n has many instances, else everything together.

    A solver that lacks an n altogether is left out there only.
    """
    instances = {(instance, n) for runs in by_solver.values() for instance, n, _ in runs}
    sizes = sorted({n for _, n in instances})
    if len(instances) < INSTANCES_PER_N * len(sizes):
        return [by_solver]
    parts = []
    for size in sizes:
        part = {s: {key: run for key, run in runs.items() if key[1] == size} for s, runs in by_solver.items()}
        parts.append({solver: runs for solver, runs in part.items() if runs})
    return parts


def _best(runs: Sequence[Run], references: References) -> dict[tuple[str, str, str, int], float]:
    """(kind, suite, instance, n) -> best value over all runs, whatever their budget, and the references."""
    best: dict[tuple[str, str, str, int], float] = {}
    for run in runs:
        c = run.cell
        for kind in ("strict", "loose"):
            values = [float(run.curves[kind][1][-1])] if len(run.curves[kind][1]) else []
            values += [v for v in (run.f_opt, references.get((c.suite, c.instance, c.n))) if v is not None]
            key = (kind, c.suite, c.instance, c.n)
            best[key] = min([best.get(key, np.inf), *values])
    return best


def _slice(
    suite: str,
    unit: str,
    multiple: float,
    gradient_cost: float,
    by_solver: dict[str, dict[Key, Run]],
    best: Mapping[tuple[str, str, str, int], float],
) -> Slice | None:
    solvers = ordered(by_solver)
    keys = sorted(set.intersection(*(set(runs) for runs in by_solver.values())))
    if not keys:
        return None
    runs = {solver: {key: by_solver[solver][key] for key in keys} for solver in solvers}
    f_opt = [next((r[k].f_opt for r in runs.values() if r[k].f_opt is not None), None) for k in keys]
    f_ref, f_start = {}, {}
    for kind in ("strict", "loose"):
        level = np.array([best[kind, suite, instance, n] for instance, n, _ in keys])
        f_ref[kind] = np.where(np.isfinite(level), level, np.nan)
        firsts = [[run.curves[kind][1][0] for r in runs.values() if len((run := r[k]).curves[kind][1])] for k in keys]
        f_start[kind] = np.array([max(values, default=np.nan) for values in firsts])
    sizes = np.array([float(n) for _, n, _ in keys])
    return Slice(
        suite=suite,
        unit=unit,
        multiple=multiple,
        gradient_cost=gradient_cost,
        solvers=tuple(solvers),
        keys=tuple(keys),
        groups=tuple(runs[solvers[0]][key].cell.group for key in keys),
        runs=runs,
        dropped={solver: len(by_solver[solver]) - len(keys) for solver in solvers},
        sizes=sizes,
        units=np.array([float(evaluations_in(unit, n)) for _, n, _ in keys]),
        f_opt=np.array([np.nan if v is None else v for v in f_opt]),
        f_ref=f_ref,
        f_start=f_start,
    )
