"""What a polish knows of the constraint Jacobian: exact rows where they were paid for, secant rows elsewhere."""

from __future__ import annotations

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray

_AFFINE = 1e-9  # a row whose linear prediction was right to this relative error is still exact at the new point
_ALIKE = 0.995  # cosine between the histories of two constraints above which one of them speaks for both
_BLIND = 2  # zero rows after which a constraint counts as one without a gradient


class Rows:
    """Jacobian rows of p scaled constraints at the present point of a polish in n scaled variables.

    A row is bought with a vector-Jacobian product (`learn`). Values seen on the way are free: they correct the rows that
    are not exact by the secant formula of Broyden 1965, rows never bought included, so that a step does not run twice
    into the same constraint. After a move a row is no longer exact, unless its prediction was right, as it is for affine
    constraints.

    Attributes
    ----------
    J : (p, n)              rows
    bought : (p,) bool      was exact at some point
    exact : (p,) bool       is exact at the present point
    zeros : (p,) int        purchases that gave a zero row
    """

    def __init__(self, p: int, n: int) -> None:
        self.J: FloatArray = np.zeros((p, n))
        self.bought: BoolArray = np.zeros(p, dtype=np.bool_)
        self.exact: BoolArray = np.zeros(p, dtype=np.bool_)
        self.zeros: IntArray = np.zeros(p, dtype=np.int64)
        self._log: list[FloatArray] = []  # changes of the constraints a unit of length, one (p,) a look

    @property
    def informed(self) -> bool:
        """Whether any secant was seen: from then on every row holds something."""
        return bool(self._log)

    def learn(self, rows: IntArray, values: FloatArray) -> None:
        """Store exact rows (q, n) of the present point. A zero row says nothing of a wall: its secant stays in place."""
        told = np.any(values != 0.0, axis=1)
        self.J[rows[told]] = values[told]
        self.exact[rows[told]] = True
        self.bought[rows] = True
        self.zeros[rows[~told]] += 1

    @property
    def wanting(self) -> BoolArray:
        """Rows that are not exact and can be made so: gradients that were zero twice belong to a blind constraint."""
        wanted: BoolArray = ~self.exact & (self.zeros < _BLIND)
        return wanted

    @property
    def silent(self) -> BoolArray:
        """Rows of which nothing is known but that the gradient is zero."""
        silent: BoolArray = (self.zeros > 0) & ~np.any(self.J, axis=1)
        return silent

    @np.errstate(over="ignore", invalid="ignore")
    def look(self, step: FloatArray, change: FloatArray) -> None:
        """Use the change (p,) of the constraints over a step (n,) that was tried and not taken."""
        if float(step @ step) > 0.0:
            self._remember(step, change)
            self.J[~self.exact] = self.secant(step, change)[~self.exact]

    @np.errstate(over="ignore", invalid="ignore")
    def move(self, step: FloatArray, change: FloatArray) -> None:
        """Follow a step (n,) over which the constraints changed by ``change`` (p,)."""
        if float(step @ step) == 0.0:
            return
        self._remember(step, change)
        predicted = self.J @ step
        # A value is known only to its own rounding: an error of that size does not make a row curved.
        right = np.abs(change - predicted) <= _AFFINE * np.abs(predicted) + 1e-15
        self.exact &= right
        self.J[~right] = self.secant(step, change)[~right]

    @np.errstate(over="ignore", invalid="ignore")
    def secant(self, step: FloatArray, change: FloatArray) -> FloatArray:
        """All rows corrected so that J step = change, (p, n); nothing is stored."""
        error = change - self.J @ step
        return self.J + np.outer(error, step) / float(step @ step)

    @np.errstate(over="ignore", invalid="ignore")
    def sliding(self, c: FloatArray, length: float) -> BoolArray:
        """Rows near enough to zero that a step of this length moves along them: an inexact normal will not do there."""
        near: BoolArray = np.abs(c) <= np.linalg.norm(self.J, axis=1) * length
        return near

    @np.errstate(over="ignore", invalid="ignore")
    def distinct(self, order: IntArray, most: int) -> IntArray:
        """The first ``most`` rows of the order that did not move alike so far (a constraint on a grid is many columns)."""
        if not self._log:
            return order[:most]
        history = np.array(self._log)
        history = history / np.maximum(np.linalg.norm(history, axis=0), np.finfo(np.float64).tiny)
        chosen: list[int] = []
        for j in order:
            if not chosen or float(np.max(history[:, chosen].T @ history[:, j])) < _ALIKE:
                chosen.append(int(j))
                if len(chosen) == most:
                    break
        return np.array(chosen, dtype=np.int64)

    def _remember(self, step: FloatArray, change: FloatArray) -> None:
        self._log.append(change / np.sqrt(float(step @ step)))
