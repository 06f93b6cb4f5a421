"""Regression search under noise: the minimiser of a quadratic fitted to many evaluated points at once.

Interpolation takes every value for the truth; a least-squares fit averages the noise of all points over its coefficients. The fit takes the
largest neighbourhood of the incumbent in which a quadratic explains the values up to their noise, so that it is as certain as the data allow.
After Conn, Scheinberg & Vicente (2009), "Introduction to derivative-free optimization", chapter 4 (regression models), and Moré & Wild (2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dfoattack._threads import single_thread
from dfoattack._typing import FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.kernels.trust_region import constrained_step, trust_step
from dfoattack.state import Setup, SolverState
from dfoattack.steps.base import Outcome, Proposal, Step

FULL_MAX = 20  # variables up to which all coefficients of a quadratic are fitted; beyond, no mixed ones
SURPLUS = 1.5  # points a coefficient in the smallest set
GROWTH = 1.6  # ratio of the sizes of successive sets
POINTS_MAX = 1200  # of a set
FIT = 2.5  # deviations by which the residuals of a fit may be larger than noise
BIAS = 2.5  # the same for their mean
REACH = 0.7  # of the radius of the set: how far from the minimiser the further points are
COLUMNS_MAX = 10  # constraint columns beyond which no step is proposed


@dataclass(frozen=True)
class Fit:
    """Quadratics c + g.s + s.H s / 2 of the objective and the constraints (m, ...), s in units of `radius` * scale round the centre."""

    c: FloatArray
    g: FloatArray
    H: FloatArray
    radius: float
    points: int


class Regression(Step):
    """The minimiser of the fit within its set, the bounds and the constraints; and, once it promises less than the noise hides, n points
    all around it, from which the next fit learns more than from any others: far away in the set of the present one.
    Nothing where variables are periodic or categorical.

    The last minimiser is remembered as the answer that the data suggest (`NoiseState.answer`). Draws n^2 normals.
    """

    name = "regression"

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        n, row = setup.n, state.barrier.feas
        if (
            state.noise is None
            or state.mesh is None
            or row < 0
            or state.barrier.phase == 1
            or not setup.geometry.plain
            or not n
        ):
            return Proposal.nothing(n)
        normals = rng.standard_normal((n, n))
        with single_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            fit = fitted(setup, state, row)
            if fit is None:
                return Proposal.nothing(n)
            unit, x = state.mesh.scale * fit.radius, state.history.X[row]
            s = _minimiser(fit, (setup.lower - x) / unit, (setup.upper - x) / unit)
            promise = -float(fit.g[0] @ s + 0.5 * s @ fit.H[0] @ s)
            S = s[None, :]
            if promise < float(state.noise.sigma(state.history.f[row : row + 1])[0]):
                Q, _ = np.linalg.qr(normals)
                S = np.vstack([S, s + REACH * Q])
        X = setup.geometry.snapped(x + unit * S)
        return Proposal.around(X, x, False, memo=X[0], opportunistic=False)

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        if state.noise is None or outcome.memo is None:
            return state
        row = state.history.find(outcome.memo)
        if row < 0 or state.history.H[row] != 0.0 or not np.isfinite(state.history.F[row]):
            return state
        return evolve(state, noise=evolve(state.noise, answer=row))


def fitted(setup: Setup, state: SolverState, row: int) -> Fit | None:
    """The fit on the largest set round history row `row` that a quadratic explains; None if there is none."""
    noise, history, n = state.noise, state.history, setup.n
    assert noise is not None and state.mesh is not None
    p = history.p or 0
    usable = np.flatnonzero((history.status == 0) & (np.abs(history.f) < 1e100))
    deviation = noise.sigma(history.f[usable])
    if p > COLUMNS_MAX or not (deviation > 0.0).all():
        return None
    full = n <= FULL_MAX
    terms = (n + 1) * (n + 2) // 2 if full else 2 * n + 1
    D = (history.X[usable] - history.X[row]) / state.mesh.scale
    distance = np.sqrt((D * D).sum(axis=1))
    order = np.lexsort((usable, distance))
    weight = np.sqrt(noise.all_counts(history.size)[usable]) / deviation
    spread = 2.0 / max(noise.spread.dof, 1.0) if noise.estimated else 0.0
    best: Fit | None = None
    size, most = math.ceil(SURPLUS * terms) + 1, min(order.shape[0], POINTS_MAX)
    while size <= most:
        rows = order[:size]
        radius = float(distance[rows[-1]])
        found = _least_squares(D[rows] / radius, history.f[usable[rows]], weight[rows], full) if radius > 0.0 else None
        if found is None or not _explains(found[1], terms, spread):
            break
        best = _with_constraints(state, usable[rows], D[rows] / radius, full, found[0], radius)
        size = math.ceil(GROWTH * size) if size == most or GROWTH * size <= most else most
    return best


def _explains(rest: FloatArray, terms: int, spread: float) -> bool:
    """Whether residuals (k,) in units of their deviations, nearest points first, are noise: all of them, and those of the inner points.

    `spread`: relative variance of the noise's variance. Without the inner points a large set hides what is wrong near the centre.
    """
    size = rest.shape[0]
    if float(rest @ rest) > (size - terms) * (1.0 + FIT * math.sqrt(2.0 / (size - terms) + spread)):
        return False
    squares, sums, inner = np.cumsum(rest * rest), np.cumsum(rest), max(8, terms // 2)
    while inner < size:
        if squares[inner - 1] > inner * (1.0 + FIT * math.sqrt(2.0 / inner + spread)):
            return False
        if abs(sums[inner - 1]) > BIAS * math.sqrt(inner):
            return False
        inner *= 2
    return True


def _design(S: FloatArray, full: bool) -> FloatArray:
    """Monomials of S (k, n): 1, s_i, s_i^2 / 2, and s_i s_j for i < j if `full`."""
    columns = [np.ones((S.shape[0], 1)), S, 0.5 * S * S]
    if full:
        i, j = np.triu_indices(S.shape[1], 1)
        columns.append(S[:, i] * S[:, j])
    return np.hstack(columns)


def _least_squares(
    S: FloatArray, values: FloatArray, weight: FloatArray, full: bool
) -> tuple[FloatArray, FloatArray] | None:
    """Coefficients of the fit and weighted residuals; None where the points do not determine them."""
    A = _design(S, full)
    level = float(values[0])
    gram = (A * (weight * weight)[:, None]).T @ A
    size = np.sqrt(np.diag(gram))
    if not np.isfinite(size).all() or not size.all():
        return None
    gram /= np.outer(size, size)
    curvature, axes = np.linalg.eigh(gram)
    if curvature[0] < 1e-10 * curvature[-1]:
        return None
    right = (A.T @ (weight * weight * (values - level))) / size
    coefficients = axes @ ((axes.T @ right) / curvature) / size
    rest = weight * (values - level - A @ coefficients)
    coefficients[0] += level
    return coefficients, rest


def _quadratic(coefficients: FloatArray, n: int, full: bool) -> tuple[float, FloatArray, FloatArray]:
    H = np.diag(coefficients[n + 1 : 2 * n + 1])
    if full:
        i, j = np.triu_indices(n, 1)
        H[i, j] = H[j, i] = coefficients[2 * n + 1 :]
    return float(coefficients[0]), coefficients[1 : n + 1].copy(), H


def _with_constraints(
    state: SolverState, rows: IntArray, S: FloatArray, full: bool, objective: FloatArray, radius: float
) -> Fit | None:
    """The fit of the objective with those of the constraints, each raised by the deviation of its residuals."""
    n, history, columns = S.shape[1], state.history, state.barrier.columns
    parts = [_quadratic(objective, n, full)]
    if columns is not None:
        for j, tol in enumerate(columns.tol.tolist()):
            found = _least_squares(S, history.C[rows, j] - tol, np.ones(rows.shape[0]), full)
            if found is None:
                return None
            c, g, H = _quadratic(found[0], n, full)
            parts.append((c + math.sqrt(float(found[1] @ found[1]) / (S.shape[0] - found[0].shape[0])), g, H))
    constants, slopes, curvatures = (np.array(part) for part in zip(*parts, strict=True))
    return Fit(constants, slopes, curvatures, radius, rows.shape[0])


def _minimiser(fit: Fit, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Minimiser (n,) of the fitted objective in the unit ball, the bounds and the fitted constraints."""
    n = fit.g.shape[1]
    lower, upper = np.minimum(lower, 0.0), np.maximum(upper, 0.0)
    step, nothing = np.empty(n), np.zeros(n)
    if fit.c.shape[0] == 1:
        trust_step(fit.g[0], fit.H[0], nothing, lower, upper, 1.0, step)
        return step
    change = np.sqrt((fit.g**2).sum(axis=1)) + 0.5 * np.sqrt((fit.H**2).sum(axis=(1, 2)))
    change[change <= 0.0] = 1.0
    m = fit.c.shape[0]
    # A little inside: the step meets active constraints up to its own accuracy only.
    c = fit.c / change + 1e-6
    c[0] = 0.0
    constrained_step(
        c,
        fit.g / change[:, None],
        fit.H / change[:, None, None],
        np.zeros(m, dtype=bool),
        lower,
        upper,
        1.0,
        np.zeros(m),
        step,
    )
    return step
