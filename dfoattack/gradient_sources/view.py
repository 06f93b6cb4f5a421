"""SourceView: a `View` whose gradients are estimates."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack.attacks.base import View
from dfoattack.attacks.looked import Looked
from dfoattack.cache import point_key
from dfoattack.gradient_sources.base import Probing, Room


class SourceView(Looked):
    """What operators see in place of exact gradients; see `View` for its methods. Lives for one attack.

    Parameters
    ----------
    view : View                 values, passes and the budget
    known : mapping             Jacobians (1 + p, n) of (F, c) by `point_key`, known beforehand
    source : Probing or None    what estimates the others; None: they are zero
    room : Room                 of the source
    admits : callable or None   Z (k, n) -> (k,) bool, points at which user code may be asked; None: all in the box
    rng : Generator
    allowance : float           points that operators may look at, estimates included: what `affords` says besides the budget
    recall : callable           `point_key` -> values (1 + p,) of an evaluated point, None where it is not known
    """

    def __init__(
        self,
        view: View,
        known: Mapping[bytes, FloatArray],
        source: Probing | None,
        room: Room,
        admits: Callable[[FloatArray], BoolArray] | None,
        rng: np.random.Generator,
        allowance: float = np.inf,
        recall: Callable[[bytes], FloatArray | None] = lambda key: None,
    ) -> None:
        super().__init__(view)
        self._source, self._room, self._admits, self._rng = source, room, admits, rng
        self._known, self._left = dict(known), allowance
        self._asked: set[bytes] = set()
        self._recall = recall

    @property
    def has_gradient(self) -> bool:
        return self._source is not None or bool(self._known)

    def affords(self, vjps: int, passes: int) -> bool:
        price = 0 if self._source is None else self._source.passes(self.n)
        wanted = passes + price * vjps
        return len(self._asked) + wanted <= self._left and self._view.affords(0, wanted)

    def outputs(self, Z: FloatArray) -> FloatArray:
        self._asked.update(map(point_key, Z))
        return self._view.outputs(Z)

    def grad(self, Z: FloatArray) -> FloatArray:
        return self._jacobians(Z)[:, 0]

    def vjp_c(self, Z: FloatArray, W: FloatArray) -> FloatArray:
        return np.asarray(np.einsum("kp,kpn->kn", W, self._jacobians(Z)[:, 1:]))

    def grad_mix(self, Z: FloatArray, wf: FloatArray, W: FloatArray) -> FloatArray:
        weights = np.concatenate([np.asarray(wf, dtype=np.float64)[:, None], W], axis=1)
        return np.asarray(np.einsum("kp,kpn->kn", weights, self._jacobians(Z)))

    def constraint_jacobian(self, z: FloatArray, rows: IntArray) -> FloatArray:
        index = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        return np.asarray(self._jacobians(np.reshape(z, (1, -1)))[0, 1 + index])

    def _jacobians(self, Z: FloatArray) -> FloatArray:
        """Jacobians (k, 1 + p, n) of (F, c) at Z (k, n); all new points are probed in one block."""
        keys = [point_key(z) for z in Z]
        fresh = {key: i for i, key in reversed(list(enumerate(keys))) if key not in self._known}
        if fresh and self._source is not None:
            order = sorted(fresh.values())
            found = self._estimates(self._source, Z[order])
            self._known.update({keys[i]: J for i, J in zip(order, found, strict=True)})
        nothing = np.zeros((1 + self.p, self.n))
        return np.array([self._known.get(key, nothing) for key in keys]).reshape(len(Z), 1 + self.p, self.n)

    def _estimates(self, source: Probing, Z: FloatArray) -> list[FloatArray]:
        pairs = [source.pairs(z, self._room, self._rng) for z in Z]
        points = np.concatenate([part for pair in pairs for part in pair])
        asked = np.ones(len(points), dtype=bool) if self._admits is None else self._admits(points)
        T = np.full((len(points), 1 + self.p), np.nan)
        if asked.any():
            T[asked] = self._table(points[asked])
        found, start = [], 0
        for A, B in pairs:
            q = len(A)
            dT = T[start : start + q] - T[start + q : start + 2 * q]
            usable = np.isfinite(dT).all(axis=1)
            J = np.zeros((1 + self.p, self.n))
            if usable.any():
                J = source.jacobian((A - B)[usable], dT[usable], self._room)
            found.append(np.where(np.isfinite(J) & self._room.moving, J, 0.0))
            start += 2 * q
        return found

    def _table(self, points: FloatArray) -> FloatArray:
        """(F, c) of distinct points in one block, (k, 1 + p), NaN where something failed."""
        distinct, index = np.unique(points, axis=0, return_inverse=True)
        recalled = [self._recall(point_key(z)) for z in distinct]
        fresh = np.array([row is None for row in recalled])
        table = np.array([np.full(1 + self.p, np.nan) if row is None else row for row in recalled])
        if fresh.any():
            Z = distinct[fresh]
            F, C = self.values(Z, self.outputs(Z))
            table[fresh] = np.where(np.isfinite(F)[:, None], np.column_stack([F, C]), np.nan)
        return np.asarray(table[np.ravel(index)])
