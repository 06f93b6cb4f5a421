"""Problems and helpers shared by the integration tests. Everything here is importable, so that it pickles and runs in a child."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import numpy as np

import dfoattack as da
from dfoattack.result import Result
from dfoattack.solver import Solver

W1 = np.random.default_rng(11).standard_normal((3, 6))
W2 = np.random.default_rng(12).standard_normal((6, 2))
B1 = np.random.default_rng(13).standard_normal(6)


class Network:
    """A small tanh network R^3 -> R^2 with its vector-Jacobian product; rows do not depend on the batch they are in."""

    def predict(self, X: np.ndarray) -> np.ndarray:
        return np.einsum("kh,hm->km", np.tanh(np.einsum("kn,nh->kh", X, W1) + B1), W2)

    def vjp(self, X: np.ndarray, V: np.ndarray) -> np.ndarray:
        hidden = np.tanh(np.einsum("kn,nh->kh", X, W1) + B1)
        return np.einsum("kh,nh->kn", np.einsum("km,hm->kh", V, W2) * (1.0 - hidden**2), W1)

    def fingerprint(self) -> str:
        return "a small tanh network"


def network_value(y: np.ndarray) -> np.ndarray:
    return y[:, 0] - 0.2 * y[:, 1] ** 2


def network_wall(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return y[:, 1] - 0.5


def network_ball(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x**2).sum(axis=1) - 2.0


def network_problem(**more: Any) -> da.Problem:
    """Maximise a network output under a constraint on the other one and one on x; gradients, attacks on."""
    settings: dict[str, Any] = dict(
        surrogate=Network(),
        objective=network_value,
        constraints=[da.Constraint(network_wall, name="wall"), da.Constraint(network_ball, name="ball")],
        space=da.Box([-2.0, -2.0, -2.0], [2.0, 2.0, 2.0]),
        x0=[0.25, -0.5, 1.5],
        sense="maximize",
    )
    return da.Problem(**{**settings, **more})


def mixed_value(y: np.ndarray) -> np.ndarray:
    return (y[:, 0] - 0.3) ** 2 + (y[:, 1] - 2.6) ** 2 + np.abs(y[:, 2] + 0.3) + 0.1 * y[:, 0] * y[:, 1]


def mixed_problem(**more: Any) -> da.Problem:
    """One continuous, one integer, one granular (0.1), one fixed variable; no gradient, no constraint."""
    settings: dict[str, Any] = dict(
        objective=mixed_value,
        space=da.Box([-2, -5, -1, 0], [2, 5, 1, 3], integer=[1], granularity={2: 0.1}, fixed={3: 1.7}),
        x0=[1.5, -4, 0.8, 1.7],
        sense="minimize",
    )
    return da.Problem(**{**settings, **more})


def sphere(y: np.ndarray) -> np.ndarray:
    return (y**2).sum(axis=1)


def sphere_gradient(y: np.ndarray) -> np.ndarray:
    return 2.0 * y


def sphere_problem(n: int = 3, gradient: bool = False, **more: Any) -> da.Problem:
    """Minimise |x|^2 in [-3, 3]^n from a point off every decimal mesh."""
    settings: dict[str, Any] = dict(
        objective=sphere,
        objective_grad=sphere_gradient if gradient else None,
        space=da.Box(np.full(n, -3.0), np.full(n, 3.0)),
        x0=np.linspace(0.7, 1.9, n) + 0.0123,
        sense="minimize",
    )
    return da.Problem(**{**settings, **more})


def rosenbrock(y: np.ndarray) -> np.ndarray:
    return 100.0 * (y[:, 1] - y[:, 0] ** 2) ** 2 + (1.0 - y[:, 0]) ** 2


def spied(objective: Callable[[np.ndarray], np.ndarray], log: list[np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """The same objective, which keeps a copy of every row it is asked."""

    def watching(y: np.ndarray) -> np.ndarray:
        log.extend(row.copy() for row in y)
        return objective(y)

    return watching


def drive(solver: Solver) -> Result:
    """Ask, evaluate, tell until the run ends."""
    while len(solver.ask()):
        solver.tell(solver.evaluate())
    return solver.result()


def digest(result: Result) -> str:
    """Everything a run found and counted, as one hash: equal for bit-identical runs only."""
    r, hasher = result.records, hashlib.sha256()
    for array in (r.x, r.fun, r.constraints, r.maxcv, r.status, r.iteration, result.x):
        hasher.update(np.ascontiguousarray(array).tobytes())
    counts = (result.nfev, result.nphi, result.ngev, result.nit, result.cost, result.best_index, result.local_runs)
    hasher.update(repr((r.step, counts, result.reason.name, result.fun, result.certificate.text)).encode())
    return hasher.hexdigest()


def assert_same_run(left: Result, right: Result, x: bool = True, fun: bool = True) -> None:
    """Bit-identical logs and counters; says where the first difference is."""
    a, b = left.records, right.records
    m = min(len(a), len(b))
    if x:
        different = np.flatnonzero((a.x[:m] != b.x[:m]).any(axis=1))
        assert not different.size, f"first different point: evaluation {different[0] + 1} ({a.step[different[0]]})"
        assert a.x.tobytes() == b.x.tobytes()
    if fun:
        assert a.fun.tobytes() == b.fun.tobytes()
    assert len(a) == len(b)
    assert a.step == b.step
    assert a.status.tobytes() == b.status.tobytes()
    assert a.iteration.tobytes() == b.iteration.tobytes()
    assert (left.nfev, left.nphi, left.ngev, left.nit, left.cost) == (
        right.nfev,
        right.nphi,
        right.ngev,
        right.nit,
        right.cost,
    )
    assert left.reason == right.reason
    assert left.best_index == right.best_index


def assert_best_is_best(result: Result, sense: str) -> None:
    """The headline is the best feasible evaluated point, or the least infeasible one if there is none."""
    r = result.records
    ok = r.status == 0
    feasible = ok & (r.maxcv <= 0.0)
    assert result.feasible == bool(feasible.any())
    if feasible.any():
        values = r.fun[feasible]
        assert result.fun == (values.max() if sense == "maximize" else values.min())
        assert result.maxcv == 0.0
    elif ok.any():
        assert result.maxcv == r.maxcv[ok].min()
    if ok.any():
        assert result.x.tobytes() == r.x[result.best_index].tobytes()
