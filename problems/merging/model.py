"""Encoders and heads: a multilayer perceptron, and a vision transformer with the parameter names of open_clip."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["MLPEncoder", "Spec", "VisionTransformer", "cosine_logits", "make_encoder"]

Spec = dict[str, Any]
FEATURES = 64
SCALE = 20.0  # of the cosine heads


class MLPEncoder(nn.Sequential):
    """(N, inputs) -> (N, 64): linear layers of 128, 128 and 64 with LayerNorm and GELU between them."""

    def __init__(self, inputs: int) -> None:
        width = 128
        super().__init__(
            nn.Linear(inputs, width),
            nn.LayerNorm(width),
            nn.GELU(),
            nn.Linear(width, width),
            nn.LayerNorm(width),
            nn.GELU(),
            nn.Linear(width, FEATURES),
        )


class QuickGELU(nn.Module):
    """x sigmoid(1.702 x), the activation of the OpenAI checkpoints."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise."""
        return x * torch.sigmoid(1.702 * x)


class Block(nn.Module):
    """Pre-norm transformer block; names as in open_clip's `resblocks`."""

    def __init__(self, width: int, heads: int, quick: bool) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ln_2 = nn.LayerNorm(width)
        layers = [
            ("c_fc", nn.Linear(width, 4 * width)),
            ("gelu", QuickGELU() if quick else nn.GELU()),
            ("c_proj", nn.Linear(4 * width, width)),
        ]
        self.mlp = nn.Sequential(OrderedDict(layers))

    def forward(self, x: Tensor) -> Tensor:
        """(N, tokens, width) -> the same."""
        h = self.ln_1(x)
        x = x + self.attn(h, h, h, need_weights=False)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    """The blocks, under the name that open_clip gives them."""

    def __init__(self, width: int, depth: int, heads: int, quick: bool) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, heads, quick) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """(N, tokens, width) -> the same."""
        for block in self.resblocks:
            x = block(x)
        return x


class VisionTransformer(nn.Module):
    """Vision transformer of CLIP; parameter names and arithmetic are those of open_clip's image tower.

    Parameters
    ----------
    picture : (channels, height, width)     inputs (N, channels * height * width) are folded into this shape
    patch : int                             side of a patch in pixels
    width, depth, heads, features : int     of the tokens, number of blocks, of attention, of the output
    quick : bool                            QuickGELU (OpenAI's weights) instead of GELU

    Source: Radford et al., ICML 2021; names as in the package open_clip.
    """

    def __init__(
        self,
        picture: Sequence[int],
        patch: int,
        width: int,
        depth: int,
        heads: int,
        features: int = FEATURES,
        *,
        quick: bool = False,
    ) -> None:
        super().__init__()
        self.picture = tuple(picture)
        tokens = (picture[1] // patch) * (picture[2] // patch) + 1
        scale = width**-0.5
        self.conv1 = nn.Conv2d(picture[0], width, patch, stride=patch, bias=False)
        self.class_embedding = nn.Parameter(scale * torch.randn(width))
        self.positional_embedding = nn.Parameter(scale * torch.randn(tokens, width))
        self.ln_pre = nn.LayerNorm(width)
        self.transformer = Transformer(width, depth, heads, quick)
        self.ln_post = nn.LayerNorm(width)
        self.proj = nn.Parameter(scale * torch.randn(width, features))

    def forward(self, X: Tensor) -> Tensor:
        """Pictures, flat or not, -> features (N, features)."""
        x = self.conv1(X.reshape(-1, *self.picture)).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(x), 1, -1)
        x = self.ln_pre(torch.cat([first, x], 1) + self.positional_embedding)
        return self.ln_post(self.transformer(x)[:, 0]) @ self.proj


def make_encoder(spec: Spec, seed: int = 0) -> nn.Module:
    """Return an untrained encoder, with weights drawn from `seed`.

    Parameters
    ----------
    spec : dict
        {"kind": "mlp", "inputs": ...}, or {"kind": "vit", ...} with the arguments of `VisionTransformer`
    """
    arguments = {name: value for name, value in spec.items() if name != "kind"}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return (MLPEncoder if spec["kind"] == "mlp" else VisionTransformer)(**arguments)


def cosine_logits(features: Tensor, head: Tensor, scale: float = SCALE) -> Tensor:
    """scale * cosine of features (..., N, d) with the rows of a head (C, d): (..., N, C)."""
    return scale * F.normalize(features, dim=-1) @ F.normalize(head, dim=-1).T
