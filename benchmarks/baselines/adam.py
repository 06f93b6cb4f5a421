"""Adam from many starts with exact gradients: what most people do with a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.baselines._common import PENALTY, UnitBox, violation_slopes
from benchmarks.baselines.restarts import run_restarted
from benchmarks.counting import Counter
from benchmarks.log import Log

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "Adam (beta .9, .999), variables scaled to the unit box and moved back into it, rate 0.05 falling as a cosine over "
    f"100 steps, then a random start; violated constraints enter as {PENALTY:g} max(c, 0); exact gradients, one product a "
    "step for objective and constraints together; needs a gradient"
)
STEPS, RATE, BETA1, BETA2 = 100, 0.05, 0.9, 0.999


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`. Raises ValueError where the problem has no gradient."""
    if not problem.has_gradient:
        raise ValueError(f"`adam` needs gradients, and the problem {problem.name} has none.")
    counter = Counter(problem, budget, gradient_cost)
    box = UnitBox.of(counter)
    width = box.upper - box.lower

    def local(z: FloatArray, k: int) -> None:
        u = box.unit(z)
        first, second = np.zeros_like(u), np.zeros_like(u)
        for t in range(1, STEPS + 1):
            point = box.point(u)
            _, c = counter.value(point)
            g = counter.gradient(point, PENALTY * np.nan_to_num(violation_slopes(counter, c))) * width
            first = BETA1 * first + (1.0 - BETA1) * g
            second = BETA2 * second + (1.0 - BETA2) * g * g
            rate = RATE * 0.5 * (1.0 + np.cos(np.pi * (t - 1) / STEPS))
            step = (first / (1.0 - BETA1**t)) / (np.sqrt(second / (1.0 - BETA2**t)) + 1e-12)
            u = np.clip(u - rate * step, 0.0, 1.0)
        counter.value(box.point(u))

    return run_restarted(counter, seed, local)
