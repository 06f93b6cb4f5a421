"""The run file: nothing told is lost, a resumed run repeats no call and is the uninterrupted one bit by bit."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dfoattack.errors import EvaluationError, EvaluationFailed, StoreError
from dfoattack.evaluator import Evaluator
from dfoattack.problem import Problem
from dfoattack.run_record import _read
from dfoattack.space import Box
from dfoattack.storage import RunFile
from dfoattack.trials import Counters, Status
from tests.unit.spies import SpyFunction, SpyPhi, marked, mixed_session, network_problem, plain_problem, points, same

META = {"version": "0.1", "seed": 3, "options": {"poll": "2n", "block_size": 4}, "fingerprint": {"surrogate": "spy"}}
OK, FAILED, NONFINITE = int(Status.OK), int(Status.FAILED), int(Status.NONFINITE)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.db"


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


# -------------------------------------------------------------------- create and open


def test_a_new_file_holds_what_identifies_the_run(path: Path) -> None:
    with RunFile.create(path, META) as store:
        assert not store.replaying and store.elapsed_before == 0.0 and store.calls == 0
        meta = store.meta()
    assert {key: meta[key] for key in META} == META
    assert meta["format"] == 1 and {"numpy", "numba", "python", "machine"} <= set(meta["platform"])
    assert meta["created"].endswith("+00:00")
    assert rows(path, "PRAGMA journal_mode") == [("wal",)]
    assert sorted(p.name for p in path.parent.iterdir()) == ["run.db"]


def test_create_refuses_an_existing_file_and_a_missing_folder(path: Path) -> None:
    path.write_bytes(b"precious")
    with pytest.raises(StoreError, match=r"must be the name of a new file.*Resume that run.*choose another name"):
        RunFile.create(path, META)
    assert path.read_bytes() == b"precious"
    with pytest.raises(StoreError, match=r"must lie in an existing folder, got .*nowhere.*Create"):
        RunFile.create(path.parent / "nowhere" / "run.db", META)


def test_create_refuses_what_is_no_json_and_leaves_no_file(path: Path) -> None:
    with pytest.raises(StoreError, match="`seed` must consist of JSON values, got <object"):
        RunFile.create(path, {"seed": object()})
    with pytest.raises(StoreError, match=r"must not hold .*got 'format'"):
        RunFile.create(path, {"format": 2})
    assert list(path.parent.iterdir()) == []


def test_open_lists_exactly_what_differs(path: Path) -> None:
    RunFile.create(path, META).close()
    RunFile.open(path, META).close()
    RunFile.open(path, {"fingerprint": META["fingerprint"]}).close()
    other = {
        "version": "0.1",
        "options": {"poll": "n+1", "block_size": 4, "new": True},
        "fingerprint": {"surrogate": "a" * 200},
    }
    with pytest.raises(StoreError) as caught:
        RunFile.open(path, other)
    text = str(caught.value)
    assert 'options.poll: stored "2n", given "n+1"' in text
    assert "options.new: stored null, given true" in text
    assert 'fingerprint.surrogate: stored "spy", given "aaaa' in text and "..." in text
    assert "block_size" not in text and "version" not in text and "seed" not in text
    assert "Give the stored ones to resume it, or choose another file name" in text


def test_a_long_value_is_shown_where_it_differs(path: Path) -> None:
    RunFile.create(path, {"fingerprint": {"space": "x" * 300 + "1" + "y" * 300}}).close()
    with pytest.raises(StoreError, match=r"stored \.\.\.x+1y+\.\.\., given \.\.\.x+2y+\.\.\."):
        RunFile.open(path, {"fingerprint": {"space": "x" * 300 + "2" + "y" * 300}})


def test_open_refuses_what_is_no_run_file(path: Path) -> None:
    for reader in (RunFile.open, RunFile.read):
        with pytest.raises(StoreError, match=r"must name an existing run file, got .*does not exist"):
            reader(path)
        with pytest.raises(StoreError, match="must name an existing run file"):
            reader(path.parent)
        path.write_bytes(b"")
        with pytest.raises(StoreError, match=r"is empty\. Choose another name"):
            reader(path)
        path.write_bytes(b"time,value\n1,2\n")
        with pytest.raises(StoreError, match="is no SQLite file"):
            reader(path)
        path.unlink()
        foreign = sqlite3.connect(path)
        foreign.execute("CREATE TABLE calls (id INTEGER)")
        foreign.close()
        with pytest.raises(StoreError, match=r"holds no run: another program made it.*Choose another name"):
            reader(path)
        path.unlink()


def test_a_newer_format_is_refused(path: Path) -> None:
    RunFile.create(path, META).close()
    rows(path, "PRAGMA user_version = 7")
    with pytest.raises(StoreError, match="format 1 can be read, got format 7"):
        RunFile.open(path)
    with pytest.raises(StoreError, match="format 1 can be read, got format 7"):
        RunFile.read(path)


def test_a_damaged_file_is_refused_with_a_cure(path: Path) -> None:
    with RunFile.create(path, META) as store:
        evaluator = Evaluator(network_problem(SpyPhi()), journal=store)
        for i in range(60):
            evaluator.evaluate(points(3, seed=i))
    data = bytearray(path.read_bytes())
    for start in range(2 * 2048, len(data), 2048):
        data[start : start + 1200] = os.urandom(1200) if start % 4096 else b"\xff" * 1200
    path.write_bytes(bytes(data))
    with pytest.raises(StoreError, match=r"is damaged: save what can be read with `sqlite3 run.db .recover`"):
        RunFile.open(path)
    with pytest.raises(StoreError, match=r"damaged"):
        RunFile.read(path)
    path.write_bytes(bytes(data[: len(data) // 3]))
    with pytest.raises(StoreError, match="damaged"):
        RunFile.open(path)


def test_a_missing_call_is_damage(path: Path) -> None:
    problem = network_problem(SpyPhi())
    with RunFile.create(path, META) as store:
        evaluator = Evaluator(problem, journal=store)
        for i in range(3):
            evaluator.evaluate(points(1, seed=i))
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM calls WHERE id = 2")
    connection.commit()
    connection.close()
    with RunFile.open(path) as store:
        evaluator = Evaluator(problem, journal=store)
        evaluator.evaluate(points(1, seed=0))
        with pytest.raises(StoreError, match="call 2 of 3 has no answer"):
            evaluator.evaluate(points(1, seed=1))


# -------------------------------------------------------------------- replay


@pytest.mark.parametrize("sense", ["minimize", "maximize"])
@pytest.mark.parametrize("stop", [1, 4, 17, 18, 60])
def test_a_resumed_run_repeats_no_call(path: Path, sense: str, stop: int) -> None:
    """Sessions that die after `stop` calls of user code, again and again, give the uninterrupted run."""

    class Death(BaseException):
        pass

    class Mortal(SpyPhi):
        def dies(self) -> None:
            self.lives -= 1
            if self.lives < 0:
                raise Death

        lives = 10**9

        def predict(self, X: np.ndarray) -> np.ndarray:
            self.dies()
            return super().predict(X)

        def vjp(self, X: np.ndarray, V: np.ndarray) -> np.ndarray:
            self.dies()
            return super().vjp(X, V)

    whole = SpyPhi()
    reference = mixed_session(Evaluator(network_problem(whole, sense=sense), budget=90))
    RunFile.create(path, META).close()
    seen = np.zeros(3, int)
    sessions = 0
    while sessions < 200:
        sessions += 1
        phi = Mortal()
        phi.lives = stop
        with RunFile.open(path, META) as store:
            evaluator = Evaluator(network_problem(phi, sense=sense), budget=90, journal=store)
            try:
                told = mixed_session(evaluator)
            except Death:
                seen += (phi.rows, phi.vjp_rows, 0)
                continue
            seen += (phi.rows, phi.vjp_rows, 0)
            assert evaluator.counters == Counters(*[int(v) for v in reference[-1]])
            assert not store.replaying
        break
    assert same(told, reference)
    assert seen[0] == whole.rows and seen[1] == whole.vjp_rows
    assert sessions > 1 or stop == 60
    record = RunFile.read(path)
    assert record.sessions == sessions + 1 and record.unanswered is None
    assert record.counters == evaluator.counters


def test_a_replay_of_a_finished_run_calls_nothing(path: Path) -> None:
    with RunFile.create(path, META) as store:
        reference = mixed_session(Evaluator(network_problem(SpyPhi()), budget=90, journal=store))
        calls = store.calls

    def forbidden(x: np.ndarray) -> Any:
        raise AssertionError("called")

    problem = network_problem(SpyPhi(forbidden))
    with RunFile.open(path) as store:
        evaluator = Evaluator(problem, budget=90, journal=store)
        assert evaluator.replaying and problem.p == 2 and problem.m == 3
        assert same(mixed_session(evaluator), reference)
        assert not evaluator.replaying and store.calls == calls
        assert evaluator.seconds["forward"] > 0.0 and evaluator.seconds["vjp"] > 0.0


def test_a_problem_without_a_network_is_replayed_too(path: Path) -> None:
    fun = SpyFunction(lambda x: EvaluationFailed() if x[0] > 0.9 else None)
    with RunFile.create(path, META) as store:
        reference = mixed_session(Evaluator(plain_problem(fun, gradient=True), budget=90, journal=store))
    again = SpyFunction()
    with RunFile.open(path) as store:
        assert same(mixed_session(Evaluator(plain_problem(again, gradient=True), budget=90, journal=store)), reference)
    assert again.rows == again.gradient_rows == 0


def test_statuses_and_failures_survive(path: Path) -> None:
    def bad(x: np.ndarray) -> Any:
        return {0.5: EvaluationFailed("mesh"), 0.25: np.nan, 0.75: "hang"}.get(x[0])

    Z = points(5)
    Z[[1, 2, 3], 0] = 0.5, 0.25, 0.75
    with RunFile.create(path, META) as store:
        store.set_step("covering", 7)
        first = Evaluator(network_problem(SpyPhi(bad, hang=1.0)), timeout=0.1, journal=store)
        told = first.evaluate(Z, np.array([True, False, True, False, True]))
    phi = SpyPhi(bad)
    with RunFile.open(path) as store:
        second = Evaluator(network_problem(phi), timeout=0.1, journal=store)
        replayed = second.evaluate(Z)
    assert phi.rows == 0 and replayed.counters == told.counters
    for a, b in ((told.F, replayed.F), (told.C, replayed.C), (told.status, replayed.status)):
        assert a.tobytes() == b.tobytes()
    assert replayed.C.flags.writeable
    record = RunFile.read(path)
    assert [Status(s).name for s in record.status] == ["OK", "FAILED", "NONFINITE", "TIMEOUT", "OK"]
    assert record.notes == (None, "EvaluationFailed: mesh", "f = nan", "not back within 0.1 s", None)
    assert record.on_mesh.tolist() == [True, False, True, False, True]
    assert record.step == ("covering",) * 5 and record.iteration.tolist() == [7] * 5
    assert np.array_equal(record.f[[0, 4]], Z[[0, 4]].sum(axis=1)) and np.isnan(record.f[1:4]).all()
    assert record.C.shape == (5, 2) and np.isnan(record.C[1:4]).all()
    assert rows(path, "SELECT count(*) FROM evaluations WHERE status='OK' AND f IS NOT NULL") == [(2,)]


def test_an_undeclared_error_is_stored_and_the_rest_is_asked_on_resume(path: Path) -> None:
    Z = points(4)
    Z[2, 0] = 1.5
    with RunFile.create(path, META) as store:
        broken = Evaluator(network_problem(SpyPhi(marked(1.5)(lambda: RuntimeError("boom")))), journal=store)
        with pytest.raises(EvaluationError):
            broken.evaluate(Z)
    assert rows(path, "SELECT status, note FROM evaluations ORDER BY id") == [
        ("OK", None),
        ("OK", None),
        ("FAILED", "RuntimeError: boom"),
    ]
    phi = SpyPhi()
    with RunFile.open(path) as store:
        repaired = Evaluator(network_problem(phi), journal=store)
        answer = repaired.evaluate(Z)
    assert answer.status.tolist() == [OK, OK, FAILED, OK] and phi.rows == 1
    assert repaired.counters.nfev == 4 and repaired.counters.nphi == broken.counters.nphi + 1


def test_a_larger_budget_goes_on_where_the_old_one_cut(path: Path) -> None:
    Z = points(6)
    with RunFile.create(path, META) as store:
        Evaluator(network_problem(SpyPhi()), budget=4, journal=store).evaluate(Z)
    phi = SpyPhi()
    with RunFile.open(path) as store:
        answer = Evaluator(network_problem(phi), budget=10, journal=store).evaluate(Z)
    assert answer.status.tolist() == [OK] * 6 and phi.rows == 2


def test_a_journal_may_be_given_later(path: Path) -> None:
    with RunFile.create(path, META) as store:
        evaluator = Evaluator(network_problem(SpyPhi()))
        evaluator.journal = store
        evaluator.evaluate(points(2))
    problem = network_problem(SpyPhi())
    with RunFile.open(path) as store:
        evaluator = Evaluator(problem)
        assert problem.p is None
        evaluator.journal = store
        assert evaluator.replaying and problem.p == 2


def test_extensions_of_the_budget_are_noted_once(path: Path) -> None:
    with RunFile.create(path, META) as store:
        assert store.extensions == ()
        store.extend(200)
        store.extend(300.0)
    with RunFile.open(path, META) as store:
        store.extend(200)
        assert store.extensions == (200.0, 300.0)
        store.expect(META)
        with pytest.raises(StoreError, match="seed: stored 3, given 4"):
            store.expect({"seed": 4})


def test_a_diverging_replay_is_refused(path: Path) -> None:
    with RunFile.create(path, META) as store:
        evaluator = Evaluator(network_problem(SpyPhi()), journal=store)
        evaluator.evaluate(points(2))
        evaluator.view().grad(points(1))
    other = points(2)
    other[1, 2] = np.nextafter(other[1, 2], 1.0)
    with RunFile.open(path) as store:
        evaluator = Evaluator(network_problem(SpyPhi()), journal=store)
        with pytest.raises(
            StoreError, match=r"replay diverged at call 1: on file `evaluate` of 2 points.*non-determin"
        ):
            evaluator.evaluate(other)
    with RunFile.open(path) as store:
        evaluator = Evaluator(network_problem(SpyPhi()), journal=store)
        evaluator.evaluate(points(2))
        with pytest.raises(StoreError, match=r"diverged at call 2: on file `grad` of 1 point.*asked now `evaluate`"):
            evaluator.evaluate(points(1))
        # the refusal consumed nothing
        assert np.allclose(evaluator.view().grad(points(1)), -1.0)


def test_a_divergence_names_changed_versions(path: Path) -> None:
    with RunFile.create(path, META) as store:
        Evaluator(network_problem(SpyPhi()), journal=store).evaluate(points(1))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE meta SET value = json_set(value, '$.numpy', '1.2.3') WHERE key = 'platform'")
    connection.commit()
    connection.close()
    with RunFile.open(path) as store, pytest.raises(StoreError, match=r"numpy 1\.2\.3 then, .* now"):
        Evaluator(network_problem(SpyPhi()), journal=store).evaluate(points(1, seed=1))


def test_an_interrupted_call_is_asked_again(path: Path) -> None:
    Z = points(2)
    with RunFile.create(path, META) as store:
        evaluator = Evaluator(network_problem(SpyPhi(lambda x: KeyboardInterrupt())), journal=store)
        with pytest.raises(KeyboardInterrupt):
            evaluator.evaluate(Z)
        record = RunFile.read(path)
        assert record.unanswered == "evaluate" and len(record.f) == 0 and record.calls == {}
    with RunFile.open(path) as store:
        evaluator = Evaluator(network_problem(SpyPhi()), journal=store)
        assert not evaluator.replaying
        with pytest.raises(StoreError, match="diverged at call 1"):
            evaluator.evaluate(points(2, seed=1))
        assert evaluator.evaluate(Z).ok.all()
    assert RunFile.read(path).unanswered is None
    assert rows(path, "SELECT id, session, told_at IS NULL FROM calls") == [(1, 2, 0)]


def test_the_caller_may_go_on_after_an_interrupted_call(path: Path) -> None:
    with RunFile.create(path, META) as store:
        evaluator = Evaluator(network_problem(SpyPhi(marked(1.5)(KeyboardInterrupt))), journal=store)
        with pytest.raises(KeyboardInterrupt):
            evaluator.evaluate(np.full((1, 3), 1.5))
        evaluator.evaluate(points(1))
        evaluator.evaluate(points(1, seed=1))
    with RunFile.open(path) as store:
        evaluator = Evaluator(network_problem(SpyPhi()), journal=store)
        evaluator.evaluate(points(1))
        evaluator.evaluate(points(1, seed=1))
        assert store.calls == 2


def test_record_without_an_open_call_is_refused(path: Path) -> None:
    with RunFile.create(path, META) as store, pytest.raises(StoreError, match="`record` must follow a `replay`"):
        store.record("evaluate", np.zeros((1, 1)), (np.zeros(7),))


# -------------------------------------------------------------------- two writers, threads, closing


def test_a_second_writer_is_noticed(path: Path) -> None:
    first = RunFile.create(path, META)
    second = RunFile.open(path)
    left = Evaluator(network_problem(SpyPhi()), journal=first)
    right = Evaluator(network_problem(SpyPhi()), journal=second)
    left.evaluate(points(1))
    with pytest.raises(StoreError, match="one writer"):
        right.evaluate(points(1))
    left.evaluate(points(1, seed=1))
    first.close()
    second.close()
    assert RunFile.read(path).counters.nfev == 2


def test_a_writer_whose_open_call_was_taken_over_is_noticed(path: Path) -> None:
    first = RunFile.create(path, META)
    assert first.replay("evaluate", points(1)) is None
    second = RunFile.open(path)
    assert second.replay("evaluate", points(1)) is None
    with pytest.raises(StoreError, match="one writer"):
        first.record("evaluate", points(1), (np.zeros(7),))
    second.record("evaluate", points(1), (np.zeros(7),))
    first.close()
    second.close()


def test_a_run_may_change_its_thread(path: Path) -> None:
    with RunFile.create(path, META) as store:
        evaluator = Evaluator(network_problem(SpyPhi()), journal=store)
        worker = threading.Thread(target=lambda: evaluator.evaluate(points(2)))
        worker.start()
        worker.join()
        assert store.calls == 1


def test_closing_twice_is_legal_and_use_afterwards_is_not(path: Path) -> None:
    store = RunFile.create(path, META)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="It was closed; open it again"):
        store.replay("evaluate", points(1))


# -------------------------------------------------------------------- reading


def test_the_record_of_a_run(path: Path) -> None:
    box = Box([0, 0, 0], [1, 1, 1], fixed={1: 0.25})
    problem = Problem(objective=lambda y: y[:, 0] + y[:, 2], constraints=lambda y: y[:, 0] - 2.0, space=box)
    with RunFile.create(path, META) as store:
        evaluator = Evaluator(problem, journal=store)
        store.set_step("poll", 1)
        evaluator.evaluate(np.array([[0.5, 0.5]]), np.array([True]))
        live = RunFile.read(path)
        assert live.finish is None and len(live.f) == 1
        store.set_step("search", 2)
        evaluator.evaluate(np.array([[1.0, 0.5], [0.0, 0.0]]))
        store.finish({"reason": "BUDGET", "certificate": ["two lines", 1.5]})
        store.finish({"reason": "TARGET"})
    record = RunFile.read(path)
    assert record.X.tolist() == [[0.5, 0.25, 0.5], [1.0, 0.25, 0.5], [0.0, 0.25, 0.0]]
    assert record.f.tolist() == [1.0, 1.5, 0.0] and record.C.tolist() == [[-1.5], [-1.0], [-2.0]]
    assert record.step == ("poll", "search", "search") and record.iteration.tolist() == [1, 2, 2]
    assert record.on_mesh.tolist() == [True, False, False] and record.status.tolist() == [OK] * 3
    assert record.finish == {"reason": "TARGET"} and record.calls == {"evaluate": 2}
    assert record.counters == Counters(nfev=3, nphi=3) and record.seconds["outer"] > 0.0
    assert record.sessions == 1 and record.elapsed > 0.0 and record.path == path
    assert abs(record.told_at[-1] - time.time()) < 60.0 and (np.diff(record.told_at) >= 0).all()
    assert {"version", "seed", "options", "platform"} <= set(record.meta) and "finish" not in record.meta
    assert not any(key.startswith("trait") for key in record.meta)


def test_an_empty_run_can_be_read(path: Path) -> None:
    RunFile.create(path, META).close()
    record = RunFile.read(path)
    assert record.f.shape == (0,) and record.X.shape == (0, 0) and record.counters == Counters()
    assert record.seconds == {"forward": 0.0, "outer": 0.0, "vjp": 0.0}


def test_constraints_learnt_late_are_padded(path: Path) -> None:
    phi = SpyPhi(lambda x: EvaluationFailed() if x[0] > 0 else None)
    with RunFile.create(path, META) as store:
        evaluator = Evaluator(network_problem(phi), journal=store)
        evaluator.evaluate(np.ones((1, 3)))
        evaluator.evaluate(-np.ones((1, 3)))
    record = RunFile.read(path)
    assert record.C.shape == (2, 2) and np.isnan(record.C[0]).all() and np.isfinite(record.C[1]).all()


def test_reading_needs_no_right_to_write(path: Path) -> None:
    with RunFile.create(path, META) as store:
        Evaluator(network_problem(SpyPhi()), journal=store).evaluate(points(2))
    before = path.read_bytes()
    path.chmod(stat.S_IRUSR)
    path.parent.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert len(RunFile.read(path).f) == 2
    finally:
        path.parent.chmod(stat.S_IRWXU)
    assert path.read_bytes() == before


def test_a_file_on_read_only_media_can_be_read(path: Path) -> None:
    with RunFile.create(path, META) as store:
        Evaluator(network_problem(SpyPhi()), journal=store).evaluate(points(2))
    assert len(_read(path, "immutable").f) == 2


def test_elapsed_seconds_add_up_over_sessions(path: Path) -> None:
    with RunFile.create(path, META) as store:
        time.sleep(0.05)
        Evaluator(network_problem(SpyPhi()), journal=store).evaluate(points(1))
    with RunFile.open(path) as store:
        once = store.elapsed_before
        assert 0.05 <= once < 5.0
        time.sleep(0.05)
    with RunFile.open(path) as store:
        assert once + 0.05 <= store.elapsed_before < 5.0
        assert store.elapsed_before <= store.elapsed() < 5.0


# -------------------------------------------------------------------- kill -9

_CHILD = """
import sys
import numpy as np
from dfoattack.evaluator import Evaluator
from dfoattack.storage import RunFile
from tests.unit.spies import SpyPhi, network_problem, points
with RunFile.create(sys.argv[1], {"seed": 0}) as store:
    evaluator = Evaluator(network_problem(SpyPhi()), journal=store)
    print("ready", flush=True)
    i = 0
    while True:
        answer = evaluator.evaluate(points(3, seed=i))
        if i % 100 == 0:
            print(evaluator.counters.nfev, flush=True)
        i += 1
"""


@pytest.mark.parametrize("pause", [0.0, 0.02, 0.25])
def test_kill_9_loses_nothing_that_was_told(path: Path, pause: float) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == "ready\n"
        for _ in range(5):
            told = int(child.stdout.readline())
        time.sleep(pause)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
    record = RunFile.read(path)
    assert len(record.f) >= told and record.counters.nfev == len(record.f) == 3 * sum(record.calls.values())
    phi = SpyPhi()
    with RunFile.open(path, {"seed": 0}) as store:
        evaluator = Evaluator(network_problem(phi), journal=store)
        i = 0
        while evaluator.replaying:
            evaluator.evaluate(points(3, seed=i))
            i += 1
        assert phi.rows == 0 and evaluator.counters == record.counters
        evaluator.evaluate(points(3, seed=i))
        assert phi.rows == 3
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    assert len(RunFile.read(path).f) == 3 * (i + 1)
