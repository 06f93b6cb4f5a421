"""Polish by Ipopt (Waechter & Biegler 2006) through cyipopt, with exact gradients; needs the extra ``ipopt``."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, ClassVar, TypeVar

import numpy as np

from dfoattack._threads import single_thread
from dfoattack._typing import FloatArray, IntArray
from dfoattack.attacks._local import Local, Point
from dfoattack.attacks._settings import real, whole
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View
from dfoattack.errors import OptionError

T = TypeVar("T")

_MARGIN = 1e-8  # shift of the scaled constraints: Ipopt ends a hair outside
_FAR = 2e19  # Ipopt's infinity
_LARGE = 1e30
_ROUNDS = 3  # solves with more columns, where the last one ended outside columns that it did not know


class Ipopt(AttackOperator):
    """Interior-point iterations from each centre: limited-memory Hessian, gradient of F and rows of the constraint Jacobian by vjp.

    A Jacobian costs min(q, m) vjps, so Ipopt is shown the ``most`` columns nearest to violation at the centre, and again with those it ran
    into. Rows returned: the best feasible point visited, and the last iterate where that is not feasible.

    Parameters
    ----------
    iterations : int        >= 1, Ipopt's iterations from one centre at most
    accuracy : float        > 0, Ipopt's ``tol``
    most : int, optional    >= 1, constraint columns shown at first; None: max(20, 2 n)
    """

    name: ClassVar[str] = "ipopt"
    inner_points: ClassVar[bool] = True
    whole_box: ClassVar[bool] = True

    def __init__(self, iterations: int = 100, accuracy: float = 1e-8, most: int | None = None) -> None:
        library()
        self.iterations = whole("iterations", iterations, 1)
        self.accuracy = real("accuracy", accuracy)
        self.most = None if most is None else whole("most", most, 1)

    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        b, n = target.X.shape
        gradient = np.zeros((b, n))
        rows: list[tuple[FloatArray, int, float]] = []
        radius = float(np.max(radii))
        for i in range(b):
            known = np.isfinite(target.F[i]) and np.all(np.isfinite(target.C[i]))
            if not known or not view.has_gradient or not view.affords(1, 1):
                continue
            local = Local(target, i, radius, view)
            gradient[i] = local.gradient(local.centre)
            if np.any(gradient[i]) or local.centre.worst > 0.0:
                rows += [(d, i, radius) for d in self._polish(local, target, gradient[i])]
        return Displacements.from_rows(n, rows, gradient)

    def _polish(self, local: Local, target: Target, gradient: FloatArray) -> list[FloatArray]:
        most = self.most or max(20, 2 * gradient.size)
        columns = np.sort(np.argsort(-local.centre.c, kind="stable")[:most])
        callbacks = _Callbacks(local, target, local.centre, gradient, columns)
        self._solve(callbacks)
        for _ in range(_ROUNDS - 1):
            end = callbacks.last
            unknown = np.setdiff1d(np.flatnonzero(end.c > 0.0), columns)
            if unknown.size == 0 or callbacks.ended:
                break
            worst = unknown[np.argsort(-end.c[unknown], kind="stable")][:most]
            columns = np.sort(np.concatenate([columns, worst]))
            callbacks = _Callbacks(local, target, end, None, columns)
            self._solve(callbacks)
        return _worth_evaluating(local, callbacks.last)

    def _solve(self, callbacks: _Callbacks) -> None:
        lo, hi = callbacks.local.room(callbacks.start)
        q = callbacks.columns.size
        problem = library().Problem(
            n=lo.size,
            m=q,
            problem_obj=callbacks,
            lb=np.maximum(lo, -_FAR),
            ub=np.minimum(hi, _FAR),
            cl=np.full(q, -_FAR),
            cu=np.full(q, -_MARGIN),
        )
        settings = {
            "hessian_approximation": "limited-memory",
            "print_level": 0,
            "sb": "yes",
            "tol": self.accuracy,
            "bound_relax_factor": 0.0,
            "max_iter": self.iterations,
        }
        for label, value in settings.items():
            problem.add_option(label, value)
        with single_thread():
            problem.solve(np.zeros(lo.size))
        if callbacks.raised:
            raise callbacks.raised[0]


def library() -> Any:
    """The module ``cyipopt``. Raises `OptionError` with what to do where it is missing."""
    try:
        return import_module("cyipopt")
    except ImportError as error:
        raise OptionError(
            "Attack 'ipopt' needs the package cyipopt and the library Ipopt behind it, got neither: pip install "
            f"'dfoattack[ipopt]' (its build needs Debian's coinor-libipopt-dev and pkg-config). {error}"
        ) from error


class _Callbacks:
    """Ipopt's questions, in scaled steps from the start. It swallows exceptions, so they are kept; out of budget it is told to stop."""

    def __init__(self, local: Local, target: Target, start: Point, first: FloatArray | None, columns: IntArray) -> None:
        self.local, self.target, self.start, self.columns = local, target, start, columns
        self.last = start
        self.ended = False  # the budget does not cover the next question
        self.raised: list[Exception] = []
        size = 0.0 if first is None else float(np.max(np.abs(first * local.scale)))
        self._unit = 1.0 / size if size > 0.0 and np.isfinite(1.0 / size) else 1.0
        self._points: dict[bytes, Point] = {np.zeros(target.X.shape[1]).tobytes(): start}
        self._slopes: dict[bytes, FloatArray] = {} if first is None else {next(iter(self._points)): first}

    def objective(self, s: FloatArray) -> float:
        return self._kept(lambda: float(min(self._at(s).F * self._unit, _LARGE)), _LARGE)

    def constraints(self, s: FloatArray) -> FloatArray:
        return self._kept(lambda: np.minimum(self._at(s).c[self.columns], _LARGE), np.zeros(self.columns.size))

    def gradient(self, s: FloatArray) -> FloatArray:
        return self._kept(lambda: self._slope(s), np.zeros(s.size))

    def jacobian(self, s: FloatArray) -> FloatArray:
        return self._kept(lambda: self._rows(s), np.zeros(self.columns.size * s.size))

    def intermediate(self, *_: Any) -> bool:
        return not (self.raised or self.ended)

    def _at(self, s: FloatArray) -> Point:
        key = np.asarray(s + 0.0).tobytes()
        if key not in self._points:
            self._afford(0, 1)
            self._points[key] = self.local.visit(self.start, np.asarray(s, dtype=np.float64))
        self.last = self._points[key] if np.isfinite(self._points[key].F) else self.last
        return self._points[key]

    def _slope(self, s: FloatArray) -> FloatArray:
        point, key = self._at(s), np.asarray(s + 0.0).tobytes()
        if key not in self._slopes:
            self._afford(1, 0)
            self._slopes[key] = self.local.gradient(point)
        return self._slopes[key] * self.local.scale * self._unit

    def _rows(self, s: FloatArray) -> FloatArray:
        point = self._at(s)
        self._afford(self.local.price(self.columns.size), 0)
        J = self.local.jacobian(point, self.columns)
        rows: FloatArray = (J * self.local.scale / self.target.scale[self.columns][:, None]).ravel()
        return rows

    def _afford(self, vjps: int, passes: int) -> None:
        if not self.local.view.affords(vjps, passes):
            self.ended = True
            raise _Ended

    def _kept(self, call: Callable[[], T], otherwise: T) -> T:
        if self.raised or self.ended:
            return otherwise
        try:
            return call()
        except _Ended:
            return otherwise
        except Exception as error:
            self.raised.append(error)
            return otherwise


class _Ended(Exception):
    """The budget does not cover another question."""


def _worth_evaluating(local: Local, last: Point) -> list[FloatArray]:
    feasible = [point for point in local.visited if point.worst <= 0.0 and np.isfinite(point.F)]
    found = [min(feasible, key=lambda point: point.F).d] if feasible else []
    if last.worst > 0.0 and np.any(last.d):
        found.append(last.d)
    return found
