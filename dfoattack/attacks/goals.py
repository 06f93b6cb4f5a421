"""Gradients of the two goals of an attack, F and h, at a block of points, with as few vector-Jacobian products as possible."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack.attacks.base import Target, View


@dataclass(frozen=True, eq=False)
class Goals:
    """Gradients of F and of h at k points.

    Attributes
    ----------
    g_f : (k, n)            gradient of F; zero row where F has no finite gradient
    g_h : (k, n)            positive multiple of grad h, of constraints tightened where the point is feasible but near one; else zero
    guarded : (k,) bool     g_h counts: both goals have to decrease
    infeasible : (k,) bool  h > 0; if both goals cannot decrease together, h alone is worth a trial
    """

    g_f: FloatArray
    g_h: FloatArray
    guarded: BoolArray
    infeasible: BoolArray


@dataclass(frozen=True, eq=False)
class Plan:
    """Which gradients a block of points needs, before any is paid for.

    Attributes
    ----------
    Z : (u, n)              the distinct points
    V : (u, p)              weights of the constraint gradients
    of_f, of_h : (u,) bool  points whose gradient of F, of the violation, is wanted
    infeasible : (u,) bool
    index : (k,) int        row of each point of the block in ``Z``
    """

    Z: FloatArray
    V: FloatArray
    of_f: BoolArray
    of_h: BoolArray
    infeasible: BoolArray
    index: IntArray

    @property
    def vjps(self) -> int:
        """What `fetch` will cost."""
        return int(np.sum(self.of_f) + np.sum(self.of_h))

    def fetch(self, view: View) -> Goals:
        """Compute the gradients: at most one call for F and one for h."""
        g_f = np.zeros_like(self.Z)
        g_h = np.zeros_like(self.Z)
        if np.any(self.of_f):
            g_f[self.of_f] = view.grad(self.Z[self.of_f])
        if np.any(self.of_h):
            g_h[self.of_h] = view.vjp_c(self.Z[self.of_h], self.V[self.of_h])
        g_f[~np.all(np.isfinite(g_f), axis=1)] = 0.0
        g_h[~np.all(np.isfinite(g_h), axis=1)] = 0.0
        i = self.index
        return Goals(g_f[i], g_h[i], self.of_h[i], self.infeasible[i])


@np.errstate(over="ignore", invalid="ignore")
def plan(Z: FloatArray, F: FloatArray, C: FloatArray, target: Target, active: float) -> Plan:
    """Decide what the points Z (k, n) with values F (k,), C (k, p) need.

    One vjp a distinct point for F, one more only for points that are infeasible or closer than ``active`` (in units of the scale of h, 0 switches
    it off) to a constraint: there the gradient of h with constraints tightened by ``active`` keeps the step off the wall. Points with constraint
    values that are not finite need nothing.
    """
    Z, first, index = np.unique(Z, axis=0, return_index=True, return_inverse=True)
    F, C = F[first], C[first]
    over = (C - target.tol) / target.scale
    usable = np.all(np.isfinite(C), axis=1)
    infeasible = usable & np.any(over > 0.0, axis=1)
    shift = np.where(infeasible, 0.0, active)[:, None]
    W = np.where(usable[:, None], 2.0 * np.maximum(over + shift, 0.0) / target.scale, 0.0)
    largest = np.max(W, axis=1, initial=0.0)
    # Only the direction of grad h is used: divided by the largest weight, tiny violations do not underflow.
    V = W / np.where(largest > 0.0, largest, 1.0)[:, None]
    return Plan(Z, V, usable & np.isfinite(F), largest > 0.0, infeasible, np.ravel(index))
