"""What several adaptors need: an l1 penalty for solvers without constraints, a finite box, seeds of the old kind."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.starts import generator, reach

if TYPE_CHECKING:
    import numpy.typing as npt

    from benchmarks.counting import Counter
    from dfoattack._typing import FloatArray

# F of a failed point is infinite, which models and line searches cannot use.
LARGE = 1e30
PENALTY = 1e3
PENALTY_TEXT = f"no constraints of its own: {PENALTY:g} times the sum of max(c, 0), of an equality max(|c| - tol, 0), is added to the objective"


def penalised(counter: Counter, z: npt.ArrayLike) -> float:
    """F + PENALTY * sum max(c, 0) at one point (n_free,), at most LARGE; LARGE where the point failed."""
    F, c = counter.value(z)
    value = F + PENALTY * float(np.sum(np.maximum(one_sided(counter, c), 0.0)))
    return min(value, LARGE) if np.isfinite(value) else LARGE


def one_sided(counter: Counter, c: FloatArray) -> FloatArray:
    """(p,) -> (p,): c, of an equality |c| - tol."""
    return np.where(counter.problem.equality, counter.problem.excess(c[None])[0], c)


def violation_slopes(counter: Counter, c: FloatArray) -> FloatArray:
    """(p,) -> (p,): derivative of max(c, 0), of an equality max(|c| - tol, 0), by c; 0 where it is met."""
    return np.where(one_sided(counter, c) > 0.0, np.where(counter.problem.equality, np.sign(c), 1.0), 0.0)


@dataclass(frozen=True)
class UnitBox:
    """The box as [0, 1]^n; a side without bound ends where random starts end (`benchmarks.starts.reach`)."""

    lower: FloatArray
    upper: FloatArray

    @classmethod
    def of(cls, counter: Counter) -> UnitBox:
        """The box of the free variables."""
        return cls(*reach(counter.problem))

    def point(self, u: npt.ArrayLike) -> FloatArray:
        """(n_free,) -> (n_free,), user units; what lies outside is moved to the bound."""
        u = np.asarray(u, dtype=np.float64)
        return np.asarray(np.clip(self.lower + (self.upper - self.lower) * u, self.lower, self.upper), dtype=np.float64)

    def unit(self, z: npt.ArrayLike) -> FloatArray:
        """Inverse of `point` inside the box."""
        return np.asarray(np.clip((np.asarray(z) - self.lower) / (self.upper - self.lower), 0.0, 1.0), dtype=np.float64)


def number(counter: Counter, seed: int, k: int) -> int:
    """A seed for restart k of a solver that wants an integer."""
    return int(generator(counter.problem, seed, k).integers(1, 2**31 - 1))


@contextmanager
def old_seed(counter: Counter, seed: int, k: int) -> Iterator[None]:
    """Seed NumPy's global generator, for solvers that draw from nothing else; puts it back afterwards. Silences them."""
    before = np.random.get_state()  # noqa: NPY002  (their only source of numbers)
    np.random.seed(number(counter, seed, k))  # noqa: NPY002
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
