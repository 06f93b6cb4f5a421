"""Rules of the model search: which variables and constraints its models are made of, when they are believed, in which basis they live."""

from __future__ import annotations

import math

import numpy as np

from dfoattack._typing import BoolArray, FloatArray
from dfoattack.barrier import Columns
from dfoattack.interpolation import Interpolation
from dfoattack.search_states import ModelState
from dfoattack.state import Setup, SolverState
from dfoattack.steps._model_step import Judge

__all__ = ["CALM", "alike", "calm", "coarse", "settled", "shape", "steplike"]

CALM = 3  # points in a row that the models must have told well to be believed
LATELY = 256  # points by whose values a constraint that says yes or no is recognised
TOLD = 12  # points, or n + 2, that must agree on it,
TWICE = 2  # of them on each side: a violation that is cut off at zero has two values as well, until it is met again
FEW = 4  # points that tell nearly all other columns from them
ROUND = 4.0  # ratio of curvatures that needs no change of basis
FINE = 1.5e-7  # frames: a resolution below that has come down with the gains of the models
FLAT = 1e4  # units of round-off: values of a set that differ by no more tell nothing
FLAT_RESOLUTION = 1e-5  # frames: values that differ by round-off over longer distances may be a plateau


def coarse(setup: Setup, state: SolverState, longest: float) -> BoolArray | None:
    """Granular variables of a mixed problem with steps longer than that, in units of the scale; None: none."""
    if state.mesh is None or not setup.geometry.mixed:
        return None
    coarse: BoolArray = setup.geometry.granularity > longest * state.mesh.scale
    return coarse if coarse.any() else None


def alike(a: BoolArray | None, b: BoolArray | None) -> bool:
    """Whether the same variables are held."""
    return a is b if a is None or b is None else bool(np.array_equal(a, b))


def steplike(state: SolverState, columns: Columns) -> BoolArray:
    """Constraint columns that say yes or no: two values, one on each side, at the last points. A quadratic has nothing to tell of them."""
    C, usable = state.history.C[-LATELY:], state.history.status[-LATELY:] == 0
    C = C if usable.all() else C[usable]
    found: BoolArray = np.zeros(columns.tol.shape[0], dtype=bool)
    if not found.shape[0] or C.shape[0] < min(state.history.n + 2, TOLD):
        return found
    maybe = np.flatnonzero(
        _two_valued(C[-FEW:]) & ~columns.equality
    )  # hardly any: of many columns the others cost nothing
    if maybe.shape[0]:
        C, tol = C[:, maybe], columns.tol[maybe]
        over = np.count_nonzero(C > tol, axis=0)
        found[maybe] = _two_valued(C) & (over >= TWICE) & (C.shape[0] - over >= TWICE)
    return found


def settled(setup: Setup, state: SolverState) -> bool:
    """Whether the models have followed the objective down to a local minimum as far as the arithmetic goes, and other runs may follow.

    Nothing but restarts will find better ones then. A set of equal values is a plateau, where only the poll can tell what is beyond. Never
    where variables are discrete: models tell nothing of other lattice points and levels, which polls and populations reach.
    """
    model = state.searches.model
    if model is None or state.noise is not None or not setup.followed:
        return False
    if setup.geometry.has_levels or np.any(setup.granularity > 0.0):
        return False
    if model.resolution <= FINE:
        return True
    if model.found is None or not model.barren or model.resolution > FLAT_RESOLUTION or state.barrier.feas < 0:
        return False
    f = state.history.F[model.found.rows]
    return 0.0 < float(np.ptp(f)) <= FLAT * float(np.finfo(np.float64).eps * np.abs(f).max())


def _two_valued(C: FloatArray) -> BoolArray:
    """Columns of C (k, p) with at most two different values, (p,)."""
    two: BoolArray = np.all((C == C.min(axis=0)) | (C == C.max(axis=0)), axis=0)
    return two


def calm(model: ModelState, found: Interpolation, judge: Judge, resolution: float) -> bool:
    """Whether the models told the last points so well that no repair of their set is needed before the resolution falls.

    Their errors are at most an eighth of what the least curvature makes of a step of the resolution's length (in model units), after
    Powell 2006, Box 14.
    """
    H = np.tensordot(judge.weights, found.H, 1)
    if len(model.errors) < CALM or not np.isfinite(H).all():
        return False
    least = float(np.linalg.eigvalsh(H)[0])
    return max(model.errors) <= 0.125 * least * resolution**2


def shape(H: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A change of basis of determinant one that goes half the way to equal curvatures, and its inverse; the identity if they are."""
    n = H.shape[0]
    most = float(np.abs(H).max())
    if not 0.0 < most < math.inf:
        return np.eye(n), np.eye(n)
    # A power of two, so that the basis does not depend on the unit of the objective, not even by round-off.
    curvature, axes = np.linalg.eigh(np.ldexp(H, -math.frexp(most)[1]))
    size = np.abs(curvature)
    size = np.maximum(size, size.max() * 1e-4)
    if size.max() <= ROUND * size.min() or not size.max() > 0.0:
        return np.eye(n), np.eye(n)
    factor = size**-0.25
    factor /= np.exp(np.mean(np.log(factor)))
    return (axes * factor) @ axes.T, (axes / factor) @ axes.T
