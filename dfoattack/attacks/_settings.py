"""Checks of operators' hyper-parameters: what has the wrong type is refused like what is out of range."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dfoattack._validation import shown
from dfoattack.errors import OptionError


def positive(value: float) -> bool:
    """The rule of `real` where none is given."""
    return value > 0.0


def whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """The value as an int; raises `OptionError` unless it is an integer of at least `least`, and at most `most`."""
    integer = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not (integer and least <= value and (most is None or value <= most)):
        rule = f"an integer >= {least}" if most is None else f"an integer in [{least}, {most}]"
        raise OptionError(f"`{name}` must be {rule}, got {shown(value)}.")
    return int(value)


def real(name: str, value: Any, rule: str = "be > 0", holds: Callable[[float], bool] = positive) -> float:
    """The value as a float; raises `OptionError` unless it is a real number for which the rule holds."""
    number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not (number and holds(float(value))):
        raise OptionError(f"`{name}` must {rule}, got {shown(value)}.")
    return float(value)


def active_depth(value: Any) -> float:
    """The hyper-parameter `active` of most operators."""
    return real("active", value, "be >= 0", lambda depth: depth >= 0.0)
