"""Where known linear constraints meet proposals: no trial point and no start outside the polyhedron is ever evaluated.

A point on the mesh is cut back along its step, and is off the mesh from then on (simple decrease moves, only sufficient decrease is a
success). Points off the mesh are replaced by their projections, so that attacks and models slide along the faces.
"""

from __future__ import annotations

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack._values import evolve
from dfoattack.mesh import first_frame
from dfoattack.state import Setup, SolverState
from dfoattack.steps.base import Proposal


def proposal(setup: Setup, state: SolverState, found: Proposal) -> Proposal:
    """The proposal with every point inside; rows of which nothing is left are dropped."""
    polyhedron, mesh = setup.polyhedron, state.mesh
    if polyhedron is None or mesh is None or not found.X.shape[0]:
        return found
    inside = polyhedron.inside(found.X)
    if inside.all():
        return found
    X, on_mesh, kept = found.X.copy(), found.on_mesh & inside, inside.copy()
    for i in np.flatnonzero(~inside):
        y = polyhedron.repaired(found.origins[i], found.X[i], mesh.scale, slide=not found.on_mesh[i])
        if y is not None:
            X[i], kept[i] = y, True
    return evolve(found, X=X[kept], origins=found.origins[kept], on_mesh=on_mesh[kept])


def points(setup: Setup, X: FloatArray, most: int | None = None) -> FloatArray:
    """Start points X (k, n) with those outside replaced by the nearest points inside, (m, n); without those that have none.

    At most `most` of them are replaced, the others outside left out: a projection takes a millisecond.
    """
    polyhedron = setup.polyhedron
    if polyhedron is None or not X.shape[0]:
        return X
    rows: list[FloatArray] = []
    for x, inside in zip(X, polyhedron.inside(X).tolist(), strict=True):
        if not inside:
            if most is not None and most <= 0:
                continue
            most = None if most is None else most - 1
        found = x if inside else polyhedron.nearest(x, first_frame(x, setup.lower, setup.upper))
        if found is not None:
            rows.append(found + 0.0)
    return np.array(rows).reshape(-1, X.shape[1])
