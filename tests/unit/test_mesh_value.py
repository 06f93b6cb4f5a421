"""The class Mesh; the kernels below it have tests of their own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfoattack.mesh import ANISOTROPY, Mesh, first_frame

X, WIDE = np.zeros(3), np.full(3, np.inf)


def mesh(request: list[float], granularity: list[float] | None = None, x: np.ndarray | None = None) -> Mesh:
    g = np.zeros(len(request)) if granularity is None else np.array(granularity)
    return Mesh.start(np.array(request), g, np.zeros(len(request)) if x is None else x)


def test_the_first_frame_is_the_metric() -> None:
    m = mesh([0.3, 7.0, 1000.0])
    np.testing.assert_allclose(m.frame_size, [0.2, 5.0, 1000.0], rtol=1e-15)
    np.testing.assert_allclose(m.scale, m.frame_size, rtol=1e-15)
    assert m.size == pytest.approx(1.0) and (m.rho >= 1.0).all()


def test_a_metric_from_outside_is_kept() -> None:
    m = Mesh.start(np.array([0.3]), np.zeros(1), np.zeros(1), np.array([50.0]))
    assert m.scale.tolist() == [50.0] and m.size == pytest.approx(0.2 / 50.0)
    for changed in (
        m.refined(X[:1]),
        m.enlarged(np.ones(1), X[:1], WIDE[:1]),
        m.reset(np.array([3.0]), X[:1]),
        m.moved(X[:1]),
    ):
        assert changed.scale.tolist() == [50.0]


def test_refining_and_enlarging_by_one_notch() -> None:
    m = mesh([1.0])
    sizes = []
    for _ in range(7):
        sizes.append(float(m.frame_size[0]))
        m = m.refined(X[:1])
    np.testing.assert_allclose(sizes, [1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01], rtol=1e-12)
    back = m.enlarged(m.frame_size.copy(), X[:1], WIDE[:1])
    assert back.frame_size[0] == pytest.approx(0.01)
    assert back.frame_size[0] > m.frame_size[0]


def test_only_coordinates_that_contributed_are_enlarged() -> None:
    m = mesh([1.0, 1.0, 1.0])
    step = m.frame_size * np.array([1.0, 0.5 * ANISOTROPY, 0.0])
    changed = m.enlarged(step, X, WIDE).frame_size / m.frame_size
    assert changed[0] > 1.0 and changed[2] == 1.0


def test_a_frame_never_exceeds_the_box_by_more_than_a_notch() -> None:
    m = mesh([1.0, 1.0])
    span = np.array([7.0, np.inf])
    for _ in range(40):
        m = m.enlarged(m.frame_size.copy(), X[:2], span)
    assert m.frame_size[0] == pytest.approx(10.0) and m.frame_size[1] == pytest.approx(1e6)


@given(st.lists(st.sampled_from("rem"), max_size=80), st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_sizes_stay_in_order(moves: list[str], n: int, seed: int) -> None:
    """Whatever happens: 0 < delta <= Delta, rho a whole number, delta representable beside x, no object is changed."""
    rng = np.random.default_rng(seed)
    granularity = rng.choice([0.0, 0.0, 0.1, 1.0], n)
    x = rng.choice([0.0, 1.0, -1e9, 123.456], n)
    m = Mesh.start(10.0 ** rng.uniform(-3, 3, n), granularity, x)
    for move in moves:
        before = m.frame_size.copy(), m.mesh_size.copy()
        new = {
            "r": lambda m=m: m.refined(x),
            "e": lambda m=m: m.enlarged(m.frame_size * rng.uniform(-1, 1, n), x, np.full(n, np.inf)),
            "m": lambda m=m: m.moved(x),
        }[move]()
        assert (m.frame_size == before[0]).all() and (m.mesh_size == before[1]).all()
        if move == "r":
            assert (new.frame_size <= m.frame_size).all()
        m = new
        assert (m.mesh_size > 0.0).all() and (m.mesh_size <= m.frame_size * (1 + 1e-12)).all()
        assert np.array_equal(m.rho, np.rint(m.rho)) and (m.rho >= 1.0).all()
        continuous = granularity == 0.0
        assert (x[continuous] + m.mesh_size[continuous] != x[continuous]).all()
        whole = (m.mesh_size / np.where(continuous, 1.0, granularity))[~continuous]
        np.testing.assert_allclose(whole, np.rint(whole), rtol=1e-12)
        assert (whole >= 1.0 - 1e-12).all()


def test_finest_and_size_speak_of_different_variables() -> None:
    m = mesh([5.0, 0.5], [1.0, 0.0])
    assert not m.finest
    assert m.size == pytest.approx(1.0), "the continuous variable only"
    for _ in range(9):
        m = m.refined(X[:2])
    assert m.finest and m.frame_size[0] == 1.0 and m.size < 0.01
    all_granular = mesh([5.0], [1.0])
    assert all_granular.size == 0.0
    assert mesh([0.3]).finest, "no granular variable is in the way"


def test_reset_takes_a_new_request() -> None:
    m = mesh([1.0, 1.0])
    for _ in range(12):
        m = m.refined(X[:2])
    again = m.reset(np.array([0.3, 0.04]), X[:2])
    np.testing.assert_allclose(again.frame_size, [0.2, 0.02], rtol=1e-12)
    assert (again.scale == m.scale).all() and (again.b0 == m.b0).all()


@pytest.mark.parametrize(
    ("x0", "lower", "upper", "expected"),
    [
        (0.5, -1.0, 1.0, 0.2),
        (5.0, -np.inf, 15.0, 1.0),
        (5.0, 2.0, np.inf, 0.3),
        (-40.0, -np.inf, np.inf, 4.0),
        (0.0, -np.inf, np.inf, 1.0),
        (2.0, 2.0, np.inf, 0.2),
        (0.0, 0.0, np.inf, 1.0),
        (0.0, -1e308, 1e308, 1e307),
    ],
)
def test_first_frame(x0: float, lower: float, upper: float, expected: float) -> None:
    with np.errstate(over="ignore"):
        size = first_frame(np.array([x0]), np.array([lower]), np.array([upper]))
    if expected == 1e307:
        assert np.isfinite(size[0]) and size[0] > 0.0
    else:
        assert size[0] == pytest.approx(expected)


def test_without_variables() -> None:
    m = mesh([])
    assert m.size == 0.0 and m.finest and m.rho.shape == (0,)
