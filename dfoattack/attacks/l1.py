"""The l_1 attack on a ladder of radii: few coordinates, each as far as it may go."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from dfoattack._typing import FloatArray
from dfoattack.attacks._ladder import Ladder
from dfoattack.attacks.projection import steepest_l1, two_goal_l1


class L1Ladder(Ladder):
    """Greedy: the largest abs(weights_i g_i) first, each to its bound or the rest of r: the exact minimiser over the l_1 ball cut by the box.

    Cost, constraints and the parameter ``active`` as in `Ladder`.
    """

    name: ClassVar[str] = "l1"

    def _steepest(
        self, g: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray
    ) -> Iterator[FloatArray]:
        yield steepest_l1(g, radius, weights, a, b)

    def _common(
        self, g_f: FloatArray, g_h: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray
    ) -> Iterator[FloatArray]:
        yield two_goal_l1(g_f, g_h, radius, weights, a, b)
