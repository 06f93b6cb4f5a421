"""The polish that suits the number of variables."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks._settings import whole
from dfoattack.attacks.al import AL
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View
from dfoattack.attacks.lbfgsb import LBFGSB
from dfoattack.attacks.sqp import SQP


class Polish(AttackOperator):
    """`SQP` up to `dense` variables; beyond, where its dense matrices cost more than a network, limited-memory methods.

    Those are `AL` where there are constraints and `LBFGSB` in a plain box. Their work an iteration is linear in n.

    Parameters
    ----------
    dense : int     >= 0, most variables for dense matrices
    """

    name: ClassVar[str] = "polish"
    inner_points: ClassVar[bool] = True
    whole_box: ClassVar[bool] = True

    def __init__(self, dense: int = 200) -> None:
        self.dense = whole("dense", dense, 0)
        self._small, self._box, self._rows = SQP(), LBFGSB(), AL()

    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        if target.X.shape[1] <= self.dense:
            return self._small._propose(target, radii, view, rng)
        return (self._rows if target.tol.size else self._box)._propose(target, radii, view, rng)
