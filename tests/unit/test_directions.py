"""Poll directions of groups and granular variables: they span, keep to their group, and reach every lattice neighbour."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfoattack.geometry import Geometry
from dfoattack.kernels.directions import positive_basis_status
from dfoattack.space import Box
from dfoattack.steps import _directions


def random_box(seed: int, n: int) -> tuple[Box, np.random.Generator]:
    """Some variables granular, some categorical, some groups."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(4, n)
    groups = []
    order = rng.permutation(n).tolist()
    while order and rng.random() < 0.6:
        size = int(rng.integers(1, len(order) + 1))
        groups.append(order[:size])
        order = order[size:]
    return (
        Box(
            [None if k == 3 else -9 for k in kinds],
            [None if k == 3 else 9 for k in kinds],
            integer=[i for i in range(n) if kinds[i] == 2],
            categorical={i: ["u", "v", "w"] for i in range(n) if kinds[i] == 3},
            groups=groups,
        ),
        rng,
    )


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.sampled_from([1.0, 2.0, 5.0, 10.0, 100.0]), st.booleans())
def test_polls_positively_span_and_keep_to_their_group(seed: int, n: int, ratio: float, pairs: bool) -> None:
    box, rng = random_box(seed, n)
    g = Geometry.of(box)
    rho = np.where(g.granularity > 0.0, rng.choice([1.0, 2.0, 5.0, 10.0]), ratio)
    K = _directions.block_rows(g, rng.standard_normal(n), rho)
    assert K.shape == (len(g.moving), n)
    K *= np.where(rng.random(len(K)) < 0.5, -1.0, 1.0)[:, None]
    if pairs:
        K = np.vstack([K, -K])
    extra = _directions.block_completion(g, K, rho)
    D = np.vstack([K, extra])
    assert not D[:, g.categorical].any() and (np.abs(D) <= rho).all() and (D == np.rint(D)).all()
    if len(g.moving):
        assert positive_basis_status(np.ascontiguousarray(D[:, g.moving])) == 1
    for row in D:
        touched = [k for k, block in enumerate(g.blocks) if row[block.members].any()]
        assert len(touched) == 1, "one group at a time"
        block = g.blocks[touched[0]]
        assert not (row[block.continuous].any() and row[block.discrete].any())
    combined = _directions.combined_rows(g, rng.standard_normal(n), rho)
    for row in combined:
        assert sum(bool(row[block.members].any()) for block in g.blocks) == 1


def test_every_lattice_neighbour_is_polled() -> None:
    g = Geometry.of(Box([0] * 4, [9, 9, 1, 1], integer=[1, 2, 3]))
    rho = np.array([10.0, 1.0, 1.0, 1.0])
    K = _directions.block_rows(g, np.array([0.3, -0.2, 0.5, -0.1]), rho)
    D = np.vstack([K, _directions.block_completion(g, K, rho)])
    rows = {tuple(row) for row in D}
    for i in (1, 2, 3):
        assert {tuple(row) for row in (np.eye(4)[i], -np.eye(4)[i])} <= rows
    assert {tuple(row) for row in _directions.lattice_neighbours(g, rho)} <= rows


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_binary_flips(value: float) -> None:
    g = Geometry.of(Box([0, 0], [1, 1], integer=[1]))
    K = np.array([[0.0, 1.0], [0.0, -1.0], [3.0, 0.0], [3.0, 1.0]])
    turned = _directions.inwards(g, K, np.array([0.0, value]))
    away = 1.0 if value == 0.0 else -1.0
    assert turned.tolist() == [[0.0, away], [0.0, away], [3.0, 0.0], [3.0, 1.0]]


def test_a_periodic_lattice_has_no_bound_to_turn_at() -> None:
    g = Geometry.of(Box([0], [12], integer=True, periodic=True))
    assert _directions.inwards(g, np.array([[-1.0]]), np.zeros(1)).tolist() == [[-1.0]]


def test_the_secondary_poll_moves_one_group() -> None:
    g = Geometry.of(Box([0] * 4, [1] * 4, groups=[[0, 1], [2]]))
    w = np.array([0.1, 0.2, 0.1, -3.0])
    assert _directions.one_group(g, w).tolist() == [0.0, 0.0, 0.0, -3.0]
    one = Geometry.of(Box([0] * 4, [1] * 4))
    assert _directions.one_group(one, w) is w
