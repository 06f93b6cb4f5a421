"""Pictures of the study: percentile curves, and the cases on which networks fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .experiments import SHARES, Errors
from .representations import REPRESENTATIONS

__all__ = ["Results", "failures", "percentiles"]

FloatArray = npt.NDArray[np.float64]
Results = dict[str, dict[str, list[Errors]]]
"""Experiment -> representation -> errors of each seed."""
TITLES = {"sanity": "sanity test", "cloud": "point cloud", "ik": "inverse kinematics"}
COLOURS = {name: f"C{i}" for i, name in enumerate(REPRESENTATIONS)}


def percentiles(results: Results, path: Path) -> None:
    """Draw the error below which a share of the test cases lies, one panel an experiment, one curve a seed."""
    figure = _figure(5.0 * len(results), 4.2)
    for axes, (kind, reps) in zip(np.atleast_1d(figure.subplots(1, len(results))), results.items(), strict=True):
        for rep, runs in reps.items():
            for seed, errors in enumerate(runs):
                label = REPRESENTATIONS[rep].label if seed == 0 else None
                axes.plot(100.0 * (1.0 - SHARES[:-1]), errors.quantiles[:-1], color=COLOURS[rep], lw=1.2, label=label)
        axes.set(xscale="log", yscale="log", title=TITLES[kind], xlabel="cases with a larger error, %")
        axes.invert_xaxis()
        axes.set_ylabel("error, cm" if kind == "ik" else "error, degrees")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize="small")
    _save(figure, path)


def failures(results: Results, path: Path, cloud: FloatArray, parents: Sequence[int]) -> None:
    """Draw where autoencoders err, the worst answers for the cloud, and the worst poses: a row each, first seeds."""
    columns = max(len(reps) for reps in results.values())
    figure = _figure(2.6 * columns, 2.9 * len(results))
    for row, (kind, reps) in enumerate(results.items()):
        for column, (rep, runs) in enumerate(reps.items()):
            place = (len(results), columns, row * columns + column + 1)
            if kind == "sanity":
                _angles(figure.add_subplot(*place), runs[0])
            else:
                axes = figure.add_subplot(*place, projection="3d")
                (_clouds(axes, runs[0], cloud) if kind == "cloud" else _bodies(axes, runs[0], parents))
            unit = " cm" if kind == "ik" else "\N{DEGREE SIGN}"
            figure.axes[-1].set_title(f"{REPRESENTATIONS[rep].label}: {runs[0].largest:.3g}{unit}", fontsize="small")
    _save(figure, path)


def _angles(axes: Any, errors: Errors) -> None:
    """Error against the angle of the rotation: representations with a cut at half a turn fail there."""
    axes.plot(errors.sample[:, 0], errors.sample[:, 1], ".", markersize=2)
    axes.set(xlim=(0, 180), yscale="log", ylim=(1e-2, 200), xlabel="angle of the rotation")
    axes.tick_params(labelsize="x-small")


def _clouds(axes: Any, errors: Errors, cloud: FloatArray) -> None:
    """The object as it was turned, and as the network believes."""
    for rotation, colour in ((errors.truth[0], "0.5"), (errors.answer[0], "C3")):
        points = cloud @ rotation.T
        axes.scatter(*points.T, s=5, color=colour)
    _plain(axes, 1.5)


def _bodies(axes: Any, errors: Errors, parents: Sequence[int]) -> None:
    """The pose that was asked for, and the one that was answered; the vertical axis is y."""
    for pose, colour in ((errors.truth[0], "0.5"), (errors.answer[0], "C3")):
        for j, parent in enumerate(parents[1:], start=1):
            bone = pose[[parent, j]]
            axes.plot(bone[:, 2], bone[:, 0], bone[:, 1], color=colour, lw=1.5)
    _plain(axes, 45.0)


def _plain(axes: Any, size: float) -> None:
    axes.set(xlim=(-size, size), ylim=(-size, size), zlim=(-size, size))
    axes.set_box_aspect((1, 1, 1))
    axes.set_axis_off()


def _figure(width: float, height: float) -> Any:
    """A figure without a window; matplotlib is imported only where something is drawn."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=110)
