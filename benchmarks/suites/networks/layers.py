"""Small networks: random ones, and ones trained on the spot, the same for the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

ACTIVATIONS: dict[str, type[torch.nn.Module]] = {"tanh": torch.nn.Tanh, "relu": torch.nn.ReLU}
# Variance of a weight times the number of inputs: keeps the size of activations from layer to layer (He; Glorot, with
# the gain of 5/3 usual for tanh).
_GAINS = {"tanh": 25.0 / 9.0, "relu": 2.0}

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def random_network(widths: Sequence[int], activation: str, rng: np.random.Generator) -> torch.nn.Sequential:
    """Network float64 of these widths, input and output included; biases N(0, 0.1), the last layer without gain."""
    layers: list[torch.nn.Module] = []
    for number, (a, b) in enumerate(pairwise(widths)):
        last = number == len(widths) - 2
        layer = torch.nn.Linear(a, b, dtype=torch.float64)
        scale = np.sqrt((1.0 if last else _GAINS[activation]) / a)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(scale * rng.standard_normal((b, a))))
            layer.bias.copy_(torch.from_numpy(0.1 * rng.standard_normal(b)))
        layers += [layer] if last else [layer, ACTIVATIONS[activation]()]
    return torch.nn.Sequential(*layers).requires_grad_(False).eval()


def train(net: torch.nn.Sequential, X: FloatArray, Y: FloatArray, loss: Loss, steps: int, rate: float = 0.02) -> float:
    """Adam on all rows at once, the rate falling as a cosine; freezes the network and returns the last loss."""
    inputs, targets = torch.from_numpy(X), torch.from_numpy(Y)
    net.requires_grad_(True).train()
    adam = torch.optim.Adam(net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    value = torch.tensor(np.nan)
    for _ in range(steps):
        adam.zero_grad()
        value = loss(net(inputs), targets)
        value.backward()  # type: ignore[no-untyped-call]
        adam.step()
        schedule.step()
    net.requires_grad_(False).eval()
    return float(value.detach())
