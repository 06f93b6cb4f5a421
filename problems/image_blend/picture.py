"""The picture of a result: the start, the blend, the target, the weights, and what the classifier says."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from .images import FloatArray
from .model import Blend

__all__ = ["draw"]

SHOWN = 6


def draw(
    result: Any,
    figure: Any,
    *,
    blend: Blend,
    pictures: FloatArray,
    names: list[str],
    aim: FloatArray,
    wanted: FloatArray,
) -> None:
    """Draw the mean of all pictures, the blend and the target in a row; weights and class probabilities below.

    Parameters
    ----------
    result : any object with `x` (n,)       for instance a `dfoattack.Result`; `fun` is written in the title if present
    figure : matplotlib.figure.Figure       drawn into, not shown; five axes are added
    blend : Blend                           the network of the problem that was solved
    pictures, names : float64 (n, 3, h, w), list of str
    aim, wanted : float64 (3, h, w), (1000,)    the target picture and the classifier's answer to it
    """
    x = np.asarray(result.x, dtype=np.float64)
    weights = np.exp(x - x.max())
    weights /= weights.sum()
    dtype = next(iter(blend.buffers())).dtype
    with torch.inference_mode():
        answers = blend(torch.tensor(np.array([np.zeros_like(x), x]), dtype=dtype)).numpy()
    grid = figure.add_gridspec(2, 6, height_ratios=(3, 2))
    shown = (
        ("start: mean of all", pictures.mean(0)),
        ("blend", np.tensordot(weights, pictures, 1)),
        ("target", aim),
    )
    for j, (title, picture) in enumerate(shown):
        axes = figure.add_subplot(grid[0, 2 * j : 2 * j + 2])
        axes.imshow(np.clip(picture.transpose(1, 2, 0), 0.0, 1.0))
        axes.set_title(title, fontsize="medium")
        axes.axis("off")
    largest = np.argsort(-weights)[:SHOWN][::-1]
    left = figure.add_subplot(grid[1, :3])
    left.barh([names[i] for i in largest], weights[largest], color="#0072b2")
    left.set_xlim(0.0, 1.0)
    left.set_title("largest weights", fontsize="small")
    left.tick_params(labelsize="small")
    right = figure.add_subplot(grid[1, 3:])
    top = np.argsort(-np.maximum(wanted, answers.max(0)))[:SHOWN][::-1]
    place = np.arange(len(top))
    for offset, label, values, colour in (
        (0.27, "target", wanted, "#202124"), (0.0, "blend", answers[1], "#d55e00"), (-0.27, "start", answers[0], "#9aa0a6"),
    ):  # fmt: skip
        right.barh(place + offset, values[top], height=0.26, color=colour, label=label)
    right.set_yticks(place, [f"class {i}" for i in top])
    right.set_xlim(0.0, 1.0)
    right.set_title("class probabilities", fontsize="small")
    right.legend(loc="lower right", fontsize="small", frameon=False)
    right.tick_params(labelsize="small")
    value = getattr(result, "fun", None)
    figure.suptitle("" if value is None else f"f = {float(value):.3e}", fontsize="medium")
