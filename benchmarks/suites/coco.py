"""The door to cocoex (package coco-experiment), imported when a problem is built and not before."""

from __future__ import annotations

from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray


def cocoex() -> ModuleType:
    """The module. Raises ImportError with the cure."""
    try:
        import cocoex as module
    except ImportError as error:
        raise ImportError("The COCO suites need cocoex. Install `dfoattack[bench]`, or `coco-experiment`.") from error
    found: ModuleType = module
    return found


class BareFunction:
    """A function of the suite bbob without COCO's counters: (k, n) -> (k,).

    Held by number, so that it can be pickled; the C object is made anew in the other process.
    """

    def __init__(self, function: int, n: int, instance: int) -> None:
        self.key = (int(function), int(n), int(instance))
        self._bare: Any = cocoex().BareProblem("bbob", *self.key)

    def __call__(self, X: FloatArray) -> FloatArray:
        bare = self._bare
        return np.array([bare(x) for x in np.ascontiguousarray(X)])

    def __reduce__(self) -> tuple[type[BareFunction], tuple[int, int, int]]:
        return BareFunction, self.key

    def best_value(self) -> float:
        """The optimal value, as COCO states it."""
        return float(self._bare.best_value())
