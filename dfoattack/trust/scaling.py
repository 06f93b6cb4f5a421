"""How far apart two designs are: every variable in units of its spread in the training data."""

from __future__ import annotations

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.space import Box

__all__ = ["Standardised"]

_FLAT = 1e-3  # unit of a variable that never varied in the data: this share of its range or size


class Standardised:
    """The map from designs x to standardised designs z = (x - mean) / std, in which distances are measured.

    Parameters
    ----------
    inputs : float64 (N, n)     training inputs, N >= 1
    space : Box, optional       whose periodic variables wrap (their mean is the circular one) and whose categorical variables become
                                indicators, two different levels being one unit apart; without it all variables are plain numbers

    Attributes
    ----------
    scale : float64 (n,)        > 0; standard deviation of each variable. One that never varied is measured in thousandths of its range, or of
                                its size where that is infinite: leaving its only value is leaving the data. 1 for categorical variables
    boxsize : float64 (d,)      period in z, 0 where there is none; None without periodic variables
    """

    def __init__(self, inputs: FloatArray, space: Box | None = None) -> None:
        n = inputs.shape[1]
        self.period = np.zeros(n) if space is None else np.asarray(space.period, dtype=np.float64)
        levels = {} if space is None else {int(i): len(category.levels) for i, category in space.categories.items()}
        self._levels = levels
        self._plain = np.array([i for i in range(n) if i not in levels], dtype=np.int64)
        self.mean = self._centre(inputs)
        offset = self._wrapped(inputs - self.mean)
        std = offset.std(axis=0)
        reach = np.full(n, np.inf) if space is None else np.asarray(space.upper - space.lower, dtype=np.float64)
        size = np.where(np.isfinite(reach) & (reach > 0.0), reach, np.maximum(1.0, np.abs(self.mean)))
        self.scale = np.where(std > 1e-12 * np.maximum(size, np.abs(self.mean)), std, _FLAT * size)
        self.scale[list(levels)] = 1.0
        wraps = self.period[self._plain] / self.scale[self._plain]
        width = self._plain.shape[0] + sum(levels.values())
        self.boxsize: FloatArray | None = None
        if np.any(wraps > 0.0):
            self.boxsize = np.concatenate([wraps, np.zeros(width - wraps.shape[0])])

    def to(self, X: FloatArray) -> FloatArray:
        """z (k, d) of designs X (k, n); d = n without categorical variables. Periodic coordinates lie in [0, boxsize)."""
        Z = (X - self.mean) / self.scale
        if self.boxsize is not None:
            period = np.where(self.period > 0.0, self.period / self.scale, 1.0)
            Z = np.where(self.period > 0.0, Z - period * np.floor(Z / period), Z)
            Z = np.where((self.period > 0.0) & (Z >= period), 0.0, Z)  # rounding may end on the period itself
        parts = [Z[:, self._plain]]
        for i, count in self._levels.items():
            parts.append((X[:, i, None] == np.arange(count)) / np.sqrt(2.0))
        return np.hstack(parts)

    def between(self, Z: FloatArray, others: FloatArray) -> FloatArray:
        """Differences Z - others of standardised designs, the short way round where a coordinate is periodic."""
        D: FloatArray = Z - others
        if self.boxsize is not None:
            whole = np.where(self.boxsize > 0.0, self.boxsize, 1.0)
            D = np.where(self.boxsize > 0.0, D - whole * np.rint(D / whole), D)
        return D

    def back(self, G: FloatArray) -> FloatArray:
        """Gradients by x (k, n) from gradients by z (k, d); zero for categorical variables."""
        out = np.zeros((G.shape[0], self.mean.shape[0]))
        out[:, self._plain] = G[:, : self._plain.shape[0]] / self.scale[self._plain]
        return out

    def _wrapped(self, D: FloatArray) -> FloatArray:
        whole = np.where(self.period > 0.0, self.period, 1.0)
        return np.where(self.period > 0.0, D - whole * np.rint(D / whole), D)

    def _centre(self, inputs: FloatArray) -> FloatArray:
        mean: FloatArray = inputs.mean(axis=0)
        around = self.period > 0.0
        if np.any(around):
            angle = 2.0 * np.pi * inputs[:, around] / self.period[around]
            circular = np.arctan2(np.sin(angle).mean(axis=0), np.cos(angle).mean(axis=0))
            mean[around] = circular * self.period[around] / (2.0 * np.pi)
        return mean
