"""Integer poll directions of one centre, for every kind of variable.

Orthogonal directions from a Householder matrix for the continuous variables of a group; lattice moves, one variable at a time, for
the granular ones; a combined direction between the two. Rounding an orthogonal basis of all of them to integers instead would leave
most lattice neighbours out and lose the positive span.
"""

from __future__ import annotations

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack.geometry import Geometry
from dfoattack.kernels import directions

COARSE_RHO = 5.0  # granular frames at least so many lattice steps wide can hold orthogonal directions after rounding
SAFE_RHO = 20.0  # no loss of spanning was ever seen when every frame is at least this many mesh sizes wide


def poll_rows(v: FloatArray, rho: FloatArray) -> FloatArray:
    """Orthogonal directions of one Householder matrix, scaled into the frame and rounded to integers, rows of (n, n)."""
    n = v.shape[0]
    H, Z = np.empty((n, n)), np.empty((n, n))
    directions.householder(v, H)
    directions.scale_directions(H, rho, Z)
    return Z


def completion(K: FloatArray, rho: FloatArray) -> FloatArray:
    """Directions (m, n) with which the rows of K (k, n) positively span R^n; m = 0 if they do already.

    For n rows: their negative sum, scaled into the frame and rounded; where rounding has moved it out of the interior of the
    negative cone, the negatives of all rows; where rounding has made the rows dependent, all coordinate directions.
    For 2n rows: nothing, or all coordinate directions.
    """
    n = rho.shape[0]
    if K.shape[0] == n:
        z = np.empty(n)
        directions.complete_negative(K, rho, z)
        if z.any() and directions.completes(K, z):
            return z[None, :]
        K = np.vstack([K, -K])
        if directions.positive_basis_status(K):
            return K[n:]
    elif rho.min() >= SAFE_RHO or directions.positive_basis_status(K):
        return np.empty((0, n))
    return np.vstack([np.diag(rho), -np.diag(rho)])


def block_rows(geometry: Geometry, v: FloatArray, rho: FloatArray) -> FloatArray:
    """A basis of the moving variables, rows of (m, n) unless rounding makes them dependent: every row moves the continuous
    variables of one group, or its granular ones (in mixed problems one of them by its frame size, where frames are small);
    with the signs of v (n,) where the sign is free."""
    n = v.shape[0]
    parts = []
    for block in geometry.blocks:
        at = block.continuous
        if at.shape[0]:
            parts.append(_embedded(poll_rows(v[at], rho[at]), at, n))
        at = block.discrete
        if at.shape[0]:
            own = (
                poll_rows(v[at], rho[at])
                if _orthogonal(geometry, rho[at])
                else np.diag(np.where(v[at] < 0.0, -rho[at], rho[at]))
            )
            parts.append(_embedded(own, at, n))
    return np.vstack(parts) if parts else np.empty((0, n))


def inwards(geometry: Geometry, K: FloatArray, x: FloatArray) -> FloatArray:
    """K (m, n) with the moves of one granular variable turned where it stands at the bound they point to: a binary flips."""
    one = np.count_nonzero(K, axis=1) == 1
    fixed_sign = (geometry.granularity > 0.0) & (geometry.period == 0.0)
    out = (K > 0.0) & (x >= geometry.upper) & fixed_sign | (K < 0.0) & (x <= geometry.lower) & fixed_sign
    turned = np.any(out, axis=1) & one
    return np.where(turned[:, None], -K, K) + 0.0


def combined_rows(geometry: Geometry, v: FloatArray, rho: FloatArray) -> FloatArray:
    """Directions (m, n) of a mixed problem that move granular variables together with others of their group: v (n,) of each
    group that has such variables, rounded into the frame."""
    n = v.shape[0]
    rows = []
    for block in geometry.blocks:
        at = block.members
        if geometry.mixed and block.discrete.shape[0] and at.shape[0] > 1:
            Z = np.empty((1, at.shape[0]))
            directions.scale_directions(v[None, at], rho[at], Z)
            rows.append(_embedded(Z, at, n))
    return np.vstack(rows) if rows else np.empty((0, n))


def block_completion(geometry: Geometry, K: FloatArray, rho: FloatArray) -> FloatArray:
    """Directions with which rows K of `block_rows` (or those and their negatives) positively span the moving variables."""
    n = rho.shape[0]
    parts = []
    for block in geometry.blocks:
        for at in (block.continuous, block.discrete):
            if not at.shape[0]:
                continue
            if at is block.discrete and not _orthogonal(geometry, rho[at]):
                own = np.vstack(
                    [np.diag(rho[at]), -np.diag(rho[at])]
                )  # those polled already are known and cost nothing
            else:
                own = completion(np.ascontiguousarray(K[np.any(K[:, at] != 0.0, axis=1)][:, at]), rho[at])
            parts.append(_embedded(own, at, n))
    return np.vstack(parts) if parts else np.empty((0, n))


def lattice_neighbours(geometry: Geometry, rho: FloatArray) -> FloatArray:
    """One step to both sides in every granular variable, (2m, n)."""
    E = np.diag(rho)[np.flatnonzero((geometry.granularity > 0.0) & ~geometry.categorical)]
    return np.vstack([E, -E])


def one_group(geometry: Geometry, w: FloatArray) -> FloatArray:
    """w (n,) with everything but one group set to zero: the group with the largest mean square."""
    if len(geometry.blocks) == 1 and not geometry.has_levels:
        return w
    out = np.zeros_like(w)
    if geometry.blocks:
        sizes = [float(np.mean(w[block.members] ** 2)) for block in geometry.blocks]
        at = geometry.blocks[int(np.argmax(sizes))].members
        out[at] = w[at]
    return out


def _orthogonal(geometry: Geometry, rho: FloatArray) -> bool:
    """Whether the granular variables of a group, with these frames, are polled along rounded orthogonal directions: where
    everything is granular (single steps are then polled before a run may end), and where frames are wide."""
    return bool(rho.shape[0] > 1 and (not geometry.mixed or rho.min() >= COARSE_RHO))


def _embedded(Z: FloatArray, at: IntArray, n: int) -> FloatArray:
    out = np.zeros((Z.shape[0], n))
    out[:, at] = Z
    return out
