"""What the searches remember from turn to turn: a frozen value each, saved with the state of the solver."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack.interpolation import Interpolation

FIRST, LARGE, SMALL = 0, 1, 2  # regimes of a CMA run


@dataclass(frozen=True)
class CmaRestarts:
    """Where the succession of CMA runs stands.

    Attributes
    ----------
    regime : int           FIRST (from the incumbent), LARGE (population doubled each time) or SMALL (small population and step)
    doublings : int        LARGE runs so far
    base : int             population of the first run
    large, small : float   evaluations spent in each of the two regimes by finished runs
    spent : float          evaluations spent in the present run
    limit : float          evaluations a SMALL run may spend; inf otherwise
    """

    regime: int = FIRST
    doublings: int = 0
    base: int = 4
    large: float = 0.0
    small: float = 0.0
    spent: float = 0.0
    limit: float = math.inf


@dataclass(frozen=True)
class Generation:
    """A generation of a CMA run that is being evaluated, round by round.

    Attributes
    ----------
    Y, X : float64 (lam, n)               its steps as drawn, its points as proposed
    predicted : float64 (lam,) or None    what a model says about the points; None: there is none, and all are evaluated in one round
    asked : int                           points of the last round, 0 before the first one
    """

    Y: FloatArray
    X: FloatArray
    predicted: FloatArray | None
    asked: int = 0


@dataclass(frozen=True)
class CmaState:
    """Distribution of a CMA-ES run: points are drawn as mean + sigma * scale * stretch * y with y ~ N(0, C).

    Attributes
    ----------
    mean : float64 (n,)             user units, in the unbounded space that is folded into the box
    sigma, sigma0 : float           step size now and at the start of the run, in units of `scale`
    scale : float64 (n,)            user units, > 0; fixed
    C : float64 (n, n)              covariance matrix
    B, D : (n, n), (n,)             C = B diag(D^2) B^T at the last decomposition
    ps, pc : float64 (n,)           evolution paths of step size and covariance
    stretch : float64 (n,)          >= 1; keeps a granular variable moving once its deviation is below the lattice step
    lam : int                       points a generation, >= 4
    generation, decomposed : int    generations so far; the one of the last decomposition
    kind : int                      what `best` and `median` hold: 2 objective, 1 violation h, 0 extreme violation, -1 nothing yet
    best, median : float64 (t,)     of the last generations
    begun : int                     history rows when the run began
    best_row : int                  history row of the last incumbent this run has made or was told of
    failures : int                  generations in a row without a usable point
    idle : int                      generations in a row without a new point
    done : bool                     the run has met a termination criterion
    restarts : CmaRestarts
    drawn : Generation or None      the generation that is being evaluated; None: the next one is to be drawn
    """

    mean: FloatArray
    sigma: float
    sigma0: float
    scale: FloatArray
    C: FloatArray
    B: FloatArray
    D: FloatArray
    ps: FloatArray
    pc: FloatArray
    stretch: FloatArray
    lam: int
    generation: int
    decomposed: int
    kind: int
    best: FloatArray
    median: FloatArray
    begun: int
    best_row: int
    failures: int
    idle: int
    done: bool
    restarts: CmaRestarts
    drawn: Generation | None = None

    @classmethod
    def start(
        cls,
        mean: FloatArray,
        sigma: float,
        scale: FloatArray,
        lam: int | None = None,
        *,
        begun: int = 0,
        best_row: int = -1,
        restarts: CmaRestarts | None = None,
    ) -> CmaState:
        """A run at `mean` (n,) with standard deviations sigma * scale (n,); None: the default population 4 + floor(3 ln n)."""
        n = mean.shape[0]
        size = default_population(n) if lam is None else max(4, int(lam))
        return cls(
            mean=mean,
            sigma=sigma,
            sigma0=sigma,
            scale=scale,
            C=np.eye(n),
            B=np.eye(n),
            D=np.ones(n),
            ps=np.zeros(n),
            pc=np.zeros(n),
            stretch=np.ones(n),
            lam=size,
            generation=0,
            decomposed=0,
            kind=-1,
            best=np.empty(0),
            median=np.empty(0),
            begun=begun,
            best_row=best_row,
            failures=0,
            idle=0,
            done=False,
            restarts=CmaRestarts(base=size) if restarts is None else restarts,
        )


def default_population(n: int) -> int:
    """4 + floor(3 ln n) points a generation."""
    return 4 + math.floor(3.0 * math.log(max(1, n)))


@dataclass(frozen=True)
class NelderMeadState:
    """A Nelder-Mead run, or the memory of the last one.

    Attributes
    ----------
    rows : int64 (n + 1,)    history rows of the simplex, from the best to the worst; empty where no run is on
    move : int               what is asked next: 0 reflection, 1 expansion, 2 outside contraction, 3 inside contraction
    reflected : int          history row of the reflected point, for the moves that follow it
    spent : int              points evaluated in this run
    tried_row, tried_size :  leading incumbent and number of history rows when the last run ended
    """

    rows: IntArray
    move: int = 0
    reflected: int = -1
    spent: int = 0
    tried_row: int = -1
    tried_size: int = 0

    @property
    def active(self) -> bool:
        return bool(self.rows.shape[0])


@dataclass(frozen=True)
class VnsState:
    """A descent from a shaken point, or the memory of the last one.

    Attributes
    ----------
    xi : int                       length of the next shake, in units of the scale
    around : int                   history row of the incumbent that was shaken
    base : int                     history row of the best point of the descent; -1 until the shaken point is evaluated
    frame : float                  step of the descent, in units of the scale; 0 where no descent is on
    H : float64 (n, n)             orthonormal poll directions, one a row
    tried : int                    directions of +-H that have failed in a row
    next : int                     index of the direction to try next, in [0, 2n)
    along : float64 (n,) or None   step that has just succeeded, user units, to be tried again at double length
    spent : int                    points evaluated in this descent
    """

    xi: int
    around: int
    base: int
    frame: float
    H: FloatArray
    tried: int = 0
    next: int = 0
    along: FloatArray | None = None
    spent: int = 0

    @property
    def active(self) -> bool:
        return self.frame > 0.0


@dataclass(frozen=True)
class SubspaceState:
    """Random-subspace poll.

    Attributes
    ----------
    step : float                   step size, in units of the scale
    last : float64 (n,) or None    direction of the last success, in units of the scale, unit length
    fails : int                    turns without success in a row
    """

    step: float
    last: FloatArray | None = None
    fails: int = 0


@dataclass(frozen=True)
class BoundaryState:
    """Descent along the border of a constraint that says yes or no.

    Attributes
    ----------
    radius : float      of the trust region, in units of the scale
    row : int           history row of the incumbent it belongs to
    misses : int        points in a row without a gain
    made : int          history row of the last incumbent that it has made, -1 before the first
    """

    radius: float
    row: int
    misses: int = 0
    made: int = -1


@dataclass(frozen=True)
class ModelState:
    """State of the model search; lengths in units of the scale.

    Attributes
    ----------
    found : Interpolation or None   the interpolation set with its models; None: to be made
    columns : int64 (m - 1,)        constraint columns that have a model
    radius, resolution : float      trust-region radius and the resolution below it, resolution <= radius
    seen : int                      history rows looked at
    unit : float                    one length unit of the set, in units of the scale
    plain : bool                    the basis of the set is diagonal
    shaped : int                    history size when the basis was last adapted to the curvature
    check : bool                    the last step disappointed: look at the geometry before the next one
    ratio : float                   decrease found / promised by the last trust-region step
    rested : int                    iteration in which the search has given way to the poll
    failures : int                  designs in a row none of whose points could be evaluated
    origin : int                    history row from which the pending step starts
    margin : float64 (m - 1,)       distance kept from the constraints, learnt from the errors of their models
    weights : float64 (m,)          of objective and violations in what judged the last steps
    errors : tuple of float         of the models at the last points, by the weights; forgotten after a step longer than the resolution,
                                    and with it
    phase : int                     of the barrier, for which the columns were chosen
    span : float64 (n, k) or None   basis of the subspace in which the models live, in units of the scale; None: the whole space
    held : bool (n_free,) or None   granular variables that do not move in the set; None: all move
    joined : int                    history row of the centre when all variables last began to move together again
    level : int                     history row of the centre when the resolution fell last
    barren : int                    resolutions in a row at which nothing was gained
    begun : int                     history row at which the subspace was chosen
    longest, started : float        longest step that paid in it, radius at its beginning
    """

    found: Interpolation | None
    columns: IntArray
    radius: float
    resolution: float
    seen: int
    unit: float = 1.0
    plain: bool = True
    shaped: int = 0
    check: bool = False
    ratio: float = 1.0
    rested: int = -1
    failures: int = 0
    origin: int = -1
    margin: FloatArray = field(default_factory=lambda: np.empty(0))
    weights: FloatArray = field(default_factory=lambda: np.empty(0))
    errors: tuple[float, ...] = ()
    phase: int = 2
    span: FloatArray | None = None
    held: BoolArray | None = None
    joined: int = -1
    level: int = -1
    barren: int = 0
    begun: int = -1
    longest: float = 0.0
    started: float = 1.0


@dataclass(frozen=True)
class FillState:
    """What the filler of blocks has learnt; lengths in units of the scale, in the metric of its basis.

    Attributes
    ----------
    radius : float                     of the middle of its ladder of trust regions
    axes, factor : (n, n), (n,)        orthonormal columns and the stretch along each; None: the identity
    H : float64 (n, n) or None         last Hessian of the objective, in units of the scale
    fails : int                        rounds in a row without a new incumbent
    begun : int                        first history row of the local run it belongs to
    """

    radius: float
    axes: FloatArray | None = None
    factor: FloatArray | None = None
    H: FloatArray | None = None
    fails: int = 0
    begun: int = 0

    def stretch(self, n: int) -> FloatArray:
        """The basis (n, n)."""
        if self.axes is None or self.factor is None:
            return np.eye(n)
        basis: FloatArray = (self.axes * self.factor) @ self.axes.T
        return basis

    def shrink(self, n: int) -> FloatArray:
        """The inverse of the basis (n, n)."""
        if self.axes is None or self.factor is None:
            return np.eye(n)
        inverse: FloatArray = (self.axes / self.factor) @ self.axes.T
        return inverse
