"""The numbers behind every picture and table: hits, profiles, ECDFs, bootstrap intervals. Arrays in, arrays out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dfoattack._typing import FloatArray

# Moré and Wild's accuracies.
TAUS = (1e-1, 1e-3, 1e-5, 1e-7)
# Precisions above the known optimum: COCO's 51, and five of them for tables.
TARGETS = np.round(10.0 ** np.linspace(2.0, -8.0, 51), 12)
SHORT_TARGETS = (10.0, 1.0, 0.1, 1e-3, 1e-5)


def first_hits(at: FloatArray, value: FloatArray, levels: FloatArray) -> FloatArray:
    """Evaluations (T,) until a staircase (at (k,), value (k,) decreasing) is at or below each level; +inf if never."""
    if not len(at):
        return np.full(len(levels), np.inf)
    index = np.searchsorted(-value, -levels, side="left")
    missed = (index == len(at)) | np.isnan(levels)
    return np.where(missed, np.inf, at[np.minimum(index, len(at) - 1)])


def values_at(at: FloatArray, value: FloatArray, grid: FloatArray) -> FloatArray:
    """Best value (G,) known after so many evaluations; +inf before the first feasible point."""
    if not len(at):
        return np.full(len(grid), np.inf)
    index = np.searchsorted(at, grid, side="right") - 1
    return np.asarray(np.where(index >= 0, value[np.maximum(index, 0)], np.inf))


def relative_levels(f_start: FloatArray, f_ref: FloatArray, taus: Sequence[float] = TAUS) -> FloatArray:
    """Levels (P, T) at which a problem counts as solved to tau: f_start - f >= (1 - tau)(f_start - f_ref)."""
    t = np.asarray(taus)
    return np.asarray(f_ref[:, None] + t[None, :] * np.maximum(f_start - f_ref, 0.0)[:, None], dtype=np.float64)


def data_profile(times: FloatArray, grid: FloatArray) -> FloatArray:
    """Share (S, G) of problems whose time (S, P) is within each grid value (G,), in the units of `times`."""
    return np.asarray(np.mean(times[:, :, None] <= grid[None, None, :], axis=1))


def performance_profile(times: FloatArray, ratios: FloatArray) -> FloatArray:
    """Share (S, G) of problems solved within `ratios` (G,) times what the fastest solver needed.

    Problems that nobody solves count in the denominator.
    """
    fastest = np.min(times, axis=0)
    with np.errstate(invalid="ignore"):
        ratio = np.where(np.isfinite(times), times / fastest, np.inf)
    return data_profile(ratio, ratios)


def ecdf(times: FloatArray, grid: FloatArray) -> FloatArray:
    """Share (S, G) of (problem, target) pairs of times (S, P, T) hit within each grid value."""
    return data_profile(times.reshape(times.shape[0], -1), grid)


def area(times: FloatArray, limit: float, points: int = 401) -> FloatArray:
    """(S,) mean of the ECDF over log10(time) from 1 to `limit`; times (S, P, T) in multiples of n."""
    if limit <= 1.0:
        return np.asarray(np.mean(ecdf(times, np.array([limit])), axis=1))
    return np.asarray(np.mean(ecdf(times, np.geomspace(1.0, limit, points)), axis=1))


def quantiles(values: FloatArray, shares: Sequence[float] = (0.25, 0.5, 0.75)) -> list[FloatArray]:
    """Quantiles over rows (R, G) without interpolation: an infinity stays one only where it is reached."""
    ranked = np.sort(values, axis=0)
    return [np.asarray(ranked[round(q * (len(values) - 1))]) for q in shares]


def median(values: Sequence[float] | FloatArray) -> float:
    """The lower of two middle values for even counts: a value that was measured. NaN for nothing."""
    ranked = np.sort(np.asarray(values, dtype=np.float64))
    return float(ranked[(len(ranked) - 1) // 2]) if len(ranked) else float("nan")


def bootstrap(
    difference: FloatArray, clusters: Sequence[str], *, draws: int = 2000, seed: int = 0
) -> tuple[float, float, float]:
    """Mean of a difference (P,) and its 95 % interval when whole clusters (instances) are drawn again.

    Seeds of one instance fall together, so they are drawn together. One cluster says nothing of others: then the
    interval is infinite.
    """
    names, member = np.unique(np.asarray(clusters), return_inverse=True)
    if len(names) == 1:
        return float(np.mean(difference)), -np.inf, np.inf
    count = np.bincount(member).astype(np.float64)
    total = np.bincount(member, weights=difference)
    picks = np.random.default_rng(seed).integers(0, len(names), (draws, len(names)))
    means = total[picks].sum(axis=1) / count[picks].sum(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return float(np.mean(difference)), float(low), float(high)


def interval_text(interval: tuple[float, float, float]) -> str:
    """A mean and its interval; the mean alone where the interval is infinite."""
    mean, low, high = interval
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]" if np.isfinite(low) else f"{mean:+.3f}"
