"""SciPy's bounds and constraints as a `Box` and a tuple of `Constraint`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint

from dfoattack._fingerprint import fingerprint_of
from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack._validation import float_array, shown, suggestion
from dfoattack.errors import ProblemError
from dfoattack.linear import Linear
from dfoattack.pointwise import PointVector
from dfoattack.problem import Constraint
from dfoattack.space import Box

__all__ = ["as_box", "as_constraints", "equality_name"]

_DICT_KEYS = ("type", "fun", "jac", "args")


class _Source(Protocol):
    """The function between two sides: values (k, n) -> (k, q), and Jacobians (q, n) if it has them."""

    @property
    def has_jac(self) -> bool: ...
    def values(self, X: FloatArray, /) -> FloatArray: ...
    def jacobians(self, X: FloatArray, /) -> Iterator[FloatArray]: ...
    def fingerprint(self) -> str: ...


class _Linear:
    """A x for the matrix A (q, n)."""

    has_jac = True

    def __init__(self, A: FloatArray) -> None:
        self.A = A

    def values(self, X: FloatArray) -> FloatArray:
        # Row by row: the last bit of X @ A.T depends on the number of rows.
        return np.array([self.A @ x for x in X])

    def jacobians(self, X: FloatArray) -> Iterator[FloatArray]:
        for _ in X:
            yield self.A

    def fingerprint(self) -> str:
        return fingerprint_of(self.A)


class _Columns(NamedTuple):
    """Which values become columns sign * (g[take] - bound) <= tol; each array (r,)."""

    take: IntArray
    sign: FloatArray
    bound: FloatArray


class Band:
    """lb <= g(x) <= ub as columns c: either the equalities among them, g - b, or the others.

    Every finite side of an inequality is a column of its own, so that columns are as smooth as g.
    """

    def __init__(self, source: _Source, lb: FloatArray, ub: FloatArray, equality: bool, label: str) -> None:
        self.source, self.lb, self.ub, self.equality, self.label = source, lb, ub, equality, label
        self._columns: dict[int, _Columns] = {}

    def __call__(self, y: FloatArray) -> FloatArray:
        """Return c (k, r) at the points y (k, n)."""
        values = self.source.values(y)
        take, sign, bound = self._layout(values.shape[1])
        columns: FloatArray = sign * (values[:, take] - bound)
        return columns

    def gradient(self, X: FloatArray, Y: FloatArray, W: FloatArray) -> tuple[None, FloatArray]:
        """Return (None, gradient (k, n) of sum_r W[:, r] c_r) at the points Y (k, n)."""
        rows = []
        for J, w in zip(self.source.jacobians(Y), W, strict=True):
            take, sign, _ = self._layout(J.shape[0])
            rows.append((sign * w) @ J[take])
        return None, np.array(rows)

    def fingerprint(self) -> str:
        return fingerprint_of((self.source.fingerprint(), self.lb, self.ub, self.equality))

    def check(self, q: int) -> None:
        """Raise ProblemError unless the sides fit q values."""
        _check_rows(self.lb, q, self.label)

    def _layout(self, q: int) -> _Columns:
        """The columns once the number q of values is known."""
        if q not in self._columns:
            self.check(q)
            lb, ub = np.broadcast_to(self.lb, q), np.broadcast_to(self.ub, q)
            equal = lb == ub
            low = np.flatnonzero(~equal & (lb > -np.inf)) if not self.equality else np.empty(0, dtype=np.int64)
            high = np.flatnonzero(equal if self.equality else ~equal & (ub < np.inf))
            self._columns[q] = _Columns(
                np.concatenate((low, high)),
                np.concatenate((np.full(low.size, -1.0), np.ones(high.size))),
                np.concatenate((lb[low], ub[high])),
            )
        return self._columns[q]


def as_box(bounds: Any, n: int, integrality: Any) -> Box:
    """The box of SciPy's `bounds` (Bounds, n pairs, or None) and `integrality` (n numbers 0 or 1, or bools); a Box as it
    is, which says itself what is an integer."""
    if isinstance(bounds, Box):
        if bounds.n != n:
            raise ProblemError(f"`bounds` must have n = {n} variables (from `x0`), got a Box with {bounds.n}.")
        if integrality is not None:
            raise ProblemError(f"`integrality` must be left out where `bounds` is a Box, got {shown(integrality)}.")
        return bounds
    lower, upper = _bound_arrays(bounds, n)
    return Box(lower, upper, integer=_integer_mask(integrality, n))


def as_constraints(constraints: Any, box: Box, eq_tol: float) -> tuple[tuple[Constraint, ...], tuple[Linear, ...]]:
    """SciPy's `constraints`, in their order: those that have to be evaluated, and the linear ones, which are known.

    A linear equality that holds no continuous variable, or depends on others, is evaluated like any other.

    Parameters
    ----------
    constraints : LinearConstraint, NonlinearConstraint, dict, sequence of these, or None
    box : Box           the variables
    eq_tol : float      half width of the band that stands for an equality, units of the constraint

    Raises
    ------
    ProblemError        anything else, unordered or NaN sides, wrong shapes
    """
    single = isinstance(constraints, (LinearConstraint, NonlinearConstraint, Mapping))
    entries = [constraints] if single else [] if constraints is None else constraints
    if not isinstance(entries, Iterable) or isinstance(entries, (str, bytes)):
        raise ProblemError(f"`constraints` must be {_KINDS}, or a sequence of these, got {shown(constraints)}.")
    found: list[Constraint] = []
    linear: list[Linear] = []
    kept = np.empty((0, int(np.count_nonzero(_continuous(box)))))
    for i, entry in enumerate(entries):
        if isinstance(entry, LinearConstraint):
            part, rest, kept = _linear_parts(entry, i, box, kept)
            linear += part
            found += [] if rest is None else _converted(rest, i, eq_tol)
        else:
            found += _converted(entry, i, eq_tol)
    return tuple(found), tuple(linear)


def equality_name(name: str, eq_tol: float) -> str:
    """Name of a constraint that stands for equalities."""
    return f"{name} (equality within {eq_tol:g})"


_KINDS = "a scipy.optimize.LinearConstraint, a NonlinearConstraint, or a dict with 'type' and 'fun'"


def _continuous(box: Box) -> BoolArray:
    """(n,) variables that are free and on no lattice."""
    flags: BoolArray = ~box.fixed_mask & (box.granularity == 0.0)
    return flags


def _linear_parts(
    entry: LinearConstraint, i: int, box: Box, kept: FloatArray
) -> tuple[list[Linear], LinearConstraint | None, FloatArray]:
    """The known linear part of an entry, what is left of it, and the rows of all equalities so far in continuous variables."""
    label = f"Constraint `c{i}`"
    A = _linear_matrix(entry.A, box.n, label)
    q = A.shape[0]
    sides = _sides(entry.lb, entry.ub, label)
    for side in sides:
        _check_rows(side, q, label)
    _kind(entry.keep_feasible, label)  # nothing to do: known constraints are never violated
    lb, ub = (np.broadcast_to(side, q) for side in sides)
    known = np.ones(q, dtype=bool)
    for j in np.flatnonzero(lb == ub):
        more = np.vstack([kept, A[j, _continuous(box)]])
        known[j] = np.linalg.matrix_rank(more) == more.shape[0] if more.shape[1] else False
        kept = more if known[j] else kept
    linear = [Linear(A[known], ub[known], lb[known], name=f"c{i}")] if known.any() else []
    rest = None if known.all() else LinearConstraint(A[~known], lb[~known], ub[~known])
    return linear, rest, kept


def _check_rows(side: FloatArray, q: int, label: str) -> None:
    if side.ndim and side.shape != (q,):
        raise ProblemError(
            f"`lb` and `ub` of {label} must be numbers or have shape (q,) with q = {q}, got {side.shape}."
        )


def _converted(entry: Any, i: int, eq_tol: float) -> list[Constraint]:
    """The one or two constraints of an entry: its inequalities, and its equalities."""
    label = f"Constraint `c{i}`"
    source: _Source
    if isinstance(entry, LinearConstraint):
        source = _Linear(np.asarray(entry.A, dtype=np.float64))
        lb, ub = np.asarray(entry.lb), np.asarray(entry.ub)
        kind = "progressive"
    elif isinstance(entry, NonlinearConstraint):
        source = PointVector(_function(entry.fun, label), (), entry.jac if callable(entry.jac) else None, label)
        lb, ub = _sides(entry.lb, entry.ub, label)
        kind = _kind(entry.keep_feasible, label)
    elif isinstance(entry, Mapping):
        source, equality = _from_dict(entry, label)
        lb, ub = np.zeros(()), np.zeros(()) if equality else np.full((), np.inf)
        kind = "progressive"
    else:
        raise ProblemError(f"`constraints[{i}]` must be {_KINDS}, got {shown(entry)}.")
    out = []
    equal: BoolArray = np.asarray(lb == ub)
    sided = ~equal & ((lb > -np.inf) | (ub < np.inf))
    for equality, wanted in ((False, sided), (True, equal)):
        if np.any(wanted):
            band = Band(source, lb, ub, equality, label)
            name = equality_name(f"c{i}", eq_tol) if equality else f"c{i}"
            grad = band.gradient if source.has_jac else None
            out.append(Constraint(band, kind, name, eq_tol if equality else 0.0, grad, equality))
    return out


def _from_dict(entry: Mapping[str, Any], label: str) -> tuple[PointVector, bool]:
    for key in entry:
        if key not in _DICT_KEYS:
            raise ProblemError(
                f"{label} must have the keys 'type', 'fun', and where needed 'jac', 'args', got {key!r}."
                + suggestion(str(key), _DICT_KEYS)
            )
    kind = entry.get("type")
    if not isinstance(kind, str) or kind.lower() not in ("eq", "ineq"):
        raise ProblemError(f"'type' of {label} must be 'eq' (fun = 0) or 'ineq' (fun >= 0), got {shown(kind)}.")
    args = entry.get("args", ())
    jac = entry.get("jac")
    fun = _function(entry.get("fun"), label)
    source = PointVector(
        fun, tuple(args) if isinstance(args, (tuple, list)) else (args,), jac if callable(jac) else None, label
    )
    return source, kind.lower() == "eq"


def _function(fun: Any, label: str) -> Any:
    if not callable(fun):
        raise ProblemError(f"'fun' of {label} must be callable, got {shown(fun)}.")
    return fun


def _linear_matrix(A: Any, n: int, label: str) -> FloatArray:
    dense = A.toarray() if hasattr(A, "toarray") else A
    array = np.atleast_2d(float_array(f"A of {label}", dense))
    if array.ndim != 2 or array.shape[1] != n:
        raise ProblemError(f"`A` of {label} must have shape (q, n) with n = {n} (from `x0`), got {np.shape(dense)}.")
    if not np.all(np.isfinite(array)):
        raise ProblemError(f"`A` of {label} must be finite, got {array[~np.isfinite(array)][0]}.")
    return array


def _sides(lb: Any, ub: Any, label: str) -> tuple[FloatArray, FloatArray]:
    """Both sides, of shape () or (q,), checked; infinite sides are no sides."""
    low, high = float_array(f"lb of {label}", lb), float_array(f"ub of {label}", ub)
    try:
        low, high = (np.array(side) for side in np.broadcast_arrays(low, high))
    except ValueError:
        raise ProblemError(
            f"`lb` and `ub` of {label} must have the same shape, got {low.shape} and {high.shape}."
        ) from None
    if low.ndim > 1:
        raise ProblemError(f"`lb` and `ub` of {label} must be numbers or of shape (q,), got {low.shape}.")
    if low.shape == (1,):
        low, high = low.reshape(()), high.reshape(())
    bad = np.isnan(low) | np.isnan(high) | (low == np.inf) | (high == -np.inf)
    if np.any(bad):
        raise ProblemError(
            f"`lb` and `ub` of {label} must be numbers, `lb` or -inf below and `ub` or inf above, "
            f"got lb = {low[bad][0]}, ub = {high[bad][0]}."
        )
    if np.any(low > high):
        worst = low > high
        raise ProblemError(f"`lb` must not exceed `ub` in {label}, got {low[worst][0]:g} > {high[worst][0]:g}.")
    return low, high


def _kind(keep_feasible: Any, label: str) -> str:
    """SciPy's keep_feasible is the extreme barrier: a point that violates the constraint is never an incumbent."""
    flags = np.asarray(keep_feasible, dtype=bool)
    if flags.any() and not flags.all():
        raise ProblemError(
            f"`keep_feasible` of {label} must be the same for all of its values, got {shown(keep_feasible)}. "
            "Split the constraint in two."
        )
    return "extreme" if flags.size and flags.all() else "progressive"


def _bound_arrays(bounds: Any, n: int) -> tuple[Any, Any]:
    if bounds is None:
        return np.full(n, -np.inf), np.full(n, np.inf)
    if isinstance(bounds, Bounds):
        sides = []
        for name, side in (("lb", bounds.lb), ("ub", bounds.ub)):
            array = float_array(f"bounds.{name}", side)
            if array.size != 1 and array.shape != (n,):
                raise ProblemError(
                    f"`bounds.{name}` must be a number or have shape (n,) with n = {n} (from `x0`), got {array.shape}."
                )
            sides.append(np.array(np.broadcast_to(array.reshape(-1), (n,))))
        return sides[0], sides[1]
    pairs = list(bounds) if isinstance(bounds, Iterable) else []
    if len(pairs) != n or any(np.ndim(pair) != 1 or len(pair) != 2 for pair in map(_as_pair, pairs)):
        raise ProblemError(
            f"`bounds` must be a scipy.optimize.Bounds, or n = {n} pairs (low, high), one a variable of `x0`, "
            f"got {shown(bounds)}."
        )
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _as_pair(pair: Any) -> Any:
    """The pair with None as a number, so that its shape can be asked for."""
    return [0.0 if side is None else side for side in pair] if isinstance(pair, (tuple, list, np.ndarray)) else 0.0


def _integer_mask(integrality: Any, n: int) -> list[bool] | None:
    if integrality is None:
        return None
    array = float_array("integrality", integrality)
    if array.size != 1 and array.shape != (n,):
        raise ProblemError(
            f"`integrality` must be a number or have shape (n,) with n = {n} (from `x0`), got {array.shape}."
        )
    wrong = ~np.isin(array, (0.0, 1.0))
    if np.any(wrong):
        raise ProblemError(f"`integrality` must be 0 (continuous) or 1 (integer), got {array[wrong].flat[0]:g}.")
    return [bool(flag) for flag in np.broadcast_to(array.reshape(-1), (n,))]
