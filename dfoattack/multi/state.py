"""The state of a solver for several objectives: one frozen value, saved and loaded like that of the solver for one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.barrier import Barrier
from dfoattack.cache import History
from dfoattack.multi.archive import Archive
from dfoattack.reasons import StopReason
from dfoattack.state import NO_COST, CoverState, Pending, RngState, Setup, SolverState
from dfoattack.trials import Counters


@dataclass(frozen=True)
class MultiSetup:
    """What is fixed during a run.

    Attributes
    ----------
    base : Setup                box, start points, budget, quota, options, as for one objective
    q : int                     objectives, 2 to 4
    signs : float64 (q,)        +1 minimise, -1 maximise
    leg_budget : float          evaluations of each single-objective leg
    """

    base: Setup
    q: int
    signs: FloatArray
    leg_budget: float

    @property
    def n(self) -> int:
        return self.base.n


@dataclass(frozen=True)
class Leg:
    """A single-objective run inside this one: the whole solver for one objective, minimising a weighted sum.

    Attributes
    ----------
    weights : float64 (q,)      of the minimised objectives
    budget : float              evaluations
    inner : SolverState         its state; it knows every point evaluated before it began
    """

    weights: FloatArray
    budget: float
    inner: SolverState


@dataclass(frozen=True)
class Focus:
    """What an iteration works on, as history rows.

    Attributes
    ----------
    row : int           the poll centre
    other : int         the member on the other side of the gap beside it, -1 if there is none
    second : int        the secondary poll centre (feasible beside an infeasible one, or the other way round), -1 if there is none
    aim : float64 (q,) or None      with three and four objectives: weights > 0 of the direction from the ideal point that is emptiest
    follows : bool      the centre was chosen because the last iteration moved there
    """

    row: int
    other: int = -1
    aim: FloatArray | None = None
    second: int = -1
    follows: bool = False


@dataclass(frozen=True)
class MultiState:
    """Everything a solver for several objectives knows.

    Attributes
    ----------
    rng : RngState
    history : History               f is the first objective, the first q - 1 columns of C are the others, all minimised; F is 0 for usable
                                    points and +inf for failed ones and those that violate an extreme constraint: with several objectives
                                    no single number orders points
    barrier : Barrier               constraint columns and their scales; its incumbents are not used
    archive : Archive
    scale : float64 (n,) or None    the fixed metric, first frame size; None until a point could be evaluated
    queue : float64 (k, n)          start points still to be evaluated
    legs : int                      single-objective legs begun
    leg : Leg or None               the one that is running
    focus : Focus or None           None between iterations
    cover : CoverState              pool of the covering step, shared by all centres
    iteration, stage : int          where the loop is; stage counts through the schedule
    success : int                   best verdict of this iteration so far, see `archive.Verdict`
    refine : bool                   an off-mesh point entered by too little: the iteration refines
    weak : bool                     the models were wrong, or the front was extended by chance only (poll, covering): the centre refines all
                                    the same
    kept : float64 or None          integer poll directions that failed and still lack their completion
    polled : bool                   a complete poll of this iteration was evaluated
    follow : int                    row of the point the last iteration moved to, -1 if it did not
    streak : int                    iterations in a row that followed
    best_inf : int                  row of the least infeasible point, -1 if none
    counters : Counters
    pending : Pending or None
    stop : StopReason or None
    """

    rng: RngState
    history: History
    barrier: Barrier
    archive: Archive
    scale: FloatArray | None
    queue: FloatArray
    cover: CoverState
    legs: int = 0
    leg: Leg | None = None
    focus: Focus | None = None
    iteration: int = 0
    stage: int = 0
    success: int = 0
    refine: bool = False
    weak: bool = False
    kept: FloatArray | None = None
    polled: bool = False
    follow: int = -1
    streak: int = 0
    best_inf: int = -1
    counters: Counters = NO_COST
    pending: Pending | None = None
    stop: StopReason | None = None


def constraint_part(C: FloatArray, q: int) -> FloatArray:
    """The columns of C (k, p) that are constraints: those behind the q - 1 further objectives."""
    return np.ascontiguousarray(C[:, q - 1 :])
