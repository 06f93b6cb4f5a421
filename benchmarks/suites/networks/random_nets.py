"""Output of a random network over a box, or inside random half-spaces of it."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks.suites.geometry import generator
from benchmarks.suites.networks.layers import random_network
from dfoattack import Box, Constraint, Problem

# n -> widths of the hidden layers
HIDDEN = {10: (50, 50, 50), 100: (100, 100, 100), 1000: (200, 200)}
FACES = 20
# Distance of a half-space's edge from 0, in standard deviations of a . x for x uniform in the box: a point of the box is
# inside all FACES half-spaces with probability .001, and 0 is always inside.
DISTANCE = 0.55


def build(title: str, activation: str, polytope: bool, n: int, instance: int) -> Problem:
    """Minimise the one output over [-1, 1]^n; with `polytope` subject to A x <= b, rows of A of length 1."""
    rng = generator("random-net", activation, polytope, n, instance)
    net = random_network((n, *HIDDEN[n], 1), activation, rng)
    constraints = []
    if polytope:
        A = rng.standard_normal((FACES, n))
        A /= np.linalg.norm(A, axis=1, keepdims=True)
        matrix, edge = torch.from_numpy(A.T.copy()), DISTANCE / np.sqrt(3.0)

        def faces(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x.matmul(matrix).sub(edge)

        constraints = [Constraint(faces, name="face")]
    return Problem(
        name=title,
        sense="minimize",
        surrogate=net,
        objective=_first,
        constraints=constraints,
        space=Box(np.full(n, -1.0), np.full(n, 1.0)),
        backend="torch",
    )


def _first(y: torch.Tensor) -> torch.Tensor:
    return y[:, 0]
