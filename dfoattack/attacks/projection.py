"""Exact geometry of ball-and-box: projections, steepest steps, and steps that decrease two goals at once.

A ball of radius r is {d : |W^-1 d| <= r} with W = diag(weights); the box in displacements is a <= d <= b with a <= 0 <= b. All vectors are (n,).
Two-goal steps follow the minimum-norm idea of Fliege & Svaiter 2000 and Desideri 2012; the l_inf form comes from linear-programming duality.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from dfoattack._typing import FloatArray

_BISECTIONS = 80


def cube(radius: float, weights: FloatArray, a: FloatArray, b: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The l_inf ball cut by the box, as bounds (lo, hi)."""
    return np.maximum(a, -radius * weights), np.minimum(b, radius * weights)


def project_linf(d: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Euclidean projection of d on the l_inf ball cut by the box."""
    lo, hi = cube(radius, weights, a, b)
    z: FloatArray = np.clip(d, lo, hi)
    return z


@np.errstate(all="ignore")
def project_l2(d: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Euclidean projection of d on {|W^-1 z|_2 <= radius} cut by the box: z_i = clip(d_i / (1 + t / w_i^2), a_i, b_i), t by bisection."""
    inverse = 1.0 / (weights * weights)

    def at(t: float) -> FloatArray:
        z: FloatArray = np.clip(d / (1.0 + t * inverse), a, b)
        return z

    def length(z: FloatArray) -> float:
        return float(np.linalg.norm(z / weights))

    return _shrink(at, length, radius, scale=1.0)


@np.errstate(all="ignore")
def project_l1(d: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Euclidean projection of d on {|W^-1 z|_1 <= radius} cut by the box: z_i = clip(soft(d_i, t / w_i), a_i, b_i), t by bisection."""

    def at(t: float) -> FloatArray:
        z: FloatArray = np.clip(np.sign(d) * np.maximum(np.abs(d) - t / weights, 0.0), a, b)
        return z

    def length(z: FloatArray) -> float:
        return float(np.sum(np.abs(z) / weights))

    return _shrink(at, length, radius, scale=float(np.max(np.abs(d) * weights, initial=0.0)))


class _Path(Protocol):
    def __call__(self, t: float, /) -> FloatArray: ...


class _Length(Protocol):
    def __call__(self, z: FloatArray, /) -> float: ...


def _shrink(at: _Path, length: _Length, radius: float, scale: float) -> FloatArray:
    """First point of the shrinking path ``at(t)``, t >= 0, whose length is <= radius."""
    z = at(0.0)
    if length(z) <= radius:
        return z
    low, high = 0.0, max(scale, np.finfo(np.float64).tiny)
    while length(at(high)) > radius:
        low, high = high, 4.0 * high
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if length(at(middle)) > radius:
            low = middle
        else:
            high = middle
    return at(high)  # the inner end: never longer than the radius


def steepest_linf(g: FloatArray, lo: FloatArray, hi: FloatArray) -> FloatArray:
    """Minimiser of g . d over lo <= d <= hi; coordinates with g_i = 0 stay."""
    return np.where(g > 0.0, lo, np.where(g < 0.0, hi, 0.0))


@np.errstate(all="ignore")
def steepest_l1(g: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Minimiser of g . d over {|W^-1 d|_1 <= radius} cut by the box: largest abs(w_i g_i) first, each to its bound or the rest of the radius."""
    speed = np.abs(weights * g)
    limit = np.where(g > 0.0, a, b)
    d = np.zeros_like(g)
    left = radius
    for i in np.argsort(-speed, kind="stable"):
        if speed[i] == 0.0 or left <= 0.0:
            break
        use = min(abs(limit[i]) / weights[i], left)
        d[i] = np.copysign(use * weights[i], -g[i])
        left -= use
    return d


@np.errstate(all="ignore")
def steepest_l2(g: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray) -> FloatArray:
    """Minimiser of g . d over {|W^-1 d|_2 <= radius} cut by the box: d_i = clip(-t w_i^2 g_i, a_i, b_i).

    t is exact: the length is a sum of squares that changes form only where a coordinate meets its bound, so the breakpoints are sorted once.
    """
    speed = weights * g  # of y = W^-1 d along -t
    limit = np.where(speed > 0.0, a, b) / weights  # bound of y in the direction of travel
    moving = (speed != 0.0) & (limit != 0.0)
    if not np.any(moving):
        return np.zeros_like(g)
    # Normalise by the largest speed: squares of tiny gradients would underflow.
    v = np.abs(speed[moving]) / np.max(np.abs(speed[moving]))
    reach = np.abs(limit[moving])
    meet = reach / v
    order = np.argsort(meet, kind="stable")
    v2 = v[order] ** 2
    free = np.cumsum(v2[::-1])[::-1]  # sum of squared speeds of the coordinates not yet at their bound
    stopped = np.concatenate([[0.0], np.cumsum(reach[order][:-1] ** 2)])
    t = np.sqrt(np.maximum(radius * radius - stopped, 0.0) / free)
    ends = np.flatnonzero(t <= meet[order])
    y = np.zeros_like(g)
    if ends.size:
        y[moving] = np.minimum(float(t[ends[0]]) * v, reach)
    else:
        y[moving] = reach  # the whole orthant of the box lies in the ball
    d: FloatArray = np.clip(-np.sign(speed) * y * weights, a, b)
    return d


@np.errstate(all="ignore")
def two_goal_linf(g_1: FloatArray, g_2: FloatArray, lo: FloatArray, hi: FloatArray) -> FloatArray:
    """Step d in the cube lo <= d <= hi with the largest common relative decrease of two linear goals; zero if there is none.

    Each goal is measured by the decrease it could reach alone. max_d min(-g_1 . d, -g_2 . d) is a linear programme whose dual is the minimum over
    lambda in [0, 1] of the support function of the cube at lambda g_1 + (1 - lambda) g_2: convex, piecewise linear, with a breakpoint where a
    coordinate of the combination changes sign. There the sign step is kept, except that the coordinates whose combination vanishes take the
    fraction that makes both slopes equal. (The plain sign of a combination is no common descent direction.)
    """
    g_1, g_2 = _unit(g_1), _unit(g_2)
    best_1, best_2 = -float(g_1 @ steepest_linf(g_1, lo, hi)), -float(g_2 @ steepest_linf(g_2, lo, hi))
    if best_1 <= 0.0 or best_2 <= 0.0:
        return np.zeros_like(g_1)
    p, q = g_1 / best_1, g_2 / best_2
    crossing = p * q < 0.0
    breaks = np.unique(q[crossing] / (q[crossing] - p[crossing]))
    left, right = steepest_linf(q, lo, hi), steepest_linf(p, lo, hi)  # the steps at lambda = 0 and 1
    # gap(d) = (p - q) . d is minus the derivative in lambda; it falls from left to right.
    if float((p - q) @ left) <= 0.0:
        return _common(p, q, left, left)
    if float((p - q) @ right) >= 0.0:
        return _common(p, q, right, right)
    # Between two breakpoints the step is constant: bisection over 0, the intervals, 1. gap(step(first)) > 0 > gap(step(last)) throughout, up to zero.
    edges = np.concatenate([[0.0], breaks, [1.0]])
    end = breaks.size + 2

    def step(i: int) -> FloatArray:
        if i in (0, end):
            return left if i == 0 else right
        share = 0.5 * (edges[i - 1] + edges[i])
        return steepest_linf(share * p + (1.0 - share) * q, lo, hi)

    first, last = 0, end
    while last - first > 1:
        middle = (first + last) // 2
        if float((p - q) @ step(middle)) > 0.0:
            first = middle
        else:
            last = middle
    return _common(p, q, step(first), step(last))


@np.errstate(all="ignore")
def two_goal_l2(
    g_1: FloatArray, g_2: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray
) -> FloatArray:
    """Step in the l_2 ball cut by the box with the largest common relative decrease of two linear goals; zero if there is none.

    Without bounds in reach this is the minimum-norm combination of the normalised gradients W g, that is, their bisector. With bounds in reach
    lambda is found by bisection, and the two steps next to the optimum are mixed so that both slopes are equal.
    """

    return _two_goal(g_1, g_2, lambda g: steepest_l2(g, radius, weights, a, b))


@np.errstate(all="ignore")
def two_goal_l1(
    g_1: FloatArray, g_2: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray
) -> FloatArray:
    """The same in the l_1 ball cut by the box."""
    return _two_goal(g_1, g_2, lambda g: steepest_l1(g, radius, weights, a, b))


def _two_goal(g_1: FloatArray, g_2: FloatArray, steepest: Callable[[FloatArray], FloatArray]) -> FloatArray:
    """Largest common relative decrease over a convex set of which ``steepest`` minimises linear functions."""
    g_1, g_2 = _unit(g_1), _unit(g_2)
    best_1, best_2 = -float(g_1 @ steepest(g_1)), -float(g_2 @ steepest(g_2))
    if best_1 <= 0.0 or best_2 <= 0.0:
        return np.zeros_like(g_1)
    p, q = g_1 / best_1, g_2 / best_2
    middle = steepest(0.5 * (p + q))
    slopes = -float(p @ middle), -float(q @ middle)
    if min(slopes) > 0.0 and abs(slopes[0] - slopes[1]) <= 1e-6 * max(slopes):
        return middle
    low, high = 0.0, 1.0
    left, right = steepest(q), steepest(p)
    if float((p - q) @ left) <= 0.0:
        return _common(p, q, left, left)
    if float((p - q) @ right) >= 0.0:
        return _common(p, q, right, right)
    for _ in range(_BISECTIONS):
        share = 0.5 * (low + high)
        d = steepest(share * p + (1.0 - share) * q)
        if float((p - q) @ d) > 0.0:
            low, left = share, d
        else:
            high, right = share, d
        if high - low < 1e-14:
            break
    return _common(p, q, left, right)


def _unit(g: FloatArray) -> FloatArray:
    """g over its largest entry: products with tiny or huge gradients neither vanish nor overflow."""
    size = float(np.max(np.abs(g), initial=0.0))
    return g / size if 0.0 < size < np.inf else g


def _common(p: FloatArray, q: FloatArray, left: FloatArray, right: FloatArray) -> FloatArray:
    """The mix of two steps that decreases p and q equally (convexity keeps it inside); zero if that is no decrease."""
    gap_left, gap_right = float((p - q) @ left), float((p - q) @ right)
    share = gap_left / (gap_left - gap_right) if gap_left > 0.0 > gap_right else 0.0 if gap_left <= 0.0 else 1.0
    d = (1.0 - share) * left + share * right
    if float(p @ d) < 0.0 and float(q @ d) < 0.0:
        return d
    return np.zeros_like(p)
