"""The state of a solver: one frozen value from which everything that decides is computed.

Saving the state between any two calls and loading it again changes nothing: `to_bytes` and `from_bytes` write and read all of it
(arrays bit for bit), never with pickle.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.barrier import Barrier
from dfoattack.cache import History
from dfoattack.credit import Credit
from dfoattack.geometry import Geometry
from dfoattack.mesh import Mesh
from dfoattack.noise import NoiseState
from dfoattack.options import Options
from dfoattack.polyhedron import Polyhedron
from dfoattack.reasons import StopReason
from dfoattack.search_states import (
    BoundaryState,
    CmaState,
    FillState,
    ModelState,
    NelderMeadState,
    SubspaceState,
    VnsState,
)
from dfoattack.trials import Counters, Trials

DISCOUNT = 0.7  # of earlier gains and costs in a credit


@dataclass(frozen=True)
class Setup:
    """What is fixed during a run, in the free variables (fixed ones removed), minimised sense.

    Attributes
    ----------
    lower, upper, granularity, inverse : float64 (n,)   the box and its lattice (granularity 0 = continuous)
    starts : float64 (s, n)                             start points, s = 0 for a start design
    budget : float                                      evaluations (gradients charged), inf for none
    f_target : float                                    stop once a feasible value <= f_target is known; -inf for none
    quota : int                                         covering trials without improvement before a run may converge
    geometry : Geometry                                 the same box with periods, groups and levels: how points move in it
    polyhedron : Polyhedron or None                     known linear constraints
    softened : tuple of str                             what attacks aim at a stand-in of, see `Problem`
    rejudged : bool                                     whether points at which attacks look become evaluations: they aim at a stand-in, and have
                                                        paid for the outputs of these points
    gradient_source : str                               where attacks get gradients from, see `gradient_sources.choice`
    price : float                                       of evaluating one point, in evaluations; more than 1 only where `Problem.inner_cost` says so
    """

    lower: FloatArray
    upper: FloatArray
    granularity: FloatArray
    inverse: FloatArray
    starts: FloatArray
    budget: float
    f_target: float
    quota: int
    options: Options
    geometry: Geometry
    polyhedron: Polyhedron | None = None
    gradient_source: str = "none"
    softened: tuple[str, ...] = ()
    rejudged: bool = False
    price: float = 1.0

    @property
    def n(self) -> int:
        return int(self.lower.shape[0])

    @property
    def followed(self) -> bool:
        """Whether a local run that has converged is followed by others: there is a budget to be used."""
        return self.options.restarts and math.isfinite(self.budget)

    @property
    def continuous(self) -> bool:
        """True when at least one variable is continuous."""
        return bool(np.any(self.granularity == 0.0))


@dataclass(frozen=True)
class RngState:
    """PCG64's state; the only source of randomness of a run."""

    state: int
    inc: int
    has_uint32: int
    uinteger: int

    @classmethod
    def from_seed(cls, seed: int) -> RngState:
        return cls.of(np.random.Generator(np.random.PCG64(seed)))

    @classmethod
    def of(cls, rng: np.random.Generator) -> RngState:
        s = rng.bit_generator.state
        return cls(int(s["state"]["state"]), int(s["state"]["inc"]), int(s["has_uint32"]), int(s["uinteger"]))

    def fill(self, rng: np.random.Generator) -> np.random.Generator:
        """Put this state into a PCG64 generator; making a new one each time would cost more than what is drawn from it."""
        rng.bit_generator.state = {
            "bit_generator": "PCG64",
            "state": {"state": self.state, "inc": self.inc},
            "has_uint32": self.has_uint32,
            "uinteger": self.uinteger,
        }
        return rng

    def generator(self) -> np.random.Generator:
        return self.fill(np.random.Generator(np.random.PCG64(0)))


@dataclass(frozen=True)
class OperatorCredit:
    """What one attack operator has earned: discounted gain and cost, failures in a row, when it may work again."""

    gain: float = 0.0
    cost: float = 0.0
    tried: int = 0
    fails: int = 0
    sleeps_until: int = 0  # iteration
    # History rows: the centre of its last failure; of a polish, also the incumbent where it has arrived.
    failed_at: int = -1
    left: int = -1  # from which it was run last
    path: tuple[int, int] = (0, 0)  # then evaluated: the first, and the first one behind

    @property
    def rate(self) -> float:
        """Discounted gain per evaluation; 0 before anything was tried."""
        return self.gain / self.cost if self.cost > 0.0 else 0.0

    def earned(self, gain: float, cost: float) -> OperatorCredit:
        """The credit after one more use."""
        gain, cost = DISCOUNT * self.gain + gain, DISCOUNT * self.cost + max(cost, 1.0)
        return evolve(self, gain=gain, cost=cost, tried=self.tried + 1)


NO_CREDIT = OperatorCredit()
NO_COST = Counters()


NOISY = 3e-4  # noise, in units of `AttackState.noise`, beyond which models are left alone


@dataclass(frozen=True)
class AttackState:
    """State of the attack step.

    Attributes
    ----------
    radius : float                  attack radius in units of the scale
    skips : int                     iterations ended early by attacks in a row
    skipped_cost : float            what those attacks have cost
    credits : tuple                 one `OperatorCredit` an operator
    others : OperatorCredit         what the steps that look for descent without gradients have earned
    row, gradient :                 the gradient of F at history row `row`, if an operator has left one
    multipliers : float64 (p',)     Lagrange multipliers that an operator has left, of the columns that operators see
    noise, probes : float, int      of values, in units of the objective's change over one unit of the scale, and how often it was looked for
    spent : float                   what all attacks of the run have cost
    """

    radius: float
    skips: int = 0
    skipped_cost: float = 0.0
    credits: tuple[OperatorCredit, ...] = ()
    others: OperatorCredit = NO_CREDIT
    row: int = -1
    gradient: FloatArray | None = None
    multipliers: FloatArray | None = None
    noise: float = 0.0
    probes: int = 0
    spent: float = 0.0

    @property
    def noisy(self) -> bool:
        """Whether values are too noisy for differences that nobody has asked for."""
        return self.noise > NOISY


@dataclass(frozen=True)
class CoverState:
    """Candidate pool of the covering step and its bookkeeping.

    Attributes
    ----------
    Y, d2, age : (N, n), (N,), (N,)    candidates, squared scaled distance to all evaluated points, birth order; N = 0 before first use
    clock : int                        births so far
    since : int                        covering trials since the last improvement (the quota counts these)
    uniform_next : bool                the next trial is uniform (else the farthest candidate)
    window, window_row, window_n : int index of the current window of uniform trials, its centre's row, its length
    exhausted : bool                   all lattice points of the ball are evaluated (granular problems)
    rejecting : bool                   uniform sampling in ball and box works (else the volume statement is not available)
    """

    Y: FloatArray
    d2: FloatArray
    age: IntArray
    clock: int = 0
    since: int = 0
    uniform_next: bool = True
    window: int = 0
    window_row: int = -1
    window_n: int = 0
    rejecting: bool = True
    exhausted: bool = False


@dataclass(frozen=True)
class NeighbourState:
    """What the steps of discrete neighbours remember; q variables are held in a descent.

    Attributes
    ----------
    levels : float64 (q,)          their values at the centre whose neighbours were polled last
    frame : float                  largest frame size then, scaled
    rivals : float64 (m, q)        their values in each combination that has been descended in
    frames : float64 (m,)          how large their own frame is, scaled; 0 once no step is left
    moves : float64 (m, n)         displacement of their last improvement, user units; 0 for none
    """

    levels: FloatArray
    frame: float
    rivals: FloatArray
    frames: FloatArray
    moves: FloatArray


@dataclass(frozen=True)
class LockstepState:
    """Where the start points of a lockstep multistart have come to.

    Attributes
    ----------
    rows : int64 (k,)               history rows of those that still descend
    ends : int64 (e,)               history rows where others have arrived, the best first
    limit : float                   cost of the run at which the descents end, inf for none
    multipliers : float64 (k, q)    of the constraint columns that the operator sees, None before there are any
    turns : int
    """

    rows: IntArray
    ends: IntArray
    limit: float
    multipliers: FloatArray | None = None
    turns: int = 0


@dataclass(frozen=True)
class SearchStates:
    """What the searches remember, a field each; None before first use and after a restart.

    Attributes
    ----------
    neighbours, lattice : NeighbourState or None      rivals by levels of categorical variables, by lattice neighbours
    """

    neighbours: NeighbourState | None = None
    lattice: NeighbourState | None = None

    model: ModelState | None = None
    cma: CmaState | None = None
    nelder_mead: NelderMeadState | None = None
    vns: VnsState | None = None
    subspace: SubspaceState | None = None
    boundary: BoundaryState | None = None
    fill: FillState | None = None


NO_SEARCHES = SearchStates()
NO_CREDITS = Credit()


@dataclass(frozen=True)
class Part:
    """Rows of a block that one step has proposed.

    Attributes
    ----------
    stage : int             place of the step in the schedule; behind the last one: what fills idle places
    step : str              name under which the points are recorded
    rows : int64 (k,)       rows of the trials, in the order of the step
    memo : object           what the step wants to remember
    """

    stage: int
    step: str
    rows: IntArray
    memo: object


@dataclass(frozen=True)
class Pending:
    """Trials that were asked and not yet told, with what the step wants to remember (`memo`); `parts` where several steps share them."""

    trials: Trials
    origins: FloatArray  # (k, n) the incumbent each trial was built around
    memo: object
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True)
class LocalRun:
    """A finished local run.

    Attributes
    ----------
    start, end : int        its history rows [start, end)
    feas, inf : int         its incumbents, -1 if none
    frame : float           last frame size, scaled
    window, trials : int    last window of uniform covering trials round its incumbent and their number (0: no statement)
    exhausted : bool        every lattice point of the ball round its incumbent was evaluated
    kind : str              of restart, see `restarts`
    """

    start: int
    end: int
    feas: int
    inf: int
    frame: float
    window: int
    trials: int
    exhausted: bool
    kind: str = "first"


@dataclass(frozen=True)
class SolverState:
    """Everything a solver knows.

    Attributes
    ----------
    rng : RngState
    history, barrier : History, Barrier
    mesh : Mesh or None              None until a start point is known
    iteration, stage : int           where the loop is; stage counts through the schedule
    success : int                    best success type of this iteration so far
    refine : bool                    an off-mesh point improved by less than the sufficient decrease: the iteration refines
    floored : bool                   the frame has converged: only covering trials are left before the run may end
    kept : float64 (q, n) or None    integer poll directions that failed and still lack their completion
    inf_before : int                 row of the infeasible incumbent when the iteration began
    move : float64 (n,) or None      displacement of the last success; orders the poll and feeds the speculative step
    streak : int                     successful speculative steps in a row
    grow : bool                      a step that enlarges the frame succeeded in this iteration
    moved : bool                     the last iteration moved, so that a speculative step makes sense
    attack, cover, searches :        states of the steps that keep one
    credit : Credit                  what poll and searches have earned
    turn : int                       arm of the search that goes on, 0 if the credit decides
    spell : float                    cost of its turns since its last success
    explore : bool                   this local run belongs to the population search until that has contracted
    kind : str                       how the present local run began, see `restarts`
    best_feas, best_inf : int        best rows over all local runs, -1 if none
    queue : float64 (q, n)           start points still to be evaluated
    drawn : int                      points of the start design drawn so far
    runs : tuple of LocalRun         finished local runs
    counters : Counters              evaluations, passes and gradients paid for
    pending : Pending or None
    stop : StopReason or None
    lockstep : LockstepState or None descents of the option `starts`, None before the first turn
    noise : NoiseState or None       single evaluations behind the estimates of the history; None: a value is taken for the truth
    """

    rng: RngState
    history: History
    barrier: Barrier
    mesh: Mesh | None
    attack: AttackState
    cover: CoverState
    queue: FloatArray
    searches: SearchStates = NO_SEARCHES
    credit: Credit = NO_CREDITS
    turn: int = 0
    spell: float = 0.0
    explore: bool = False
    kind: str = "first"
    iteration: int = 0
    stage: int = 0
    success: int = 0
    refine: bool = False
    floored: bool = False
    kept: FloatArray | None = None
    inf_before: int = -1
    move: FloatArray | None = None
    streak: int = 0
    grow: bool = False
    moved: bool = False
    best_feas: int = -1
    best_inf: int = -1
    drawn: int = 0
    runs: tuple[LocalRun, ...] = ()
    counters: Counters = NO_COST
    pending: Pending | None = None
    stop: StopReason | None = None
    lockstep: LockstepState | None = None
    noise: NoiseState | None = None

    @property
    def centre(self) -> int:
        """History row of the incumbent that leads (feasible if there is one), -1 if nothing could be evaluated."""
        return self.barrier.feas if self.barrier.feas >= 0 else self.barrier.inf


def empty_cover(n: int) -> CoverState:
    return CoverState(np.empty((0, n)), np.empty(0), np.empty(0, dtype=np.int64))
