"""One thread for the solver's own linear algebra.

With several threads the last bits of a matrix product depend on how many there are and, in some libraries, on chance: the same
seed would not give the same run. The matrices here are too small to gain from threads. User code keeps all of its own.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import lru_cache

from threadpoolctl import ThreadpoolController


@lru_cache(maxsize=1)
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def single_thread() -> AbstractContextManager[object]:
    """A context in which BLAS uses one thread."""
    context: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return context
