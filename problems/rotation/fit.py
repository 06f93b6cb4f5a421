"""Fitting one rotation in any representation (`rot-fit`), and the smallest case of a cut (`rot-cut-1d`)."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from dfoattack.errors import ProblemError
from dfoattack.problem import Constraint, Known, Problem
from dfoattack.space import Box

from .groups import haar, off_target
from .representations import SCALE_5D, Representation, representation

__all__ = [
    "Decoder",
    "Rep",
    "chart",
    "chosen_representation",
    "column_norms",
    "instance_generator",
    "make_cut",
    "make_fit",
]

Rep = Literal[
    "6d", "5d", "svd", "matrix", "quaternion", "hemisphere", "axis-angle", "rodriguez", "euler", "sincos-euler"
]
BOUND = 2.0
"""Box of coordinates without a scale of their own; unit vectors lie well inside."""
NORM_MIN = 0.25
PI = math.pi


class Decoder(nn.Module):
    """Phi of a representation: coordinates (k, d) -> matrix entries, row by row (k, rows * columns)."""

    def __init__(self, rep: Representation) -> None:
        super().__init__()
        self.rep = rep
        self.name = rep.name  # what the fingerprint sees

    def forward(self, x: Tensor) -> Tensor:
        return self.rep.decode(x).flatten(1)


def column_norms(n: int, count: int, start: int = 0) -> Constraint:
    """Return the constraint 0.25 <= |a_i| <= 2 on `count` columns a_i of n coordinates each, from x[start] on.

    Gram-Schmidt ignores the norms: without limits a search may drift to where a small step no longer turns anything, or
    where it turns everything.
    """

    def norms(x: Tensor, y: Tensor) -> Tensor:
        columns = x[:, start : start + n * count].unflatten(1, (count, n))
        norm = torch.linalg.vector_norm(columns, dim=-1)
        return torch.cat([NORM_MIN - norm, norm - BOUND], 1)

    return Constraint(norms, name="norms")


def _norms_5d(x: Tensor, y: Tensor) -> Tensor:
    """The projected column: 0.1 <= |u| <= 4 (rotations have 0.41 to 2.41)."""
    r = torch.linalg.vector_norm(x[:, 2:] * x.new_tensor(SCALE_5D), dim=1)
    return torch.stack([0.1 - r, r - 4.0], 1)


def _ball(x: Tensor, y: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x, dim=1) - PI


def chart(rep: Representation, periodic: bool = False, limits: bool = True) -> tuple[Box, list[Constraint]]:
    """Return the box and the constraints within which a 3-D representation is searched.

    Parameters
    ----------
    periodic : bool     let the two full turns of Euler angles wrap
    limits : bool       norm constraints of 6D and 5D, the ball of radius pi of the Rodriguez vector
    """
    names = [f"a{i}" for i in range(rep.dim)]
    if rep.name == "euler":
        upper = np.array([PI, PI / 2, PI])
        return Box(-upper, upper, names=["a", "b", "c"], units=["rad"] * 3, periodic=[0, 2] if periodic else None), []
    if periodic:
        raise ProblemError(f"`periodic` must be False but for Euler angles, got True for {rep.name!r}.")
    if rep.name == "rodriguez":
        ball = [Constraint(_ball, name="ball")] if limits else []
        return Box([-PI] * 3, [PI] * 3, names=names, units=["rad"] * 3), ball
    if rep.name == "hemisphere":
        return Box([-1.0, -1.0, -1.0, 0.0], [1.0] * 4, names=["x", "y", "z", "w"]), []
    if rep.name == "axis-angle":
        # tanh 6 is half a turn within 0.002 degrees
        return Box([0.0, -1.0, -1.0, -1.0], [6.0, 1.0, 1.0, 1.0], names=["a", "x", "y", "z"]), []
    norms = {"6d": column_norms(3, 2), "5d": Constraint(_norms_5d, name="norms")}
    constraints = [norms[rep.name]] if limits and rep.name in norms else []
    return Box([-BOUND] * rep.dim, [BOUND] * rep.dim, names=names), constraints


def make_fit(
    rep: Rep = "6d",
    instance: int = 0,
    loss: Literal["geodesic", "squared"] = "geodesic",
    *,
    periodic: bool = False,
    limits: bool = True,
) -> Problem:
    """Return the search for one rotation: x are its coordinates, n = 3 to 9, f the error to a given rotation.

    f = -angle(decode(x), R*) in degrees, or -|decode(x) - R*|^2. R* and the rotation of the start are uniform and
    independent.

    Parameters
    ----------
    rep : str           the representation that x is in
    instance : int      >= 0, chooses R* and the start
    loss : str          "geodesic" or "squared"
    periodic : bool     Euler angles wrap
    limits : bool       keep 6D and 5D away from zero columns, Rodriguez vectors in their ball

    Returns
    -------
    Problem             optimum 0 at encode(R*), exact

    Raises
    ------
    ProblemError        a parameter outside its range
    """
    if loss not in ("geodesic", "squared"):
        raise ProblemError(f"`loss` must be 'geodesic' or 'squared', got {loss!r}.")
    chosen = chosen_representation(rep)
    target, start = haar(2, instance_generator(instance))
    space, constraints = chart(chosen, periodic, limits)

    def geodesic_error(y: Tensor) -> Tensor:
        return -off_target(y.unflatten(1, (3, 3)), target)

    def squared_error(y: Tensor) -> Tensor:
        return -(y.unflatten(1, (3, 3)) - target).square().sum((1, 2))

    return Problem(
        name="rot-fit",
        sense="maximize",
        surrogate=Decoder(chosen),
        objective=geodesic_error if loss == "geodesic" else squared_error,
        constraints=constraints,
        space=space,
        x0=np.clip(chosen.encode(start).numpy(), space.lower, space.upper),
        known=Known(
            0.0,
            x=np.clip(chosen.encode(target).numpy(), space.lower, space.upper),
            kind="exact",
            tol=5e-3,
            how="encode(R*)",
        ),
        backend="torch",
    )


class Circle(nn.Module):
    """The 2-D rotation as (cos, sin): of an angle (k, 1), or of a vector (k, 2) that is normalised."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        if self.dim == 1:
            return torch.cat([torch.cos(x), torch.sin(x)], 1)
        return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)


CUT_TARGET, CUT_START = 2.0 * PI - 1.5, 1.0


def make_cut(n: int = 1, *, periodic: bool = False) -> Problem:
    """Return the smallest problem with a cut: turn a pointer from 1 rad to 2 pi - 1.5 rad.

    n = 1: the angle in [0, 2 pi]; x = 0, an error of 85.94 degrees, is a local optimum at the cut, towards which the way from
    the start leads. n = 2: a vector that is normalised; no trap. f = -error in degrees.

    Parameters
    ----------
    n : int             1 or 2
    periodic : bool     let the angle wrap (n = 1): no trap either

    Raises
    ------
    ProblemError        a parameter outside its range
    """
    if n not in (1, 2):
        raise ProblemError(f"`n` must be 1 or 2, got {n}.")
    if periodic and n == 2:
        raise ProblemError("`periodic` must be False for n = 2, got True.")
    goal = torch.tensor([math.cos(CUT_TARGET), math.sin(CUT_TARGET)], dtype=torch.float64)

    def error(y: Tensor) -> Tensor:
        sine, cosine = y[:, 1] * goal[0] - y[:, 0] * goal[1], y @ goal
        return -torch.atan2(sine.abs(), cosine) * (180.0 / PI)

    if n == 1:
        space = Box([0.0], [2.0 * PI], names=["angle"], units=["rad"], periodic=[0] if periodic else None)
        start, solution = np.array([CUT_START]), np.array([CUT_TARGET])
    else:
        space = Box([-BOUND] * 2, [BOUND] * 2, names=["x", "y"])
        start, solution = np.array([math.cos(CUT_START), math.sin(CUT_START)]), goal.numpy()
    return Problem(
        name="rot-cut-1d",
        sense="maximize",
        surrogate=Circle(n),
        objective=error,
        space=space,
        x0=start,
        known=Known(0.0, x=solution, kind="exact", tol=1e-9, how="the target itself"),
        backend="torch",
    )


def chosen_representation(rep: str) -> Representation:
    """Return the representation; ProblemError for an unknown name."""
    try:
        return representation(rep)
    except ValueError as error:
        raise ProblemError(str(error)) from None


def instance_generator(instance: int) -> np.random.Generator:
    """Return the generator of an instance; ProblemError for a negative number."""
    if instance < 0:
        raise ProblemError(f"`instance` must be >= 0, got {instance}.")
    return np.random.default_rng(instance)
