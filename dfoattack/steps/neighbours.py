"""Discrete neighbours: those of categorical variables evaluated, and descents from neighbours that are nearly as good.

After the extended poll of Audet & Dennis (2001), "Pattern search algorithms for mixed variable programming", and Abramson, Audet,
Chrissis & Walston (2009), "Mesh adaptive direct search algorithms for mixed variable optimization". A neighbour y whose value is
close to that of the centre, F(y) < F(x) + xi s_F, may hide a better point of its levels: it is descended in the other variables by a
few polls, and its best point competes with the centre.

Each combination of levels keeps its own frame. It shrinks when a poll round the combination's best point fails, and the margin xi
shrinks with it: the finer a rival has been looked at, the nearer it must be to go on, so that descents end by themselves.

Lattice neighbours of mixed problems (one step in one granular variable; the poll evaluates them) are descended in the same way, in
the continuous variables, but only once the frame is small: before that the poll and the models move both together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.barrier import poll_centres
from dfoattack.geometry import Geometry
from dfoattack.state import NeighbourState, Setup, SolverState
from dfoattack.steps import _directions
from dfoattack.steps.base import Outcome, Proposal, Step

XI = 0.05  # of the objective's range: how much worse than the centre a neighbour may be to be descended from
FRAME_INIT = 0.5  # first frame of a descent, in units of the first frame of the run
SHRINK = 0.25
ROUNDS = 2  # polls of descents an iteration
LATTICE_FRAME = 1e-3  # of the first frame, below which lattice neighbours of mixed problems are descended from
AGAIN = 0.1  # neighbours are polled again when the frame has shrunk by this factor since
SUFFICIENT = 1e-3  # gain in units of f_scale after which other levels begin with a wide frame
WIDE = 0.1  # that frame, in units of the first one


def neighbour_steps(geometry: Geometry) -> tuple[Step, ...]:
    """The neighbours of the centre, then a bounded number of polls round rivals; none where there is nothing discrete."""
    steps: list[Step] = []
    if geometry.has_levels:
        steps += [NeighbourPoll(), *(ExtendedPoll(LEVELS) for _ in range(ROUNDS))]
    if geometry.mixed:
        steps += [ExtendedPoll(LATTICE) for _ in range(ROUNDS)]
    return tuple(steps)


@dataclass(frozen=True)
class Discrete:
    """Which variables a descent holds, and what is a neighbour: levels of categorical variables, or lattice steps."""

    lattice: bool

    def held(self, geometry: Geometry) -> BoolArray:
        """Variables that tell rivals apart, bool (n,)."""
        return geometry.categorical | (geometry.granularity > 0.0) if self.lattice else geometry.categorical

    def neighbours(self, geometry: Geometry, x: FloatArray) -> FloatArray:
        """Neighbours (k, n) of x (n,)."""
        if not self.lattice:
            return geometry.neighbours(x)
        return geometry.snapped(x + _directions.lattice_neighbours(geometry, geometry.granularity))

    def memory(self, setup: Setup, state: SolverState) -> NeighbourState:
        """What is remembered of rivals of this kind."""
        known = state.searches.lattice if self.lattice else state.searches.neighbours
        if known is not None:
            return known
        q = int(np.count_nonzero(self.held(setup.geometry)))
        return NeighbourState(np.full(q, -1.0), np.inf, np.empty((0, q)), np.empty(0), np.empty((0, setup.n)))

    def remember(self, state: SolverState, memory: NeighbourState) -> SolverState:
        """The state with this memory."""
        searches = evolve(state.searches, **{"lattice" if self.lattice else "neighbours": memory})
        return evolve(state, searches=searches)


LEVELS, LATTICE = Discrete(False), Discrete(True)


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
        memo = evolve(LEVELS.memory(setup, state), levels=x[setup.geometry.categorical], frame=_frame(setup, state))
        on_mesh = not setup.geometry.neighbours.moves_others
        return Proposal.around(setup.geometry.neighbours(x), x, on_mesh, memo=memo)

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
        return _widened(LEVELS.remember(state, outcome.memo), outcome)


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

    def __init__(self, kind: Discrete) -> None:
        self.kind = kind

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        mesh, row = state.mesh, _centre(setup, state)
        if row < 0 or mesh is None or (self.kind.lattice and _frame(setup, state) > LATTICE_FRAME):
            return Proposal.nothing(setup.n)
        rivals = _rivals(setup, state, row, self.kind)
        if not rivals:
            return Proposal.nothing(setup.n)
        F = state.history.F
        rival = min(rivals, key=lambda r: (-r.frame, F[r.row], r.row))
        geometry, y = setup.geometry, state.history.X[rival.row]
        rho = np.maximum(1.0, np.rint(np.minimum(rival.frame * mesh.scale, geometry.span) / mesh.mesh_size))
        v = rng.standard_normal(setup.n)
        K = _directions.block_rows(geometry, v, rho)
        K = np.vstack([K, _directions.block_completion(geometry, K, rho)])
        K = K[~np.any(K[:, self.kind.held(geometry)] != 0.0, axis=1)]
        move = np.zeros(setup.n) if rival.place < 0 else self.kind.memory(setup, state).moves[rival.place]
        if move.any():
            onwards = np.rint(np.vstack([move, 2.0 * move]) / mesh.mesh_size)
            K = np.vstack([onwards[np.any(onwards != 0.0, axis=1)], K])
        X = geometry.mesh_points(y, K, mesh.mesh_size)
        # Round y, not round the centre: on a mesh of its own, so that only a sufficient decrease counts as a success.
        return Proposal.around(X, y, False, memo=ExtendedMemo(rival.row, rival.frame))

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        memo: ExtendedMemo | None = outcome.memo
        if memo is None:
            return state
        history, held = state.history, self.kind.held(setup.geometry)
        y = history.X[memo.row]
        levels = y[held]
        new = np.arange(outcome.first, outcome.last)
        best = _best(state, new[np.all(history.X[new][:, held] == levels, axis=1)]) if new.size else -1
        memory = self.kind.memory(setup, state)
        frame, move = memo.frame, np.zeros(setup.n)
        if best >= 0 and _merit(state, best) < _merit(state, memo.row):
            move = setup.geometry.displacement(y, history.X[best])
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
        return _widened(self.kind.remember(state, memory), outcome)


def unfinished(setup: Setup, state: SolverState) -> bool:
    """Whether a neighbour of the centre was not evaluated yet, or a rival is still worth a poll."""
    row, _ = poll_centres(state.barrier, state.history, setup.options.infeasible_margin)
    if row < 0 or state.mesh is None:
        return False
    kinds = ([LEVELS] if setup.geometry.has_levels else []) + ([LATTICE] if setup.geometry.mixed else [])
    for kind in kinds:
        found = kind.neighbours(setup.geometry, state.history.X[row])
        if kind is LEVELS and any(state.history.find(x) < 0 for x in found):
            return True
        if _rivals(setup, state, row, kind):
            return True
    return False


def _centre(setup: Setup, state: SolverState) -> int:
    """History row of the primary centre, -1 where this iteration has nothing to do with neighbours."""
    row, _ = poll_centres(state.barrier, state.history, setup.options.infeasible_margin)
    return -1 if state.mesh is None or state.success else row


def _frame(setup: Setup, state: SolverState) -> float:
    """The largest frame, scaled; of the granular variables where there is no continuous one."""
    mesh = state.mesh
    if mesh is None:
        return 0.0
    return mesh.size if setup.continuous else float(np.max(mesh.frame_size / mesh.scale, initial=0.0))


def _rivals(setup: Setup, state: SolverState, row: int, kind: Discrete) -> list[_Rival]:
    """Combinations of levels next to the centre (history row `row`) that deserve a poll.

    Feasible ones whose best value is within the margin; infeasible ones only while the centre is infeasible, by their violation.
    """
    history, memory, geometry = state.history, kind.memory(setup, state), setup.geometry
    x, at = history.X[row], kind.held(geometry)
    if at.all():
        return []
    own = state.barrier.start  # points of earlier local runs are no rivals of this one
    limit, margin = float(history.F[row]), XI * state.barrier.f_scale
    least = AGAIN * state.mesh.size if state.mesh is not None else 0.0
    found = []
    for levels in _combinations(kind.neighbours(geometry, x)[:, at]):
        if np.array_equal(levels, x[at]):
            continue
        known = np.flatnonzero(np.all(memory.rivals == levels, axis=1))
        place = int(known[0]) if known.size else -1
        frame = float(memory.frames[place]) if known.size else FRAME_INIT
        if frame <= least:
            continue
        best = _best(state, own + np.flatnonzero(np.all(history.X[own:, at] == levels, axis=1)))
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
