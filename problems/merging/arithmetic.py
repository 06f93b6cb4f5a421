"""Task arithmetic: addition, negation, weight disentanglement, non-linear advantage.

Source: Ortiz-Jimenez, Favero, Frossard, "Task arithmetic in the tangent space", NeurIPS 2023, sections 3 to 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import torch
from torch import Tensor

from .bank import Bank, Mode
from .data import Split, TaskFamily
from .editing import EditedFeatures, EditedLogits
from .model import cosine_logits

__all__ = [
    "GRID",
    "Addition",
    "Negation",
    "addition",
    "disentanglement",
    "mean_disentanglement",
    "negation",
    "nonlinear_advantage",
    "single",
]

GRID = torch.linspace(0.0, 1.0, 21, dtype=torch.float64)
CONTROL_SHARE = 0.95


class Addition(NamedTuple):
    """alpha chosen on validation; test accuracies of the tasks, the control's, and what each task reaches alone."""

    alpha: float
    accuracies: tuple[float, ...]
    control: float
    single: tuple[float, ...]

    @property
    def absolute(self) -> float:
        """Mean test accuracy over tasks."""
        return sum(self.accuracies) / len(self.accuracies)

    @property
    def normalised(self) -> float:
        """Mean over tasks of accuracy / single-task accuracy of the same mode."""
        return sum(a / s for a, s in zip(self.accuracies, self.single, strict=True)) / len(self.single)


class Negation(NamedTuple):
    """Means over tasks: test accuracy of the forgotten task, of the control, and the alphas."""

    target: float
    control: float
    alphas: tuple[float, ...]


def sets_of(family: TaskFamily, split: str) -> list[tuple[int, Split]]:
    """One split ("train", "val", "test") of every task and the control, with the numbers of their heads."""
    return [(t, getattr(task, split)) for t, task in enumerate(family.all)]


def single(bank: Bank, family: TaskFamily, mode: Mode, split: str) -> list[float]:
    """Accuracy of every task's own edited model, alpha = 1."""
    tasks = len(family.tasks)
    logits = EditedLogits(bank, sets_of(family, split)[:-1], mode)
    return logits.measure(torch.eye(tasks, dtype=torch.float64)).diagonal().tolist()


def addition(bank: Bank, family: TaskFamily, mode: Mode) -> Addition:
    """tau = sum of all tau_t; alpha from 21 points by mean normalised validation accuracy; measured on test."""
    tasks = len(family.tasks)
    A = GRID[:, None].expand(-1, tasks)
    reference = torch.tensor(single(bank, family, mode, "val"), dtype=torch.float64)
    found = EditedLogits(bank, sets_of(family, "val"), mode).measure(A)[:, :-1]
    best = int(torch.argmax((found / reference).mean(1)))
    test = EditedLogits(bank, sets_of(family, "test"), mode).measure(A[best : best + 1])[0].tolist()
    return Addition(float(GRID[best]), tuple(test[:-1]), test[-1], tuple(single(bank, family, mode, "test")))


def choose_negation(target: Tensor, control: Tensor) -> int:
    """Index of the lowest target accuracy whose control accuracy is at least 95 % of the first row's; row 0 is alpha = 0.

    Row 0 always qualifies, so the answer is 0 when nothing else passes. Ties: the smallest alpha.
    """
    allowed = control >= CONTROL_SHARE * control[0]
    return int(torch.argmin(torch.where(allowed, target, torch.inf)))


def negation(bank: Bank, family: TaskFamily, mode: Mode) -> Negation:
    """theta_0 - alpha tau_t for every task: forget it and keep the control."""
    control = len(family.tasks)
    targets, controls, alphas = [], [], []
    for t, task in enumerate(family.tasks):
        one = [bank.vectors_of(mode)[t]]
        sets = {
            split: [(t, getattr(task, split)), (control, getattr(family.control, split))] for split in ("val", "test")
        }
        val = EditedLogits(bank, sets["val"], mode, vectors=one).measure(-GRID[:, None])
        best = choose_negation(val[:, 0], val[:, 1])
        test = EditedLogits(bank, sets["test"], mode, vectors=one).measure(-GRID[best : best + 1, None])[0]
        targets.append(float(test[0]))
        controls.append(float(test[1]))
        alphas.append(float(GRID[best]))
    return Negation(sum(targets) / control, sum(controls) / control, tuple(alphas))


def disentanglement(
    bank: Bank, family: TaskFamily, mode: Mode, pair: tuple[int, int], axis: Tensor, samples: int | None = None
) -> Tensor:
    """Weight disentanglement error xi on the grid axis x axis for two tasks: (len(axis), len(axis)), rows are a1.

    xi(a1, a2) = sum over the two tasks of the share of test inputs whose class under theta_0 + a_t tau_t differs from
    that under theta_0 + a1 tau_1 + a2 tau_2 (heads of task t). In [0, 2]; 0 at the origin, not on the axes.

    samples : int, optional         of every task's test split; None: all
    """
    size = len(axis)
    grid = torch.cartesian_prod(axis, axis)
    taus = [bank.vectors_of(mode)[t] for t in pair]
    total = torch.zeros(size * size, dtype=torch.float64)
    for place, t in enumerate(pair):
        X = family.tasks[t].test.X[:samples]
        edited = EditedFeatures(bank, X, mode, vectors=taus)
        alone = torch.zeros(size, 2, dtype=torch.float64)
        alone[:, place] = axis
        single_classes = _classes(edited, alone, bank.heads[t])
        rows = torch.arange(size * size)
        own = single_classes[rows // size if place == 0 else rows % size]
        total += (own != _classes(edited, grid, bank.heads[t])).double().mean(1)
    return total.reshape(size, size)


def mean_disentanglement(
    bank: Bank, family: TaskFamily, mode: Mode, low: float, high: float, points: int = 5, samples: int | None = None
) -> float:
    """xi averaged over a grid on [low, high]^2 and over the pairs (0, 1), (0, 2), (1, 2) of the first three tasks."""
    axis = torch.linspace(low, high, points, dtype=torch.float64)
    pairs = list(combinations(range(min(3, len(family.tasks))), 2))
    return float(torch.stack([disentanglement(bank, family, mode, p, axis, samples).mean() for p in pairs]).mean())


@torch.no_grad()
def _classes(edited: EditedFeatures, A: Tensor, head: Tensor) -> Tensor:
    return torch.cat([cosine_logits(edited(block), head).argmax(-1) for block in A.split(8)])


def nonlinear_advantage(linear: Sequence[float], standard: Sequence[float], classes: int) -> list[float]:
    """(err_lin - err_std) / (1 - 1/C) of single-task accuracies, task by task; positive: the standard model is better."""
    return [(s - lin) / (1.0 - 1.0 / classes) for lin, s in zip(linear, standard, strict=True)]
