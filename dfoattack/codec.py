"""Write and read a solver state: JSON for the tree, raw bytes for the arrays, no pickle.

Only dataclasses and enums of this package are restored, so a file from elsewhere can at worst raise `StoreError`.
"""

from __future__ import annotations

import base64
import dataclasses
import importlib
import json
import math
from enum import Enum
from typing import Any

import numpy as np

from dfoattack.cache import History
from dfoattack.errors import StoreError

_PACKAGE = "dfoattack."


def to_bytes(value: Any) -> bytes:
    """A tree of states, arrays, tuples and numbers as bytes. Raises `StoreError` for anything else in it."""
    return json.dumps(_encode(value)).encode()


def from_bytes(data: bytes) -> Any:
    """Inverse of `to_bytes`. Raises `StoreError` when the bytes were not written by it."""
    try:
        return _decode(json.loads(data.decode()))
    except (ValueError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise StoreError(f"The bytes are not a saved solver state of this version: {error}.") from error


def _encode(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        raw = np.ascontiguousarray(value)
        return {
            "@": "array",
            "dtype": raw.dtype.str,
            "shape": value.shape,
            "data": base64.b64encode(raw.tobytes()).decode(),
        }
    if isinstance(value, History):
        names = ("X", "f", "F", "H", "HE", "V", "C", "status", "step", "iteration")
        return {"@": "history", "n": value.n, "p": value.p, **{name: _encode(getattr(value, name)) for name in names}}
    if isinstance(value, Enum):
        return {"@": "enum", "type": _name(value), "name": value.name}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return {"@": "data", "type": _name(value), "fields": fields}
    if isinstance(value, tuple):
        return {"@": "tuple", "items": [_encode(v) for v in value]}
    if isinstance(value, (np.integer, np.bool_)):
        return value.item()
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else {"@": "float", "value": repr(float(value))}
    if isinstance(value, bytes):
        return {"@": "bytes", "data": base64.b64encode(value).decode()}
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise StoreError(f"A value of type {type(value).__name__} cannot be saved with the solver state.")


def _decode(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    kind = value["@"]
    if kind == "array":
        flat = np.frombuffer(base64.b64decode(value["data"]), dtype=np.dtype(value["dtype"]))
        return flat.reshape(value["shape"]).copy()
    if kind == "float":
        return float(value["value"])
    if kind == "bytes":
        return base64.b64decode(value["data"])
    if kind == "tuple":
        return tuple(_decode(v) for v in value["items"])
    if kind == "enum":
        return _type(value["type"], enum=True)[value["name"]]
    if kind == "history":
        return _history(value)
    return _type(value["type"])(**{name: _decode(v) for name, v in value["fields"].items()})


def _history(value: dict[str, Any]) -> History:
    X, f, F, H, HE, V, C, status = (_decode(value[name]) for name in ("X", "f", "F", "H", "HE", "V", "C", "status"))
    history = History.empty(value["n"]).extended(X, f, F, H, HE, V, C, status, step=0, iteration=0)
    history.buffer.step[: history.size] = _decode(value["step"])
    history.buffer.iteration[: history.size] = _decode(value["iteration"])
    return history


def _name(value: Any) -> str:
    return f"{type(value).__module__}:{type(value).__qualname__}"


def _type(name: str, enum: bool = False) -> Any:
    """The enum or dataclass of this package with that name; never a function, which would be called."""
    module, _, qualname = name.partition(":")
    if not module.startswith(_PACKAGE):
        raise StoreError(f"A saved state may hold types of this package only, got {name}.")
    found = getattr(importlib.import_module(module), qualname)
    ours = isinstance(found, type) and found.__module__ == module
    if not (ours and (issubclass(found, Enum) if enum else dataclasses.is_dataclass(found))):
        raise StoreError(f"A saved state may hold dataclasses and enums only, got {name}.")
    return found
