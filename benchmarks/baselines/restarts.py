"""The restart rule that all baselines share: the problem's start, then random ones until the budget is spent."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING

from benchmarks.counting import Counter, LimitReached
from benchmarks.log import Log
from benchmarks.starts import start

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

# A solver that asks only for points it has seen would restart for ever without spending anything.
IDLE_RESTARTS = 20
# A solver that breaks down is started again as one that stops early is; so often, and the run counts as a failure.
ERRORS = 5


def run_restarted(counter: Counter, seed: int, local: Callable[[FloatArray, int], None]) -> Log:
    """Call `local(start (n_free,), k)` for k = 0, 1, ... until the budget is spent; returns the log.

    The first start is evaluated before anything else: afterwards the number of constraint columns is known.
    """
    restarts = idle = errors = 0
    try:
        counter.value(start(counter.problem, seed, 0))
        for k in itertools.count():
            before = counter.spent
            try:
                local(start(counter.problem, seed, k), k)
            except Exception as error:
                errors += 1
                counter.note(f"raised {type(error).__name__}: {error}"[:300])
                if errors == ERRORS:
                    counter.fail(f"raised {errors} times, at last {type(error).__name__}: {error}"[:500])
                    break
            restarts = k + 1
            idle = idle + 1 if counter.spent == before else 0
            if idle == IDLE_RESTARTS:
                counter.note(f"gave up after {IDLE_RESTARTS} restarts without a new point")
                break
    except LimitReached:
        pass
    counter.note(f"{restarts} restarts")
    return counter.log()
