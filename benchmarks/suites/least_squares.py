"""The residuals of 22 nonlinear least-squares problems, batched: X (k, n) -> (k, m).

Source: Moré, Garbow and Hillstrom, "Testing unconstrained optimization software", ACM TOMS 7 (1981), for the first 18;
Moré and Wild, "Benchmarking derivative-free optimization algorithms", SIAM J. Optim. 20 (2009), for the choice and for
Bdqrtic, Cube, Mancino and Heart8ls, which are CUTE's. Typed from the formulas. Overflow far from the start gives inf or
NaN, as a simulation would; the caller silences NumPy's warnings.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.suites.rows import weighted

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

Residuals = Callable[["FloatArray", int], "FloatArray"]


def _numbers(text: str) -> FloatArray:
    return np.array(text.split(), dtype=np.float64)


def linear(X: FloatArray, m: int) -> FloatArray:
    """Linear, full rank."""
    R = np.repeat(-2.0 * X.sum(axis=1, keepdims=True) / m - 1.0, m, axis=1)
    R[:, : X.shape[1]] += X
    return R


def linear_rank_1(X: FloatArray, m: int) -> FloatArray:
    """Linear, rank 1."""
    total = weighted(X, np.arange(1.0, X.shape[1] + 1.0))
    return total[:, None] * np.arange(1.0, m + 1.0) - 1.0


def linear_rank_1_zero(X: FloatArray, m: int) -> FloatArray:
    """Linear, rank 1 with zero columns and rows."""
    total = weighted(X[:, 1:-1], np.arange(2.0, X.shape[1]))
    weights = np.arange(m, dtype=np.float64)
    weights[-1] = 0.0
    return total[:, None] * weights - 1.0


def rosenbrock(X: FloatArray, m: int) -> FloatArray:
    """Rosenbrock's valley."""
    return np.stack([10.0 * (X[:, 1] - X[:, 0] ** 2), 1.0 - X[:, 0]], axis=1)


def helical_valley(X: FloatArray, m: int) -> FloatArray:
    """Fletcher and Powell's helical valley; discontinuous across x_1 = 0, x_2 < 0."""
    x, y, z = X.T
    angle = np.arctan(y / x) / (2.0 * np.pi)
    theta = np.where(x > 0.0, angle, np.where(x < 0.0, angle + 0.5, 0.25))
    return np.stack([10.0 * (z - 10.0 * theta), 10.0 * (np.hypot(x, y) - 1.0), z], axis=1)


def powell_singular(X: FloatArray, m: int) -> FloatArray:
    """Powell's singular function."""
    a, b, c, d = X.T
    return np.stack(
        [a + 10.0 * b, np.sqrt(5.0) * (c - d), (b - 2.0 * c) ** 2, np.sqrt(10.0) * (a - d) ** 2],
        axis=1,
    )


def freudenstein_roth(X: FloatArray, m: int) -> FloatArray:
    """Freudenstein and Roth; the local minimum 48.98 attracts most runs."""
    x, y = X.T
    return np.stack([-13.0 + x + ((5.0 - y) * y - 2.0) * y, -29.0 + x + ((1.0 + y) * y - 14.0) * y], axis=1)


_BARD = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])


def bard(X: FloatArray, m: int) -> FloatArray:
    """Bard's fit."""
    u = np.arange(1.0, 16.0)
    v = 16.0 - u
    w = np.minimum(u, v)
    a, b, c = X.T[:, :, None]
    return np.asarray(_BARD - (a + u / (b * v + c * w)))


_KOWALIK_U = np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])
_KOWALIK_Y = np.array([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])


def kowalik_osborne(X: FloatArray, m: int) -> FloatArray:
    """Kowalik and Osborne's enzyme reaction."""
    a, b, c, d = X.T[:, :, None]
    u = _KOWALIK_U
    return np.asarray(_KOWALIK_Y - a * u * (u + b) / (u * (u + c) + d))


_MEYER = _numbers(
    "34780.0 28610.0 23650.0 19630.0 16370.0 13720.0 11540.0 9744.0 "
    "8261.0 7030.0 6005.0 5147.0 4427.0 3820.0 3307.0 2872.0"
)


def meyer(X: FloatArray, m: int) -> FloatArray:
    """Meyer's thermistor."""
    a, b, c = X.T[:, :, None]
    return np.asarray(a * np.exp(b / (45.0 + 5.0 * np.arange(1.0, 17.0) + c)) - _MEYER)


def watson(X: FloatArray, m: int) -> FloatArray:
    """Watson's differential equation by a polynomial."""
    n = X.shape[1]
    powers = (np.arange(1.0, 30.0) / 29.0)[:, None] ** np.arange(n)
    slope = weighted(X[:, 1:], powers[:, : n - 1] * np.arange(1.0, n))
    inner = slope - weighted(X, powers) ** 2 - 1.0
    return np.concatenate([inner, X[:, :1], X[:, 1:2] - X[:, :1] ** 2 - 1.0], axis=1)


def box_3d(X: FloatArray, m: int) -> FloatArray:
    """Box's three-dimensional function."""
    a, b, c = X.T[:, :, None]
    t = np.arange(1.0, m + 1.0) / 10.0
    return np.asarray(np.exp(-t * a) - np.exp(-t * b) + (np.exp(-10.0 * t) - np.exp(-t)) * c)


def jennrich_sampson(X: FloatArray, m: int) -> FloatArray:
    """Jennrich and Sampson."""
    a, b = X.T[:, :, None]
    i = np.arange(1.0, m + 1.0)
    return np.asarray(2.0 + 2.0 * i - np.exp(i * a) - np.exp(i * b))


def brown_dennis(X: FloatArray, m: int) -> FloatArray:
    """Brown and Dennis."""
    a, b, c, d = X.T[:, :, None]
    t = np.arange(1.0, m + 1.0) / 5.0
    return np.asarray((a + t * b - np.exp(t)) ** 2 + (c + np.sin(t) * d - np.cos(t)) ** 2)


def chebyquad(X: FloatArray, m: int) -> FloatArray:
    """Chebyquad: nodes of a quadrature with equal weights; mean of T_i minus its integral."""
    R = np.empty((X.shape[0], m))
    before, now = np.ones_like(X), 2.0 * X - 1.0
    twice = 2.0 * now
    for i in range(1, m + 1):
        R[:, i - 1] = now.mean(axis=1)
        if i % 2 == 0:
            R[:, i - 1] += 1.0 / (i * i - 1.0)
        before, now = now, twice * now - before
    return R


def brown_almost_linear(X: FloatArray, m: int) -> FloatArray:
    """Brown's almost-linear function."""
    n = X.shape[1]
    R = X + (X.sum(axis=1, keepdims=True) - (n + 1.0))
    R[:, -1] = X.prod(axis=1) - 1.0
    return np.asarray(R)


_OSBORNE_1 = _numbers(
    "0.844 0.908 0.932 0.936 0.925 0.908 0.881 0.850 0.818 0.784 0.751 "
    "0.718 0.685 0.658 0.628 0.603 0.580 0.558 0.538 0.522 0.506 0.490 "
    "0.478 0.467 0.457 0.448 0.438 0.431 0.424 0.420 0.414 0.411 0.406"
)


def osborne_1(X: FloatArray, m: int) -> FloatArray:
    """Osborne's first function: two exponentials."""
    a, b, c, d, e = X.T[:, :, None]
    t = 10.0 * np.arange(33.0)
    return np.asarray(_OSBORNE_1 - (a + b * np.exp(-d * t) + c * np.exp(-e * t)))


_OSBORNE_2 = _numbers(
    "1.366 1.191 1.112 1.013 0.991 0.885 0.831 0.847 0.786 0.725 0.746 0.679 0.608 "
    "0.655 0.616 0.606 0.602 0.626 0.651 0.724 0.649 0.649 0.694 0.644 0.624 0.661 "
    "0.612 0.558 0.533 0.495 0.500 0.423 0.395 0.375 0.372 0.391 0.396 0.405 0.428 "
    "0.429 0.523 0.562 0.607 0.653 0.672 0.708 0.633 0.668 0.645 0.632 0.591 0.559 "
    "0.597 0.625 0.739 0.710 0.729 0.720 0.636 0.581 0.428 0.292 0.162 0.098 0.054"
)


def osborne_2(X: FloatArray, m: int) -> FloatArray:
    """Osborne's second function: an exponential and three bells."""
    x = X.T[:, :, None]
    t = np.arange(65.0) / 10.0
    curve = x[0] * np.exp(-x[4] * t)
    for j in range(3):
        curve = curve + x[1 + j] * np.exp(-x[5 + j] * (t - x[8 + j]) ** 2)
    return np.asarray(_OSBORNE_2 - curve)


def bdqrtic(X: FloatArray, m: int) -> FloatArray:
    """Banded quartic; m = 2(n - 4)."""
    S = X * X
    quartic = S[:, :-4] + 2.0 * S[:, 1:-3] + 3.0 * S[:, 2:-2] + 4.0 * S[:, 3:-1] + 5.0 * S[:, -1:]
    return np.concatenate([3.0 - 4.0 * X[:, :-4], quartic], axis=1)


def cube(X: FloatArray, m: int) -> FloatArray:
    """Leon's cubic valley, chained."""
    return np.concatenate([X[:, :1] - 1.0, 10.0 * (X[:, 1:] - X[:, :-1] ** 3)], axis=1)


def mancino(X: FloatArray, m: int) -> FloatArray:
    """Mancino's function."""
    i = np.arange(1.0, X.shape[1] + 1.0)
    V = np.sqrt(X[:, :, None] ** 2 + i[:, None] / i)
    total = np.sum(V * (np.sin(np.log(V)) ** 5 + np.cos(np.log(V)) ** 5), axis=2)
    return np.asarray(1400.0 * X + (i - 50.0) ** 3 + total)


def heart(X: FloatArray, m: int) -> FloatArray:
    """Dipole model of the heart, eight equations."""
    a, b, c, d, t, u, v, w = X.T
    return np.stack(
        [
            a + b + 0.69,
            c + d + 0.044,
            t * a + u * b - v * c - w * d + 1.57,
            v * a + w * b + t * c + u * d + 1.31,
            a * (t**2 - v**2) - 2.0 * c * t * v + b * (u**2 - w**2) - 2.0 * d * u * w + 2.65,
            c * (t**2 - v**2) + 2.0 * a * t * v + d * (u**2 - w**2) + 2.0 * b * u * w - 2.0,
            a * t * (t**2 - 3.0 * v**2)
            + c * v * (v**2 - 3.0 * t**2)
            + b * u * (u**2 - 3.0 * w**2)
            + d * w * (w**2 - 3.0 * u**2)
            + 12.6,
            c * t * (t**2 - 3.0 * v**2)
            - a * v * (v**2 - 3.0 * t**2)
            + d * u * (u**2 - 3.0 * w**2)
            - b * w * (w**2 - 3.0 * u**2)
            - 9.48,
        ],
        axis=1,
    )
