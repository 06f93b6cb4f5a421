"""DataSupport: the training inputs as a constraint that keeps a design where the surrogate has seen data."""

from __future__ import annotations

from typing import Any, Literal, Protocol, get_args

import numpy as np

from dfoattack._fingerprint import fingerprint_of
from dfoattack._typing import FloatArray
from dfoattack._validation import check_choice, check_finite_scalar, float_array
from dfoattack.constraint import Constraint
from dfoattack.errors import OptionError, ProblemError
from dfoattack.problem import Problem
from dfoattack.space import Box
from dfoattack.trust.box import TrainingBox
from dfoattack.trust.knn import NearestNeighbours
from dfoattack.trust.mahalanobis import Mahalanobis

__all__ = ["DataSupport", "Measure", "Method", "measure_of", "supported", "training_box", "training_inputs"]

Method = Literal["knn", "mahalanobis", "box"]


class Measure(Protocol):
    """How far a design is from the training data.

    Attributes
    ----------
    name : str
    own : float64 (M,)      sorted distances of training inputs themselves; empty where they are unknown
    """

    name: str
    own: FloatArray

    def distance(self, X: FloatArray, /) -> FloatArray:
        """Distances (k,) of designs X (k, n)."""
        ...

    def gradient(self, X: FloatArray, /) -> FloatArray:
        """Gradients of the distance (k, n)."""
        ...


class DataSupport:
    """Where the data are: x counts as supported iff its distance to them is at most tau.

    Parameters
    ----------
    inputs : array_like (N, n)              training inputs, all variables, user units
    method : {"knn", "mahalanobis", "box"}  mean distance to the k nearest standardised training inputs; Mahalanobis distance; the box of the
                                            training inputs (2 columns a variable, in units of its training range)
    k : int >= 1                            neighbours of "knn"
    quantile : float in (0, 1]              tau is this quantile of the training inputs' own distances (leave-one-out for "knn")
    tau : float > 0, optional               the threshold itself; "box": how far outside is allowed, in training ranges, default 0
    space : Box, optional                   the problem's, for its periodic and categorical variables

    Attributes
    ----------
    tau : float
    measure : Measure or None               None for "box"

    Raises
    ------
    OptionError, ProblemError               before anything is computed

    Examples
    --------
    >>> X = np.random.default_rng(0).normal(size=(200, 2))
    >>> support = DataSupport(X, "mahalanobis")
    >>> support.excess(np.array([[0.0, 0.0], [9.0, 9.0]])).ravel() > 0
    array([False,  True])
    """

    def __init__(
        self,
        inputs: Any,
        method: Method = "knn",
        *,
        k: int = 5,
        quantile: float = 0.99,
        tau: float | None = None,
        space: Box | None = None,
    ) -> None:
        self.method = check_choice("method", method, get_args(Method), OptionError)
        if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
            raise OptionError(f"`k` must be an integer >= 1, got {k!r}.")
        if not 0.0 < check_finite_scalar("quantile", quantile, error=OptionError) <= 1.0:
            raise OptionError(f"`quantile` must be in (0, 1], got {quantile!r}.")
        self.inputs = _checked(inputs, space)
        self.space = space
        self.box = training_box(self.inputs, space)
        self.measure: Measure | None = None
        if method == "knn":
            self.measure = NearestNeighbours(self.inputs, k, space)
        elif method == "mahalanobis":
            self.measure = Mahalanobis(self.inputs, space)
        if self.measure is not None and tau is None and not self.measure.own.size:
            raise ProblemError(
                f"`tau` must be given where N = {self.inputs.shape[0]} training inputs give no quantile."
            )
        given = (
            tau if tau is not None else 0.0 if self.measure is None else float(np.quantile(self.measure.own, quantile))
        )
        self.tau = check_finite_scalar("tau", given, low=0.0, error=OptionError)

    def excess(self, X: FloatArray) -> FloatArray:
        """c (k, q) of designs X (k, n): distance - tau (q = 1), or the columns of the box; supported iff none is positive."""
        if self.measure is None:
            return self.box.excess(X) - self.tau
        return self.measure.distance(X)[:, None] - self.tau

    def scaled(self, factor: float) -> DataSupport:
        """The same with the threshold tau multiplied by `factor` > 0; a box shrinks about its centre instead."""
        other = object.__new__(DataSupport)
        other.__dict__.update(self.__dict__)
        if self.measure is not None:
            other.tau = self.tau * factor
        else:
            # tau counts in training ranges from each end: half a range inwards is the centre.
            other.tau = (self.tau + 0.5) * factor - 0.5
        return other

    def constraint(self, name: str = "support", kind: str = "progressive", tol: float = 0.0) -> Constraint:
        """An ordinary constraint of a `Problem`, batched, with its gradient; costs no pass of the network."""
        return Constraint(self._values, kind=kind, name=name, tol=tol, grad=self._pulled, backend="numpy")

    def fingerprint(self) -> str:
        """Equal iff the constraint is the same."""
        measure = self.measure
        k = getattr(measure, "k", 0)
        space = "" if self.space is None else self.space.describe()
        return fingerprint_of((self.method, self.inputs, self.tau, k, space))

    def _values(self, x: FloatArray, y: FloatArray) -> FloatArray:
        return self.excess(x)

    def _pulled(self, X: FloatArray, Y: FloatArray, W: FloatArray) -> tuple[FloatArray, None]:
        if self.measure is None:
            return self.box.pulled(W), None
        return W[:, :1] * self.measure.gradient(X), None


def supported(problem: Problem, method: Method = "knn", *, name: str = "support", **options: Any) -> Problem:
    """Return the problem with a data-support constraint made of its own training inputs `Problem.support`.

    Parameters
    ----------
    problem : Problem       with `support`
    method, options         as for `DataSupport`
    name : str              of the new constraint

    Raises
    ------
    ProblemError            the problem declares no training inputs, or has a constraint of that name
    """
    inputs = training_inputs(problem)
    if inputs is None:
        raise ProblemError("The problem declares no training inputs. Give `Problem(support=...)`.")
    support = DataSupport(inputs, method, space=problem.space, **options)
    return problem.replace(constraints=[*problem.constraints, support.constraint(name)])


def training_inputs(problem: Problem) -> FloatArray | None:
    """Training inputs (N, n) that the problem declares, None without."""
    return problem.support if isinstance(problem.support, np.ndarray) else None


def measure_of(problem: Problem, k: int = 5) -> Measure | None:
    """The measure by which a report judges distances: k nearest neighbours of the training inputs, or what the problem declares; None without."""
    inputs = training_inputs(problem)
    if inputs is None:
        return None if problem.support is None else problem.support
    return NearestNeighbours(inputs, k, problem.space)


def training_box(inputs: FloatArray, space: Box | None) -> TrainingBox:
    """The box of the training inputs; periodic and categorical variables have no ends."""
    moving = np.ones(inputs.shape[1], dtype=bool)
    if space is not None:
        moving &= space.period == 0.0
        moving[list(space.categories)] = False
    return TrainingBox(inputs, moving)


def _checked(inputs: Any, space: Box | None) -> FloatArray:
    array = float_array("inputs", inputs)
    if array.ndim != 2 or array.shape[0] < 1 or array.shape[1] < 1:
        raise ProblemError(f"`inputs` must be training inputs of shape (N, n) with N >= 1, got {array.shape}.")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise ProblemError(f"`inputs` must be finite, got {array[row]} in row {row}.")
    if space is not None and array.shape[1] != space.n:
        raise ProblemError(f"`inputs` must have n = {space.n} columns (from `space`), got {array.shape[1]}.")
    array.flags.writeable = False
    return array
