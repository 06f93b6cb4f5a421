"""A directional attack beside what it consists of: one gradient, and one forward pass of all its trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np

import dfoattack as da
from dfoattack.attacks.base import Target
from dfoattack.attacks.sign import SignLadder
from dfoattack.evaluator import Evaluator

if TYPE_CHECKING:
    import torch

    from dfoattack._typing import FloatArray

NETWORKS = {
    "64-256-256-208": (64, 256, 256, 208),
    "100-1024x4-1000": (100, 1024, 1024, 1024, 1024, 1000),
    "256-1024x5-512": (256, 1024, 1024, 1024, 1024, 1024, 512),  # five million weights
}
LADDERS = (1, 8, 16)
REPEATS = 30


@dataclass(frozen=True)
class Measured:
    """Milliseconds, medians: the passes alone, and the attack (proposals and their evaluation)."""

    passes: float
    attack: float


def network(widths: tuple[int, ...]) -> torch.nn.Module:
    """A tanh network of float64 with fixed random weights."""
    import torch

    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for a, b in pairwise(widths):
        layers += [torch.nn.Linear(a, b, dtype=torch.float64), torch.nn.Tanh()]
    return torch.nn.Sequential(*layers[:-1]).eval()


def measure(widths: tuple[int, ...], radii: int) -> Measured:
    """One centre, a ladder of `radii` radii; every repetition at a new centre, whose outputs are already known."""
    import torch

    module, n = network(widths), widths[0]
    weights = torch.linspace(-1.0, 1.0, widths[-1], dtype=torch.float64)
    problem = da.Problem(surrogate=module, objective=lambda y: y @ weights, space=da.Box([-1.0] * n, [1.0] * n))
    evaluator = Evaluator(problem)
    rng = np.random.default_rng(0)
    ladder: FloatArray = 0.1 * 0.5 ** np.arange(radii, dtype=np.float64)
    operator = SignLadder()
    passes: list[float] = []
    attack: list[float] = []
    for _ in range(REPEATS + 3):
        x = rng.uniform(-0.8, 0.8, (1, n))
        passes.append(_passes(module, weights, x, radii, rng))
        known = evaluator.evaluate(x)
        target = _target(x, known.F, known.C, n)
        start = process_time()
        moved = operator(target, ladder, evaluator.view(), rng)
        evaluator.evaluate(np.clip(x + moved.D, -1.0, 1.0))
        attack.append(process_time() - start)
    # The first repetitions load code and memory.
    return Measured(1e3 * median(passes[3:]), 1e3 * median(attack[3:]))


def _passes(module: Any, weights: Any, x: FloatArray, radii: int, rng: np.random.Generator) -> float:
    """Seconds of the bare torch calls: one gradient, one batched forward pass."""
    import torch

    points = torch.as_tensor(np.clip(x + 0.1 * rng.standard_normal((radii, x.shape[1])), -1.0, 1.0))
    start = process_time()
    z = torch.as_tensor(x).requires_grad_(True)
    torch.autograd.grad((module(z) @ weights).sum(), z)
    with torch.inference_mode():
        module(points) @ weights
    return process_time() - start


def _target(x: FloatArray, F: FloatArray, C: FloatArray, n: int) -> Target:
    empty = np.empty(0)
    return Target(
        X=x,
        F=F,
        C=C,
        lower=np.full(n, -1.0),
        upper=np.full(n, 1.0),
        weights=np.ones(n),
        tol=empty,
        scale=empty,
        extreme=np.empty(0, dtype=np.bool_),
    )


def section(say: Callable[[str], None]) -> str:
    """Markdown of this measurement."""
    lines = [
        "## Attack",
        "",
        "Sign ladder along the exact gradient of a weighted sum of outputs, tanh networks in float64: CPU "
        "milliseconds of the bare torch calls (one forward and one backward pass of the centre, one forward pass of "
        "all trials) and of the attack with everything around it (projection, bounds, counting, cache, evaluation); "
        f"median of {REPEATS}.",
        "",
        "| network | radii | torch calls alone | attack | ratio |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for name, widths in NETWORKS.items():
        for radii in LADDERS:
            m = measure(widths, radii)
            say(f"attack, {name}, {radii} radii: {m.attack:.2f} ms beside {m.passes:.2f} ms")
            ratio = m.attack / m.passes
            lines.append(f"| {name} | {radii} | {m.passes:.2f} | {m.attack:.2f} | {ratio:.2f} |")
    return "\n".join(lines)
