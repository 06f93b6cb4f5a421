"""The airfoil problems as `dfoattack.Problem`: least drag ("cd") or most lift over drag ("ld")."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import get_args

import numpy as np
import torch

from dfoattack.errors import ProblemError
from dfoattack.problem import Constraint, Known, Problem
from dfoattack.space import Box

from .definition import CD_SCALE, LD_SCALE, LOWER, NAMES, START, UNITS, UPPER, FloatArray, Goal, Limits
from .geometry import TE_STATION, thickness
from .model import CD, CL, CM, CONFIDENCE, N_OUTPUTS, SIZES, AirfoilNet, weights_digest
from .optima import OPTIMA
from .picture import picture
from .support import support_of

__all__ = ["make_problem"]

REYNOLDS = 2e6
NCRIT = 9.0
VERIFY_SIZE = "xxlarge"
"""The largest shipped network: the second opinion of `verify`, and the second network of the robust variant."""


def make_problem(
    goal: Goal = "cd",
    size: str = "large",
    *,
    robust: bool = False,
    robust_size: str = VERIFY_SIZE,
    cl_min: float | None = None,
    confidence: float = 0.9,
    cm_min: float = -0.10,
    max_thickness: float = 0.12,
    te_thickness: float = 0.014,
    min_thickness: float = 1e-4,
    reynolds: float = REYNOLDS,
    ncrit: float = NCRIT,
) -> Problem:
    """Return an airfoil design problem with n = 18 variables.

    Parameters
    ----------
    goal : "cd" or "ld"
        "cd" maximises -1000 CD, "ld" maximises (CL / CD) / 10.
    size : str
        NeuralFoil network: xxsmall, xsmall, small, medium, large, xlarge, xxlarge, or xxxlarge, which is not shipped
        but read from an installed NeuralFoil.
    robust : bool
        Take the worse of `size` and `robust_size`, in the objective and in every constraint on the flow: f gets a kink.
    robust_size : str           second network of the robust variant
    cl_min : float, optional    least lift coefficient; None means 0.8 for goal "cd" and no constraint for goal "ld"
    confidence : float          least confidence of the network, in (0, 1)
    cm_min : float              least moment coefficient
    max_thickness : float       the largest thickness must be at least this, fraction of the chord, in (0, 1)
    te_thickness : float        least thickness at x/c = 0.9045, in [0, 1)
    min_thickness : float       least thickness at each of the 79 stations, in [0, 1)
    reynolds : float            chord Reynolds number, > 0
    ncrit : float               critical amplification factor

    Returns
    -------
    Problem
        In natural units: CST weights and degrees. `known` is declared for the default size, flow and limits, for both
        goals, robust or not.

    Raises
    ------
    ProblemError        a parameter outside its range
    MissingExtraError   `xxxlarge` without an installed NeuralFoil
    """
    if goal not in get_args(Goal):
        raise ProblemError(f"`goal` must be 'cd' or 'ld', got {goal!r}.")
    default_lift = Limits.of(goal).cl_min
    limits = Limits(
        cl_min=default_lift if cl_min is None else cl_min,
        confidence=confidence,
        cm_min=cm_min,
        max_thickness=max_thickness,
        te_thickness=te_thickness,
        min_thickness=min_thickness,
    )
    _check(limits, reynolds, ncrit)
    sizes = _sizes(size, robust_size if robust else None)
    problem_is_default = limits == Limits.of(goal) and (reynolds, ncrit) == (REYNOLDS, NCRIT)
    objective, net = _objective(goal), AirfoilNet(sizes, reynolds, ncrit)
    return Problem(
        name="airfoil",
        sense="maximize",
        surrogate=net,
        objective=objective,
        constraints=_constraints(limits),
        space=Box(LOWER, UPPER, names=NAMES, units=UNITS),
        x0=START,
        known=_known(goal, sizes) if problem_is_default else None,
        verify=_verify(objective, reynolds, ncrit),
        support=support_of(net),
        picture=partial(picture, limits=limits),
    )


def _check(limits: Limits, reynolds: float, ncrit: float) -> None:
    """Refuse limits without a meaning."""
    if not 0.0 < limits.confidence < 1.0:
        raise ProblemError(f"`confidence` must lie in (0, 1), got {limits.confidence}.")
    if not 0.0 < limits.max_thickness < 1.0:
        raise ProblemError(f"`max_thickness` must lie in (0, 1), got {limits.max_thickness}.")
    for name, value in (("te_thickness", limits.te_thickness), ("min_thickness", limits.min_thickness)):
        if not 0.0 <= value < 1.0:
            raise ProblemError(f"`{name}` must lie in [0, 1), got {value}.")
    for name, number in (("cl_min", limits.cl_min), ("cm_min", limits.cm_min), ("ncrit", ncrit)):
        if number is not None and not math.isfinite(number):
            raise ProblemError(f"`{name}` must be finite, got {number}.")
    if not (reynolds > 0.0 and math.isfinite(reynolds)):
        raise ProblemError(f"`reynolds` must be positive and finite, got {reynolds}.")


def _sizes(size: str, second: str | None) -> tuple[str, ...]:
    """Return the networks to use: one, or two different ones for the robust variant."""
    for name, value in (("size", size), ("robust_size", second)):
        if value is not None and value not in SIZES:
            raise ProblemError(f"`{name}` must be one of {', '.join(SIZES)}, got {value!r}.")
    if second == size:
        raise ProblemError(f"`robust_size` must differ from `size`, got {second!r} for both.")
    return (size,) if second is None else (size, second)


def _column(y: torch.Tensor, column: int) -> torch.Tensor:
    """Return one quantity for each network: (k, 6 q) -> (k, q)."""
    return y[:, column::N_OUTPUTS]


def _objective(goal: Goal) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return f: Y (k, 6 q) -> (k,), the worst over the q networks."""

    def drag(y: torch.Tensor) -> torch.Tensor:
        return -CD_SCALE * _column(y, CD).amax(dim=1)

    def lift_over_drag(y: torch.Tensor) -> torch.Tensor:
        return LD_SCALE * (_column(y, CL) / _column(y, CD)).amin(dim=1)

    return drag if goal == "cd" else lift_over_drag


def _at_least(limit: float, column: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return c: Y (k, 6 q) -> (k,), limit minus the worst value of one quantity."""

    def constraint(y: torch.Tensor) -> torch.Tensor:
        return limit - _column(y, column).amin(dim=1)

    return constraint


def _constraints(limits: Limits) -> list[Constraint]:
    """Return the constraints c <= 0, each in the unit of the quantity it limits."""

    def thickest(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return limits.max_thickness - thickness(x).amax(dim=1)

    def trailing_edge(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return limits.te_thickness - thickness(x)[:, TE_STATION]

    def everywhere(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return limits.min_thickness - thickness(x)

    flow = [] if limits.cl_min is None else [Constraint(_at_least(limits.cl_min, CL), name="lift")]
    return [
        *flow,
        Constraint(_at_least(limits.confidence, CONFIDENCE), name="confidence"),
        Constraint(_at_least(limits.cm_min, CM), name="moment"),
        Constraint(thickest, name="max_thickness"),
        Constraint(trailing_edge, name="te_thickness"),
        Constraint(everywhere, name="min_thickness"),
    ]


def _known(goal: Goal, sizes: tuple[str, ...]) -> Known | None:
    """Return the declared optimum for these networks, if their weights are the ones it was found with."""
    optimum = OPTIMA.get((goal, sizes))
    digest = "+".join(weights_digest(size) for size in sizes)
    if optimum is None or optimum.fingerprint != digest:
        return None
    return Known(optimum.value, x=np.array(optimum.x), kind="best_known", tol=1e-6, how=optimum.how, fingerprint=digest)


def _verify(
    objective: Callable[[torch.Tensor], torch.Tensor], reynolds: float, ncrit: float
) -> Callable[[FloatArray], float]:
    """Return verify: x (18,) -> f by the largest shipped network, which is loaded at the first call."""

    def verify(x: FloatArray) -> float:
        net = AirfoilNet((VERIFY_SIZE,), reynolds, ncrit)
        with torch.inference_mode():
            return float(objective(net(torch.tensor(np.atleast_2d(x), dtype=torch.float64)))[0])

    return verify
