"""Pictures of the study: percentile curves, and the cases on which networks fail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .experiments import SAMPLE, SHARES, Errors
from .representations import REPRESENTATIONS

__all__ = ["Results", "failures", "percentiles"]

FloatArray = npt.NDArray[np.float64]
Results = dict[str, dict[str, list[Errors]]]
"""Experiment -> representation -> errors of each seed."""
TITLES = {"sanity": "sanity test", "cloud": "point cloud", "ik": "inverse kinematics"}
HEADS = {
    "sanity": "Sanity test: error against the angle of the rotation, degrees; grey: a thousand rotations, red: the worst thousand",
    "cloud": "Point cloud, the worst case: grey as it was turned, red as the network answers",
    "ik": "Inverse kinematics, the worst pose: grey as it was asked for, red as it was answered",
}
COLOURS = {name: f"C{i}" for i, name in enumerate(REPRESENTATIONS)}
TRUE, WRONG = "0.6", "C3"
COLUMNS = 5


def percentiles(results: Results, path: Path) -> None:
    """Draw the error below which a share of the test cases lies, one panel an experiment, one curve a seed."""
    figure = _figure(4.4 * len(results) + 1.8, 4.2)
    shown: dict[str, Any] = {}
    for axes, (kind, reps) in zip(np.atleast_1d(figure.subplots(1, len(results))), results.items(), strict=True):
        for rep, runs in reps.items():
            for errors in runs:
                (line,) = axes.plot(100.0 * (1.0 - SHARES[:-1]), errors.quantiles[:-1], color=COLOURS[rep], lw=1.2)
                shown[REPRESENTATIONS[rep].label] = line
        unit = "cm" if kind == "ik" else "degrees"
        axes.set(xscale="log", yscale="log", title=TITLES[kind], xlabel="cases with a larger error, %")
        axes.set(xlim=(100.0, 100.0 * (1.0 - SHARES[-2])), ylabel=f"error, {unit}")
        axes.set_ylim(bottom=_foot(reps))
        for axis, steps in ((axes.xaxis, (1.0,)), (axes.yaxis, (1.0, 2.0, 5.0))):
            _plain_numbers(axis, steps)
        axes.grid(alpha=0.3)
    figure.legend(list(shown.values()), list(shown), loc="outside right center", frameon=False, fontsize="small")
    _save(figure, path)


def _foot(reps: dict[str, list[Errors]]) -> float:
    """Where the error axis begins: what 99 % of the cases exceed; the very small errors say nothing."""
    return min(errors.at(0.01) for runs in reps.values() for errors in runs)


def _plain_numbers(axis: Any, steps: Sequence[float]) -> None:
    """Write 0.1, 1, 10 instead of powers."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def failures(results: Results, path: Path, cloud: FloatArray, parents: Sequence[int]) -> None:
    """Draw where autoencoders err, the worst answers for the cloud, and the worst poses; first seeds."""
    rows = [-(-len(reps) // COLUMNS) for reps in results.values()]
    figure = _figure(2.6 * COLUMNS, 2.7 * sum(rows))
    parts = np.atleast_1d(figure.subfigures(len(results), 1, height_ratios=rows))
    for part, count, (kind, reps) in zip(parts, rows, results.items(), strict=True):
        part.suptitle(HEADS[kind], fontsize="medium")
        for place, (rep, runs) in enumerate(reps.items(), start=1):
            if kind == "sanity":
                axes = part.add_subplot(count, COLUMNS, place)
                _angles(axes, runs[0])
            else:
                axes = part.add_subplot(count, COLUMNS, place, projection="3d")
                (_clouds(axes, runs[0], cloud) if kind == "cloud" else _bodies(axes, runs[0], parents))
            unit = " cm" if kind == "ik" else "\N{DEGREE SIGN}"
            axes.set_title(f"{REPRESENTATIONS[rep].label}: {runs[0].largest:.3g}{unit}", fontsize="small")
    _save(figure, path)


def _angles(axes: Any, errors: Errors) -> None:
    """Error against the angle of the rotation: representations with a cut at half a turn fail there."""
    for sample, colour in ((errors.sample[:SAMPLE], TRUE), (errors.sample[SAMPLE:], WRONG)):
        axes.plot(sample[:, 0], sample[:, 1], ".", markersize=2, color=colour)
    axes.set(xlim=(0, 180), yscale="log", ylim=(1e-1, 250), xticks=(0, 60, 120, 180))
    _plain_numbers(axes.yaxis, (1.0,))
    axes.tick_params(labelsize="x-small")


def _clouds(axes: Any, errors: Errors, cloud: FloatArray) -> None:
    """The object as it was turned, and as the network believes; lines between the two places of a point."""
    true, wrong = (cloud @ rotation[0].T for rotation in (errors.truth, errors.answer))
    for pair in np.stack([true, wrong], axis=1):
        axes.plot(*pair.T, color=WRONG, lw=0.4, alpha=0.5)
    axes.scatter(*true.T, s=7, color=TRUE)
    axes.scatter(*wrong.T, s=7, color=WRONG)
    _bare(axes, np.concatenate([true, wrong]))


def _bodies(axes: Any, errors: Errors, parents: Sequence[int]) -> None:
    """The pose that was asked for, and the one that was answered; the vertical axis is y."""
    poses = np.stack([errors.truth[0], errors.answer[0]])[..., [2, 0, 1]]
    for pose, colour in zip(poses, (TRUE, WRONG), strict=True):
        for j, parent in enumerate(parents[1:], start=1):
            axes.plot(*pose[[parent, j]].T, color=colour, lw=1.5)
    _bare(axes, poses.reshape(-1, 3))


def _bare(axes: Any, points: FloatArray) -> None:
    """A cube just round the points (k, 3), without axes."""
    low, high = points.min(0), points.max(0)
    middle, half = 0.5 * (low + high), 0.5 * float((high - low).max())
    for set_limits, m in zip((axes.set_xlim, axes.set_ylim, axes.set_zlim), middle, strict=True):
        set_limits(m - half, m + half)
    axes.set_box_aspect((1, 1, 1), zoom=1.3)
    axes.set_axis_off()


def _figure(width: float, height: float) -> Any:
    """A figure without a window; matplotlib is imported only where something is drawn."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=110)
