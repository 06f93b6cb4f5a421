"""Saved states: every bit comes back, nothing foreign gets in."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

import dfoattack as da
from dfoattack import codec
from dfoattack.cache import History
from dfoattack.errors import StoreError
from dfoattack.reasons import StopReason
from dfoattack.solver import Solver
from dfoattack.trials import Counters, Trials


def again(value: object) -> object:
    return codec.from_bytes(codec.to_bytes(value))


leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**200), 2**200)
    | st.floats(allow_nan=False)
    | st.text(max_size=5)
    | st.binary(max_size=9)
)


@given(st.recursive(leaves, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=12))
def test_trees_of_plain_values(value: object) -> None:
    assert again(value) == value
    assert repr(again(value)) == repr(value), "also -0.0, and True is not 1"


@given(
    arrays(
        st.sampled_from([np.float64, np.int64, np.int8, np.bool_]),
        array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=4),
    )
)
def test_arrays_bit_for_bit(value: np.ndarray) -> None:
    found = again(value)
    assert isinstance(found, np.ndarray)
    assert found.dtype == value.dtype and found.shape == value.shape and found.tobytes() == value.tobytes()
    assert found.flags.writeable and found.base is None


def test_special_numbers() -> None:
    assert again((math.inf, -math.inf)) == (math.inf, -math.inf)
    assert math.isnan(again(math.nan))  # type: ignore[arg-type]
    assert math.copysign(1.0, again(-0.0)) == -1.0  # type: ignore[arg-type]
    bits = np.array([0x7FF8000000000001, 0xFFF0000000000000, 1], dtype=np.uint64).view(np.float64)
    assert again(bits).tobytes() == bits.tobytes()  # type: ignore[union-attr]
    assert again(np.float64(0.1)) == 0.1 and again(np.int64(3)) == 3 and again(np.bool_(True)) is True


def test_arrays_without_axes_keep_their_shape() -> None:
    found = again(np.array(3.5))
    assert isinstance(found, np.ndarray) and found.shape == ()


def test_enums_and_dataclasses_of_the_package() -> None:
    assert again(StopReason.LATTICE) is StopReason.LATTICE
    assert again(Counters(1, 2, 3, 4)) == Counters(1, 2, 3, 4)
    trials = Trials(np.array([[1.0, 2.0]]), "poll", np.array([True]), np.zeros(2), 4, False)
    found = again(trials)
    assert isinstance(found, Trials) and found.X.tolist() == [[1.0, 2.0]] and found.block == 4


def test_a_history_with_failures() -> None:
    history = History.empty(2)
    nan, inf = np.nan, np.inf
    history = history.extended(
        np.array([[0.0, 1.0]]), np.array([inf]), *[np.array([inf])] * 4, np.empty((1, 0)), np.array([2], np.int8), 0, 0
    )
    assert again(history).p is None  # type: ignore[attr-defined]
    history = history.extended(
        np.array([[3.0, 1.0], [4.0, 1.0]]),
        np.array([5.0, inf]),
        *[np.array([5.0, inf])] * 4,
        np.array([[1.0, -0.5], [nan, nan]]),
        np.array([0, 1], np.int8),
        3,
        7,
    )
    found = again(history)
    assert isinstance(found, History) and found.size == 3 and found.p == 2
    for name in ("X", "f", "F", "H", "HE", "V", "C", "status", "step", "iteration"):
        assert getattr(found, name).tobytes() == getattr(history, name).tobytes(), name
    assert [found.find(x) for x in history.X] == [0, 1, 2] and found.find(np.ones(2)) == -1


@dataclass(frozen=True)
class Foreign:
    x: int = 1


@pytest.mark.parametrize("value", [Foreign(), object(), {"a": 1}, [1], {1}, 1j, np.array(["a", None], dtype=object)])
def test_foreign_things_are_not_written(value: object) -> None:
    with pytest.raises(StoreError):
        again((value,))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe",
        b"not json",
        b'{"@": "nonsense"}',
        b'{"no mark": 1}',
        json.dumps({"@": "data", "type": "os:system", "fields": {"command": "true"}}).encode(),
        json.dumps({"@": "data", "type": "subprocess:Popen", "fields": {"args": "true"}}).encode(),
        json.dumps({"@": "data", "type": "dfoattack.trials:Nothing", "fields": {}}).encode(),
        json.dumps({"@": "data", "type": "dfoattack.trials:Counters", "fields": {"wrong": 1}}).encode(),
        json.dumps({"@": "data", "type": "dfoattackers.evil:Counters", "fields": {}}).encode(),
        json.dumps({"@": "enum", "type": "dfoattack.reasons:StopReason", "name": "NEVER"}).encode(),
        json.dumps({"@": "array", "dtype": "|O", "shape": [1], "data": "AAAAAAAAAAA="}).encode(),
        json.dumps({"@": "array", "dtype": "<f8", "shape": [3], "data": "AAAAAAAAAAA="}).encode(),
        json.dumps({"@": "array", "dtype": "<f8", "shape": [1], "data": "AAA"}).encode(),
        # A function the package merely imports, and one of its own: both would be called.
        json.dumps({"@": "data", "type": "dfoattack.attacks:import_module", "fields": {"name": "this"}}).encode(),
        json.dumps({"@": "data", "type": "dfoattack.codec:to_bytes", "fields": {"value": 1}}).encode(),
        json.dumps({"@": "data", "type": "dfoattack.codec:Any", "fields": {}}).encode(),
        json.dumps({"@": "enum", "type": "dfoattack.options:Options", "name": "help"}).encode(),
    ],
)
def test_foreign_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(StoreError):
        codec.from_bytes(data)


def test_a_solver_refuses_what_is_no_solver() -> None:
    problem = da.Problem(objective=lambda y: y[:, 0], space=[(0, 1)])
    for value in (Counters(), (Counters(), 1), ()):
        with pytest.raises(StoreError, match="not a saved solver"):
            Solver(problem, budget=5).restore(codec.to_bytes(value))
