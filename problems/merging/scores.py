"""Objectives and constraints of merged logits: batched torch functions of outputs (k, m), with their gradients.

Accuracy is piecewise constant. What attacks aim at instead is the expected accuracy, the mean probability of the right
class: it is in the same units and grows where accuracy does. Points are always judged by the accuracies.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .data import Split

__all__ = ["Blocks", "Disagreement", "Kind", "Score"]

FloatArray = npt.NDArray[np.float64]
Kind = Literal["accuracy", "expected", "loss", "entropy"]


@dataclass(frozen=True, eq=False)
class Blocks:
    """Where the logits (N_s, C_s) of each set lie in a row of m outputs, and the labels of the set."""

    labels: tuple[Tensor, ...]
    classes: tuple[int, ...]

    @classmethod
    def of(cls, sets: Sequence[tuple[int, Split]], heads: Sequence[Tensor]) -> Blocks:
        """Blocks of sets (head number, split)."""
        return cls(tuple(split.y for _, split in sets), tuple(len(heads[number]) for number, _ in sets))

    def accuracies(self, Y: Tensor) -> Tensor:
        """Share of right answers in every set: (k, m) -> float64 (k, S)."""
        return torch.stack([_accuracy(p.double(), y) for p, y in zip(self.parts(Y), self.labels, strict=True)], 1)

    def parts(self, Y: Tensor) -> list[Tensor]:
        """(k, m) -> one (k, N_s, C_s) a set."""
        sizes = [(len(y), c) for y, c in zip(self.labels, self.classes, strict=True)]
        return [
            part.reshape(len(Y), n, c)
            for part, (n, c) in zip(Y.split([n * c for n, c in sizes], 1), sizes, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class Score:
    """offset + sum_s weight_s * value of set s: outputs (k, m) -> (k,).

    The value is the accuracy, the expected accuracy, minus the cross-entropy ("loss") or minus the entropy; the last
    two are means in nats. Sets with weight 0 are skipped.
    """

    blocks: Blocks
    weights: tuple[float, ...]
    kind: Kind = "accuracy"
    offset: float = 0.0

    def __call__(self, Y: Tensor) -> Tensor:
        """(k, m) -> (k,)."""
        total = Y.new_full((len(Y),), self.offset)
        for part, y, weight in zip(self.blocks.parts(Y), self.blocks.labels, self.weights, strict=True):
            if weight:
                total = total + weight * _VALUES[self.kind](part, y)
        return total

    @property
    def soft(self) -> Score | None:
        """The stand-in that attacks aim at; None where the score is smooth itself."""
        return replace(self, kind="expected") if self.kind == "accuracy" else None

    def soft_gradient(self, X: FloatArray, Y: FloatArray, W: FloatArray) -> tuple[None, FloatArray]:
        """Gradient of the stand-in (or of the score itself) by the outputs, times weights W (k, 1): (k, m)."""
        score = self.soft or self
        with torch.enable_grad():
            leaf = torch.from_numpy(np.array(Y)).requires_grad_()
            (back,) = torch.autograd.grad(score(leaf).sum(), leaf)
        return None, W.reshape(-1, 1) * back.numpy()

    def fingerprint(self) -> str:
        """Digest of labels, weights, kind and offset."""
        text = repr((self.weights, self.kind, self.offset, self.blocks.classes))
        return hashlib.sha256(text.encode() + b"".join(y.numpy().tobytes() for y in self.blocks.labels)).hexdigest()[
            :32
        ]


@dataclass(frozen=True, eq=False)
class Disagreement:
    """sign * xi from the outputs of `PairLogits`: (k, 4 N C) -> (k,).

    xi = sum over two tasks of the share of inputs whose class differs between "alone" and "both".
    """

    sign: float
    classes: tuple[int, int]
    samples: tuple[int, int]
    expected: bool = False

    def __call__(self, Y: Tensor) -> Tensor:
        """(k, m) -> (k,)."""
        if self.expected:
            shares = [1.0 - (a.softmax(-1) * b.softmax(-1)).sum(-1).mean(1) for a, b in self._pairs(Y)]
            return self.sign * (shares[0] + shares[1])
        shares = [(a.argmax(-1) != b.argmax(-1)).to(Y.dtype).mean(1) for a, b in self._pairs(Y)]
        return self.sign * (shares[0] + shares[1])

    @property
    def soft(self) -> Disagreement:
        """The stand-in that attacks aim at: the expected disagreement of classes drawn from the two predictions."""
        return replace(self, expected=True)

    def _pairs(self, Y: Tensor) -> list[tuple[Tensor, Tensor]]:
        widths = [n * c for n, c in zip(self.samples, self.classes, strict=True)]
        blocks = Y.split(widths * 2, 1)
        return [
            tuple(blocks[place + step].reshape(len(Y), n, c) for step in (0, 2))  # type: ignore[misc]
            for place, (n, c) in enumerate(zip(self.samples, self.classes, strict=True))
        ]

    def fingerprint(self) -> str:
        """Sign, sizes and kind."""
        return repr((self.sign, self.classes, self.samples, self.expected))


def _accuracy(logits: Tensor, labels: Tensor) -> Tensor:
    return (logits.argmax(-1) == labels).to(logits.dtype).mean(1)


def _expected(logits: Tensor, labels: Tensor) -> Tensor:
    return _chosen(torch.log_softmax(logits, -1), labels).exp().mean(1)


def _loss(logits: Tensor, labels: Tensor) -> Tensor:
    return _chosen(torch.log_softmax(logits, -1), labels).mean(1)


def _entropy(logits: Tensor, labels: Tensor) -> Tensor:
    logs = torch.log_softmax(logits, -1)
    return (logs.exp() * logs).sum(-1).mean(1)


_VALUES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "accuracy": _accuracy,
    "expected": _expected,
    "loss": _loss,
    "entropy": _entropy,
}


def _chosen(values: Tensor, labels: Tensor) -> Tensor:
    return values.gather(-1, labels.expand(len(values), -1).unsqueeze(-1)).squeeze(-1)
