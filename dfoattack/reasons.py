"""Why a run ended."""

from __future__ import annotations

from enum import Enum


class StopReason(Enum):
    """Reasons for the end of a run; `text` says it in words, `code` is the integer status of a `Result`."""

    TARGET = (0, "Target reached")
    FRAME = (1, "Converged: smallest frame size reached and the covering quota done")
    LATTICE = (2, "All points of the lattice evaluated")
    BUDGET = (3, "Budget used")
    TIME = (4, "Time limit reached")
    CALLBACK = (5, "Stopped by the callback")
    INTERRUPTED = (6, "Interrupted from the keyboard")
    START_FAILED = (7, "No start point could be evaluated")
    ERROR = (8, "The user's code raised an undeclared exception")
    RUNNING = (9, "Still running")

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text
