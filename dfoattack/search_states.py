"""What the searches remember from turn to turn: a frozen value each, saved with the state of the solver."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dfoattack._typing import FloatArray

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
