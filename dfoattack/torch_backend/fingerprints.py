"""Fingerprints of torch modules and tensors."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import numpy as np
import torch

from dfoattack._fingerprint import fingerprint_of, written_by

__all__ = ["fingerprint", "module_fingerprint"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def fingerprint(obj: Any) -> str:
    """Return a hex digest (32 digits) of a module's structure and state, or of a tensor's values; other torch objects
    by their text."""
    if isinstance(obj, torch.nn.Module):
        return module_fingerprint(obj)
    digest = hashlib.sha256()
    if isinstance(obj, torch.Tensor):
        _add_tensor(digest, "tensor", obj)
    else:
        digest.update(_ADDRESS.sub("", repr(obj)).encode())
    return digest.hexdigest()[:32]


def module_fingerprint(module: torch.nn.Module) -> str:
    """SHA-256 (32 digits) of the class names, hyper-parameters and state_dict bytes.

    The state alone would not do: tanh and ReLU networks of one shape have the same state_dict. The code of `forward` is
    included for classes that are not torch's own.
    """
    digest = hashlib.sha256()
    for name, part in module.named_modules():
        cls = type(part)
        digest.update(f"{name}:{cls.__module__}.{cls.__qualname__}:{_ADDRESS.sub('', part.extra_repr())};".encode())
        if isinstance(part, (torch.fx.GraphModule, torch.jit.ScriptModule)):
            digest.update(f"{getattr(part, 'code', '')};".encode())  # compiled programs: the class says nothing
        elif not cls.__module__.startswith("torch."):
            _add_own_code(digest, part)
    for name, tensor in module.state_dict().items():
        if isinstance(tensor, torch.Tensor):
            _add_tensor(digest, name, tensor)
        else:  # get_extra_state may return anything
            digest.update(f"{name}:{fingerprint_of(tensor)};".encode())
    return digest.hexdigest()[:32]


def _add_own_code(digest: Any, part: torch.nn.Module) -> None:
    """A class that is not torch's: the code of `forward`, and the plain attributes that it does not write."""
    code = getattr(getattr(type(part), "forward", None), "__code__", None)
    written = frozenset() if code is None else written_by(code)[0]
    digest.update(fingerprint_of(code).encode())
    for name, value in sorted(vars(part).items()):
        if name.startswith("_") or name == "training" or name in written:
            continue
        if isinstance(value, torch.Tensor):
            _add_tensor(digest, name, value)
        elif isinstance(value, (np.ndarray, bool, int, float, str)):
            digest.update(f"{name}:{fingerprint_of(value)};".encode())


def _add_tensor(digest: Any, name: str, tensor: torch.Tensor) -> None:
    digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)};".encode())
    values = tensor.detach()
    if values.is_sparse:
        values = values.to_dense()
    # bytes, not values: NumPy has no bfloat16
    digest.update(values.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
