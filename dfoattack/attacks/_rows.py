"""What a polish knows of the constraints' Jacobian: rows that were paid for, and cheap corrections of the others."""

from __future__ import annotations

import numpy as np

from dfoattack._typing import FloatArray, IntArray

_AFFINE = 1e-9  # relative error of a prediction below which a row is taken as still right
_ALIKE = 0.995  # cosine of the observed changes above which two violated rows are taken as one


class Rows:
    """Jacobian rows in scaled variables, at the present iterate.

    A row is exact where it was computed. Every move corrects the others by the secant formula of Broyden (1965) with the values the
    move has shown, which cost nothing; a row whose prediction was right, as it is for affine constraints, stays exact.

    Attributes
    ----------
    J : (p, n)          rows; zero while nothing is known
    known : (p,) bool   something is known of the row
    paid : (p,) bool    it was computed at some iterate
    exact : (p,) bool   it is right at the present one
    """

    def __init__(self, p: int, n: int) -> None:
        self.J = np.zeros((p, n))
        self.known = np.zeros(p, dtype=np.bool_)
        self.paid = np.zeros(p, dtype=np.bool_)
        self.exact = np.zeros(p, dtype=np.bool_)
        self._changes: list[FloatArray] = []  # observed change of all constraints a unit of step, one entry a look

    def learn(self, rows: IntArray, values: FloatArray) -> None:
        """Rows computed at the present iterate, (q, n)."""
        self.J[rows] = values
        self.known[rows] = self.paid[rows] = self.exact[rows] = True

    def corrected(self, step: FloatArray, change: FloatArray) -> FloatArray:
        """The Jacobian that explains the change (p,) along the step (n,); this object stays as it is."""
        length = float(step @ step)
        if length == 0.0:
            return self.J
        explained: FloatArray = self.J + np.outer(change - self.J @ step, step) / length
        return explained

    def look(self, step: FloatArray, change: FloatArray) -> None:
        """Values at another point, while the iterate stays: correct what is not exact."""
        self._observe(step, change, ~self.exact)

    def move(self, step: FloatArray, change: FloatArray) -> None:
        """The iterate moved: rows that predicted their change stay exact, the others are corrected."""
        error = np.abs(change - self.J @ step)
        right = error <= _AFFINE * np.abs(self.J @ step) + 1e-15
        self.exact &= right
        self._observe(step, change, ~right)

    def _observe(self, step: FloatArray, change: FloatArray, rows: np.typing.NDArray[np.bool_]) -> None:
        length = float(step @ step)
        if length == 0.0:
            return
        self._changes.append(change / np.sqrt(length))
        self.J[rows] += np.outer((change - self.J @ step)[rows], step) / length
        self.known[:] = True

    def distinct(self, order: IntArray, most: int) -> IntArray:
        """The first rows of `order` that have not moved alike so far, at most `most`."""
        if not self._changes:
            return order[:most]
        history = np.array(self._changes)
        history /= np.linalg.norm(history, axis=0) + 1e-300
        chosen: list[int] = []
        for j in order.tolist():
            if all(float(history[:, j] @ history[:, k]) < _ALIKE for k in chosen):
                chosen.append(j)
                if len(chosen) >= most:
                    break
        return np.array(chosen, dtype=np.int64)
