"""Compiled kernels beside a fixed piece of linear algebra: figures that two machines can compare."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import process_time
from typing import Any

import numpy as np

from dfoattack.kernels import cone, covering, directions, hypervolume, interpolation, mesh, trust_region

N = 20
REPEATS = 7
# Calls between two looks at the clock; so many that they take some tenths of a millisecond at least.
SECONDS = 0.02


def cases(rng: np.random.Generator) -> dict[str, Callable[[], Any]]:
    """Name -> a call with the arguments of a typical iteration in N variables."""
    n = N
    v, H, Z = rng.standard_normal(n), np.empty((n, n)), np.zeros((2 * n, n))
    directions.householder(v, H)
    both, rho = np.vstack([H, -H]), np.full(n, 50.0)
    directions.scale_directions(both, rho, Z)
    steps, delta, rounded = rng.standard_normal((2 * n, n)), np.full(n, 0.01), np.empty((2 * n, n))
    x, far, g = rng.standard_normal(n), np.full(n, 1e9), np.zeros(n)
    points = np.empty((2 * n, n))
    pool, history, scale = rng.standard_normal((200, n)), rng.standard_normal((40, n)), np.ones(n)
    d2 = np.full(200, np.inf)
    p = 2 * n + 1
    S = np.vstack([np.zeros(n), np.eye(n), -np.eye(n)])
    W = np.zeros((p + 1 + n, p + 1 + n))
    W[:p, :p], W[:p, p], W[p, :p], W[:p, p + 1 :], W[p + 1 :, :p] = 0.5 * (S @ S.T) ** 2, 1.0, 1.0, S, S.T
    inverse, w, Hw, sigma = (
        np.asarray(np.linalg.inv(W), dtype=np.float64),
        np.empty(p + 1 + n),
        np.empty(p + 1 + n),
        np.empty(p),
    )
    s = rng.uniform(-1.0, 1.0, n)
    interpolation.system_row(S, s, w)
    A = rng.standard_normal((n, n))
    quadratic, slope, step = A + A.T, rng.standard_normal(n), np.empty(n)
    front = rng.random((50, 3))
    return {
        "directions.householder": lambda: directions.householder(v, H),
        "directions.scale_directions, 2n": lambda: directions.scale_directions(both, rho, Z),
        "cone.positive_basis_status, 2n": lambda: cone.positive_basis_status(Z),
        "mesh.round_steps, 2n": lambda: mesh.round_steps(steps * 0.05, delta, rounded),
        "mesh.mesh_points, 2n": lambda: mesh.mesh_points(x, rounded, delta, -far, far, g, g, points),
        "covering.pool_update, 200 x 40": lambda: covering.pool_update(pool, d2, history, scale),
        "covering.fill_distance, 200 x 40": lambda: covering.fill_distance(pool, history, scale, d2),
        "interpolation.replacement_weights": lambda: interpolation.replacement_weights(
            inverse, w, float(s @ s), p, Hw, sigma
        ),
        "trust_region.trust_step": lambda: trust_region.trust_step(
            slope, quadratic, np.zeros(n), -np.ones(n), np.ones(n), 1.0, step
        ),
        "hypervolume.hypervolume, 50 x 3": lambda: hypervolume.hypervolume(front, np.ones(3)),
    }


def seconds(call: Callable[[], Any]) -> float:
    """CPU seconds of one call: median over repeats of a mean over many."""
    call()
    count, spent = 1, 0.0
    while True:
        start = process_time()
        for _ in range(count):
            call()
        spent = process_time() - start
        if spent >= SECONDS:
            break
        count *= 4
    values = [spent / count]
    for _ in range(REPEATS - 1):
        start = process_time()
        for _ in range(count):
            call()
        values.append((process_time() - start) / count)
    return median(values)


def section(say: Callable[[str], None]) -> str:
    """Markdown of this measurement."""
    rng = np.random.default_rng(0)
    A = rng.standard_normal((64, 64))
    lines = [
        "## Kernels",
        "",
        f"CPU microseconds of one call with the arguments of an iteration at n = {N}, and the ratio to one product of two "
        f"64 x 64 matrices in NumPy, measured just before it; median of {REPEATS}.",
        "",
        "| kernel | microseconds | ratio |",
        "| --- | ---: | ---: |",
    ]
    for name, call in cases(rng).items():
        reference = seconds(lambda: A @ A)
        own = seconds(call)
        say(f"kernel {name}: {1e6 * own:.1f} microseconds, {own / reference:.2f} of a product")
        lines.append(f"| {name} | {1e6 * own:.1f} | {own / reference:.2f} |")
    return "\n".join(lines)
