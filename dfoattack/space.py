"""Box: bounds, integer and granular variables, fixed variables, and the two views of a point.

*Full* points hold all n user variables; *free* points hold the variables that can move, and are what mesh, steps,
attacks and kernels see. Units are the user's in both; nothing is scaled here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack._validation import bound_arrays, float_array, interval, number, shown, suggestion
from dfoattack.errors import ProblemError
from dfoattack.kernels.mesh import snap as _snap_kernel
from dfoattack.lattice import few_ulp, nearest_lattice, next_lattice, whole_inverse

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
        variables that are held at a value inside their bounds
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
    free_lower, free_upper, free_granularity, free_inverse : float64 (n_free,)
        free_inverse = 1/g where that is a whole number, else 0: lattice values are k/inverse (0.1 gives exactly 0.3
        for k = 3), and k*g otherwise

    Raises
    ------
    ProblemError
        unordered or NaN bounds, wrong lengths, unknown names, no lattice point inside, n = 0

    Notes
    -----
    All arrays are read-only. A bound within a few ulp of a lattice point that is not a whole number (0.1 + 0.2 with
    g = 0.1) counts as that point.

    Examples
    --------
    >>> box = Box([0, -0.5, 1], [1, 7.2, 1], integer=["b"], names=["a", "b", "c"])
    >>> box.upper.tolist(), box.free.tolist(), box.snap(np.array([[0.4, 8.9]])).tolist()
    ([1.0, 7.0, 1.0], [0, 1], [[0.4, 7.0]])
    """

    def __init__(
        self,
        lower: npt.ArrayLike | Sequence[float | None] | None,
        upper: npt.ArrayLike | Sequence[float | None] | None,
        *,
        integer: Any = None,
        granularity: Any = None,
        fixed: Mapping[Any, float] | None = None,
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
        self._check_order(low, high)

        g = self._granularity(granularity, integer)
        inverse = whole_inverse(g)
        for i in np.flatnonzero(g > 0).tolist():
            low[i], high[i] = self._lattice_bounds(i, low[i], high[i], g[i], inverse[i])
        values = np.where(low == high, low, np.nan)
        self._fix(values, fixed, low, high, g, inverse)

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
        self._inverse: FloatArray = _frozen(inverse)

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
        """Return free points (k, n_free) or (n_free,) moved to the nearest lattice value and then, exactly, into the
        bounds. A new array."""
        part = np.asarray(Z, dtype=np.float64)
        self._check_width("Z", part, self.n_free)
        rows = np.ascontiguousarray(
            part.reshape(-1, self.n_free) if self.n_free else part.reshape(len(np.atleast_2d(part)), 0)
        )
        out = np.empty_like(rows)
        if rows.size:
            _snap_kernel(rows, self.free_lower, self.free_upper, self.free_granularity, self.free_inverse, out)
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
        return np.array_equal(self.snap(part), part)

    def describe(self) -> dict[str, Any]:
        """Return the definition as JSON-able values; infinities as None, floats in full precision. Used in
        fingerprints."""

        def plain(values: FloatArray) -> list[float | None]:
            return [float(v) if math.isfinite(v) else None for v in values]

        return {
            "n": self.n,
            "lower": plain(self.lower),
            "upper": plain(self.upper),
            "granularity": plain(self.granularity),
            "fixed": plain(self.fixed_values),
            "names": list(self.names),
            "units": list(self.units),
        }

    def admit(self, name: str, X: FloatArray) -> FloatArray:
        """Return full points (s, n) made exactly admissible; what is off by more than a few ulp raises ProblemError.

        `name` is the argument to blame in the message. Used for starting points.
        """
        if not np.all(np.isfinite(X)):
            row, i = np.argwhere(~np.isfinite(X))[0]
            raise ProblemError(
                f"`{name}` must be finite, got {X[row, i]} for variable `{self.names[i]}`{_of_row(row, X)}."
            )
        clipped = np.clip(X, self.lower, self.upper)
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
        for row, i in np.argwhere(np.abs(clipped - snapped) > few_ulp(clipped, self.granularity, self.granularity)):
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
        return f"Box(n={self.n}, n_free={self.n_free}, granular={granular}, {bounds})"

    # ---------------------------------------------------------------- construction

    def _index(self, argument: str, key: Any) -> int:
        """Turn an index or a name into an index 0 <= i < n."""
        if isinstance(key, str):
            if key not in self.names:
                raise ProblemError(
                    f"`{argument}` must use names from `names`, got {key!r}.{suggestion(key, self.names)}"
                )
            return self.names.index(key)
        if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
            if not -self.n <= key < self.n:
                raise ProblemError(f"`{argument}` must use indices in [0, n-1] = [0, {self.n - 1}], got {key}.")
            return int(key) % self.n
        raise ProblemError(f"`{argument}` must use indices (int) or names (str), got {shown(key)}.")

    def _check_order(self, low: FloatArray, high: FloatArray) -> None:
        for bound, values, wrong in (("lower", low, math.inf), ("upper", high, -math.inf)):
            for i in np.flatnonzero(np.isnan(values) | (values == wrong)):
                raise ProblemError(
                    f"`{bound}` must hold numbers or {-wrong}, got {values[i]} for variable `{self.names[i]}`."
                )
        for i in np.flatnonzero(low > high):
            raise ProblemError(
                f"`lower` must not exceed `upper` for variable `{self.names[i]}`, "
                f"got {number(low[i])} > {number(high[i])}."
            )

    def _granularity(self, granularity: Any, integer: Any) -> FloatArray:
        n = self.n
        if granularity is None:
            g = np.zeros(n)
        elif isinstance(granularity, Mapping):
            g = np.zeros(n)
            for key, value in granularity.items():
                g[self._index("granularity", key)] = float_array("granularity", value).item()
        else:
            g = float_array("granularity", granularity)
            if g.shape not in ((), (n,)):
                raise ProblemError(f"`granularity` must be a number or have shape (n,) with n = {n}, got {g.shape}.")
            g = np.array(np.broadcast_to(g, (n,)))
        for i in np.flatnonzero(~np.isfinite(g) | (g < 0)).tolist():
            raise ProblemError(
                f"`granularity` must be finite and >= 0 (0 = continuous), got {g[i]} for variable `{self.names[i]}`."
            )
        for i in self._integer_indices(integer):
            if g[i] == 0:
                g[i] = 1.0
            elif g[i] != math.floor(g[i]):
                raise ProblemError(
                    f"`granularity` must be a whole number for integer variable `{self.names[i]}`, got {number(g[i])}."
                )
        return g

    def _integer_indices(self, integer: Any) -> list[int]:
        if integer is None or integer is False:
            return []
        if integer is True:
            return list(range(self.n))
        if isinstance(integer, (str, int, np.integer)):
            return [self._index("integer", integer)]
        try:
            keys = list(integer)
        except TypeError:
            raise ProblemError(
                f"`integer` must be True, a bool mask, or a list of indices or names, got {shown(integer)}."
            ) from None
        if keys and all(isinstance(key, (bool, np.bool_)) for key in keys):
            if len(keys) != self.n:
                raise ProblemError(f"`integer` must have shape (n,) with n = {self.n} as a mask, got ({len(keys)},).")
            return [i for i, flag in enumerate(keys) if flag]
        return [self._index("integer", key) for key in keys]

    def _lattice_bounds(self, i: int, low: float, high: float, g: float, inverse: float) -> tuple[float, float]:
        """Bounds of variable i moved inwards onto its lattice."""
        new_low = low if low == -math.inf else next_lattice(low, g, inverse, +1)
        new_high = high if high == math.inf else next_lattice(high, g, inverse, -1)
        if new_low > new_high:
            what = "integer" if g == 1 else f"multiple of {number(g)}"
            raise ProblemError(
                f"Bounds of variable `{self.names[i]}` must hold at least one {what}, got {interval(low, high)}."
            )
        return new_low, new_high

    def _fix(
        self, values: FloatArray, fixed: Any, low: FloatArray, high: FloatArray, g: FloatArray, inverse: FloatArray
    ) -> None:
        """Write the values of `fixed` into `values` (n,), in place."""
        if fixed is None:
            return
        if not isinstance(fixed, Mapping):
            raise ProblemError(f"`fixed` must be a dict {{index or name: value}}, got {shown(fixed)}.")
        for key, raw in fixed.items():
            i = self._index("fixed", key)
            value = float_array("fixed", raw)
            if value.size != 1 or not np.isfinite(value).all():
                raise ProblemError(
                    f"`fixed` must be one finite number for variable `{self.names[i]}`, got {shown(raw)}."
                )
            v = value.item() + 0.0
            if not low[i] <= v <= high[i]:
                raise ProblemError(
                    f"`fixed` must lie in {interval(low[i], high[i])} for variable `{self.names[i]}`, got {number(v)}."
                )
            if g[i] > 0 and v not in (low[i], high[i], nearest_lattice(v, g[i], inverse[i])):
                raise ProblemError(
                    f"`fixed` must be a multiple of {number(g[i])} for variable `{self.names[i]}`, got {number(v)}."
                )
            values[i] = v

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
