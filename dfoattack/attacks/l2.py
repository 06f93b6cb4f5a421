"""The l_2 attack on a ladder of radii: steepest descent of F over an Euclidean ball cut by the box."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from dfoattack._typing import FloatArray
from dfoattack.attacks._ladder import Ladder
from dfoattack.attacks.projection import steepest_l2, two_goal_l2


class L2Ladder(Ladder):
    """d_i = clip(-t weights_i^2 g_i) with t such that |W^-1 d|_2 = r: the exact minimiser of g . d over ball-and-box, for every radius.

    Cost, constraints and the parameter ``active`` as in `Ladder`.
    """

    name: ClassVar[str] = "l2"

    def _steepest(
        self, g: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray
    ) -> Iterator[FloatArray]:
        yield steepest_l2(g, radius, weights, a, b)

    def _common(
        self, g_f: FloatArray, g_h: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray
    ) -> Iterator[FloatArray]:
        yield two_goal_l2(g_f, g_h, radius, weights, a, b)
