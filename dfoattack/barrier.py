"""Extreme and progressive barrier: what counts as better.

After Audet & Dennis (2009), "A progressive barrier for derivative-free nonlinear programming". A point is feasible iff
max_j (c_j - tol_j) <= 0 (of an equality |c_j| - tol_j); h aggregates the violation of the progressive constraints; an infeasible
point may be an incumbent while h <= h_max, and h_max never increases. Once there is a feasible incumbent, an infeasible point is of
use only where its objective is better: else the feasible one dominates it. Points that violate an extreme constraint are rejected;
as long as none satisfies them all, phase one minimises their violation instead of the objective. A hybrid constraint is progressive
until a poll centre satisfies it and extreme from then on, after Audet, Dennis & Le Digabel (2010), "Globalization strategies for
mesh adaptive direct search".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.cache import History
from dfoattack.kernels import barrier as kernels
from dfoattack.trials import Counters, Evaluations


class Success(IntEnum):
    """Success type of a trial, a step or an iteration; they are ordered."""

    UNSUCCESSFUL = 0
    PARTIAL = 1
    FULL = 2


UNSUCCESSFUL, PARTIAL, FULL = int(Success.UNSUCCESSFUL), int(Success.PARTIAL), int(Success.FULL)  # enum access is slow


@dataclass(frozen=True)
class Columns:
    """Constraint columns as the barrier sees them.

    Attributes
    ----------
    tol, scale : float64 (p,)    tolerances >= 0; scales S_j = max(1, |c_j(x0)|); units of c
    extreme : bool (p,)          columns behind the extreme barrier now
    equality : bool (p,)         two-sided columns: met iff |c| <= tol
    hybrid : bool (p,)           columns that turn extreme for good once a poll centre satisfies them
    """

    tol: FloatArray
    scale: FloatArray
    extreme: BoolArray
    equality: BoolArray
    hybrid: BoolArray

    @classmethod
    def none(cls) -> Columns:
        """No constraints."""
        flags = np.empty(0, dtype=bool)
        return cls(np.empty(0), np.empty(0), flags, flags, flags)

    @classmethod
    def of(cls, specs: Sequence[tuple[str, str, float, bool]], C: FloatArray) -> Columns:
        """Columns of (name, kind, tol, equality) with the scales of the first values C (p,)."""
        kinds = [spec[1] for spec in specs]
        return cls(
            np.array([spec[2] for spec in specs], dtype=np.float64),
            np.maximum(1.0, np.abs(C)),
            np.array([kind == "extreme" for kind in kinds], dtype=bool),
            np.array([spec[3] for spec in specs], dtype=bool),
            np.array([kind == "progressive-to-extreme" for kind in kinds], dtype=bool),
        )

    def excess(self, C: FloatArray) -> FloatArray:
        """c - tol, of equalities |c| - tol, of values C (..., p)."""
        excess: FloatArray = np.where(self.equality, np.abs(C), C) - self.tol
        return excess


@dataclass(frozen=True)
class Barrier:
    """Incumbents and thresholds of the current local run.

    Attributes
    ----------
    columns : Columns or None      None until a point has been evaluated
    start : int                    first history row of the current local run
    phase : int                    1 while no point satisfies all extreme constraints, else 2
    feas, inf : int                history rows of the feasible and the infeasible incumbent, -1 if there is none
    h_max : float                  largest h an infeasible incumbent may have; never increases; compared, never subtracted
    f_low, f_high, f_count :       range of the first finite objective values of the run and how many were seen
    f_scale : float                s_F: that range once 2n+1 values were seen (then frozen), the unit of every sufficient-decrease
                                   test, so that scaling the objective by a power of two changes no decision
    """

    columns: Columns | None
    start: int
    phase: int
    feas: int
    inf: int
    h_max: float
    f_low: float
    f_high: float
    f_count: int

    @classmethod
    def empty(cls, h_max: float) -> Barrier:
        return cls(None, 0, 2, -1, -1, h_max, math.inf, -math.inf, 0)

    @property
    def reported(self) -> int:
        """History row of the point that the local run would report now: the feasible incumbent, else the infeasible one."""
        return self.feas if self.feas >= 0 else self.inf

    @property
    def f_scale(self) -> float:
        span = self.f_high - self.f_low if self.f_count else 0.0
        return span if span > 0.0 and math.isfinite(span) else 1.0

    def restarted(self, start: int, h_max: float) -> Barrier:
        """A fresh barrier for a local run whose points begin at history row `start`; columns and f_scale are kept."""
        phase = 2 if self.columns is None or not self.columns.extreme.any() else 1
        return evolve(self, start=start, phase=phase, feas=-1, inf=-1, h_max=h_max)


def beats(barrier: Barrier, history: History, evaluations: Evaluations) -> bool:
    """Whether a block holds a full success against the incumbents: what ends an opportunistic step."""
    if barrier.phase == 2 and not evaluations.C.shape[1]:
        # Without constraints the comparison is one line; this is asked after every single point.
        return bool(evaluations.F.min() < (history.buffer.F[barrier.feas] if barrier.feas >= 0 else math.inf))
    if barrier.columns is None:
        return False
    F, H, HE, _ = measured(barrier, evaluations)
    return bool((success_types(barrier, history, F, H, HE) == FULL).any())


def measured(barrier: Barrier, evaluations: Evaluations) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """(F, H, HE, V) of evaluated points, each (k,); F is +inf where an extreme constraint is violated."""
    k = len(evaluations)
    H, HE, V = np.zeros(k), np.zeros(k), np.full(k, -np.inf)
    F = evaluations.F.copy()
    bad = evaluations.status != 0
    columns = barrier.columns
    if columns is not None and evaluations.C.shape[1]:
        kernels.violations(evaluations.C, columns.tol, columns.scale, columns.extreme, columns.equality, H, HE, V)
    if bad.any():
        F[bad], H[bad], HE[bad], V[bad] = np.inf, np.inf, np.inf, np.inf
    F[HE > 0.0] = np.inf
    return F, H, HE, V


def success_types(barrier: Barrier, history: History, F: FloatArray, H: FloatArray, HE: FloatArray) -> IntArray:
    """Success type of each of k new points against the incumbents of `barrier`, (k,)."""
    k = F.shape[0]
    types = np.zeros(k, dtype=np.int64)
    if barrier.phase == 1:
        best = history.buffer.HE[barrier.feas] if barrier.feas >= 0 else math.inf
        types[HE < best] = FULL
        return types
    buffer = history.buffer
    f_feas = float(buffer.F[barrier.feas]) if barrier.feas >= 0 else math.inf
    f_inf = float(buffer.F[barrier.inf]) if barrier.inf >= 0 else math.inf
    h_inf = float(buffer.H[barrier.inf]) if barrier.inf >= 0 else math.inf
    for i, (f, h) in enumerate(zip(F.tolist(), H.tolist(), strict=True)):
        if h == 0.0 or f < f_feas:  # else the feasible incumbent dominates it
            types[i] = kernels.classify(f, h, f_feas, f_inf, h_inf, barrier.h_max)
    return types


def with_points(barrier: Barrier, history: History, first: int) -> Barrier:
    """The barrier after history rows first.. were added: the incumbents are always the best evaluated points."""
    buffer = history.buffer
    if barrier.phase == 1:
        return _phase_one(barrier, history, first)
    feas, inf = barrier.feas, barrier.inf
    f_feas = float(buffer.F[feas]) if feas >= 0 else math.inf
    f_inf = float(buffer.F[inf]) if inf >= 0 else math.inf
    h_inf = float(buffer.H[inf]) if inf >= 0 else math.inf
    new = slice(first, history.size)
    for row, (f, h) in enumerate(zip(buffer.F[new].tolist(), buffer.H[new].tolist(), strict=True), first):
        if not math.isfinite(f):
            continue
        if h == 0.0:
            if f < f_feas:
                feas, f_feas = row, f
        elif h <= barrier.h_max and (f < f_inf or (f == f_inf and h < h_inf)):
            inf, f_inf, h_inf = row, f, h
    return evolve(barrier, feas=feas, inf=inf if f_inf < f_feas else -1)


def _phase_one(barrier: Barrier, history: History, first: int) -> Barrier:
    buffer, best = history.buffer, barrier.feas
    for row in range(first, history.size):
        if buffer.HE[row] < (buffer.HE[best] if best >= 0 else math.inf):
            best = row
    if best >= 0 and buffer.HE[best] == 0.0:
        # The extreme constraints are met: from here on the objective counts, for all points of this run at once.
        return with_points(evolve(barrier, phase=2, feas=-1, inf=-1), history, barrier.start)
    return evolve(barrier, feas=best)


def with_range(barrier: Barrier, F: FloatArray, limit: int) -> Barrier:
    """f_scale's range after new values; frozen once `limit` finite values were seen."""
    low, high, count = barrier.f_low, barrier.f_high, barrier.f_count
    if count >= limit:
        return barrier
    for value in F.tolist():
        if count < limit and math.isfinite(value):
            low, high, count = min(low, value), max(high, value), count + 1
    return evolve(barrier, f_low=low, f_high=high, f_count=count)


def end_of_iteration(barrier: Barrier, history: History, success: int, inf_before: int) -> Barrier:
    """h_max and x_inf at the end of an iteration whose best trial had type `success`.

    Partial: h_max falls to the largest violation below that of the old infeasible incumbent; otherwise to that of the old
    incumbent itself. `inf_before` is the row of the infeasible incumbent when the iteration began, -1 if there was none.
    """
    if barrier.phase == 1 or inf_before < barrier.start:
        return barrier
    buffer, size = history.buffer, history.size
    h_old = float(buffer.H[inf_before])
    h_max = h_old
    if success == PARTIAL:
        h_max = float(kernels.shrink_h_max(buffer.H, buffer.F, barrier.start, size, h_old))
    h_max = min(h_max, barrier.h_max)
    if h_max == barrier.h_max and barrier.inf >= 0 and buffer.H[barrier.inf] <= h_max:
        return barrier
    inf = int(kernels.infeasible_incumbent(buffer.F, buffer.H, barrier.start, size, h_max))
    if inf >= 0 and barrier.feas >= 0 and buffer.F[inf] >= buffer.F[barrier.feas]:
        inf = -1
    return evolve(barrier, h_max=h_max, inf=inf)


def poll_centres(barrier: Barrier, history: History, margin: float) -> tuple[int, int]:
    """History rows of the primary and the secondary poll centre, -1 where there is none.

    The infeasible incumbent leads only when it is better than the feasible one by more than margin * f_scale.
    """
    feas, inf = barrier.feas, barrier.inf
    if feas < 0 or inf < 0:
        return (feas, -1) if feas >= 0 else (inf, -1)
    if history.buffer.F[inf] < history.buffer.F[feas] - margin * barrier.f_scale:
        return inf, feas
    return feas, inf


def hardened(barrier: Barrier, history: History, margin: float) -> tuple[Barrier, History]:
    """Barrier and history after hybrid columns that a poll centre satisfies have turned extreme, for good.

    All points of the history are judged again. Those of the run that satisfy the column keep their h, the others are out, so that
    h_max, once set by an incumbent, keeps its meaning.
    """
    columns = barrier.columns
    if columns is None or barrier.phase == 1 or not columns.hybrid.any():
        return barrier, history
    centres = [row for row in poll_centres(barrier, history, margin) if row >= 0]
    if not centres:
        return barrier, history
    met = (columns.excess(history.C[centres]) <= 0.0).any(axis=0)
    turning = columns.hybrid & met
    if not turning.any():
        return barrier, history
    columns = evolve(columns, extreme=columns.extreme | turning, hybrid=columns.hybrid & ~met)
    barrier = evolve(barrier, columns=columns)
    told = Evaluations(history.X, history.f, history.C, history.status, Counters())
    F, H, HE, _ = measured(barrier, told)
    history = history.judged(F, H, HE)
    # The centre that satisfies them leads on: it is the feasible incumbent, or the only one.
    return with_points(evolve(barrier, feas=-1, inf=-1), history, barrier.start), history
