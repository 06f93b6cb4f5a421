"""Picture of a merge: its coefficients, task by task."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["draw_coefficients"]


def draw_coefficients(result: Any, figure: Any) -> None:
    """Draw the coefficients of `result.x` as bars.

    Parameters
    ----------
    result : any object with `x` (n,)       for instance a `dfoattack.Result`; `fun` is written in the title if present
    figure : matplotlib.figure.Figure       drawn into, not shown; one axis is added
    """
    x = np.asarray(result.x, dtype=np.float64)
    axes = figure.subplots()
    axes.bar(np.arange(len(x)), x, color="C0")
    axes.axhline(0.0, color="0.3", linewidth=0.8)
    axes.set_xlabel("decision variable (tasks one after the other)")
    axes.set_ylabel("coefficient")
    value = getattr(result, "fun", None)
    axes.set_title("merging coefficients" if value is None else f"merging coefficients, f = {float(value):.6g}")
