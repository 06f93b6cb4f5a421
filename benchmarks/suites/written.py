"""Problems written out in full: functions, bounds, the published optimum and a point that attains it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.suites.base import Instance
from dfoattack import Box, Constraint, Known, Problem

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

    Function = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class Written:
    """Minimise f subject to c <= 0 in a box.

    Attributes
    ----------
    objective : callable, X (k, n) -> (k,)
    constraints : callable, X (k, n) -> (k, p), or None
    lower, upper : n numbers
    published : str
        optimal value as printed in the source; its last digit says how far it can be trusted
    x : n numbers
        a feasible point (violation below 1e-12) that attains it
    start : n numbers
        the source's own start; empty: random ones
    integer : indices of integer variables
    granularity : {index: step} of other discrete variables
    exact : bool
        the optimum is proven, not only the best of many authors
    """

    objective: Function
    constraints: Function | None
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    published: str
    x: tuple[float, ...]
    start: tuple[float, ...] = ()
    integer: tuple[int, ...] = ()
    granularity: tuple[tuple[int, float], ...] = ()
    exact: bool = False

    @property
    def n(self) -> int:
        """Number of variables."""
        return len(self.lower)

    @property
    def half_unit(self) -> float:
        """Half a unit of the last printed digit."""
        decimals = len(self.published.partition(".")[2])
        return float(0.5 * 10.0**-decimals)

    def value(self) -> float:
        """f at x, which has more digits than what is printed."""
        return float(self.objective(np.array([self.x]))[0])

    def problem(self, title: str) -> Problem:
        """The problem of that name."""
        steps = dict(self.granularity)
        return Problem(
            objective=self.objective,
            constraints=() if self.constraints is None else Constraint(self.constraints, name="c"),
            space=Box(self.lower, self.upper, integer=list(self.integer) or None, granularity=steps or None),
            x0=self.start or None,
            sense="minimize",
            name=title,
            known=Known(
                value=self.value(),
                x=np.array(self.x),
                kind="exact" if self.exact else "best_known",
                tol=self.half_unit,
                how=f"published: {self.published}",
            ),
            backend="numpy",
        )


def listing(
    suite: str, table: Mapping[str, Written], build: Callable[[str, str], Problem], dimensions: tuple[int, ...]
) -> Iterator[Instance]:
    """One instance an entry, its own group; `build(title, name)` looks the entry up."""
    for name, entry in table.items():
        if entry.n in dimensions:
            yield Instance(suite, name, name, entry.n, build, (name,))


def dimensions_of(table: Mapping[str, Written]) -> tuple[int, ...]:
    """The n that occur."""
    return tuple(sorted({entry.n for entry in table.values()}))
