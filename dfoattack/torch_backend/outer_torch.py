"""Objectives and constraints written in torch: values and gradients by autograd, arrays in and out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from dfoattack._typing import FloatArray
from dfoattack.torch_backend.tensors import exact_arithmetic, float64_device, to_array, to_tensor

__all__ = ["call", "gradient", "to_numpy"]


def to_numpy(obj: Any) -> Any:
    """Return a tensor as a float64 array, anything else unchanged."""
    return to_array(obj) if isinstance(obj, torch.Tensor) else obj


def call(
    fn: Callable[..., Any], X: FloatArray | None, Y: FloatArray, device: Any, dtype: str, traced: bool = False
) -> Any:
    """Return fn(x, y), or fn(y) if X is None: a tensor as a float64 array, anything else as it comes.

    Parameters
    ----------
    X : float64 (k, n) or None;  Y : float64 (k, m)
    device : torch device or its name
    dtype : "float64", "float32", ...
    traced : bool
        True: the arguments require gradients, and None is returned unless a tensor with a graph comes back. NumPy code
        fails on such arguments, where plain tensors would slip through NumPy functions and come back as tensors
    """
    place = float64_device(device)
    with torch.enable_grad() if traced else torch.no_grad(), exact_arithmetic(place):
        _, arguments = _leaves(X, Y, place, dtype, traced)
        result = fn(*arguments)
    if traced and not (isinstance(result, torch.Tensor) and result.requires_grad):
        return None
    return to_numpy(result)


def gradient(
    fn: Callable[..., Any], X: FloatArray | None, Y: FloatArray, W: FloatArray, device: Any, dtype: str
) -> tuple[FloatArray | None, FloatArray | None]:
    """Return (gX (k, n) or None, gY (k, m) or None): gradient of sum_q W[:, q] fn_q; None where fn does not depend on
    the argument.

    No gradient is accumulated in anything the function closes over: only the arguments are differentiated.
    """
    place = float64_device(device)
    with torch.enable_grad(), exact_arithmetic(place):
        leaves, arguments = _leaves(X, Y, place, dtype, True)
        result = fn(*arguments)
        if not result.requires_grad:  # constant on this block
            return None, None
        weights = to_tensor(W, result.device, result.dtype).reshape(result.shape)
        parts = torch.autograd.grad(result, leaves, grad_outputs=weights, allow_unused=True)
    arrays = [None if part is None else to_array(part) for part in parts]
    return (None, arrays[0]) if X is None else (arrays[0], arrays[1])


def _leaves(
    X: FloatArray | None, Y: FloatArray, device: torch.device, dtype: str, traced: bool
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Return the tensors to differentiate and the ones to hand over: copies of these, so that the function may change
    its arguments in place."""
    kind = getattr(torch, dtype)
    leaves = [to_tensor(array, device, kind).requires_grad_(traced) for array in (X, Y) if array is not None]
    return leaves, [leaf.clone() for leaf in leaves] if traced else leaves
