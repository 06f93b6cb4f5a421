"""Polls and attacks over many points as a share of the network's bare batched throughput, on the CPU or on a GPU if there is one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Any

import numpy as np

import dfoattack as da
from benchmarks.micro.attack_cost import network
from dfoattack.attacks import by_name
from dfoattack.attacks.base import Target
from dfoattack.evaluator import Evaluator

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

WIDTHS = (256, 1024, 1024, 1024, 1024, 1024, 16)  # 4.5 million weights
POINTS = (1, 64, 4096)
STEPS = 4  # of the multi-step attack and of the descents
ATTACKS: dict[str, dict[str, Any]] = {"pgd": {"steps": STEPS}, "lbfgsb": {"iterations": STEPS}}
BUDGET_ROWS = 20000  # points a measurement sends through the network, about


@dataclass(frozen=True)
class Measured:
    """Seconds of one operation, medians: what is measured, and the bare torch calls that it consists of."""

    ours: float
    bare: float

    @property
    def share(self) -> float:
        return self.bare / self.ours


class Setting:
    """The network in single precision where torch finds it fastest, a problem over it, and the clock of that place."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.module = network(WIDTHS).to(device=self.device, dtype=torch.float32)
        weights = torch.linspace(-1.0, 1.0, WIDTHS[-1], dtype=torch.float64, device=self.device)
        self.objective: Callable[[Any], Any] = lambda y: (y * weights.to(y.dtype)).sum(dim=1)
        n = WIDTHS[0]
        self.problem = da.Problem(surrogate=self.module, objective=self.objective, space=da.Box([-1.0] * n, [1.0] * n))

    def seconds(self, call: Callable[[], object]) -> float:
        """Of one call: CPU seconds of this process, on a GPU wall-clock seconds until it is idle."""
        if self.device == "cpu":
            start = process_time()
            call()
            return process_time() - start
        self.torch.cuda.synchronize()
        start = perf_counter()
        call()
        self.torch.cuda.synchronize()
        return perf_counter() - start

    def tensor(self, X: FloatArray) -> Any:
        return self.torch.as_tensor(X, dtype=self.torch.float32, device=self.device)

    def forward(self, X: FloatArray) -> None:
        """Values of a block that has to be brought to the device and back."""
        with self.torch.inference_mode():
            self.objective(self.module(self.tensor(X)).double()).cpu()

    def steps(self, X: FloatArray, count: int) -> None:
        """So many gradient steps on the device, and the values at the end."""
        z = self.tensor(X)
        for _ in range(count):
            z = z.detach().requires_grad_(True)
            f = self.objective(self.module(z).double()).sum()
            (g,) = self.torch.autograd.grad(f, z)
            z = (z - 1e-3 * g.sign()).clamp(-1.0, 1.0)
        self.forward(z.detach().cpu().numpy())


def repeats(points: int) -> int:
    return int(max(2, min(30, BUDGET_ROWS // (points * STEPS))))


def poll(setting: Setting, points: int) -> Measured:
    """An evaluated block of points, as polls, searches and start points are."""
    rng = np.random.default_rng(0)
    evaluator = Evaluator(setting.problem)
    ours, bare = [], []
    for _ in range(repeats(points) + 1):
        X = rng.uniform(-1.0, 1.0, (points, WIDTHS[0]))
        ours.append(setting.seconds(lambda X=X: evaluator.evaluate(X)))  # type: ignore[misc]  # mypy sees no default
        bare.append(setting.seconds(lambda X=X: setting.forward(X)))  # type: ignore[misc]  # as above
    return Measured(median(ours[1:]), median(bare[1:]))


def attack(setting: Setting, name: str, points: int) -> Measured:
    """All steps of an attack from so many centres at once, beside as many passes and products in one loop of torch."""
    rng = np.random.default_rng(0)
    evaluator, operator = Evaluator(setting.problem), by_name(name, ATTACKS[name])
    n, empty = WIDTHS[0], np.empty(0)
    ours, bare = [], []
    for _ in range(repeats(points) + 1):
        X = rng.uniform(-0.9, 0.9, (points, n))
        known = evaluator.evaluate(X)
        sides = (np.full(n, -1.0), np.full(n, 1.0), np.ones(n), empty, empty, np.empty(0, dtype=np.bool_))
        target = Target(X, known.F, known.C, *sides)
        radii = np.array([np.inf if operator.whole_box else 0.1])
        view = evaluator.view()
        seconds = setting.seconds(lambda t=target, r=radii, v=view: operator(t, r, v, rng))  # type: ignore[misc]  # as above
        ours.append(seconds)
        bare.append(setting.seconds(lambda X=X: setting.steps(X, STEPS)))  # type: ignore[misc]  # as above
    return Measured(median(ours[1:]), median(bare[1:]))


def section(say: Callable[[str], None]) -> str:
    """Markdown of this measurement."""
    setting = Setting()
    place = "the CPU" if setting.device == "cpu" else setting.torch.cuda.get_device_name()
    clock = "CPU milliseconds" if setting.device == "cpu" else "Wall-clock milliseconds until the device is idle"
    lines = [
        "## Throughput",
        "",
        f"A tanh network {'-'.join(map(str, WIDTHS))} in float32 on {place}. {clock}, medians, and the share of the bare "
        "torch throughput. Poll: a block of points evaluated, beside the same block through the network and the objective. "
        f"Attacks: {STEPS} gradient steps (`pgd`) or passes (`lbfgsb`) from so many centres in lockstep, beside a bare loop of "
        f"{STEPS} gradients and one forward pass; `lbfgsb` may need less where rows come to rest.",
        "",
        "| | points | bare torch | dfoattack | share |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for points in POINTS:
        rows = {"poll": poll(setting, points)} | {name: attack(setting, name, points) for name in ATTACKS}
        for name, m in rows.items():
            say(f"{name}, {points} points: {1e3 * m.ours:.2f} ms beside {1e3 * m.bare:.2f} ms, {m.share:.0%}")
            lines.append(f"| {name} | {points} | {1e3 * m.bare:.2f} | {1e3 * m.ours:.2f} | {m.share:.0%} |")
    return "\n".join(lines)
