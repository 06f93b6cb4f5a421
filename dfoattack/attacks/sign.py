"""The sign attack (fast gradient sign method of Goodfellow, Shlens & Szegedy 2015) on a ladder of radii, with the exact gradient of F."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from dfoattack._typing import FloatArray
from dfoattack.attacks._ladder import Ladder
from dfoattack.attacks.projection import cube, steepest_linf, two_goal_linf


class SignLadder(Ladder):
    """d_i = -r weights_i sign(g_i), clipped: the exact minimiser of g . d over ball-and-box, for every radius of the ladder.

    Cost, constraints and the parameter ``active`` as in `Ladder`.
    """

    name: ClassVar[str] = "sign"

    def _steepest(
        self, g: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray
    ) -> Iterator[FloatArray]:
        yield steepest_linf(g, *cube(radius, weights, a, b))

    def _common(
        self, g_f: FloatArray, g_h: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray
    ) -> Iterator[FloatArray]:
        yield two_goal_linf(g_f, g_h, *cube(radius, weights, a, b))
