"""What is to be run: one cell is one solver on one instance with one seed and one budget."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.arena.contract import Suite

_BUDGET = re.compile(r"(?P<factor>\d+(?:\.\d+)?(?:e\d+)?)\s*\*?\s*(?P<unit>n|\(n\+1\))?")


@dataclass(frozen=True)
class Cell:
    """One run to be made.

    suite, instance, group : str    where it comes from; `instance` and `n` are unique within the suite
    n : int                         number of variables
    solver : str                    base name and options as given, e.g. "dfoattack:covering=False"
    seed : int                      of the start and of the solver
    budget : float                  counted evaluations
    gradient_cost : float           evaluations charged for one vector-Jacobian product at one point
    """

    suite: str
    instance: str
    group: str
    n: int
    solver: str
    seed: int
    budget: float
    gradient_cost: float

    @property
    def key(self) -> tuple[Any, ...]:
        """What makes two runs the same measurement."""
        return (self.suite, self.instance, self.n, self.solver, self.seed, self.budget, self.gradient_cost)

    @property
    def lane(self) -> tuple[str, str]:
        """Cells of one lane may share a process: same suite and solver."""
        return (self.suite, self.solver)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able; inverse of `Cell(**mapping)`."""
        return asdict(self)


def parse_budget(text: str, n: int) -> float:
    """Counted evaluations for n variables from `200n`, `50(n+1)` or a number. Raises ValueError for anything else.

    >>> parse_budget("200n", 5), parse_budget("50(n+1)", 5), parse_budget("700", 5)
    (1000.0, 300.0, 700.0)
    """
    match = _BUDGET.fullmatch(text.strip().lower().replace(" ", ""))
    if match is None or float(match["factor"]) <= 0.0:
        raise ValueError(f"A budget must read like 200n, 50(n+1) or 700 (> 0), got {text!r}.")
    return float(match["factor"]) * {None: 1, "n": n, "(n+1)": n + 1}[match["unit"]]


def load_suite(name: str) -> Suite:
    """The suite of that name in `benchmarks.suites`, or what `package.module:function` returns."""
    module, _, attribute = name.partition(":")
    suite: Suite
    if attribute:
        suite = getattr(import_module(module), attribute)()
    else:
        suite = import_module("benchmarks.suites").load(name)
    return suite


def cells_of(
    suite_name: str,
    solvers: Sequence[str],
    *,
    budget: str,
    seeds: int,
    gradient_cost: float,
    n: Sequence[int] | None = None,
    only: Sequence[str] | None = None,
) -> list[Cell]:
    """All cells, seeds outermost: a run that is stopped early has every solver at every instance with fewer seeds."""
    suite = load_suite(suite_name)
    instances = suite.instances(n=n, only=only)
    if not instances:
        raise ValueError(f"Nothing in suite {suite_name!r} fits n = {n}, only = {only}.")
    return [
        Cell(suite_name, i.name, i.group, i.n, solver, seed, parse_budget(budget, i.n), gradient_cost)
        for seed in range(seeds)
        for size in sorted({i.n for i in instances})
        for solver in solvers
        for i in instances
        if i.n == size
    ]
