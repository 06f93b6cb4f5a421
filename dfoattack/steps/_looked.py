"""A view that remembers at which points an attack has looked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack.cache import point_key

if TYPE_CHECKING:
    from dfoattack.attacks.base import View


class Looked:
    """Everything a view offers; `seen` holds the points (n,) whose values were asked, by `point_key`, without those that failed.

    Where attacks aim at a stand-in the truth may like another of these points better than the one the stand-in likes best.
    Their outputs are paid for, so that evaluating them costs nothing more.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self.seen: dict[bytes, FloatArray] = {}

    @property
    def n(self) -> int:
        return self._view.n

    @property
    def p(self) -> int:
        return self._view.p

    @property
    def has_gradient(self) -> bool:
        return self._view.has_gradient

    def affords(self, vjps: int, passes: int) -> bool:
        return self._view.affords(vjps, passes)

    def outputs(self, Z: FloatArray) -> FloatArray:
        return self._view.outputs(Z)

    def values(self, Z: FloatArray, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
        F, C = self._view.values(Z, Y)
        self.seen.update((point_key(z), z.copy()) for z in Z[np.isfinite(F)])
        return F, C

    def grad(self, Z: FloatArray) -> FloatArray:
        return self._view.grad(Z)

    def vjp_c(self, Z: FloatArray, W: FloatArray) -> FloatArray:
        return self._view.vjp_c(Z, W)

    def grad_mix(self, Z: FloatArray, wf: FloatArray, W: FloatArray) -> FloatArray:
        return self._view.grad_mix(Z, wf, W)

    def constraint_jacobian(self, z: FloatArray, rows: IntArray) -> FloatArray:
        return self._view.constraint_jacobian(z, rows)
