"""Largest errors of the shipped autoencoders that answer in a continuous representation: `python -m dfoattack_problems.rotation.best_known`.

A hundred thousand uniform rotations, then gradient ascent over the 512 worst of them, all at once. Prints the table of
`optima.py`.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

from .groups import haar, off_target
from .networks import Autoencoder, load_weights, weights_path
from .representations import NAMES, REPRESENTATIONS

__all__ = ["largest_error"]

SAMPLES, KEPT, STEPS = 100_000, 512, 400


def largest_error(net: Autoencoder, seed: int = 0) -> float:
    """Return the largest error found, degrees."""
    six = REPRESENTATIONS["6d"]
    x = six.encode(haar(SAMPLES, np.random.default_rng(seed)))

    def errors(x: torch.Tensor) -> torch.Tensor:
        rotation = six.decode(x)
        return off_target(net.rep.decode(net(rotation)), rotation)

    with torch.inference_mode():
        worst = torch.cat([errors(block) for block in x.split(10_000)]).argsort(descending=True)[:KEPT]
    x = x[worst].clone().requires_grad_()
    optimiser = torch.optim.Adam([x], lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    best = 0.0
    for _ in range(STEPS):
        found = errors(x)
        best = max(best, float(found.detach().max()))
        optimiser.zero_grad()
        (-found.sum()).backward()
        optimiser.step()
        schedule.step()
    return best


def main() -> int:
    """Print the table; returns the exit status."""
    for rep in NAMES:
        if REPRESENTATIONS[rep].continuous:
            net = Autoencoder(rep)
            digest = load_weights(net, weights_path("sanity", rep))
            print(f'    ("{rep}", "{digest[:16]}"): {largest_error(net):.6f},', flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
