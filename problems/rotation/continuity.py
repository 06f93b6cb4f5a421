"""Numerical continuity test: the largest jump of an encoding along random closed loops."""

from __future__ import annotations

import numpy as np
import torch

from .groups import along, loops
from .representations import Representation

__all__ = ["largest_jump"]

HALVINGS = 14
"""More would run into the tolerance within which Euler angles count as locked."""


def largest_jump(rep: Representation, n: int = 3, count: int = 64, steps: int = 256, seed: int = 0) -> float:
    """Return the largest |g(R(t)) - g(R(t'))| over the closest pairs t, t' that bisection can tell apart.

    Along each of `count` random loops in SO(n) the interval (of `steps`) over which g changes most is halved 14 times,
    always keeping the half with the larger change: for a continuous g the change falls below 1e-4, for a
    discontinuous one it stays what the jump is. A jump that no loop crosses, or that is smaller than what g changes over
    1/steps of a loop, is not seen.

    Parameters
    ----------
    rep : Representation        of SO(n)
    count : int                 loops
    steps : int                 intervals of a loop at the beginning
    """
    loop = loops(count, n, np.random.default_rng(seed))
    # Shifted, so that no grid point is one of the special rotations that half of the loops pass through at t = 0.
    grid = (torch.linspace(0.0, 1.0, steps + 1, dtype=torch.float64) - 0.37 / steps).expand(count, -1)
    change = torch.linalg.vector_norm(rep.encode(along(loop, grid)).diff(dim=1), dim=-1)
    worst = change.argmax(1, keepdim=True)
    ends = torch.cat([grid.gather(1, worst), grid.gather(1, worst + 1)], 1)
    for _ in range(HALVINGS):
        three = torch.stack([ends[:, 0], ends.mean(1), ends[:, 1]], 1)
        change = torch.linalg.vector_norm(rep.encode(along(loop, three)).diff(dim=1), dim=-1)
        second = change[:, 1:] > change[:, :1]
        ends = torch.where(second, three[:, 1:], three[:, :2])
    return float(torch.linalg.vector_norm(rep.encode(along(loop, ends)).diff(dim=1), dim=-1).max())
