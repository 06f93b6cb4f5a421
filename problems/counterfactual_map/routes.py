"""Cheapest routes over a map of tile costs, by SciPy's Dijkstra."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from .terrain import SIDE

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

CELLS = SIDE * SIDE
_CLOSED = 1e6
"""Cost of a tile that no route enters."""


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


def avoiding(costs: FloatArray, tiles: IntArray) -> tuple[FloatArray, BoolArray]:
    """Cheapest routes that avoid one tile each: costs (k, 144), tiles (q,) -> values (k, q) and their tiles (k, q, 144)."""
    value = np.empty((len(costs), len(tiles)))
    on = np.zeros((len(costs), len(tiles), CELLS), dtype=bool)
    for i, cost in enumerate(costs):
        for j, tile in enumerate(tiles):
            closed = cost.copy()
            closed[tile] = _CLOSED
            value[i, j], on[i, j] = _route(closed)
    return value, on


def _route(cost: FloatArray) -> tuple[float, BoolArray]:
    graph = csr_array((cost[_HEADS], _HEADS, _POINTERS), shape=(CELLS, CELLS))
    _, before = dijkstra(graph, indices=0, return_predecessors=True)
    on = np.zeros(CELLS, dtype=bool)
    tile = CELLS - 1
    while tile >= 0:
        on[tile] = True
        tile = before[tile]
    return float(cost @ on), on
