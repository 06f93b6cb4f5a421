"""Problems with two or three objectives, all minimised: functions, boxes, constraints c <= 0, and where the fronts lie.

Sources: Schaffer (1985); Fonseca and Fleming (1995); Kursawe (1991); Viennet, Fonteix and Marc (1996); Zitzler, Deb and
Thiele, "Comparison of multiobjective evolutionary algorithms: empirical results", Evol. Comput. 8 (2000); Deb, Thiele,
Laumanns and Zitzler, "Scalable test problems for evolutionary multiobjective optimization" (2005); with constraints:
Binh and Korn (1997), Srinivas and Deb (1994), Tanaka et al. (1995), Deb (2001, CONSTR).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

    Function = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, eq=False)
class MultiObjective:
    """Minimise q objectives in a box, subject to constraints.

    Attributes
    ----------
    objectives : callable, X (k, n) -> (k, q)
    lower, upper : n numbers
    reference : q numbers                           corner that the hypervolume is measured from
    constraints : callable, X (k, n) -> (k, p), or None
    pareto_set : callable, count -> X (k, n)        efficient points, spread along the set; None: not known in closed form
    hypervolume : float or None
        dominated by the whole front, up to `reference`; None: no closed form (measure a dense `pareto_set`)
    """

    objectives: Function
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    reference: tuple[float, ...]
    constraints: Function | None = None
    pareto_set: Callable[[int], FloatArray] | None = None
    hypervolume: float | None = None

    @property
    def n(self) -> int:
        """Number of variables."""
        return len(self.lower)

    @property
    def q(self) -> int:
        """Number of objectives."""
        return len(self.reference)


def _columns(*parts: FloatArray) -> FloatArray:
    return np.stack(parts, axis=1)


def _filled(columns: FloatArray, n: int, value: float) -> FloatArray:
    """(k, m) -> (k, n), the other variables at `value`."""
    X = np.full((columns.shape[0], n), value)
    X[:, : columns.shape[1]] = columns
    return X


def _segment(n: int, low: float, high: float, value: float) -> Callable[[int], FloatArray]:
    """The first variable runs from `low` to `high`."""
    return lambda count: _filled(np.linspace(low, high, count)[:, None], n, value)


def _grid(n: int, q: int, value: float) -> Callable[[int], FloatArray]:
    """The first q - 1 variables on a grid of about `count` points in [0, 1]."""

    def points(count: int) -> FloatArray:
        side = np.linspace(0.0, 1.0, max(2, round(count ** (1.0 / (q - 1)))))
        axes = np.meshgrid(*[side] * (q - 1), indexing="ij")
        return _filled(np.stack([axis.ravel() for axis in axes], axis=1), n, value)

    return points


def schaffer(X: FloatArray) -> FloatArray:
    """Two parabolas in one variable; convex front."""
    return _columns(X[:, 0] ** 2, (X[:, 0] - 2.0) ** 2)


def fonseca_fleming(X: FloatArray) -> FloatArray:
    """Two bells; concave front."""
    shift = 1.0 / math.sqrt(X.shape[1])
    a, b = np.sum((X - shift) ** 2, axis=1), np.sum((X + shift) ** 2, axis=1)
    return _columns(1.0 - np.exp(-a), 1.0 - np.exp(-b))


def kursawe(X: FloatArray) -> FloatArray:
    """Disconnected set and front."""
    first = np.sum(-10.0 * np.exp(-0.2 * np.hypot(X[:, :-1], X[:, 1:])), axis=1)
    return _columns(first, np.sum(np.abs(X) ** 0.8 + 5.0 * np.sin(X**3), axis=1))


def viennet(X: FloatArray) -> FloatArray:
    """Three objectives in two variables."""
    x, y = X.T
    s = x**2 + y**2
    second = (3.0 * x - 2.0 * y + 4.0) ** 2 / 8.0 + (x - y + 1.0) ** 2 / 27.0 + 15.0
    return _columns(0.5 * s + np.sin(s), second, 1.0 / (s + 1.0) - 1.1 * np.exp(-s))


def _linear_g(X: FloatArray) -> FloatArray:
    return np.asarray(1.0 + 9.0 * np.mean(X[:, 1:], axis=1))


def zdt1(X: FloatArray) -> FloatArray:
    """Convex front."""
    g = _linear_g(X)
    return _columns(X[:, 0], g - np.sqrt(g * X[:, 0]))


def zdt2(X: FloatArray) -> FloatArray:
    """Concave front."""
    g = _linear_g(X)
    return _columns(X[:, 0], g - X[:, 0] ** 2 / g)


def zdt3(X: FloatArray) -> FloatArray:
    """Front in five pieces."""
    g, a = _linear_g(X), X[:, 0]
    return _columns(a, g - np.sqrt(g * a) - a * np.sin(10.0 * np.pi * a))


def zdt4(X: FloatArray) -> FloatArray:
    """As zdt1 behind a grid of local fronts."""
    tail = X[:, 1:]
    g = 1.0 + np.sum(10.0 + tail**2 - 10.0 * np.cos(4.0 * np.pi * tail), axis=1)
    return _columns(X[:, 0], g - np.sqrt(g * X[:, 0]))


def zdt6(X: FloatArray) -> FloatArray:
    """Concave front, points crowded away from it."""
    a = 1.0 - np.exp(-4.0 * X[:, 0]) * np.sin(6.0 * np.pi * X[:, 0]) ** 6
    g = 1.0 + 9.0 * np.mean(X[:, 1:], axis=1) ** 0.25
    return _columns(a, g - a**2 / g)


def _dtlz1(q: int) -> Function:
    def objectives(X: FloatArray) -> FloatArray:
        """Plane front behind a grid of local ones."""
        tail = X[:, q - 1 :] - 0.5
        g = 100.0 * (tail.shape[1] + np.sum(tail**2 - np.cos(20.0 * np.pi * tail), axis=1))
        parts = []
        for j in range(q):
            part = 0.5 * (1.0 + g) * np.prod(X[:, : q - 1 - j], axis=1)
            parts.append(part * (1.0 - X[:, q - 1 - j]) if j else part)
        return _columns(*parts)

    return objectives


def dtlz2(q: int, centre: float = 0.5) -> Function:
    """q objectives; the other variables are best at `centre`."""

    def objectives(X: FloatArray) -> FloatArray:
        """Front on the unit sphere."""
        g = np.sum((X[:, q - 1 :] - centre) ** 2, axis=1)
        angles = 0.5 * np.pi * X[:, : q - 1]
        parts = []
        for j in range(q):
            part = (1.0 + g) * np.prod(np.cos(angles[:, : q - 1 - j]), axis=1)
            parts.append(part * np.sin(angles[:, q - 1 - j]) if j else part)
        return _columns(*parts)

    return objectives


def binh_korn(X: FloatArray) -> FloatArray:
    """Two distances; the constraints cut corners off the box."""
    return _columns(4.0 * np.sum(X**2, axis=1), np.sum((X - 5.0) ** 2, axis=1))


def binh_korn_constraints(X: FloatArray) -> FloatArray:
    x, y = X.T
    return _columns((x - 5.0) ** 2 + y**2 - 25.0, 7.7 - (x - 8.0) ** 2 - (y + 3.0) ** 2)


def binh_korn_set(count: int) -> FloatArray:
    t = np.linspace(0.0, 5.0, count)
    return _columns(t, np.minimum(t, 3.0))


def srinivas_deb(X: FloatArray) -> FloatArray:
    """The efficient set is a segment of x = -5/2 between the constraints."""
    x, y = X.T
    return _columns((x - 2.0) ** 2 + (y - 1.0) ** 2 + 2.0, 9.0 * x - (y - 1.0) ** 2)


def srinivas_deb_constraints(X: FloatArray) -> FloatArray:
    x, y = X.T
    return _columns(x**2 + y**2 - 225.0, x - 3.0 * y + 10.0)


def srinivas_deb_set(count: int) -> FloatArray:
    # The upper end lies on the circle; the last 1e-13 keeps rounding on the feasible side.
    y = np.linspace(2.5, math.sqrt(225.0 - 6.25) * (1.0 - 1e-14), count)
    return _columns(np.full(count, -2.5), y)


def constr(X: FloatArray) -> FloatArray:
    """Part of the front lies on a constraint."""
    x, y = X.T
    return _columns(x, (1.0 + y) / x)


def constr_constraints(X: FloatArray) -> FloatArray:
    x, y = X.T
    return _columns(6.0 - y - 9.0 * x, 1.0 + y - 9.0 * x)


def constr_set(count: int) -> FloatArray:
    x = np.linspace(7.0 / 18.0, 1.0, count)
    return _columns(x, np.maximum(6.0 - 9.0 * x, 0.0))


def tanaka(X: FloatArray) -> FloatArray:
    """The objectives are the variables; the front is a wavy constraint."""
    return np.array(X)


def tanaka_constraints(X: FloatArray) -> FloatArray:
    x, y = X.T
    wave = 0.1 * np.cos(16.0 * np.arctan2(x, y))
    return _columns(1.0 + wave - x**2 - y**2, (x - 0.5) ** 2 + (y - 0.5) ** 2 - 0.5)


_FONSECA = 1.0 / math.sqrt(3.0)
_ZDT6_FIRST = 0.2807753191
"""Smallest first objective of zdt6."""
# The front is the line f_2 = -f_1 - 1/4 from f_1 = 24.5 to `_SRINIVAS_LAST`.
_SRINIVAS_LAST = 22.25 + (math.sqrt(218.75) - 1.0) ** 2
_SRINIVAS_VOLUME = (
    50.25 * (_SRINIVAS_LAST - 24.5)
    + 0.5 * (_SRINIVAS_LAST**2 - 24.5**2)
    + (250.0 - _SRINIVAS_LAST) * (50.25 + _SRINIVAS_LAST)
)
_CONSTR_VOLUME = 19.0 * 5.0 / 18.0 - 7.0 * math.log(12.0 / 7.0) + 10.0 / 3.0 - math.log(1.5) + 0.9
_TWO, _THREE = (1.1,) * 2, (1.1,) * 3


def _zdt6_set(count: int) -> FloatArray:
    """Where the first objective is smallest, to x = 0, where it is 1: beyond, every value occurs again."""
    return _filled(np.linspace(0.0, 0.08145779, count)[:, None], 10, 0.0)


PROBLEMS: dict[str, MultiObjective] = {
    "schaffer": MultiObjective(
        schaffer, (-10,), (10,), (5, 5), pareto_set=_segment(1, 0.0, 2.0, 0.0), hypervolume=67.0 / 3.0
    ),
    "fonseca-fleming": MultiObjective(
        fonseca_fleming,
        (-4,) * 3,
        (4,) * 3,
        _TWO,
        pareto_set=lambda count: np.tile(np.linspace(-_FONSECA, _FONSECA, count)[:, None], (1, 3)),
    ),
    "kursawe": MultiObjective(kursawe, (-5,) * 3, (5,) * 3, (-14, 1)),
    "viennet": MultiObjective(viennet, (-3,) * 2, (3,) * 2, (9, 18, 0.3)),
    "zdt1": MultiObjective(
        zdt1, (0,) * 30, (1,) * 30, _TWO, pareto_set=_segment(30, 0.0, 1.0, 0.0), hypervolume=0.21 + 2.0 / 3.0
    ),
    "zdt2": MultiObjective(
        zdt2, (0,) * 30, (1,) * 30, _TWO, pareto_set=_segment(30, 0.0, 1.0, 0.0), hypervolume=0.21 + 1.0 / 3.0
    ),
    # Its first variable runs over all of [0, 1]; the dominated arcs among these points add nothing.
    "zdt3": MultiObjective(zdt3, (0,) * 30, (1,) * 30, _TWO),
    "zdt4": MultiObjective(
        zdt4,
        (0,) + (-5,) * 9,
        (1,) + (5,) * 9,
        _TWO,
        pareto_set=_segment(10, 0.0, 1.0, 0.0),
        hypervolume=0.21 + 2.0 / 3.0,
    ),
    "zdt6": MultiObjective(
        zdt6,
        (0,) * 10,
        (1,) * 10,
        _TWO,
        pareto_set=_zdt6_set,
        hypervolume=0.11 + 0.1 * (1.0 - _ZDT6_FIRST) + (1.0 - _ZDT6_FIRST**3) / 3.0,
    ),
    "dtlz1-2": MultiObjective(
        _dtlz1(2), (0,) * 6, (1,) * 6, (1, 1), pareto_set=_grid(6, 2, 0.5), hypervolume=1.0 - 1.0 / 8.0
    ),
    "dtlz1-3": MultiObjective(
        _dtlz1(3), (0,) * 7, (1,) * 7, (1, 1, 1), pareto_set=_grid(7, 3, 0.5), hypervolume=1.0 - 1.0 / 48.0
    ),
    "dtlz2-2": MultiObjective(
        dtlz2(2), (0,) * 11, (1,) * 11, _TWO, pareto_set=_grid(11, 2, 0.5), hypervolume=1.21 - math.pi / 4.0
    ),
    "dtlz2-3": MultiObjective(
        dtlz2(3), (0,) * 12, (1,) * 12, _THREE, pareto_set=_grid(12, 3, 0.5), hypervolume=1.331 - math.pi / 6.0
    ),
    "binh-korn": MultiObjective(
        binh_korn, (0, 0), (5, 3), (140, 50), constraints=binh_korn_constraints, pareto_set=binh_korn_set
    ),
    "srinivas-deb": MultiObjective(
        srinivas_deb,
        (-20, -20),
        (20, 20),
        (250, 50),
        constraints=srinivas_deb_constraints,
        pareto_set=srinivas_deb_set,
        hypervolume=_SRINIVAS_VOLUME,
    ),
    "constr": MultiObjective(
        constr,
        (0.1, 0),
        (1, 5),
        (1.1, 10),
        constraints=constr_constraints,
        pareto_set=constr_set,
        hypervolume=_CONSTR_VOLUME,
    ),
    "tanaka": MultiObjective(tanaka, (0, 0), (math.pi,) * 2, _TWO, constraints=tanaka_constraints),
}
