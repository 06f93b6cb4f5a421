"""Subproblems of the model search: the best step inside the trust region, and the point that improves a set most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import BoolArray, FloatArray
from dfoattack.interpolation import Interpolation
from dfoattack.kernels.trust_region import constrained_step, trust_step
from dfoattack.steps._model_frame import Frame

__all__ = ["Judge", "TrustStep", "geometry_step", "trust_region_step"]

MARGIN_MAX = 0.1  # of what a constraint changes in the trust region
MULTIPLIER_MAX = 1e3


@dataclass(frozen=True)
class Judge:
    """How outcomes are compared: weights of objective and violations, and which columns are two-sided.

    Attributes
    ----------
    weights : float64 (m,)      of the objective (0 in phase one), then of the violations
    equality : bool (m,)        entry 0 is False
    """

    weights: FloatArray
    equality: BoolArray

    def violations(self, values: FloatArray) -> FloatArray:
        """Objective and violations of values (m,)."""
        out = np.where(self.equality, np.abs(values), np.maximum(values, 0.0))
        out[0] = values[0]
        return out

    def accuracy(self, before: FloatArray, promised: FloatArray, found: FloatArray) -> float:
        """How well the models told what would happen: decrease found / promised without constraints.

        With constraints 1 - error / change of objective and violations together; -1 where that says nothing.
        """
        if before.shape[0] == 1:
            gain, hope = before[0] - found[0], before[0] - promised[0]
            return float(gain / hope) if hope > 0.0 and np.isfinite(gain) else -1.0
        old, told, new = self.violations(before), self.violations(promised), self.violations(found)
        error, change = float(self.weights @ np.abs(new - told)), float(self.weights @ np.abs(told - old))
        return 1.0 - error / change if change > 0.0 and np.isfinite(error) else -1.0


@dataclass(frozen=True)
class TrustStep:
    """A step in model units, its length there, and the weights that judge it."""

    step: FloatArray
    length: float
    judge: Judge


def trust_region_step(
    frame: Frame,
    found: Interpolation,
    plain: bool,
    s: FloatArray,
    radius: float,
    margin: FloatArray,
    equality: BoolArray,
    phase_one: bool,
) -> TrustStep:
    """Approximate minimiser of the objective's model subject to those of the constraints, from s (k,).

    In phase one the shortest step that meets the constraints. `margin` (m - 1,) is kept from the inequalities.
    """
    slopes = found.g + found.H @ s
    flags = np.concatenate([[False], equality])
    if flags.shape[0] == 1:
        step, _ = _minimised(frame, found, plain, s, slopes[0], found.H[0], radius)
        return TrustStep(step, float(np.sqrt(step @ step)), Judge(np.ones(1), flags))
    c = found.values(s) + found.offset
    change = np.sqrt((slopes**2).sum(axis=1)) * radius + 0.5 * np.sqrt((found.H**2).sum(axis=(1, 2))) * radius**2
    change[~(change > 0.0)] = 1.0
    scaled = c / change
    scaled[1:] += np.where(equality, 0.0, np.minimum(margin / change[1:], MARGIN_MAX))
    scaled[0] = 0.0
    slopes, H = slopes * (radius / change)[:, None], found.H * (radius**2 / change)[:, None, None]
    if phase_one:
        slopes[0], H[0] = 0.0, 2.0 * np.eye(s.shape[0])
    step, multipliers = _constrained(frame, found, plain, s, scaled, slopes, H, radius, flags)
    weights = 2.0 * np.minimum(np.abs(multipliers[: c.shape[0]]), MULTIPLIER_MAX) * change[0] / change
    weights[0] = 1.0
    if phase_one:
        weights = 1.0 / change
        weights[0] = 0.0
    return TrustStep(step, float(np.sqrt(step @ step)), Judge(weights, flags))


def geometry_step(frame: Frame, found: Interpolation, plain: bool, t: int, s: FloatArray, radius: float) -> FloatArray:
    """A point near s at which the Lagrange function of point t is large in size, (k,)."""
    g, H = found.lagrange(t, s)
    high, up = _minimised(frame, found, plain, s, -g, -H, radius)
    low, down = _minimised(frame, found, plain, s, g, H, radius)
    best: FloatArray = s + (high if up >= down else low)
    return best


def _minimised(
    frame: Frame, found: Interpolation, plain: bool, s: FloatArray, g: FloatArray, H: FloatArray, radius: float
) -> tuple[FloatArray, float]:
    """Minimiser of one quadratic with gradient g at s in the ball and what limits it, and its decrease."""
    k = s.shape[0]
    step, nothing = np.empty(k), np.zeros(k)
    lower, upper = frame.bounds(found, s) if plain else (np.full(k, -np.inf), np.full(k, np.inf))
    decrease = float(trust_step(g, H, nothing, lower, upper, radius, step))
    if (plain and not frame.A.shape[0]) or frame.inside(found.point(s + step)):
        return step, decrease
    size = float(np.sqrt(g @ g)) * radius + 0.5 * float(np.sqrt((H * H).sum())) * radius**2 or 1.0
    slopes, curved = g[None, :] * (radius / size), H[None, :, :] * (radius**2 / size)
    step, _ = _constrained(frame, found, plain, s, np.zeros(1), slopes, curved, radius, np.zeros(1, dtype=bool))
    return step, float(-(g @ step + 0.5 * step @ H @ step))


def _constrained(
    frame: Frame,
    found: Interpolation,
    plain: bool,
    s: FloatArray,
    c: FloatArray,
    g: FloatArray,
    H: FloatArray,
    radius: float,
    equality: BoolArray,
) -> tuple[FloatArray, FloatArray]:
    """Minimiser, and multipliers, of model 0 subject to the others, all in units of the radius, and what limits the step."""
    k = s.shape[0]
    lower, upper = np.full(k, -np.inf), np.full(k, np.inf)
    if plain:
        lower, upper = (bound / radius for bound in frame.bounds(found, s))
    A, b = frame.walls(found, s, radius, bounds=not plain)
    if b.shape[0]:
        c, g = np.concatenate([c, -b]), np.vstack([g, A * radius])
        H = np.concatenate([H, np.zeros((b.shape[0], k, k))])
        equality = np.concatenate([equality, np.zeros(b.shape[0], dtype=bool)])
    step, multipliers = np.empty(k), np.zeros(c.shape[0])
    constrained_step(c, g, H, equality, lower, upper, 1.0, multipliers, step)
    step *= radius
    if plain and not frame.A.shape[0]:
        return np.clip(step, *frame.bounds(found, s)), multipliers
    x = np.clip(found.point(s + step), frame.lower, frame.upper)
    inside: FloatArray = found.place(x) - s
    return inside, multipliers
