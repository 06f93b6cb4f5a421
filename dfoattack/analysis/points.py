"""The points whose attacks are counted: spread over the box, and met on the way of a run."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack.api import solve
from dfoattack.attacks.base import violation
from dfoattack.barrier import Columns
from dfoattack.errors import OptionError
from dfoattack.evaluator import Evaluator
from dfoattack.problem import Problem
from dfoattack.summary import improvements
from dfoattack.trust.balls import reach_of

__all__ = ["SAMPLES", "THIRDS", "Points", "draw", "judged", "reach"]

SAMPLES = ("uniform", "run")
THIRDS = ("worst third", "middle third", "best third")
PARKED = 1e-3  # closeness to a constraint, in units of its scale, from which a feasible point counts as lying on it


@dataclass(frozen=True, eq=False)
class Points:
    """k points with values, free variables, minimised.

    Attributes
    ----------
    Z : float64 (k, n)          points
    F : float64 (k,)            objective
    C : float64 (k, p)          constraint values
    h : float64 (k,)            violation, 0 iff feasible
    sample : int64 (k,)         index into `SAMPLES`
    third : int64 (k,)          index into `THIRDS`: rank among all points by violation, then objective
    parked : bool (k,)          feasible and on a constraint, where a plain descent step is likely to leave the feasible set
    columns : Columns           tolerances and scales by which points are judged
    failed : int                drawn points without a value, left out
    """

    Z: FloatArray
    F: FloatArray
    C: FloatArray
    h: FloatArray
    sample: IntArray
    third: IntArray
    parked: BoolArray
    columns: Columns
    failed: int

    def __len__(self) -> int:
        return int(self.F.shape[0])


def draw(problem: Problem, count: int = 60, *, budget: float | None = None, seed: int = 0) -> Points:
    """Draw `count` points uniformly in the box and at most `count` incumbents, evenly, from one run.

    Parameters
    ----------
    count : int             >= 3
    budget : float          of the run; None: 100 (n + 1) evaluations
    seed : int              of the points and of the run

    Raises
    ------
    OptionError             `count` is out of range, or fewer than three points have a value
    """
    if isinstance(count, bool) or not isinstance(count, (int, np.integer)) or count < 3:
        raise OptionError(f"`points` must be an integer >= 3, got {count!r}.")
    rng = np.random.Generator(np.random.PCG64(seed))
    uniform = _uniform(problem, int(count), rng)
    result = solve(
        problem, budget=100.0 * (problem.n + 1) if budget is None else budget, seed=seed, options={"trust": "off"}
    )
    rows = improvements(result.records, problem.sense)
    rows = rows[np.unique(np.linspace(0, rows.size - 1, min(int(count), rows.size)).round().astype(np.int64))]
    Z = np.vstack([uniform, problem.space.reduce(result.records.x[rows])])
    sample = np.repeat(np.arange(2), [uniform.shape[0], rows.size])
    found = Evaluator(problem).evaluate(Z)
    ok = found.ok & np.isfinite(found.C).all(axis=1)
    if np.count_nonzero(ok) < 3:
        raise OptionError(f"At least 3 points must have a value, got {np.count_nonzero(ok)} of {Z.shape[0]}.")
    Z, F, C = Z[ok], found.F[ok], found.C[ok]
    specs = [(*column, bool(two)) for column, two in zip(problem.columns, problem.equality, strict=True)]
    columns = Columns.of(specs, np.median(np.abs(C), axis=0)) if specs else Columns.none()
    h = judged(C, columns)
    rank = np.empty(len(F), dtype=np.int64)
    rank[np.lexsort((-F, -h))] = np.arange(len(F))  # the worst first
    near = columns.excess(C) >= -PARKED * columns.scale
    parked = (h == 0.0) & np.any(near & ~columns.equality, axis=1)
    return Points(Z, F, C, h, sample[ok], rank * 3 // len(F), parked, columns, int(np.count_nonzero(~ok)))


def judged(C: FloatArray, columns: Columns) -> FloatArray:
    """Violation h (k,) of constraint values C (k, p), equalities two-sided; +inf where a value is missing."""
    if not columns.tol.shape[0]:
        return np.zeros(C.shape[0])
    return violation(columns.excess(C), np.zeros_like(columns.tol), columns.scale)


def reach(problem: Problem) -> FloatArray:
    """What radius 1 means for each free variable (n_free,), user units."""
    return np.asarray(problem.space.reduce(reach_of(problem)[None])[0], dtype=np.float64)


def _uniform(problem: Problem, count: int, rng: np.random.Generator) -> FloatArray:
    """Admissible points (count, n_free): uniform in the box, of unbounded variables about the start; moved into known linear constraints."""
    space, size = problem.space, reach(problem)
    start = np.zeros(size.shape[0]) if problem.x0 is None else space.reduce(problem.x0)[0]
    low, high = space.free_lower, space.free_upper
    lower = np.where(np.isfinite(low), low, np.where(np.isfinite(high), high - size, start - 0.5 * size))
    upper = np.where(np.isfinite(high), high, lower + size)
    Z = np.asarray(space.snap(rng.uniform(lower, upper, (count, size.shape[0]))))
    if problem.polyhedron is None:
        return Z
    nearest = [problem.polyhedron.nearest(z, size) for z in Z]
    return np.array([z for z in nearest if z is not None]).reshape(-1, size.shape[0])
