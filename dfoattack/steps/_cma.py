"""Arithmetic of CMA-ES: weights and learning rates, update of the distribution, margin for granular variables, termination.

After Hansen (2016), "The CMA evolution strategy: a tutorial" (with negative weights and cumulative step-size adaptation), and
Hamano, Saito, Nomura & Shirakawa (2022), "CMA-ES with margin".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from scipy.special import ndtr, ndtri

from dfoattack._typing import BoolArray, FloatArray
from dfoattack._values import evolve
from dfoattack.search_states import CmaState
from dfoattack.steps._fold import Fold

DROWNED = 6  # generations that are looked at for noise
DROWNED_GAP = 1.15  # of the gap that noise alone would make
TRACE_MAX = 6000  # generations remembered for the stagnation test
CONDITION_MAX = 1e14
TOL_X = 1e-12  # deviations below this share of the first ones end a run
TOL_F = 1e-15  # range of recent values, in units of f_scale, that ends a run; round-off of the values does as well
HOPELESS = 1e-3  # a run whose recent values differ by less than this share of what it lacks has converged elsewhere
WIDEST = 1.0 / 3.0  # of the range a standard deviation may reach
SIGMA_MAX = 1e6  # in units of the scale: unbounded problems must not overflow


@dataclass(frozen=True)
class Rates:
    """Weights and learning rates of a population.

    Attributes
    ----------
    weights : float64 (lam,)                 in the order of the ranks; the first `mu` sum to 1, the others are negative
    mu : int; mu_eff : float                 parents and their effective number
    c_sigma, damping, c_c, c_1, c_mu, chi    as in the tutorial; chi = E|N(0, I)|
    """

    weights: FloatArray
    mu: int
    mu_eff: float
    c_sigma: float
    damping: float
    c_c: float
    c_1: float
    c_mu: float
    chi: float


@lru_cache(maxsize=256)
def rates(n: int, lam: int) -> Rates:
    """Default weights and rates for n variables and lam points a generation (tutorial, table 1)."""
    raw = math.log((lam + 1) / 2.0) - np.log(np.arange(1, lam + 1))
    mu = lam // 2
    up, down = raw[:mu], raw[mu:]
    mu_eff = float(up.sum() ** 2 / (up**2).sum())
    mu_eff_down = float(down.sum() ** 2 / (down**2).sum())
    c_c = (4.0 + mu_eff / n) / (n + 4.0 + 2.0 * mu_eff / n)
    c_sigma = (mu_eff + 2.0) / (n + mu_eff + 5.0)
    damping = 1.0 + 2.0 * max(0.0, math.sqrt((mu_eff - 1.0) / (n + 1.0)) - 1.0) + c_sigma
    c_1 = 2.0 / ((n + 1.3) ** 2 + mu_eff)
    c_mu = min(1.0 - c_1, 2.0 * (0.25 + mu_eff + 1.0 / mu_eff - 2.0) / ((n + 2.0) ** 2 + mu_eff))
    share = min(1.0 + c_1 / c_mu, 1.0 + 2.0 * mu_eff_down / (mu_eff + 2.0), (1.0 - c_1 - c_mu) / (n * c_mu))
    weights = np.concatenate([up / up.sum(), down * (share / np.abs(down).sum())])
    chi = math.sqrt(n) * (1.0 - 1.0 / (4.0 * n) + 1.0 / (21.0 * n * n))
    return Rates(weights, mu, mu_eff, c_sigma, damping, c_c, c_1, c_mu, chi)


def white(run: CmaState, Y: FloatArray) -> FloatArray:
    """C^(-1/2) y for every row of Y (..., n)."""
    out: FloatArray = ((Y @ run.B) / run.D) @ run.B.T
    return out


def deviations(run: CmaState) -> FloatArray:
    """Standard deviations of the distribution (n,), user units, without the stretch."""
    return run.sigma * run.scale * np.sqrt(np.diag(run.C))


def updated(run: CmaState, Y: FloatArray, fold: Fold) -> CmaState:
    """The distribution after a generation whose steps Y (lam, n) are ranked from the best to the worst."""
    n, p = Y.shape[1], rates(Y.shape[1], run.lam)
    y = p.weights[: p.mu] @ Y[: p.mu]
    mean = run.mean + run.sigma * run.scale * run.stretch * y
    ps = (1.0 - p.c_sigma) * run.ps + math.sqrt(p.c_sigma * (2.0 - p.c_sigma) * p.mu_eff) * white(run, y)
    length = math.sqrt(float(ps @ ps))
    generation = run.generation + 1
    warm = length / math.sqrt(1.0 - (1.0 - p.c_sigma) ** (2 * generation)) < (1.4 + 2.0 / (n + 1.0)) * p.chi
    pc = (1.0 - p.c_c) * run.pc + (math.sqrt(p.c_c * (2.0 - p.c_c) * p.mu_eff) * y if warm else 0.0)
    weights = p.weights.copy()
    Z = white(run, Y[p.mu :])
    # Negative weights are divided by the squared length of their step, so that C stays positive definite.
    weights[p.mu :] *= n / np.maximum((Z * Z).sum(axis=1), 1e-300)
    keep = 1.0 - p.c_1 - p.c_mu * float(p.weights.sum())
    if not warm:
        keep += p.c_1 * p.c_c * (2.0 - p.c_c)
    C = keep * run.C + p.c_1 * np.outer(pc, pc) + p.c_mu * ((Y.T * weights) @ Y)
    C = 0.5 * (C + C.T)
    sigma = run.sigma * math.exp(min(1.0, p.c_sigma / p.damping * (length / p.chi - 1.0)))
    run = evolve(run, mean=mean, ps=ps, pc=pc, C=C, sigma=min(sigma, SIGMA_MAX), generation=generation)
    return decomposed(_inside(run, fold), p)


def _inside(run: CmaState, fold: Fold) -> CmaState:
    """The same distribution seen from inside the domain, no wider than the box allows, granular variables kept moving."""
    mean, sign = fold.mirrored(run.mean)
    if mean is not run.mean:
        # The folded function is symmetric about the border: this changes coordinates, not the distribution of the points.
        run = evolve(
            run, mean=mean, ps=sign * run.ps, pc=sign * run.pc, C=run.C * np.outer(sign, sign), B=sign[:, None] * run.B
        )
    factor = np.minimum(1.0, WIDEST * fold.width / np.maximum(deviations(run), 1e-300))
    if (factor < 1.0).any():
        run = evolve(run, C=run.C * np.outer(factor, factor), decomposed=-1)
    return with_margin(run, fold.setup.granularity)


def with_margin(run: CmaState, granularity: FloatArray) -> CmaState:
    """Mean and stretch corrected so that every granular variable leaves the lattice cell of its mean now and then.

    The probability of either neighbouring side is kept at 1 / (2 lam n) or more.
    """
    granular = granularity > 0.0
    if not granular.any():
        return run
    g = granularity[granular]
    mean, stretch = run.mean.copy(), run.stretch.copy()
    alpha = 1.0 / (run.lam * run.mean.shape[0])
    m, plain = mean[granular], np.maximum(deviations(run)[granular], 1e-150)
    # A stretch that is no longer needed goes; one that is needed stays, else the mean could not drift out of its cell.
    a = np.clip(stretch[granular], 1.0, np.maximum(1.0, g / plain))
    s = a * plain
    low = (np.rint(m / g) - 0.5) * g
    below, above = ndtr((low - m) / s), ndtr((m - low - g) / s)
    short = (below < 0.5 * alpha) | (above < 0.5 * alpha)
    inner = np.maximum(1.0 - below - above, 0.5 * alpha)
    below, above = np.maximum(below, 0.5 * alpha), np.maximum(above, 0.5 * alpha)
    total = below + above + inner
    spare = np.maximum(total - 1.5 * alpha, 1e-300)
    below = below + (1.0 - total) / spare * (below - 0.5 * alpha)
    above = above + (1.0 - total) / spare * (above - 0.5 * alpha)
    q_low, q_high = ndtri(np.clip(below, 1e-12, 1.0 - 1e-12)), ndtri(np.clip(1.0 - above, 1e-12, 1.0 - 1e-12))
    wide = g / np.maximum(q_high - q_low, 1e-12)
    mean[granular] = np.where(short, low - wide * q_low, m)
    stretch[granular] = np.where(short, np.maximum(wide / plain, 1.0), a)
    return evolve(run, mean=mean, stretch=stretch)


def decomposed(run: CmaState, p: Rates) -> CmaState:
    """B and D brought up to date when C has changed enough since the last time."""
    n = run.mean.shape[0]
    wait = 1.0 / ((p.c_1 + p.c_mu) * n * 10.0)
    if run.decomposed >= 0 and run.generation - run.decomposed < wait:
        return run
    values, B = np.linalg.eigh(run.C)
    largest = float(values[-1])
    if not (math.isfinite(largest) and largest > 0.0):
        return evolve(run, done=True)
    D = np.sqrt(np.maximum(values, largest / (10.0 * CONDITION_MAX)))
    return evolve(run, B=B, D=D, decomposed=run.generation)


def traced(run: CmaState, kind: int, best: float, median: float) -> CmaState:
    """The run with one more generation on record; the record begins anew when what is compared has changed."""
    if kind != run.kind:
        return evolve(run, kind=kind, best=np.array([best]), median=np.array([median]))
    return evolve(run, best=np.append(run.best[-TRACE_MAX:], best), median=np.append(run.median[-TRACE_MAX:], median))


def finished(run: CmaState, F: FloatArray, f_scale: float, f_best: float, continuous: BoolArray) -> bool:
    """Whether the run has ended: converged, converged to a value worse than the best one known, flat, ill-conditioned or stagnating.

    Parameters
    ----------
    F : float64 (lam,)         what decided about the points of the last generation, +inf where something else did
    f_scale : float            unit of the objective; values that are compared otherwise (violations) have unit 1
    f_best : float             best value known, of the same kind; -inf to ask for full convergence
    continuous : bool (n,)     variables without a lattice; the others are kept moving and say nothing about convergence
    """
    n = run.mean.shape[0]
    if run.done:
        return True
    size = deviations(run)
    if continuous.any():
        path = run.sigma * run.scale * np.abs(run.pc)
        small = np.maximum(size, path) <= TOL_X * run.sigma0 * run.scale
        lost = run.mean + 0.2 * size == run.mean
        if small[continuous].all() or lost[continuous].any():
            return True
    if float(run.D.max()) ** 2 > CONDITION_MAX * float(run.D.min()) ** 2:
        return True
    if continuous.all() and float(F.max()) == float(F.min()):
        return True  # a lattice, in contrast, may give the same values for a while before the margin leads elsewhere
    window = 10 + math.ceil(30.0 * n / run.lam)
    if run.best.shape[0] >= window:
        recent = run.best[-window:]
        low, high = float(recent.min()), float(recent.max())
        tol = max(TOL_F * (f_scale if run.kind == 2 else 1.0), 4.0 * float(np.spacing(abs(low))))
        lacks = low - f_best if math.isfinite(f_best) else 0.0
        low, spread = min(low, float(F.min())), high - low
        whole = max(high, float(F.max())) - low
        if whole <= max(tol, HOPELESS * lacks) or spread <= 0.1 * tol:
            return True
    long = min(TRACE_MAX, int(max(100.0 + 100.0 * n**1.5 / run.lam, 0.2 * run.generation)))
    if run.best.shape[0] >= long:
        part = max(1, (3 * long) // 10)
        old, new = slice(-long, -long + part), slice(-part, None)
        return bool(
            np.median(run.best[new]) >= np.median(run.best[old])
            and np.median(run.median[new]) >= np.median(run.median[old])
        )
    return False


def drowned(run: CmaState, deviation: float) -> bool:
    """Whether the values of the last generations differ by no more than noise of this standard deviation makes equal ones differ."""
    if run.kind != 2 or run.best.shape[0] < DROWNED or not deviation > 0.0:
        return False
    gap = float(np.mean(run.median[-DROWNED:] - run.best[-DROWNED:]))
    # Expected gap between the median and the least of lam normal numbers (Blom 1958).
    expected = -NormalDist().inv_cdf((1.0 - 0.375) / (run.lam + 0.25)) * deviation
    return math.isfinite(gap) and gap <= DROWNED_GAP * expected
