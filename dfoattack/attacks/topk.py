"""Sign steps on the best coordinates alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from dfoattack._typing import BoolArray, FloatArray
from dfoattack._validation import shown
from dfoattack.attacks._ladder import Ladder
from dfoattack.attacks._settings import whole
from dfoattack.attacks.projection import cube, steepest_linf, two_goal_linf
from dfoattack.errors import OptionError


class TopK(Ladder):
    """The sign step on the k coordinates with the largest predicted gain, for every k and radius.

    Cost, constraints and the parameter ``active`` as in `Ladder`; a row a k.

    Parameters
    ----------
    counts : sequence of int, optional      numbers of coordinates, each >= 1; None: 1, 4, 16 and ceil(sqrt(n)). Those >= n are left out
    active : float, optional                >= 0, in units of h's scale
    """

    name: ClassVar[str] = "topk"

    def __init__(self, counts: Sequence[int] | None = None, active: float = 1e-3) -> None:
        super().__init__(active)
        if counts is not None and (not isinstance(counts, (list, tuple)) or not counts):
            raise OptionError(f"`counts` must be a list or tuple of integers >= 1, got {shown(counts)}.")
        self.counts = None if counts is None else tuple(whole("counts", k, 1) for k in counts)

    def _steepest(
        self, g: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray
    ) -> Iterator[FloatArray]:
        lo, hi = cube(radius, weights, a, b)
        d = steepest_linf(g, lo, hi)
        for best in self._best(_shares(g, d)):
            yield np.where(best, d, 0.0)

    def _common(
        self, g_f: FloatArray, g_h: FloatArray, radius: float, weights: FloatArray, a: FloatArray, b: FloatArray
    ) -> Iterator[FloatArray]:
        lo, hi = cube(radius, weights, a, b)
        d = two_goal_linf(g_f, g_h, lo, hi)
        # The coordinates that do most for the goal that gains less from them.
        for best in self._best(np.minimum(_shares(g_f, d), _shares(g_h, d))):
            yield two_goal_linf(np.where(best, g_f, 0.0), np.where(best, g_h, 0.0), lo, hi)

    def _best(self, gains: FloatArray) -> Iterator[BoolArray]:
        """Masks of the k best coordinates, k descending: large steps first."""
        n = gains.size
        counts = self.counts or (1, 4, 16, int(np.ceil(np.sqrt(n))))
        order = np.argsort(-gains, kind="stable")
        for k in sorted({min(k, n) for k in counts if k < n or n == 1}, reverse=True):
            mask = np.zeros(n, dtype=np.bool_)
            mask[order[:k]] = True
            yield mask


@np.errstate(all="ignore")
def _shares(g: FloatArray, d: FloatArray) -> FloatArray:
    """Share of every coordinate in the decrease -g . d, (n,); zeros where there is none."""
    largest = float(np.max(np.abs(g), initial=0.0))
    gains = -(g / largest) * d if 0.0 < largest < np.inf else np.zeros_like(d)
    total = float(np.sum(np.abs(gains)))
    shares: FloatArray = gains / total if total > 0.0 else np.zeros_like(d)
    return shares
