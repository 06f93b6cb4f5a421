"""What a suite and its instances are; nothing about any particular suite."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from dfoattack import Problem
    from dfoattack._typing import FloatArray


@dataclass(frozen=True)
class Instance:
    """One benchmark problem by name; small, hashable and picklable, so that it can be sent to another process.

    Attributes
    ----------
    suite, name : str
        `name` is unique within the suite and safe as a file name
    group : str
        function or family; tables have one line a group
    n : int
        number of variables
    build : callable (title, *arguments) -> Problem
        a module-level function; the problem minimises, and its `known` holds the optimal value where there is one
    arguments : tuple
        plain values
    """

    suite: str
    name: str
    group: str
    n: int
    build: Callable[..., Problem]
    arguments: tuple[Any, ...] = ()

    @property
    def title(self) -> str:
        """`suite/name`, the name of the problem."""
        return f"{self.suite}/{self.name}"

    def problem(self, seed: int | None = None) -> Problem:
        """A fresh problem; with a seed, its x0 is `start(seed)`.

        Raises ImportError, with the cure, where the suite needs a package that is missing.
        """
        problem = self.build(self.title, *self.arguments)
        if seed is not None:
            problem.x0 = problem.space.admit("x0", self.start(seed)[None])
        return problem

    def start(self, seed: int) -> FloatArray:
        """(n,) starting point for `seed` >= 0: the suite's own where it has one, else uniform in the box.

        Integer and granular variables are moved to their lattice. Depends on suite, name and seed alone, so every
        solver gets the same one.
        """
        own = self.problem().x0
        return self.random_start(seed) if own is None else np.array(own[seed % own.shape[0]])

    def random_start(self, seed: int) -> FloatArray:
        """(n,) uniform in the box, see `start`. Raises ValueError without finite bounds."""
        box = self.problem().space
        if not (np.isfinite(box.free_lower).all() and np.isfinite(box.free_upper).all()):
            raise ValueError(f"`{self.title}` must have finite bounds or a start of its own, got {box!r}.")
        rng = np.random.default_rng([zlib.crc32(self.title.encode()), seed])
        uniform = box.free_lower + (box.free_upper - box.free_lower) * rng.random(box.n_free)
        return box.expand(box.snap(np.minimum(uniform, box.free_upper)))


@dataclass(frozen=True)
class Suite:
    """A named list of instances with its usual budget.

    Attributes
    ----------
    name, description : str
    unit : {"n", "n+1", "1"}
        what budgets and profiles of this suite are multiples of; "1": evaluations, whatever n
    multiple : int
        usual budget, in units
    dimensions : tuple of int
        the n that are taken when none is asked for
    make : callable (dimensions) -> instances
        of these n; one that the suite does not have gives none
    """

    name: str
    description: str
    unit: str
    multiple: int
    dimensions: tuple[int, ...]
    make: Callable[[tuple[int, ...]], Iterable[Instance]]

    def instances(self, n: Sequence[int] | None = None, only: Sequence[str] | None = None) -> list[Instance]:
        """The instances of the dimensions `n` whose name or group matches a pattern of `only`.

        Parameters
        ----------
        n : sequence of int >= 1, optional          default: `dimensions`
        only : sequence of str, optional            names, groups, or patterns such as "f0[1-5]*"; default: all

        Raises
        ------
        ValueError
            a pattern matches nothing, or nothing is left
        """
        wanted = self.dimensions if n is None else tuple(int(value) for value in n)
        found = list(self.make(wanted))
        if not found:
            raise ValueError(f"Suite `{self.name}` has no instances with n in {list(wanted)}.")
        if only is None:
            return found
        for pattern in only:
            if not any(_matches(instance, pattern) for instance in found):
                groups = ", ".join(dict.fromkeys(instance.group for instance in found))
                raise ValueError(f"Suite `{self.name}` has no instance or group `{pattern}`; groups: {groups}.")
        return [instance for instance in found if any(_matches(instance, pattern) for pattern in only)]

    def budget(self, n: int, multiple: float | None = None) -> int:
        """Evaluations for an instance of n variables: `multiple` (default: the suite's) units."""
        return math.ceil((self.multiple if multiple is None else multiple) * evaluations_in(self.unit, n))


def evaluations_in(unit: str, n: int) -> int:
    """How many evaluations a unit "n", "n+1" or "1" of a budget is for n variables."""
    return {"n": n, "n+1": n + 1, "1": 1}[unit]


def _matches(instance: Instance, pattern: str) -> bool:
    return fnmatchcase(instance.name, pattern) or fnmatchcase(instance.group, pattern)
