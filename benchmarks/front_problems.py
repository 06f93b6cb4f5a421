"""Problems of the comparison: boxes and reference points for the functions of the suite, and the hypervolume of their true fronts.

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
from benchmarks.suites.multiobjective import (
    binh_korn,
    binh_korn_constraints,
    dtlz2,
    fonseca_fleming,
    kursawe,
    schaffer,
    tanaka,
    tanaka_constraints,
    viennet,
    zdt1,
    zdt2,
    zdt3,
)
from dfoattack._typing import FloatArray
from dfoattack.kernels.hypervolume import hypervolume, nondominated

OFF_CENTRE = 0.3717
ZDT = {1: zdt1, 2: zdt2, 3: zdt3}


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
    return _curve(ZDT[number], X, reference)


def _bnh_front(reference: tuple[float, ...]) -> float:
    t = np.linspace(0.0, 3.0, 50_001)
    u = np.linspace(3.0, 5.0, 50_001)
    X = np.vstack([np.column_stack([t, t]), np.column_stack([u, np.full_like(u, 3.0)])])
    return _curve(binh_korn, X, reference)


def _tnk_front(reference: tuple[float, ...]) -> float:
    """The first constraint is active along the whole front."""
    t = np.linspace(1e-9, 0.5 * math.pi - 1e-9, 400_001)
    r = np.sqrt(1.0 + 0.1 * np.cos(16.0 * t))
    X = np.column_stack([r * np.sin(t), r * np.cos(t)])
    return _curve(tanaka, X[tanaka_constraints(X)[:, 1] <= 0.0], reference)


KURSAWE_VOLUME = 37.313  # best known: all points of an NSGA-II run of 25000 evaluations (population 200) and one of ours of 1500 together


def _table() -> tuple[FrontProblem, ...]:
    line = np.linspace(0.0, 2.0, 100_001)[:, None]
    a = 1.0 / math.sqrt(3.0)
    diagonal = np.repeat(np.linspace(-a, a, 100_001)[:, None], 3, axis=1)
    zdt, unit = (1.1, 1.1), (1.1, 1.1, 1.1)
    box = (-3.0,) * 2, (2.3,) * 2
    corner = (10.0, 20.0, 0.3)
    plan = _grid((0.0,) * 4, (10.0,) * 4, 11)
    return (
        FrontProblem("schaffer", (-10.0,), (8.7,), schaffer, (5.0, 5.0), lambda: _curve(schaffer, line, (5.0, 5.0))),
        FrontProblem(
            "fonseca", (-4.0,) * 3, (3.1,) * 3, fonseca_fleming, (1.1, 1.1), lambda: _curve(fonseca_fleming, diagonal, (1.1, 1.1))
        ),
        FrontProblem("kursawe", (-5.0,) * 3, (4.3,) * 3, kursawe, (-14.0, 1.0), lambda: KURSAWE_VOLUME),
        *(
            FrontProblem(f"zdt{i}-{n}", (0.0,) * n, (1.0,) * n, ZDT[i], zdt, lambda i=i, n=n: _zdt_front(i, n, zdt))  # type: ignore[misc]
            for i, n in ((1, 10), (2, 10), (3, 10), (1, 30))
        ),
        FrontProblem("viennet", *box, viennet, corner, lambda: volume_of(viennet(_grid(*box, 301)), corner)),
        FrontProblem("dtlz2-3", (0.0,) * 7, (1.0,) * 7, dtlz2(3, OFF_CENTRE), unit, lambda: 1.1**3 - math.pi / 6.0),
        FrontProblem(
            "dtlz2-4", (0.0,) * 8, (1.0,) * 8, dtlz2(4, OFF_CENTRE), (1.1,) * 4, lambda: 1.1**4 - 0.5 * math.pi**2 / 16.0
        ),
        FrontProblem(
            "bnh", (0.0, 0.0), (5.0, 3.0), binh_korn, (140.0, 55.0), lambda: _bnh_front((140.0, 55.0)), binh_korn_constraints
        ),
        FrontProblem("tnk", (0.0, 0.0), (math.pi,) * 2, tanaka, zdt, lambda: _tnk_front(zdt), tanaka_constraints),
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
