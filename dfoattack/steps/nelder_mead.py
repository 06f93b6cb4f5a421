"""Nelder-Mead search from evaluated points.

After Audet & Tribes (2018), "Mesh-based Nelder-Mead algorithm for inequality constrained optimization": the simplex is made of cached
points near the incumbent, points are compared by feasibility first, and a run ends where Nelder and Mead would shrink the simplex.
The points are not rounded to the mesh.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.cache import History
from dfoattack.geometry import Geometry
from dfoattack.mesh import Mesh
from dfoattack.search_states import NelderMeadState
from dfoattack.state import Setup, SolverState
from dfoattack.steps._order import better, order
from dfoattack.steps.base import Outcome, Proposal, Search

VARIABLES_MAX = 20
REACH = 8.0  # frame sizes round the incumbent within which cached points may join the simplex
INDEPENDENT = 1e-2  # share of an edge that must be new for the point to join
NEAREST = 1e-3  # frame sizes; a nearer point says nothing about its direction
FLAT = 1e-5  # share of the longest edge below which the simplex counts as flat
CANDIDATES_A_VARIABLE = 40
POINTS_A_VARIABLE = 80
COEFFICIENTS = (1.0, 2.0, 0.5, -0.5)  # reflection, expansion, outside and inside contraction
REFLECT, EXPAND, OUTSIDE, INSIDE = range(4)
KNOWN_MAX = 50  # moves a turn onto points that are evaluated already, which happens on a lattice


@dataclass(frozen=True)
class NelderMeadMemo:
    """The run as it was when the point x (n,) was asked."""

    run: NelderMeadState
    x: FloatArray


class NelderMead(Search):
    """One point of a Nelder-Mead run a turn; the run wants all the turns until it ends.

    The simplex is seen from its best vertex, so that it may lie across the seam of a periodic variable. No turn makes sense with levels,
    which have no reflections, or with known linear constraints, which would move its points. Draws nothing.
    """

    name = "nelder-mead"

    def ready(self, setup: Setup, state: SolverState) -> bool:
        n, history = setup.n, state.history
        if setup.geometry.has_levels or setup.polyhedron is not None:
            return False
        if not 1 <= n <= VARIABLES_MAX or state.mesh is None or state.centre < 0 or state.floored:
            return False
        run = state.searches.nelder_mead
        if run is None or run.active:
            return history.size > n
        return history.size > n and (state.centre != run.tried_row or history.size > run.tried_size + n)

    def continues(self, setup: Setup, state: SolverState, outcome: Outcome) -> bool:
        run = state.searches.nelder_mead
        return run is not None and run.active

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        n, mesh, history = setup.n, state.mesh, state.history
        if mesh is None or not self.ready(setup, state):
            return Proposal.nothing(n)
        run = state.searches.nelder_mead
        if run is None or not run.active or self._overtaken(state, run):
            run = NelderMeadState(simplex(history, setup.geometry, state.centre, mesh))
        for _ in range(KNOWN_MAX):
            if (
                not run.active
                or run.spent >= POINTS_A_VARIABLE * n
                or _collapsed(_seen(setup.geometry, history.X[run.rows]), mesh, setup.options.frame_size_min)
            ):
                break
            x = _point(setup, _seen(setup.geometry, history.X[run.rows]), run.move)
            row = history.find(x)
            if row < 0:
                return Proposal.around(x[None, :], history.X[state.centre], False, memo=NelderMeadMemo(run, x))
            run = advanced(history, run, row)
        return Proposal.nothing(n, NelderMeadMemo(_ended(run), np.empty(0)))

    @staticmethod
    def _overtaken(state: SolverState, run: NelderMeadState) -> bool:
        """Another step has found a point better than all of the run's."""
        return state.centre != run.reflected and better(state.history, state.centre, int(run.rows[0]))

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        memo = outcome.memo
        if not isinstance(memo, NelderMeadMemo):
            return state
        run, row = memo.run, -1
        if run.active:
            row = state.history.find(memo.x)
            run = _ended(run) if row < 0 else advanced(state.history, evolve(run, spent=run.spent + 1), row)
        if not run.active:
            run = evolve(run, tried_row=state.centre, tried_size=state.history.size)
        return evolve(state, searches=evolve(state.searches, nelder_mead=run))


def _seen(geometry: Geometry, X: FloatArray) -> FloatArray:
    """The vertices X (k, n) as seen from the first one: the nearest image where periodic."""
    return geometry.images(X[0], X) if geometry.wraps and X.shape[0] else X


def simplex(history: History, geometry: Geometry, centre: int, mesh: Mesh) -> IntArray:
    """History rows of n + 1 affinely independent points near the incumbent, from the best to the worst; empty if there are not enough.

    The best point comes first; then, in the order of their quality, those whose edge from it is not nearly in the span of the edges
    before it (Gram-Schmidt in units of the frame).
    """
    n, x = history.n, history.X[centre]
    D = geometry.displacement(x, history.X) / mesh.frame_size
    rows = np.flatnonzero(np.abs(D).max(axis=1) <= REACH)
    rows = rows[order(history, rows)][: CANDIDATES_A_VARIABLE * n]
    rows = rows[history.status[rows] == 0]
    chosen, Q = [int(r) for r in rows[:1]], np.empty((0, n))
    for row in rows[1:].tolist():
        edge = D[row] - D[chosen[0]]
        length = float(np.linalg.norm(edge))
        new = edge - (edge @ Q.T) @ Q
        size = float(np.linalg.norm(new))
        if length >= NEAREST and size >= INDEPENDENT * length:
            Q = np.vstack([Q, new / size])
            chosen.append(row)
            if len(chosen) == n + 1:
                return np.array(chosen, dtype=np.int64)
    return np.empty(0, dtype=np.int64)


def _point(setup: Setup, X: FloatArray, move: int) -> FloatArray:
    """The trial point of a move of the simplex X (n + 1, n), inside the box and on the lattice."""
    middle = X[:-1].mean(axis=0)
    x = middle + COEFFICIENTS[move] * (middle - X[-1])
    trial: FloatArray = setup.geometry.snapped(x[None, :])[0]
    return trial


def _collapsed(X: FloatArray, mesh: Mesh, smallest: float) -> bool:
    """Whether the simplex X (n + 1, n) is flat, or smaller than the least frame in units of the scale."""
    E = (X[1:] - X[0]) / mesh.scale
    if np.abs(E).max() < smallest:
        return True
    least = np.abs(np.diag(np.linalg.qr(E.T, mode="r"))).min()
    return bool(least <= FLAT * np.sqrt((E * E).sum(axis=1).max()))


def advanced(history: History, run: NelderMeadState, row: int) -> NelderMeadState:
    """The run after the point it asked for became history row `row`."""
    best, second, worst = int(run.rows[0]), int(run.rows[-2]), int(run.rows[-1])
    if run.move == REFLECT:
        if better(history, row, best):
            return evolve(run, move=EXPAND, reflected=row)
        if better(history, row, second):
            return _replaced(history, run, row)
        return evolve(run, move=OUTSIDE if better(history, row, worst) else INSIDE, reflected=row)
    if run.move == EXPAND:
        return _replaced(history, run, row if better(history, row, run.reflected) else run.reflected)
    bar = run.reflected if run.move == OUTSIDE else worst
    return _replaced(history, run, row) if better(history, row, bar) else _ended(run)


def _replaced(history: History, run: NelderMeadState, row: int) -> NelderMeadState:
    rows = np.append(run.rows[:-1], row)
    if np.unique(rows).shape[0] < rows.shape[0]:
        return _ended(run)  # on a lattice a move may end on a vertex
    return evolve(run, rows=rows[order(history, rows)], move=REFLECT, reflected=-1)


def _ended(run: NelderMeadState) -> NelderMeadState:
    return evolve(run, rows=run.rows[:0], move=REFLECT, reflected=-1)
