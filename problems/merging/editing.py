"""Edited models in batches: many coefficient vectors, one call.

theta(a) = theta_0 + sum_t sum_g a_tg tau_tg, where g runs over groups of tensors: one group (a coefficient a task),
one per layer, or one per tensor. Standard mode evaluates f(x; theta(a)) for all candidates by `vmap` over
`functional_call`. The linearised modes are affine in a: the features J(x; theta_0) tau_tg are computed once, by forward
mode, and every candidate is a sum of them.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from .bank import Bank, Mode
from .data import Split
from .linearize import differentiable_attention, linear_forward
from .model import cosine_logits
from .scores import Blocks
from .task_vectors import TaskVector

__all__ = ["EditedFeatures", "EditedLogits", "Grouping", "groups_of"]

Grouping = Literal["all", "layer", "tensor"]
_CANDIDATES = 8  # at a time: their hidden activations should fit into the cache
_PARAMETERS = 2**26  # of all candidates at a time: large encoders are evaluated one by one


def groups_of(names: Sequence[str], grouping: Grouping) -> list[list[str]]:
    """Groups of parameter names: all in one, those of one layer together, or each alone."""
    if grouping == "all":
        return [list(names)]
    if grouping == "tensor":
        return [[name] for name in names]
    layers: dict[str, list[str]] = {}
    for name in names:
        layers.setdefault(name.rpartition(".")[0] or name, []).append(name)
    return list(layers.values())


class EditedFeatures(nn.Module):
    """Coefficients (k, T * G) -> features (k, N, d) of N fixed inputs.

    Parameters
    ----------
    bank : Bank
    X : Tensor (N, ...)
    mode : "standard" | "post-hoc" | "linear"
    grouping : "all" | "layer" | "tensor"
    vectors : sequence of TaskVector, optional
        instead of the bank's own for this mode
    """

    def __init__(
        self,
        bank: Bank,
        X: Tensor,
        mode: Mode = "standard",
        grouping: Grouping = "all",
        vectors: Sequence[TaskVector] | None = None,
    ) -> None:
        super().__init__()
        taus = bank.vectors_of(mode) if vectors is None else tuple(vectors)
        self.groups = groups_of(list(bank.theta_0), grouping)
        self.coefficients = len(taus) * len(self.groups)
        self.linear = mode != "standard"
        self.encoder = bank.encoder
        self.names = list(bank.theta_0)
        group_of = {name: g for g, group in enumerate(self.groups) for name in group}
        self.group_of = [group_of[name] for name in self.names]
        if self.linear:
            value, slopes = _affine(bank, taus, self.groups, X)
            self.register_buffer("value", value, persistent=False)
            self.register_buffer("slopes", slopes, persistent=False)
            return
        stacked = TaskVector.stack(taus)
        for i, name in enumerate(self.names):
            self.register_buffer(f"theta_{i}", bank.theta_0[name], persistent=False)
            self.register_buffer(f"tau_{i}", stacked[name], persistent=False)
        first = next(self.encoder.children(), None)
        self.stem = isinstance(self.encoder, nn.Sequential) and isinstance(first, nn.Linear)
        if self.stem:
            # The first layer's products with the inputs are affine in the coefficients: computed once, they leave a
            # third of the arithmetic on 8x8 pictures and a sixth on 14x14 ones.
            self.body = nn.Sequential(OrderedDict(list(self.encoder.named_children())[1:]))
            weight, bias = self.names[:2]
            self.register_buffer("products", X @ bank.theta_0[weight].T + bank.theta_0[bias], persistent=False)
            self.register_buffer("product_slopes", X @ stacked[weight].mT, persistent=False)
        else:
            self.register_buffer("X", X, persistent=False)

    def forward(self, A: Tensor) -> Tensor:
        """(k, T * G), task by task -> (k, N, d)."""
        if self.linear:
            return self.value + (A.to(self.slopes.dtype) @ self.slopes.flatten(1)).reshape(-1, *self.value.shape)
        size = sum(getattr(self, f"theta_{i}").numel() for i in range(len(self.names)))
        rows = max(1, min(_CANDIDATES, _PARAMETERS // size))
        return torch.cat([self._standard(block) for block in A.split(rows)])

    def _standard(self, A: Tensor) -> Tensor:
        coefficients = A.reshape(len(A), -1, len(self.groups))
        theta = {}
        for i, (name, g) in enumerate(zip(self.names, self.group_of, strict=True)):
            tau, start = getattr(self, f"tau_{i}"), getattr(self, f"theta_{i}")
            theta[name] = start + torch.tensordot(coefficients[:, :, g].to(tau.dtype), tau, 1)

        with differentiable_attention():
            if not self.stem:
                return vmap(lambda part: functional_call(self.encoder, part, (self.X,)))(theta)
            weight, bias = self.names[:2]
            del theta[weight]
            shift = theta.pop(bias) - self.theta_1
            scales = coefficients[:, :, self.group_of[0]].to(shift.dtype)
            hidden = self.products + torch.tensordot(scales, self.product_slopes, 1) + shift[:, None]
            return vmap(lambda part, h: functional_call(self.body, part, (h,)))(theta, hidden)


def _affine(bank: Bank, taus: Sequence[TaskVector], groups: list[list[str]], X: Tensor) -> tuple[Tensor, Tensor]:
    """Features at theta_0 (N, d), and their derivatives along every group of every task vector (T * G, N, d)."""
    value, slopes = None, []
    with torch.no_grad():
        for tau in taus:
            for group in groups:
                value, slope = linear_forward(bank.encoder, bank.theta_0, {name: tau[name] for name in group}, X)
                slopes.append(slope)
    assert value is not None
    return value, torch.stack(slopes)


class EditedLogits(nn.Module):
    """Coefficients (k, T * G) -> logits (k, m) of several sets of inputs, each behind its own head, side by side.

    m = sum over sets of N_s C_s; `blocks` takes them apart again.

    Parameters
    ----------
    sets : sequence of (head number, Split)
    others : as in `EditedFeatures`
    """

    def __init__(
        self,
        bank: Bank,
        sets: Sequence[tuple[int, Split]],
        mode: Mode = "standard",
        grouping: Grouping = "all",
        vectors: Sequence[TaskVector] | None = None,
    ) -> None:
        super().__init__()
        X = torch.cat([split.X for _, split in sets])
        self.features = EditedFeatures(bank, X, mode, grouping, vectors)
        self.sizes = [len(split) for _, split in sets]
        self.blocks = Blocks.of(sets, bank.heads)
        self.scale = bank.scale
        for s, (number, _) in enumerate(sets):
            self.register_buffer(f"head_{s}", bank.heads[number], persistent=False)

    @property
    def coefficients(self) -> int:
        """T * G."""
        return self.features.coefficients

    def forward(self, A: Tensor) -> Tensor:
        """(k, T * G) -> (k, m)."""
        parts = self.features(A).split(self.sizes, 1)
        logits = [cosine_logits(z, getattr(self, f"head_{s}"), self.scale).flatten(1) for s, z in enumerate(parts)]
        return torch.cat(logits, 1)

    @torch.no_grad()
    def measure(self, A: Tensor) -> Tensor:
        """Accuracies (k, S) of coefficients (k, T * G), in blocks."""
        return torch.cat([self.blocks.accuracies(self(block)) for block in A.split(_CANDIDATES)])
