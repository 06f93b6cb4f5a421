"""The numbers that define the airfoil problems: box, start, limits, scales of the objective."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from .geometry import NACA0012

__all__ = ["CD_SCALE", "LD_SCALE", "LOWER", "NAMES", "START", "UNITS", "UPPER", "Goal", "Limits"]

FloatArray = npt.NDArray[np.float64]
Goal = Literal["cd", "ld"]

NAMES = (*(f"u{i}" for i in range(1, 9)), *(f"l{i}" for i in range(1, 9)), "LE", "alpha")
UNITS = (*[""] * 17, "deg")
LOWER: FloatArray = np.array([-0.25] * 8 + [-0.5] * 8 + [-1.0, -5.0])
UPPER: FloatArray = np.array([0.5] * 8 + [0.25] * 8 + [1.0, 15.0])
START: FloatArray = np.array([*NACA0012, *(-NACA0012), 0.0, 4.0])
"""(18,) NACA 0012 at 4 degrees; it has too little lift for goal "cd"."""

CD_SCALE = 1000.0
"""f = -CD_SCALE * CD, so that f is of order one."""
LD_SCALE = 0.1
"""f = LD_SCALE * CL / CD."""


@dataclass(frozen=True)
class Limits:
    """Limits of the constraints; `cl_min` None means that lift is not constrained.

    Attributes
    ----------
    cl_min, cm_min : least lift and least (nose-down) moment coefficient
    confidence : least confidence of the network in (0, 1); this is the trust constraint
    max_thickness, te_thickness, min_thickness : least maximum thickness, least thickness at x/c = 0.9045, least
        thickness at each of the 79 stations; fractions of the chord
    """

    cl_min: float | None
    confidence: float = 0.9
    cm_min: float = -0.10
    max_thickness: float = 0.12
    te_thickness: float = 0.014
    min_thickness: float = 1e-4

    @classmethod
    def of(cls, goal: Goal) -> Limits:
        """Return the limits of the published problems: lift is constrained when drag alone is the goal."""
        return cls(cl_min=0.8 if goal == "cd" else None)
