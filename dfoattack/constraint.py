"""Constraint: one user function c(x, y) <= tol, or |c(x, y)| <= tol, of one or several columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from dfoattack._validation import check_choice, check_finite_scalar, shown
from dfoattack.errors import ProblemError
from dfoattack.outer import takes_x

__all__ = ["Constraint", "as_constraints"]

PROGRESSIVE, EXTREME, HYBRID = "progressive", "extreme", "progressive-to-extreme"
_KINDS = (PROGRESSIVE, EXTREME, HYBRID)


@dataclass(frozen=True, eq=False)
class Constraint:
    """One or several constraints c(x, y) <= tol, or equalities |c(x, y)| <= tol, from one function.

    Parameters
    ----------
    fn : callable (x, y) or (y)
        batched: X (k, n), Y (k, m) -> (k,) or (k, q); NumPy or torch; which of the two signatures is decided by the
        number of required positional parameters
    kind : {"progressive", "extreme", "progressive-to-extreme"}
        progressive: may be violated on the way; extreme: a point that violates it counts as infinitely bad;
        progressive-to-extreme: progressive until a poll centre satisfies it, extreme from then on, column by column
    name : str                          for messages and results; default "c0", "c1", ...
    tol : float >= 0                    violation that is still called feasible, in the units of c
    equality : bool                     c = 0, met within `tol`: the feasible set is the band |c| <= tol. A width of 0 makes
                                        sense only where c takes exact values, as on integers
    grad : callable, optional
        (X, Y, W (k, q)) -> (gX (k, n), gY (k, m)), the gradient of sum_q W[:, q] c_q (of `soft` where that is given); None as
        a part means zero
    soft : callable (x, y) or (y), optional
        a smooth stand-in with the same columns for a c that is piecewise constant (a class, a count): attacks aim at it,
        feasibility is judged by `fn` alone
    backend : {"auto", "numpy", "torch"}, optional
        what `fn` is written in, where it is not what the rest of the problem is written in; None: the problem's

    Raises
    ------
    ProblemError
    """

    fn: Callable[..., Any]
    kind: str = "progressive"
    name: str = ""
    tol: float = 0.0
    grad: Callable[..., Any] | None = None
    equality: bool = False
    soft: Callable[..., Any] | None = None
    backend: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ProblemError(f"`name` of a constraint must be a str, got {shown(self.name)}.")
        takes_x(self.fn, f"Constraint `{self.name}`")
        check_choice("kind", self.kind, _KINDS)
        if self.backend is not None:
            check_choice("backend", self.backend, ("auto", "numpy", "torch"))
        object.__setattr__(self, "tol", check_finite_scalar("tol", self.tol, low=0.0))
        if not isinstance(self.equality, bool):
            raise ProblemError(
                f"`equality` of constraint `{self.name}` must be True or False, got {shown(self.equality)}."
            )
        if self.soft is not None:
            takes_x(self.soft, f"`soft` of constraint `{self.name}`")
        if self.grad is not None and not callable(self.grad):
            raise ProblemError(f"`grad` of constraint `{self.name}` must be callable or None, got {shown(self.grad)}.")


def as_constraints(given: Any) -> tuple[Constraint, ...]:
    """Turn None, a Constraint, a callable, or a list or tuple of these into named Constraints."""
    if given is None:
        return ()
    entries = [given] if isinstance(given, Constraint) or callable(given) else given
    if not isinstance(entries, (list, tuple)):
        raise ProblemError(
            f"`constraints` must be a Constraint, a callable, or a sequence of these, got {shown(given)}."
        )
    named: list[Constraint] = []
    for i, entry in enumerate(entries):
        if not isinstance(entry, Constraint):
            if not callable(entry):
                raise ProblemError(f"`constraints[{i}]` must be a Constraint or a callable, got {shown(entry)}.")
            entry = Constraint(entry)
        named.append(entry if entry.name else replace(entry, name=f"c{i}"))
    names = [c.name for c in named]
    for name in names:
        if names.count(name) > 1:
            raise ProblemError(f"`name` must differ between constraints, got {name!r} {names.count(name)} times.")
    return tuple(named)
