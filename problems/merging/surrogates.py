"""Phi of the solver's problems: decision variables -> logits of edited models, as torch modules (k, n) -> (k, m)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .bank import Bank
from .data import Split
from .editing import EditedFeatures, EditedLogits, groups_of
from .linearize import linear_forward
from .model import cosine_logits

__all__ = ["AffineLogits", "MergedLogits", "PairLogits"]


class MergedLogits(nn.Module):
    """x (k, n) -> logits (k, m) of the model with coefficients `layout` @ x.

    Parameters
    ----------
    logits : EditedLogits
    layout : float64 (T * G, n)     from decision variables to coefficients
    """

    def __init__(self, logits: EditedLogits, layout: Tensor) -> None:
        super().__init__()
        self.logits = logits
        self.register_buffer("layout", layout, persistent=True)

    def forward(self, x: Tensor) -> Tensor:
        """(k, n) -> (k, m)."""
        return self.logits(x.to(self.layout.dtype) @ self.layout.T)


class PairLogits(nn.Module):
    """Logits behind the disentanglement error of two tasks: x = (a1, a2) -> four blocks (k, 4 N C).

    Blocks: task 1 edited with a1 alone, task 2 with a2 alone, task 1 with both, task 2 with both; heads of the task.
    """

    def __init__(self, bank: Bank, pair: tuple[int, int], splits: Sequence[Split], mode: str) -> None:
        super().__init__()
        taus = [bank.vectors_of(mode)[t] for t in pair]
        self.edited = nn.ModuleList(EditedFeatures(bank, split.X, mode, vectors=taus) for split in splits)
        self.scale = bank.scale
        for place, t in enumerate(pair):
            self.register_buffer(f"head_{place}", bank.heads[t], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(k, 2) -> (k, 4 N C)."""
        alone = [x * x.new_tensor(mask) for mask in ((1.0, 0.0), (0.0, 1.0))]
        blocks = [self._logits(place, alone[place]) for place in (0, 1)] + [self._logits(place, x) for place in (0, 1)]
        return torch.cat(blocks, 1)

    def _logits(self, place: int, A: Tensor) -> Tensor:
        return cosine_logits(self.edited[place](A), getattr(self, f"head_{place}"), self.scale).flatten(1)


class AffineLogits(nn.Module):
    """x (k, n) -> logits (k, m) of the network linearised at theta_0 as a whole, cosine heads included, in float64.

    The logits are affine in x, so every cross-entropy is convex in x. n = T (one coefficient a task) or T times the
    number of tensors.
    """

    def __init__(self, bank: Bank, sets: Sequence[tuple[int, Split]], per_tensor: bool) -> None:
        super().__init__()
        theta = {name: value.double() for name, value in bank.theta_0.items()}
        groups = groups_of(list(theta), "tensor" if per_tensor else "all")
        directions = [
            {name: tau[name].double() for name in group} for tau in bank.vectors_of("linear") for group in groups
        ]
        values, slopes = [], []
        with torch.no_grad():
            for number, split in sets:
                network = _Behind(bank.encoder, bank.heads[number].double(), bank.scale)
                own = {f"encoder.{name}": value for name, value in theta.items()}
                rows = []
                value = None
                for direction in directions:
                    tangent = {f"encoder.{name}": tau for name, tau in direction.items()}
                    value, slope = linear_forward(network, own, tangent, split.X.double())
                    rows.append(slope.flatten())
                assert value is not None
                values.append(value.flatten())
                slopes.append(torch.stack(rows))
        self.register_buffer("value", torch.cat(values))
        self.register_buffer("slopes", torch.cat(slopes, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(k, n) -> (k, m)."""
        return self.value + x @ self.slopes


class _Behind(nn.Module):
    """An encoder with a cosine head on top."""

    def __init__(self, encoder: nn.Module, head: Tensor, scale: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.scale = scale
        self.register_buffer("head", head)

    def forward(self, X: Tensor) -> Tensor:
        """(N, ...) -> (N, C)."""
        return cosine_logits(self.encoder(X), self.head, self.scale)
