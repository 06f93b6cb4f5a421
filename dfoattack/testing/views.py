"""A gradient view over plain NumPy functions, for tests of attack operators: counts every call, obeys a budget, can turn hostile."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack.attacks.base import Target
from dfoattack.errors import BudgetSpent

Function = Callable[[FloatArray], FloatArray]


class FunctionView:
    """A `View` of F and c given as functions of one point.

    Parameters
    ----------
    n : int
    fun, grad : (n,) -> float, (n,)             F and its gradient
    con, jac : (n,) -> (p,), (p, n); optional   constraint values and Jacobian; both or none
    m : int, optional                           outputs that the imitated network has, the price of a full Jacobian; default 1 + p
    budget : float                              passes + gradient_cost * vjps
    gradient_cost : float
    has_gradient : bool
    hostile : bool                              every gradient is NaN, as a network with a broken backward pass gives

    Attributes
    ----------
    passes, vjps : int      points counted so far; a point seen before is free
    """

    def __init__(
        self,
        n: int,
        fun: Callable[[FloatArray], float],
        grad: Function,
        con: Function | None = None,
        jac: Function | None = None,
        *,
        m: int | None = None,
        budget: float = np.inf,
        gradient_cost: float = 2.0,
        has_gradient: bool = True,
        hostile: bool = False,
    ) -> None:
        if (con is None) != (jac is None):
            raise ValueError("`con` and `jac` must both be given, or none of them.")
        self.n = n
        self.p = 0 if con is None else int(np.asarray(con(np.zeros(n))).shape[0])
        self.has_gradient = has_gradient
        self.passes = 0
        self.vjps = 0
        self.seen: list[FloatArray] = []  # the points that cost a pass, in order
        self._fun, self._grad, self._con, self._jac = fun, grad, con, jac
        self._m = 1 + self.p if m is None else m
        self._budget, self._price, self._hostile = budget, gradient_cost, hostile
        self._known: dict[bytes, FloatArray] = {}

    @property
    def spent(self) -> float:
        """passes + gradient_cost * vjps."""
        return self.passes + self._price * self.vjps

    def affords(self, vjps: int, passes: int) -> bool:
        return bool(self.spent + self._price * vjps + passes <= self._budget)

    def know(self, Z: FloatArray) -> None:
        """Take points for already evaluated, as the solver's centres are: they cost no pass."""
        for z in np.atleast_2d(Z):
            self._known[_key(z)] = self._output(z)

    def outputs(self, Z: FloatArray) -> FloatArray:
        fresh = {_key(z): z for z in Z if _key(z) not in self._known}
        if not self.affords(0, len(fresh)):
            raise BudgetSpent("passes")
        self.passes += len(fresh)
        for key, z in fresh.items():
            self._known[key] = self._output(z)
            self.seen.append(np.array(z))
        return np.array([self._known[_key(z)] for z in Z]).reshape(len(Z), 1 + self.p)

    def values(self, Z: FloatArray, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
        F, C = Y[:, 0].copy(), Y[:, 1:].copy()
        F[~np.isfinite(F) | ~np.all(np.isfinite(C), axis=1)] = np.inf
        return F, C

    def grad(self, Z: FloatArray) -> FloatArray:
        return self.grad_mix(Z, np.ones(len(Z)), np.zeros((len(Z), self.p)))

    def vjp_c(self, Z: FloatArray, W: FloatArray) -> FloatArray:
        return self.grad_mix(Z, np.zeros(len(Z)), W)

    def grad_mix(self, Z: FloatArray, wf: FloatArray, W: FloatArray) -> FloatArray:
        self._charge(Z, len(Z))
        # A goal of weight zero is not differentiated: 0 * NaN would spoil the other one.
        parts = [w * self._grad(z) if w != 0.0 else np.zeros(self.n) for z, w in zip(Z, wf, strict=True)]
        G = np.array(parts).reshape(len(Z), self.n)
        if self._jac is not None:
            G = G + np.array([w @ self._jac(z) for z, w in zip(Z, W, strict=True)]).reshape(len(Z), self.n)
        return self._clean(G)

    def constraint_jacobian(self, z: FloatArray, rows: IntArray) -> FloatArray:
        self._charge(z[None], min(len(rows), self._m))
        if self._jac is None:
            return np.zeros((len(rows), self.n))
        return self._clean(np.asarray(self._jac(z))[rows])

    def _charge(self, Z: FloatArray, vjps: int) -> None:
        self.outputs(Z)
        if not self.affords(vjps, 0):
            raise BudgetSpent("vjps")
        self.vjps += vjps

    def _clean(self, G: FloatArray) -> FloatArray:
        if self._hostile:
            G = np.full_like(G, np.nan)
        return np.where(np.all(np.isfinite(G), axis=1, keepdims=True), G, 0.0)

    def _output(self, z: FloatArray) -> FloatArray:
        c = np.zeros(0) if self._con is None else np.asarray(self._con(z), dtype=np.float64)
        return np.concatenate([[float(self._fun(z))], c])


def affine_view(g: FloatArray, A: FloatArray | None = None, b: FloatArray | None = None) -> FunctionView:
    """F = g . z and c = A z - b."""
    if A is None:
        return FunctionView(g.size, lambda z: float(g @ z), lambda z: g)
    M, offset = A, np.zeros(A.shape[0]) if b is None else b
    return FunctionView(g.size, lambda z: float(g @ z), lambda z: g, lambda z: M @ z - offset, lambda z: M)


def quadratic_view(
    H: FloatArray, g: FloatArray, A: FloatArray | None = None, b: FloatArray | None = None
) -> FunctionView:
    """F = z . H z / 2 + g . z and c = A z - b."""
    if A is None:
        return FunctionView(g.size, lambda z: float(0.5 * z @ H @ z + g @ z), lambda z: H @ z + g)
    M, offset = A, np.zeros(A.shape[0]) if b is None else b
    return FunctionView(
        g.size, lambda z: float(0.5 * z @ H @ z + g @ z), lambda z: H @ z + g, lambda z: M @ z - offset, lambda z: M
    )


def target_at(
    view: FunctionView,
    X: FloatArray,
    lower: FloatArray | float = -np.inf,
    upper: FloatArray | float = np.inf,
    weights: FloatArray | float = 1.0,
    tol: float = 0.0,
) -> Target:
    """A target whose centres the view already knows: they are evaluated without being counted."""
    X = np.atleast_2d(np.asarray(X, dtype=np.float64))
    view.know(X)
    F, C = view.values(X, view.outputs(X))
    C = np.where(np.isfinite(F)[:, None], C, np.nan) if view.p else C
    shape, p = (X.shape[1],), view.p
    scale = np.maximum(1.0, np.nan_to_num(np.abs(C[0]), nan=1.0))
    return Target(
        X, F, C,
        np.broadcast_to(np.asarray(lower, dtype=np.float64), shape).copy(),
        np.broadcast_to(np.asarray(upper, dtype=np.float64), shape).copy(),
        np.broadcast_to(np.asarray(weights, dtype=np.float64), shape).copy(),
        np.full(p, tol), scale, np.zeros(p, dtype=np.bool_),
    )  # fmt: skip


def _key(z: FloatArray) -> bytes:
    return np.ascontiguousarray(z + 0.0).tobytes()
