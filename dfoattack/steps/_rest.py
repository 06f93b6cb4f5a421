"""Pauses: a polish that has become slow waits while descents from elsewhere may find more than it would still gain."""

from __future__ import annotations

import numpy as np

from dfoattack.source_names import EXACT
from dfoattack.state import Rest, Setup, SolverState

WAIT = 4.0  # length of a pause, times what the run has spent so far
WAIT_MAX = 0.5  # and at most this share of what is left of the budget


def explores(setup: Setup) -> bool:
    """Whether gradients can descend from elsewhere."""
    return setup.gradient_source in EXACT and setup.geometry.plain and not np.any(setup.granularity > 0.0)


def rest(setup: Setup, state: SolverState, outlook: float | None) -> Rest | None:
    """The pause that begins now where a descent was ended with an `outlook`; None where it came to its own end."""
    if outlook is None:
        return None
    spent = state.counters.cost(setup.options.gradient_cost)
    return Rest(spent + min(WAIT * spent, WAIT_MAX * (setup.budget - spent)), outlook)


def resting(setup: Setup, state: SolverState, row: int) -> bool:
    """Whether polishes rest at history row `row`."""
    pause = state.attack.rest
    return (
        pause is not None and state.counters.cost(setup.options.gradient_cost) < pause.until and same_basin(state, row)
    )


def same_basin(state: SolverState, row: int) -> bool:
    """Whether history row `row` is no better than what was to be expected where the last pause began."""
    pause, buffer = state.attack.rest, state.history.buffer
    return pause is not None and bool(buffer.H[row] == 0.0 and buffer.F[row] >= pause.low)
