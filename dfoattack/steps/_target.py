"""Centres as attack operators see them."""

from __future__ import annotations

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks.base import Target, View
from dfoattack.attacks.extended import extended, softened
from dfoattack.barrier import Columns
from dfoattack.state import OperatorCredit, Setup, SolverState

NEGLIGIBLE = 1e-7  # difference of F, in units of f_scale, that does not bring a polish back


def target_of(
    setup: Setup, state: SolverState, X: FloatArray, F: FloatArray, C: FloatArray, on_lattice: bool, view: View
) -> tuple[Target, View]:
    """Centres X (b, n) with their values, and the view to use; in phase one extreme constraints are violated like any other.

    With `on_lattice` granular variables are held where they are: user code is never asked between their values. Bounds are those of the
    first centre where something is held or periodic, so that several centres need a space that is continuous and plain. Where the objective has
    a soft stand-in its values at the centres cost a pass each, which the budget must cover.
    """
    scale = state.mesh.scale if state.mesh is not None else np.ones(setup.n)
    columns = state.barrier.columns or Columns.none()
    extreme = columns.extreme if state.barrier.phase == 2 else np.zeros_like(columns.extreme)
    held = on_lattice & (setup.granularity > 0.0)
    # User code is never asked outside the box, so that only operators that do not ask look across the seam.
    lower, upper = (setup.lower, setup.upper) if on_lattice else setup.geometry.around(X[0])
    held = held | setup.geometry.categorical
    target = Target(
        X,
        F,
        C,
        np.where(held, X[0], lower),
        np.where(held, X[0], upper),
        scale / scale.max(),
        columns.tol,
        columns.scale,
        extreme,
        granularity=setup.granularity,
    )
    if setup.softened:
        target = softened(target, view)
    return extended(target, view, columns, setup.polyhedron)


def whole_box(setup: Setup, state: SolverState) -> FloatArray:
    """The radius (1,) that covers the box from any point of it, for polishes; +inf where the box has no end."""
    scale = state.mesh.scale if state.mesh is not None else np.ones(setup.n)
    longest = float(scale.max())
    return np.array([max(1.0, float(((setup.upper - setup.lower) / scale).max())) * longest])


def done_at(state: SolverState, credit: OperatorCredit, row: int) -> bool:
    """Whether a polish has nothing more to do at history row `row`: it has failed or arrived there, or where it was next to no worse.

    Nor where it has started from or come by: an infeasible point of its path that leads the polls would lead it the same way again.
    """
    last, buffer, (first, behind) = credit.failed_at, state.history.buffer, credit.path
    if row in (last, credit.left) or first <= row < behind:
        return row >= 0
    if last < 0:
        return False
    if buffer.HE[last] > 0.0 or buffer.HE[row] > 0.0 or buffer.H[last] > 0.0 or buffer.H[row] > 0.0:
        return False
    return bool(abs(buffer.F[last] - buffer.F[row]) <= NEGLIGIBLE * state.barrier.f_scale)
