"""Trust-region steps: admissible to the last bit, never uphill, and as good as SLSQP from many starts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfoattack.kernels import trust_region
from tests.kernels import naive

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 6)


def quadratic(rng: np.random.Generator, n: int, lowest: float) -> tuple[np.ndarray, np.ndarray]:
    """Gradient and Hessian with eigenvalues between `lowest` and 2, of sizes that vary."""
    axes = np.linalg.qr(rng.standard_normal((n, n)))[0]
    H = (axes * rng.uniform(lowest, 2.0, n)) @ axes.T
    size = 10.0 ** rng.uniform(-3, 3)
    return rng.standard_normal(n) * size * 10.0 ** rng.uniform(-1, 1), 0.5 * (H + H.T) * size


def walls(rng: np.random.Generator, n: int, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Bounds round 0: some far, some infinite, some within the ball, some at 0 and some without room."""
    kinds = rng.integers(0, 5, (2, n))
    room = rng.uniform(0.05, 0.9, (2, n)) * radius
    reach = np.select([kinds == 0, kinds == 1, kinds == 2], [np.full((2, n), np.inf), 10.0 * radius, 0.0], room)
    return -reach[0], reach[1]


def step(g: np.ndarray, H: np.ndarray, lower: np.ndarray, upper: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
    d, start = np.empty(len(g)), np.zeros(len(g))
    return d, trust_region.trust_step(g, H, start, lower, upper, radius, d)


def check(g: np.ndarray, H: np.ndarray, low: np.ndarray, high: np.ndarray, radius: float) -> tuple[np.ndarray, float]:
    """Box to the last bit, ball to round-off, the promised decrease is that of the quadratic and is not negative."""
    d, decrease = step(g, H, low, high, radius)
    assert (d >= low).all() and (d <= high).all()
    assert float(np.linalg.norm(d)) <= radius * (1.0 + 1e-12)
    size = float(np.abs(g).max() * radius + np.abs(H).max() * radius**2)
    assert decrease >= 0.0
    assert abs(decrease + float(g @ d + 0.5 * d @ H @ d)) <= 1e-10 * len(g) * size
    return d, decrease


@given(st.integers(1, 12), seeds, st.sampled_from([-2.0, 0.0, 1e-6, 0.1]))
def test_steps_are_admissible_and_downhill(n: int, seed: int, lowest: float) -> None:
    rng = np.random.default_rng(seed)
    radius = 10.0 ** rng.uniform(-6, 3)
    g, H = quadratic(rng, n, lowest)
    _, decrease = check(g, H, *walls(rng, n, radius), radius)
    free = np.full(n, np.inf)
    _, decrease = check(g, H, -free, free, radius)
    cauchy = 0.5 * float(g @ g) ** 0.5 * min(radius, float(g @ g) ** 0.5 / float(np.abs(np.linalg.eigvalsh(H)).max()))
    assert decrease >= cauchy * (1.0 - 1e-9), "at least what the steepest descent promises"


def shares(lowest: float, count: int, bounded: bool) -> np.ndarray:
    """Decrease found, as a share of the best that SLSQP finds."""
    out = []
    for seed in range(count):
        rng = np.random.default_rng([seed, 5])
        n = 1 + seed % 6
        g, H = quadratic(rng, n, lowest)
        g, H = g / np.abs(H).max(), H / np.abs(H).max()
        radius = float(rng.choice([0.1, 1.0, 5.0]))
        low, high = walls(rng, n, radius) if bounded else (np.full(n, -np.inf), np.full(n, np.inf))
        _, decrease = check(g, H, low, high, radius)
        wanted, _ = naive.trust_step(g, H, np.zeros(n), low, high, radius, tries=4)
        out.append(1.0 if wanted <= 1e-9 else decrease / wanted)
    return np.array(out)


@pytest.mark.parametrize("bounded", [False, True])
def test_convex_steps_are_as_good_as_the_best(bounded: bool) -> None:
    found = shares(0.05, 120, bounded)
    assert np.quantile(found, 0.05) >= 0.99 and found.min() >= 0.95, np.sort(found)[:8]


@pytest.mark.parametrize("bounded", [False, True])
def test_indefinite_steps_are_close_to_the_best(bounded: bool) -> None:
    found = shares(-1.5, 120, bounded)
    assert np.quantile(found, 0.1) >= 0.9 and found.mean() >= 0.95, np.sort(found)[:12]


def test_edges() -> None:
    eye, free = np.eye(2), np.full(2, np.inf)
    d, decrease = step(np.zeros(2), eye, -free, free, 1.0)
    assert not d.any() and decrease == 0.0
    d, decrease = step(np.array([1.0, 1.0]), eye, np.zeros(2), np.zeros(2), 1.0)
    assert not d.any() and decrease == 0.0
    d, decrease = step(np.array([3.0, 4.0]), np.zeros((2, 2)), -free, free, 2.0)
    np.testing.assert_allclose(d, [-1.2, -1.6], rtol=1e-12)
    assert decrease == pytest.approx(10.0)
    d, decrease = step(np.array([np.nan, 1.0]), eye, -free, free, 1.0)
    assert not d.any() and decrease == 0.0, "nothing is done with a gradient that is not a number"
    d, decrease = step(np.array([1.0, -1.0]), eye, np.array([-0.25, -5.0]), np.array([5.0, 0.5]), 10.0)
    assert d.tolist() == [-0.25, 0.5], "bounds are met exactly"


@given(sizes, seeds, st.integers(-40, 40))
def test_powers_of_two_change_no_bit(n: int, seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    g, H = quadratic(rng, n, -1.0)
    low, high = walls(rng, n, 1.0)
    d, decrease = step(g, H, low, high, 1.0)
    again, more = step(g * 2.0**k, H * 2.0**k, low, high, 1.0)
    assert d.tobytes() == again.tobytes() and more == decrease * 2.0**k


@given(st.integers(2, 7), seeds)
def test_arcs(n: int, seed: int) -> None:
    """From a point of the sphere, along its arcs: same as the twin, downhill, of the same length, inside the box."""
    rng = np.random.default_rng(seed)
    g, H = quadratic(rng, n, -1.0)
    g, H = g / np.abs(H).max(), H / np.abs(H).max()
    d = rng.standard_normal(n)
    d /= np.linalg.norm(d)
    low, high = np.where(rng.random(n) < 0.5, -np.inf, -1.0), np.maximum(d, rng.uniform(0.0, 1.5, n))
    low = np.minimum(low, d)
    free = rng.random(n) < 0.8
    grad, start = g + H @ d, d.copy()
    wanted, end = naive._along_arcs(H, grad, free, low, high, d, trust_region.ROTATIONS)
    total = trust_region._along_arcs(H, grad, free, low, high, d, np.empty(n), np.empty(n))
    assert (d[~free] == start[~free]).all() and (d[free] >= low[free]).all() and (d[free] <= high[free]).all()
    assert float(np.linalg.norm(d)) == pytest.approx(1.0, abs=1e-12)
    change = float(g @ (d - start) + 0.5 * d @ H @ d - 0.5 * start @ H @ start)
    assert total >= 0.0 and abs(total + change) <= 1e-10
    assert abs(total - wanted) <= 1e-6 * max(1.0, wanted)
    if np.linalg.norm(end - d) > 1e-6:  # two angles that are equally good
        assert abs(total - wanted) <= 1e-9 * max(1.0, wanted)


# ------------------------------------------------------------------------------------------------ constraints


def models(rng: np.random.Generator, n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An objective and convex constraints that 0 or a point near it satisfies, in units of order one."""
    c, g, H = np.zeros(m), np.empty((m, n)), np.empty((m, n, n))
    for k in range(m):
        g[k], H[k] = rng.standard_normal(n), 0.0
        A = rng.standard_normal((n, n)) / math.sqrt(n)
        H[k] = 0.5 * (A + A.T) if k == 0 else 0.5 * A @ A.T
        c[k] = 0.0 if k == 0 else rng.uniform(-0.4, 0.1)
    return c, g, H


@given(st.integers(1, 5), st.integers(1, 4), seeds)
def test_augmented(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    c, g, H = models(rng, n, m)
    equality, multipliers = rng.random(m) < 0.3, np.abs(rng.standard_normal(m))
    penalty, s = 10.0 ** rng.uniform(0, 3), rng.standard_normal(n)
    values, grad, B = np.empty(m), np.empty(n), np.empty((n, n))
    total = trust_region.augmented(c, g, H, equality, multipliers, penalty, s, values, grad, B)
    wanted = naive.augmented(c, g, H, equality, multipliers, penalty, s)
    for found, twin in zip((values, grad, B, total), wanted, strict=True):
        np.testing.assert_allclose(found, twin, rtol=0, atol=1e-10 * (1.0 + float(np.abs(twin).max())))

    def value(z: np.ndarray) -> float:
        return trust_region.augmented(c, g, H, equality, multipliers, penalty, z, values.copy(), grad.copy(), B.copy())

    d, eps = rng.standard_normal(n), 1e-6
    slope = (value(s + eps * d) - value(s - eps * d)) / (2 * eps)
    assert slope == pytest.approx(
        float(grad @ d), abs=1e-3 * penalty * (1.0 + float(s @ s)) ** 2 * (1.0 + float(d @ d))
    )


@given(st.integers(1, 6), seeds)
@settings(max_examples=40)
def test_local_steps_stay_within_reach(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    g, H = quadratic(rng, n, 0.1)
    g, H = g / np.abs(H).max(), H / np.abs(H).max()
    low, high = walls(rng, n, 1.0)
    s = np.clip(rng.uniform(-0.5, 0.5, n) / math.sqrt(n), low, high)
    trial, reach = np.empty(n), float(rng.choice([0.01, 0.3, 2.0]))
    decrease = trust_region._local_step(g, H, s, low, high, 1.0, reach, trial)
    assert (np.abs(trial - s) <= reach * (1 + 1e-15)).all() and (trial >= low).all() and (trial <= high).all()
    assert float(np.linalg.norm(trial)) <= 1.0 + 1e-12
    wanted, _ = naive._local_step(g, H, s, low, high, 1.0, reach, tries=2)
    assert decrease >= 0.9 * wanted - 1e-9


@pytest.mark.parametrize("equal", [False, True])
def test_constrained_steps(equal: bool) -> None:
    """Feasible wherever SLSQP finds a feasible point, and nearly as low."""
    worse, infeasible, total = [], 0, 0
    for seed in range(60):
        rng = np.random.default_rng([seed, 9])
        n, m = 1 + seed % 5, 2 + seed % 3
        c, g, H = models(rng, n, m)
        equality = np.zeros(m, dtype=bool)
        if equal:
            equality[1] = True
            H[1] = 0.0
        low, high = walls(rng, n, 1.0)
        wanted, _ = naive.constrained_step(c, g, H, equality, low, high, 1.0, tries=4)
        multipliers, s = np.zeros(m), np.empty(n)
        violation = trust_region.constrained_step(c, g, H, equality, low, high, 1.0, multipliers, s)
        assert (s >= low).all() and (s <= high).all() and float(np.linalg.norm(s)) <= 1.0 + 1e-12
        values = naive.model_values(c, g, H, s)
        excess = np.where(equality, np.abs(values), np.maximum(values, 0.0))[1:]
        assert abs(float(excess.max()) - violation) <= 1e-12
        assert (multipliers[1:][~equality[1:]] >= 0.0).all()
        if not math.isfinite(wanted):
            continue
        total += 1
        if violation > 1e-5:
            infeasible += 1
        else:
            worse.append((values[0] - wanted) / max(0.1, abs(wanted)))
    # A curved valley of an equation in a corner of ball and box may defeat twelve rounds.
    assert total > 30 and infeasible <= (0.1 if equal else 0.05) * total, (infeasible, total)
    assert np.quantile(worse, 0.9) <= 0.02 and np.mean(worse) <= 0.05, np.sort(worse)[-10:]
