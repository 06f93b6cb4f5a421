"""The picture of a result: initial map, counterfactual map, the map that the wanted route is from, and both routes."""

from __future__ import annotations

from typing import Any

import numpy as np

from .model import MapNet
from .routes import BoolArray, cheapest
from .task import Task, map_costs
from .terrain import SIDE, TILE

__all__ = ["draw"]

WANTED, CHEAPEST = "#ffffff", "#d81b60"


def draw(result: Any, figure: Any, *, net: MapNet, task: Task) -> None:
    """Draw three decoded maps with the wanted route (white) and the cheapest route of each map (red), and tile costs.

    Parameters
    ----------
    result : any object with `x` (64,)      for instance a `dfoattack.Result`; `fun` is written in the title if present
    figure : matplotlib.figure.Figure       drawn into, not shown; six axes are added
    net, task : MapNet, Task                of the problem that was solved
    """
    codes = [task.x_initial, np.asarray(result.x, dtype=np.float64), task.x_alternative]
    costs = map_costs(net, np.array(codes))
    values, on = cheapest(costs)
    axes = figure.subplots(2, 3)
    for j, title in enumerate(("initial map", "counterfactual", "map of the wanted route")):
        top, bottom = axes[0, j], axes[1, j]
        top.imshow(net.picture(codes[j]), extent=(0, SIDE, SIDE, 0), interpolation="nearest")
        _route(top, task.wanted, WANTED, "s", "wanted")
        _route(top, on[j], CHEAPEST, "o", "cheapest")
        top.set_title(f"{title}\nwanted {costs[j] @ task.wanted:.1f}, cheapest {values[j]:.1f}", fontsize="medium")
        shown = bottom.imshow(
            costs[j].reshape(SIDE, SIDE), extent=(0, SIDE, SIDE, 0), vmin=0.5, vmax=8.0, cmap="cividis"
        )
        _route(bottom, on[j], CHEAPEST, "o", "cheapest")
        bottom.set_title("tile costs", fontsize="small")
        for ax in (top, bottom):
            ax.set_xticks([])
            ax.set_yticks([])
    axes[0, 0].legend(loc="lower left", fontsize="small", framealpha=0.8)
    figure.colorbar(shown, ax=list(axes[1]), shrink=0.8)
    value = getattr(result, "fun", None)
    told = "" if value is None else f"f = {float(value):.4f}, "
    figure.suptitle(f"{told}change of the code {np.linalg.norm(codes[1] - codes[0]):.2f}", fontsize="medium")


def _route(axes: Any, on: BoolArray, colour: str, marker: str, label: str) -> None:
    """Mark the tiles of a route in their middles."""
    tiles = np.flatnonzero(on)
    axes.plot(
        tiles % SIDE + 0.5, tiles // SIDE + 0.5, marker, color=colour, markersize=2.2 * TILE if marker == "s" else TILE,
        markerfacecolor="none" if marker == "s" else colour, markeredgewidth=1.2, label=label,
    )  # fmt: skip
