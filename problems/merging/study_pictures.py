"""Pictures of the merging study."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dfoattack.errors import MissingExtraError

from .study_tables import spread

__all__ = ["draw_heat_maps", "draw_overfitting"]


def _figure(width: float, height: float) -> Any:
    try:
        module: Any = importlib.import_module("matplotlib.figure")
    except ModuleNotFoundError as cause:
        raise MissingExtraError("Pictures need matplotlib. Install `dfoattack[plot]`.") from cause
    return module.Figure(figsize=(width, height), layout="constrained")


def draw_heat_maps(seeds: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Disentanglement error over (a1, a2), mean over seeds, one map a mode; the dashed square is [0, 1]^2.

    seeds : for each seed {"axis": (p,), mode: (p, p), ...}, rows of a map are a1
    """
    axis = seeds[0]["axis"]
    modes = [name for name in seeds[0] if name != "axis"]
    figure = _figure(3.4 * len(modes) + 0.8, 3.4)
    panels = figure.subplots(1, len(modes), sharey=True, squeeze=False)[0]
    half = 0.5 * (axis[1] - axis[0])
    extent = (axis[0] - half, axis[-1] + half, axis[0] - half, axis[-1] + half)
    image = None
    for panel, mode in zip(panels, modes, strict=True):
        maps = np.array([seed[mode] for seed in seeds])
        image = panel.imshow(maps.mean(0).T, origin="lower", extent=extent, vmin=0.0, vmax=2.0, cmap="viridis")
        panel.plot([0, 1, 1, 0, 0], [0, 0, 1, 1, 0], color="white", linestyle="--", linewidth=1.0)
        panel.set_title(f"{mode}, mean {spread(maps.mean((1, 2)), 2)}")
        panel.set_xlabel("a1")
    panels[0].set_ylabel("a2")
    figure.colorbar(image, ax=panels, label="disentanglement error")
    figure.savefig(path, dpi=90)


def draw_overfitting(results: list[dict[str, Any]], path: Path) -> None:
    """What each search gains over the grid on validation and on test, mean over seeds: a row a bank; control kept or not.

    Marker: the solver; colour: what it searches. Below the diagonal: over-fitting.
    """
    banks = list(dict.fromkeys(result["bank"] for result in results if result["merging"]))
    figure = _figure(9.6, 3.6 * len(banks))
    panels = figure.subplots(len(banks), 2, squeeze=False)
    for line, bank in zip(panels, banks, strict=True):
        own = [result["merging"] for result in results if result["bank"] == bank]
        for panel, control in zip(line, (True, False), strict=True):
            for method, (val, test) in _gains(own, control).items():
                solver, _, searched = method.partition(", ")
                panel.plot(val, test, _MARKERS[solver], color=_COLOURS[searched], label=method)
            panel.axline((0.0, 0.0), slope=1.0, color="0.6", linewidth=0.8)
            panel.axhline(0.0, color="0.8", linewidth=0.8)
            panel.set_title(f"{bank}, {'95 % of the control kept' if control else 'control not looked at'}")
            panel.set_xlabel("gain over the grid on validation, points")
            panel.set_ylabel("gain on test, points")
    figure.legend(
        *panels[0, 0].get_legend_handles_labels(), loc="outside right center", fontsize="small", frameon=False
    )
    figure.savefig(path, dpi=90)


_MARKERS = {"dfoattack": "o", "CMA-ES": "s", "AdaMerging": "^"}
_COLOURS = {
    "task": "C4",
    "layer": "C5",
    "task, accuracy": "C0",
    "task, loss": "C1",
    "layer, accuracy": "C2",
    "layer, loss": "C3",
    "task, checked": "C7",
    "layer, checked": "C8",
}


def _gains(seeds: list[list[dict[str, Any]]], control: bool) -> dict[str, tuple[float, float]]:
    """Mean gain over the grid in points on validation and test, by method, of those that `_MARKERS` knows."""
    gains: dict[str, list[tuple[float, float]]] = {}
    for rows in seeds:
        own = {row["method"]: row for row in rows if row["control kept"] == control}
        for method, row in own.items():
            if method.partition(",")[0] in _MARKERS:
                val, test = (100 * (row[split] - own["grid"][split]) for split in ("validation", "test"))
                gains.setdefault(method, []).append((val, test))
    return {
        method: (float(np.mean([g[0] for g in found])), float(np.mean([g[1] for g in found])))
        for method, found in gains.items()
    }
