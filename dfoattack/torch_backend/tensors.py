"""Crossing the border between NumPy (float64, CPU) and torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from dfoattack._typing import FloatArray

__all__ = ["exact_arithmetic", "float64_device", "to_array", "to_tensor"]


def to_tensor(array: FloatArray, device: Any, dtype: torch.dtype) -> torch.Tensor:
    """Return a copy of the array as a tensor; the copy keeps in-place code of the user off our arrays."""
    return torch.tensor(np.ascontiguousarray(array), device=device, dtype=dtype)


def to_array(tensor: torch.Tensor) -> FloatArray:
    """Return a copy of the tensor as a float64 array on the CPU."""
    # cpu before float64: some devices have no float64
    return np.array(tensor.detach().cpu().to(torch.float64).numpy())


def float64_device(device: Any) -> torch.device:
    """Return the device itself, or the CPU where the device has no float64 (Apple's mps)."""
    place = torch.device(device)
    return torch.device("cpu") if place.type == "mps" else place


@contextmanager
def exact_arithmetic(device: torch.device, allow_tf32: bool = False) -> Iterator[None]:
    """On a CUDA device: full float32 products (no TF32), repeatable convolutions; the global settings are put back."""
    if device.type != "cuda":
        yield
        return
    settings = [*_precision_settings(allow_tf32), (torch.backends.cudnn, "deterministic", True)]
    settings.append((torch.backends.cudnn, "benchmark", False))
    before = [getattr(owner, name) for owner, name, _ in settings]
    try:
        for owner, name, value in settings:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(settings, before, strict=True):
            setattr(owner, name, value)


def _precision_settings(allow_tf32: bool) -> list[tuple[Any, str, Any]]:
    """Return (owner, attribute, value) of the switches; torch refuses programs that mix its old and its new ones."""
    matmul: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    if hasattr(matmul, "fp32_precision"):
        value = "tf32" if allow_tf32 else "ieee"
        return [(owner, "fp32_precision", value) for owner in (matmul, cudnn.conv, cudnn.rnn)]
    return [(owner, "allow_tf32", allow_tf32) for owner in (matmul, cudnn)]
