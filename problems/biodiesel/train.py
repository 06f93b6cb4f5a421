"""Train the networks of this folder: ``python -m dfoattack_problems.biodiesel.train --seed 0 --device cpu``.

Without further options the default network (hard head, wide support) and the step network of the schedule are
trained; ``--net all`` trains everything that is shipped. Results go to ``--out`` (default: the current folder); the
shipped files are replaced only if their own folder is named.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from .data import SUPPORTS, labels, transitions
from .kinetics import (
    DURATION,
    E_A,
    HEATING,
    K_REF,
    POWER_MAX,
    T0,
    TG0,
    TIME_CONSTANT,
    TIME_MAX,
    WATTS,
    FloatArray,
    rates,
    runge_kutta,
    simulate,
)
from .model import Reactor, Schedule, save_weights

Net = TypeVar("Net", Reactor, Schedule)
PAIRS = ("hard_wide", "hard_narrow", "soft_wide", "soft_narrow")


def train_reactor(
    pair: str, seed: int = 0, device: str = "cpu", steps: int = 8000, learn_kinetics: bool = False, log: bool = True
) -> Reactor:
    """Fit one reactor network: 10 x squared error of the labels + squared residual of the kinetics at random points.

    Parameters
    ----------
    pair : str                  head and support, for example "hard_wide"
    steps : int                 of Adam, 5e-3 falling to 0 as a cosine; 256 fresh collocation points each
    learn_kinetics : bool       fit the rate constants and activation energies too (the published, inverse setting)
    """
    head, _, where = pair.partition("_")
    support = SUPPORTS[where]
    net, generator = _seeded(lambda: Reactor(head), seed, device)  # type: ignore[arg-type]
    like: dict[str, Any] = {"dtype": torch.float32, "device": device}
    unit = torch.tensor([TIME_MAX, POWER_MAX], **like)
    known_x, known_y = (torch.tensor(a, **like) for a in labels(support))
    known_x = known_x / unit
    # Concentrations count per TG0, temperature per 50 degC, slopes per 20 minutes: the two parts of the loss compare.
    scale = torch.tensor([TG0] * 4 + [3.0 * TG0, 50.0], **like)
    low = torch.tensor([0.0, support.power[0]], **like)
    span = torch.tensor([support.time, support.power[1] - support.power[0]], **like)
    k_ref, e_a = torch.tensor(K_REF, **like), torch.tensor(E_A, **like)
    guess = torch.zeros(2, 6, **like)  # logarithms of the constants over 0.03 and over 50 kJ/mol
    parameters = list(net.parameters()) + ([guess.requires_grad_()] if learn_kinetics else [])
    optimiser = torch.optim.Adam(parameters, lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    start = time.perf_counter()
    for step in range(1, steps + 1):
        if learn_kinetics:
            k_ref, e_a = 0.03 * guess[0].exp(), 50.0 * guess[1].exp()
        draw = torch.rand(256, 2, generator=generator).to(device)
        points = (low + span * draw) / unit
        misfit = (((net.outputs(known_x) - known_y) / scale) ** 2).mean()
        residual = (_residual(net, points, k_ref, e_a) * (20.0 / scale)).square().mean()
        loss = 10.0 * misfit + residual
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if log and (step % 1000 == 0 or step == 1):
            progress = f"data {misfit.item():.3e} residual {residual.item():.3e}"
            print(f"{pair} step {step} {progress} {time.perf_counter() - start:.0f} s", flush=True)
    if learn_kinetics and log:
        rounded = [[round(value, 4) for value in values.tolist()] for values in (k_ref, e_a)]
        print(f"{pair} kref {rounded[0]} Ea {rounded[1]}")
    return _finished(net, Reactor(head))  # type: ignore[arg-type]


def _residual(net: Reactor, points: Tensor, k_ref: Tensor, e_a: Tensor) -> Tensor:
    """Slope of the network minus slope of the kinetics, (q, 6) per minute."""
    y, slope = net.outputs_and_slopes(points)
    r1, r2, r3 = rates(y[:, :5], y[:, 5], k_ref, e_a)
    warming = (HEATING * POWER_MAX * points[:, 1] - (y[:, 5] - T0)) / TIME_CONSTANT
    return slope - torch.stack([-r1, r1 - r2, r2 - r3, r3, r1 + r2 + r3, warming], 1)


def train_schedule(seed: int = 0, device: str = "cpu", steps: int = 12000, log: bool = True) -> Schedule:
    """Fit the step network: Adam 5e-3 falling to 0 as a cosine, batches of 1024 of 72 000 transitions."""
    net, generator = _seeded(Schedule, seed, device)
    state, drive, after = (torch.from_numpy(a) for a in transitions(np.random.default_rng(seed)))
    shift = torch.tensor([0.0, 0.0, 0.0, T0])
    scale = torch.tensor([1.0, 1.0, 1.0, 50.0])
    table = torch.cat([(state - shift) / scale, drive / torch.tensor([WATTS, 6.0]), (after - shift) / scale], 1)
    table = table.float().to(device)
    optimiser = torch.optim.Adam(net.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    start = time.perf_counter()
    for step in range(1, steps + 1):
        rows = table[torch.randint(len(table), (1024,), generator=generator).to(device)]
        error = net.advance(rows[:, :4], rows[:, 4:5], rows[:, 5:6]) - rows[:, 6:]
        # Short steps are repeated more often, so their errors add up more often.
        loss = (error.square() / rows[:, 5:6]).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if log and (step % 2000 == 0 or step == 1):
            print(f"schedule step {step} loss {loss.item():.3e} {time.perf_counter() - start:.0f} s", flush=True)
    return _finished(net, Schedule())


def reactor_quality(net: Reactor, where: str) -> tuple[float, float]:
    """Largest error inside the support, in mol/L over all species and in degC, on 25 powers and 100 instants."""
    support = SUPPORTS[where]
    times = np.linspace(0.0, support.time, 100)
    worst = np.zeros(6)
    for power in np.linspace(*support.power, 25):
        inputs = torch.from_numpy(np.column_stack([times / TIME_MAX, np.full(100, power / POWER_MAX)]))
        worst = np.maximum(worst, np.abs(net.outputs(inputs).numpy() - simulate(power, times)).max(0))
    return float(worst[:5].max()), float(worst[5])


def schedule_quality(net: Schedule, segments: int = 10, count: int = 256, seed: int = 1) -> tuple[float, float]:
    """Largest roll-out error over random schedules, in conversion (fraction of TG0) and in degC."""
    twin = Schedule(segments)
    twin.load_state_dict(net.state_dict())
    rng = np.random.default_rng(seed)
    x = np.clip(rng.uniform(0.0, 1.0, (count, 1)) + np.cumsum(rng.normal(0.0, 0.2, (count, segments)), 1), 0.0, 1.0)
    with torch.inference_mode():
        predicted = twin(torch.from_numpy(x)).reshape(count, segments, 4).numpy()
    error = np.abs(predicted - true_schedule(x))
    return float(error[..., :3].max()), float(error[..., 3].max())


def true_schedule(x: FloatArray, duration: float = DURATION) -> FloatArray:
    """Conversions per TG0 and temperature (k, K, 4) of many schedules x (k, K) at once, by Runge-Kutta."""
    count, segments = x.shape
    state = np.tile([0.0, 0.0, 0.0, T0], (count, 1))
    step = np.full(count, duration / segments)
    ends = []
    for k in range(segments):
        state = runge_kutta(state, WATTS * x[:, k], step)
        ends.append(state)
    return np.stack(ends, 1) / np.array([TG0, TG0, TG0, 1.0])


def _seeded(build: Callable[[], Net], seed: int, device: str) -> tuple[Net, torch.Generator]:
    """Build a module with its own seed, leaving the global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build().float().to(device)  # half the time of float64; the shipped numbers are converted back
    return net, torch.Generator().manual_seed(seed + 1)


def _finished(net: Net, fresh: Net) -> Net:
    """Move trained parameters into a float64 module whose constants have not been rounded to float32 on their way."""
    fresh.load_state_dict({name: value.double().cpu() for name, value in net.state_dict().items()})
    return fresh.eval().requires_grad_(False)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Train the networks of the bio-diesel problems.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--net", default="default", choices=["default", "all", *PAIRS, "schedule"])
    parser.add_argument("--steps", type=int, default=None, help="fewer steps for a trial run")
    parser.add_argument("--learn-kinetics", action="store_true", help="fit the rate constants too")
    parser.add_argument("--out", type=Path, default=Path("."))
    options = parser.parse_args(arguments)
    chosen = {"default": ("hard_wide", "schedule"), "all": (*PAIRS, "schedule")}.get(options.net, (options.net,))
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # the matrices are small, and the result does not depend on the number of cores
    for name in chosen:
        begin = time.perf_counter()
        if name == "schedule":
            step_net = train_schedule(options.seed, options.device, options.steps or 12000)
            conversion, degrees = schedule_quality(step_net)
            print(f"schedule: largest roll-out error {conversion:.4f} in conversion, {degrees:.3f} degC")
            save_weights(step_net, options.out / f"{name}.npz")
        else:
            net = train_reactor(name, options.seed, options.device, options.steps or 8000, options.learn_kinetics)
            species, degrees = reactor_quality(net, name.partition("_")[2])
            print(f"{name}: largest error in the support {species:.4f} mol/L, {degrees:.3f} degC")
            save_weights(net, options.out / f"{name}.npz")
        print(f"{name}: {time.perf_counter() - begin:.0f} s, written to {options.out / f'{name}.npz'}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
