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
    """What each method gains over the grid on validation and on test, mean over seeds, one panel a bank."""
    banks = list(dict.fromkeys(result["bank"] for result in results))
    figure = _figure(5.2 * len(banks), 4.6)
    panels = figure.subplots(1, len(banks), squeeze=False)[0]
    for panel, bank in zip(panels, banks, strict=True):
        gains: dict[str, list[tuple[float, float]]] = {}
        for result in (r for r in results if r["bank"] == bank):
            rows = [row for row in result["merging"] if row["control kept"]]
            grid = next(row for row in rows if row["method"] == "grid")
            for row in rows:
                if row["method"].startswith(("dfoattack", "CMA", "Ada")):
                    gain = (100 * (row["validation"] - grid["validation"]), 100 * (row["test"] - grid["test"]))
                    gains.setdefault(row["method"], []).append(gain)
        for place, (method, values) in enumerate(sorted(gains.items())):
            val, test = np.mean(values, axis=0)
            marker = {"d": "o", "C": "s", "A": "^"}[method[0]]
            panel.plot(val, test, marker, color=f"C{place % 10}", label=method)
        low, high = panel.get_xlim()
        panel.plot([low, high], [low, high], color="0.6", linewidth=0.8)
        panel.axhline(0.0, color="0.8", linewidth=0.8)
        panel.set_title(bank)
        panel.set_xlabel("gain over the grid on validation, points")
        panel.set_ylabel("on test")
        panel.legend(fontsize="x-small", frameon=False)
    figure.savefig(path, dpi=110)
