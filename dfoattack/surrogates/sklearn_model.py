"""Estimators of scikit-learn as surrogates: exact gradients of its neural networks, everything else as a black box.

scikit-learn itself is not imported: a fitted estimator brings what is needed.
"""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.errors import ProblemError

__all__ = ["SklearnSurrogate"]

_SCALERS = ("StandardScaler", "MinMaxScaler", "MaxAbsScaler", "RobustScaler")
_NETWORKS = ("MLPRegressor", "MLPClassifier")


class SklearnSurrogate:
    """A fitted scikit-learn estimator; classifiers give the probabilities of their classes (in the order of `classes_`).

    Parameters
    ----------
    estimator : fitted regressor or classifier
        `MLPRegressor`, `MLPClassifier`, behind scalers in a `Pipeline` and inside a `TransformedTargetRegressor` with a
        scaler too, have exact gradients; trees and all others are black boxes

    Raises
    ------
    ProblemError        the estimator is not fitted, or has no `predict`

    Notes
    -----
    A classifier without `predict_proba` gives `decision_function`. For the labels themselves pass ``estimator.predict``.
    """

    def __init__(self, estimator: Any) -> None:
        if not callable(getattr(estimator, "predict", None)):
            raise ProblemError(f"`estimator` must have a method `predict`, got {estimator!r}.")
        if not hasattr(estimator, "n_features_in_"):
            raise ProblemError(f"`estimator` must be fitted, got {type(estimator).__name__} before `fit`.")
        self.estimator = estimator
        self._call = getattr(estimator, _method(estimator))
        self._layers = _layers(estimator)
        if self._layers is not None:
            self.vjp = self._vjp

    def predict(self, X: FloatArray) -> FloatArray:
        """Return predictions or probabilities, (k, m); (k,) where the estimator has one output."""
        X = np.asarray(X, dtype=np.float64)
        if self._layers is not None:
            return _forward(self._layers, X)[-1]
        if not X.shape[0]:  # estimators refuse empty blocks
            return np.asarray(self._call(np.zeros((1, X.shape[1]))), dtype=np.float64)[:0]
        return np.array(self._call(X), dtype=np.float64)

    def fingerprint(self) -> str:
        """Return a digest of the estimator with all its fitted values."""
        return f"sklearn-{importlib.import_module('joblib').hash(self.estimator)}"

    def __repr__(self) -> str:
        return f"SklearnSurrogate({type(self.estimator).__name__})"

    def _vjp(self, X: FloatArray, V: FloatArray) -> FloatArray:
        """Return rows J(x_i)^T v_i, (k, n), by back-propagation through the layers."""
        layers = self._layers or []
        G = np.asarray(V, dtype=np.float64)
        outputs = _forward(layers, np.asarray(X, dtype=np.float64))
        for layer, H in zip(reversed(layers), reversed(outputs), strict=True):
            G = _back(layer.activation, H, G) @ layer.W.T
        return G


class _Layer(NamedTuple):
    """h -> activation(h W + b)."""

    W: FloatArray  # (in, out)
    b: FloatArray  # (out,)
    activation: str


def _method(estimator: Any) -> str:
    """What to call: probabilities if there are any."""
    for name in ("predict_proba", "decision_function"):
        if hasattr(estimator, "classes_") and hasattr(estimator, name):
            return name
    return "predict"


def _is(estimator: Any, *names: str) -> bool:
    """Whether this is one of scikit-learn's own classes, not one derived from it, which may compute something else."""
    return type(estimator).__name__ in names and type(estimator).__module__.startswith("sklearn.")


def _layers(estimator: Any) -> list[_Layer] | None:
    """The estimator as layers; None where it is none of the known networks."""
    if _is(estimator, "Pipeline"):
        layers = _layers(estimator.steps[-1][1])
        for _, step in reversed(estimator.steps[:-1]):
            if step is None or step == "passthrough":
                continue
            affine = _affine(step, "transform")
            if layers is None or affine is None:
                return None
            scale, shift = affine
            first = layers[0]
            layers = [_Layer(scale[:, None] * first.W, shift @ first.W + first.b, first.activation), *layers[1:]]
        return layers
    if _is(estimator, "TransformedTargetRegressor"):
        layers, affine = _layers(estimator.regressor_), _affine(estimator.transformer_, "inverse_transform")
        if layers is None or affine is None:
            return None
        return [*layers, _Layer(np.diag(affine[0]), affine[1], "identity")]
    return _network(estimator) if _is(estimator, *_NETWORKS) else None


def _network(mlp: Any) -> list[_Layer]:
    activations = [mlp.activation] * (len(mlp.coefs_) - 1) + [mlp.out_activation_]
    layers = [
        _Layer(np.asarray(W, dtype=np.float64), np.asarray(b, dtype=np.float64), activation)
        for W, b, activation in zip(mlp.coefs_, mlp.intercepts_, activations, strict=True)
    ]
    if hasattr(mlp, "classes_") and layers[-1].W.shape[1] == 1:  # two classes, one output: 1 - p and p
        layers.append(_Layer(np.array([[-1.0, 1.0]]), np.array([1.0, 0.0]), "identity"))
    return layers


def _affine(step: Any, method: str) -> tuple[FloatArray, FloatArray] | None:
    """Scale (n,) and shift (n,) of a scaler, None for anything else."""
    if not _is(step, *_SCALERS) or getattr(step, "clip", False):
        return None
    call = getattr(step, method)
    shift = np.asarray(call(np.zeros((1, step.n_features_in_))), dtype=np.float64)[0]
    unit = np.asarray(call(np.ones((1, step.n_features_in_))), dtype=np.float64)[0]
    return unit - shift, shift


def _forward(layers: list[_Layer], X: FloatArray) -> list[FloatArray]:
    """Output of every layer, each (k, width)."""
    outputs, H = [], X
    for layer in layers:
        H = _activated(layer.activation, H @ layer.W + layer.b)
        outputs.append(H)
    return outputs


def _activated(activation: str, Z: FloatArray) -> FloatArray:
    if activation == "tanh":
        return np.tanh(Z)
    if activation == "relu":
        return np.maximum(Z, 0.0)
    if activation == "logistic":
        half: FloatArray = 0.5 * (1.0 + np.tanh(0.5 * Z))  # does not overflow
        return half
    if activation == "exp":
        return np.exp(Z)
    if activation == "softmax":
        E = np.exp(Z - Z.max(axis=1, keepdims=True))
        return np.asarray(E / E.sum(axis=1, keepdims=True))
    if activation == "identity":
        return Z
    raise ProblemError(f"`estimator` has the activation {activation!r}, which is not known here.")


def _back(activation: str, H: FloatArray, G: FloatArray) -> FloatArray:
    """G (k, width) times the derivative of the activation, which its output H (k, width) tells."""
    back = G
    if activation == "softmax":
        back = H * (G - np.sum(G * H, axis=1, keepdims=True))
    elif activation == "tanh":
        back = G * (1.0 - H * H)
    elif activation == "relu":
        back = np.where(H > 0.0, G, 0.0)
    elif activation == "logistic":
        back = G * H * (1.0 - H)
    elif activation == "exp":
        back = G * H
    return back
