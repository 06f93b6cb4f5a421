"""The covering step: make the evaluated points dense round the incumbent.

After Audet, Bouchet & Bourdin (2024), "A derivative-free approach to optimization of discontinuous functions" (the covering
direct search method): on every failed iteration at least one trial is taken far from all evaluated points inside a ball whose
radius never shrinks; limits of such a method are local solutions even where the objective is discontinuous.

Trials alternate between uniform ones (independent, never rounded: they support a statement about the volume in which something
better may still hide) and the candidate farthest from all evaluated points (which shrinks the largest hole). The farthest
candidate comes from a pool of random points whose distances are kept up to date with every evaluation, so that a covering trial
costs O(N n) for a pool of N, whatever the number of evaluated points.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.barrier import poll_centres
from dfoattack.kernels import covering as kernels
from dfoattack.kernels import mesh as mesh_kernels
from dfoattack.mesh import Mesh
from dfoattack.state import CoverState, Setup, SolverState
from dfoattack.steps.base import Outcome, Proposal, Step

QUOTA_BLOCK = 8  # covering trials proposed together once nothing else is left to do
REJECTIONS_MAX = 4096  # draws after which uniform sampling from ball and box is given up at this centre
FEW_FRESH = 10  # variables from which on at most two candidates are renewed a call
FARTHEST_TRIES = 16
LATTICE_MAX = 4096  # lattice balls up to this size are enumerated


@dataclass(frozen=True)
class CoverMemo:
    """The covering state after the proposal, and those of its trials that are truly uniform, (q, n)."""

    cover: CoverState
    uniform: FloatArray


class Covering(Step):
    """Covering trials round the primary poll centre, on failed iterations only.

    One trial an iteration; once the frame has converged, blocks of them until the quota is done, round the feasible incumbent where
    there is one. Draws depend on the state alone.
    """

    name = "covering"

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        row, _ = poll_centres(state.barrier, state.history, setup.options.infeasible_margin)
        if state.floored:
            row = state.barrier.reported  # whichever point led the polls
        nothing_moves = not setup.geometry.moving.shape[0]
        if not setup.options.covering or state.mesh is None or row < 0 or state.success or nothing_moves:
            return Proposal.nothing(setup.n)
        ball = Ball(setup, state.history.X[row], state.mesh)
        cover = _window(state.cover, row)
        if not setup.continuous:
            lattice = ball.lattice()
            if lattice is not None:
                return _from_lattice(lattice, state, cover, ball, rng)
        options = setup.options
        most = max(QUOTA_BLOCK, options.block_size) if options.fills else QUOTA_BLOCK
        count = max(1, min(most, setup.quota - cover.since)) if state.floored else 1
        if count > 1 or not cover.uniform_next:  # a uniform trial needs no candidates
            cover = _renewed(cover, state, ball, rng)
        X, on_mesh, uniform = np.empty((count, setup.n)), np.zeros(count, dtype=bool), np.zeros(count, dtype=bool)
        d2, uniform_next, rejecting = cover.d2.copy(), cover.uniform_next, cover.rejecting
        for i in range(count):
            if uniform_next:
                X[i], rejecting = ball.uniform(rng, rejecting)
                uniform[i] = rejecting
            else:
                X[i], on_mesh[i] = _farthest(cover, d2, state, ball), True
            setup.geometry.pool_update(cover.Y, d2, X[i : i + 1], ball.scale)
            uniform_next = not uniform_next
        memo = CoverMemo(evolve(cover, uniform_next=uniform_next, rejecting=rejecting), X[uniform])
        return Proposal(X, np.broadcast_to(ball.x, X.shape), on_mesh, memo)

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        if outcome.memo is None:
            return state
        memo: CoverMemo = outcome.memo
        if outcome.improved:
            return evolve(state, cover=evolve(memo.cover, since=0))
        since = state.cover.since + outcome.last - outcome.first
        # Only what was evaluated counts: the budget, or a success that is no move, may have cut the block short.
        rows = [state.history.find(x) for x in memo.uniform]
        tried = sum(outcome.first <= row < outcome.last for row in rows)
        return evolve(state, cover=evolve(memo.cover, since=since, window_n=memo.cover.window_n + tried))


class Ball:
    """The covered ball: centre x, radius r in units of the scale, clipped by the box, at the levels of the centre."""

    def __init__(self, setup: Setup, x: FloatArray, mesh: Mesh) -> None:
        self.setup, self.x, self.mesh, self.geometry = setup, x, mesh, setup.geometry
        self.scale, self.radius = mesh.scale, setup.options.covering_radius

    def on_mesh(self, x: FloatArray) -> FloatArray:
        """The mesh point nearest to x (n,), never the centre itself."""
        Z = np.empty((1, self.setup.n))
        mesh_kernels.round_steps(self.geometry.displacement(self.x, x)[None, :], self.mesh.mesh_size, Z)
        nearest: FloatArray = self.geometry.mesh_points(self.x, Z, self.mesh.mesh_size)[0]
        return nearest

    def sample(self, rng: np.random.Generator, k: int) -> FloatArray:
        """k points uniform in the ball, clipped to the box and the lattice: full support, not uniform beside a bound."""
        n = self.geometry.moving.shape[0]
        D = rng.standard_normal((k, n))
        D /= np.sqrt((D * D).sum(axis=1))[:, None]
        X = self.geometry.snapped(self.x + self._full(self.radius * rng.random(k)[:, None] ** (1.0 / n) * D))
        polyhedron = self.setup.polyhedron
        if polyhedron is not None:
            outside = ~polyhedron.inside(X)
            if outside.any():
                X[outside] = polyhedron.shortened(self.x, X[outside], self.scale)
        return X

    def _full(self, D: FloatArray) -> FloatArray:
        """Displacements (k, n) in user units of those of the moving variables in units of the scale."""
        if not self.geometry.has_levels:
            return self.scale * D
        out = np.zeros((D.shape[0], self.setup.n))
        out[:, self.geometry.moving] = self.scale[self.geometry.moving] * D
        return out

    def uniform(self, rng: np.random.Generator, rejecting: bool) -> tuple[FloatArray, bool]:
        """One point uniform in ball and box, and True; a clipped one and False where rejection finds none."""
        at = self.geometry.moving
        n, batch, tried = at.shape[0], 16, 0
        x, scale, (lower, upper) = self.x, self.scale, self.geometry.around(self.x)
        if self.geometry.has_levels:
            x, scale, lower, upper = x[at], scale[at], lower[at], upper[at]
        while rejecting and tried < REJECTIONS_MAX:
            out = np.empty((batch, n))
            normals, uniforms = rng.standard_normal((batch, n)), rng.random(batch)
            kept = kernels.ball_points(x, self.radius, scale, lower, upper, normals, uniforms, out)
            found = np.repeat(self.x[None, :], kept, axis=0)
            found[:, at] = out[:kept]
            X = self.geometry.snapped(found)
            if self.setup.polyhedron is not None:
                X = X[self.setup.polyhedron.inside(X)]
            if X.shape[0]:
                return X[0], True
            tried, batch = tried + batch, 4 * batch
        return self.sample(rng, 1)[0], False

    def lattice(self) -> FloatArray | None:
        """All lattice points of the ball and box (m, n) when every variable is granular and they are few; else None."""
        s, geometry = self.setup, self.geometry
        reach = np.floor(self.radius * self.scale / s.granularity + 1e-9)
        reach[geometry.categorical] = 0.0
        if geometry.wraps:
            around = np.floor(0.5 * geometry.period / s.granularity + 1e-9)
            reach = np.where(geometry.period > 0.0, np.minimum(reach, around), reach)
        if np.prod(2.0 * reach + 1.0) > LATTICE_MAX:
            return None
        axes = [np.arange(-r, r + 1.0) for r in reach]
        grid = np.array(list(itertools.product(*axes))) * s.granularity
        grid = grid[((grid / self.scale) ** 2).sum(axis=1) <= self.radius**2 * (1.0 + 1e-12)] + self.x
        half = 0.5 * s.granularity
        inside = (grid >= s.lower - half) & (grid <= s.upper + half)
        X = geometry.snapped(grid[np.all(inside | (geometry.period > 0.0), axis=1)])
        return X if s.polyhedron is None else X[s.polyhedron.inside(X)]


def _window(cover: CoverState, row: int) -> CoverState:
    """Uniform trials belong together while the ball does not move; another centre opens the next window."""
    if row == cover.window_row:
        return cover
    return evolve(cover, window=cover.window + 1, window_row=row, window_n=0, rejecting=True, exhausted=False)


def _from_lattice(
    lattice: FloatArray, state: SolverState, cover: CoverState, ball: Ball, rng: np.random.Generator
) -> Proposal:
    """One lattice point not evaluated yet, drawn at random; the ball is exhausted when there is none."""
    fresh = [i for i in range(lattice.shape[0]) if state.history.find(lattice[i]) < 0]
    if not fresh:
        return Proposal.nothing(ball.setup.n, CoverMemo(evolve(cover, exhausted=True), np.empty((0, ball.setup.n))))
    pick = fresh[int(rng.integers(len(fresh)))]
    return Proposal.around(
        lattice[pick : pick + 1], ball.x, True, memo=CoverMemo(cover, np.empty((0, cover.Y.shape[1])))
    )


def _renewed(cover: CoverState, state: SolverState, ball: Ball, rng: np.random.Generator) -> CoverState:
    """The pool with some candidates replaced by fresh ones: those outside the ball first, then the oldest."""
    options = ball.setup.options
    size = options.covering_pool
    if cover.Y.shape[0] == 0:
        Y, d2, age = np.empty((size, ball.setup.n)), np.empty(size), np.zeros(size, dtype=np.int64)
        rows = np.arange(size, dtype=np.int64)
    else:
        Y, d2, age = cover.Y.copy(), cover.d2.copy(), cover.age.copy()
        outside = (((ball.geometry.images(ball.x, Y) - ball.x) / ball.scale) ** 2).sum(axis=1) > ball.radius**2
        # In many dimensions the scan of the history dominates; fewer fresh candidates only change the constant of the covering rule.
        q = min(options.covering_fresh, 2) if ball.setup.n >= FEW_FRESH else options.covering_fresh
        rows = np.lexsort((age, ~outside))[:q].astype(np.int64)
    Y[rows] = ball.sample(rng, rows.shape[0])
    age[rows] = cover.clock + np.arange(rows.shape[0])
    history = state.history
    ball.geometry.pool_refresh(Y, d2, rows, history.X, history.size, ball.x, ball.radius, ball.scale)
    return evolve(cover, Y=Y, d2=d2, age=age, clock=cover.clock + rows.shape[0])


def _farthest(cover: CoverState, d2: FloatArray, state: SolverState, ball: Ball) -> FloatArray:
    """The candidate farthest from all evaluated points, rounded to the mesh; the next one where rounding hits a known point."""
    d2 = d2.copy()
    x, Y = ball.x, ball.geometry.images(ball.x, cover.Y)
    for _ in range(FARTHEST_TRIES):
        best = int(kernels.farthest(Y, d2, ball.x, ball.radius, ball.scale))
        if best < 0:
            break
        x = ball.on_mesh(cover.Y[best])
        if state.history.find(x) < 0:
            break
        d2[best] = -1.0
    return x
