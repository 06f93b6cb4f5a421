"""How far a design is from what NeuralFoil was trained on: its training inputs are not shipped, but their mean and covariance are."""

from __future__ import annotations

import torch

from dfoattack.trust.mahalanobis import Moments

from .definition import FloatArray
from .model import AirfoilNet

__all__ = ["support_of"]


def support_of(net: AirfoilNet) -> Moments:
    """Mahalanobis distance of the 25 network inputs of a design from those of the training.

    The same distance as lowers the network's own confidence. Percentiles are those of normal inputs.
    """
    mean, precision = net.get_buffer("mean").numpy(), net.get_buffer("inverse_covariance").numpy()
    inputs = _Inputs(net)
    return Moments(mean, precision, features=inputs.of, pullback=inputs.back)


class _Inputs:
    """The scaled inputs of the network as functions of the design, NumPy in and out."""

    def __init__(self, net: AirfoilNet) -> None:
        self.net = net

    def of(self, X: FloatArray) -> FloatArray:
        """(k, 18) -> (k, 25)."""
        with torch.no_grad():
            features: FloatArray = self.net.scaled_inputs(torch.tensor(X, dtype=torch.float64)).numpy()
        return features

    def back(self, X: FloatArray, G: FloatArray) -> FloatArray:
        """Transposed Jacobian of `of` at X (k, 18) times G (k, 25)."""
        with torch.enable_grad():
            leaf = torch.tensor(X, dtype=torch.float64, requires_grad=True)
            (gradient,) = torch.autograd.grad(self.net.scaled_inputs(leaf), leaf, torch.tensor(G, dtype=torch.float64))
        back: FloatArray = gradient.numpy()
        return back
