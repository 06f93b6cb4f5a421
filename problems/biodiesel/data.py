"""Training data: labels on a grid of powers, collocation supports, random transitions of schedules; no downloads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from .kinetics import DURATION, POWER_MAX, T0, TG0, TIME_MAX, WATTS, FloatArray, runge_kutta, simulate

Support = Literal["wide", "narrow"]
LABEL_TIMES = 13  # labels per power


@dataclass(frozen=True)
class SupportBox:
    """Where a network has seen data; outside it the network extrapolates."""

    time: float  # min, the data reach from 0 to this time
    power: tuple[float, float]  # W, collocation points are drawn between these
    label_powers: tuple[float, ...]  # W, powers with labels


SUPPORTS: dict[str, SupportBox] = {
    "wide": SupportBox(120.0, (0.0, 8.0), tuple(float(q) for q in range(9))),
    "narrow": SupportBox(60.0, (4.0, 6.0), (4.0, 5.0, 6.0)),
}


def labels(support: SupportBox) -> tuple[FloatArray, FloatArray]:
    """Inputs (q, 2) as (t in min, Q in W) and true outputs (q, 6), 13 times for each power of the support."""
    times = np.linspace(0.0, support.time, LABEL_TIMES)
    inputs = [np.column_stack([times, np.full_like(times, q)]) for q in support.label_powers]
    return np.concatenate(inputs), np.concatenate([simulate(q, times) for q in support.label_powers])


def inputs(support: SupportBox, collocation: int = 512, seed: int = 0) -> FloatArray:
    """Return training inputs as x = (t / 120, Q / 20): those of the labels, and a sample of the collocation points.

    Fresh collocation points, uniform in the support, were drawn at every step of the training; `collocation` of them
    stand for all.
    """
    rng = np.random.default_rng(seed)
    low, high = support.power
    drawn = np.column_stack([rng.uniform(0.0, support.time, collocation), rng.uniform(low, high, collocation)])
    times = np.linspace(0.0, support.time, LABEL_TIMES)
    labelled = [np.column_stack([times, np.full_like(times, q)]) for q in support.label_powers]
    return np.concatenate([*labelled, drawn]) / np.array([TIME_MAX, POWER_MAX])


def transitions(
    rng: np.random.Generator, schedules: int = 1200, segments: int = 60
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Random one-segment transitions met on random schedules.

    Every schedule draws its own segment length (0.5 to 6 min) and a random walk of powers in [0, 10] W. It starts from
    the cold, unreacted mixture, and again when an hour is over, so the states are those a schedule can reach. 1200
    schedules of 60 segments make 72 000 rows.

    Returns
    -------
    state : float64 (q, 4)          xi / TG0 and T in degC before the segment
    drive : float64 (q, 2)          power in W and segment length in min
    after : float64 (q, 4)          like ``state``, after the segment
    """
    step = rng.uniform(0.5, 6.0, schedules)
    state = np.tile([0.0, 0.0, 0.0, T0], (schedules, 1))
    power = rng.uniform(0.0, WATTS, schedules)
    clock = np.zeros(schedules)
    before, drive, after = [], [], []
    for _ in range(segments):
        # After an hour a reactor starts again: long segments would otherwise fill the data with finished batches.
        done = clock + step > DURATION + 1e-9
        state[done] = [0.0, 0.0, 0.0, T0]
        clock[done] = 0.0
        power[done] = rng.uniform(0.0, WATTS, int(done.sum()))
        following = runge_kutta(state, power, step)
        before.append(state.copy())
        drive.append(np.column_stack([power, step]))
        after.append(following)
        state, clock = following.copy(), clock + step
        power = np.clip(power + rng.normal(0.0, 2.5, schedules), 0.0, WATTS)
    scale = np.array([TG0, TG0, TG0, 1.0])
    return np.concatenate(before) / scale, np.concatenate(drive), np.concatenate(after) / scale
