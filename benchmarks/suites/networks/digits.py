"""The least change of a picture of a digit after which a classifier takes it for a given other digit.

The classifier is trained on the spot on scikit-learn's 1797 pictures of 8 x 8 pixels (Alpaydin and Kaynak 1998).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.suites.geometry import generator
from benchmarks.suites.networks.layers import random_network, train
from dfoattack import Box, Constraint, Problem

if TYPE_CHECKING:
    import numpy.typing as npt

    from dfoattack._typing import FloatArray

HIDDEN = (32, 32)
STEPS = 150
STARTS = 10


@lru_cache(maxsize=1)
def pictures() -> tuple[FloatArray, npt.NDArray[np.int64]]:
    """Pixels (1797, 64) in [0, 1] and digits (1797,). Raises ImportError, with the cure, without scikit-learn."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("The digits are scikit-learn's. Install `dfoattack[bench]`.") from error
    data = load_digits()
    return np.asarray(data.data, dtype=np.float64) / 16.0, np.asarray(data.target, dtype=np.int64)


@lru_cache(maxsize=32)
def classifier(activation: str, instance: int) -> tuple[torch.nn.Sequential, npt.NDArray[np.int64]]:
    """Pixels (k, 64) -> ten logits (k, 10), and what it takes each of the pictures for (1797,)."""
    X, digits = pictures()
    net = random_network((64, *HIDDEN, 10), activation, generator("digits", activation, instance))
    one_hot = np.eye(10)[digits]
    train(net, X, one_hot, torch.nn.functional.cross_entropy, STEPS)
    with torch.inference_mode():
        return net, net(torch.from_numpy(X)).argmax(dim=1).numpy()


def build(title: str, activation: str, label_only: bool, n: int, instance: int) -> Problem:
    """Minimise |x - picture|^2 s.t. the classifier says `target`.

    The constraint is `margin`, nine differences of logits, from the picture and slightly changed ones; or, `label_only`,
    `label`, -1/2 for yes and 1/2 for no, from pictures of the target.
    """
    X, digits = pictures()
    net, said = classifier(activation, instance)
    rng = generator("digit", activation, label_only, instance)
    right = np.flatnonzero(said == digits)
    picture = X[rng.choice(right)]
    source = int(digits[np.flatnonzero((X == picture).all(axis=1))[0]])
    target = int(rng.choice([d for d in range(10) if d != source]))
    if label_only:
        starts = X[rng.choice(right[digits[right] == target], STARTS, replace=False)]
    else:
        noise = 0.05 * rng.standard_normal((STARTS - 1, n))
        starts = np.vstack([picture, np.clip(picture + noise, 0.0, 1.0)])
    centre = torch.from_numpy(picture)
    others = [d for d in range(10) if d != target]

    def change(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return ((x - centre) ** 2).sum(dim=1)

    def margin(y: torch.Tensor) -> torch.Tensor:
        return y[:, others] - y[:, target : target + 1]

    def label(y: torch.Tensor) -> torch.Tensor:
        return 0.5 - (y.argmax(dim=1) == target).to(y.dtype)

    return Problem(
        name=title,
        sense="minimize",
        surrogate=net,
        objective=change,
        constraints=[Constraint(label, name="label") if label_only else Constraint(margin, name="margin")],
        space=Box(np.zeros(n), np.ones(n)),
        x0=starts,
        backend="torch",
    )
