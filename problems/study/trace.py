"""The raw record of one run, whoever made it, as arrays in one file."""

from __future__ import annotations

import itertools
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

import dfoattack as da

from .books import Books, FloatArray

if TYPE_CHECKING:
    from dfoattack.problem import Problem
    from dfoattack.progress import Event

FEASIBLE = 1e-9
"""Largest violation of a point that counts as feasible here, beyond the constraint's own tolerance."""


@dataclass
class Trace:
    """Every evaluated point of a run in order.

    Attributes
    ----------
    f : float64 (N,)            objective, the problem's sense
    violation : float64 (N,)    max(c - tol, 0)
    spent : float64 (N,)        counted work when the value was known, gradients included
    seconds : float64 (N,)      since the run began
    step : str (N,)             which step proposed the point
    iteration : int64 (N,)
    moves : float64 (q, n)      the first point and those that improved on all before by (violation, f)
    nfev, ngev, wall            points, vector-Jacobian products, seconds of the whole run
    """

    f: FloatArray
    violation: FloatArray
    spent: FloatArray
    seconds: FloatArray
    step: npt.NDArray[np.str_]
    iteration: npt.NDArray[np.int64]
    moves: FloatArray
    nfev: int
    ngev: int
    wall: float

    def best(self, maximize: bool = True) -> FloatArray:
        """Best feasible f after each point, (N,); NaN before the first feasible one."""
        values = np.where(self.violation <= FEASIBLE, self.f, np.nan)
        return np.asarray(np.fmax.accumulate(values) if maximize else np.fmin.accumulate(values))

    def improving(self) -> npt.NDArray[np.bool_]:
        """Whether a point is better than all before it: less violated, or feasible with a larger f, (N,)."""
        return _improving(self.f, self.violation)

    def save(self, path: Path) -> None:
        """Write one `.npz` under a temporary name first, so that a file that is there is whole."""
        arrays = {name: value for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        scalars = {name: value for name, value in vars(self).items() if name not in arrays}
        part = path.with_suffix(".part.npz")
        np.savez_compressed(part, scalars=np.array(json.dumps(scalars)), **arrays)
        part.replace(path)

    @classmethod
    def load(cls, path: Path) -> Trace:
        """Inverse of `save`."""
        with np.load(path, allow_pickle=False) as file:
            scalars = json.loads(str(file["scalars"]))
            return cls(**{name: file[name] for name in file.files if name != "scalars"}, **scalars)


def of_books(books: Books, wall: float) -> Trace:
    """The trace of a baseline."""
    f, violation, spent, seconds, step, iteration, _ = zip(*books.rows, strict=True)
    return _trace(
        np.array(f), np.array(violation), np.array(spent), np.array(seconds), list(step), np.array(iteration),
        np.array(books.points), books.nfev, books.ngev, wall, books.problem,
    )  # fmt: skip


def of_solver(problem: Problem, budget: float, seed: int) -> Trace:
    """Solve by dfoattack's default and record it.

    Within one step all gradients and passes are booked before its points, which is how an attack works.
    """
    marks: list[tuple[int, float, float]] = [(0, 0.0, 0.0)]

    def note(event: Event) -> None:
        marks.append((event.nfev, event.cost, event.seconds))

    began = time.perf_counter()
    result = da.solve(problem, budget=budget, seed=seed, callback=note)
    wall = time.perf_counter() - began
    log = result.records
    marks.append((len(log), max(result.cost, marks[-1][1]), wall))
    spent, seconds = np.empty(len(log)), np.empty(len(log))
    for (low, _, _), (high, cost, clock) in itertools.pairwise(marks):
        spent[low:high] = cost - np.arange(high - low, 0, -1) + 1.0
        seconds[low:high] = clock
    return _trace(
        log.fun,
        log.maxcv,
        spent,
        seconds,
        list(log.step),
        log.iteration,
        log.x,
        result.nfev,
        result.ngev,
        wall,
        problem,
    )


def _trace(
    f: FloatArray, violation: FloatArray, spent: FloatArray, seconds: FloatArray, step: list[str],
    iteration: npt.NDArray[np.int64], X: FloatArray, nfev: int, ngev: int, wall: float, problem: Problem,
) -> Trace:  # fmt: skip
    better = _improving(-problem.sign * f, violation)
    return Trace(f, violation, spent, seconds, np.array(step), iteration, X[better], nfev, ngev, wall)


def _improving(f: FloatArray, violation: FloatArray) -> npt.NDArray[np.bool_]:
    usable = np.isfinite(f) & np.isfinite(violation)
    h = np.where(usable, violation, np.inf)
    least = np.minimum.accumulate(h)
    before = np.concatenate([[np.inf], least[:-1]])
    values = np.where(usable & (h <= 0.0), f, -np.inf)
    top = np.concatenate([[-np.inf], np.maximum.accumulate(values)[:-1]])
    return np.asarray(np.where(before > 0.0, h < before, values > top))
