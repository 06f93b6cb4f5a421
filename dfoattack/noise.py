"""Noise of the objective and the constraints: what repeated evaluations say about it, and values that allow for it.

The history keeps one row a point, with the mean of its evaluations; `NoiseState` keeps every single evaluation beside it. The values
by which points are compared are cautious: the mean plus one standard error, so that a single lucky value does not beat a point that was
evaluated often, and equally well known points are ordered by their means. After Anderson & Ferris (2001), "A direct search algorithm for
optimization with noisy function evaluations", and Audet, Dzahini, Kokkolaras & Le Digabel (2021), "Stochastic mesh adaptive direct search
for blackbox optimization using probabilistic estimates".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.barrier import Columns
from dfoattack.cache import History
from dfoattack.search_states import ModelState
from dfoattack.trials import OK, Evaluations

CAUTION = 1.0  # standard errors added to a mean before points are compared
CERTAIN = 2.0  # standard errors of a difference that make it certain
OUTLIER = 6.0  # standard deviations beyond which an evaluation of a point is left out of its mean
OUTLIER_DOF = 2.5  # degrees of freedom without which no outlier is known
MEMORY = 40.0  # repeated evaluations over which the estimate of the noise looks back
TINY = 1e-300


@dataclass(frozen=True)
class Spread:
    """Variance of the noise pooled over repeated evaluations, older ones fading; constant or proportional to the value.

    Attributes
    ----------
    dof : float          degrees of freedom
    squares : float      sum of squared residuals
    relative : float     the same, each in units of the mean of its point
    level : float        sum of log mean^2
    """

    dof: float = 0.0
    squares: float = 0.0
    relative: float = 0.0
    level: float = 0.0

    def with_residual(self, square: float, mean: float) -> Spread:
        """The pool with one more degree of freedom: `square` its contribution, `mean` that of its point."""
        fade = 1.0 - 1.0 / MEMORY
        size = max(mean * mean, TINY)
        return Spread(
            fade * self.dof + 1.0,
            fade * self.squares + square,
            fade * self.relative + square / size,
            fade * self.level + math.log(size),
        )

    @property
    def proportional(self) -> bool:
        """Whether noise proportional to the value is more likely than constant noise (normal residuals)."""
        if not self.squares > 0.0 or not math.isfinite(self.relative) or self.relative <= 0.0:
            return False
        constant = self.dof * math.log(self.squares / self.dof)
        return self.dof * math.log(self.relative / self.dof) + self.level < constant

    def deviation(self, values: FloatArray) -> FloatArray:
        """Standard deviation of one evaluation of points with these means, any shape; 0 while nothing is known."""
        if not self.dof > 0.0:
            return np.zeros(values.shape)
        if self.proportional:
            sizes: FloatArray = math.sqrt(self.relative / self.dof) * np.where(np.isfinite(values), np.abs(values), 0.0)
            return sizes
        return np.full(values.shape, math.sqrt(self.squares / self.dof))


NO_SPREAD = Spread()


@dataclass(frozen=True)
class NoiseState:
    """What is known about the noise, every single evaluation, and which points are about to be evaluated again.

    Attributes
    ----------
    given : float             standard deviation of the objective as given, 0 if it is to be estimated
    raw : History             every evaluation in order, repeated points included
    rows, counts : int (r,)   history rows with more than one usable evaluation, ascending, and how many they have
    spread : Spread           of the objective
    columns : tuple           one Spread a constraint column; () before the first repeated evaluation
    replicates : int          evaluations of known points so far
    trial, rival : int        history rows of an uncertain trial and of the incumbent it is compared with, -1 if there is none
    rounds : int              further repetitions of the uncertain trial
    polled : bool             it lies on the mesh
    doubt : bool              a trial of this iteration was not certainly worse than the incumbent
    answer : int              history row of the last minimiser of a regression, -1 if there is none
    checked : int             evaluations when the incumbent was last evaluated anew
    """

    given: float
    raw: History
    rows: IntArray
    counts: IntArray
    spread: Spread = NO_SPREAD
    columns: tuple[Spread, ...] = ()
    replicates: int = 0
    trial: int = -1
    rival: int = -1
    rounds: int = 0
    polled: bool = False
    doubt: bool = False
    answer: int = -1
    checked: int = 0

    @classmethod
    def start(cls, option: str | float, n: int) -> NoiseState:
        """Nothing known yet; `option` as in `Options.noise`."""
        nothing = np.empty(0, dtype=np.int64)
        return cls(0.0 if isinstance(option, str) else float(option), History.empty(n), nothing, nothing)

    @property
    def estimated(self) -> bool:
        """The standard deviation is estimated, not given."""
        return self.given == 0.0

    def sigma(self, values: FloatArray) -> FloatArray:
        """Standard deviation of one evaluation of points with these objective values, (k,)."""
        return np.full(values.shape, self.given) if self.given > 0.0 else self.spread.deviation(values)

    def count(self, row: int) -> int:
        """Usable evaluations of history row `row` (1 also where the only one has failed)."""
        i = int(np.searchsorted(self.rows, row))
        return int(self.counts[i]) if i < self.rows.shape[0] and self.rows[i] == row else 1

    def all_counts(self, size: int) -> IntArray:
        """`count` of the first `size` history rows."""
        out = np.ones(size, dtype=np.int64)
        out[self.rows] = self.counts
        return out

    def error(self, history: History, row: int) -> float:
        """Standard error of the objective of history row `row`."""
        return float(self.sigma(history.f[row : row + 1])[0]) / math.sqrt(self.count(row))

    def outlier(self, spread: Spread, values: FloatArray) -> float:
        """Distance from their median beyond which values (m,) of one point are outliers; 0 while that cannot be told."""
        middle = np.median(values, keepdims=True)
        known = self.given > 0.0 or spread.dof >= OUTLIER_DOF
        return (
            OUTLIER * float((np.array([self.given]) if self.given > 0.0 else spread.deviation(middle))[0])
            if known
            else 0.0
        )

    def certain(self, f: float, deviation: float, history: History, row: int) -> bool:
        """Whether a value f, known up to `deviation`, is better than that of history row `row` beyond doubt."""
        return float(history.f[row]) - f > CERTAIN * math.hypot(deviation, self.error(history, row))


def cautious(
    noise: NoiseState, told: Evaluations, columns: Columns | None, counts: IntArray | None = None
) -> Evaluations:
    """The same answers, each value and each inequality increased by `CAUTION` standard errors; counts (k,), None: all 1."""
    shrink = CAUTION / np.sqrt(np.ones(len(told)) if counts is None else counts)
    F = told.F + shrink * noise.sigma(told.F)
    C = told.C
    if noise.columns and C.shape[1] == len(noise.columns) and columns is not None:
        # The band of an equality has two sides: a margin could close it.
        errors = ~columns.equality * np.column_stack(
            [spread.deviation(C[:, j]) for j, spread in enumerate(noise.columns)]
        )
        C = C + shrink[:, None] * errors
    return Evaluations(told.X, F, C, told.status, told.counters)


def with_evaluations(noise: NoiseState, told: Evaluations, V: FloatArray, step: int, iteration: int) -> NoiseState:
    """The state with more single evaluations in its log; V (k,) their largest violations."""
    nothing = np.zeros(len(told))
    return evolve(
        noise, raw=noise.raw.extended(told.X, told.F, told.F, nothing, nothing, V, told.C, told.status, step, iteration)
    )


def with_replicates(
    noise: NoiseState, history: History, told: Evaluations
) -> tuple[NoiseState, FloatArray, FloatArray]:
    """The state after known points were evaluated again, and the estimates f (N,), C (N, p) of all points; `told` is in the log already.

    An estimate is the mean of the usable evaluations that lie within `OUTLIER` standard deviations of their median, if these are the
    majority, else the worst evaluation: a lucky value must not survive a single repetition. Failed evaluations change nothing.
    """
    f, C = history.f.copy(), history.C.copy()
    counts = noise.all_counts(history.size)
    spread, columns = noise.spread, noise.columns
    if not columns and C.shape[1]:
        columns = (NO_SPREAD,) * C.shape[1]
    known = [history.find(x) for x in told.X]
    for row in dict.fromkeys(known):
        if row < 0 or history.status[row] != OK:
            continue
        logged = np.flatnonzero((noise.raw.X == history.X[row]).all(axis=1) & (noise.raw.status == OK))
        new = sum(1 for i, found in enumerate(known) if found == row and told.status[i] == OK)
        values, limits = noise.raw.f[logged], noise.raw.C[logged]
        for m in range(logged.shape[0] - new, logged.shape[0]):
            columns = tuple(_pooled(old, limits[: m + 1, j], 0.0) for j, old in enumerate(columns))
            spread = _pooled(spread, values[: m + 1], noise.outlier(spread, values[: m + 1]))
        kept = _kept(values, noise.outlier(spread, values))
        f[row], C[row], counts[row] = values[kept].mean(), limits[kept].mean(axis=0), kept.shape[0]
    rows: IntArray = np.flatnonzero(counts > 1)
    asked = noise.replicates + len(told)
    return evolve(noise, rows=rows, counts=counts[rows], spread=spread, columns=columns, replicates=asked), f, C


def _kept(values: FloatArray, reach: float) -> IntArray:
    """Positions of the values (m,) an estimate is made of; reach 0: all of them."""
    near = np.abs(values - np.median(values)) <= reach
    if reach == 0.0 or near.all():
        return np.arange(values.shape[0])
    if 2 * np.count_nonzero(near) > values.shape[0]:
        found: IntArray = np.flatnonzero(near)
        return found
    return np.array([int(np.argmax(values))])


def _pooled(spread: Spread, values: FloatArray, reach: float) -> Spread:
    """The pool after the last one of the values (m,) of a point, which says nothing more than an outlier at `reach` (0: no limit)."""
    m = values.shape[0] - 1
    if m < 1:
        return spread
    change = abs(float(values[m] - np.median(values[:m])))
    change = min(change, reach) if reach > 0.0 else change
    return spread.with_residual(change * change * m / (m + 1.0), float(np.median(values)))


def optimistic(noise: NoiseState, history: History, usable: BoolArray) -> int:
    """History row with the least mean minus standard error among the `usable` ones (N,); -1 if there is none."""
    rows = np.flatnonzero(usable)
    if not rows.shape[0]:
        return -1
    f = history.f[rows]
    low = f - CAUTION * noise.sigma(f) / np.sqrt(noise.all_counts(history.size)[rows])
    return int(rows[np.argmin(low)])


def resolution(noise: NoiseState | None, history: History, row: int, model: ModelState | None) -> float:
    """Length, in units of the scale, below which the noise hides the curvature of the objective around history row `row`.

    sqrt(2 sigma / curvature) with the largest curvature of the models (Moré & Wild 2012, "Estimating derivatives of noisy simulations");
    0 where there is no noise or no model.
    """
    if noise is None or model is None or model.found is None or row < 0:
        return 0.0
    sigma = float(noise.sigma(history.f[row : row + 1])[0])
    H = model.found.H[0]
    if not sigma > 0.0 or not np.isfinite(H).all():
        return 0.0
    steepest = float(np.abs(np.linalg.eigvalsh(H)).max(initial=0.0))
    return model.unit * math.sqrt(2.0 * sigma / steepest) if steepest > 0.0 else 0.0
