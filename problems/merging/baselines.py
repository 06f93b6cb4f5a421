"""Merging methods from the literature, in a few lines each on task vectors.

A merging library would bring language models and their tokenisers along; what is needed here is elementwise arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from .editing import EditedLogits
from .scores import Score
from .task_vectors import TaskVector

__all__ = ["AdaMerging", "adamerging", "dare", "greedy_soup", "ties", "uniform_soup"]


def ties(vectors: Sequence[TaskVector], keep: float = 0.2) -> TaskVector:
    """TIES: trim each vector to its `keep` largest entries, elect a sign per entry, average the entries that agree.

    The elected sign is that of the sum of the trimmed entries; entries with another sign, and trimmed ones, do not
    count in the mean. The result is to be scaled by one coefficient.

    keep : float in (0, 1]          share of all entries of a vector

    Source: Yadav et al., "TIES-merging", NeurIPS 2023, algorithm 1.
    """
    if not 0.0 < keep <= 1.0:
        raise ValueError(f"`keep` must lie in (0, 1], got {keep}.")
    names = list(vectors[0])
    shapes = [vectors[0][name].shape for name in names]
    flat = torch.stack([torch.cat([tau[name].flatten() for name in names]) for tau in vectors])
    count = max(1, round(keep * flat.shape[1]))
    thresholds = flat.abs().kthvalue(flat.shape[1] - count + 1, dim=1, keepdim=True).values
    trimmed = torch.where(flat.abs() >= thresholds, flat, 0.0)
    elected = torch.sign(trimmed.sum(0))
    agree = (torch.sign(trimmed) == elected) & (trimmed != 0.0)
    merged = (trimmed * agree).sum(0) / agree.sum(0).clamp(min=1)
    parts = merged.split([shape.numel() for shape in shapes])
    return TaskVector({name: part.reshape(shape) for name, shape, part in zip(names, shapes, parts, strict=True)})


def dare(vectors: Sequence[TaskVector], drop: float, generator: torch.Generator) -> list[TaskVector]:
    """DARE: drop every entry with probability `drop`, divide the others by 1 - drop, so that the mean stays.

    drop : float in [0, 1)

    Source: Yu et al., "Language models are super Mario", ICML 2024, section 3.
    """
    if not 0.0 <= drop < 1.0:
        raise ValueError(f"`drop` must lie in [0, 1), got {drop}.")
    return [
        TaskVector(
            {
                name: value * (torch.rand(value.shape, generator=generator) >= drop) / (1.0 - drop)
                for name, value in tau.items()
            }
        )
        for tau in vectors
    ]


def uniform_soup(tasks: int) -> Tensor:
    """Coefficients (T,) of the mean of the T fine-tuned models. Source: Wortsman et al., "Model soups", ICML 2022."""
    return torch.full((tasks,), 1.0 / tasks, dtype=torch.float64)


def greedy_soup(value: Callable[[Tensor], float], tasks: int) -> tuple[Tensor, int]:
    """Greedy soup: models by their own value, best first, each kept in the mean if the value does not fall.

    value : callable, coefficients (T,) -> float        to be maximised

    Returns
    -------
    coefficients (T,), evaluations used

    Source: Wortsman et al., "Model soups", ICML 2022, recipe 1.
    """
    alone = [value(row) for row in torch.eye(tasks, dtype=torch.float64)]
    order = sorted(range(tasks), key=lambda t: -alone[t])
    chosen, best = [order[0]], alone[order[0]]
    for t in order[1:]:
        mean = torch.zeros(tasks, dtype=torch.float64)
        mean[[*chosen, t]] = 1.0 / (len(chosen) + 1)
        found = value(mean)
        if found >= best:
            chosen, best = [*chosen, t], found
    result = torch.zeros(tasks, dtype=torch.float64)
    result[chosen] = 1.0 / len(chosen)
    return result, 2 * tasks - 1


class AdaMerging(NamedTuple):
    """Last coefficients (T * G,), and the entropy before every step."""

    coefficients: Tensor
    entropies: list[float]


def adamerging(
    logits: EditedLogits,
    weights: Sequence[float],
    steps: int,
    *,
    start: float = 0.3,
    rate: float = 1e-2,
    bounds: tuple[float, float] = (-0.5, 1.5),
) -> AdaMerging:
    """AdaMerging: Adam on the entropy of predictions for inputs without labels.

    Parameters
    ----------
    logits : EditedLogits       of the unlabelled inputs; task-wise or layer-wise by its grouping
    weights : a weight a set    of its entropy (0: not used)
    steps : int                 each costs one value and one vector-Jacobian product
    start, rate : float         of all coefficients; of Adam (published: 0.3 and 1e-3 with many more steps)
    bounds : every coefficient is put back into them after a step

    Source: Yang et al., "AdaMerging", ICLR 2024.
    """
    coefficients = torch.full((logits.coefficients,), start, dtype=torch.float64, requires_grad=True)
    score = Score(logits.blocks, tuple(weights), "entropy")
    optimizer = torch.optim.Adam([coefficients], lr=rate, betas=(0.9, 0.999))
    entropies = []
    for _ in range(steps):
        loss = -score(logits(coefficients[None]))[0]
        entropies.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            coefficients.clamp_(*bounds)
    return AdaMerging(coefficients.detach(), entropies)


def best_of_grid(values: np.ndarray, violations: np.ndarray) -> int:
    """Index of the largest value among rows without violation; of the least violation if all have one."""
    feasible = violations <= 0.0
    return int(np.argmax(np.where(feasible, values, -np.inf))) if feasible.any() else int(np.argmin(violations))
