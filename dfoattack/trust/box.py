"""The box of the training inputs."""

from __future__ import annotations

import numpy as np

from dfoattack._typing import BoolArray, FloatArray

__all__ = ["TrainingBox"]


class TrainingBox:
    """Smallest box that holds the training inputs.

    Parameters
    ----------
    inputs : float64 (N, n)         training inputs
    moving : bool (n,), optional    variables that count; others (categorical, periodic) have no ends. None: all

    Attributes
    ----------
    lower, upper : float64 (n,)     least and largest training value of each variable
    unit : float64 (n,)             upper - lower, the size of the value (at least 1) where that is zero
    """

    name = "box"

    def __init__(self, inputs: FloatArray, moving: BoolArray | None = None) -> None:
        self.lower, self.upper = inputs.min(axis=0), inputs.max(axis=0)
        width = self.upper - self.lower
        self.unit = np.where(width > 0.0, width, np.maximum(1.0, np.abs(self.lower)))
        self.moving = np.ones(inputs.shape[1], dtype=bool) if moving is None else moving

    def outside(self, X: FloatArray) -> FloatArray:
        """How far beyond the training range each variable lies, (k, n), user units; 0 inside, < 0 below, > 0 above."""
        beyond = np.maximum(X - self.upper, 0.0) - np.maximum(self.lower - X, 0.0)
        return np.where(self.moving, beyond, 0.0)

    def excess(self, X: FloatArray) -> FloatArray:
        """Columns (lower - x, x - upper) / unit of the variables that count, (k, 2q): inside iff none is positive."""
        X, at = X[:, self.moving], self.moving
        unit = self.unit[at]
        return np.hstack([(self.lower[at] - X) / unit, (X - self.upper[at]) / unit])

    def pulled(self, W: FloatArray) -> FloatArray:
        """Gradient (k, n) of the columns of `excess` weighted by W (k, 2q)."""
        q = int(np.count_nonzero(self.moving))
        out = np.zeros((W.shape[0], self.moving.shape[0]))
        out[:, self.moving] = (W[:, q:] - W[:, :q]) / self.unit[self.moving]
        return out
