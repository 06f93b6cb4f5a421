"""User code in other processes: the same answers in the same order, a status a point, and nothing left running."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.evaluator import Evaluator
from dfoattack.trials import Status
from dfoattack.workers import Pool, pool_of
from tests.integration.cases import assert_same_run, network_problem

OK, FAILED, TIMEOUT = int(Status.OK), int(Status.FAILED), int(Status.TIMEOUT)


def value(y: np.ndarray) -> np.ndarray:
    return np.asarray(((y - 0.25) ** 2).sum(axis=1))


def wall(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.column_stack([x[:, 0] - 0.5, y[:, 1] - 1.0])


class UnportableError(Exception):
    """Pickles, but cannot be made anew from what it pickles to."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("two arguments")


def hazards(y: np.ndarray) -> np.ndarray:
    """Every kind of trouble, by the first coordinate."""
    kind = round(float(y[0, 0]))
    if kind == 1:
        raise da.EvaluationFailed("declared")
    if kind == 2:
        time.sleep(60.0)
    if kind == 3:
        os._exit(3)
    if kind == 4:
        raise UnportableError(1, 2)
    if kind == 5:
        return np.array([np.nan])
    return value(y)


def slow(y: np.ndarray) -> np.ndarray:
    time.sleep(0.05 * len(y))
    return value(y)


def make(objective: Callable[[np.ndarray], np.ndarray] = value, **more: Any) -> da.Problem:
    return da.Problem(objective=objective, space=da.Box([-9.0] * 2, [9.0] * 2), x0=[1.0, 2.0], sense="minimize", **more)


@pytest.fixture
def evaluator() -> Iterator[Evaluator]:
    made = Evaluator(make(hazards), workers=2, timeout=1.0)
    yield made
    made.close()
    assert not multiprocessing.active_children()


def block(*kinds: float) -> np.ndarray:
    return np.column_stack([np.array(kinds, dtype=float), np.linspace(0.0, 1.0, len(kinds))])


def test_every_point_has_its_own_fate(evaluator: Evaluator) -> None:
    X = block(0, 1, 2, 0, 5, 3, 0)
    began = time.monotonic()
    answer = evaluator.evaluate(X)
    assert time.monotonic() - began < 30.0
    assert answer.status.tolist() == [OK, FAILED, TIMEOUT, OK, int(Status.NONFINITE), FAILED, OK]
    good = answer.status == OK
    assert np.array_equal(answer.F[good], value(X[good]))
    assert evaluator.counters.nfev == evaluator.counters.nphi == 7 and evaluator.counters.passes == 0
    again = evaluator.evaluate(X[[6, 0]] + 0.01)
    assert np.array_equal(again.F, value(X[[6, 0]] + 0.01)), "processes that were ended or died have been replaced"


def test_an_undeclared_exception_stops_the_run_and_keeps_what_was_answered(evaluator: Evaluator) -> None:
    with pytest.raises(da.EvaluationError, match="UnportableError: two arguments"):
        evaluator.evaluate(block(0, 4, 0))
    partial = evaluator.partial
    assert partial is not None
    assert partial.status.tolist()[:2] == [OK, FAILED]
    assert evaluator.counters.nfev == 2 and evaluator.counters.nphi == 3, "all three were sent"


@pytest.mark.parametrize("workers", [1, 3, map])
def test_the_run_is_the_same_as_without(workers: Any) -> None:
    runs = [
        da.solve(
            make(constraints=[da.Constraint(wall, name="wall")]),
            budget=60,
            seed=2,
            options={"block_size": 10},
            workers=w,
        )
        for w in (None, workers)
    ]
    assert_same_run(*runs)
    assert not multiprocessing.active_children()


N_MANY = 24


def far_from_here(x: np.ndarray) -> np.ndarray:
    """Rosenbrock's function; refuses to be asked in the process of the solver."""
    if multiprocessing.parent_process() is None:
        raise AssertionError("asked in the main process")
    return here(x)


def here(x: np.ndarray) -> np.ndarray:
    return (100.0 * (x[:, 1:] - x[:, :-1] ** 2) ** 2 + (1.0 - x[:, :-1]) ** 2).sum(axis=1)


def failing_here_and_there(x: np.ndarray) -> np.ndarray:
    return np.where(x[:, 0] > 0.9, np.nan, here(x))


def many(objective: Callable[[np.ndarray], np.ndarray]) -> da.Problem:
    space = da.Box([-3.0] * N_MANY, [3.0] * N_MANY)
    return da.Problem(objective=objective, space=space, x0=np.linspace(-2.0, 2.0, N_MANY), sense="minimize")


def test_differences_are_asked_of_the_workers_too() -> None:
    """A black box of many variables polishes by differences; where there are workers, nothing is asked beside them."""
    options = {"block_size": 16}
    runs = [
        da.solve(many(objective), budget=20 * N_MANY, seed=1, options=options, workers=workers)
        for objective, workers in ((here, None), (far_from_here, 2))
    ]
    assert_same_run(*runs)
    assert "attack" in runs[1].records.step and runs[1].gradient_source == "forward"
    assert not multiprocessing.active_children()


def test_points_that_fail_in_the_workers_fail_for_differences() -> None:
    options = {"block_size": 16}
    runs = [
        da.solve(many(failing_here_and_there), budget=12 * N_MANY, seed=1, options=options, workers=workers)
        for workers in (None, 2)
    ]
    assert_same_run(*runs)
    assert "attack" in runs[1].records.step


@pytest.mark.parametrize("block_size", [64])
def test_what_differences_have_asked_for_is_evaluated_to_the_end_of_the_budget(block_size: int) -> None:
    """The points of a polish are no reason to fill a block with others, which a spent budget no longer covers."""
    result = da.solve(many(here), budget=50 * N_MANY, options={"block_size": block_size})
    assert result.nfev > 0.9 * result.cost and result.cost <= 50 * N_MANY
    models = {"block_size": block_size, "gradient_source": "none"}
    assert result.fun < 0.2 * da.solve(many(here), budget=50 * N_MANY, options=models).fun


def test_differences_of_workers_are_replayed_from_a_run_file(tmp_path: Any) -> None:
    options = {"block_size": 16}
    plain = da.solve(many(here), budget=15 * N_MANY, seed=2, options=options)
    stop = lambda event: event.nfev > 6 * N_MANY  # noqa: E731
    da.solve(many(here), budget=15 * N_MANY, seed=2, options=options, store=tmp_path / "a.db", workers=2, callback=stop)
    assert_same_run(plain, da.resume(tmp_path / "a.db", many(here)))


def test_gradients_and_stored_outputs_stay_here() -> None:
    options = {"block_size": 5, "attacks": ("sign", "l2")}
    runs = [da.solve(network_problem(), budget=60, seed=2, options=options, workers=w) for w in (None, 2)]
    assert_same_run(*runs)
    assert runs[0].ngev > 0


def test_a_run_file_does_not_depend_on_the_workers(tmp_path: Any) -> None:
    options = {"block_size": 10}
    plain = da.solve(make(), budget=60, seed=2, options=options)
    da.solve(
        make(), budget=60, seed=2, options=options, store=tmp_path / "a.db", workers=2, callback=lambda event: True
    )
    assert_same_run(plain, da.resume(tmp_path / "a.db", make()))


def test_an_executor_of_the_caller_runs_points_side_by_side() -> None:
    with ThreadPoolExecutor(4) as threads:
        began = time.monotonic()
        result = da.solve(make(slow), budget=40, options={"block_size": 20}, workers=threads.map)
        assert time.monotonic() - began < 40 * 0.05
    assert result.nfev == 40


def test_an_interrupt_ends_the_workers() -> None:
    threading.Timer(4.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    result = da.solve(make(slow), budget=10**5, options={"block_size": 10}, workers=2)
    assert result.reason == da.StopReason.INTERRUPTED
    assert not multiprocessing.active_children()


def test_what_cannot_work_is_said_before_anything_is_evaluated() -> None:
    options = {"block_size": 4}
    with pytest.raises(da.OptionError, match="can be pickled"):
        da.solve(make(lambda y: value(y)), budget=9, options=options, workers=2)
    for wrong in (0, -1, 1.5, "two", True):
        with pytest.raises(da.OptionError, match="`workers` must be None, an integer >= 1 or a function"):
            da.solve(make(), budget=9, options=options, workers=wrong)
    with pytest.raises(da.OptionError, match="set the option `block_size`"):
        da.solve(make(), budget=9, workers=2)
    with pytest.raises(da.OptionError, match="`timeout` needs processes"):
        da.solve(make(), budget=9, options={**options, "timeout": 1.0}, workers=map)
    with pytest.raises(da.OptionError, match="one result a point, 4, got 3"):
        da.solve(make(), budget=9, options=options, workers=lambda task, points: [task(x) for x in points[:3]])


def test_a_pool_is_made_only_for_a_number() -> None:
    assert pool_of(make(), True, None, None) is None
    assert isinstance(pool_of(make(), True, 2, None), Pool)
