"""Functions of one point, (n,) -> number or vector, in the batched form that a Problem calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from dfoattack._fingerprint import fingerprint_of
from dfoattack._typing import FloatArray
from dfoattack._validation import shown
from dfoattack.cache import point_key
from dfoattack.errors import ProblemError

__all__ = ["PointObjective", "PointVector"]

_KEPT_BYTES = 2**24
_KEPT_MOST = 4096


class Memo:
    """Answers by exact point, the oldest leave first; saves calls of user code, never changes a number."""

    def __init__(self) -> None:
        self._answers: dict[bytes, FloatArray] = {}

    def find(self, key: bytes) -> FloatArray | None:
        return self._answers.get(key)

    def keep(self, key: bytes, answer: FloatArray) -> FloatArray:
        answers = self._answers
        answers[key] = answer
        if len(answers) > max(16, min(_KEPT_MOST, _KEPT_BYTES // max(1, answer.nbytes))):
            del answers[next(iter(answers))]
        return answer


class PointObjective:
    """f(x, *args) of one point as a batched objective of y, without a network y = x.

    Parameters
    ----------
    fun : callable x (n,) -> float, or (float, gradient (n,)) where `with_gradient`
    args : tuple                        further arguments of `fun` and `jac`
    jac : callable x (n,) -> (n,), or None
    with_gradient : bool                `fun` gives its gradient too; `jac` is None then
    """

    def __init__(
        self, fun: Callable[..., Any], args: tuple[Any, ...], jac: Callable[..., Any] | None, with_gradient: bool
    ) -> None:
        self.fun, self.args, self.jac, self.with_gradient = fun, args, jac, with_gradient
        self._gradients = Memo()

    def __call__(self, y: FloatArray) -> FloatArray:
        """Return f (k,) of the points y (k, n)."""
        return np.array([self._value(x) for x in y])

    def gradient(self, y: FloatArray) -> FloatArray:
        """Return the gradients (k, n) at the points y (k, n)."""
        return np.array([self._gradient(x) for x in y])

    def fingerprint(self) -> str:
        return fingerprint_of((self.fun, self.args, self.with_gradient))

    def _value(self, x: FloatArray) -> float:
        if not self.with_gradient:
            return number(self.fun(x, *self.args), "`fun`")
        key, n = point_key(x), x.shape[0]
        pair = self.fun(x, *self.args)
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise ProblemError(f"`fun` must return the pair (f, gradient) with jac=True, got {shown(pair)}.")
        self._gradients.keep(key, matrix(pair[1], 1, n, "The gradient of `fun`")[0])
        return number(pair[0], "`fun`")

    def _gradient(self, x: FloatArray) -> FloatArray:
        if self.jac is not None:
            row: FloatArray = matrix(self.jac(x, *self.args), 1, x.shape[0], "`jac`")[0]
            return row
        key = point_key(x)
        if self._gradients.find(key) is None:
            self._value(x)
        found = self._gradients.find(key)
        if found is None:
            raise RuntimeError("The gradient that `fun` has just returned was not kept.")
        return found


class PointVector:
    """g(x, *args) of one point as a source of constraint columns.

    Parameters
    ----------
    fun : callable x (n,) -> float or (q,)
    args : tuple                        further arguments of `fun` and `jac`
    jac : callable x (n,) -> (q, n) or (n,), dense or sparse; or None
    label : str                         for messages, "Constraint `c0`"
    """

    def __init__(
        self, fun: Callable[..., Any], args: tuple[Any, ...], jac: Callable[..., Any] | None, label: str
    ) -> None:
        self.fun, self.args, self.jac, self.label = fun, args, jac, label
        self._values, self._jacobians = Memo(), Memo()

    @property
    def has_jac(self) -> bool:
        return self.jac is not None

    def values(self, X: FloatArray) -> FloatArray:
        """Return g (k, q) of the points X (k, n)."""
        rows = [self._value(x) for x in X]
        for row in rows:
            if row.shape != rows[0].shape:
                raise ProblemError(
                    f"{self.label} must return the same number of values at every point, "
                    f"got {row.shape[0]} after {rows[0].shape[0]}."
                )
        return np.array(rows)

    def jacobians(self, X: FloatArray) -> Iterator[FloatArray]:
        """Yield J (q, n) at each of the points X (k, n)."""
        for x in X:
            yield self._jacobian(x)

    def fingerprint(self) -> str:
        return fingerprint_of((self.fun, self.args))

    def _value(self, x: FloatArray) -> FloatArray:
        # Equalities and inequalities of one function are two constraints: the second one finds the value here.
        key = point_key(x)
        found = self._values.find(key)
        return self._values.keep(key, vector(self.fun(x, *self.args), self.label)) if found is None else found

    def _jacobian(self, x: FloatArray) -> FloatArray:
        # A solver that asks for q rows of one Jacobian asks q times.
        key, n = point_key(x), x.shape[0]
        found = self._jacobians.find(key)
        if found is not None:
            return found
        if self.jac is None:
            raise ProblemError(f"{self.label} has no `jac`, so that its gradient must not be asked for.")
        q = self._value(x.copy()).shape[0]
        return self._jacobians.keep(key, matrix(self.jac(x, *self.args), q, n, f"The `jac` of {self.label}"))


def number(value: Any, label: str) -> float:
    """Return what a user function gave as a float; arrays of one element count as numbers."""
    if type(value) is float:
        return value
    try:
        array = np.asarray(value)
        if array.dtype.kind in "fiub" and array.size == 1:
            return float(array.reshape(()))
    except ValueError:  # a ragged sequence
        pass
    if value is None:
        raise ProblemError(f"{label} must return one number, got None. Is a `return` missing?")
    hint = (
        " If it returns its gradient too, give `jac=True`."
        if isinstance(value, (tuple, list)) and len(value) == 2
        else ""
    )
    raise ProblemError(f"{label} must return one number, got {shown(value)}.{hint}")


def vector(value: Any, label: str) -> FloatArray:
    """Return what a constraint function gave as float64 (q,); a number is (1,)."""
    if value is None:
        raise ProblemError(f"{label} must return numbers, got None. Is a `return` missing?")
    array = _real(value, label)
    if array.ndim > 1 and array.size != max(array.shape):
        raise ProblemError(f"{label} must return a number or an array of shape (q,), got shape {array.shape}.")
    return array.reshape(-1)


def matrix(value: Any, q: int, n: int, label: str) -> FloatArray:
    """Return what a Jacobian function gave as float64 (q, n); (n,) is read as (1, n), sparse matrices are filled up."""
    dense = value.toarray() if hasattr(value, "toarray") else value
    if dense is None:
        raise ProblemError(f"{label} must return numbers, got None. Is a `return` missing?")
    array = np.atleast_2d(_real(dense, label))
    if array.shape != (q, n):
        expected = f"(n,) = ({n},)" if q == 1 else f"(q, n) = ({q}, {n})"
        raise ProblemError(f"{label} must have shape {expected}, got {np.shape(dense)}.")
    return array


def _real(value: Any, label: str) -> FloatArray:
    try:
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"values of type {array.dtype}")
        return np.array(array, dtype=np.float64)
    except (TypeError, ValueError) as cause:
        raise ProblemError(f"{label} must return real numbers, got {shown(value)} ({cause}).") from None
