"""Exceptions of the package: one base class, one class a cause.

Messages say name, rule and value, then the cure if there is one. Every class also derives from the built-in exception a
caller would expect (`ValueError` for wrong input, `RuntimeError` for something that went wrong on the way), so that
code which knows nothing of dfoattack can catch it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

__all__ = [
    "AskTellError",
    "BudgetSpent",
    "DfoattackError",
    "EvaluationError",
    "EvaluationFailed",
    "MissingExtraError",
    "OptionError",
    "ProblemError",
    "StoreError",
]


class DfoattackError(Exception):
    """Base class of all exceptions raised by dfoattack."""


class ProblemError(DfoattackError, ValueError):
    """The problem is stated wrongly: shapes, bounds, start, or what a user function returned."""


class OptionError(DfoattackError, ValueError):
    """An option is unknown, of the wrong type, or outside its range."""


class EvaluationError(DfoattackError, RuntimeError):
    """User code raised something that was not declared as a failure; the original exception is the `__cause__`.

    Parameters
    ----------
    message : str
    x : float64 (n,), optional      the point at which it happened, all user variables, user units
    result : Result, optional       what the run had found so far; filled in by the drivers
    """

    def __init__(self, message: str, x: FloatArray | None = None, result: Any = None) -> None:
        super().__init__(message)
        self.x = x
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        # BaseException pickles by its positional args alone, which would lose x and result on the way back from a
        # worker process.
        return (type(self), (self.args[0], self.x, self.result))


class EvaluationFailed(DfoattackError, RuntimeError):
    """To be raised by *user* code (surrogate, objective or constraint) to declare that this point has no value (a
    hidden constraint).

    The point is recorded as failed, costs one evaluation, is never an incumbent, and the run goes on.
    """


class AskTellError(DfoattackError, RuntimeError):
    """`ask` and `tell` were called in the wrong order, or with answers that do not belong to the question."""


class StoreError(DfoattackError, ValueError):
    """A run file cannot be read, or belongs to another problem."""


class MissingExtraError(DfoattackError, ImportError):
    """A feature needs an optional package; the message names the extra to install."""


class BudgetSpent(DfoattackError):
    """Internal: a gradient or a forward pass asked for by an attack is no longer affordable. Never reaches the user."""
