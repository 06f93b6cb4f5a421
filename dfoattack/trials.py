"""Trials (points asked) and Evaluations (answers told): the only two values that cross the door to user code."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from dfoattack._typing import BoolArray, FloatArray, StatusArray


class Status(IntEnum):
    """What became of one asked point; stored as int8."""

    OK = 0  # f and every c finite
    FAILED = 1  # user code raised
    NONFINITE = 2  # user code answered NaN or an infinity in f or in some c
    TIMEOUT = 3  # user code was not back in time
    NOT_RUN = 4  # never asked: budget spent, or an earlier block of an opportunistic list succeeded


OK, NOT_RUN = int(Status.OK), int(Status.NOT_RUN)  # reading an enum member costs more than the comparison it is for


@dataclass(frozen=True, slots=True)
class Counters:
    """What a run has cost so far, in points.

    `nphi` is a cross-check, not a cost: it counts every row Phi was run on, whether as an evaluation or as a pass.
    """

    nfev: int = 0  # points evaluated (f and c), failed ones included
    nphi: int = 0  # rows sent through Phi forwards, rows sent again to isolate a failing one included
    ngev: int = 0  # vector-Jacobian products, in points
    passes: int = 0  # forward passes of an attack which did not (yet) become evaluations

    def cost(self, gradient_cost: float) -> float:
        """Budget spent: nfev + passes + gradient_cost * ngev, in evaluations."""
        return self.nfev + self.passes + gradient_cost * self.ngev

    def __add__(self, other: Counters) -> Counters:
        return Counters(
            self.nfev + other.nfev, self.nphi + other.nphi, self.ngev + other.ngev, self.passes + other.passes
        )

    def __sub__(self, other: Counters) -> Counters:
        return Counters(
            self.nfev - other.nfev, self.nphi - other.nphi, self.ngev - other.ngev, self.passes - other.passes
        )


@dataclass(frozen=True, slots=True, eq=False)
class Trials:
    """Points to evaluate, in order, with what the evaluator and the history need to know about them.

    The constructor trusts its arguments (it runs once per poll); `Trials.checked` is for arguments from outside.
    """

    X: FloatArray  # (k, n_free) float64, user units, inside the box and on the lattice; k = 0 is legal
    step: str  # name of the proposing step, as recorded in the history
    on_mesh: BoolArray  # (k,) the point lies on the mesh of this iteration: only these support the convergence theory
    centre: FloatArray  # (n_free,) incumbent the points were built around
    block: int = 1  # rows per call of user code; recorded, because opportunism makes the trajectory depend on it
    opportunistic: bool = True  # stop after the first block that improves

    def __len__(self) -> int:
        return int(self.X.shape[0])

    @classmethod
    def empty(cls, centre: FloatArray, step: str) -> Trials:
        """No points at all (a step that has nothing to propose)."""
        return cls(np.empty((0, centre.shape[0])), step, np.empty(0, np.bool_), centre)

    @classmethod
    def checked(
        cls,
        X: npt.ArrayLike,
        step: str = "user",
        *,
        on_mesh: npt.ArrayLike | bool = False,
        centre: npt.ArrayLike | None = None,
        block: int = 1,
        opportunistic: bool = True,
    ) -> Trials:
        """Build from outside arguments, with every shape checked.

        Parameters
        ----------
        X : array_like (k, n)           finite points in the free space
        step : str                      label recorded with the points
        on_mesh : bool or (k,)          one for all, or one each
        centre : array_like (n,)        the first row of `X` if not given (zeros for k = 0)
        block : int >= 1                rows per call of user code
        opportunistic : bool            stop after the first improving block

        Raises
        ------
        ValueError                      a shape, a non-finite coordinate or block < 1
        """
        points = np.ascontiguousarray(X, dtype=np.float64)
        if points.ndim != 2:
            raise ValueError(f"`X` must have shape (k, n), got {points.shape}.")
        if not np.isfinite(points).all():
            row = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
            raise ValueError(f"`X` must be finite, got {points[row]} in row {row}.")
        k, n = points.shape
        flags = np.asarray(on_mesh, dtype=np.bool_)
        flags = np.full(k, bool(flags)) if flags.ndim == 0 else flags
        if flags.shape != (k,):
            raise ValueError(f"`on_mesh` must have shape (k,) with k = {k} (from `X`), got {flags.shape}.")
        if centre is None:
            middle = points[0].copy() if k else np.zeros(n)
        else:
            middle = np.ascontiguousarray(centre, dtype=np.float64)
        if middle.shape != (n,):
            raise ValueError(f"`centre` must have shape (n,) with n = {n} (from `X`), got {middle.shape}.")
        if block < 1:
            raise ValueError(f"`block` must be at least 1, got {block}.")
        return cls(points, step, flags, middle, int(block), bool(opportunistic))


@dataclass(frozen=True, slots=True, eq=False)
class Evaluations:
    """Answers to k points, row by row in the order asked. Inside the solver everything is minimised."""

    X: FloatArray  # (k, n_free) the points as asked
    F: FloatArray  # (k,) objective, sign flipped for "maximize"; +inf unless the status is OK
    C: FloatArray  # (k, p) constraint values, user units and sign; rows of NaN unless the status is OK
    status: StatusArray  # (k,) int8, see Status
    counters: Counters  # totals of the evaluator after these points

    def __len__(self) -> int:
        return int(self.F.shape[0])

    @property
    def ok(self) -> BoolArray:
        """(k,) rows with usable numbers."""
        flags: BoolArray = self.status == Status.OK
        return flags

    @property
    def run(self) -> BoolArray:
        """(k,) rows that cost an evaluation (everything but NOT_RUN)."""
        flags: BoolArray = self.status != Status.NOT_RUN
        return flags

    def take(self, rows: slice | npt.NDArray[np.integer] | npt.NDArray[np.bool_]) -> Evaluations:
        """The named rows only, same counters."""
        return Evaluations(self.X[rows], self.F[rows], self.C[rows], self.status[rows], self.counters)
