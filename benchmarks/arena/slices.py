"""Runs sorted for comparison: one slice is one suite, one n, one budget; within it every solver ran the same problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.arena.profiles import first_hits

if TYPE_CHECKING:
    from benchmarks.arena.store import Run
    from dfoattack._typing import FloatArray

# (instance, seed): what profiles call a problem
Key = tuple[str, int]
# (suite, instance, n) -> a value at least this good is known to exist
References = Mapping[tuple[str, str, int], float]


@dataclass(frozen=True)
class Slice:
    """All solvers on the problems that each of them has run.

    suite, n, budget, gradient_cost, unit
    solvers : tuple of str              ours first, then by name
    keys : tuple of (instance, seed)    common to all solvers
    groups : tuple of str               of each key
    runs : {solver: {key: Run}}
    dropped : {solver: int}             runs of problems that some other solver lacks
    f_opt : float64 (P,)                known optimal values, NaN where unknown
    f_ref : {kind: float64 (P,)}        the level gaps are measured from; NaN where nothing feasible is known
    f_start : {kind: float64 (P,)}      worst first feasible value over all solvers; f(x0) where x0 is feasible
    """

    suite: str
    n: int
    budget: float
    gradient_cost: float
    unit: str
    solvers: tuple[str, ...]
    keys: tuple[Key, ...]
    groups: tuple[str, ...]
    runs: dict[str, dict[Key, Run]]
    dropped: dict[str, int]
    f_opt: FloatArray
    f_ref: dict[str, FloatArray]
    f_start: dict[str, FloatArray]

    @property
    def title(self) -> str:
        """For headings."""
        return f"{self.suite}, n = {self.n}, {self.budget:g} evaluations"

    @property
    def name(self) -> str:
        """For file names."""
        return f"{self.suite.replace(':', '-').replace('/', '-')}-n{self.n}-{self.budget:g}"

    @property
    def units(self) -> int:
        """Evaluations in one unit of the horizontal axis."""
        return self.n if self.unit == "n" else self.n + 1

    @property
    def instances(self) -> tuple[str, ...]:
        """Of each key: the unit of the bootstrap, since seeds of one instance are not independent problems."""
        return tuple(instance for instance, _ in self.keys)

    @property
    def constrained(self) -> bool:
        """True iff some run has constraint columns."""
        return any((run.constraints or 0) > 0 for runs in self.runs.values() for run in runs.values())

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


def slices_of(runs: Sequence[Run], references: References, solvers: Sequence[str] | None = None) -> list[Slice]:
    """Slices by suite, n and budget. Of runs of the same cell the last counts. Raises ValueError if nothing is left."""
    best = _best(runs, references)
    chosen: dict[tuple[str, int, float, float], dict[str, dict[Key, Run]]] = {}
    for run in runs:
        c = run.cell
        if solvers is None or c.solver in solvers:
            place = chosen.setdefault((c.suite, c.n, c.budget, c.gradient_cost), {})
            place.setdefault(c.solver, {})[c.instance, c.seed] = run
    out = []
    for where, by_solver in sorted(chosen.items()):
        found = _slice(*where, by_solver, best)
        if found is not None:
            out.append(found)
    if not out:
        raise ValueError("No problem was run by all solvers; choose some with --solvers.")
    return out


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
    n: int,
    budget: float,
    gradient_cost: float,
    by_solver: dict[str, dict[Key, Run]],
    best: Mapping[tuple[str, str, str, int], float],
) -> Slice | None:
    solvers = ordered(by_solver)
    keys = sorted(set.intersection(*(set(runs) for runs in by_solver.values())))
    if not keys:
        return None
    runs = {solver: {key: by_solver[solver][key] for key in keys} for solver in solvers}
    any_run = runs[solvers[0]]
    units = {run.unit for one in runs.values() for run in one.values() if run.unit}
    f_opt = [next((r[k].f_opt for r in runs.values() if r[k].f_opt is not None), None) for k in keys]
    f_ref, f_start = {}, {}
    for kind in ("strict", "loose"):
        level = np.array([best[kind, suite, instance, n] for instance, _ in keys])
        f_ref[kind] = np.where(np.isfinite(level), level, np.nan)
        firsts = [[run.curves[kind][1][0] for r in runs.values() if len((run := r[k]).curves[kind][1])] for k in keys]
        f_start[kind] = np.array([max(values, default=np.nan) for values in firsts])
    return Slice(
        suite=suite,
        n=n,
        budget=budget,
        gradient_cost=gradient_cost,
        unit=next(iter(units), "n"),
        solvers=tuple(solvers),
        keys=tuple(keys),
        groups=tuple(any_run[key].cell.group for key in keys),
        runs=runs,
        dropped={solver: len(by_solver[solver]) - len(keys) for solver in solvers},
        f_opt=np.array([np.nan if v is None else v for v in f_opt]),
        f_ref=f_ref,
        f_start=f_start,
    )
