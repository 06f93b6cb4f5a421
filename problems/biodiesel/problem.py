"""The bio-diesel problems as `dfoattack.Problem`: constant power (n = 2), and, from `schedule.py`, a schedule."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch

from dfoattack.errors import ProblemError
from dfoattack.problem import Constraint, Problem
from dfoattack.space import Box

from .best_known import look_up
from .data import SUPPORTS, Support, inputs
from .kinetics import (
    ENERGY_MAX,
    NODES,
    POWER_MAX,
    TEMPERATURE_MAX,
    TEMPERATURE_MIN,
    TIME_MAX,
    FloatArray,
    simulate,
)
from .model import Head, Reactor, load_weights, weights_path
from .picture import draw_reactor
from .schedule import make_schedule

__all__ = ["make_problem", "make_schedule", "truth"]

START = (40.0 / TIME_MAX, 6.0 / POWER_MAX)  # 40 minutes at 6 W, as published
SOFT_TOLERANCE = 1e-3  # mol/L; near t = 0 the noise of a soft head would otherwise decide what is feasible


def make_problem(
    head: Head = "hard",
    support: Support = "wide",
    *,
    trust: bool = False,
    conc_tol: float | None = None,
    weights: str | None = None,
) -> Problem:
    """Return the reactor at constant power, n = 2: as much methyl ester per remaining glyceride as possible.

    x = (t / 120, Q / 20) in [0, 1]^2 with batch time t in minutes and power Q in W; Phi(x) holds the six outputs of the
    network at t_i = i t / 100, i = 1..100; f = mean_i ME_i / (TG_i + DG_i + MG_i). The 705 columns of c come in groups:
    `time` and `power` (limits, 2 each), `energy` (Q t <= 500 W min), `species` (500 concentrations >= 0),
    `temperature_low` (T_i >= 20 degC), `temperature_high` (T_i <= 65 degC); and `support` with `trust=True`.

    Parameters
    ----------
    head : "hard" | "soft"          balances and signs built into the network, or six free outputs as published
    support : "wide" | "narrow"     the network saw t <= 120 and Q in [0, 8], or t <= 60 and Q in [4, 6] only
    trust : bool                    constrain x to what the network saw
    conc_tol : float, optional      tolerance of `species` in mol/L; None: 0 for the hard head and 1e-3 for the soft one
    weights : str, optional         an ``.npz`` file written by ``train.py``, instead of the shipped one

    Returns
    -------
    Problem
        `verify(x)` is f by the true kinetics, `support` holds training inputs. `known` is declared for the shipped weights and default tolerance only.

    Raises
    ------
    ProblemError        a parameter outside its range
    ValueError          arrays in `weights` of other names or shapes
    """
    _choose("head", head, get_args(Head))
    _choose("support", support, get_args(Support))
    usual = 0.0 if head == "hard" else SOFT_TOLERANCE
    tolerance = usual if conc_tol is None else float(conc_tol)
    if not 0.0 <= tolerance < math.inf:
        raise ProblemError(f"`conc_tol` must be >= 0 and finite, got {conc_tol}.")
    net = Reactor(head)
    digest = load_weights(net, weights_path(f"{head}_{support}") if weights is None else Path(weights))
    declared = look_up(f"{head}_{support}" + ("_trust" if trust else ""), digest) if tolerance == usual else None
    return Problem(
        name="biodiesel",
        sense="maximize",
        surrogate=net,
        objective=_objective,
        constraints=_constraints(tolerance, support if trust else None),
        space=Box([0.0, 0.0], [1.0, 1.0], names=["t", "Q"], units=["120 min", "20 W"]),
        x0=np.array(START),
        known=declared,
        verify=_verify,
        support=inputs(SUPPORTS[support]),
        picture=partial(draw_reactor, net=net),
        backend="torch",
    )


def truth(x: FloatArray) -> tuple[float, float]:
    """Return f and the largest constraint value (own units) at x (2,) by the true kinetics instead of the network."""
    time, power = TIME_MAX * float(x[0]), POWER_MAX * float(x[1])
    y = simulate(power, np.arange(1, NODES + 1) * (time / NODES))
    f = float(np.mean(y[:, 4] / y[:, :3].sum(1)))
    limits = [-time, time - TIME_MAX, -power, power - POWER_MAX, power * time - ENERGY_MAX, -y[:, :5].min()]
    return f, float(max(*limits, TEMPERATURE_MIN - y[:, 5].min(), y[:, 5].max() - TEMPERATURE_MAX))


def _verify(x: FloatArray) -> float:
    return truth(x)[0]


def _objective(y: torch.Tensor) -> torch.Tensor:
    """Return f (k,) from outputs (k, 600)."""
    trajectory = y.reshape(-1, NODES, 6)
    return (trajectory[..., 4] / trajectory[..., :3].sum(-1)).mean(1)


def _time(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return _between(TIME_MAX * x[:, 0], 0.0, TIME_MAX)


def _power(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return _between(POWER_MAX * x[:, 1], 0.0, POWER_MAX)


def _energy(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (TIME_MAX * x[:, 0]) * (POWER_MAX * x[:, 1]) - ENERGY_MAX


def _species(y: torch.Tensor) -> torch.Tensor:
    return -y.reshape(-1, NODES, 6)[..., :5].reshape(-1, 5 * NODES)


def _temperature_low(y: torch.Tensor) -> torch.Tensor:
    return TEMPERATURE_MIN - y[:, 5::6]


def _temperature_high(y: torch.Tensor) -> torch.Tensor:
    return y[:, 5::6] - TEMPERATURE_MAX


def _support(where: Support) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Return the box of the training inputs as constraint, in minutes and W."""
    time, (low, high) = SUPPORTS[where].time, SUPPORTS[where].power

    def inside(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        power = POWER_MAX * x[:, 1]
        return torch.stack([TIME_MAX * x[:, 0] - time, low - power, power - high], 1)

    return inside


def _between(values: torch.Tensor, low: float, high: float) -> torch.Tensor:
    return torch.stack([low - values, values - high], 1)


def _constraints(tolerance: float, trusted: Support | None) -> list[Constraint]:
    trust = [] if trusted is None else [Constraint(_support(trusted), name="support")]
    return [
        Constraint(_time, name="time"),
        Constraint(_power, name="power"),
        Constraint(_energy, name="energy"),
        Constraint(_species, name="species", tol=tolerance),
        Constraint(_temperature_low, name="temperature_low"),
        Constraint(_temperature_high, name="temperature_high"),
        *trust,
    ]


def _choose(name: str, value: str, legal: tuple[str, ...]) -> None:
    if value not in legal:
        raise ProblemError(f"`{name}` must be one of {', '.join(map(repr, legal))}, got {value!r}.")
