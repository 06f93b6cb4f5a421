"""Small problems with inequalities from Hock and Schittkowski's collection, each with its own start.

Source: Hock and Schittkowski, "Test examples for nonlinear programming codes", Lecture Notes in Economics and
Mathematical Systems 187 (1981). Variables without bounds there have wide ones here, inactive at the solution. What
HS100, HS106 and HS113 would add is g09, g10 and g07.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.suites.rows import weighted

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray


def _columns(*parts: FloatArray) -> FloatArray:
    return np.stack(parts, axis=1)


def f22(X: FloatArray) -> FloatArray:
    """Distance to a point, between a line and a parabola."""
    return np.asarray((X[:, 0] - 2.0) ** 2 + (X[:, 1] - 1.0) ** 2)


def c22(X: FloatArray) -> FloatArray:
    a, b = X.T
    return _columns(a + b - 2.0, a**2 - b)


def f24(X: FloatArray) -> FloatArray:
    """Cubic in a triangle."""
    a, b = X.T
    return np.asarray(((a - 3.0) ** 2 - 9.0) * b**3 / (27.0 * np.sqrt(3.0)))


def c24(X: FloatArray) -> FloatArray:
    a, b = X.T
    w = np.sqrt(3.0)
    return _columns(b - a / w, -a - w * b, a + w * b - 6.0)


def f29(X: FloatArray) -> FloatArray:
    """Product in an ellipsoid; four minima."""
    return np.asarray(-np.prod(X, axis=1))


def c29(X: FloatArray) -> FloatArray:
    return weighted(X * X, [[1.0, 2.0, 4.0]]) - 48.0


def f34(X: FloatArray) -> FloatArray:
    """Linear under exponentials."""
    return np.asarray(-X[:, 0])


def c34(X: FloatArray) -> FloatArray:
    a, b, c = X.T
    return _columns(np.exp(a) - b, np.exp(b) - c)


def f35(X: FloatArray) -> FloatArray:
    """Beale's quadratic under one plane."""
    a, b, c = X.T
    return np.asarray(9 - 8 * a - 6 * b - 4 * c + 2 * a**2 + 2 * b**2 + c**2 + 2 * a * b + 2 * a * c)


def c35(X: FloatArray) -> FloatArray:
    return weighted(X, [[1.0, 1.0, 2.0]]) - 3.0


def c36(X: FloatArray) -> FloatArray:
    """Box of the post office; the objective is f29."""
    return weighted(X, [[1.0, 2.0, 2.0]]) - 72.0


def f43(X: FloatArray) -> FloatArray:
    """Rosen and Suzuki."""
    a, b, c, d = X.T
    return np.asarray(a**2 + b**2 + 2 * c**2 + d**2 - 5 * a - 5 * b - 21 * c + 7 * d)


def c43(X: FloatArray) -> FloatArray:
    a, b, c, d = X.T
    return _columns(
        a**2 + b**2 + c**2 + d**2 + a - b + c - d - 8,
        a**2 + 2 * b**2 + c**2 + 2 * d**2 - a - d - 10,
        2 * a**2 + b**2 + c**2 + 2 * a - b - d - 5,
    )


def f65(X: FloatArray) -> FloatArray:
    """Quadratic outside a ball's reach."""
    a, b, c = X.T
    return np.asarray((a - b) ** 2 + (a + b - 10.0) ** 2 / 9.0 + (c - 5.0) ** 2)


def c65(X: FloatArray) -> FloatArray:
    return np.asarray(np.sum(X * X, axis=1, keepdims=True) - 48.0)


def f66(X: FloatArray) -> FloatArray:
    """Linear under exponentials."""
    return np.asarray(0.2 * X[:, 2] - 0.8 * X[:, 0])


def f72(X: FloatArray) -> FloatArray:
    """Optimal sample size."""
    return np.asarray(1.0 + np.sum(X, axis=1))


def c72(X: FloatArray) -> FloatArray:
    weights = [[4.0, 2.25, 1.0, 0.25], [0.16, 0.36, 0.64, 0.64]]
    return np.asarray(weighted(1.0 / X, weights) - np.array([0.0401, 0.010085]))


def f76(X: FloatArray) -> FloatArray:
    """Convex quadratic under three planes."""
    a, b, c, d = X.T
    return np.asarray(a**2 + 0.5 * b**2 + c**2 + 0.5 * d**2 - a * c + c * d - a - 3 * b + c - d)


def c76(X: FloatArray) -> FloatArray:
    a, b, c, d = X.T
    return _columns(a + 2 * b + c + d - 5, 3 * a + b + 2 * c - d - 4, 1.5 - b - 4 * c)


def f93(X: FloatArray) -> FloatArray:
    """Transformer design."""
    a, b, c, d, e, f = X.T
    return np.asarray(
        0.0204 * a * d * (a + b + c) + 0.0187 * b * c * (a + 1.57 * b + d)
        + 0.0607 * a * d * e**2 * (a + b + c) + 0.0437 * b * c * f**2 * (a + 1.57 * b + d)
    )  # fmt: skip


def c93(X: FloatArray) -> FloatArray:
    a, b, c, d, e, f = X.T
    return _columns(
        2.07 - 0.001 * a * b * c * d * e * f,
        0.00062 * a * d * e**2 * (a + b + c) + 0.00058 * b * c * f**2 * (a + 1.57 * b + d) - 1.0,
    )


def f104(X: FloatArray) -> FloatArray:
    """Optimal reactor design."""
    a, b, _, _, _, _, g, h = X.T
    return np.asarray(0.4 * a**0.67 * g**-0.67 + 0.4 * b**0.67 * h**-0.67 + 10.0 - a - b)


def c104(X: FloatArray) -> FloatArray:
    a, b, c, d, e, f, g, h = X.T
    value = f104(X)
    return _columns(
        0.0588 * e * g + 0.1 * a - 1.0,
        0.0588 * f * h + 0.1 * a + 0.1 * b - 1.0,
        4 * c / e + 2 * c**-0.71 / e + 0.0588 * c**-1.3 * g - 1.0,
        4 * d / f + 2 * d**-0.71 / f + 0.0588 * d**-1.3 * h - 1.0,
        1.0 - value,
        value - 4.2,
    )
