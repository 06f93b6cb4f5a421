"""Picture of a design: the airfoil and its thickness against the limits."""

from __future__ import annotations

from typing import Any

import numpy as np

from .definition import START, FloatArray, Limits
from .geometry import STATIONS, TE_STATION, shape_matrix, surfaces

__all__ = ["picture"]


def picture(result: Any, figure: Any, limits: Limits) -> None:
    """Draw the airfoil of `result.x` and of the start, and below it both thicknesses with the limits.

    Parameters
    ----------
    result : any object with `x` (18,)      for instance a `dfoattack.Result`; `fun` is written in the title if present
    figure : matplotlib.figure.Figure       drawn into, not shown; two axes are added
    limits : Limits                         the limits of the problem that was solved
    """
    x = np.asarray(result.x, dtype=np.float64)
    s = (1.0 - np.cos(np.linspace(0.0, np.pi, 201))) / 2.0
    shape, thick = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for design, label, style in ((START, "start: NACA 0012", "0.6"), (x, "result", "C0")):
        upper, lower = surfaces(design, s)
        shape.plot(
            np.r_[s[::-1], s[1:]], np.r_[upper[::-1], lower[1:]], color=style, label=f"{label}, {design[17]:.2f} deg"
        )
        t = shape_matrix(s) @ (design[:8] - design[8:16])
        thick.plot(s, t, color=style)
    shape.set_aspect("equal", adjustable="datalim")
    shape.set_ylabel("y/c")
    shape.legend(loc="upper right", frameon=False, fontsize="small")
    shape.set_title(_title(result, x))
    thick.axhline(limits.max_thickness, color="C3", linestyle="--", linewidth=1.0, label="limit: somewhere")
    thick.plot(STATIONS[TE_STATION], limits.te_thickness, "^", color="C3", label="limit: here")
    thick.axhline(limits.min_thickness, color="C3", linewidth=1.0, label="limit: everywhere")
    thick.set_xlabel("x/c")
    thick.set_ylabel("thickness/c")
    thick.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize="small")


def _title(result: Any, x: FloatArray) -> str:
    value = getattr(result, "fun", None)
    return "airfoil" if value is None else f"airfoil, f = {float(value):.6g}, {x[17]:.2f} deg"
