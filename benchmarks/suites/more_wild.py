"""53 least-squares problems without bounds in three versions: smooth, with deterministic noise, and nonsmooth.

Source: Moré and Wild, "Benchmarking derivative-free optimization algorithms", SIAM J. Optim. 20 (2009), section 4 and
Table 4.1. The start is the suite's own (times 10 in a second row of many functions), whatever the seed.

- smooth: sum of squared residuals;
- noisy ("wild3"): that times 1 + 1e-3 phi(x), phi a deterministic oscillation in [-1, 1], equations 4.2-4.4;
- nonsmooth: sum of absolute residuals; six functions are evaluated at max(x, 0), as published.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.suites import least_squares as ls
from benchmarks.suites.base import Instance, Suite
from dfoattack import Box, Known, Problem

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

NOISE = 1e-3


def _mancino_start(n: int) -> FloatArray:
    i = np.arange(1.0, n + 1.0)
    V = np.sqrt(i[:, None] / i)
    total = np.sum(V * (np.sin(np.log(V)) ** 5 + np.cos(np.log(V)) ** 5), axis=1)
    return np.asarray(-8.710996e-4 * ((i - 50.0) ** 3 + total))


def _constant(value: float) -> Callable[[int], FloatArray]:
    return lambda n: np.full(n, value)


def _point(*values: float) -> Callable[[int], FloatArray]:
    return lambda n: np.array(values)


# name -> (residuals, standard start for n, evaluated at max(x, 0) in the nonsmooth version)
FUNCTIONS: dict[str, tuple[ls.Residuals, Callable[[int], FloatArray], bool]] = {
    "linear": (ls.linear, _constant(1.0), False),
    "linear-rank-1": (ls.linear_rank_1, _constant(1.0), False),
    "linear-rank-1-zero": (ls.linear_rank_1_zero, _constant(1.0), False),
    "rosenbrock": (ls.rosenbrock, _point(-1.2, 1.0), False),
    "helical-valley": (ls.helical_valley, _point(-1.0, 0.0, 0.0), False),
    "powell-singular": (ls.powell_singular, _point(3.0, -1.0, 0.0, 1.0), False),
    "freudenstein-roth": (ls.freudenstein_roth, _point(0.5, -2.0), False),
    "bard": (ls.bard, _constant(1.0), True),
    "kowalik-osborne": (ls.kowalik_osborne, _point(0.25, 0.39, 0.415, 0.39), True),
    "meyer": (ls.meyer, _point(0.02, 4000.0, 250.0), False),
    "watson": (ls.watson, _constant(0.5), False),
    "box-3d": (ls.box_3d, _point(0.0, 10.0, 20.0), False),
    "jennrich-sampson": (ls.jennrich_sampson, _point(0.3, 0.4), True),
    "brown-dennis": (ls.brown_dennis, _point(25.0, 5.0, -5.0, -1.0), False),
    "chebyquad": (ls.chebyquad, lambda n: np.arange(1.0, n + 1.0) / (n + 1.0), False),
    "brown-almost-linear": (ls.brown_almost_linear, _constant(0.5), True),
    "osborne-1": (ls.osborne_1, _point(0.5, 1.5, 1.0, 0.01, 0.02), True),
    "osborne-2": (ls.osborne_2, _point(1.3, 0.65, 0.65, 0.7, 0.6, 3.0, 5.0, 7.0, 2.0, 4.5, 5.5), True),
    "bdqrtic": (ls.bdqrtic, _constant(1.0), False),
    "cube": (ls.cube, _constant(0.5), False),
    "mancino": (ls.mancino, _mancino_start, False),
    "heart": (ls.heart, _point(-0.3, -0.39, 0.3, -0.344, -1.2, 2.69, 1.59, -1.5), False),
}


@dataclass(frozen=True)
class Row:
    """Lines of the published table with the same function; the start is 10^power times the standard one.

    `minimum` of the smooth version is the smallest of several dozen Levenberg-Marquardt runs from scattered starts;
    it agrees with the published value where there is one. From the suite's starts other minima are common
    (Freudenstein-Roth: 48.984, Bard far: 17.4287, Osborne 2 far: 1.78981).
    """

    function: str
    n: int
    m: int
    powers: tuple[int, ...] = (0,)
    minimum: float = 0.0


ROWS = (
    Row("linear", 9, 45, (0, 1), minimum=36.0),
    Row("linear-rank-1", 7, 35, (0, 1), minimum=595.0 / 71.0),
    Row("linear-rank-1-zero", 7, 35, (0, 1), minimum=662.0 / 67.0),
    Row("rosenbrock", 2, 2, (0, 1)),
    Row("helical-valley", 3, 3, (0, 1)),
    Row("powell-singular", 4, 4, (0, 1)),
    Row("freudenstein-roth", 2, 2, (0, 1)),
    Row("bard", 3, 15, (0, 1), minimum=0.00821487730657896),
    Row("kowalik-osborne", 4, 11, minimum=0.000307505603849236),
    Row("meyer", 3, 16, minimum=87.9458551703457),
    Row("watson", 6, 31, (0, 1), minimum=0.0022876700535523),
    Row("watson", 9, 31, (0, 1), minimum=1.39976013809595e-6),
    Row("watson", 12, 31, (0, 1), minimum=4.7223811107927e-10),
    Row("box-3d", 3, 10),
    Row("jennrich-sampson", 2, 10, minimum=124.362182355615),
    Row("brown-dennis", 4, 20, (0, 1), minimum=85822.2016263564),
    Row("chebyquad", 6, 6),
    Row("chebyquad", 7, 7),
    Row("chebyquad", 8, 8, minimum=0.00351687372567802),
    Row("chebyquad", 9, 9),
    Row("chebyquad", 10, 10, minimum=0.00477271369637541),
    Row("chebyquad", 11, 11, minimum=0.00279976155186587),
    Row("brown-almost-linear", 10, 10),
    Row("osborne-1", 5, 33, minimum=5.46489469748253e-5),
    Row("osborne-2", 11, 65, (0, 1), minimum=0.0401377362935478),
    Row("bdqrtic", 8, 8, minimum=10.2389734213174),
    Row("bdqrtic", 10, 12, minimum=18.2811617535936),
    Row("bdqrtic", 11, 14, minimum=22.2605917348841),
    Row("bdqrtic", 12, 16, minimum=26.272766396794),
    Row("cube", 5, 5),
    Row("cube", 6, 6),
    Row("cube", 8, 8),
    Row("mancino", 5, 5, (0, 1)),
    Row("mancino", 8, 8),
    Row("mancino", 10, 10),
    Row("mancino", 12, 12, (0, 1)),
    Row("heart", 8, 8, (0, 1)),
)


@dataclass(frozen=True)
class SumOfSquares:
    """X (k, n) -> (k,), smooth."""

    function: str
    m: int

    def __call__(self, X: FloatArray) -> FloatArray:
        with np.errstate(all="ignore"):
            R = FUNCTIONS[self.function][0](X, self.m)
            return np.asarray(np.sum(R * R, axis=1))


@dataclass(frozen=True)
class Noisy(SumOfSquares):
    """The same times 1 + 1e-3 phi(x)."""

    def __call__(self, X: FloatArray) -> FloatArray:
        with np.errstate(all="ignore"):
            return super().__call__(X) * (1.0 + NOISE * oscillation(X))


@dataclass(frozen=True)
class SumOfAbsolutes:
    """X (k, n) -> (k,), piecewise smooth."""

    function: str
    m: int

    def __call__(self, X: FloatArray) -> FloatArray:
        residuals, _, clipped = FUNCTIONS[self.function]
        with np.errstate(all="ignore"):
            R = residuals(np.maximum(X, 0.0) if clipped else X, self.m)
            return np.asarray(np.sum(np.abs(R), axis=1))


def oscillation(X: FloatArray) -> FloatArray:
    """phi (k,) in [-1, 1]: T_3 of phi_0 = .9 sin(100 |x|_1) cos(100 |x|_inf) + .1 cos(|x|_2)."""
    size = np.abs(X)
    phi = 0.9 * np.sin(100.0 * size.sum(axis=1)) * np.cos(100.0 * size.max(axis=1))
    phi += 0.1 * np.cos(np.sqrt(np.sum(X * X, axis=1)))
    return np.asarray(phi * (4.0 * phi * phi - 3.0))


def standard_start(function: str, n: int, power: int) -> FloatArray:
    """(n,) start of a row of the table."""
    return 10.0**power * FUNCTIONS[function][1](n)


def build(
    title: str, version: Callable[[str, int], Callable[[FloatArray], FloatArray]], row: Row, power: int
) -> Problem:
    """The problem of one row and start."""
    n = row.n
    return Problem(
        objective=version(row.function, row.m),
        space=Box([None] * n, [None] * n),
        x0=standard_start(row.function, n, power),
        sense="minimize",
        name=title,
        known=_known(row, smooth=version is SumOfSquares),
        backend="numpy",
    )


def _known(row: Row, smooth: bool) -> Known | None:
    """Zero residuals are the minimum of all three versions; other minima are known for the smooth one only."""
    if row.minimum == 0.0:
        return Known(value=0.0, kind="exact", how="all residuals vanish somewhere")
    if not smooth:
        return None
    kind = "exact" if row.function.startswith("linear") else "best_known"
    return Known(value=row.minimum, kind=kind, tol=1e-12 * row.minimum, how="Levenberg-Marquardt from many starts")


def _suite(name: str, description: str, version: type) -> Suite:
    def instances(dimensions: tuple[int, ...]) -> Iterator[Instance]:
        number = 0
        for row in ROWS:
            for power in row.powers:
                number += 1
                if row.n in dimensions:
                    label = f"{number:02d}-{row.function}-n{row.n}" + ("-far" if power else "")
                    yield Instance(name, label, row.function, row.n, build, (version, row, power))

    dimensions = tuple(sorted({row.n for row in ROWS}))
    return Suite(name, description, unit="n+1", multiple=50, dimensions=dimensions, make=instances)


SUITES = {
    "more-wild": _suite("more-wild", "53 smooth least-squares problems without bounds", SumOfSquares),
    "more-wild-noisy": _suite("more-wild-noisy", "the 53 problems with relative deterministic noise 1e-3", Noisy),
    "more-wild-nonsmooth": _suite(
        "more-wild-nonsmooth", "the 53 problems as sums of absolute residuals", SumOfAbsolutes
    ),
}
