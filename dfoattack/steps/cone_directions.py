"""Poll directions beside known linear constraints: generators of the cone of directions that the constraints within reach allow.

After Lewis & Torczon (2000), "Pattern search methods for linearly constrained minimization", and Abramson, Brezhneva, Dennis & Pingel
(2008), "Pattern search in the presence of degenerate linear constraints". Whatever the rank of the constraints, the generators come
from the double description of the cone (Motzkin, Raiffa, Thompson & Thrall 1953), built up one constraint at a time.
"""

from __future__ import annotations

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.kernels import directions
from dfoattack.mesh import Mesh
from dfoattack.polyhedron import Polyhedron

REACHES = (
    1.0,
    0.3,
    0.1,
    1e-2,
    1e-3,
    1e-6,
    1e-12,
)  # frame sizes within which a constraint counts, until the cone has an interior and few edges
RAYS_MAX = 512  # a vertex of more edges is polled along those found first
TOUCH = 1e-3  # room, in frame sizes, above which a step onto the face is worth a trial
_ZERO = 1e-10  # of unit vectors: products that count as zero


def cone_directions(polyhedron: Polyhedron, mesh: Mesh, x: FloatArray, v: FloatArray) -> FloatArray | None:
    """Displacements (k, n) that positively span the directions allowed at x (n,), user units, as long as the frame.

    None where no linear constraint is within reach: any positive spanning set will do there. v (n,) are normal random numbers that
    turn the directions along the faces. Steps from x onto the faces within reach come last.
    """
    frame, moving = mesh.frame_size, ~polyhedron.granular
    room = polyhedron.near(x, frame)
    if not polyhedron.E.shape[0] and not np.any(room <= REACHES[0]):
        return None
    m = int(moving.sum())
    D = np.diag(np.where(moving, 0.0, frame))[~moving]
    D = np.vstack([D, -D])
    if m:
        unit = frame[moving]
        E = _unit_rows(polyhedron.E[:, moving] * unit)
        H = np.empty((m, m))
        directions.householder(v[moving], H)
        N = R = np.empty((0, m))
        for reach in REACHES:
            near = room <= reach
            # An interior is what lets a step be as long as the reach; a cone of many edges is better looked at from nearer.
            most = 2 * m if reach > REACHES[-1] else RAYS_MAX
            A = _unit_rows(np.vstack([polyhedron.A[near][:, moving] * unit, _near_bounds(polyhedron, x, frame, reach)]))
            N, R = tangent_cone(A, E, H, most)
            if R.shape[0] <= most and _rank(np.vstack([N, R])) >= m - E.shape[0]:
                break
        rays = np.vstack([spanning(N), R])
        rows = np.vstack(
            [rays / np.abs(rays).max(axis=1, initial=0.0)[:, None], _touching(polyhedron, room, x, frame, E)]
        )
        out = np.zeros((rows.shape[0], x.shape[0]))
        out[:, moving] = rows * unit
        D = np.vstack([out, D])
    return D


def tangent_cone(A: FloatArray, E: FloatArray, H: FloatArray, most: int = RAYS_MAX) -> tuple[FloatArray, FloatArray]:
    """Generators of {d : A d <= 0, E d = 0}: an orthonormal basis N (k, m) of its lineality space, and unit rays R (r, m) orthogonal to it.

    Parameters
    ----------
    A : float64 (q, m)     unit rows, any rank
    E : float64 (e, m)     unit rows, independent
    H : float64 (m, m)     orthonormal rows from which the basis is made
    most : int             rays at which the work ends: more of them mean that there may be others, up to about twice as many

    Notes
    -----
    Every d of the cone is a combination of the rows of N and a non-negative one of the rows of R.
    """
    L, R = H, np.empty((0, H.shape[1]))
    for e in E:
        L, _ = _cut(L, e)
    used = np.empty((0, H.shape[1]))
    for a in A:
        L, ray = _cut(L, a)
        if ray is not None:
            R = np.vstack([_unit_rows(R - np.outer((R @ a) / (ray @ a), ray)), ray])
        else:
            R = _cut_rays(R, a, used)
            if R.shape[0] > most:
                break
        used = np.vstack([used, a])
    if L.shape[0]:
        R = R - (R @ L.T) @ L
    return L, _unit_rows(R)


def _cut(L: FloatArray, a: FloatArray) -> tuple[FloatArray, FloatArray | None]:
    """Orthonormal rows that span the part of L's span orthogonal to a, and the unit ray of that span that goes farthest into a.d < 0."""
    products = L @ a
    length = float(np.linalg.norm(products))
    if length <= _ZERO:
        return L, None
    ray = -(products @ L) / length
    # A Householder reflection that sends the products to one coordinate leaves the other rows orthogonal to a.
    w = products / length
    j = int(np.argmax(np.abs(w)))
    w[j] += 1.0 if w[j] >= 0.0 else -1.0
    turned = L - np.outer(w, (2.0 / (w @ w)) * (w @ L))
    return np.delete(turned, j, axis=0), ray


def _cut_rays(R: FloatArray, a: FloatArray, used: FloatArray) -> FloatArray:
    """The rays of the pointed part after one more constraint a.d <= 0: those inside, and one on it for each adjacent pair across it."""
    values = R @ a
    outside, inside = np.flatnonzero(values > _ZERO), np.flatnonzero(values < -_ZERO)
    kept = R[values <= _ZERO]
    if not outside.shape[0] or not inside.shape[0]:
        return kept
    active = np.abs(R @ used.T) <= 1e-9
    new = []
    for i in outside:
        # Adjacent: no third ray lies on all constraints that the two have in common.
        common = (active[i] & active[inside]).astype(np.float64)
        holding = (common @ active.T.astype(np.float64) == common.sum(axis=1)[:, None]).sum(axis=1)
        partners = inside[holding == 2]
        new.append(values[i] * R[partners] - values[partners, None] * R[i])
    return np.vstack([kept, _unit_rows(np.vstack(new))])


def spanning(N: FloatArray) -> FloatArray:
    """Rows that positively span the span of the orthonormal rows of N (k, m): N and its negatives."""
    return np.vstack([N, -N])


def _touching(polyhedron: Polyhedron, room: FloatArray, x: FloatArray, frame: FloatArray, E: FloatArray) -> FloatArray:
    """Shortest steps onto the faces that are within reach but not touched, in frame sizes, (q, m)."""
    moving = ~polyhedron.granular
    near = np.flatnonzero((room <= REACHES[0]) & (room > TOUCH))
    A = (polyhedron.A[near] * frame)[:, moving]
    along = A - (A @ E.T) @ np.linalg.pinv(E).T if E.shape[0] else A
    squares = (along * A).sum(axis=1)
    useful = squares > 1e-12 * (A * A).sum(axis=1)
    gaps = polyhedron.b[near] - polyhedron.A[near] @ x
    steps: FloatArray = (gaps[useful] / squares[useful])[:, None] * along[useful]
    return steps


def _near_bounds(polyhedron: Polyhedron, x: FloatArray, frame: FloatArray, reach: float) -> FloatArray:
    """Rows +-e_i (r, m) of the bounds of continuous variables within reach; of two of one variable the nearer one."""
    moving = ~polyhedron.granular
    high = ((polyhedron.upper - x) / frame)[moving]
    low = ((x - polyhedron.lower) / frame)[moving]
    eye = np.eye(int(moving.sum()))
    return np.vstack([eye[(high <= reach) & (high <= low)], -eye[(low <= reach) & (low < high)]])


def _unit_rows(A: FloatArray) -> FloatArray:
    """The non-zero rows of A, each divided by its length."""
    lengths = np.linalg.norm(A, axis=1)
    kept = lengths > 1e-14
    unit: FloatArray = A[kept] / lengths[kept, None]
    return unit


def _rank(A: FloatArray) -> int:
    return int(np.linalg.matrix_rank(A, tol=1e-8)) if A.shape[0] else 0
