"""What a true simulator answers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dfoattack._validation import shown
from dfoattack.errors import ProblemError

__all__ = ["checked_answer"]


def checked_answer(answer: Any) -> tuple[float, float]:
    """(f, violation) from what `verify` returned: f, or (f, violation); violation is NaN where it was not told.

    Raises
    ------
    ProblemError        anything else
    """
    try:
        values = np.asarray(answer, dtype=np.float64).ravel()
    except (TypeError, ValueError):
        values = np.empty(0)
    if values.shape[0] not in (1, 2):
        raise ProblemError(f"`verify` must return f, or (f, violation), got {shown(answer)}.")
    return float(values[0]), float(values[1]) if values.shape[0] == 2 else math.nan
