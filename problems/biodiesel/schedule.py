"""A schedule of powers: n = K equal segments of one hour, free or on whole watts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import torch

from dfoattack.errors import ProblemError
from dfoattack.problem import Constraint, Problem
from dfoattack.space import Box

from .best_known import look_up
from .kinetics import DURATION, MEAN_POWER_MAX, RAMP_MAX, TEMPERATURE_MAX, TG0, WATTS, FloatArray, simulate_schedule
from .model import Schedule, load_weights, weights_path
from .picture import draw_schedule

__all__ = ["make_schedule", "truth"]

SEGMENTS = (10, 20, 30, 50)
START = 0.4


def make_schedule(n: int = 10, *, levels: bool = False, weights: str | None = None) -> Problem:
    """Return the reactor under a power schedule, n = K segments of 60 / K minutes.

    x_k = Q_k / 10 in [0, 1]; Phi rolls a step network out over the hour and returns (xi_1, xi_2, xi_3, T) at the end of
    every segment, m = 4 K, conversions as fractions of TG0; f = mean_k (xi_1 + xi_2 + xi_3) / (1 - xi_3), esters per
    remaining glyceride. Constraints: `mean_power` (mean Q <= 5 W), `temperature_high` (T_k <= 65 degC; T is monotone
    inside a segment, so its ends suffice), `ramp` (neighbouring powers differ by at most 3 W; 2 (K - 1) columns),
    3 K - 1 in all. Start: 4 W everywhere.

    Parameters
    ----------
    n : 10 | 20 | 30 | 50           number of segments; no optimum is declared for 20
    levels : bool                   whole watts only: Q_k in {0, 1, ..., 10}
    weights : str, optional         an ``.npz`` file written by ``train.py``, instead of the shipped one

    Returns
    -------
    Problem
        `verify(x)` is f by the true kinetics. `known` is declared for the shipped weights only.

    Raises
    ------
    ProblemError        another number of segments
    ValueError          arrays in `weights` of other names or shapes
    """
    if n not in SEGMENTS:
        raise ProblemError(f"`n` must be one of {', '.join(map(str, SEGMENTS))}, got {n!r}.")
    net = Schedule(n, DURATION)
    digest = load_weights(net, weights_path("schedule") if weights is None else Path(weights))
    return Problem(
        name="biodiesel-schedule",
        sense="maximize",
        surrogate=net,
        objective=_objective,
        constraints=[
            Constraint(_mean_power, name="mean_power"),
            Constraint(_temperature_high, name="temperature_high"),
            Constraint(_ramp, name="ramp"),
        ],
        space=Box(
            np.zeros(n),
            np.ones(n),
            granularity=1.0 / WATTS if levels else None,
            names=[f"Q{k + 1}" for k in range(n)],
            units=[f"{WATTS:g} W"] * n,
        ),
        x0=np.full(n, START),
        known=look_up(f"schedule_{n}" + ("_levels" if levels else ""), digest),
        verify=_verify,
        picture=partial(draw_schedule, net=net),
        backend="torch",
    )


def truth(x: FloatArray) -> tuple[float, float]:
    """Return f and the largest constraint value (own units) at x (K,) by the true kinetics instead of the network."""
    power = WATTS * np.asarray(x, dtype=np.float64)
    y = simulate_schedule(power, DURATION)
    f = float(np.mean(y[:, :3].sum(1) / (TG0 - y[:, 2])))
    ramp = np.abs(np.diff(power)).max() - RAMP_MAX
    return f, float(max(power.mean() - MEAN_POWER_MAX, y[:, 3].max() - TEMPERATURE_MAX, ramp))


def _verify(x: FloatArray) -> float:
    return truth(x)[0]


def _objective(y: torch.Tensor) -> torch.Tensor:
    """Return f (k,) from outputs (k, 4 K)."""
    states = y.reshape(y.shape[0], -1, 4)
    return (states[..., :3].sum(-1) / (1.0 - states[..., 2])).mean(1)


def _mean_power(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (WATTS * x).mean(1) - MEAN_POWER_MAX


def _temperature_high(y: torch.Tensor) -> torch.Tensor:
    return y[:, 3::4] - TEMPERATURE_MAX


def _ramp(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    step = (WATTS * x).diff(dim=1)  # whole watts stay exact: 10 (k / 10) is k, while 10 (x_2 - x_1) is not
    return torch.cat([step - RAMP_MAX, -step - RAMP_MAX], 1)
