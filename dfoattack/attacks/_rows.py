"""What a polish knows of the constraint Jacobian: exact rows where they were paid for, secant rows elsewhere."""

from __future__ import annotations

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray

_AFFINE = 1e-9  # a row whose linear prediction was right to this relative error is still exact at the new point


class Rows:
    """Jacobian rows of p scaled constraints at the present point.

    A row becomes known when it is paid for. After a move it is kept, corrected by the secant formula of Broyden 1965 with the values that the move
    revealed at no cost; it is then no longer exact, unless the prediction was right, as it is for affine constraints.

    Attributes
    ----------
    J : (p, n)              rows, zero where unknown
    known, exact : (p,) bool
    """

    def __init__(self, p: int, n: int) -> None:
        self.J: FloatArray = np.zeros((p, n))
        self.all = True
        self.paid = np.zeros(p, dtype=np.bool_)
        self.known: BoolArray = np.zeros(p, dtype=np.bool_)
        self.exact: BoolArray = np.zeros(p, dtype=np.bool_)

    def learn(self, rows: IntArray, values: FloatArray) -> None:
        """Store exact rows (q, n) of the present point."""
        self.J[rows] = values
        self.known[rows] = True
        self.paid[rows] = True
        self.exact[rows] = True

    def move(self, step: FloatArray, change: FloatArray) -> None:
        """Follow a step (n,) over which the constraints changed by ``change`` (p,)."""
        length = float(step @ step)
        if length == 0.0:
            return
        predicted = self.J @ step
        error = change - predicted
        # The value of a constraint is only known to its own rounding: an error of that size does not make a row curved.
        right = np.abs(error) <= _AFFINE * np.abs(predicted) + 1e-15
        self.exact &= right
        curved = ~right
        self.J[curved] += np.outer(error[curved], step) / length
        if self.all: self.known |= curved

    def secant(self, step, change):
        length = float(step @ step)
        if length == 0.0:
            return
        error = change - self.J @ step
        c = ~self.exact
        self.J[c] += np.outer(error[c], step) / length
        if self.all: self.known |= c
