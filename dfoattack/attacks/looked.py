"""A view that remembers at which points an attack has looked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks.wrapped import WrappedView
from dfoattack.cache import point_key

if TYPE_CHECKING:
    from dfoattack.attacks.base import View


class Looked(WrappedView):
    """Everything a view offers, and the points looked at.

    Where attacks aim at a stand-in the truth may like another of these points better than the one the stand-in likes best.
    Their outputs are paid for, so that evaluating them costs nothing more.

    Attributes
    ----------
    seen : dict     points (n,) whose values were asked, by `point_key`, without those that failed
    """

    def __init__(self, view: View) -> None:
        super().__init__(view)
        self.seen: dict[bytes, FloatArray] = {}

    def values(self, Z: FloatArray, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
        F, C = self._view.values(Z, Y)
        self.seen.update((point_key(z), z.copy()) for z in Z[np.isfinite(F)])
        return F, C
