"""Run files: a run that was killed, interrupted or extended ends where the uninterrupted one ends, and pays nothing twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.run_record import RunRecord
from tests.integration.cases import (
    Network,
    assert_same_run,
    digest,
    mixed_problem,
    network_ball,
    network_problem,
    network_value,
    network_wall,
    sphere,
    sphere_problem,
)

ROOT = Path(__file__).parents[2]
BUDGET = 110
ATTACKS = {"attacks": ("sign", "l2")}


class Counted(Network):
    """Counts its calls; raises at the calls named, once each."""

    def __init__(self, error: type[BaseException] = KeyboardInterrupt, at: tuple[int, ...] = ()) -> None:
        self.calls, self.vjps, self._error, self._at = 0, 0, error, at

    def _called(self) -> None:
        self.calls += 1
        if self.calls in self._at:
            raise self._error(f"call {self.calls}")

    def predict(self, X: np.ndarray) -> np.ndarray:
        self._called()
        return super().predict(X)

    def vjp(self, X: np.ndarray, V: np.ndarray) -> np.ndarray:
        self._called()
        self.vjps += 1
        return super().vjp(X, V)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


@pytest.fixture(scope="module")
def plain() -> da.Result:
    return da.solve(network_problem(), budget=BUDGET, seed=3, options=ATTACKS)


def begin(store: Path, phi: Network, **more: Any) -> da.Result:
    return da.solve(network_problem(surrogate=phi), budget=BUDGET, seed=3, options=ATTACKS, store=store, **more)


# ------------------------------------------------------------------------------------------------------------- killed


def killed(folder: Path, kills: int) -> dict[str, Any]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.integration.killed", str(folder), str(kills)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=400, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.slow)])
def test_a_run_killed_at_random_moments_ends_as_if_nothing_had_happened(tmp_path: Path, kills: int) -> None:
    found = killed(tmp_path, kills)
    assert found["died"] == kills, "the run was long enough to die so often"
    assert found["same"], found
    # What was told is on file: a kill costs the one call it interrupts, never more.
    assert found["calls"] <= found["calls_in_all_lives"] <= found["calls"] + kills
    record = RunRecord.read(tmp_path / "run.db")
    assert record.unanswered is None and record.finish is not None
    assert (record.counters.nfev, record.counters.ngev) == (found["nfev"], found["ngev"])
    assert len(record.f) == found["nfev"]


# ------------------------------------------------------------------------------------------------------------- interrupted


@pytest.mark.parametrize("call", [1, 2, 3, 5, 9, 14, 20, 31])
def test_ctrl_c_returns_the_best_so_far_and_a_store_to_resume(store: Path, plain: da.Result, call: int) -> None:
    """The interrupt comes out of user code: a forward pass, a gradient in the middle of `ask`, the very first call."""
    phi = Counted(at=(call,))
    result = begin(store, phi)
    assert result.reason == da.StopReason.INTERRUPTED
    assert result.message.startswith("Interrupted from the keyboard")
    assert result.store == str(store)
    assert result.nfev == len(result.records) < plain.nfev
    m = len(result.records)
    assert result.records.x.tobytes() == plain.records.x[:m].tobytes()
    again = Counted()
    resumed = da.resume(store, network_problem(surrogate=again))
    assert digest(resumed) == digest(plain)
    whole = Counted()
    da.solve(network_problem(surrogate=whole), budget=BUDGET, seed=3, options=ATTACKS)
    assert phi.calls + again.calls == whole.calls + 1, "only the interrupted call is made again"


def test_ctrl_c_in_a_block_keeps_the_blocks_before_it(tmp_path: Path) -> None:
    options = {"opportunistic": False, "attacks": ()}
    calls = 0

    def value(y: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        if calls == 9:
            raise KeyboardInterrupt
        return sphere(y)

    result = da.solve(sphere_problem(objective=value), budget=60, options=options)
    assert result.reason == da.StopReason.INTERRUPTED
    assert result.nfev == len(result.records) == 8, "what was answered is paid for, and counts"
    assert result.success and result.fun == result.records.fun.min()


@pytest.mark.parametrize("how", ["true", "stop iteration"])
def test_the_callback_stops_the_run_and_it_can_be_resumed(store: Path, plain: da.Result, how: str) -> None:
    seen: list[da.Event] = []

    def stop(event: da.Event) -> bool:
        seen.append(event)
        if event.nfev >= 7 and how != "true":
            raise StopIteration
        return event.nfev >= 7

    result = begin(store, Counted(), callback=stop)
    assert result.reason == da.StopReason.CALLBACK and result.message.startswith("Stopped by the callback")
    assert result.nfev == seen[-1].nfev >= 7
    assert all(event.nfev < 7 for event in seen[:-1])
    assert digest(da.resume(store, network_problem())) == digest(plain)


@pytest.mark.parametrize("answer", [None, False, 0, 1, "yes", np.True_])
def test_other_answers_of_the_callback_do_not_stop_the_run(answer: object) -> None:
    """Only True does: an accidental return value must not end a run."""
    assert da.solve(sphere_problem(), budget=12, callback=lambda event: answer).reason == da.StopReason.BUDGET


def test_an_error_in_the_callback_is_the_users(store: Path, plain: da.Result) -> None:
    with pytest.raises(ZeroDivisionError):
        begin(store, Counted(), callback=lambda event: 1 / 0)
    assert digest(da.resume(store, network_problem())) == digest(plain)


def test_an_undeclared_exception_keeps_what_was_paid_for(store: Path) -> None:
    phi = Counted(error=TypeError, at=(6,))
    with pytest.raises(da.EvaluationError) as caught:
        begin(store, phi)
    result = caught.value.result
    assert result.reason == da.StopReason.ERROR and not result.success
    record = RunRecord.read(store)
    assert len(record.f) == result.nfev == len(result.records)


def test_a_finished_run_is_resumed_without_a_call(store: Path, plain: da.Result) -> None:
    begin(store, Counted())
    phi = Counted()
    assert digest(da.resume(store, network_problem(surrogate=phi))) == digest(plain)
    assert phi.calls == 0
    record = RunRecord.read(store)
    assert record.X.tobytes() == plain.records.x.tobytes()
    assert record.f.tobytes() == plain.records.fun.tobytes()
    assert record.C.tobytes() == plain.records.constraints.tobytes()
    assert record.finish is not None and record.finish["message"] == plain.message


def test_a_mixed_integer_run_is_resumed(store: Path) -> None:
    def stop(event: da.Event) -> bool:
        return event.nfev >= 25

    whole = da.solve(mixed_problem(), budget=90, seed=1)
    da.solve(mixed_problem(), budget=90, seed=1, store=store, callback=stop)
    assert digest(da.resume(store, mixed_problem())) == digest(whole)


def test_events_of_a_resumed_run_are_new_ones_only(store: Path) -> None:
    begin(store, Counted(), callback=lambda event: event.nfev >= 7)
    events: list[da.Event] = []
    da.resume(store, network_problem(), callback=events.append)
    assert events and events[0].nfev > 7


# ------------------------------------------------------------------------------------------------------------- extended


def test_a_run_is_extended_twice(store: Path) -> None:
    phi = Counted()
    begin(store, phi)
    first = len(RunRecord.read(store).f)
    middle = da.resume(store, network_problem(surrogate=phi), budget=BUDGET + 31)
    last = da.resume(store, network_problem(surrogate=phi), budget=BUDGET + 83.5)
    assert first < middle.nfev < last.nfev
    assert last.cost <= BUDGET + 83.5 and middle.cost <= BUDGET + 31
    assert last.reason == da.StopReason.BUDGET and f"Budget of {BUDGET + 83.5:g}" in last.message
    m = len(middle.records)
    assert last.records.x[:m].tobytes() == middle.records.x.tobytes()
    calls = phi.calls
    for budget in (None, BUDGET + 83.5):
        assert digest(da.resume(store, network_problem(surrogate=phi), budget=budget)) == digest(last)
    assert phi.calls == calls, "nothing was called again"


def test_an_extension_that_was_interrupted_goes_on(tmp_path: Path) -> None:
    def run(path: Path, *at: int) -> da.Result:
        da.solve(network_problem(), budget=60, seed=3, options=ATTACKS, store=path)
        result = da.resume(path, network_problem(surrogate=Counted(at=at)), budget=100)
        if at:
            assert result.reason == da.StopReason.INTERRUPTED
            result = da.resume(path, network_problem())
        return result

    assert digest(run(tmp_path / "a.db")) == digest(run(tmp_path / "b.db", 4))


def test_extending_an_interrupted_run_ends_the_first_budget_first(tmp_path: Path) -> None:
    one, two = tmp_path / "one.db", tmp_path / "two.db"
    begin(one, Counted())
    begin(two, Counted(at=(8,)))
    left = da.resume(one, network_problem(), budget=BUDGET + 40)
    right = da.resume(two, network_problem(), budget=BUDGET + 40)
    assert digest(left) == digest(right)


def test_a_smaller_budget_is_refused(store: Path) -> None:
    begin(store, Counted())
    with pytest.raises(da.OptionError, match=f"`budget` must be at least the stored one, {BUDGET}, got 50"):
        da.resume(store, network_problem(), budget=50)


# ------------------------------------------------------------------------------------------------------------- refused


def louder(y: np.ndarray) -> np.ndarray:
    return 2.0 * network_value(y)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"objective": louder}, r"problem\.objective: stored .*, given "),
    ({"sense": "minimize"}, r"problem\.sense: stored \"maximize\", given \"minimize\""),
    ({"space": da.Box([-2.0] * 3, [2.0, 2.0, 2.5])}, r"problem\.space"),
    ({"constraints": [da.Constraint(network_wall, name="wall")]}, r"problem\.constraints"),
    (
        {"constraints": [da.Constraint(network_wall, name="wall", tol=1e-3), da.Constraint(network_ball, name="ball")]},
        r"problem\.constraints",
    ),
    ({"surrogate": lambda X: X[:, :2]}, r"problem\.surrogate"),
]


@pytest.mark.parametrize(("change", "said"), REFUSED, ids=[next(iter(change)) for change, _ in REFUSED])
def test_another_problem_is_refused(store: Path, change: dict[str, Any], said: str) -> None:
    begin(store, Counted())
    before = store.read_bytes()
    with pytest.raises(da.StoreError, match=said) as caught:
        da.resume(store, network_problem(**change))
    assert str(store) in str(caught.value)
    assert RunRecord.read(store).finish is not None and len(before) > 0


def test_another_start_is_refused(store: Path) -> None:
    begin(store, Counted(at=(8,)))
    with pytest.raises(da.StoreError):
        da.resume(store, network_problem(x0=[0.25, -0.5, 1.25]))


def test_other_options_are_refused_by_name(store: Path) -> None:
    begin(store, Counted())
    with pytest.raises(da.StoreError, match=r'options\.poll: stored "n\+1", given "2n"') as caught:
        da.resume(store, network_problem(), options={**ATTACKS, "poll": "2n"})
    assert "options.block_size" not in str(caught.value), "only what differs is named"
    assert da.resume(store, network_problem(), options=ATTACKS).reason == da.StopReason.BUDGET


def test_another_version_is_refused(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(store, Counted(at=(8,)))
    monkeypatch.setattr("dfoattack.api.__version__", "99.0")
    with pytest.raises(da.StoreError, match=r"version: stored .* given .*99\.0"):
        da.resume(store, network_problem())


def test_an_existing_file_is_not_overwritten(store: Path) -> None:
    begin(store, Counted())
    size = store.stat().st_size
    phi = Counted()
    with pytest.raises(da.StoreError, match="must be the name of a new file"):
        begin(store, phi)
    assert phi.calls == 0 and store.stat().st_size == size


def test_a_missing_file_is_not_made(store: Path) -> None:
    with pytest.raises(da.StoreError, match="must name an existing run file"):
        da.resume(store, network_problem())
    assert not store.exists()


# ------------------------------------------------------------------------------------------------------------- contents


def test_the_store_changes_nothing_and_the_result_follows_from_it(store: Path, plain: da.Result) -> None:
    result = begin(store, Counted())
    assert_same_run(result, plain)
    record = RunRecord.read(store)
    # The headline is recomputed from the file alone.
    feasible = (record.status == 0) & (record.C <= 0.0).all(axis=1)
    best = int(np.flatnonzero(feasible)[np.argmax(record.f[feasible])])
    assert record.f[best] == result.fun and (record.X[best] == result.x).all()
    assert record.C[best].max() <= 0.0 == result.maxcv
    assert record.step == result.records.step
    assert (record.iteration == result.records.iteration).all()


def test_user_meta_is_kept(store: Path) -> None:
    begin(store, Counted(), meta={"who": "me", "n": 3})
    assert RunRecord.read(store).meta["user"] == {"who": "me", "n": 3}
