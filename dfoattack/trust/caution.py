"""Ensembles: several networks of the same thing, and a cautious word for what they say together."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, Literal, get_args

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack._validation import check_choice, check_finite_scalar
from dfoattack.errors import OptionError
from dfoattack.outer import takes_x
from dfoattack.problem import Problem

__all__ = ["Caution", "Cautious", "spread_of"]

Mode = Literal["std", "worst"]
_TINY = 1e-24  # below the variance of anything, and a number in float32 too: keeps the slope of the root finite where members agree


class Caution:
    """A cautious word on q members whose outputs stand side by side in y, as `dfoattack.Ensemble` with output "stack" gives them.

    Y (k, q m) = (Phi_1(x), ..., Phi_q(x)); `objective` and `constraint` wrap what is written for the outputs (k, m) of one
    member. "std": the mean over the members, made worse by `k` population standard deviations; "worst": the worst member.
    What is worse follows from the sense, and is larger for constraints. Values come from arrays or tensors alike, gradients
    by autograd or by differences at no pass of the networks.

    Parameters
    ----------
    members : int               q >= 1
    mode : {"std", "worst"}
    k : float                   >= 0, standard deviations of "std"

    Raises
    ------
    OptionError

    Examples
    --------
    >>> two = Caution(members=2, k=1.0)
    >>> f = two.objective(lambda y: y[:, 0], sense="maximize")
    >>> Y = np.array([[1.0, 3.0]])  # m = 1: the members say 1 and 3
    >>> f(Y, Y).tolist(), Caution(2, "worst").objective(lambda y: y[:, 0], sense="minimize")(Y, Y).tolist()
    ([1.0], [3.0])
    """

    def __init__(self, members: int, mode: Mode = "std", k: float = 1.0) -> None:
        if isinstance(members, bool) or not isinstance(members, (int, np.integer)) or members < 1:
            raise OptionError(f"`members` must be an integer >= 1, got {members!r}.")
        self.members = int(members)
        self.mode = check_choice("mode", mode, get_args(Mode), OptionError)
        self.k = check_finite_scalar("k", k, low=0.0, error=OptionError)

    def objective(self, fn: Callable[..., Any], sense: str = "maximize") -> Cautious:
        """An objective of a `Problem` from one of a single member, fn (y) or (x, y) -> (k,)."""
        check_choice("sense", sense, ("maximize", "minimize"), OptionError)
        return Cautious(self, fn, -1.0 if sense == "maximize" else 1.0)

    def constraint(self, fn: Callable[..., Any]) -> Cautious:
        """A constraint function from one of a single member, fn (y) or (x, y) -> (k,) or (k, q)."""
        return Cautious(self, fn, 1.0)


class Cautious:
    """One function over an ensemble; made by `Caution`."""

    def __init__(self, caution: Caution, fn: Callable[..., Any], worse: float) -> None:
        self.caution, self.fn, self.worse = caution, fn, worse
        self._takes_x = takes_x(fn, "The function of an ensemble")

    def __call__(self, x: Any, y: Any) -> Any:
        values = self.each(x, y)
        if self.caution.mode == "worst":
            return functools.reduce(_larger if self.worse > 0.0 else _smaller, values)
        mean, variance = _moments(values)
        if self.caution.k == 0.0:
            return mean
        return mean + self.worse * self.caution.k * (variance + _TINY) ** 0.5

    def each(self, x: Any, y: Any) -> list[Any]:
        """Values of the members."""
        q = self.caution.members
        if y.shape[1] % q:
            raise OptionError(f"The outputs of {q} members must be a multiple of {q} columns, got {y.shape[1]}.")
        m = y.shape[1] // q
        parts = [y[:, j * m : (j + 1) * m] for j in range(q)]
        return [self.fn(x, part) if self._takes_x else self.fn(part) for part in parts]

    def member(self, j: int) -> Callable[[Any, Any], Any]:
        """The same function of member j alone."""
        return Member(self, j)


class Member:
    """One member of an ensemble, as a function (x, y) of the outputs of all."""

    def __init__(self, cautious: Cautious, j: int) -> None:
        self.cautious, self.j = cautious, j

    def __call__(self, x: Any, y: Any) -> Any:
        return self.cautious.each(x, y)[self.j]


def spread_of(problem: Problem, X: FloatArray, Y: FloatArray) -> FloatArray | None:
    """Population standard deviation of f over the members (k,) from outputs Y (k, q m) at hand; None where the objective is no ensemble's."""
    objective = problem.objective
    if not isinstance(objective, Cautious):
        return None
    values = [
        Problem.replace(problem, objective=objective.member(j), surrogate=problem.surrogate, constraints=()).outer(
            X, Y
        )[0]
        for j in range(objective.caution.members)
    ]
    return np.asarray(np.std(values, axis=0))


def _moments(values: list[Any]) -> tuple[Any, Any]:
    mean = sum(values[1:], start=values[0]) / len(values)
    squares = [(value - mean) ** 2 for value in values]
    return mean, sum(squares[1:], start=squares[0]) / len(values)


def _larger(a: Any, b: Any) -> Any:
    return a.maximum(b) if hasattr(a, "maximum") else np.maximum(a, b)


def _smaller(a: Any, b: Any) -> Any:
    return a.minimum(b) if hasattr(a, "minimum") else np.minimum(a, b)
