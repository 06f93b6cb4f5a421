"""A look along every variable to the ends of the box, where gradients have turned out to say nothing about long steps."""

from __future__ import annotations

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks._local import Local, Point


def along_axes(local: Local, start: Point, g: FloatArray, enough: float) -> Point | None:
    """The best feasible point among those that differ from `start` in one variable, which is at an end of its box.

    A pass a point, the most promising by the gradient first; the first one with F <= `enough` ends it. A variable without an end goes a
    unit of the scaling.

    Parameters
    ----------
    local : Local
    start : Point
    g : (n,)            gradient at `start` by scaled steps
    enough : float
    """
    ends = np.concatenate([np.where(np.isfinite(end), end, np.sign(end)) for end in local.room(start)])
    axes = np.tile(np.arange(g.size), 2)
    best: Point | None = None
    for k in np.argsort(g[axes] * ends, kind="stable"):
        if ends[k] == 0.0:
            continue
        if not local.view.affords(0, 1):
            break
        step = np.zeros(g.size)
        step[axes[k]] = ends[k]
        point = local.visit(start, step)
        if point.worst <= 0.0 and point.F < (np.inf if best is None else best.F):
            best = point
            if best.F <= enough:
                break
    return best
