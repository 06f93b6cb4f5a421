"""Mixed-integer design problems and small mixed-integer programs, all constraints as c <= 0.

Sources: Sandgren, "Nonlinear integer and discrete programming in mechanical design optimization", J. Mech. Des. 112
(1990), for vessel, spring and gears; Golinski (1973) for the speed reducer; Kocis and Grossmann, "Global optimization
of nonconvex mixed-integer nonlinear programming problems in process synthesis", Ind. Eng. Chem. Res. 27 (1988);
Floudas, "Nonlinear and mixed-integer optimization" (1995); Yuan et al., "Une méthode d'optimisation non linéaire en
variables mixtes pour la conception de procédés", RAIRO 22 (1988).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.suites.rows import weighted

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray


def _columns(*parts: FloatArray) -> FloatArray:
    return np.stack(parts, axis=1)


def vessel(X: FloatArray) -> FloatArray:
    """Cost of a pressure vessel; thicknesses of shell and head are multiples of 1/16 inch, then radius, length."""
    s, h, r, w = X.T
    return np.asarray(0.6224 * s * r * w + 1.7781 * h * r**2 + 3.1661 * s**2 * w + 19.84 * s**2 * r)


def vessel_constraints(X: FloatArray) -> FloatArray:
    s, h, r, w = X.T
    volume = np.pi * r**2 * w + 4.0 / 3.0 * np.pi * r**3
    return _columns(0.0193 * r - s, 0.00954 * r - h, 1296000.0 - volume, w - 240.0)


def reducer(X: FloatArray) -> FloatArray:
    """Weight of a speed reducer; the third variable is a number of teeth."""
    a, b, c, d, e, f, g = X.T
    return np.asarray(
        0.7854 * a * b**2 * (3.3333 * c**2 + 14.9334 * c - 43.0934)
        - 1.508 * a * (f**2 + g**2) + 7.4777 * (f**3 + g**3) + 0.7854 * (d * f**2 + e * g**2)
    )  # fmt: skip


def reducer_constraints(X: FloatArray) -> FloatArray:
    a, b, c, d, e, f, g = X.T
    return _columns(
        27.0 / (a * b**2 * c) - 1.0,
        397.5 / (a * b**2 * c**2) - 1.0,
        1.93 * d**3 / (b * c * f**4) - 1.0,
        1.93 * e**3 / (b * c * g**4) - 1.0,
        np.sqrt((745.0 * d / (b * c)) ** 2 + 16.9e6) / (110.0 * f**3) - 1.0,
        np.sqrt((745.0 * e / (b * c)) ** 2 + 157.5e6) / (85.0 * g**3) - 1.0,
        b * c / 40.0 - 1.0,
        5.0 * b / a - 1.0,
        a / (12.0 * b) - 1.0,
        (1.5 * f + 1.9) / d - 1.0,
        (1.1 * g + 1.9) / e - 1.0,
    )


def gears(X: FloatArray) -> FloatArray:
    """Squared error of a gear ratio of 1/6.931; four numbers of teeth."""
    a, b, c, d = X.T
    return np.asarray((1.0 / 6.931 - a * b / (c * d)) ** 2)


WIRES = np.array(
    (
        "0.009 0.0095 0.0104 0.0118 0.0128 0.0132 0.014 0.015 0.0162 0.0173 0.018 0.020 0.023 0.025 "
        "0.028 0.032 0.035 0.041 0.047 0.054 0.063 0.072 0.080 0.092 0.105 0.120 0.135 0.148 "
        "0.162 0.177 0.192 0.207 0.225 0.244 0.263 0.283 0.307 0.331 0.362 0.394 0.4375 0.500"
    ).split(),
    dtype=np.float64,
)
"""Diameters of spring wire in inches; the variable is the position in this list."""


def _wire(position: FloatArray) -> FloatArray:
    return np.asarray(WIRES[np.clip(np.rint(position), 0, len(WIRES) - 1).astype(np.int64)])


def spring(X: FloatArray) -> FloatArray:
    """Volume of a coil spring: number of coils, position of the wire in the list, coil diameter."""
    coils, position, diameter = X.T
    wire = _wire(position)
    return np.asarray(0.25 * np.pi**2 * diameter * wire**2 * (coils + 2.0))


def spring_constraints(X: FloatArray) -> FloatArray:
    """Without the seventh of the source, which holds with equality everywhere."""
    coils, position, diameter = X.T
    wire = _wire(position)
    load, preload, strength, shear = 1000.0, 300.0, 189000.0, 11.5e6
    ratio = diameter / wire
    with np.errstate(divide="ignore"):
        correction = (4.0 * ratio - 1.0) / (4.0 * ratio - 4.0) + 0.615 / ratio
    stiffness = shear * wire**4 / (8.0 * coils * diameter**3)
    return _columns(
        8.0 * correction * load * diameter / (np.pi * wire**3) - strength,
        load / stiffness + 1.05 * (coils + 2.0) * wire - 14.0,
        0.2 - wire,
        diameter - 3.0,
        3.0 - ratio,
        preload / stiffness - 6.0,
        1.25 - (load - preload) / stiffness,
    )


def kocis_1(X: FloatArray) -> FloatArray:
    """Linear, with a reverse convex constraint; the second variable is binary."""
    return np.asarray(2.0 * X[:, 0] + X[:, 1])


def kocis_1_constraints(X: FloatArray) -> FloatArray:
    x, y = X.T
    return _columns(1.25 - x**2 - y, x + y - 1.6)


def kocis_2(X: FloatArray) -> FloatArray:
    """Logarithm; the second variable is binary."""
    x, y = X.T
    return np.asarray(-y + 2.0 * x - np.log(0.5 * x))


def kocis_2_constraints(X: FloatArray) -> FloatArray:
    x, y = X.T
    return _columns(-x - np.log(0.5 * x) + y)


def floudas(X: FloatArray) -> FloatArray:
    """Two continuous variables, one binary, exponential constraint."""
    return np.asarray(-0.7 * X[:, 2] + 5.0 * (X[:, 0] - 0.5) ** 2 + 0.8)


def floudas_constraints(X: FloatArray) -> FloatArray:
    a, b, y = X.T
    return _columns(-np.exp(a - 0.2) - b, b + 1.1 * y + 1.0, a - 1.2 * y - 0.2)


def yuan(X: FloatArray) -> FloatArray:
    """Three continuous variables, four binary, nine constraints."""
    a, b, c, p, q, r, s = X.T
    continuous = (a - 1.0) ** 2 + (b - 2.0) ** 2 + (c - 3.0) ** 2
    return np.asarray((p - 1.0) ** 2 + (q - 2.0) ** 2 + (r - 1.0) ** 2 - np.log(s + 1.0) + continuous)


def yuan_constraints(X: FloatArray) -> FloatArray:
    a, b, c, p, q, r, s = X.T
    return _columns(
        p + q + r + a + b + c - 5.0,
        r**2 + a**2 + b**2 + c**2 - 5.5,
        p + a - 1.2,
        q + b - 1.8,
        r + c - 2.5,
        s + a - 1.2,
        q**2 + b**2 - 1.64,
        r**2 + c**2 - 4.25,
        q**2 + c**2 - 4.64,
    )


_SIZES = np.array([[2.0, 3.0, 4.0], [4.0, 6.0, 3.0]])
_TIMES = np.array([[8.0, 20.0, 8.0], [16.0, 4.0, 4.0]])


def batch_plant(X: FloatArray) -> FloatArray:
    """Cost of a plant for two products in three stages: units (3), volumes (3), cycle times (2), batches (2)."""
    return np.asarray(250.0 * np.sum(X[:, :3] * X[:, 3:6] ** 0.6, axis=1))


def batch_plant_constraints(X: FloatArray) -> FloatArray:
    units, volumes, cycles, batches = X[:, :3], X[:, 3:6], X[:, 6:8], X[:, 8:10]
    horizon = weighted(cycles / batches, [[40000.0, 20000.0]]) - 6000.0
    parts = [horizon]
    for i in range(2):
        parts.append(_SIZES[i] * batches[:, i : i + 1] - volumes)
        parts.append(_TIMES[i] - units * cycles[:, i : i + 1])
    return np.concatenate(parts, axis=1)
