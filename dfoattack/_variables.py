"""What users write about the variables of a box, checked and turned into arrays; each message holds name, rule and value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack._validation import float_array, interval, number, shown, suggestion
from dfoattack.categories import Category
from dfoattack.errors import ProblemError
from dfoattack.lattice import few_ulp, nearest_lattice, next_lattice

Names = tuple[str, ...]
Categories = Mapping[int, Category]


def index_of(names: Names, argument: str, key: Any) -> int:
    """Turn an index or a name into an index 0 <= i < n."""
    if isinstance(key, str):
        if key not in names:
            raise ProblemError(f"`{argument}` must use names from `names`, got {key!r}.{suggestion(key, names)}")
        return names.index(key)
    if isinstance(key, (int, np.integer)) and not isinstance(key, bool):
        if not -len(names) <= key < len(names):
            raise ProblemError(f"`{argument}` must use indices in [0, n-1] = [0, {len(names) - 1}], got {key}.")
        return int(key) % len(names)
    raise ProblemError(f"`{argument}` must use indices (int) or names (str), got {shown(key)}.")


def check_order(names: Names, low: FloatArray, high: FloatArray) -> None:
    """Raise ProblemError unless lower <= upper, neither NaN nor the wrong infinity."""
    for bound, values, wrong in (("lower", low, math.inf), ("upper", high, -math.inf)):
        for i in np.flatnonzero(np.isnan(values) | (values == wrong)):
            raise ProblemError(f"`{bound}` must hold numbers or {-wrong}, got {values[i]} for variable `{names[i]}`.")
    for i in np.flatnonzero(low > high):
        raise ProblemError(
            f"`lower` must not exceed `upper` for variable `{names[i]}`, got {number(low[i])} > {number(high[i])}."
        )


def granularities(names: Names, granularity: Any, integer: Any) -> FloatArray:
    """Granularity of every variable, (n,), integers included."""
    n = len(names)
    if granularity is None:
        g = np.zeros(n)
    elif isinstance(granularity, Mapping):
        g = np.zeros(n)
        for key, value in granularity.items():
            g[index_of(names, "granularity", key)] = float_array("granularity", value).item()
    else:
        g = float_array("granularity", granularity)
        if g.shape not in ((), (n,)):
            raise ProblemError(f"`granularity` must be a number or have shape (n,) with n = {n}, got {g.shape}.")
        g = np.array(np.broadcast_to(g, (n,)))
    for i in np.flatnonzero(~np.isfinite(g) | (g < 0)).tolist():
        raise ProblemError(
            f"`granularity` must be finite and >= 0 (0 = continuous), got {g[i]} for variable `{names[i]}`."
        )
    for i in chosen_of(names, "integer", integer):
        if g[i] == 0:
            g[i] = 1.0
        elif g[i] != math.floor(g[i]):
            raise ProblemError(
                f"`granularity` must be a whole number for integer variable `{names[i]}`, got {number(g[i])}."
            )
    return g


def chosen_of(names: Names, argument: str, chosen: Any) -> list[int]:
    """Indices of True (all), a mask, or a list of indices or names."""
    if chosen is None or chosen is False:
        return []
    if chosen is True:
        return list(range(len(names)))
    if isinstance(chosen, (str, int, np.integer)):
        return [index_of(names, argument, chosen)]
    try:
        keys = list(chosen)
    except TypeError:
        raise ProblemError(
            f"`{argument}` must be True, a bool mask, or a list of indices or names, got {shown(chosen)}."
        ) from None
    if keys and all(isinstance(key, (bool, np.bool_)) for key in keys):
        if len(keys) != len(names):
            raise ProblemError(
                f"`{argument}` must have shape (n,) with n = {len(names)} as a mask, got ({len(keys)},)."
            )
        return [i for i, flag in enumerate(keys) if flag]
    return [index_of(names, argument, key) for key in keys]


def code_bounds(names: Names, categories: Categories, low: FloatArray, high: FloatArray, g: FloatArray) -> None:
    """Bounds and granularity of the categorical variables, in place: their codes are 0 .. L-1."""
    for i, category in categories.items():
        last = float(len(category.levels) - 1)
        if not (low[i] in (-math.inf, 0.0) and high[i] in (math.inf, last)):
            raise ProblemError(
                f"Bounds of categorical variable `{names[i]}` must be left out or be {interval(0, last)} "
                f"(codes of {len(category.levels)} levels), got {interval(low[i], high[i])}."
            )
        if g[i] not in (0.0, 1.0):
            raise ProblemError(
                f"`granularity` must be left out for categorical variable `{names[i]}`, got {number(g[i])}."
            )
        low[i], high[i], g[i] = 0.0, last, 1.0


def periods(
    names: Names,
    categories: Categories,
    periodic: Any,
    low: FloatArray,
    high: FloatArray,
    g: FloatArray,
    inverse: FloatArray,
) -> FloatArray:
    """Period of every variable, (n,), 0 = not periodic."""
    period = np.zeros(len(names))
    for i in chosen_of(names, "periodic", periodic):
        name = names[i]
        if i in categories:
            raise ProblemError(f"`periodic` must not name categorical variables, got `{name}`.")
        if not (math.isfinite(low[i]) and math.isfinite(high[i] - low[i])):
            raise ProblemError(
                f"`periodic` variables must have two finite bounds (period = upper - lower), "
                f"got {interval(low[i], high[i])} for variable `{name}`."
            )
        if g[i] > 0.0:
            for bound in (low[i], high[i]):
                if abs(bound - nearest_lattice(bound, g[i], inverse[i])) > few_ulp(bound, g[i], g[i]):
                    raise ProblemError(
                        f"Bounds of periodic variable `{name}` must be multiples of its granularity "
                        f"{number(g[i])}, so that the period is one too, got {interval(low[i], high[i])}."
                    )
        period[i] = high[i] - low[i]
    return period


def groups_of(names: Names, groups: Any) -> tuple[tuple[int, ...], ...]:
    """The groups as indices."""
    if groups is None:
        return ()
    if isinstance(groups, (str, bytes, Mapping)) or not hasattr(groups, "__iter__"):
        raise ProblemError(f"`groups` must be a sequence of lists of indices or names, got {shown(groups)}.")
    found: list[tuple[int, ...]] = []
    for group in groups:
        if isinstance(group, (str, int, np.integer)) or not hasattr(group, "__iter__"):
            raise ProblemError(f"`groups` must hold lists of indices or names, got {shown(group)}.")
        members = [index_of(names, "groups", key) for key in group]
        for i in members:
            if members.count(i) > 1 or any(i in other for other in found):
                raise ProblemError(f"`groups` must hold every variable at most once, got `{names[i]}` twice.")
        if not members:
            raise ProblemError("`groups` must not hold an empty group.")
        found.append(tuple(members))
    return tuple(found)


def code_of(names: Names, categories: Categories, argument: str, i: int, value: Any) -> float:
    """The code of a level of categorical variable i."""
    code = categories[i].code(value)
    if code < 0:
        levels = categories[i].levels
        raise ProblemError(
            f"`{argument}` must be one of the levels {shown(levels)} for variable `{names[i]}`, "
            f"got {shown(value)}.{suggestion(str(value), [v for v in levels if isinstance(v, str)])}"
        )
    return float(code)


def lattice_bounds(names: Names, i: int, low: float, high: float, g: float, inverse: float) -> tuple[float, float]:
    """Bounds of variable i moved inwards onto its lattice."""
    new_low = low if low == -math.inf else next_lattice(low, g, inverse, +1)
    new_high = high if high == math.inf else next_lattice(high, g, inverse, -1)
    if new_low > new_high:
        what = "integer" if g == 1 else f"multiple of {number(g)}"
        raise ProblemError(f"Bounds of variable `{names[i]}` must hold at least one {what}, got {interval(low, high)}.")
    return new_low, new_high


def write_fixed(
    names: Names,
    categories: Categories,
    values: FloatArray,
    fixed: Any,
    low: FloatArray,
    high: FloatArray,
    g: FloatArray,
    inverse: FloatArray,
) -> None:
    """Write the values of `fixed` into `values` (n,), in place."""
    if fixed is None:
        return
    if not isinstance(fixed, Mapping):
        raise ProblemError(f"`fixed` must be a dict {{index or name: value}}, got {shown(fixed)}.")
    for key, raw in fixed.items():
        i = index_of(names, "fixed", key)
        value = float_array("fixed", code_of(names, categories, "fixed", i, raw) if i in categories else raw)
        if value.size != 1 or not np.isfinite(value).all():
            raise ProblemError(f"`fixed` must be one finite number for variable `{names[i]}`, got {shown(raw)}.")
        v = value.item() + 0.0
        if not low[i] <= v <= high[i]:
            raise ProblemError(
                f"`fixed` must lie in {interval(low[i], high[i])} for variable `{names[i]}`, got {number(v)}."
            )
        if g[i] > 0 and v not in (low[i], high[i], nearest_lattice(v, g[i], inverse[i])):
            raise ProblemError(
                f"`fixed` must be a multiple of {number(g[i])} for variable `{names[i]}`, got {number(v)}."
            )
        values[i] = v
