"""Search in coordinates without a scale: go back to standard coordinates whenever the search has drifted from them.

A driver round `dfoattack.solve`, not a part of it: x moves between runs only. Within one, the incumbent is the best evaluated
point and lies where the mesh says; retract(x) is neither, if only by rounding.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import dfoattack as da

from .representations import Representation

__all__ = ["retraction_of", "solve_with_retraction"]

FloatArray = npt.NDArray[np.float64]
Retraction = Callable[[FloatArray], FloatArray]


def retraction_of(rep: Representation) -> Retraction:
    """Return x (n,) -> encode(decode(x)) (n,)."""

    def retract(x: FloatArray) -> FloatArray:
        return rep.retract(torch.from_numpy(np.array(x))).numpy()

    return retract


def solve_with_retraction(
    problem: da.Problem,
    retract: Retraction,
    *,
    budget: float,
    seed: int = 0,
    drift: float = 0.5,
    f_target: float | None = None,
    options: Mapping[str, Any] | None = None,
) -> tuple[da.Result, float]:
    """Solve a problem whose value does not change under `retract`, restarting at retract(x) when x has drifted from it.

    Gram-Schmidt and normalisation forget the length of their arguments: a search may wander to long columns, where a
    small step turns nothing, or short ones, where it turns everything. A run ends as soon as its best point x lies farther
    than drift * |retract(x)| from retract(x), and the next begins there, with the budget that is left and a frame of
    full size.

    Parameters
    ----------
    problem : Problem           of which f and c are the same at x and at retract(x)
    retract : callable          (n,) -> (n,), in the box
    budget : float              evaluations of all runs together, gradients charged
    drift : float > 0           relative distance that ends a run

    Returns
    -------
    result : Result             of the last run; its best point is the best of all up to rounding
    cost : float                evaluations of all runs together, gradients charged
    """
    if not drift > 0.0:
        raise da.OptionError(f"`drift` must be positive, got {drift}.")
    run, left, rounds = copy.copy(problem), float(budget), 0

    def drifted(event: Any) -> bool:
        if event.x is None:
            return False
        home = retract(event.x)
        return bool(np.linalg.norm(event.x - home) > drift * np.linalg.norm(home))

    while True:
        result = da.solve(run, budget=left, seed=seed + rounds, callback=drifted, f_target=f_target, options=options)
        left -= result.cost
        if result.reason is not da.StopReason.CALLBACK or left < 1.0:
            return result, float(budget) - left
        run.x0, rounds = retract(result.x)[None], rounds + 1
