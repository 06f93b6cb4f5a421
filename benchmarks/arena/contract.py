"""What the arena asks of a suite; `benchmarks.suites` provides them, anyone else's package may."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem


class Instance(Protocol):
    """One problem of a suite, cheap to hold: the problem is built when asked for."""

    @property
    def name(self) -> str: ...

    @property
    def group(self) -> str: ...

    @property
    def n(self) -> int: ...

    def problem(self) -> Problem:
        """A fresh problem; `known` holds the optimal value where there is one."""
        ...

    def start(self, seed: int) -> FloatArray:
        """(n,) start of that seed, the same for every solver."""
        ...


class Suite(Protocol):
    """A list of instances and the unit of their budgets, "n", "n+1" or "1" (evaluations)."""

    @property
    def unit(self) -> str: ...

    def instances(self, n: Sequence[int] | None = None, only: Sequence[str] | None = None) -> Sequence[Instance]:
        """Those with n in the given list and a name that one of `only` selects; None: all."""
        ...
