"""One airfoil for several lifts: least mean drag over points that share the shape and have an angle of attack each.

Box, limits and network are those of the single-point problem; at every point lift, confidence and moment are limited,
and the geometry once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from dfoattack.errors import ProblemError
from dfoattack.problem import Constraint, Problem
from dfoattack.space import Box

from .definition import CD_SCALE, LOWER, NAMES, START, UNITS, UPPER, FloatArray, Limits
from .geometry import TE_STATION, thickness
from .model import CD, CL, CM, CONFIDENCE, N_OUTPUTS, SIZES, AirfoilNet

__all__ = ["make_multipoint"]

SHAPE = 17
"""Variables that all points share; the angles of attack come after them."""
LIFTS = (0.6, 0.8, 1.0)


class Multipoint(torch.nn.Module):
    """Designs (k, 17 + P) -> (k, 6 P): the network's answer at each of P angles of attack."""

    def __init__(self, points: int, size: str) -> None:
        super().__init__()
        self.points = points
        self.net = AirfoilNet((size,))

    def forward(self, design: torch.Tensor) -> torch.Tensor:
        """Evaluate a block, all points of all designs at once."""
        shape = design[:, None, :SHAPE].expand(-1, self.points, -1)
        each = torch.cat([shape, design[:, SHAPE:, None]], dim=2).reshape(-1, SHAPE + 1)
        return self.net(each).reshape(len(design), self.points * N_OUTPUTS)


def make_multipoint(size: str = "medium", lifts: Sequence[float] = LIFTS) -> Problem:
    """Return the multipoint problem, n = 17 + P: maximise -1000 times the mean of CD over P points.

    Constraints, in groups: `lift` (CL_j at least lifts[j]), `confidence` and `moment`, P columns each, with the limits
    of the single-point problem; `max_thickness`, `te_thickness`, `min_thickness`. Start: NACA 0012 at 4 degrees.

    Parameters
    ----------
    size : str                      NeuralFoil network, see `make_problem`
    lifts : sequence of P >= 1 float
        least lift coefficient of each point

    Raises
    ------
    ProblemError        a parameter outside its range
    """
    if size not in SIZES:
        raise ProblemError(f"`size` must be one of {', '.join(SIZES)}, got {size!r}.")
    wanted = np.atleast_1d(np.asarray(lifts, dtype=np.float64))
    if wanted.ndim != 1 or wanted.size == 0 or not np.isfinite(wanted).all():
        raise ProblemError(f"`lifts` must be one or more finite numbers, got {lifts!r}.")
    points = wanted.size

    def spread(values: FloatArray) -> FloatArray:
        return np.concatenate([values[:SHAPE], np.repeat(values[SHAPE], points)])

    return Problem(
        name="airfoil-multipoint",
        sense="maximize",
        surrogate=Multipoint(points, size),
        objective=_mean_drag,
        constraints=_constraints(torch.from_numpy(wanted), Limits.of("cd")),
        space=Box(
            spread(LOWER),
            spread(UPPER),
            names=(*NAMES[:SHAPE], *(f"alpha{j + 1}" for j in range(points))),
            units=(*UNITS[:SHAPE], *[UNITS[SHAPE]] * points),
        ),
        x0=spread(START),
        backend="torch",
    )


def _column(y: torch.Tensor, column: int) -> torch.Tensor:
    """Return one quantity at each point: (k, 6 P) -> (k, P)."""
    return y[:, column::N_OUTPUTS]


def _mean_drag(y: torch.Tensor) -> torch.Tensor:
    return -CD_SCALE * _column(y, CD).mean(dim=1)


def _constraints(lifts: torch.Tensor, limits: Limits) -> list[Constraint]:
    """Return the constraints c <= 0, each in the unit of the quantity it limits."""

    def at_least(limit: torch.Tensor | float, column: int) -> Callable[[torch.Tensor], torch.Tensor]:
        def constraint(y: torch.Tensor) -> torch.Tensor:
            return limit - _column(y, column)

        return constraint

    def thickest(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return limits.max_thickness - thickness(x).amax(dim=1)

    def trailing_edge(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return limits.te_thickness - thickness(x)[:, TE_STATION]

    def everywhere(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return limits.min_thickness - thickness(x)

    return [
        Constraint(at_least(lifts, CL), name="lift"),
        Constraint(at_least(limits.confidence, CONFIDENCE), name="confidence"),
        Constraint(at_least(limits.cm_min, CM), name="moment"),
        Constraint(thickest, name="max_thickness"),
        Constraint(trailing_edge, name="te_thickness"),
        Constraint(everywhere, name="min_thickness"),
    ]
