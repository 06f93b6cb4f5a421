"""Pictures of a result: the reactor's trajectory with its limits, the network's against the true kinetics."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .kinetics import (
    ENERGY_MAX,
    MEAN_POWER_MAX,
    NODES,
    POWER_MAX,
    SPECIES,
    T0,
    TEMPERATURE_MAX,
    TEMPERATURE_MIN,
    TG0,
    TIME_MAX,
    WATTS,
    FloatArray,
    simulate,
    simulate_schedule,
)
from .model import Reactor, Schedule

__all__ = ["draw_reactor", "draw_schedule"]


def draw_reactor(result: Any, figure: Any, *, net: Reactor) -> None:
    """Draw temperature and concentrations over the batch: lines are the network, dots the true kinetics.

    Parameters
    ----------
    result : any object with `x` (2,)       for instance a `dfoattack.Result`; `fun` is written in the title if present
    figure : matplotlib.figure.Figure       drawn into, not shown; two axes are added
    net : Reactor                           the network of the problem that was solved
    """
    x = np.asarray(result.x, dtype=np.float64)
    time, power = TIME_MAX * x[0], POWER_MAX * x[1]
    clock = np.arange(1, NODES + 1) * (time / NODES)
    with torch.inference_mode():
        predicted = net(torch.tensor(x[None])).reshape(NODES, 6).numpy()
    true = simulate(power, clock)
    f = float(np.mean(true[:, 4] / true[:, :3].sum(1)))
    heat, mixture = figure.subplots(2, 1, sharex=True, height_ratios=(2, 3))
    _temperature(heat, (clock, predicted[:, 5], "network"), (clock[3::8], true[3::8, 5], "true kinetics"))
    heat.axhline(TEMPERATURE_MIN, color="C3", linestyle="--", linewidth=1.0)
    for j, name in enumerate(SPECIES):
        mixture.plot(clock, predicted[:, j], color=f"C{j}", label=name)
        mixture.plot(clock[3::8], true[3::8, j], ".", color=f"C{j}")
    mixture.axhline(0.0, color="C3", linestyle="--", linewidth=1.0)
    mixture.set_xlabel("time [min]")
    mixture.set_ylabel("concentration [mol/L]")
    mixture.legend(loc="center left", frameon=False, fontsize="small", ncols=2)
    heat.set_title(
        f"{time:.2f} min at {power:.3f} W, {time * power:.1f} of {ENERGY_MAX:g} W min\n" + _values(result, f)
    )


def draw_schedule(result: Any, figure: Any, *, net: Schedule) -> None:
    """Draw temperature, conversions and powers over the hour: lines are the true kinetics, dots the network.

    Parameters
    ----------
    result : any object with `x` (K,)       for instance a `dfoattack.Result`; `fun` is written in the title if present
    figure : matplotlib.figure.Figure       drawn into, not shown; three axes are added
    net : Schedule                          the network of the problem that was solved
    """
    x = np.asarray(result.x, dtype=np.float64)
    power, segments = WATTS * x, len(x)
    ends = np.arange(1, segments + 1) * (net.duration / segments)
    fine = max(1, 120 // segments)
    clock = np.arange(segments * fine + 1) * (net.duration / (segments * fine))
    with torch.inference_mode():
        predicted = net(torch.tensor(x[None])).reshape(segments, 4).numpy()
    true = simulate_schedule(power, net.duration, fine)
    conversions = true[fine - 1 :: fine, :3] / TG0
    f = float(np.mean(conversions.sum(1) / (1.0 - conversions[:, 2])))
    true = np.vstack([[0.0, 0.0, 0.0, T0], true])
    heat, mixture, supply = figure.subplots(3, 1, sharex=True, height_ratios=(2, 2, 1))
    _temperature(heat, (clock, true[:, 3], "true kinetics"), (ends, predicted[:, 3], "network"))
    for j, name in enumerate(("TG to DG", "DG to MG", "MG to G")):
        mixture.plot(clock, true[:, j] / TG0, color=f"C{j}", label=name)
        mixture.plot(ends, predicted[:, j], ".", color=f"C{j}")
    mixture.set_ylabel("conversion")
    mixture.legend(loc="upper left", frameon=False, fontsize="small")
    supply.stairs(power, np.r_[0.0, ends], color="C4", fill=True, alpha=0.5)
    supply.set_xlabel("time [min]")
    supply.set_ylabel("power [W]")
    heat.set_title(f"{segments} segments, mean power {power.mean():.3f} of {MEAN_POWER_MAX:g} W\n" + _values(result, f))


def _temperature(axes: Any, line: tuple[FloatArray, FloatArray, str], dots: tuple[FloatArray, FloatArray, str]) -> None:
    """Draw one curve and its counterpart as dots, each as (times, values, label), and the upper limit."""
    axes.plot(*line[:2], color="C5", label=line[2])
    axes.plot(*dots[:2], ".", color="C5", label=dots[2])
    axes.axhline(TEMPERATURE_MAX, color="C3", linestyle="--", linewidth=1.0, label=f"limit {TEMPERATURE_MAX:g} °C")
    axes.set_ylabel("temperature [°C]")
    axes.legend(loc="center right", frameon=False, fontsize="small")


def _values(result: Any, verified: float) -> str:
    value = getattr(result, "fun", None)
    told = "" if value is None else f"f = {float(value):.5f} by the network, "
    return told + f"{verified:.5f} by the true kinetics"
