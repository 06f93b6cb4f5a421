"""The contract of a step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from dfoattack._typing import BoolArray, FloatArray
from dfoattack.attacks.base import View
from dfoattack.state import Setup, SolverState


@dataclass(frozen=True)
class Proposal:
    """Points a step wants evaluated.

    Attributes
    ----------
    X : float64 (k, n)         trial points inside the box; k = 0 is legal
    origins : float64 (k, n)   incumbent each of them was built around
    on_mesh : bool (k,)        whether the point lies on the current mesh (others count as success only when they improve enough)
    memo : object              handed back in the outcome; a frozen dataclass of arrays and numbers, or None
    block : int or None        points a call; None: the option `block_size`
    opportunistic : bool       whether the option `opportunistic` applies; False: all are evaluated
    name : str                 under which the points are recorded; empty: the name of the step
    paid : bool                the step has asked user code for the points already: they are no reason to fill a block
    """

    X: FloatArray
    origins: FloatArray
    on_mesh: BoolArray
    memo: Any = None
    block: int | None = None
    opportunistic: bool = True
    name: str = ""
    paid: bool = False

    @classmethod
    def around(cls, X: FloatArray, x: FloatArray, on_mesh: bool, **rest: Any) -> Proposal:
        """All points built around the one incumbent x (n,)."""
        k = X.shape[0]
        return cls(X, np.broadcast_to(x, X.shape), np.full(k, on_mesh), **rest)

    @classmethod
    def nothing(cls, n: int, memo: Any = None) -> Proposal:
        return cls(np.empty((0, n)), np.empty((0, n)), np.empty(0, dtype=bool), memo)


@dataclass(frozen=True)
class Outcome:
    """What became of a proposal.

    Attributes
    ----------
    memo : object                what the proposal carried
    first, last : int            history rows [first, last) of the evaluated points
    success : int                best success type, `Success`; an off-mesh gain below the sufficient decrease counts as 0
    row : int                    history row of the new leading incumbent, -1 if it did not move
    move_size : float            largest scaled coordinate of the step to the new incumbent, 0 if none moved
    gain : float                 decrease of the objective in units of f_scale if feasible before and after; 1 for the first
                                 feasible point; else the relative decrease of h; never negative
    cost : float                 budget spent by the step, gradients included
    """

    memo: Any
    first: int
    last: int
    success: int = 0
    row: int = -1
    move_size: float = 0.0
    gain: float = 0.0
    cost: float = 0.0

    @property
    def improved(self) -> bool:
        """The leading incumbent moved, sufficiently or not."""
        return self.row >= 0


class Step(ABC):
    """One step of the schedule; holds hyper-parameters only.

    In every iteration that reaches its stage the solver calls `propose` once, has the points evaluated, then calls `update` once,
    also when there was nothing to propose (the outcome is then empty). `propose` decides and draws; the state it sees is not
    changed by it. What it draws from `rng` must depend on the state alone, so that a resumed run stays aligned.
    """

    name: str
    changes_levels: bool = False  # proposes points with other levels of categorical variables than its centre's
    enlarges: bool = False  # a full success of this step enlarges the frame and feeds the speculative step

    @abstractmethod
    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        """Trial points for the present state; `view` is None where no gradient exists."""

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        """The state after the outcome; the default changes nothing."""
        return state

    def ends_iteration(self, setup: Setup, state: SolverState, outcome: Outcome) -> bool:
        """Whether the outcome makes the rest of the schedule superfluous; called with the state before `update`."""
        return outcome.success > 0

    def repeats(self, setup: Setup, state: SolverState, outcome: Outcome) -> bool:
        """Whether the same stage has another turn after an outcome with evaluated points that did not end the iteration; called
        with the state after `update`."""
        return False


class Search(Step):
    """A step of the search stage, which holds several searches; its credit decides which of them has the next turn.

    A turn is one `propose`, the evaluation, one `update`. The own state of a search is a field of `SearchStates`; a restart of the
    local run clears it.
    """

    elsewhere = False  # ready where a local minimum is known, and works far from it: also when the frame has converged
    hope = 0.05  # rate expected before it is known, in units of the mean rate; the poll's is 0.15

    @abstractmethod
    def ready(self, setup: Setup, state: SolverState) -> bool:
        """Whether a turn makes sense now; cheap, draws nothing."""

    def continues(self, setup: Setup, state: SolverState, outcome: Outcome) -> bool:
        """Whether this search wants the next turn as well; called with the state after `update`."""
        return False
