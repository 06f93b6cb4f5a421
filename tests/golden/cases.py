"""The recorded trajectories: problems, options, and what is kept of a run."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numba
import numpy as np

import dfoattack as da
from tests.integration.cases import network_problem, rosenbrock, spied

FOLDER = Path(__file__).parent
POINTS = 60


def bent_valley(y: np.ndarray) -> np.ndarray:
    """Built of +, *, and comparisons only, so that the recorded numbers do not hang on a mathematics library."""
    return rosenbrock(y[:, :2]) + np.abs(y[:, 2] - 3.0) + 0.25 * np.abs(y[:, 3] + 0.3)


def mixed() -> da.Result:
    """No gradient: a continuous pair under a disc, an integer, a variable in steps of 0.1; blocks of two."""
    problem = da.Problem(
        objective=spied(bent_valley, []),
        constraints=[da.Constraint(lambda x, y: x[:, 0] ** 2 + x[:, 1] ** 2 - 2.0, name="disc")],
        space=da.Box([-2, -2, -9, -1], [2, 2, 9, 1], integer=[2], granularity={3: 0.1}),
        x0=[-1.25, 1.5, -4, 0.8],
        sense="minimize",
    )
    return da.solve(problem, budget=POINTS, seed=11, options={"block_size": 2})


def network() -> da.Result:
    """Exact gradients through a small network, two constraints, the default operators."""
    return da.solve(network_problem(), budget=4 * POINTS, seed=11, options={"poll": "2n"})


CASES = {"mixed": mixed, "network": network}


def versions() -> dict[str, str]:
    """What the recorded numbers are pinned to."""
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "numpy": np.__version__,
        "numba": numba.__version__,
    }


def recorded(result: da.Result) -> dict[str, Any]:
    """The first points of a run, as JSON values that read back bit for bit."""
    r = result.records
    return {
        "x": r.x[:POINTS].tolist(),
        "fun": [value if np.isfinite(value) else None for value in r.fun[:POINTS].tolist()],
        "step": list(r.step[:POINTS]),
        "counters": {"nfev": result.nfev, "nphi": result.nphi, "ngev": result.ngev, "nit": result.nit},
        "best": result.fun,
    }
