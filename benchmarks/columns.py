"""Hundreds of constraint columns, as a solver that models every constraint can take them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from benchmarks.counting import Counter
    from dfoattack._typing import FloatArray, IntArray


@dataclass(frozen=True)
class Columns:
    """The constraint columns as a solver sees them: all of them, or one a named constraint (its largest).

    Solvers that model every constraint cannot take the hundreds of columns of a path constraint. What is logged and
    scored is always every column.
    """

    groups: tuple[IntArray, ...]

    @property
    def q(self) -> int:
        """Number of columns the solver sees."""
        return len(self.groups)

    def values(self, c: FloatArray) -> FloatArray:
        """(p,) -> (q,)"""
        return np.array([c[group].max() for group in self.groups], dtype=np.float64)

    def rows(self, c: FloatArray) -> IntArray:
        """(p,) -> (q,) the column that is the largest of each group, i.e. whose gradient counts."""
        return np.array(
            [group[np.argmax(np.nan_to_num(c[group], nan=-np.inf))] for group in self.groups], dtype=np.int64
        )


def columns(counter: Counter, limit: int) -> Columns:
    """All columns if there are at most `limit`, else the largest of each named constraint. Needs an evaluated point."""
    p = len(counter.problem.columns)
    if p <= limit:
        return Columns(tuple(np.array([j], dtype=np.int64) for j in range(p)))
    chosen = grouped(counter)
    if chosen.q < p:
        counter.note(f"{p} constraint columns given as {chosen.q}: the largest of each named constraint")
    return chosen


def grouped(counter: Counter) -> Columns:
    """The largest column of each named constraint. Needs an evaluated point."""
    members: dict[str, list[int]] = {}
    for j, (name, _, _) in enumerate(counter.problem.columns):
        members.setdefault(re.sub(r"\[\d+\]$", "", name), []).append(j)
    return Columns(tuple(np.array(group, dtype=np.int64) for group in members.values()))
