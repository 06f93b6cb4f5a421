"""Categorical variables: labels behind integer codes, and which levels are neighbours of which.

The solver sees the codes 0 .. L-1 as floats; what order or distance they have as numbers means nothing to it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack._validation import float_array, shown
from dfoattack.errors import ProblemError

__all__ = ["Category", "categories_of", "check_levels", "with_distances"]

Neighbours = Callable[[FloatArray], Any]


@dataclass(frozen=True)
class Category:
    """One categorical variable.

    Attributes
    ----------
    levels : tuple                      L labels, all different; the code of a label is its place
    order : tuple of tuples of int      for each level the levels that are its neighbours, nearest first
    """

    levels: tuple[Any, ...]
    order: tuple[tuple[int, ...], ...]

    def code(self, label: Any) -> int:
        """The code of a label, -1 if there is none such."""
        for code, level in enumerate(self.levels):
            if type(level) is type(label) and level == label:
                return code
        return next((code for code, level in enumerate(self.levels) if level == label), -1)

    def describe(self) -> dict[str, Any]:
        """JSON-able: labels (texts and numbers as they are, anything else by its repr) and neighbours."""
        plain = [v if isinstance(v, (str, int, float, bool)) or v is None else repr(v) for v in self.levels]
        return {"levels": plain, "order": [list(row) for row in self.order]}


def check_levels(name: str, levels: Any) -> tuple[Any, ...]:
    """The labels of variable `name` as a tuple; raises ProblemError unless they are a sequence of different labels."""
    if isinstance(levels, (str, bytes, Mapping)) or not hasattr(levels, "__iter__"):
        raise ProblemError(f"`categorical` must give variable `{name}` a sequence of levels, got {shown(levels)}.")
    labels = tuple(v.item() if isinstance(v, np.generic) else v for v in levels)
    if not labels:
        raise ProblemError(f"`categorical` must give variable `{name}` at least one level, got none.")
    for i, label in enumerate(labels):
        if any(type(label) is type(other) and label == other for other in labels[:i]):
            raise ProblemError(f"`categorical` must give variable `{name}` different levels, got {shown(label)} twice.")
    return labels


def categories_of(
    categorical: Mapping[Any, Any] | None, names: Sequence[str], index: Callable[[str, Any], int]
) -> dict[int, Category]:
    """The categories by variable; every level is a neighbour of every other one, in the order of the codes."""
    if categorical is None:
        return {}
    if not isinstance(categorical, Mapping):
        raise ProblemError(f"`categorical` must be a dict {{index or name: levels}}, got {shown(categorical)}.")
    found: dict[int, Category] = {}
    for key, levels in categorical.items():
        i = index("categorical", key)
        labels = check_levels(names[i], levels)
        count = range(len(labels))
        found[i] = Category(labels, tuple(tuple(b for b in count if b != a) for a in count))
    return dict(sorted(found.items()))


def with_distances(
    categories: dict[int, Category],
    distances: Mapping[Any, Any] | None,
    names: Sequence[str],
    index: Callable[[str, Any], int],
) -> dict[int, Category]:
    """The same with neighbours ordered by distance; an infinite distance means that two levels are no neighbours.

    Raises ProblemError for a variable that is not categorical, a wrong shape, a negative or NaN distance.
    """
    if distances is None:
        return categories
    if not isinstance(distances, Mapping):
        raise ProblemError(f"`distances` must be a dict {{index or name: matrix}}, got {shown(distances)}.")
    found = dict(categories)
    for key, matrix in distances.items():
        i = index("distances", key)
        if i not in found:
            raise ProblemError(f"`distances` must name categorical variables, got `{names[i]}`, which has no levels.")
        D, count = float_array("distances", matrix), len(found[i].levels)
        if D.shape != (count, count):
            raise ProblemError(
                f"`distances` must have shape (L, L) with L = {count} for variable `{names[i]}`, got {D.shape}."
            )
        if np.isnan(D).any() or (D < 0.0).any():
            raise ProblemError(
                f"`distances` must be >= 0 (inf: no neighbours) for variable `{names[i]}`, got {shown(D)}."
            )
        order = tuple(
            tuple(int(b) for b in np.argsort(D[a], kind="stable") if b != a and D[a, b] < math.inf)
            for a in range(count)
        )
        found[i] = Category(found[i].levels, order)
    return found
