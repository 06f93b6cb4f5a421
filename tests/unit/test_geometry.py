"""Geometry: differences the short way round, levels that are never numbers, and the mesh of periodic variables."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dfoattack.geometry import Geometry
from dfoattack.mesh import Mesh, first_frame
from dfoattack.space import Box

seeds = st.integers(0, 2**32 - 1)
BOX = Box(
    [0, -5, None, 0, 0],
    [360, 5, None, 24, 1],
    periodic=[0, 3],
    integer=[3],
    categorical={2: ["u", "v", "w"]},
    groups=[[0, 3], [2, 4]],
)
G = Geometry.of(BOX)


def test_what_it_knows() -> None:
    assert G.period.tolist() == [360, 0, 0, 24, 0] and G.span.tolist() == [180, 10, 2, 12, 1]
    assert G.categorical.tolist() == [False, False, True, False, False] and G.moving.tolist() == [0, 1, 3, 4]
    blocks = [(b.continuous.tolist(), b.discrete.tolist()) for b in G.blocks]
    assert blocks == [([0], [3]), ([4], []), ([1], [])]
    assert not G.plain and not G.one_block and G.mixed
    plain = Geometry.of(Box([0, 0], [1, 1], fixed={0: 0.5}))
    assert plain.plain and plain.one_block and plain.unit is None and not plain.mixed
    assert not Geometry.of(Box([0, 0], [1, 1], groups=[[0], [1]])).one_block


def test_fixed_variables_leave_their_groups() -> None:
    g = Geometry.of(Box([0] * 3, [1] * 3, fixed={0: 0.5, 1: 0.5}, groups=[[0, 2], [1]]))
    assert [b.members.tolist() for b in g.blocks] == [[0]]


def test_displacements_take_the_short_way() -> None:
    x = np.array([350.0, 1.0, 0.0, 23.0, 0.5])
    y = np.array([20.0, 2.0, 2.0, 2.0, 0.75])
    assert G.displacement(x, y).tolist() == [30.0, 1.0, 0.0, 3.0, 0.25]
    assert G.displacement(y, x).tolist() == [-30.0, -1.0, 0.0, -3.0, -0.25]
    assert G.images(x, y[None, :]).tolist() == [[380.0, 2.0, np.inf, 26.0, 0.75]]
    same = np.where(G.categorical, x, y)
    assert G.images(x, same[None, :]).tolist() == [[380.0, 2.0, 0.0, 26.0, 0.75]]
    assert G.same_levels(x, np.vstack([x, y, same])).tolist() == [True, False, True]
    lower, upper = G.around(x)
    assert lower.tolist() == [170.0, -5.0, 0.0, 11.0, 0.0] and upper.tolist() == [530.0, 5.0, 0.0, 35.0, 1.0]


def test_levels_are_held() -> None:
    x = np.array([350.0, 1.0, 1.0, 23.0, 0.5])
    X = np.array([[360.0, 1.0, 2.0, 24.0, 0.5]])
    assert G.held(X, x[None, :]).tolist() == [[0.0, 1.0, 1.0, 0.0, 0.5]]
    assert X[0, 2] == 2.0, "not in place"


@given(seeds)
def test_mesh_points_close_on_themselves(seed: int) -> None:
    """However often a run goes round, at one mesh size a periodic variable takes finitely many values."""
    rng = np.random.default_rng(seed)
    period = float(10.0 ** rng.uniform(-2, 3))
    lower = float(rng.normal())
    g = Geometry.of(Box([lower], [lower + period], periodic=True))
    x = g.snapped(np.array([[lower + period * rng.random()]]))[0]
    mesh = Mesh.start(first_frame(x, g.lower, g.upper), g.granularity, x, unit=g.unit)
    for _ in range(int(rng.integers(0, 4))):
        mesh = mesh.refined(x)
    share = g.period / mesh.mesh_size
    np.testing.assert_allclose(share, np.rint(share), rtol=1e-12)
    assert (mesh.frame_size <= 0.1 * g.period * (1.0 + 1e-12)).all()
    at = x
    for _ in range(40):
        z = np.rint(rng.normal(size=1) * share)
        at = g.mesh_points(at, z[None, :], mesh.mesh_size)[0]
        steps = (at - x) / mesh.mesh_size
        np.testing.assert_allclose(steps, np.rint(steps), atol=1e-6 * max(1.0, abs(lower) / period * 1e-3))
        assert g.lower[0] <= at[0] < g.upper[0]


def test_a_frame_is_never_wider_than_half_a_period() -> None:
    g = Geometry.of(Box([0], [2 * np.pi], periodic=True))
    x = np.array([1.0])
    mesh = Mesh.start(first_frame(x, g.lower, g.upper), g.granularity, x, unit=g.unit)
    for _ in range(10):
        mesh = mesh.enlarged(mesh.frame_size, x, g.span)
    np.testing.assert_allclose(mesh.frame_size, [np.pi])
    again = mesh.reset(np.array([0.01 * 2 * np.pi]), x)
    np.testing.assert_allclose(again.frame_size, [0.02 * np.pi])


@given(seeds)
def test_distances_are_the_same_from_every_image(seed: int) -> None:
    rng = np.random.default_rng(seed)
    V = BOX.snap(rng.uniform(-400, 400, (12, 5)))
    V[:, 2] = rng.integers(0, 3, 12)
    T = BOX.snap(rng.uniform(-400, 400, (5, 5)))
    T[:, 2] = rng.integers(0, 3, 5)
    scale = np.array([30.0, 1.0, 1.0, 2.0, 0.1])
    d2 = np.full(5, np.inf)
    G.pool_update(T, d2, V, scale)
    for j, t in enumerate(T):
        rows = G.same_levels(t, V)
        exact = ((G.displacement(t, V[rows]) / scale) ** 2).sum(axis=1).min(initial=np.inf)
        np.testing.assert_allclose(d2[j], exact)
    fresh = np.zeros(5)
    G.pool_refresh(T, fresh, np.arange(5), V, 12, T[0], 1.0, scale)
    np.testing.assert_allclose(fresh, d2)
    fill = G.fill_distance(T, V, scale)
    apart = ((G.displacement(T[:, None], V[None]) / scale) ** 2).sum(axis=2) + (T[:, None, 2] != V[None, :, 2])
    np.testing.assert_allclose(fill, apart.min(axis=1))
