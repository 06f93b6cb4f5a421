"""Distance to the nearest training inputs."""

from __future__ import annotations

import numpy as np
from scipy.spatial import KDTree

from dfoattack._typing import FloatArray
from dfoattack.space import Box
from dfoattack.trust.scaling import Standardised

__all__ = ["NearestNeighbours"]

_OWN = 2000  # training points whose own distances are looked at; more would keep the user waiting


class NearestNeighbours:
    """Mean Euclidean distance to the k nearest training inputs, in standardised variables.

    Parameters
    ----------
    inputs : float64 (N, n)     training inputs
    k : int                     neighbours, 1 <= k; at most N - 1 are used
    space : Box, optional       see `Standardised`

    Attributes
    ----------
    own : float64 (M,)          sorted leave-one-out distances of the training inputs themselves: of all of them, or of 2000 evenly spaced ones
    k : int                     neighbours used

    Notes
    -----
    The gradient is exact except where the set of neighbours changes (kinks), and zero at a training input's own share.

    Examples
    --------
    >>> nearest = NearestNeighbours(np.array([[0.0], [1.0], [2.0], [3.0]]), k=1)
    >>> unit = np.std([0.0, 1.0, 2.0, 3.0])
    >>> bool(np.isclose(nearest.distance(np.array([[5.0]]))[0] * unit, 2.0)), bool(np.allclose(nearest.own * unit, 1.0))
    (True, True)
    """

    name = "knn"

    def __init__(self, inputs: FloatArray, k: int = 5, space: Box | None = None) -> None:
        self.scaling = Standardised(inputs, space)
        self._Z = self.scaling.to(inputs)
        self.k = max(1, min(int(k), inputs.shape[0] - 1))
        self._tree = KDTree(self._Z, boxsize=self.scaling.boxsize)
        self.own = self._leave_one_out()

    def distance(self, X: FloatArray) -> FloatArray:
        """Distances (k,) of designs X (k, n)."""
        found, _ = self._tree.query(self.scaling.to(X), k=[*range(1, self.k + 1)])
        mean: FloatArray = np.asarray(found, dtype=np.float64).mean(axis=1)
        return mean

    def gradient(self, X: FloatArray) -> FloatArray:
        """Gradients of the distance (k, n)."""
        Z = self.scaling.to(X)
        found, index = self._tree.query(Z, k=[*range(1, self.k + 1)])
        lengths = np.asarray(found, dtype=np.float64)
        D = self.scaling.between(Z[:, None, :], self._Z[index])
        away = np.where(lengths > 0.0, lengths, 1.0)
        return self.scaling.back((D / away[:, :, None]).mean(axis=1))

    def _leave_one_out(self) -> FloatArray:
        N = self._Z.shape[0]
        if N < 2:
            return np.empty(0)
        rows = np.arange(N) if N <= _OWN else np.linspace(0, N - 1, _OWN).astype(np.int64)
        found, _ = self._tree.query(self._Z[rows], k=[*range(1, self.k + 2)])
        # The nearest one is the point itself, or a twin of it at the same distance zero.
        return np.sort(np.asarray(found, dtype=np.float64)[:, 1:].mean(axis=1))
