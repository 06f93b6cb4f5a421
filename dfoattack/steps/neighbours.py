"""Categorical variables: the discrete neighbours of the centre, and descents from those that are nearly as good.

After the extended poll of Audet & Dennis (2001), "Pattern search algorithms for mixed variable programming", and Abramson, Audet,
Chrissis & Walston (2009), "Mesh adaptive direct search algorithms for mixed variable optimization". A neighbour y whose value is
close to that of the centre, F(y) < F(x) + xi s_F, may hide a better point of its levels: it is descended in the other variables by a
few polls, and its best point competes with the centre.

Each combination of levels keeps its own frame. It shrinks when a poll round the combination's best point fails, and the margin xi
shrinks with it: the finer a rival has been looked at, the nearer it must be to go on, so that descents end by themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.barrier import poll_centres
from dfoattack.state import NeighbourState, Setup, SolverState
from dfoattack.steps import _directions
from dfoattack.steps.base import Outcome, Proposal, Step

XI = 0.05  # of the objective's range: how much worse than the centre a neighbour may be to be descended from
FRAME_INIT = 0.5  # first frame of a descent, in units of the first frame of the run
SHRINK = 0.25
ROUNDS = 2  # polls of descents an iteration
AGAIN = 0.1  # neighbours are polled again when the frame has shrunk by this factor since
SUFFICIENT = 1e-3  # gain in units of f_scale after which other levels begin with a wide frame
WIDE = 0.1  # that frame, in units of the first one


def neighbour_steps() -> tuple[Step, ...]:
    """The neighbours of the centre, then a bounded number of polls round rivals."""
    return (NeighbourPoll(), *(ExtendedPoll() for _ in range(ROUNDS)))


class NeighbourPoll(Step):
    """Evaluate the discrete neighbours of the primary centre, nearest first.

    On failed iterations, when the centre's levels are new or the frame is ten times smaller than last time; always once the frame has
    converged, so that no run ends beside a better neighbour. Draws nothing.
    """

    name = "neighbours"
    changes_levels = True

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        row = _centre(setup, state)
        if row < 0 or not self._due(setup, state, row):
            return Proposal.nothing(setup.n)
        x = state.history.X[row]
        memo = evolve(_memory(setup, state), levels=x[setup.geometry.categorical], frame=_frame(setup, state))
        return Proposal.around(setup.geometry.neighbours(x), x, True, memo=memo)

    @staticmethod
    def _due(setup: Setup, state: SolverState, row: int) -> bool:
        last = state.searches.neighbours
        if last is None or state.floored or not setup.continuous:
            return True
        if not np.array_equal(last.levels, state.history.X[row][setup.geometry.categorical]):
            return True
        return _frame(setup, state) <= AGAIN * last.frame

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        if outcome.memo is None:
            return state
        return _widened(evolve(state, searches=evolve(state.searches, neighbours=outcome.memo)), outcome)


@dataclass(frozen=True)
class _Rival:
    """A combination of levels: its best row in the history, its own frame, and the place of its record (-1: none)."""

    row: int
    frame: float
    place: int


@dataclass(frozen=True)
class ExtendedMemo:
    """Whom an extended poll has descended: history row of the best point, frame."""

    row: int
    frame: float


class ExtendedPoll(Step):
    """One complete poll, or a repeated step, round the best point of the rival that was looked at least closely.

    Draws n normals when there is a rival.
    """

    name = "neighbours"
    changes_levels = True

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        mesh, row = state.mesh, _centre(setup, state)
        if row < 0 or mesh is None:
            return Proposal.nothing(setup.n)
        rivals = _rivals(setup, state, row)
        if not rivals:
            return Proposal.nothing(setup.n)
        F = state.history.F
        rival = min(rivals, key=lambda r: (-r.frame, F[r.row], r.row))
        geometry, y = setup.geometry, state.history.X[rival.row]
        rho = np.maximum(1.0, np.rint(np.minimum(rival.frame * mesh.scale, geometry.span) / mesh.mesh_size))
        v = rng.standard_normal(setup.n)
        K = _directions.block_rows(geometry, v, rho)
        K = np.vstack([K, _directions.block_completion(geometry, K, rho)])
        move = np.zeros(setup.n) if rival.place < 0 else _memory(setup, state).moves[rival.place]
        if move.any():
            onwards = np.rint(np.vstack([move, 2.0 * move]) / mesh.mesh_size)
            K = np.vstack([onwards[np.any(onwards != 0.0, axis=1)], K])
        X = geometry.mesh_points(y, K, mesh.mesh_size)
        return Proposal.around(X, y, True, memo=ExtendedMemo(rival.row, rival.frame))

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        memo: ExtendedMemo | None = outcome.memo
        if memo is None:
            return state
        history, geometry = state.history, setup.geometry
        y = history.X[memo.row]
        levels = y[geometry.categorical]
        new = np.arange(outcome.first, outcome.last)
        best = _best(state, new[geometry.same_levels(y, history.X[new])]) if new.size else -1
        memory = _memory(setup, state)
        frame, move = memo.frame, np.zeros(setup.n)
        if best >= 0 and _merit(state, best) < _merit(state, memo.row):
            move = geometry.displacement(y, history.X[best])
        else:
            frame = _shrunk(setup, state, frame)
        known = np.flatnonzero(np.all(memory.rivals == levels, axis=1))
        keep = np.setdiff1d(np.arange(memory.frames.shape[0]), known)
        memory = evolve(
            memory,
            rivals=np.vstack([memory.rivals[keep], levels]),
            frames=np.append(memory.frames[keep], frame),
            moves=np.vstack([memory.moves[keep], move]),
        )
        return _widened(evolve(state, searches=evolve(state.searches, neighbours=memory)), outcome)


def unfinished(setup: Setup, state: SolverState) -> bool:
    """Whether a neighbour of the centre was not evaluated yet, or a rival is still worth a poll."""
    row, _ = poll_centres(state.barrier, state.history, setup.options.infeasible_margin)
    if row < 0 or state.mesh is None:
        return False
    found = setup.geometry.neighbours(state.history.X[row])
    return any(state.history.find(x) < 0 for x in found) or bool(_rivals(setup, state, row))


def _centre(setup: Setup, state: SolverState) -> int:
    """History row of the primary centre, -1 where this iteration has nothing to do with neighbours."""
    row, _ = poll_centres(state.barrier, state.history, setup.options.infeasible_margin)
    return -1 if state.mesh is None or state.success or state.barrier.phase == 1 else row


def _memory(setup: Setup, state: SolverState) -> NeighbourState:
    q = int(np.count_nonzero(setup.geometry.categorical))
    nothing = NeighbourState(np.full(q, -1.0), np.inf, np.empty((0, q)), np.empty(0), np.empty((0, setup.n)))
    return state.searches.neighbours or nothing


def _frame(setup: Setup, state: SolverState) -> float:
    """The largest frame, scaled; of the granular variables where there is no continuous one."""
    mesh = state.mesh
    if mesh is None:
        return 0.0
    return mesh.size if setup.continuous else float(np.max(mesh.frame_size / mesh.scale, initial=0.0))


def _rivals(setup: Setup, state: SolverState, row: int) -> list[_Rival]:
    """Combinations of levels next to the centre (history row `row`) that deserve a poll.

    Feasible ones whose best value is within the margin; infeasible ones only while the centre is infeasible, by their violation.
    """
    history, memory, geometry = state.history, _memory(setup, state), setup.geometry
    if not geometry.moving.shape[0]:
        return []
    x = history.X[row]
    at = geometry.categorical
    limit, margin = float(history.F[row]), XI * state.barrier.f_scale
    least = AGAIN * state.mesh.size if state.mesh is not None else 0.0
    found = []
    for levels in _combinations(geometry.neighbours(x)[:, at]):
        if np.array_equal(levels, x[at]):
            continue
        known = np.flatnonzero(np.all(memory.rivals == levels, axis=1))
        place = int(known[0]) if known.size else -1
        frame = float(memory.frames[place]) if known.size else FRAME_INIT
        if frame <= least:
            continue
        best = _best(state, np.flatnonzero(np.all(history.X[:, at] == levels, axis=1)))
        if best < 0:
            continue
        allowed = min(1.0, frame / FRAME_INIT)
        if history.H[best] > 0.0:
            near = history.H[row] > 0.0 and history.H[best] < history.H[row] * (1.0 + XI * allowed)
        else:
            near = history.H[row] > 0.0 or history.F[best] < limit + margin * allowed
        if near:
            found.append(_Rival(best, frame, place))
    return found


def _combinations(codes: FloatArray) -> list[FloatArray]:
    """The different rows of codes (k, q), in order of first appearance."""
    first: dict[bytes, FloatArray] = {}
    for row in codes:
        first.setdefault(row.tobytes(), row)
    return list(first.values())


def _merit(state: SolverState, row: int) -> tuple[float, float]:
    return float(state.history.H[row]), float(state.history.F[row])


def _best(state: SolverState, rows: IntArray) -> int:
    """The row with the least violation, then the least value; -1 if all failed or there is none."""
    history = state.history
    rows = rows[np.isfinite(history.F[rows])]
    if not rows.size:
        return -1
    return int(rows[np.lexsort((rows, history.F[rows], history.H[rows]))[0]])


def _shrunk(setup: Setup, state: SolverState, frame: float) -> float:
    """The next frame of a rival after a failed poll; 0 once every granular variable was polled at its smallest step and there is
    no continuous one."""
    mesh, geometry = state.mesh, setup.geometry
    moving = geometry.moving
    continuous = bool(np.any(geometry.granularity[moving] == 0.0))
    if mesh is None or continuous:
        return SHRINK * frame
    smallest = np.rint(frame * mesh.scale[moving] / geometry.granularity[moving]) <= 1.0
    at_lattice = mesh.mesh_size[moving] == geometry.granularity[moving]
    return 0.0 if bool(np.all(smallest & at_lattice)) else SHRINK * frame


def _widened(state: SolverState, outcome: Outcome) -> SolverState:
    """Other levels are another landscape: after a sufficient gain the frame is wide again (finitely often, for F is bounded)."""
    mesh = state.mesh
    if mesh is None or not outcome.improved or not outcome.success or outcome.gain < SUFFICIENT:
        return state
    if mesh.size >= WIDE:
        return state
    x = state.history.X[outcome.row]
    return evolve(state, mesh=mesh.reset(np.maximum(mesh.frame_size, WIDE * mesh.scale), x))
