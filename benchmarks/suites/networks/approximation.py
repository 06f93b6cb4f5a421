"""Two networks trained on samples of two random quadratics: minimise one, the other equal to its median.

After the function-approximation instances of SurrogateLIB (Turner et al.: two quadratics, a network each, an equality
on the second); samples are drawn on the spot.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from benchmarks.suites.geometry import generator
from benchmarks.suites.networks.layers import random_network, train
from dfoattack import Box, Constraint, Problem

SAMPLES = 1024
STEPS = 250
HIDDEN = (32, 32)
TOLERANCE = 1e-3


class Pair(torch.nn.Module):
    """(k, n) -> (k, 2): both networks."""

    def __init__(self, first: torch.nn.Module, second: torch.nn.Module) -> None:
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Evaluate a block."""
        return torch.cat([self.first(x), self.second(x)], dim=1)


@lru_cache(maxsize=32)
def networks(activation: str, n: int, instance: int) -> tuple[Pair, float, float]:
    """The trained pair, the median of the second quadratic's samples, and the larger mean squared error of the two.

    Both quadratics are scaled to mean 0 and variance 1 over the samples.
    """
    rng = generator("approximation", activation, n, instance)
    X = rng.uniform(-1.0, 1.0, (SAMPLES, n))
    nets, median, error = [], 0.0, 0.0
    for _ in range(2):
        half = rng.standard_normal((n, n))
        values = np.sum((X @ (half + half.T)) * X, axis=1) + X @ rng.standard_normal(n)
        values = (values - values.mean()) / values.std()
        net = random_network((n, *HIDDEN, 1), activation, rng)
        error = max(error, train(net, X, values[:, None], torch.nn.functional.mse_loss, STEPS))
        nets.append(net)
        median = float(np.median(values))
    return Pair(*nets), median, error


def build(title: str, activation: str, n: int, instance: int) -> Problem:
    """Minimise the first output over [-1, 1]^n, the second within 1e-3 of the median."""
    pair, median, _ = networks(activation, n, instance)

    def first(y: torch.Tensor) -> torch.Tensor:
        return y[:, 0]

    def second(y: torch.Tensor) -> torch.Tensor:
        return y[:, 1] - median

    return Problem(
        name=title,
        sense="minimize",
        surrogate=pair,
        objective=first,
        constraints=[Constraint(second, name="median", equality=True, tol=TOLERANCE)],
        space=Box(np.full(n, -1.0), np.full(n, 1.0)),
        backend="torch",
    )
