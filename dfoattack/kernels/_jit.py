"""The one decorator of all kernels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def kernel(function: F) -> F:
    """Compile `function` on its first call, keep the machine code on disk, release the interpreter lock while it runs.

    No fastmath: infinities and NaN carry meaning, and reordered sums would differ from the interpreted ones.
    """
    return cast(F, numba.njit(cache=True, nogil=True)(function))
