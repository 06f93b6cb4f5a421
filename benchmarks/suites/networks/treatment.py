"""The cheapest treatment of a bad sample after which a trained network calls it good: yes or no, nothing in between.

After the water-potability problem of SurrogateLIB; samples are drawn on the spot.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.suites.geometry import generator
from benchmarks.suites.networks.layers import random_network, train
from dfoattack import Box, Constraint, Problem

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

SAMPLES = 1024
STEPS = 200
HIDDEN = (24, 24)
# Share of samples that are good.
GOOD = 0.3


@lru_cache(maxsize=32)
def classifier(n: int, instance: int) -> tuple[torch.nn.Sequential, FloatArray]:
    """(k, n) -> (k, 1), positive for good; and the samples (SAMPLES, n) in [-1, 1]^n."""
    rng = generator("treatment", n, instance)
    X = rng.uniform(-1.0, 1.0, (SAMPLES, n))
    half = rng.standard_normal((n, n))
    score = np.sum((X @ (half + half.T)) * X, axis=1) + 2.0 * X @ rng.standard_normal(n)
    score += 0.3 * score.std() * rng.standard_normal(SAMPLES)
    good = (score > np.quantile(score, 1.0 - GOOD)).astype(np.float64)
    net = random_network((n, *HIDDEN, 1), "relu", rng)
    train(net, X, good[:, None], torch.nn.functional.binary_cross_entropy_with_logits, STEPS)
    return net, X


def build(title: str, n: int, instance: int) -> Problem:
    """Minimise sum_i w_i (x_i - s_i)^2 over [-1, 1]^n s.t. `good`, -1/2 for yes and 1/2 for no; starts at s, which is bad."""
    net, X = classifier(n, instance)
    rng = generator("treated", n, instance)
    with torch.inference_mode():
        bad = np.flatnonzero(net(torch.from_numpy(X))[:, 0].numpy() < 0.0)
    sample = X[rng.choice(bad)]
    centre, price = torch.from_numpy(sample), torch.from_numpy(rng.uniform(0.5, 2.0, n))

    def cost(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (price * (x - centre) ** 2).sum(dim=1)

    def verdict(y: torch.Tensor) -> torch.Tensor:
        return 0.5 - (y[:, 0] > 0.0).to(y.dtype)

    return Problem(
        name=title,
        sense="minimize",
        surrogate=net,
        objective=cost,
        constraints=[Constraint(verdict, name="good")],
        space=Box(np.full(n, -1.0), np.full(n, 1.0)),
        x0=sample,
        backend="torch",
    )
