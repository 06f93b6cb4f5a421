"""Box: bounds, and variables of every kind; the two views of a point.

*Full* points hold all n user variables; *free* points hold the variables that can move, and are what mesh, steps,
attacks and kernels see. Units are the user's in both; nothing is scaled here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dfoattack import _variables
from dfoattack._fingerprint import fingerprint_of
from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack._validation import bound_arrays, float_array, interval, number, shown
from dfoattack.categories import Category, Neighbours, categories_of, with_distances
from dfoattack.errors import ProblemError
from dfoattack.kernels.mesh import snap as _snap_kernel
from dfoattack.kernels.wrapping import snap_wrapped as _wrap_kernel
from dfoattack.lattice import few_ulp, whole_inverse

__all__ = ["Box", "as_box"]


class Box:
    """The set of admissible x: l <= x <= u, some x_i on a lattice, some x_i fixed.

    Parameters
    ----------
    lower, upper : array_like (n,)
        bounds, user units; -inf, +inf and None mean "no bound"; l_i == u_i fixes variable i. One of the two may be
        None altogether
    integer : True, bool mask (n,), or list of indices or names
        True: every variable
    granularity : float, array_like (n,), or dict {index or name: g}
        x_i must be a multiple of g_i >= 0; 0 = continuous; integers have g = 1 (or another whole number)
    fixed : dict {index or name: value}
        variables that are held at a value inside their bounds (of a categorical one: a level)
    periodic : True, bool mask (n,), or list of indices or names
        variables that wrap: upper is the same value as lower, the period is upper - lower. Both bounds must be finite,
        and on the lattice where the variable is granular. Points of a run lie in [l_i, u_i)
    groups : sequence of lists of indices or names, optional
        variables that are polled together: every poll direction moves variables of one group only. Variables in no
        group form one more
    categorical : dict {index or name: levels}
        variables without an order: x_i is the code 0 .. L-1 of one of L labels (any hashable or not, all different);
        their bounds are left out (None or infinite) or are 0 and L-1. `levels` turns codes into labels, `codes` labels
        into codes
    distances : dict {index or name: array_like (L, L)}, optional
        how far the levels of a categorical variable are from each other: neighbours are tried nearest first, and
        levels at distance inf are not neighbours
    neighbours : callable x (n,) -> array_like (k, n), optional
        the discrete neighbours of a point, nearest first, instead of one other level of one categorical variable;
        deterministic. Other variables may change as well
    names, units : sequences of n str, optional
        default "x0", "x1", ... and ""

    Attributes
    ----------
    n, n_free : int
        number of variables, and of those that can move (0 is legal)
    lower, upper : float64 (n,)
        bounds, moved inwards onto the lattice for granular variables
    granularity : float64 (n,)
        0 = continuous
    fixed_mask : bool (n,)
    fixed_values : float64 (n,)
        NaN where free
    names, units : tuple of n str
    free : int64 (n_free,)
        indices of the variables that can move
    period : float64 (n,)
        0 = not periodic
    categories : dict {index: Category}
        labels and neighbours of the categorical variables
    groups : tuple of tuples of int
        indices; empty without groups
    neighbour_function : callable or None
    free_lower, free_upper, free_granularity, free_inverse, free_period : float64 (n_free,)
        free_inverse = 1/g where that is a whole number, else 0: lattice values are k/inverse (0.1 gives exactly 0.3
        for k = 3), and k*g otherwise

    Raises
    ------
    ProblemError
        unordered or NaN bounds, wrong lengths, unknown names, no lattice point inside, n = 0, a period that is infinite
        or no multiple of the granularity, overlapping groups, bounds or a granularity of a categorical variable

    Notes
    -----
    All arrays are read-only. A bound within a few ulp of a lattice point that is not a whole number (0.1 + 0.2 with
    g = 0.1) counts as that point.

    Examples
    --------
    >>> box = Box([0, -0.5, 1], [1, 7.2, 1], integer=["b"], names=["a", "b", "c"])
    >>> box.upper.tolist(), box.free.tolist(), box.snap(np.array([[0.4, 8.9]])).tolist()
    ([1.0, 7.0, 1.0], [0, 1], [[0.4, 7.0]])
    >>> pump = Box([0, 0, None], [360, 1, None], periodic=[0], categorical={2: ["steel", "brass"]})
    >>> pump.snap(np.array([[370.0, 2.0, 1.0]])).tolist(), pump.levels([370.0, 0.5, 1.0])
    ([[10.0, 1.0, 1.0]], (370.0, 0.5, 'brass'))
    """

    def __init__(
        self,
        lower: npt.ArrayLike | Sequence[float | None] | None,
        upper: npt.ArrayLike | Sequence[float | None] | None,
        *,
        integer: Any = None,
        granularity: Any = None,
        fixed: Mapping[Any, Any] | None = None,
        periodic: Any = None,
        groups: Sequence[Sequence[Any]] | None = None,
        categorical: Mapping[Any, Any] | None = None,
        distances: Mapping[Any, Any] | None = None,
        neighbours: Neighbours | None = None,
        names: Sequence[str] | None = None,
        units: Sequence[str] | None = None,
    ) -> None:
        low, high = bound_arrays(lower, upper)
        self.n: int = low.shape[0]
        self.names: tuple[str, ...] = _labels("names", names, self.n) or tuple(f"x{i}" for i in range(self.n))
        if len(set(self.names)) < self.n:
            twice = next(name for name in self.names if self.names.count(name) > 1)
            raise ProblemError(f"`names` must be different from each other, got {twice!r} twice.")
        self.units: tuple[str, ...] = _labels("units", units, self.n) or ("",) * self.n
        _variables.check_order(self.names, low, high)
        index = functools.partial(_variables.index_of, self.names)
        self.categories: dict[int, Category] = with_distances(
            categories_of(categorical, self.names, index), distances, self.names, index
        )
        if neighbours is not None and not callable(neighbours):
            raise ProblemError(f"`neighbours` must be callable or None, got {shown(neighbours)}.")
        if neighbours is not None and not self.categories:
            raise ProblemError("`neighbours` must come with categorical variables, got none.")
        self.neighbour_function: Neighbours | None = neighbours

        g = _variables.granularities(self.names, granularity, integer)
        _variables.code_bounds(self.names, self.categories, low, high, g)
        inverse = whole_inverse(g)
        period = _variables.periods(self.names, self.categories, periodic, low, high, g, inverse)
        self.groups: tuple[tuple[int, ...], ...] = _variables.groups_of(self.names, groups)
        for i in np.flatnonzero(g > 0).tolist():
            low[i], high[i] = _variables.lattice_bounds(self.names, i, low[i], high[i], g[i], inverse[i])
        values = np.where(low == high, low, np.nan)
        _variables.write_fixed(self.names, self.categories, values, fixed, low, high, g, inverse)

        self.lower: FloatArray = _frozen(low)
        self.upper: FloatArray = _frozen(high)
        self.granularity: FloatArray = _frozen(g)
        self.fixed_values: FloatArray = _frozen(values)
        self.fixed_mask: BoolArray = _frozen(~np.isnan(values))
        self.free: IntArray = _frozen(np.flatnonzero(np.isnan(values)).astype(np.int64))
        self.n_free: int = self.free.shape[0]
        self.free_lower: FloatArray = _frozen(low[self.free])
        self.free_upper: FloatArray = _frozen(high[self.free])
        self.free_granularity: FloatArray = _frozen(g[self.free])
        self.free_inverse: FloatArray = _frozen(inverse[self.free])
        period[self.fixed_mask] = 0.0
        self.period: FloatArray = _frozen(period)
        self.free_period: FloatArray = _frozen(period[self.free])
        self._wraps: bool = bool(period.any())
        self._inverse: FloatArray = _frozen(inverse)

    def within(self, lower: FloatArray, upper: FloatArray) -> Box:
        """Return the part of this box between `lower` and `upper` (n,); periodic, categorical and fixed variables stay as they are.

        Raises
        ------
        ProblemError        nothing is left of a variable
        """
        kept = self.fixed_mask | (self.period > 0.0)
        kept[list(self.categories)] = True
        low = np.where(kept, self.lower, np.maximum(self.lower, lower))
        high = np.where(kept, self.upper, np.minimum(self.upper, upper))
        _variables.check_order(self.names, low, high)
        for i in np.flatnonzero((self.granularity > 0.0) & ~kept).tolist():
            g, inverse = self.granularity[i], self._inverse[i]
            low[i], high[i] = _variables.lattice_bounds(self.names, i, low[i], high[i], g, inverse)
        other = object.__new__(Box)
        narrow = {"lower": low, "upper": high, "free_lower": low[self.free], "free_upper": high[self.free]}
        other.__dict__.update({**self.__dict__, **{name: _frozen(array) for name, array in narrow.items()}})
        return other

    # ---------------------------------------------------------------- two views of a point

    def reduce(self, X: FloatArray) -> FloatArray:
        """Return the free coordinates of full points: (k, n) -> (k, n_free), or (n,) -> (n_free,). Always a new
        array."""
        full = np.asarray(X, dtype=np.float64)
        self._check_width("X", full, self.n)
        return np.ascontiguousarray(full[..., self.free])

    def expand(self, Z: FloatArray) -> FloatArray:
        """Return the full points of free ones: (k, n_free) -> (k, n), or (n_free,) -> (n,); fixed values bit-equal.
        Always a new array."""
        part = np.asarray(Z, dtype=np.float64)
        self._check_width("Z", part, self.n_free)
        if self.n_free == self.n:
            return np.array(part, order="C")
        full = np.empty((*part.shape[:-1], self.n))
        full[...] = self.fixed_values
        full[..., self.free] = part
        return full

    def snap(self, Z: FloatArray) -> FloatArray:
        """Return free points (k, n_free) or (n_free,), wrapped where periodic, moved to the nearest lattice value and
        then, exactly, into the bounds. A new array."""
        part = np.asarray(Z, dtype=np.float64)
        self._check_width("Z", part, self.n_free)
        rows = np.ascontiguousarray(
            part.reshape(-1, self.n_free) if self.n_free else part.reshape(len(np.atleast_2d(part)), 0)
        )
        out = np.empty_like(rows)
        if rows.size:
            box = self.free_lower, self.free_upper
            if self._wraps:
                _wrap_kernel(rows, *box, self.free_period, self.free_granularity, self.free_inverse, out)
            else:
                _snap_kernel(rows, *box, self.free_granularity, self.free_inverse, out)
        return out.reshape(part.shape)

    def contains(self, x: npt.ArrayLike) -> bool:
        """True iff the full point x (n,) is inside the bounds by 0 ulp, on the lattice, and has the fixed values; NaN
        is never inside."""
        point = np.asarray(x, dtype=np.float64)
        if point.shape != (self.n,):
            raise ProblemError(f"`x` must have shape (n,) with n = {self.n}, got {point.shape}.")
        inside = bool(np.all(point >= self.lower) and np.all(point <= self.upper))
        if not inside or not np.array_equal(point[self.fixed_mask], self.fixed_values[self.fixed_mask]):
            return False
        part = self.reduce(point)
        snapped = self.snap(part)
        at_seam = (self.free_period > 0.0) & (part == self.free_upper) & (snapped == self.free_lower)
        return np.array_equal(np.where(at_seam, part, snapped), part)

    # ---------------------------------------------------------------- categorical variables

    def levels(self, x: npt.ArrayLike) -> tuple[Any, ...]:
        """Return one full point x (n,) with the labels of its categorical variables in place of their codes."""
        point = float_array("x", x)
        if point.shape != (self.n,):
            raise ProblemError(f"`x` must have shape (n,) with n = {self.n}, got {point.shape}.")
        values: list[Any] = point.tolist()
        for i, category in self.categories.items():
            code = values[i]
            if not (0 <= code < len(category.levels) and code == int(code)):
                raise ProblemError(
                    f"`x` must hold a code in [0, {len(category.levels) - 1}] for variable `{self.names[i]}`, "
                    f"got {number(code)}."
                )
            values[i] = category.levels[int(code)]
        return tuple(values)

    def codes(self, values: Sequence[Any]) -> FloatArray:
        """Return the full point x (n,) of n values, labels of the categorical variables in place of their codes."""
        entries = list(values)
        if len(entries) != self.n:
            raise ProblemError(f"`values` must have length n = {self.n}, got {len(entries)}.")
        for i in self.categories:
            entries[i] = _variables.code_of(self.names, self.categories, "values", i, entries[i])
        return float_array("values", entries)

    def neighbours(self, x: npt.ArrayLike) -> FloatArray:
        """Return the discrete neighbours (k, n) of one full point x (n,), nearest first, all admissible.

        Raises
        ------
        ProblemError
            the user's function returned another shape, or a point outside the box or off its levels
        """
        point = float_array("x", x)
        if self.neighbour_function is not None:
            found = float_array("neighbours", self.neighbour_function(point.copy()))
            if found.size == 0:
                return np.empty((0, self.n))
            if found.ndim != 2 or found.shape[1] != self.n:
                raise ProblemError(f"`neighbours` must return shape (k, n) with n = {self.n}, got {found.shape}.")
            return self.admit("neighbours", found)
        rows: list[tuple[int, int, int]] = []
        for i, category in self.categories.items():
            if not self.fixed_mask[i]:
                rows += [(rank, i, code) for rank, code in enumerate(category.order[int(point[i])])]
        rows.sort()  # the nearest level of every variable first, then the second nearest ones
        out = np.tile(point, (len(rows), 1))
        for row, (_, i, code) in enumerate(rows):
            out[row, i] = code
        return out

    def describe(self) -> dict[str, Any]:
        """Return the definition as JSON-able values; infinities as None, floats in full precision. Used in
        fingerprints."""

        def plain(values: FloatArray) -> list[float | None]:
            return [float(v) if math.isfinite(v) else None for v in values]

        out: dict[str, Any] = {
            "n": self.n,
            "lower": plain(self.lower),
            "upper": plain(self.upper),
            "granularity": plain(self.granularity),
            "fixed": plain(self.fixed_values),
            "names": list(self.names),
            "units": list(self.units),
        }
        if self._wraps:
            out["period"] = plain(self.period)
        if self.groups:
            out["groups"] = [list(group) for group in self.groups]
        if self.categories:
            out["categorical"] = {str(i): category.describe() for i, category in self.categories.items()}
        if self.neighbour_function is not None:
            out["neighbours"] = fingerprint_of(self.neighbour_function)
        return out

    def admit(self, name: str, X: FloatArray) -> FloatArray:
        """Return full points (s, n) made exactly admissible; what is off by more than a few ulp raises ProblemError.

        `name` is the argument to blame in the message. Used for starting points.
        """
        if not np.all(np.isfinite(X)):
            row, i = np.argwhere(~np.isfinite(X))[0]
            raise ProblemError(
                f"`{name}` must be finite, got {X[row, i]} for variable `{self.names[i]}`{_of_row(row, X)}."
            )
        clipped = np.where(self.period > 0.0, X, np.clip(X, self.lower, self.upper))  # any angle is inside
        # fixed variables have no freedom left: their "bounds" are the fixed value
        clipped[:, self.fixed_mask] = self.fixed_values[self.fixed_mask]
        for row, i in np.argwhere(np.abs(X - clipped) > few_ulp(X, self.lower, self.upper)):
            where = f"variable `{self.names[i]}`{_of_row(row, X)}"
            if self.fixed_mask[i]:
                raise ProblemError(
                    f"`{name}` must be {number(self.fixed_values[i])} (fixed) for {where}, got {number(X[row, i])}."
                )
            raise ProblemError(
                f"`{name}` must lie in {interval(self.lower[i], self.upper[i])} for {where}, got {number(X[row, i])}."
            )
        snapped = clipped.copy()
        snapped[:, self.free] = self.snap(self.reduce(clipped))
        off = np.abs(clipped - snapped)
        if self._wraps:
            whole = np.where(self.period > 0.0, self.period, 1.0)
            off = np.where(self.period > 0.0, np.abs(off - whole * np.rint(off / whole)), off)
        slack = few_ulp(np.maximum(np.abs(clipped), self.period), self.granularity, self.granularity)
        for row, i in np.argwhere((off > slack) & (self.granularity > 0.0)):
            rule = "an integer" if self.granularity[i] == 1 else f"a multiple of {number(self.granularity[i])}"
            raise ProblemError(
                f"`{name}` must be {rule} for variable `{self.names[i]}`{_of_row(row, X)}, got {number(X[row, i])}."
            )
        return snapped + 0.0  # -0.0 becomes 0.0, as in the point keys

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        for value in state.values():  # pickling loses the read-only flag
            if isinstance(value, np.ndarray):
                value.flags.writeable = False

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Box) and self.describe() == other.describe()

    def __hash__(self) -> int:
        return hash((self.n, self.names, self.lower.tobytes(), self.upper.tobytes()))

    def __repr__(self) -> str:
        granular = int(np.count_nonzero(self.granularity))
        bounds = f"lower={shown(self.lower.tolist())}, upper={shown(self.upper.tolist())}"
        kinds = f"granular={granular - len(self.categories)}"
        if self._wraps:
            kinds += f", periodic={int(np.count_nonzero(self.period))}"
        if self.categories:
            kinds += f", categorical={len(self.categories)}"
        if self.groups:
            kinds += f", groups={len(self.groups)}"
        return f"Box(n={self.n}, n_free={self.n_free}, {kinds}, {bounds})"

    def _check_width(self, name: str, array: FloatArray, width: int) -> None:
        if array.ndim not in (1, 2) or array.shape[-1] != width:
            raise ProblemError(f"`{name}` must have shape (k, {width}) or ({width},), got {array.shape}.")


def as_box(space: Any) -> Box:
    """Turn what users call bounds into a Box.

    Accepted: a Box; a pair (lower, upper) as a tuple of two sequences; a list (or array (n, 2)) of n pairs (l_i, u_i);
    an object with `lb` and `ub` such as `scipy.optimize.Bounds`. A tuple of two tuples of two numbers could mean
    either, and is refused.
    """
    if isinstance(space, Box):
        return space
    if hasattr(space, "lb") and hasattr(space, "ub"):
        return Box(space.lb, space.ub)
    if isinstance(space, tuple) and len(space) == 2 and not all(np.ndim(part) == 0 for part in space):
        if all(isinstance(part, tuple) and len(part) == 2 for part in space):
            raise ProblemError(
                f"`space` must be a Box, a pair (lower, upper) or a list of pairs; {shown(space)} could be either "
                "of the last two. Write Box(lower, upper), or a list of pairs."
            )
        return Box(space[0], space[1])
    try:
        pairs = [tuple(pair) for pair in space]
    except TypeError:
        pairs = [()]
    if not pairs or any(len(pair) != 2 for pair in pairs):
        raise ProblemError(
            f"`space` must be a Box, a pair (lower, upper) or a list of n >= 1 pairs (l_i, u_i), got {shown(space)}."
        )
    return Box([pair[0] for pair in pairs], [pair[1] for pair in pairs])


def _of_row(row: Any, X: FloatArray) -> str:
    return f" in row {row}" if len(X) > 1 else ""


def _frozen(array: Any) -> Any:
    array.flags.writeable = False
    return array


def _labels(argument: str, labels: Sequence[str] | None, n: int) -> tuple[str, ...]:
    if labels is None:
        return ()
    if isinstance(labels, str) or any(not isinstance(label, str) for label in labels):
        raise ProblemError(f"`{argument}` must be a sequence of n = {n} str, got {shown(labels)}.")
    if len(labels) != n:
        raise ProblemError(f"`{argument}` must have length n = {n}, got {len(labels)}.")
    return tuple(str(label) for label in labels)
