"""Standard problems with two to four objectives, their reference points, and the hypervolume of their true fronts.

Boxes are not symmetric about an efficient point, and DTLZ2's distance variables are best at OFF_CENTRE instead of 0.5: a solver that begins
in the middle of the box would be given a point of the front.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

import dfoattack as da
from dfoattack._typing import FloatArray
from dfoattack.kernels.hypervolume import hypervolume, nondominated

OFF_CENTRE = 0.3717


@dataclass(frozen=True)
class FrontProblem:
    """All objectives are minimised.

    Attributes
    ----------
    name : str
    lower, upper : tuple of float (n,)
    objective : callable (k, n) -> (k, q)
    constraints : callable (k, n) -> (k, p), or None      <= 0 is satisfied
    reference : tuple of float (q,)                       reference point of the hypervolume
    volume : callable () -> float                         hypervolume of the true front (of a dense sample of it)
    integer : bool                                        all variables are integers
    """

    name: str
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    objective: Callable[[FloatArray], FloatArray]
    reference: tuple[float, ...]
    volume: Callable[[], float]
    constraints: Callable[[FloatArray], FloatArray] | None = None
    integer: bool = False

    @property
    def n(self) -> int:
        return len(self.lower)

    @property
    def q(self) -> int:
        return len(self.reference)

    def problem(self) -> da.MultiProblem:
        """The problem as the solver takes it."""
        function = self.constraints
        return da.MultiProblem(
            objective=self.objective,
            sense=("minimize",) * self.q,
            space=da.Box(self.lower, self.upper, integer=self.integer or None),
            constraints=() if function is None else [da.Constraint(lambda x, y: function(x), name="c")],
            name=self.name,
        )


def volume_of(F: FloatArray, reference: tuple[float, ...]) -> float:
    """Hypervolume of the rows of F (N, q), minimised; dominated rows are taken out first where that is cheap."""
    F = np.ascontiguousarray(F[np.argsort(F[:, 0], kind="stable")], dtype=np.float64)
    if F.shape[1] > 2:
        keep = np.zeros(F.shape[0], dtype=bool)
        nondominated(F, keep)
        F = np.ascontiguousarray(F[keep])
    return float(hypervolume(F, np.array(reference)))


def _grid(lower: tuple[float, ...], upper: tuple[float, ...], count: int) -> FloatArray:
    axes = [np.linspace(a, b, count) for a, b in zip(lower, upper, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(axes))


# ----------------------------------------------------------------------------------------------------------- objectives


def _schaffer(X: FloatArray) -> FloatArray:
    return np.column_stack([X[:, 0] ** 2, (X[:, 0] - 2.0) ** 2])


def _fonseca(X: FloatArray) -> FloatArray:
    a = 1.0 / math.sqrt(X.shape[1])
    return np.column_stack([1.0 - np.exp(-((X - a) ** 2).sum(1)), 1.0 - np.exp(-((X + a) ** 2).sum(1))])


def _kursawe(X: FloatArray) -> FloatArray:
    pairs = np.sqrt(X[:, :-1] ** 2 + X[:, 1:] ** 2)
    return np.column_stack([-10.0 * np.exp(-0.2 * pairs).sum(1), (np.abs(X) ** 0.8 + 5.0 * np.sin(X**3)).sum(1)])


def _zdt(number: int) -> Callable[[FloatArray], FloatArray]:
    def objective(X: FloatArray) -> FloatArray:
        f = X[:, 0]
        g = 1.0 + 9.0 * X[:, 1:].mean(axis=1)
        r = f / g
        if number == 1:
            h = 1.0 - np.sqrt(r)
        elif number == 2:
            h = 1.0 - r**2
        else:
            h = 1.0 - np.sqrt(r) - r * np.sin(10.0 * math.pi * f)
        return np.column_stack([f, g * h])

    return objective


def _viennet(X: FloatArray) -> FloatArray:
    x, y = X[:, 0], X[:, 1]
    s = x**2 + y**2
    return np.column_stack(
        [
            0.5 * s + np.sin(s),
            (3.0 * x - 2.0 * y + 4.0) ** 2 / 8.0 + (x - y + 1.0) ** 2 / 27.0 + 15.0,
            1.0 / (s + 1.0) - 1.1 * np.exp(-s),
        ]
    )


def _dtlz2(q: int) -> Callable[[FloatArray], FloatArray]:
    def objective(X: FloatArray) -> FloatArray:
        g = ((X[:, q - 1 :] - OFF_CENTRE) ** 2).sum(axis=1)
        angle = 0.5 * math.pi * X[:, : q - 1]
        F = np.empty((X.shape[0], q))
        for j in range(q):
            F[:, j] = (1.0 + g) * np.prod(np.cos(angle[:, : q - 1 - j]), axis=1)
            if j:
                F[:, j] *= np.sin(angle[:, q - 1 - j])
        return F

    return objective


def _bnh(X: FloatArray) -> FloatArray:
    x, y = X[:, 0], X[:, 1]
    return np.column_stack([4.0 * x**2 + 4.0 * y**2, (x - 5.0) ** 2 + (y - 5.0) ** 2])


def _bnh_constraints(X: FloatArray) -> FloatArray:
    x, y = X[:, 0], X[:, 1]
    return np.column_stack([(x - 5.0) ** 2 + y**2 - 25.0, 7.7 - (x - 8.0) ** 2 - (y + 3.0) ** 2])


def _tnk(X: FloatArray) -> FloatArray:
    return X.copy()


def _tnk_constraints(X: FloatArray) -> FloatArray:
    x, y = X[:, 0], X[:, 1]
    wave = 0.1 * np.cos(16.0 * np.arctan2(x, y))
    return np.column_stack([1.0 + wave - x**2 - y**2, (x - 0.5) ** 2 + (y - 0.5) ** 2 - 0.5])


def _knapsack(X: FloatArray) -> FloatArray:
    """Cost and shortfall of a plan of whole units: a nonlinear allocation problem on a lattice."""
    price, value = np.array([3.0, 5.0, 7.0, 11.0]), np.array([4.0, 7.0, 9.0, 16.0])
    return np.column_stack([X @ price, 250.0 - np.sqrt(X) @ value * 5.0 + 0.2 * ((X - 4.0) ** 2).sum(axis=1)])


# ------------------------------------------------------------------------------------------------------------ true fronts


def _curve(objective: Callable[[FloatArray], FloatArray], X: FloatArray, reference: tuple[float, ...]) -> float:
    return volume_of(objective(X), reference)


def _zdt_front(number: int, n: int, reference: tuple[float, ...]) -> float:
    X = np.zeros((200_001, n))
    X[:, 0] = np.linspace(0.0, 1.0, X.shape[0])
    return _curve(_zdt(number), X, reference)


def _bnh_front(reference: tuple[float, ...]) -> float:
    t = np.linspace(0.0, 3.0, 50_001)
    u = np.linspace(3.0, 5.0, 50_001)
    X = np.vstack([np.column_stack([t, t]), np.column_stack([u, np.full_like(u, 3.0)])])
    return _curve(_bnh, X, reference)


def _tnk_front(reference: tuple[float, ...]) -> float:
    """The first constraint is active along the whole front."""
    t = np.linspace(1e-9, 0.5 * math.pi - 1e-9, 400_001)
    r = np.sqrt(1.0 + 0.1 * np.cos(16.0 * t))
    X = np.column_stack([r * np.sin(t), r * np.cos(t)])
    return _curve(_tnk, X[_tnk_constraints(X)[:, 1] <= 0.0], reference)


KURSAWE_VOLUME = 37.313  # best known: all points of an NSGA-II run of 25000 evaluations (population 200) and one of ours of 1500 together


def _table() -> tuple[FrontProblem, ...]:
    line = np.linspace(0.0, 2.0, 100_001)[:, None]
    a = 1.0 / math.sqrt(3.0)
    diagonal = np.repeat(np.linspace(-a, a, 100_001)[:, None], 3, axis=1)
    zdt, unit = (1.1, 1.1), (1.1, 1.1, 1.1)
    box = (-3.0,) * 2, (2.3,) * 2
    viennet = (10.0, 20.0, 0.3)
    plan = _grid((0.0,) * 4, (10.0,) * 4, 11)
    return (
        FrontProblem("schaffer", (-10.0,), (8.7,), _schaffer, (5.0, 5.0), lambda: _curve(_schaffer, line, (5.0, 5.0))),
        FrontProblem(
            "fonseca", (-4.0,) * 3, (3.1,) * 3, _fonseca, (1.1, 1.1), lambda: _curve(_fonseca, diagonal, (1.1, 1.1))
        ),
        FrontProblem("kursawe", (-5.0,) * 3, (4.3,) * 3, _kursawe, (-14.0, 1.0), lambda: KURSAWE_VOLUME),
        *(
            FrontProblem(f"zdt{i}-{n}", (0.0,) * n, (1.0,) * n, _zdt(i), zdt, lambda i=i, n=n: _zdt_front(i, n, zdt))  # type: ignore[misc]
            for i, n in ((1, 10), (2, 10), (3, 10), (1, 30))
        ),
        FrontProblem("viennet", *box, _viennet, viennet, lambda: volume_of(_viennet(_grid(*box, 301)), viennet)),
        FrontProblem("dtlz2-3", (0.0,) * 7, (1.0,) * 7, _dtlz2(3), unit, lambda: 1.1**3 - math.pi / 6.0),
        FrontProblem(
            "dtlz2-4", (0.0,) * 8, (1.0,) * 8, _dtlz2(4), (1.1,) * 4, lambda: 1.1**4 - 0.5 * math.pi**2 / 16.0
        ),
        FrontProblem(
            "bnh", (0.0, 0.0), (5.0, 3.0), _bnh, (140.0, 55.0), lambda: _bnh_front((140.0, 55.0)), _bnh_constraints
        ),
        FrontProblem("tnk", (0.0, 0.0), (math.pi,) * 2, _tnk, zdt, lambda: _tnk_front(zdt), _tnk_constraints),
        FrontProblem(
            "plan-integer", (0.0,) * 4, (10.0,) * 4, _knapsack, (270.0, 290.0),
            lambda: volume_of(_knapsack(plan), (270.0, 290.0)), integer=True,
        ),
    )  # fmt: skip


PROBLEMS = {problem.name: problem for problem in _table()}


@cache
def true_volume(name: str) -> float:
    """Hypervolume of the true front of a problem, to about four digits."""
    return PROBLEMS[name].volume()
