"""Evaluations to within 1 % of the best known value, instance by instance, and how often each solver is (nearly) first.

For suites whose optima are not known: there the best known value is all there is, and what a user waits for is a point
that is practically as good.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.arena import profiles
from benchmarks.arena.document import Table
from benchmarks.arena.slices import Slice, ours

if TYPE_CHECKING:
    from dfoattack._typing import BoolArray, FloatArray

SHARE = 0.01
NEAR, TWICE = 1.1, 2.0


@dataclass(frozen=True)
class Race:
    """Solvers S on instances I.

    solvers, instances : names
    times : float64 (I, S)      median over seeds of the evaluations to within 1 % of the best known value; inf: the
                                median run does not arrive
    level : float64 (I,)        the best known value, minimised
    """

    solvers: tuple[str, ...]
    instances: tuple[str, ...]
    times: FloatArray
    level: FloatArray

    @classmethod
    def of(cls, part: Slice, kind: str) -> Race:
        """From the runs of a slice that are feasible in the sense of `kind`."""
        level = part.f_ref[kind]
        times = part.times(kind, (level + SHARE * np.abs(level))[:, None])[:, :, 0]
        names = tuple(dict.fromkeys(part.instances))
        members = [np.array([name == other for other in part.instances]) for name in names]
        medians = [[profiles.median(row[inside]) for row in times] for inside in members]
        return cls(part.solvers, names, np.array(medians), np.array([level[inside][0] for inside in members]))

    @property
    def first(self) -> FloatArray:
        """(I,) what the fastest solver needs, random search aside; inf where none arrives."""
        rivals = [s for s, name in enumerate(self.solvers) if name != "random"]
        return np.asarray(np.min(self.times[:, rivals], axis=1, initial=np.inf), dtype=np.float64)

    def within(self, factor: float) -> BoolArray:
        """(I, S) within `factor` times the fastest; False where that solver does not arrive."""
        return np.asarray(np.isfinite(self.times) & (self.times <= factor * self.first[:, None]), dtype=np.bool_)


def table(race: Race) -> Table:
    """Rows of instances; ours is bold where it is neither first nor within 10 % of the first."""
    near, decided = race.within(NEAR), np.isfinite(race.first)
    rows, bold = [], set()
    for i, name in enumerate(race.instances):
        cells = [f"{t:.0f}" if math.isfinite(t) else "-" for t in race.times[i]]
        rows.append((name.rpartition("/")[0], name.rpartition("/")[2], f"{race.level[i]:.6g}", *cells))
        for s, solver in enumerate(race.solvers):
            if ours(solver) and decided[i] and not near[i, s]:
                bold.add((i, s + 3))
    caption = (
        "Evaluations to within 1 % of the best known value (minimised), median over seeds; - the median run does not arrive. "
        "Bold: we are more than 10 % slower than the first."
    )
    return Table(("instance", "n", "best known", *race.solvers), tuple(rows), frozenset(bold), caption)


def places(race: Race) -> Table:
    """Rows of solvers: share of instances where it is first or nearly so; of those where anybody arrives."""
    decided = np.isfinite(race.first)
    count = int(decided.sum())
    near, twice = race.within(NEAR)[decided], race.within(TWICE)[decided]
    arrives = np.isfinite(race.times[decided])
    shares = [arrived.mean(axis=0) if count else np.zeros(len(race.solvers)) for arrived in (near, twice, arrives)]
    rivals = [s for s, name in enumerate(race.solvers) if not ours(name) and name != "random"]
    rows = tuple((name, *(f"{share[s]:.0%}" for share in shares)) for s, name in enumerate(race.solvers))
    bold = {
        (s, j)
        for s, name in enumerate(race.solvers)
        for j, share in enumerate(shares, start=1)
        if ours(name) and rivals and max(share[rivals]) > share[s]
    }
    missed = len(race.instances) - count
    caption = f"Shares of {count} instances" + (f"; on {missed} more nobody's median run arrives." if missed else ".")
    return Table(("solver", "first or within 10 %", "within 2x", "arrives"), rows, frozenset(bold), caption)
