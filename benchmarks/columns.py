"""Hundreds of constraint columns, as a solver that models every constraint can take them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from benchmarks.counting import Counter
    from dfoattack._typing import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Columns:
    """The constraint columns as a solver sees them: all of them, or one a named constraint (its largest).

    Solvers that model every constraint cannot take the hundreds of columns of a path constraint. An equality is never
    put together with others. What is logged and scored is always every column.

    groups : tuple of int arrays        columns of which the solver sees the largest
    equality : bool (q,)                the two-sided ones, each alone in its group
    tol : float64 (q,)                  half the width of their bands
    """

    groups: tuple[IntArray, ...]
    equality: BoolArray
    tol: FloatArray

    @property
    def q(self) -> int:
        """Number of columns the solver sees."""
        return len(self.groups)

    @property
    def low(self) -> FloatArray:
        """(q,) lower sides: -inf, of an equality -tol."""
        return np.where(self.equality, -self.tol, -np.inf)

    @property
    def high(self) -> FloatArray:
        """(q,) upper sides: 0, of an equality tol."""
        return np.where(self.equality, self.tol, 0.0)

    @property
    def sides(self) -> int:
        """Number of columns for a solver that knows c <= 0 only."""
        return self.q + int(self.equality.sum())

    def values(self, c: FloatArray) -> FloatArray:
        """(p,) -> (q,)"""
        return np.array([c[group].max() for group in self.groups], dtype=np.float64)

    def one_sided(self, c: FloatArray) -> FloatArray:
        """(p,) -> (sides,): an equality as c - tol, and as -c - tol after all others."""
        v = self.values(c)
        return np.concatenate([v - self.high, -(v + self.tol)[self.equality]])

    def rows(self, c: FloatArray) -> IntArray:
        """(p,) -> (q,) the column that is the largest of each group, i.e. whose gradient counts."""
        return np.array(
            [group[np.argmax(np.nan_to_num(c[group], nan=-np.inf))] for group in self.groups], dtype=np.int64
        )


def columns(counter: Counter, limit: int) -> Columns:
    """All columns if there are at most `limit`, else the largest of each named constraint. Needs an evaluated point."""
    p = len(counter.problem.columns)
    if p <= limit:
        return _columns(counter, [[j] for j in range(p)])
    chosen = grouped(counter)
    if chosen.q < p:
        counter.note(f"{p} constraint columns given as {chosen.q}: the largest of each named constraint")
    return chosen


def grouped(counter: Counter) -> Columns:
    """The largest column of each named constraint. Needs an evaluated point."""
    problem = counter.problem
    members: dict[str, list[int]] = {}
    for j, (name, _, _) in enumerate(problem.columns):
        members.setdefault(name if problem.equality[j] else re.sub(r"\[\d+\]$", "", name), []).append(j)
    return _columns(counter, list(members.values()))


def _columns(counter: Counter, groups: list[list[int]]) -> Columns:
    problem, first = counter.problem, [group[0] for group in groups]
    return Columns(
        tuple(np.array(group, dtype=np.int64) for group in groups),
        np.array([problem.equality[j] for j in first], dtype=np.bool_),
        np.array([problem.columns[j][2] for j in first], dtype=np.float64),
    )
