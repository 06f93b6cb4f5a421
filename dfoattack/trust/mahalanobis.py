"""Mahalanobis distance: from the mean of the training inputs, in units of their covariance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.linalg import eigh
from scipy.special import gammainc

from dfoattack._typing import FloatArray
from dfoattack._validation import float_array
from dfoattack.errors import ProblemError
from dfoattack.space import Box
from dfoattack.trust.scaling import Standardised

__all__ = ["Mahalanobis", "Moments"]

_RIDGE = 1e-8  # added to the correlation matrix: a direction without any spread is then 1e4 times as far as one with


class Mahalanobis:
    """sqrt((x - mean)^T C^-1 (x - mean)) with mean and covariance of the training inputs.

    Parameters
    ----------
    inputs : float64 (N, n)     training inputs, N >= 2
    space : Box, optional       see `Standardised`; periodic variables are unwrapped about their circular mean

    Attributes
    ----------
    own : float64 (N,)          sorted distances of the training inputs, each by mean and covariance of all of them (one point of many
                                changes neither)

    Raises
    ------
    ProblemError                fewer than two training inputs
    """

    name = "mahalanobis"

    def __init__(self, inputs: FloatArray, space: Box | None = None) -> None:
        if inputs.shape[0] < 2:
            raise ProblemError(f"Mahalanobis distances need at least 2 training inputs, got {inputs.shape[0]}.")
        self.scaling = Standardised(inputs, space)
        Z = self.scaling.between(self.scaling.to(inputs), np.zeros(1))
        self._mean = Z.mean(axis=0)
        values, vectors = eigh(np.atleast_2d(np.cov(Z, rowvar=False)) + _RIDGE * np.eye(Z.shape[1]))
        self._precision = (vectors / np.maximum(values, _RIDGE)) @ vectors.T
        self.own = np.sort(self.distance(inputs))

    def distance(self, X: FloatArray) -> FloatArray:
        """Distances (k,) of designs X (k, n)."""
        D = self._offset(X)
        return np.asarray(np.sqrt(np.maximum(np.einsum("ij,jk,ik->i", D, self._precision, D), 0.0)))

    def gradient(self, X: FloatArray) -> FloatArray:
        """Gradients of the distance (k, n); zero at the mean."""
        D = self._offset(X)
        pull = D @ self._precision
        length = np.sqrt(np.maximum((pull * D).sum(axis=1), 0.0))
        return self.scaling.back(pull / np.where(length > 0.0, length, 1.0)[:, None])

    def _offset(self, X: FloatArray) -> FloatArray:
        return self.scaling.between(self.scaling.to(X), self._mean)


class Moments:
    """Mahalanobis distance where the training inputs are not at hand, only their mean and inverse covariance.

    Parameters
    ----------
    mean : array_like (d,)
    precision : array_like (d, d)       inverse covariance, symmetric
    features : callable, optional       X (k, n) -> (k, d): what the mean and the covariance are of; None: x itself
    pullback : callable, optional       X (k, n), G (k, d) -> (k, n), the transposed Jacobian of `features` times G; needed for a gradient
                                        where `features` is given

    Attributes
    ----------
    own : float64 (0,)                  empty: the training data's own distances are unknown
    degrees : int                       d; if the training inputs were normal, distances would follow the chi distribution with d degrees

    Raises
    ------
    ProblemError                        shapes that do not fit
    """

    name = "mahalanobis"

    def __init__(
        self,
        mean: Any,
        precision: Any,
        features: Callable[[FloatArray], FloatArray] | None = None,
        pullback: Callable[[FloatArray, FloatArray], FloatArray] | None = None,
    ) -> None:
        self.mean, self.precision = float_array("mean", mean), float_array("precision", precision)
        d = self.mean.shape[0] if self.mean.ndim == 1 else -1
        if self.precision.shape != (d, d):
            raise ProblemError(
                f"`mean` and `precision` must have shapes (d,) and (d, d), got {self.mean.shape} and {self.precision.shape}."
            )
        self.features, self.pullback = features, pullback
        self.degrees, self.own = d, np.empty(0)

    def distance(self, X: FloatArray) -> FloatArray:
        """Distances (k,) of designs X (k, n)."""
        D = self._offset(X)
        return np.asarray(np.sqrt(np.maximum(((D @ self.precision) * D).sum(axis=1), 0.0)))

    def gradient(self, X: FloatArray) -> FloatArray:
        """Gradients of the distance (k, n); `ProblemError` where `features` came without `pullback`."""
        if self.features is not None and self.pullback is None:
            raise ProblemError("The gradient of a Mahalanobis distance of `features` needs `pullback`.")
        D = self._offset(X)
        pull = D @ self.precision
        length = np.sqrt(np.maximum((pull * D).sum(axis=1), 0.0))
        G = pull / np.where(length > 0.0, length, 1.0)[:, None]
        return G if self.pullback is None else np.asarray(self.pullback(X, G), dtype=np.float64)

    def normal_share(self, distance: float) -> float:
        """Share of normal training inputs that would lie nearer than `distance`, in [0, 1]."""
        return float(gammainc(0.5 * self.degrees, 0.5 * distance**2))  # of the chi distribution

    def _offset(self, X: FloatArray) -> FloatArray:
        Z = X if self.features is None else np.asarray(self.features(X), dtype=np.float64)
        return np.asarray(Z - self.mean)
