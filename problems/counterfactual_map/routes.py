"""Cheapest routes over a map of tile costs, by SciPy's Dijkstra, and how a wanted route does against all others."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import lu_factor, lu_solve
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from .terrain import SIDE

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

CELLS = SIDE * SIDE
_NONE = 1e-12
"""Least part of all other ways in the whole: a smaller one is lost in rounding."""


def _arcs() -> tuple[IntArray, IntArray]:
    """Heads (arcs,) and row pointers (145,) of the graph in which every tile has an arc to its 3 to 8 neighbours."""
    heads, pointers = [], [0]
    for row in range(SIDE):
        for column in range(SIDE):
            for r in range(max(0, row - 1), min(SIDE, row + 2)):
                heads += [
                    r * SIDE + c for c in range(max(0, column - 1), min(SIDE, column + 2)) if (r, c) != (row, column)
                ]
            pointers.append(len(heads))
    return np.array(heads, dtype=np.int32), np.array(pointers, dtype=np.int32)


_HEADS, _POINTERS = _arcs()
_TAILS = np.repeat(np.arange(CELLS), np.diff(_POINTERS))


def cheapest(costs: FloatArray) -> tuple[FloatArray, BoolArray]:
    """Cheapest routes from the top left to the bottom right tile.

    A route moves to one of the eight neighbours; it costs the sum of the costs of all its tiles, the first included.

    Parameters
    ----------
    costs : float64 (k, 144) > 0        cost to enter every tile, row by row

    Returns
    -------
    value : float64 (k,)                cost of the cheapest route
    on : bool (k, 144)                  its tiles; between routes of equal cost SciPy's predecessors decide
    """
    value = np.empty(len(costs))
    on = np.zeros((len(costs), CELLS), dtype=bool)
    for i, cost in enumerate(costs):
        value[i], on[i] = _route(cost)
    return value, on


def contest(costs: FloatArray, wanted: BoolArray, temperature: float) -> tuple[FloatArray, FloatArray]:
    """By how much the wanted route loses to all other ways together, softly, with the derivative by every tile cost.

    A walk over neighbouring tiles that costs c weighs exp(-c / temperature). The value is
    temperature * log(weight of all walks but the wanted route / weight of the wanted route): what it costs minus a soft
    minimum over all others. Where it is not positive the wanted route is the cheapest. Smooth, unlike anything that asks
    which route is the cheapest, for every rival has its part in it. The sums over walks are one linear system a map.

    Parameters
    ----------
    costs : float64 (k, 144)        above 0.5: with cheaper tiles at a high temperature the sums have no limit
    wanted : bool (144,)            tiles of a route
    temperature : float             > 0 and at most 0.2, in units of cost

    Returns
    -------
    value : float64 (k,)
    slope : float64 (k, 144)
    """
    value, slope = np.empty(len(costs)), np.empty((len(costs), CELLS))
    start, end = np.eye(CELLS)[[0, CELLS - 1]]
    for i, cost in enumerate(costs):
        distance = dijkstra(_graph(cost), indices=0)
        # Weights relative to the cheapest way to a tile, so that nothing vanishes on a dear map.
        detour = cost[_HEADS] + distance[_TAILS] - distance[_HEADS]
        system = np.eye(CELLS)
        system[_HEADS, _TAILS] -= np.exp(-detour / temperature)
        factors = lu_factor(system, check_finite=False)
        from_start = lu_solve(factors, start, check_finite=False)
        to_end = lu_solve(factors, end, trans=1, check_finite=False)
        behind = cost @ wanted - cost[0] - distance[-1]
        share = -behind / temperature - np.log(from_start[-1])  # logarithm of the wanted route's part in the whole
        others = max(-np.expm1(share), _NONE)
        value[i] = temperature * (np.log(others) - share)
        slope[i] = (wanted - from_start * to_end / from_start[-1]) / others
    return value, slope


def _route(cost: FloatArray) -> tuple[float, BoolArray]:
    _, before = dijkstra(_graph(cost), indices=0, return_predecessors=True)
    on = np.zeros(CELLS, dtype=bool)
    tile = CELLS - 1
    while tile >= 0:
        on[tile] = True
        tile = before[tile]
    return float(cost @ on), on


def _graph(cost: FloatArray) -> csr_array:
    return csr_array((cost[_HEADS], _HEADS, _POINTERS), shape=(CELLS, CELLS))
