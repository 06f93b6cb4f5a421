"""The poll: a positive spanning set of mesh directions around the incumbent.

Orthogonal directions from a Householder matrix after Abramson, Audet, Dennis & Le Digabel (2009), "OrthoMADS", with a fresh
random vector in every iteration; n+1 directions with a negative completion after Audet, Ianni, Le Digabel & Tribes (2014),
"Reducing the number of function evaluations in mesh adaptive direct search algorithms". Rounding to the mesh can destroy positive
spanning while the frame is only a few mesh sizes wide, so it is checked after rounding and repaired. Where there are groups or
granular variables, directions keep to one group, and granular variables have lattice moves of their own (`_directions`).
"""

from __future__ import annotations

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.barrier import poll_centres
from dfoattack.kernels import directions
from dfoattack.mesh import Mesh
from dfoattack.state import Setup, SolverState
from dfoattack.steps import _directions
from dfoattack.steps._directions import completion, poll_rows
from dfoattack.steps.base import Outcome, Proposal, Step
from dfoattack.steps.cone_directions import cone_directions

__all__ = ["Poll", "PollCompletion", "completion", "poll_rows"]


class Poll(Step):
    """Poll the primary centre, and two opposite directions at the secondary one.

    With poll = 'n+1' the more promising one of each pair is polled here and the completion is left to `PollCompletion`.
    Order: by the gradient at the centre where an attack has left one, else by the angle to the last success.
    Draws 2n normals.
    """

    name = "poll"
    enlarges = True

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        n, mesh = setup.n, state.mesh
        primary, secondary = poll_centres(state.barrier, state.history, setup.options.infeasible_margin)
        v, w = rng.standard_normal(n), rng.standard_normal(n)
        if mesh is None or primary < 0 or state.floored:
            return Proposal.nothing(n)
        geometry, x = setup.geometry, state.history.X[primary]
        if setup.polyhedron is not None:
            D = cone_directions(setup.polyhedron, mesh, x, v)
            if D is not None:
                return self._along_faces(setup, state, mesh, D, primary, secondary, w)
        K = poll_rows(v, mesh.rho) if geometry.one_block else _directions.block_rows(geometry, v, mesh.rho)
        promise = self._promise(K, state, primary, mesh)
        if setup.options.poll == "2n":
            K, promise = np.vstack([K, -K]), np.concatenate([promise, -promise])
        else:
            flip = promise < 0.0
            K[flip] *= -1.0
            promise = np.abs(promise)
        K = K[np.argsort(-promise, kind="stable")]
        Z = K
        if not geometry.one_block:
            K = _directions.inwards(geometry, K, x)
            combined = _directions.combined_rows(geometry, v, mesh.rho)
            combined[self._promise(combined, state, primary, mesh) < 0.0] *= -1.0
            Z, w = np.vstack([K, combined]), _directions.one_group(geometry, w)
        X, x = points(setup, mesh, x, Z)
        return _with_secondary(setup, state, mesh, secondary, w, Proposal.around(X, x, True, memo=K))

    def _along_faces(
        self, setup: Setup, state: SolverState, mesh: Mesh, D: FloatArray, primary: int, secondary: int, w: FloatArray
    ) -> Proposal:
        """The poll beside linear constraints: displacements D (k, n) off the mesh, complete as they are, best promise first."""
        x = state.history.X[primary]
        left = np.array([setup.polyhedron.room_for(x, d) for d in D]) if setup.polyhedron is not None else 1.0
        promise = left * self._promise(D / mesh.mesh_size, state, primary, mesh)
        X = setup.geometry.snapped(x + D[np.argsort(-promise, kind="stable")])
        return _with_secondary(setup, state, mesh, secondary, w, Proposal.around(X, x, False))

    @staticmethod
    def _promise(K: FloatArray, state: SolverState, row: int, mesh: Mesh) -> FloatArray:
        """Expected decrease along each row of K, up to a factor; zeros when nothing is known."""
        attack = state.attack
        if attack.gradient is not None and attack.row == row:
            return -K @ (attack.gradient * mesh.mesh_size)
        if state.move is not None:
            D = K * (mesh.mesh_size / mesh.scale)
            lengths = np.sqrt((D * D).sum(axis=1))
            return D @ (state.move / mesh.scale) / np.where(lengths > 0.0, lengths, 1.0)
        return np.zeros(K.shape[0])

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        kept = None if outcome.success else outcome.memo
        return state if kept is state.kept else evolve(state, kept=kept)


class PollCompletion(Step):
    """Complete a failed poll, so that an iteration is unsuccessful only when a positive spanning set has failed."""

    name = "poll"
    enlarges = True

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        if state.kept is None or state.mesh is None:
            return Proposal.nothing(setup.n)
        primary, _ = poll_centres(state.barrier, state.history, setup.options.infeasible_margin)
        rho = state.mesh.rho
        if not setup.continuous and state.mesh.finest:
            # Nothing is left to refine: all lattice neighbours, so that no run ends beside a better one.
            Z = _directions.lattice_neighbours(setup.geometry, rho)
        else:
            Z = (
                completion(state.kept, rho)
                if setup.geometry.one_block
                else _directions.block_completion(setup.geometry, state.kept, rho)
            )
        X, x = points(setup, state.mesh, state.history.X[primary], Z)
        return Proposal.around(X, x, True)

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        return state if state.kept is None else evolve(state, kept=None)


def _with_secondary(
    setup: Setup, state: SolverState, mesh: Mesh, secondary: int, w: FloatArray, primary: Proposal
) -> Proposal:
    """The poll of the primary centre, and two opposite directions at the secondary one if there is one."""
    if secondary < 0:
        return primary
    Z = np.empty((1, setup.n))
    directions.scale_directions(w[None, :], mesh.rho, Z)
    X, x = points(setup, mesh, state.history.X[secondary], np.vstack([Z, -Z]))
    return Proposal(
        np.vstack([primary.X, X]),
        np.vstack([primary.origins, np.broadcast_to(x, X.shape)]),
        np.append(primary.on_mesh, np.full(X.shape[0], True)),
        primary.memo,
    )


def points(setup: Setup, mesh: Mesh, x: FloatArray, Z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mesh points x + delta z inside the box, (k, n), and x itself."""
    return setup.geometry.mesh_points(x, Z, mesh.mesh_size), x
