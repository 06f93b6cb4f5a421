"""The thirteen constrained test problems g01-g13.

Source: Michalewicz and Schoenauer, "Evolutionary algorithms for constrained parameter optimization problems", Evol.
Comput. 4 (1996); Runarsson and Yao, "Stochastic ranking for constrained evolutionary optimization", IEEE Trans. Evol.
Comput. 4 (2000); optimal values from Liang et al., "Problem definitions and evaluation criteria for the CEC 2006
special session on constrained real-parameter optimization". As there, an equation h(x) = 0 (g03, g05, g11, g13) means
|h(x)| <= 1e-4, and the optimal values are those of the relaxed problems.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.suites.rows import weighted

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

EQUATION_TOLERANCE = 1e-4


def _columns(*parts: FloatArray) -> FloatArray:
    return np.stack(parts, axis=1)


def _equations(*parts: FloatArray) -> FloatArray:
    return np.abs(_columns(*parts)) - EQUATION_TOLERANCE


def g01(X: FloatArray) -> FloatArray:
    """Quadratic under nine linear constraints."""
    a = X[:, :4]
    return np.asarray(5.0 * np.sum(a, axis=1) - 5.0 * np.sum(a * a, axis=1) - np.sum(X[:, 4:], axis=1))


def c01(X: FloatArray) -> FloatArray:
    x = (X[:, 0], *X.T)  # x[1] is the first, as in print
    return _columns(
        2 * x[1] + 2 * x[2] + x[10] + x[11] - 10,
        2 * x[1] + 2 * x[3] + x[10] + x[12] - 10,
        2 * x[2] + 2 * x[3] + x[11] + x[12] - 10,
        -8 * x[1] + x[10],
        -8 * x[2] + x[11],
        -8 * x[3] + x[12],
        -2 * x[4] - x[5] + x[10],
        -2 * x[6] - x[7] + x[11],
        -2 * x[8] - x[9] + x[12],
    )


def g02(X: FloatArray) -> FloatArray:
    """Keane's bump: very many local optima."""
    c = np.cos(X)
    i = np.arange(1.0, X.shape[1] + 1.0)
    top = np.sum(c**4, axis=1) - 2.0 * np.prod(c * c, axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(-np.abs(top / np.sqrt(weighted(X * X, i))))


def c02(X: FloatArray) -> FloatArray:
    return _columns(0.75 - np.prod(X, axis=1), np.sum(X, axis=1) - 7.5 * X.shape[1])


def g03(X: FloatArray) -> FloatArray:
    """A product on the sphere."""
    n = X.shape[1]
    return np.asarray(-(np.sqrt(n) ** n) * np.prod(X, axis=1))


def c03(X: FloatArray) -> FloatArray:
    return _equations(np.sum(X * X, axis=1) - 1.0)


def g04(X: FloatArray) -> FloatArray:
    """Himmelblau's quadratic."""
    a, _, c, _, e = X.T
    return np.asarray(5.3578547 * c**2 + 0.8356891 * a * e + 37.293239 * a - 40792.141)


def c04(X: FloatArray) -> FloatArray:
    a, b, c, d, e = X.T
    u = 85.334407 + 0.0056858 * b * e + 0.0006262 * a * d - 0.0022053 * c * e
    v = 80.51249 + 0.0071317 * b * e + 0.0029955 * a * b + 0.0021813 * c**2
    w = 9.300961 + 0.0047026 * c * e + 0.0012547 * a * c + 0.0019085 * c * d
    return _columns(u - 92.0, -u, v - 110.0, 90.0 - v, w - 25.0, 20.0 - w)


def g05(X: FloatArray) -> FloatArray:
    """Cubic on three equations."""
    a, b, _, _ = X.T
    return np.asarray(3.0 * a + 1e-6 * a**3 + 2.0 * b + (2e-6 / 3.0) * b**3)


def c05(X: FloatArray) -> FloatArray:
    a, b, c, d = X.T
    h = _equations(
        1000 * np.sin(-c - 0.25) + 1000 * np.sin(-d - 0.25) + 894.8 - a,
        1000 * np.sin(c - 0.25) + 1000 * np.sin(c - d - 0.25) + 894.8 - b,
        1000 * np.sin(d - 0.25) + 1000 * np.sin(d - c - 0.25) + 1294.8,
    )
    return np.concatenate([_columns(c - d - 0.55, d - c - 0.55), h], axis=1)


def g06(X: FloatArray) -> FloatArray:
    """Cubic in a thin crescent."""
    a, b = X.T
    return np.asarray((a - 10.0) ** 3 + (b - 20.0) ** 3)


def c06(X: FloatArray) -> FloatArray:
    a, b = X.T
    return _columns(100.0 - (a - 5.0) ** 2 - (b - 5.0) ** 2, (a - 6.0) ** 2 + (b - 5.0) ** 2 - 82.81)


def g07(X: FloatArray) -> FloatArray:
    """Convex quadratic; Hock and Schittkowski's problem 113."""
    a, b, c, d, e, f, g, h, i, j = X.T
    return np.asarray(
        a**2 + b**2 + a * b - 14 * a - 16 * b + (c - 10) ** 2 + 4 * (d - 5) ** 2 + (e - 3) ** 2
        + 2 * (f - 1) ** 2 + 5 * g**2 + 7 * (h - 11) ** 2 + 2 * (i - 10) ** 2 + (j - 7) ** 2 + 45
    )  # fmt: skip


def c07(X: FloatArray) -> FloatArray:
    a, b, c, d, e, f, g, h, i, j = X.T
    return _columns(
        -105 + 4 * a + 5 * b - 3 * g + 9 * h,
        10 * a - 8 * b - 17 * g + 2 * h,
        -8 * a + 2 * b + 5 * i - 2 * j - 12,
        3 * (a - 2) ** 2 + 4 * (b - 3) ** 2 + 2 * c**2 - 7 * d - 120,
        5 * a**2 + 8 * b + (c - 6) ** 2 - 2 * d - 40,
        a**2 + 2 * (b - 2) ** 2 - 2 * a * b + 14 * e - 6 * f,
        0.5 * (a - 8) ** 2 + 2 * (b - 4) ** 2 + 3 * e**2 - f - 30,
        -3 * a + 6 * b + 12 * (i - 8) ** 2 - 7 * j,
    )


def g08(X: FloatArray) -> FloatArray:
    """Oscillating, in two variables; unbounded below outside the feasible set, where x_1 -> 0."""
    a, b = X.T
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(-(np.sin(2 * np.pi * a) ** 3) * np.sin(2 * np.pi * b) / (a**3 * (a + b)))


def c08(X: FloatArray) -> FloatArray:
    a, b = X.T
    return _columns(a**2 - b + 1.0, 1.0 - a + (b - 4.0) ** 2)


def g09(X: FloatArray) -> FloatArray:
    """Polynomial; Hock and Schittkowski's problem 100."""
    a, b, c, d, e, f, g = X.T
    return np.asarray(
        (a - 10) ** 2 + 5 * (b - 12) ** 2 + c**4 + 3 * (d - 11) ** 2
        + 10 * e**6 + 7 * f**2 + g**4 - 4 * f * g - 10 * f - 8 * g
    )  # fmt: skip


def c09(X: FloatArray) -> FloatArray:
    a, b, c, d, e, f, g = X.T
    return _columns(
        -127 + 2 * a**2 + 3 * b**4 + c + 4 * d**2 + 5 * e,
        -282 + 7 * a + 3 * b + 10 * c**2 + d - e,
        -196 + 23 * a + b**2 + 6 * f**2 - 8 * g,
        4 * a**2 + b**2 - 3 * a * b + 2 * c**2 + 5 * f - 11 * g,
    )


def g10(X: FloatArray) -> FloatArray:
    """Heat exchangers; Hock and Schittkowski's problem 106, badly scaled."""
    return np.asarray(X[:, 0] + X[:, 1] + X[:, 2])


def c10(X: FloatArray) -> FloatArray:
    a, b, c, d, e, f, g, h = X.T
    return _columns(
        -1 + 0.0025 * (d + f),
        -1 + 0.0025 * (e + g - d),
        -1 + 0.01 * (h - e),
        -a * f + 833.33252 * d + 100 * a - 83333.333,
        -b * g + 1250 * e + b * d - 1250 * d,
        -c * h + 1250000 + c * e - 2500 * e,
    )


def g11(X: FloatArray) -> FloatArray:
    """Distance on a parabola."""
    return np.asarray(X[:, 0] ** 2 + (X[:, 1] - 1.0) ** 2)


def c11(X: FloatArray) -> FloatArray:
    return _equations(X[:, 1] - X[:, 0] ** 2)


def g12(X: FloatArray) -> FloatArray:
    """Sphere; feasible in the union of 9^3 small balls."""
    return np.asarray(-(100.0 - np.sum((X - 5.0) ** 2, axis=1)) / 100.0)


def c12(X: FloatArray) -> FloatArray:
    # The nearest centre in each coordinate is the nearest centre.
    centre = np.clip(np.rint(X), 1.0, 9.0)
    return np.asarray(np.sum((X - centre) ** 2, axis=1, keepdims=True) - 0.0625)


def g13(X: FloatArray) -> FloatArray:
    """Exponential of a product on three equations."""
    return np.asarray(np.exp(np.prod(X, axis=1)))


def c13(X: FloatArray) -> FloatArray:
    a, b, c, d, e = X.T
    return _equations(np.sum(X * X, axis=1) - 10.0, b * c - 5.0 * d * e, a**3 + b**3 + 1.0)
