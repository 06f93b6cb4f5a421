"""How points of the free space are moved, rounded and compared, whatever kinds of variables there are.

Steps go through it instead of adding and subtracting coordinates: periodic variables wrap, and the codes of categorical
variables are never treated as numbers. Where no variable is periodic or categorical it is the plain kernels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack.kernels import covering as plain_distances
from dfoattack.kernels import mesh as plain_points
from dfoattack.kernels import wrapping
from dfoattack.space import Box

__all__ = ["Block", "Geometry", "Neighbours"]

RESTART_LEVELS_APART = 1.0  # distance of different levels in first frame sizes, where a restart looks for a far point


@dataclass(frozen=True)
class Block:
    """One group of variables that are polled together: its continuous and its granular members (categorical ones never)."""

    continuous: IntArray
    discrete: IntArray

    @property
    def members(self) -> IntArray:
        return np.concatenate([self.continuous, self.discrete])


@dataclass(frozen=True)
class Geometry:
    """The free variables (fixed ones removed).

    Attributes
    ----------
    lower, upper, granularity, inverse : float64 (n,)   the box and its lattice
    period : float64 (n,)            0 = not periodic
    span : float64 (n,)              widest frame that makes sense: the range, half of it for periodic variables
    categorical : bool (n,)
    moving : int64 (m,)              indices of the variables that are not categorical
    blocks : tuple of Block          what is polled together; all of it one block without groups
    wraps, has_levels : bool         some variable is periodic, categorical
    plain : bool                     neither
    one_block : bool                 every variable is continuous and in one group, so that a poll needs no structure
    neighbours : Neighbours          x (n,) -> (k, n) discrete neighbours, nearest first
    """

    lower: FloatArray
    upper: FloatArray
    granularity: FloatArray
    inverse: FloatArray
    period: FloatArray
    span: FloatArray
    categorical: BoolArray
    moving: IntArray
    blocks: tuple[Block, ...]
    wraps: bool
    has_levels: bool
    plain: bool
    one_block: bool
    neighbours: Neighbours

    @classmethod
    def of(cls, space: Box) -> Geometry:
        """The geometry of the free variables of a box."""
        categorical = np.isin(space.free, list(space.categories))
        moving = np.flatnonzero(~categorical).astype(np.int64)
        period, granularity = space.free_period, space.free_granularity
        blocks = _blocks(space, moving)
        wraps, has_levels = bool(period.any()), bool(categorical.any())
        return cls(
            lower=space.free_lower,
            upper=space.free_upper,
            granularity=granularity,
            inverse=space.free_inverse,
            period=period,
            span=np.where(period > 0.0, 0.5 * period, space.free_upper - space.free_lower),
            categorical=categorical,
            moving=moving,
            blocks=blocks,
            wraps=wraps,
            has_levels=has_levels,
            plain=not wraps and not has_levels,
            one_block=not has_levels and len(blocks) <= 1 and not granularity.any(),
            neighbours=Neighbours(space),
        )

    @property
    def mixed(self) -> bool:
        """Continuous and granular variables side by side."""
        granular = self.granularity[self.moving] > 0.0
        return bool(granular.any() and not granular.all())

    @property
    def unit(self) -> FloatArray | None:
        """Mesh units (n,): the period of continuous periodic variables, else 1; None where all are 1."""
        if not self.wraps:
            return None
        return np.where((self.period > 0.0) & (self.granularity == 0.0), self.period, 1.0)

    # ---------------------------------------------------------------- points

    def snapped(self, X: FloatArray) -> FloatArray:
        """Points X (k, n) wrapped, rounded to the lattice and clipped to the box; a new array."""
        out = np.empty(X.shape)
        box = self.lower, self.upper
        if self.wraps:
            wrapping.snap_wrapped(X, *box, self.period, self.granularity, self.inverse, out)
        else:
            plain_points.snap(X, *box, self.granularity, self.inverse, out)
        return out

    def mesh_points(self, x: FloatArray, Z: FloatArray, mesh_size: FloatArray) -> FloatArray:
        """Trial points x + mesh_size * z for integer steps Z (k, n), wrapped, on the lattice, in the box, (k, n)."""
        out = np.empty(Z.shape)
        box = self.lower, self.upper
        if self.wraps:
            wrapping.mesh_points_wrapped(x, Z, mesh_size, *box, self.period, self.granularity, self.inverse, out)
        else:
            plain_points.mesh_points(x, Z, mesh_size, *box, self.granularity, self.inverse, out)
        return out

    def held(self, X: FloatArray, origins: FloatArray) -> FloatArray:
        """X (k, n) with the levels of the points they were built around, and upper written as lower where periodic.

        Whatever a step has done with the codes of categorical variables, it proposes points of its centre's levels.
        """
        if self.plain:
            return X
        X = np.where(self.categorical, origins, X)
        return np.where((self.period > 0.0) & (X >= self.upper), self.lower, X)

    # ---------------------------------------------------------------- differences

    def displacement(self, x: FloatArray, X: FloatArray) -> FloatArray:
        """X - x the short way round, 0 in categorical variables; x (n,) or (k, n), X (n,) or (k, n)."""
        D: FloatArray = X - x
        if self.plain:
            return D
        if self.wraps:
            period = np.where(self.period > 0.0, self.period, 1.0)
            D = np.where(self.period > 0.0, D - period * np.rint(D / period), D)
        return np.where(self.categorical, 0.0, D)

    def same_levels(self, x: FloatArray, X: FloatArray) -> BoolArray:
        """Rows of X (k, n) with the categorical part of x (n,)."""
        same: BoolArray = np.all((X == x) | ~self.categorical, axis=1)
        return same

    def images(self, x: FloatArray, X: FloatArray) -> FloatArray:
        """Rows of X (k, n) as seen from x (n,): the nearest image where periodic, +inf in every variable that is
        categorical and has another level."""
        if self.plain:
            return X
        out = x + self.displacement(x, X) if self.wraps else X.copy()
        out[:, self.categorical] = np.where(X[:, self.categorical] == x[self.categorical], x[self.categorical], np.inf)
        return out

    def around(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Bounds (lower, upper) as seen from x (n,): half a period to both sides where periodic, x itself where
        categorical."""
        if self.plain:
            return self.lower, self.upper
        half, periodic = 0.5 * self.period, self.period > 0.0
        lower = np.where(periodic, x - half, self.lower)
        upper = np.where(periodic, x + half, self.upper)
        return np.where(self.categorical, x, lower), np.where(self.categorical, x, upper)

    # ---------------------------------------------------------------- distances to evaluated points

    def _metric(self, apart: float) -> FloatArray:
        return np.where(self.categorical, -apart, self.period)

    def pool_update(self, Y: FloatArray, d2: FloatArray, T: FloatArray, scale: FloatArray) -> None:
        """Lower the squared distances d2 (N,) of candidates Y (N, n) by new points T (k, n), in place."""
        if self.plain:
            plain_distances.pool_update(Y, d2, T, scale)
        else:
            wrapping.pool_update_wrapped(Y, d2, T, scale, self._metric(math.inf))

    def pool_refresh(
        self,
        Y: FloatArray,
        d2: FloatArray,
        rows: IntArray,
        V: FloatArray,
        n_history: int,
        centre: FloatArray,
        radius: float,
        scale: FloatArray,
    ) -> None:
        """Squared distances of the candidates `rows` to the first n_history points of V, in place."""
        if self.plain:
            plain_distances.pool_refresh(Y, d2, rows, V, n_history, centre, radius, scale)
        else:
            wrapping.pool_refresh_wrapped(Y, d2, rows, V, n_history, scale, self._metric(math.inf))

    def fill_distance(self, T: FloatArray, V: FloatArray, scale: FloatArray) -> FloatArray:
        """Squared distance of every test point T (N, n) to its nearest point of V (M, n), (N,).

        Points of different levels are `RESTART_LEVELS_APART` a variable apart.
        """
        d2 = np.empty(T.shape[0])
        if self.plain:
            plain_distances.fill_distance(T, V, scale, d2)
        else:
            wrapping.fill_distance_wrapped(T, V, scale, self._metric(RESTART_LEVELS_APART), d2)
        return d2


class Neighbours:
    """The discrete neighbours of a free point, from those of the full one.

    moves_others : bool     they come from the user's function, which may move other variables too
    """

    def __init__(self, space: Box) -> None:
        self._space = space
        self.moves_others = space.neighbour_function is not None

    def __call__(self, x: FloatArray) -> FloatArray:
        space = self._space
        return space.reduce(space.neighbours(space.expand(x)))


def _blocks(space: Box, moving: IntArray) -> tuple[Block, ...]:
    """The groups of the moving variables; those in no group form one more; empty ones are left out."""
    moving_set = set(moving.tolist())
    place = {int(i): k for k, i in enumerate(space.free) if k in moving_set}
    groups = [[place[i] for i in group if i in place] for group in space.groups]
    grouped = {k for group in groups for k in group}
    groups.append([k for k in moving.tolist() if k not in grouped])
    found = []
    for group in groups:
        if group:
            members = np.array(sorted(group), dtype=np.int64)
            granular = space.free_granularity[members] > 0.0
            found.append(Block(members[~granular], members[granular]))
    return tuple(found)
