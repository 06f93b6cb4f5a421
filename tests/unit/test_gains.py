"""Which successes count."""

from __future__ import annotations

import numpy as np
import pytest

import dfoattack as da
from dfoattack._values import evolve
from dfoattack.barrier import FULL, PARTIAL
from dfoattack.gains import drop_small
from dfoattack.solver import Solver


def state_at(size: float):  # type: ignore[no-untyped-def]
    """A state whose frame is `size` times the first one."""
    problem = da.Problem(
        objective=lambda X: X.sum(axis=1),
        constraints=[lambda X: 1.0 - X[:, 0]],
        space=[(0.0, 2.0)] * 2,
        x0=[1.5, 1.5],
        sense="minimize",
    )
    solver = Solver(problem, budget=3)
    while len(solver.ask()):
        solver.tell(solver.evaluate())
    mesh = solver.state.mesh
    assert mesh is not None
    return evolve(solver.state, mesh=mesh.reset(size * mesh.scale, np.array([1.5, 1.5])))


@pytest.mark.parametrize("size,kept", [(1e-3, PARTIAL), (5e-10, 0)])
def test_partial_successes_count_as_long_as_the_frame_can_shrink(size: float, kept: int) -> None:
    types = np.array([PARTIAL, FULL, PARTIAL])
    on_mesh = np.array([True, True, False])
    F, H = np.array([1.0, 0.0, 1.0]), np.array([1e-6, 1e-6, 1e-6])
    drop_small(state_at(size), 1.0, types, F, H, np.zeros(3), on_mesh, 1e-9)
    assert types.tolist() == [kept, FULL, PARTIAL]
