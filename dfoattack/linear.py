"""Linear: constraints on x that are known in closed form, and therefore never violated and never paid for."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dfoattack._typing import BoolArray, FloatArray
from dfoattack._validation import float_array, shown
from dfoattack.errors import ProblemError

__all__ = ["Linear", "as_linear"]


class Linear:
    """Known linear constraints lower <= A x <= upper on the variables.

    Parameters
    ----------
    A : array_like (q, n) or (n,)           finite; columns in the order of the variables, fixed ones included
    upper : array_like (q,) or number       +inf and None: no upper side
    lower : array_like (q,) or number       -inf and None: no lower side; equal sides make an equality
    name : str                              for messages and results; default "linear0", "linear1", ...

    Raises
    ------
    ProblemError

    Notes
    -----
    No point outside is ever evaluated: starts outside are replaced by the nearest point inside, polls follow the faces, and trial
    points outside are shortened or projected. An inequality is met exactly, with sums taken in the order of the variables; an equality
    to round-off.

    Examples
    --------
    >>> budget = Linear([[1, 1, 1]], 10)
    >>> blend = Linear([1, -1, 0], 0, 0, name="blend")
    >>> blend.equality.tolist(), budget.excess(np.array([[4.0, 4.0, 4.0]])).tolist()
    ([True], [[2.0]])
    """

    def __init__(
        self,
        A: npt.ArrayLike,
        upper: npt.ArrayLike | None = None,
        lower: npt.ArrayLike | None = None,
        *,
        name: str = "",
    ) -> None:
        if not isinstance(name, str):
            raise ProblemError(f"`name` of a linear constraint must be a str, got {shown(name)}.")
        label = f"linear constraint `{name}`" if name else "a linear constraint"
        matrix = np.atleast_2d(float_array("A", A))
        if matrix.ndim != 2 or matrix.shape[1] == 0 or not np.isfinite(matrix).all():
            raise ProblemError(f"`A` of {label} must be finite and of shape (q, n), got {shown(A)}.")
        q = matrix.shape[0]
        sides = []
        for side, value, missing in (("upper", upper, np.inf), ("lower", lower, -np.inf)):
            array = float_array(side, missing if value is None else value)
            if array.shape not in ((), (q,), (1,)):
                raise ProblemError(
                    f"`{side}` of {label} must be a number or have shape (q,) with q = {q} (from `A`), got {array.shape}."
                )
            if np.isnan(array).any() or np.any(array == -missing):
                raise ProblemError(f"`{side}` of {label} must hold numbers or {missing}, got {shown(value)}.")
            sides.append(np.array(np.broadcast_to(array, (q,))))
        high, low = sides
        if np.any(low > high):
            j = int(np.argmax(low > high))
            raise ProblemError(f"`lower` of {label} must not exceed `upper`, got {low[j]:g} > {high[j]:g} in row {j}.")
        self.A: FloatArray = matrix
        self.lower: FloatArray = low
        self.upper: FloatArray = high
        self.name = name
        for array in (matrix, low, high):
            array.flags.writeable = False

    @property
    def equality(self) -> BoolArray:
        """(q,) rows whose sides are equal."""
        equal: BoolArray = self.lower == self.upper
        return equal

    def excess(self, X: FloatArray) -> FloatArray:
        """Return max(A x - upper, lower - A x) of points X (k, n), (k, q): positive where violated."""
        # Row by row: the last bit of X @ A.T depends on the number of rows.
        values = np.array([self.A @ x for x in X]).reshape(-1, self.A.shape[0])
        excess: FloatArray = np.maximum(values - self.upper, self.lower - values)
        return excess

    def __repr__(self) -> str:
        return f"Linear(q={self.A.shape[0]}, n={self.A.shape[1]}, name={self.name!r})"


def as_linear(given: Any, n: int) -> tuple[Linear, ...]:
    """None, a Linear or a sequence of these as named Linears for n variables."""
    entries = [] if given is None else [given] if isinstance(given, Linear) else given
    if not isinstance(entries, (list, tuple)) or not all(isinstance(entry, Linear) for entry in entries):
        raise ProblemError(f"`linear` must be a Linear or a sequence of these, got {shown(given)}.")
    named = []
    for i, entry in enumerate(entries):
        if entry.A.shape[1] != n:
            raise ProblemError(
                f"`A` of `linear[{i}]` must have shape (q, n) with n = {n} (from `space`), got {entry.A.shape}."
            )
        named.append(entry if entry.name else Linear(entry.A, entry.upper, entry.lower, name=f"linear{i}"))
    names = [entry.name for entry in named]
    for name in names:
        if names.count(name) > 1:
            raise ProblemError(
                f"`name` must differ between linear constraints, got {name!r} {names.count(name)} times."
            )
    return tuple(named)
