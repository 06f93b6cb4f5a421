"""The counterfactual map problems as `dfoattack.Problem`."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from dfoattack.errors import ProblemError
from dfoattack.problem import Constraint, Problem
from dfoattack.space import Box

from .best_known import look_up
from .model import LATENT, MapNet, load
from .picture import draw
from .task import Task, make_task

__all__ = ["make_path_problem", "make_problem"]

Start = Literal["initial", "alternative", "both"]
Route = Literal["cost", "value"]
REACH = 4.0
"""Codes are standard normal, so that one component in 16 000 lies beyond this."""


def make_problem(
    pair: int = 0,
    *,
    route: Route = "cost",
    eps: float = 1.0,
    start: Start = "initial",
    weights: str | None = None,
) -> Problem:
    """Return the least change of a terrain map that makes a wanted route cheap, n = 64.

    x is the code of a map; a decoder draws it (12 x 12 tiles) and a small network reads the cost C to enter each tile;
    Phi(x) = (x, C), m = 208; f = -|x - x_initial|^2 - ((sum C - sum C_initial) / 100)^2. Constraints: `annulus`,
    (|x| - 7)(|x| - 9)/10 <= 0, which keeps x where codes of maps lie; and `cost`, ((1 + eps) wanted - initial)/10 <= 0
    with the costs of both routes on the new map, as published, or `value`, (wanted - cheapest)/10 - 0.01 <= 0 (kinks).

    Parameters
    ----------
    pair : int >= 0                     number of the task: which initial map and which wanted route
    route : "cost" | "value"            the constraint on the wanted route
    eps : float >= 0                    of `cost`
    start : "initial" | "alternative" | "both"   the initial map (infeasible, as published), the map that the wanted route is
                                        from (feasible for "value"), or one after the other
    weights : str, optional             an ``.npz`` file written by ``train.py``, instead of the shipped one

    Returns
    -------
    Problem
        `known`, where one is declared, is the best value found so far; it belongs to the shipped weights.

    Raises
    ------
    ProblemError        a parameter outside its range
    ValueError          arrays in `weights` of other names or shapes
    """
    _check("route", route, get_args(Route))
    if not 0.0 <= eps < math.inf:
        raise ProblemError(f"`eps` must be >= 0 and finite, got {eps}.")
    net, task, digest = _prepared(pair, start, weights, 1.0 / (1.0 + eps))
    wanted = (
        Constraint(lambda y: task.cost(y), name="cost", grad=task.cost_gradient)
        if route == "cost"
        else Constraint(lambda y: task.value(y), name="value", grad=task.value_gradient)
    )
    case = route if eps == 1.0 or route == "value" else ""
    return _problem("counterfactual-map", net, task, [wanted], start, f"{case}_{pair}", digest)


def make_path_problem(
    pair: int = 0, *, guide: bool = True, start: Start = "both", weights: str | None = None
) -> Problem:
    """Return the least change of a terrain map that makes a wanted route the cheapest one: a discontinuous constraint.

    As `counterfactual-map`, with another constraint on the route: `path`, the number of tiles in which the cheapest route
    of the new map (Dijkstra, eight neighbours) and the wanted one differ, must be 0. It is piecewise constant.

    Parameters
    ----------
    pair : int >= 0                     number of the task: which initial map and which wanted route
    guide : bool                        give attacks a smooth stand-in for `path`: what the wanted route costs minus a soft minimum over
                                        all other ways, see `routes.contest`
    start : "initial" | "alternative" | "both"   the initial map (infeasible), the map that the wanted route is from (feasible),
                                        or one after the other
    weights : str, optional             an ``.npz`` file written by ``train.py``, instead of the shipped one

    Returns
    -------
    Problem
        `known`, where one is declared, is the best value found so far; it belongs to the shipped weights.

    Raises
    ------
    ProblemError        a parameter outside its range
    ValueError          arrays in `weights` of other names or shapes
    """
    net, task, digest = _prepared(pair, start, weights, 0.5)
    path = Constraint(lambda y: task.path(y), name="path")
    if guide:
        path = replace(path, soft=lambda y: task.contest(y), grad=task.contest_gradient)
    return _problem("counterfactual-map-path", net, task, [path], start, f"path_{pair}", digest)


def _prepared(pair: int, start: str, weights: str | None, ratio: float) -> tuple[MapNet, Task, str]:
    if isinstance(pair, bool) or not isinstance(pair, int) or pair < 0:
        raise ProblemError(f"`pair` must be an integer >= 0, got {pair!r}.")
    _check("start", start, get_args(Start))
    net, codes, digest = load(None if weights is None else Path(weights))
    return net, make_task(net, codes, pair, ratio), digest


def _problem(
    name: str, net: MapNet, task: Task, wanted: list[Constraint], start: str, case: str, digest: str
) -> Problem:
    a, b = task.x_initial, task.x_alternative
    return Problem(
        name=name,
        sense="maximize",
        surrogate=net,
        objective=lambda y: task.f(y),
        objective_grad=lambda y: task.f_gradient(y),
        constraints=[Constraint(lambda y: task.annulus(y), name="annulus", grad=task.annulus_gradient), *wanted],
        space=Box(np.full(LATENT, -REACH), np.full(LATENT, REACH), names=[f"z{i + 1}" for i in range(LATENT)]),
        x0=np.array({"initial": [a], "alternative": [b], "both": [a, b]}[start]),
        known=look_up(case, digest),
        picture=partial(draw, net=net, task=task),
        backend="numpy",
    )


def _check(name: str, value: str, legal: tuple[str, ...]) -> None:
    if value not in legal:
        raise ProblemError(f"`{name}` must be one of {', '.join(map(repr, legal))}, got {value!r}.")
