"""Fixed inputs through every kernel; the bytes of all answers, hashed by kernel.

Run as ``python -m tests.kernels.digest`` it prints them as JSON, so that two processes can be compared bit for bit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from dfoattack.kernels import (
    barrier,
    cone,
    covering,
    directions,
    hypervolume,
    interpolation,
    linear,
    mesh,
    trust_region,
    wrapping,
)

SIZES = (1, 2, 3, 7, 13)


class Record:
    """Calls kernels and keeps a running hash of return values and of every array after the call."""

    def __init__(self) -> None:
        self.hashes: dict[str, Any] = {}

    def __call__(self, function: Callable[..., Any], *arguments: Any) -> Any:
        answer = function(*arguments)
        record = self.hashes.setdefault(function.__name__, hashlib.sha256())
        for value in (*arguments, *(answer if isinstance(answer, tuple) else (answer,))):
            if value is not None:
                record.update(np.ascontiguousarray(value, dtype=float).tobytes())
        return answer


def _directions(call: Record, rng: np.random.Generator, n: int) -> None:
    for size in (1e-200, 1.0, 1e200):
        call(directions.householder, rng.standard_normal(n) * size, np.empty((n, n)))
    H = np.empty((n, n))
    call(directions.householder, rng.standard_normal(n), H)
    for ratio in (0.5, 1.0, 2.0, 5.0, 1e6):
        rho = np.where(np.arange(n) % 3 == 2, 10.0 * ratio, ratio)
        Z = np.zeros((2 * n, n))
        call(directions.scale_directions, np.vstack([H, -H]), rho, Z)
        z_last = np.zeros(n)
        call(directions.complete_negative, Z[:n], rho, z_last)
        call(directions.completes, Z[:n], z_last)
        call(cone.positive_basis_status, Z)
        call(cone.positive_basis_status, np.vstack([Z[:n], z_last]))
        call(cone.positive_basis_status, np.rint(3.0 * rng.standard_normal((2 * n + 1, n))))
    A = rng.standard_normal((n + 2, n))
    out = np.zeros((n + 2, n))
    call(cone.equilibrate, A, out)
    call(cone.numerical_rank, A, 1e-10)
    call(cone.nonnegative_least_squares, out, rng.standard_normal(n), np.zeros(n + 2))


def _mesh(call: Record, rng: np.random.Generator, n: int) -> None:
    g = np.where(np.arange(n) % 2 == 1, 0.1, 0.0)
    inverse = np.where(np.arange(n) % 2 == 1, 10.0, 0.0)
    a, b = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    call(mesh.frame_from_request, 10.0 ** rng.uniform(-9, 9, n), g, a, b)
    b0 = b + rng.integers(-3, 4, n)
    x, scale = np.round(rng.standard_normal(n), 1), 10.0 ** rng.uniform(-3, 3, n)
    delta, Delta = np.empty(n), np.empty(n)
    for _ in range(12):
        call(mesh.mesh_sizes, a, b, b0, g, x, scale, delta, Delta)
        call(mesh.refine, a, b, g, a, b)
    call(mesh.enlarge, a, b, b0, g, rng.standard_normal(n) * Delta, Delta, 0.1, a, b)
    call(mesh.mesh_sizes, a, b, b0, g, x, scale, delta, Delta)
    for size in (0.0, 0.01, 1.0, 1000.0):
        Z, X = np.empty((4, n)), np.empty((4, n))
        call(mesh.round_steps, rng.standard_normal((4, n)) * delta * size, delta, Z)
        call(mesh.mesh_points, x, Z, delta, x - 0.3, np.full(n, np.inf), g, inverse, X)
        call(mesh.snap, rng.standard_normal((4, n)), np.full(n, -1.0), np.full(n, 0.3), g, inverse, X)
        call(mesh.snap_one, float(rng.standard_normal()), -1.0, 0.75, 0.25, 0.0)
    for k in (-400, -323, -5, 0, 22, 308, 400):
        call(mesh.pow10, k)
        call(mesh.decimal, 5, k)
        call(mesh.enlarge_one, 5, k)
        call(mesh.refine_one, 1, k, k == 0)
        call(mesh.floor_exponent, float(rng.uniform(1, 10)) * mesh.pow10(min(k, 307)))


def _covering(call: Record, rng: np.random.Generator, n: int) -> None:
    centre, scale = rng.standard_normal(n), 10.0 ** rng.uniform(-2, 2, n)
    lower, upper = centre - 0.3 * scale, np.full(n, np.inf)
    Y = np.zeros((24, n))
    normals, uniforms = rng.standard_normal((24, n)), rng.random(24)
    Y = Y[: call(covering.ball_points, centre, 0.7, scale, np.full(n, -np.inf), upper, normals, uniforms, Y)]
    V = np.zeros((24, n))
    V = V[: call(covering.ball_points, centre, 2.0, scale, lower, upper, normals[::-1].copy(), uniforms, V)].copy()
    d2 = np.full(len(Y), np.inf)
    call(covering.pool_update, Y, d2, V, scale)
    call(covering.farthest, Y, d2, centre, 0.5, scale)
    call(covering.pool_refresh, Y, d2, np.arange(0, len(Y), 2), V, len(V) // 2, centre, 0.7, scale)
    call(covering.fill_distance, Y, V, scale, d2)
    weight = call(covering.reciprocals, scale)
    call(covering.bounded_distance, Y, 0, Y, 1, weight, 1e-3)


def _wrapping(call: Record, rng: np.random.Generator, n: int) -> None:
    lower, upper = np.full(n, -1.0), np.full(n, 2.0)
    period = np.where(np.arange(n) % 2 == 0, 3.0, 0.0)
    g = np.where(np.arange(n) % 3 == 1, 0.1, 0.0)
    inverse = np.where(np.arange(n) % 3 == 1, 10.0, 0.0)
    X = np.empty((6, n))
    call(wrapping.snap_wrapped, 5.0 * rng.standard_normal((6, n)), lower, upper, period, g, inverse, X)
    Z = np.rint(9.0 * rng.standard_normal((6, n)))
    call(wrapping.mesh_points_wrapped, X[0].copy(), Z, np.full(n, 0.3), lower, upper, period, g, inverse, X)
    value = 9.0 * float(rng.standard_normal())
    call(wrapping.wrap_one, value, -1.0, 2.0, 3.0)
    call(wrapping.snap_periodic, value, -1.0, 2.0, 3.0, 0.1, 10.0)
    V, scale, metric = np.rint(3.0 * rng.random((9, n))), 1.0 + rng.random(n), np.where(g > 0.0, -1.0, period)
    d2 = np.full(6, np.inf)
    call(wrapping.pool_update_wrapped, X, d2, V, scale, metric)
    call(wrapping.pool_refresh_wrapped, X, d2, np.array([0, 2]), V, 5, scale, metric)
    call(wrapping.fill_distance_wrapped, X, V, scale, metric, d2)
    call(wrapping.wrapped_distance, X, 0, V, 1, 1.0 / scale, metric, 1e9)


def _barrier(call: Record, rng: np.random.Generator, p: int) -> None:
    C = rng.standard_normal((12, p)) * 10.0 ** rng.uniform(-200, 200, (12, p))
    C[3, 0], C[5, -1] = np.nan, -np.inf
    h, heb, most = np.empty(12), np.empty(12), np.empty(12)
    extreme = np.arange(p) % 3 == 1
    call(barrier.violations, C, np.full(p, 1e-3), 1.0 + rng.random(p), extreme, ~extreme, h, heb, most)
    F = rng.standard_normal(12)
    F[7] = np.inf
    for i in range(12):
        call(barrier.classify, F[i], h[i], 0.1, 0.3, 1.0, np.inf)
    call(barrier.infeasible_incumbent, F, h, 1, 11, np.inf)
    call(barrier.shrink_h_max, h, F, 1, 11, 1.0)
    call(barrier.add_square, 1.0, float(rng.random()))

    A, E = rng.standard_normal((p, p)), rng.standard_normal((1, p))
    X, inside, huge = rng.standard_normal((12, p)), np.empty(12, dtype=bool), np.full(p, np.inf)
    call(linear.linear_inside, X, A, A @ X[0], E, E @ X[0], 1e-14, inside)
    call(linear.longest_step, X[0], X[1] - X[0], A, A @ X[2] + 1.0, -huge, huge)


def _interpolation(call: Record, rng: np.random.Generator, n: int) -> None:
    S = np.vstack([np.zeros(n), np.eye(n), -np.eye(n)]) + 0.1 * rng.standard_normal((2 * n + 1, n))
    p = 2 * n + 1
    inverse = np.linalg.inv(_system(S))
    c, g, H = rng.standard_normal(2), rng.standard_normal((2, n)), rng.standard_normal((2, n, n))
    for t in range(p):
        w, Hw, sigma = np.empty(p + 1 + n), np.empty(p + 1 + n), np.empty(p)
        s = rng.uniform(-1.0, 1.0, n)
        call(interpolation.system_row, S, s, w)
        beta = call(interpolation.replacement_weights, inverse, w, float(s @ s), p, Hw, sigma)
        call(interpolation.append_inverse, inverse, Hw, beta, p, np.empty((p + 2 + n, p + 2 + n)))
        if abs(sigma[t]) > 1e-3:
            call(interpolation.replace_inverse, inverse, Hw, beta, t)
            S[t] = s
        call(interpolation.update_models, np.ascontiguousarray(inverse[:, t]), rng.standard_normal(2), S, c, g, H)
        call(interpolation.model_values, c, g, H, s, np.empty(2))


def _system(S: np.ndarray) -> np.ndarray:
    p, n = S.shape
    W = np.zeros((p + 1 + n, p + 1 + n))
    W[:p, :p], W[:p, p], W[p, :p], W[:p, p + 1 :], W[p + 1 :, :p] = 0.5 * (S @ S.T) ** 2, 1.0, 1.0, S, S.T
    return W


def _trust_region(call: Record, rng: np.random.Generator, n: int) -> None:
    for radius in (1e-6, 0.5, 1.0, 1e3):
        H = rng.standard_normal((3, n, n))
        H = H + H.swapaxes(1, 2)
        g, c = rng.standard_normal((3, n)), np.array([0.0, -0.1, 0.05])
        lower, upper = -radius * rng.choice([0.0, 0.3, np.inf], n), radius * rng.choice([0.1, 0.6, np.inf], n)
        d = np.empty(n)
        call(trust_region.trust_step, g[0], H[0], np.zeros(n), lower, upper, radius, d)
        call(trust_region._local_step, g[1], H[1], d, lower, upper, radius, 0.1 * radius, np.empty(n))
        d = rng.standard_normal(n)
        free = np.arange(n) % 3 != 1
        call(trust_region._along_arcs, H[0], g[0].copy(), free, d - 0.1, d + 0.7, d, np.zeros(n), np.zeros(n))
        equality, multipliers = np.array([False, False, n % 2 == 0]), np.array([0.0, 0.5, 0.1])
        call(
            trust_region.augmented,
            c, g, H, equality, multipliers, 10.0, d, np.empty(3), np.empty(n), np.empty((n, n)),
        )  # fmt: skip
        call(trust_region.constrained_step, c, g, H, equality, lower, upper, radius, multipliers, np.empty(n))


def _hypervolume(call: Record, rng: np.random.Generator, q: int) -> None:
    F = np.round(rng.random((17, q)), 1)
    call(hypervolume.nondominated, F, np.zeros(17, dtype=bool))
    call(hypervolume.hypervolume, F, np.full(q, 0.9))
    order = np.zeros(17, dtype=np.int64)
    for row in range(17):
        call(hypervolume.insert_sorted, F, q - 1, row, row, order)
    sx, sy, size = np.zeros(17), np.zeros(17), 0
    for row in range(17):
        size = call(hypervolume.add_to_stairs, F[row, 0], F[row, 1], size, sx, sy)
    call(hypervolume.stairs_area, 1.5, 1.5, size, sx, sy)
    if q > 2:
        call(hypervolume.sweep, F, order, 17, np.full(q, 1.5), sx, sy)


def digest() -> dict[str, str]:
    """Hash of all answers by kernel name."""
    call = Record()
    rng = np.random.default_rng(20240131)
    for n in SIZES:
        _directions(call, rng, n)
        _mesh(call, rng, n)
        _covering(call, rng, n)
        _wrapping(call, rng, n)
        _barrier(call, rng, n)
        _interpolation(call, rng, n)
        _trust_region(call, rng, n)

    for q in (2, 3, 4):
        _hypervolume(call, rng, q)
    return {name: record.hexdigest() for name, record in sorted(call.hashes.items())}


if __name__ == "__main__":
    print(json.dumps(digest()))
