"""Checks of user input, written once: each message holds the name, the rule and the value."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.errors import OptionError, ProblemError

__all__ = [
    "bound_arrays",
    "check_choice",
    "check_finite_scalar",
    "check_seed",
    "float_array",
    "interval",
    "number",
    "shown",
    "suggestion",
]


def shown(value: Any, limit: int = 80) -> str:
    """Return `repr(value)` cut to `limit` characters, for messages."""
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def number(value: Any) -> str:
    """Return the shortest text that reads back as this float: 0.1, 3, -inf."""
    return repr(float(value)).removesuffix(".0")


def interval(low: Any, high: Any) -> str:
    """Return '[low, high]' for messages."""
    return f"[{number(low)}, {number(high)}]"


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return ' Did you mean `...`?' for the nearest known name, or '' if none is near."""
    near = difflib.get_close_matches(str(name), list(known), n=1)
    return f" Did you mean `{near[0]}`?" if near else ""


def check_choice(name: str, value: Any, allowed: Sequence[str], error: type[Exception] = ProblemError) -> str:
    """Return `value` if it is one of the allowed strings, else raise `error`."""
    if isinstance(value, str) and value in allowed:
        return value
    rule = " or ".join(repr(a) for a in allowed)
    hint = suggestion(value, allowed) if isinstance(value, str) else ""
    raise error(f"`{name}` must be {rule}, got {shown(value)}.{hint}")


def check_finite_scalar(
    name: str,
    value: Any,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    error: type[Exception] = ProblemError,
) -> float:
    """Return `value` as a float if it is a finite real number in [low, high], else raise `error`."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise error(f"`{name}` must be a real number, got {shown(value)}.") from None
    if not math.isfinite(number) or not low <= number <= high:
        left = "(-inf" if low == -math.inf else f"[{low:g}"
        right = "inf)" if high == math.inf else f"{high:g}]"
        raise error(f"`{name}` must be a finite number in {left}, {right}, got {shown(value)}.")
    return number


def float_array(name: str, value: Any, error: type[Exception] = ProblemError) -> FloatArray:
    """Return `value` as a new float64 array of any shape; anything that is not made of real numbers raises `error`."""
    try:
        raw = np.asarray(value)
        if raw.dtype.kind not in "fiub":
            if raw.dtype.kind == "c":
                raise TypeError("complex numbers")
            raw = np.asarray(value, dtype=np.float64)
        return np.array(raw, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as cause:
        raise error(f"`{name}` must be an array of real numbers, got {shown(value)} ({cause}).") from None


def check_seed(seed: Any) -> int:
    """The seed as an int; raises `OptionError` unless it is an integer >= 0."""
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)) or seed < 0:
        raise OptionError(f"`seed` must be an integer >= 0, got {shown(seed)}.")
    return int(seed)


def bound_arrays(lower: Any, upper: Any) -> tuple[FloatArray, FloatArray]:
    """Return new arrays (n,) with None replaced by the infinities."""
    if lower is None and upper is None:
        raise ProblemError("`lower` and `upper` must not both be None: the number of variables would be unknown.")
    low = _one_bound("lower", lower, -math.inf)
    high = _one_bound("upper", upper, math.inf)
    low = np.full_like(high, -math.inf) if lower is None else low
    high = np.full_like(low, math.inf) if upper is None else high
    if low.ndim != 1 or low.shape != high.shape or low.shape[0] == 0:
        raise ProblemError(
            f"`lower` and `upper` must both have shape (n,) with n >= 1, got {low.shape} and {high.shape}."
        )
    return low + 0.0, high + 0.0


def _one_bound(name: str, value: Any, missing: float) -> FloatArray:
    if isinstance(value, (list, tuple)):
        value = [missing if entry is None else entry for entry in value]
    elif isinstance(value, np.ndarray) and value.dtype == object:
        value = [missing if entry is None else entry for entry in value.tolist()]
    return float_array(name, [] if value is None else value)
