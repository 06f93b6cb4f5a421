"""Dominance between objective vectors, and the volume a set of them dominates (all objectives minimised)."""

from __future__ import annotations

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack.kernels._jit import kernel


@kernel
def nondominated(F: FloatArray, out_keep: BoolArray) -> int:
    """Mark the rows that no other row dominates; of equal rows the first.

    Parameters
    ----------
    F : float64 (N, q)          objective values, minimised; +inf is legal, NaN is not
    out_keep : bool (N,)        overwritten

    Returns
    -------
    kept : int                  number of marked rows

    Notes
    -----
    a dominates b when no component of a is larger and one is smaller. O(N^2 q).
    Source: the definition. Twin: tests/kernels/naive.py::nondominated.
    """
    rows, q = F.shape
    kept = 0
    for i in range(rows):
        keep = True
        for j in range(rows):
            if i == j:
                continue
            better = False
            worse = False
            for c in range(q):
                if F[j, c] < F[i, c]:
                    better = True
                elif F[j, c] > F[i, c]:
                    worse = True
                    break
            if not worse and (better or j < i):
                keep = False
                break
        out_keep[i] = keep
        if keep:
            kept += 1
    return kept


@kernel
def insert_sorted(F: FloatArray, column: int, row: int, size: int, order: IntArray) -> None:
    """Insert `row` into order[:size], rows of F sorted by one column; equal values keep their order of arrival.

    Source: insertion sort. Twin: tests/kernels/naive.py::insert_sorted.
    """
    place = size
    while place > 0 and F[order[place - 1], column] > F[row, column]:
        order[place] = order[place - 1]
        place -= 1
    order[place] = row


@kernel
def add_to_stairs(x: float, y: float, size: int, sx: FloatArray, sy: FloatArray) -> int:
    """Insert a point into a staircase: mutually nondominated points of the plane.

    Parameters
    ----------
    x, y : float                the point
    size : int                  points in the staircase
    sx, sy : float64 (N,)       its points, sx increasing, sy decreasing; changed in place, N > size

    Returns
    -------
    size : int                  new number of points; sx and sy are untouched where a point of the staircase dominates or equals (x, y)

    Notes
    -----
    Source: ours. Twin: tests/kernels/naive.py::add_to_stairs.
    """
    low, high = 0, size
    while low < high:  # the first point with sx >= x
        middle = (low + high) // 2
        if sx[middle] < x:
            low = middle + 1
        else:
            high = middle
    if low > 0 and sy[low - 1] <= y:
        return size
    if low < size and sx[low] == x and sy[low] <= y:
        return size
    last = low
    while last < size and sy[last] >= y:  # those it dominates
        last += 1
    shift = 1 - (last - low)
    if shift > 0:
        for i in range(size - 1, last - 1, -1):
            sx[i + 1] = sx[i]
            sy[i + 1] = sy[i]
    elif shift < 0:
        for i in range(last, size):
            sx[i + shift] = sx[i]
            sy[i + shift] = sy[i]
    sx[low] = x
    sy[low] = y
    return size + shift


@kernel
def stairs_area(rx: float, ry: float, size: int, sx: FloatArray, sy: FloatArray) -> float:
    """Area between a staircase (see `add_to_stairs`) and a reference point (rx, ry) above and to the right of all its points.

    Source: the definition. Twin: tests/kernels/naive.py::stairs_area.
    """
    area = 0.0
    top = ry
    for i in range(size):
        area += (rx - sx[i]) * (top - sy[i])
        top = sy[i]
    return area


@kernel
def sweep(F: FloatArray, order: IntArray, count: int, ref: FloatArray, sx: FloatArray, sy: FloatArray) -> float:
    """Volume dominated by the rows order[:count] of F (N, >= 3) in their first three objectives.

    The rows are sorted by the third objective and strictly below ref (>= 3,); sx, sy (>= count,) are work space.

    Notes
    -----
    Along the third objective, the staircase of the first two grows point by point: O(N^2).
    Source: after Fonseca, Paquete & Lopez-Ibanez 2006. Twin: tests/kernels/naive.py::sweep.
    """
    volume = 0.0
    size = 0
    for i in range(count):
        row = order[i]
        size = add_to_stairs(F[row, 0], F[row, 1], size, sx, sy)
        top = F[order[i + 1], 2] if i + 1 < count else ref[2]
        if top > F[row, 2]:
            volume += stairs_area(ref[0], ref[1], size, sx, sy) * (top - F[row, 2])
    return volume


@kernel
def hypervolume(F: FloatArray, ref: FloatArray) -> float:
    """Volume of the set of vectors that some row dominates and that dominate the reference point.

    Parameters
    ----------
    F : float64 (N, q)          objective values, minimised, q = 2, 3 or 4
    ref : float64 (q,)          reference point; rows that are not strictly below it in every objective add nothing

    Returns
    -------
    volume : float              0 for N = 0; -1 for another q

    Notes
    -----
    Exact up to rounding. O(N^2) for q = 2 (O(N) where the rows are sorted by the first objective) and q = 3, O(N^3) for q = 4
    (a sweep of sweeps).
    Source: dimension sweep, after Fonseca, Paquete & Lopez-Ibanez 2006. Twin: tests/kernels/naive.py::hypervolume.
    """
    total, q = F.shape
    if q < 2 or q > 4:
        return -1.0
    column = q - 1 if q > 2 else 0  # in the plane each point then ends the staircase, and none is shifted
    order = np.empty(total, dtype=np.int64)
    rows = 0
    for i in range(total):
        inside = True
        for c in range(q):
            if not F[i, c] < ref[c]:
                inside = False
        if inside:
            insert_sorted(F, column, i, rows, order)
            rows += 1
    sx = np.empty(rows + 1)
    sy = np.empty(rows + 1)
    if q == 2:
        size = 0
        for i in range(rows):
            size = add_to_stairs(F[order[i], 0], F[order[i], 1], size, sx, sy)
        return stairs_area(ref[0], ref[1], size, sx, sy)
    if q == 3:
        return sweep(F, order, rows, ref, sx, sy)
    inner = np.empty(rows, dtype=np.int64)
    volume = 0.0
    for i in range(rows):
        row = order[i]
        insert_sorted(F, 2, row, i, inner)
        top = F[order[i + 1], 3] if i + 1 < rows else ref[3]
        if top > F[row, 3]:
            volume += sweep(F, inner, i + 1, ref, sx, sy) * (top - F[row, 3])
    return volume
