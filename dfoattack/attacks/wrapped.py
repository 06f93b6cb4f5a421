"""A view that passes everything on to another one: what wraps a view says only what it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dfoattack._typing import FloatArray, IntArray

if TYPE_CHECKING:
    from dfoattack.attacks.base import View


class WrappedView:
    """Everything that `view` offers, see `View`.

    Parameters
    ----------
    view : View
    """

    def __init__(self, view: View) -> None:
        self._view = view

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
        return self._view.values(Z, Y)

    def grad(self, Z: FloatArray) -> FloatArray:
        return self._view.grad(Z)

    def vjp_c(self, Z: FloatArray, W: FloatArray) -> FloatArray:
        return self._view.vjp_c(Z, W)

    def grad_mix(self, Z: FloatArray, wf: FloatArray, W: FloatArray) -> FloatArray:
        return self._view.grad_mix(Z, wf, W)

    def constraint_jacobian(self, z: FloatArray, rows: IntArray) -> FloatArray:
        return self._view.constraint_jacobian(z, rows)
