"""Moves to both sides along random vectors of an orthonormal basis, without any gradient: SimBA of Guo et al. (2019)."""

from __future__ import annotations

from typing import ClassVar, Literal

import numpy as np
from scipy.fft import idct

from dfoattack._typing import FloatArray
from dfoattack.attacks._settings import real, whole
from dfoattack.attacks.base import AttackOperator, Displacements, Target, View
from dfoattack.errors import OptionError

_BASES = ("coordinates", "random", "dct")


class SimBA(AttackOperator):
    """+r q and -r q along vectors q of an orthonormal basis, drawn without repetition; for black boxes, where it competes with the poll.

    Published as a loop that keeps every improvement; here the solver is that loop, and evaluates row by row until one improves. The first
    radius alone is used. Rows are scaled to reach the radius in some variable.

    Parameters
    ----------
    basis : {"coordinates", "random", "dct"}    "random": columns of a random orthogonal matrix; "dct": cosines, the lowest frequencies, for
                                                variables in an order that means something (pixels, time steps)
    tries : int                                 >= 1, vectors a call
    frequencies : float                         in (0, 1], share of the cosines used
    """

    name: ClassVar[str] = "simba"
    needs_gradient: ClassVar[bool] = False

    def __init__(
        self, basis: Literal["coordinates", "random", "dct"] = "coordinates", tries: int = 2, frequencies: float = 0.25
    ) -> None:
        if basis not in _BASES:
            raise OptionError(f"`basis` must be one of {_BASES}, got {basis!r}.")
        self.basis: Literal["coordinates", "random", "dct"] = basis
        self.tries = whole("tries", tries, 1)
        self.frequencies = real("frequencies", frequencies, "be in (0, 1]", lambda value: 0.0 < value <= 1.0)

    def _propose(self, target: Target, radii: FloatArray, view: View, rng: np.random.Generator) -> Displacements:
        n, radius = target.X.shape[1], float(radii[0])
        moving = np.flatnonzero(target.upper > target.lower)
        rows: list[tuple[FloatArray, int, float]] = []
        if moving.size:
            for i in range(len(target.X)):
                for q in self._vectors(moving.size, rng):
                    d = np.zeros(n)
                    d[moving] = radius * target.weights[moving] * q / np.max(np.abs(q))
                    rows += [(d, i, radius), (-d, i, radius)]
        return Displacements.from_rows(n, rows)

    def _vectors(self, n: int, rng: np.random.Generator) -> FloatArray:
        """Different basis vectors, (k, n), k = tries or as many as there are."""
        if self.basis == "random":
            return np.asarray(np.linalg.qr(rng.standard_normal((n, min(self.tries, n))))[0].T)
        count = n if self.basis == "coordinates" else max(1, round(self.frequencies * n))
        chosen = rng.choice(count, size=min(self.tries, count), replace=False)
        E = np.zeros((chosen.size, n))
        E[np.arange(chosen.size), chosen] = 1.0
        return E if self.basis == "coordinates" else np.asarray(idct(E, norm="ortho", axis=1))
