"""What the constraints say at one point: of every constraint the worst column, and whether it is satisfied, active or violated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.linear import Linear
from dfoattack.problem import Problem

__all__ = ["ACTIVE", "ConstraintRow", "Group", "constraint_rows", "groups_of", "linear_rows"]

ACTIVE = 1e-4  # distance from the limit, in units of max(1, |c| at the first point), below which a constraint is active
LINEAR_ACTIVE = 1e-9  # the same for linear constraints, in units of their terms


class Group(NamedTuple):
    """The columns that come from one constraint function."""

    name: str
    kind: str
    tol: float
    width: int
    equality: bool = False


@dataclass(frozen=True)
class ConstraintRow:
    """The worst column of one constraint at a point: index of that column, its value, and what that means."""

    group: Group
    column: int
    value: float
    state: str  # "satisfied" | "active" | "violated"

    @property
    def label(self) -> str:
        """Name of the constraint, and which of its columns is meant."""
        group = self.group
        return group.name if group.width == 1 else f"{group.name} (worst of {group.width}: [{self.column}])"

    @property
    def rule(self) -> str:
        """What was asked of the value."""
        group = self.group
        return f"|c| <= {group.tol:g}" if group.equality else f"c <= {group.tol:g}"


def groups_of(problem: Problem) -> tuple[Group, ...]:
    """Constraint columns of a problem by function; empty before the first evaluation."""
    widths = problem.widths or ()
    return tuple(Group(c.name, c.kind, c.tol, q, c.equality) for c, q in zip(problem.constraints, widths, strict=False))


def constraint_rows(groups: Sequence[Group], C: FloatArray, row: int) -> list[ConstraintRow]:
    """The worst column of every constraint at point `row` of the constraint log C (N, p)."""
    if not groups or C.shape[1] != sum(group.width for group in groups):
        return []
    known = np.flatnonzero(np.isfinite(C).all(axis=1))
    scale = np.maximum(1.0, np.abs(C[known[0]])) if known.size else np.ones(C.shape[1])
    out, start = [], 0
    for group in groups:
        part = slice(start, start + group.width)
        start += group.width
        if not group.width:
            continue
        values = C[row, part]
        excess = (np.abs(values) if group.equality else values) - group.tol
        worst = int(np.argmax(excess / scale[part]))
        if np.any(excess > 0.0):
            worst, state = int(np.argmax(excess)), "violated"
        else:  # an equality that is met is active by what it means
            state = "active" if group.equality or np.any(excess >= -ACTIVE * scale[part]) else "satisfied"
        out.append(ConstraintRow(group, worst, float(values[worst]), state))
    return out


def linear_rows(linear: Sequence[Linear], x: FloatArray) -> list[ConstraintRow]:
    """The worst row of every known linear constraint at the full point x (n,)."""
    out = []
    for entry in linear:
        excess, equality = entry.excess(x[None, :])[0], entry.equality
        size = np.abs(entry.A) @ np.abs(x) + np.where(np.isfinite(entry.upper), np.abs(entry.upper), 0.0) + 1e-300
        worst = (
            int(np.argmax(np.where(equality, -np.inf, excess / size))) if not equality.all() else int(np.argmax(excess))
        )
        active = bool(equality[worst] or excess[worst] >= -LINEAR_ACTIVE * size[worst])
        group = Group(entry.name, "linear", 0.0, entry.A.shape[0], bool(equality[worst]))
        out.append(ConstraintRow(group, worst, float(excess[worst]), "active" if active else "satisfied"))
    return out
