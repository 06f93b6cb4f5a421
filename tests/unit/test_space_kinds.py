"""Box: periodic, grouped and categorical variables, and what its errors say."""

from __future__ import annotations

import json
import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfoattack.errors import ProblemError
from dfoattack.space import Box

LEVELS = ["steel", "brass", "wood"]


def first_other(x: np.ndarray) -> np.ndarray:
    y = x.copy()
    y[1] = (y[1] + 1) % 3
    return y[None, :]


# ------------------------------------------------------------------------------------------------ periodic


@given(st.floats(-1e6, 1e6), st.floats(-1e3, 1e3), st.floats(1e-3, 1e3))
def test_periodic_values_are_wrapped_into_the_box(value: float, lower: float, period: float) -> None:
    box = Box([lower, -1], [lower + period, 1], periodic=[0])
    x = box.snap(np.array([value, 0.5]))
    assert box.lower[0] <= x[0] < box.upper[0] and x[1] == 0.5
    assert box.contains(x)
    turns = (value - x[0]) / box.period[0]
    assert abs(turns - round(turns)) <= 1e-9 * max(1.0, abs(value), abs(lower)) / period


def test_upper_is_lower() -> None:
    box = Box([0, 0], [360, 1], periodic=["x0"])
    assert box.period.tolist() == [360.0, 0.0]
    assert box.snap(np.array([[360.0, 1.0], [-0.0, 2.0], [725.0, 0.0]])).tolist() == [[0, 1], [0, 1], [5, 0]]
    assert box.contains([360.0, 0.0]) and not box.contains([361.0, 0.0])
    assert box.admit("x0", np.array([[-90.0, 0.5]])).tolist() == [[270.0, 0.5]]
    with pytest.raises(ProblemError, match="`x1`"):
        box.admit("x0", np.array([[0.0, 1.5]]))


def test_a_periodic_lattice() -> None:
    box = Box([0, 0], [24, 2], integer=[0], granularity={1: 0.1}, periodic=True)
    assert box.snap(np.array([23.6, 1.96])).tolist() == [0.0, 0.0]
    assert box.snap(np.array([-1.2, -0.11])).tolist() == [23.0, 1.9]
    with pytest.raises(ProblemError, match="an integer"):
        box.admit("x0", np.array([[0.5, 0.0]]))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(upper=[None, 1], periodic=[0]), r"two finite bounds.*`a`"),
        (dict(upper=[1.5, 1], integer=[0], periodic=[0]), r"must be multiples of its granularity 1.*\[0, 1.5\]"),
        (dict(upper=[1, 1], granularity={0: 0.3}, periodic=[0]), r"multiples of its granularity 0.3"),
        (dict(upper=[1, 1], periodic=["c"]), "`periodic` must use names"),
        (dict(upper=[1, 1], periodic=[True]), r"shape \(n,\) with n = 2 as a mask"),
        (dict(upper=[1, None], periodic=[1], categorical={1: LEVELS}), "must not name categorical variables, got `b`"),
        (dict(upper=[1, 1], groups=[[0], [0, 1]]), "at most once, got `a` twice"),
        (dict(upper=[1, 1], groups=[[]]), "empty group"),
        (dict(upper=[1, 1], groups=[0, 1]), "lists of indices or names, got 0"),
        (dict(upper=[1, 1], groups="ab"), "sequence of lists"),
        (dict(upper=[1, 1], categorical={1: LEVELS}), r"left out or be \[0, 2\].*got \[0, 1\]"),
        (dict(upper=[1, 2], categorical={1: LEVELS}, granularity={1: 0.5}), "must be left out for categorical"),
        (dict(upper=[1, 2], categorical={1: ["u", "v", "u"]}), "different levels, got 'u' twice"),
        (dict(upper=[1, 2], categorical={1: "uvw"}), "a sequence of levels"),
        (dict(upper=[1, 2], categorical={1: []}), "at least one level"),
        (dict(upper=[1, 2], categorical=["b"]), "dict {index or name: levels}"),
        (dict(upper=[1, 2], categorical={1: LEVELS}, distances={1: np.ones((2, 2))}), r"shape \(L, L\) with L = 3"),
        (dict(upper=[1, 2], categorical={1: LEVELS}, distances={1: -np.ones((3, 3))}), ">= 0"),
        (dict(upper=[1, 2], categorical={1: LEVELS}, distances={0: np.ones((3, 3))}), "categorical variables, got `a`"),
        (dict(upper=[1, 2], categorical={1: LEVELS}, fixed={1: "stel"}), "one of the levels.*Did you mean `steel`"),
        (dict(upper=[1, 2], categorical={1: LEVELS}, neighbours=3), "callable or None"),
        (dict(upper=[1, 2], neighbours=first_other), "must come with categorical variables"),
    ],
)
def test_what_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        Box([0, 0], names=["a", "b"], **arguments)


# ------------------------------------------------------------------------------------------------ categorical


def test_codes_and_labels() -> None:
    box = Box([0, None, 0], [1, None, 1], categorical={"b": LEVELS}, names=["a", "b", "c"])
    assert (box.lower.tolist(), box.upper.tolist(), box.granularity.tolist()) == ([0, 0, 0], [1, 2, 1], [0, 1, 0])
    assert box.levels([0.5, 2, 1]) == (0.5, "wood", 1.0)
    assert box.codes([0.5, "brass", 1]).tolist() == [0.5, 1.0, 1.0]
    with pytest.raises(ProblemError, match=r"code in \[0, 2\] for variable `b`, got 3"):
        box.levels([0, 3, 0])
    with pytest.raises(ProblemError, match="one of the levels"):
        box.codes([0, "glass", 0])
    assert Box([0, 0], [1, 2], categorical={1: LEVELS}, integer=True).granularity.tolist() == [1, 1]


def test_any_label_will_do() -> None:
    box = Box([None], [None], categorical={0: [None, True, 1, 1.5, (1, 2)]})
    codes = [box.codes([v])[0] for v in (None, True, 1, 1.5, (1, 2))]
    assert codes == [0, 1, 2, 3, 4]
    json.dumps(box.describe())


def test_fixed_by_label() -> None:
    box = Box([0, None], [1, None], categorical={1: LEVELS}, fixed={1: "wood"})
    assert box.fixed_values[1] == 2.0 and box.n_free == 1
    assert box.neighbours([0.5, 2]).shape == (0, 2)
    assert Box([0, None], [1, None], categorical={1: ["only"]}).n_free == 1


def test_all_other_levels_are_neighbours() -> None:
    box = Box([0, None, None], [1, None, None], categorical={1: LEVELS, 2: ["u", "v"]})
    found = box.neighbours([0.5, 1, 0])
    assert found.tolist() == [[0.5, 0, 0], [0.5, 1, 1], [0.5, 2, 0]], "nearest level of every variable first"


def test_neighbours_by_distance() -> None:
    D = np.array([[0, 5, 1], [5, 0, np.inf], [1, np.inf, 0]])
    box = Box([0, None], [1, None], categorical={1: LEVELS}, distances={1: D})
    assert box.neighbours([0, 0])[:, 1].tolist() == [2, 1]
    assert box.neighbours([0, 1])[:, 1].tolist() == [0]


def test_neighbours_by_a_function() -> None:
    box = Box([0, None], [1, None], categorical={1: LEVELS}, neighbours=first_other)
    assert box.neighbours([0.25, 2]).tolist() == [[0.25, 0]]
    off = Box([0, None], [1, None], categorical={1: LEVELS}, neighbours=lambda x: np.array([[0.5, 1.5]]))
    with pytest.raises(ProblemError, match="`neighbours` must be an integer"):
        off.neighbours([0, 0])
    flat = Box([0, None], [1, None], categorical={1: LEVELS}, neighbours=lambda x: x)
    with pytest.raises(ProblemError, match=r"must return shape \(k, n\)"):
        flat.neighbours([0, 0])
    none = Box([0, None], [1, None], categorical={1: LEVELS}, neighbours=lambda x: [])
    assert none.neighbours([0, 0]).shape == (0, 2)


# ------------------------------------------------------------------------------------------------ identity


def test_describe_tells_the_kinds_apart() -> None:
    plain = Box([0, 0, 0], [1, 2, 1])
    assert not {"period", "groups", "categorical", "neighbours"} & set(plain.describe())
    others = [
        Box([0, 0, 0], [1, 2, 1], periodic=[0]),
        Box([0, 0, 0], [1, 2, 1], groups=[[0, 1]]),
        Box([0, 0, 0], [1, 2, 1], categorical={1: LEVELS}),
        Box([0, 0, 0], [1, 2, 1], categorical={1: LEVELS[::-1]}),
        Box([0, 0, 0], [1, 2, 1], categorical={1: LEVELS}, distances={1: [[0, 2, 1], [1, 0, 1], [1, 1, 0]]}),
        Box([0, 0, 0], [1, 2, 1], categorical={1: LEVELS}, neighbours=first_other),
        plain,
    ]
    texts = [json.dumps(box.describe()) for box in others]
    assert len(set(texts)) == len(others)
    for box in others:
        copy = pickle.loads(pickle.dumps(box))
        assert copy == box and hash(copy) == hash(box)
    assert repr(others[0]).startswith("Box(n=3, n_free=3, granular=0, periodic=1,")
    assert "categorical=1" in repr(others[2]) and "groups=1" in repr(others[1])
