"""The attack that proposes nothing: the solver without it and with it must walk the same way."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View


class NoAttack(AttackOperator):
    """k = 0, no call, no random number."""

    name: ClassVar[str] = "none"

    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        return Displacements.none(target.X.shape[1])
