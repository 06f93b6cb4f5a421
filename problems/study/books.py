"""Counted, logged evaluations with the score by which the study's methods compare points."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from dfoattack.problem import Problem

FloatArray = npt.NDArray[np.float64]
Score = tuple[float, float]
"""Compared as tuples, larger is better: (0, penalised value), or by the barrier (-sum of squared violations, value)."""


def _nothing() -> None:
    pass


class Spent(Exception):
    """The budget is used up."""


@dataclass(frozen=True)
class Point:
    """An evaluated point: x (n,), outputs y (m,), objective to be maximised, c - tol (p,), and its score."""

    x: FloatArray
    y: FloatArray
    f: float
    c: FloatArray
    score: Score


@dataclass
class Books:
    """The door of the study's methods to a problem: counts, logs, scores, and stops with `Spent`.

    Parameters
    ----------
    problem : Problem
    budget : float              evaluations; a vector-Jacobian product counts `gradient_cost`
    gradient_cost : float
    scale : float64 (p,) or None    constraint columns are multiplied by it in the penalty; None: by 1
    barrier : bool              compare by violation first and value second, instead of by value - penalty
    on_gradient : callable      called for every vector-Jacobian product, for those who keep books of their own
    """

    problem: Problem
    budget: float
    gradient_cost: float = 2.0
    scale: FloatArray | None = None
    barrier: bool = False
    on_gradient: Callable[[], None] = _nothing
    spent: float = 0.0
    nfev: int = 0
    ngev: int = 0
    rows: list[tuple[float, float, float, float, str, int, float]] = field(default_factory=list)
    points: list[FloatArray] = field(default_factory=list)
    _began: float = field(default_factory=time.perf_counter)

    @property
    def sign(self) -> float:
        """+1 if the problem maximises: everything here does."""
        return -float(self.problem.sign)

    def evaluate(self, x: FloatArray, step: str, iteration: int, radius: float = 0.0) -> Point:
        """Evaluate one point, moved into the box first; logged under the name of the step that proposed it."""
        if self.spent + 1.0 > self.budget:
            raise Spent
        space = self.problem.space
        x = np.clip(x, space.lower, space.upper) + 0.0
        Y = self.problem.forward(x[None])
        f, C = self.problem.outer(x[None], Y)
        self.spent += 1.0
        self.nfev += 1
        c = self.problem.excess(C)[0]
        point = Point(x, Y[0], self.sign * float(f[0]), c, self.score(self.sign * float(f[0]), c))
        violation = float(c.max(initial=0.0))
        elapsed = time.perf_counter() - self._began
        self.rows.append((float(f[0]), violation, self.spent, elapsed, step, iteration, radius))
        self.points.append(x)
        return point

    def charge_gradient(self) -> None:
        """Book one vector-Jacobian product."""
        if self.spent + self.gradient_cost > self.budget:
            raise Spent
        self.spent += self.gradient_cost
        self.ngev += 1
        self.on_gradient()

    def weights(self, p: int) -> FloatArray:
        """The scale of each of p columns."""
        return np.ones(p) if self.scale is None else self.scale

    def score(self, f: float, c: FloatArray) -> Score:
        """See `Score`; a point that failed or is not finite scores worst."""
        if not (np.isfinite(f) and np.isfinite(c).all()):
            return (-np.inf, -np.inf)
        penalty = float((np.maximum(self.weights(len(c)) * c, 0.0) ** 2).sum())
        return (-penalty, f) if self.barrier else (0.0, f - penalty)


def sufficient(new: Score, old: Score) -> bool:
    """The study's test: a gain of a thousandth of the value's size, whatever the step's length."""
    i = 1 if new[0] == old[0] else 0
    return new > old and new[i] - old[i] >= 1e-3 * abs(old[i])
