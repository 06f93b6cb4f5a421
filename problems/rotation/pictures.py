"""Pictures of a result, for `dfoattack solve --plot`: bodies and chains with their targets, answers beside the truth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["draw_answer", "draw_tree"]

FloatArray = npt.NDArray[np.float64]
Predict = Callable[[FloatArray], FloatArray]
RIGHT, WRONG = "0.5", "C3"


def draw_tree(
    result: Any, figure: Any, *, places: Predict, parents: Sequence[int], targets: FloatArray, start: FloatArray
) -> None:
    """Draw the joints of the start and of `result.x`, and the targets; the vertical axis is y.

    Parameters
    ----------
    result : any object with `x` (n,) and `fun`
    figure : matplotlib.figure.Figure       drawn into, not shown
    places : callable X (1, n) -> (J, 3)    joint positions
    targets : float64 (t, 3)
    start : float64 (n,)
    """
    axes = figure.add_subplot(projection="3d")
    for x, colour, label in ((start, RIGHT, "start"), (np.asarray(result.x), "C0", "result")):
        joints = places(x[None])
        for j, parent in enumerate(parents[1:], start=1):
            bone = joints[[parent, j]]
            axes.plot(bone[:, 2], bone[:, 0], bone[:, 1], "o-", ms=3, color=colour, label=label if j == 1 else None)
    axes.plot(targets[:, 2], targets[:, 0], targets[:, 1], "x", ms=9, mew=2, color=WRONG, label="target")
    axes.set(xlabel="z", ylabel="x", zlabel="y", title=f"distance left {np.sqrt(max(0.0, -float(result.fun))):.3g}")
    axes.set_aspect("equal")
    axes.legend(frameon=False, fontsize="small")


def draw_answer(result: Any, figure: Any, *, answers: Predict, cloud: FloatArray) -> None:
    """Draw an object (q, 3) as it was turned by the rotation of `result.x`, and as the network answers.

    answers : callable X (1, n) -> (1, 18)      answer of the network, then the rotation, row by row
    """
    axes = figure.add_subplot(projection="3d")
    answer, truth = answers(np.asarray(result.x)[None]).reshape(2, 3, 3)
    for rotation, colour, label in ((truth, RIGHT, "as it is"), (answer, WRONG, "as the network answers")):
        axes.scatter(*(cloud @ rotation.T).T, s=8, color=colour, label=label)
    axes.set_title(f"{float(result.fun):.4g}\N{DEGREE SIGN} apart")
    axes.set_aspect("equal")
    axes.legend(frameon=False, fontsize="small")
