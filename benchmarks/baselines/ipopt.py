"""Ipopt through cyipopt, limited-memory Hessian."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import cyipopt
import numpy as np

from benchmarks.baselines._common import LARGE
from benchmarks.baselines.restarts import run_restarted
from benchmarks.columns import Columns, columns, grouped
from benchmarks.counting import Counter, LimitReached
from benchmarks.log import Log

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "cyipopt, defaults, limited-memory Hessian, tol 1e-9, bounds not relaxed; exact gradients where the problem has "
    "them, all constraint columns if their Jacobian is cheap, else the largest of each named constraint; forward "
    "differences, counted, elsewhere; random restarts"
)
_STEP = 1.5e-8


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    counter = Counter(problem, budget, gradient_cost)
    seen: Columns | None = None

    def local(z: FloatArray, k: int) -> None:
        nonlocal seen
        seen = chosen = seen if seen is not None else _columns(counter, z)
        callbacks = _Callbacks(counter, chosen)
        solver = cyipopt.Problem(
            n=counter.n,
            m=chosen.q,
            problem_obj=callbacks,
            lb=np.where(np.isfinite(counter.lower), counter.lower, -2e19),
            ub=np.where(np.isfinite(counter.upper), counter.upper, 2e19),
            cl=np.maximum(chosen.low, -2e19),
            cu=chosen.high,
        )
        for name, value in (
            ("hessian_approximation", "limited-memory"),
            ("print_level", 0),
            ("sb", "yes"),
            ("tol", 1e-9),
            ("bound_relax_factor", 0.0),
            ("max_iter", 3000),
        ):
            solver.add_option(name, value)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                solver.solve(z)
            finally:
                if callbacks.raised:
                    raise callbacks.raised[0]

    return run_restarted(counter, seed, local)


def _columns(counter: Counter, z: FloatArray) -> Columns:
    p = counter.problem.p or 0
    if not counter.problem.has_gradient:
        counter.note("no gradient: forward differences")
        return columns(counter, p)
    return columns(counter, p if min(p, counter.outputs_of(z)) <= 2 * grouped(counter).q else 0)


class _Callbacks:
    """Ipopt's questions. What is raised is kept: Ipopt turns it into a failed evaluation and goes on."""

    def __init__(self, counter: Counter, chosen: Columns) -> None:
        self.counter, self.chosen = counter, chosen
        self.raised: list[BaseException] = []

    def objective(self, v: FloatArray) -> float:
        return float(self._kept(lambda: min(self.counter.value(v)[0], LARGE), 0.0))

    def constraints(self, v: FloatArray) -> FloatArray:
        return np.asarray(self._kept(lambda: self._c(v), np.zeros(self.chosen.q)), dtype=np.float64)

    def gradient(self, v: FloatArray) -> FloatArray:
        return np.asarray(self._kept(lambda: self._slopes(v)[0], np.zeros(self.counter.n)), dtype=np.float64)

    def jacobian(self, v: FloatArray) -> FloatArray:
        empty = np.zeros((self.chosen.q, self.counter.n))
        return np.asarray(self._kept(lambda: self._slopes(v, True)[1], empty), dtype=np.float64).ravel()

    def intermediate(self, *_: Any) -> bool:
        return not self.raised

    def _c(self, v: FloatArray) -> FloatArray:
        return np.nan_to_num(self.chosen.values(self.counter.value(v)[1]), nan=LARGE)

    def _slopes(self, v: FloatArray, jacobian: bool = False) -> tuple[FloatArray, FloatArray]:
        counter, empty = self.counter, np.zeros((self.chosen.q, self.counter.n))
        if counter.problem.has_gradient:
            if not jacobian:
                return counter.gradient(v), empty
            return np.zeros(counter.n), counter.jacobian(v, self.chosen.rows(counter.value(v)[1]))
        F, c = min(counter.value(v)[0], LARGE), self._c(v)
        g, J = np.zeros(counter.n), empty
        for i in range(counter.n):
            step = (
                _STEP * max(1.0, abs(v[i])) * (-1.0 if v[i] + _STEP * max(1.0, abs(v[i])) > counter.upper[i] else 1.0)
            )
            w = v.copy()
            w[i] += step
            g[i] = (min(counter.value(w)[0], LARGE) - F) / step
            J[:, i] = (self._c(w) - c) / step
        return g, J

    def _kept(self, call: Any, otherwise: Any) -> Any:
        if self.raised:
            return otherwise
        try:
            return call()
        except (Exception, LimitReached) as error:
            self.raised.append(error)
            return otherwise
