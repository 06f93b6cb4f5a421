"""RunFile: one SQLite file a run, safe against kill -9 at any moment.

Tables, readable with any SQLite tool: `meta` (key, JSON value), `sessions` (one row each time the run was started or
resumed), `calls` (every trip to user code, noted as asked before it and as told after it), `evaluations` (one row an
evaluated point, for people; a resumed run reads `calls` alone). Arrays are raw little-endian float64, row by row.

A resumed run does not load a state. It runs the same loop from the start and is handed the recorded answers; the points
it asks for must be those on file, bit by bit.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dfoattack._typing import BoolArray, FloatArray
from dfoattack.errors import StoreError
from dfoattack.run_record import RunRecord
from dfoattack.store_format import (
    APPLICATION_ID,
    FORMAT,
    SCHEMA,
    check_file,
    check_format,
    connect,
    differences,
    divergence,
    dumps,
    elapsed_seconds,
    guarded,
    packed,
    platform_versions,
    point_rows,
    read_meta,
    reserve,
    unpacked,
)

if TYPE_CHECKING:
    from dfoattack.journal import Journal

    def _keeps_the_contract(file: RunFile) -> Journal:
        return file


__all__ = ["RunFile", "RunRecord"]

_ASK = "INSERT INTO calls (id, session, kind, step, iteration, z, n, asked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
_ASK_AGAIN = (
    "UPDATE calls SET session=?, kind=?, step=?, iteration=?, z=?, n=?, asked_at=? WHERE id=? AND told_at IS NULL"
)
_TELL = "UPDATE calls SET told_at=?, shapes=?, payload=? WHERE id=? AND told_at IS NULL AND session=?"
_POINT = (
    "INSERT INTO evaluations (call_id, iteration, step, status, f, x, c, on_mesh, told_at, note) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_RESERVED = ("format", "platform", "created", "finish", "extensions")


class RunFile:
    """The file of one run; a `Journal` for the evaluator. Made by `create` and `open`.

    Calls of user code are numbered 1, 2, ... in the order in which they were made. The last one may have no answer (the
    process died, or user code raised): the next call takes its place. A second process that writes into the same run is
    noticed at its first call.

    Attributes
    ----------
    path : Path
    replaying : bool            the next call is answered from the file
    elapsed_before : float      seconds all earlier sessions took together, for wall-clock limits
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self.elapsed_before = elapsed_seconds(connection)
        self._connection = connection
        self._clock = time.time() - time.monotonic()  # one offset a session: its stamps never run backwards
        self._step, self._iteration = "", 0
        told, asked = connection.execute(
            "SELECT MAX(CASE WHEN told_at IS NULL THEN 0 ELSE id END), MAX(id) FROM calls"
        ).fetchone()
        self._told = int(told or 0)  # calls with an answer: 1 ... told
        self._next = 1  # the call that comes next
        # The call without an answer; while `_inherited` an earlier session asked it, and it must be asked again.
        self._open: int | None = int(asked) if asked is not None and asked > self._told else None
        self._inherited = self._open is not None
        self._started = self._now()
        row = (self._started, dumps("platform", platform_versions()))
        self._session = connection.execute("INSERT INTO sessions (started, platform) VALUES (?, ?)", row).lastrowid

    # ---------------------------------------------------------------- life

    @classmethod
    def create(cls, path: str | os.PathLike[str], meta: Mapping[str, Any]) -> RunFile:
        """Begin a new run file.

        Parameters
        ----------
        path : path             must not exist; its folder must
        meta : mapping          what identifies the run, JSON values; by convention "version", "fingerprint" (of the
                                problem), "options" and "seed". "format", "platform" and "created" are added

        Raises
        ------
        StoreError              the file exists, its folder does not, or it cannot be written
        """
        file = Path(path)
        for key in meta:
            if key in _RESERVED:
                raise StoreError(f"`meta` must not hold {', '.join(_RESERVED)}, which are written here; got {key!r}.")
        rows = [("format", FORMAT), ("platform", platform_versions()), ("created", _today()), *meta.items()]
        texts = [(key, dumps(key, value)) for key, value in rows]
        reserve(file)

        def build() -> RunFile:
            connection = connect(file, "rw")
            try:
                for pragma in ("page_size=2048", "journal_mode=WAL", "synchronous=FULL"):
                    connection.execute(f"PRAGMA {pragma}")
                connection.executescript(
                    f"BEGIN; PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={FORMAT}; {SCHEMA}"
                )
                connection.executemany("INSERT INTO meta VALUES (?, ?)", texts)
                connection.execute("COMMIT")
                return cls(file, _tuned(connection))
            except BaseException:
                connection.close()
                raise

        try:
            return guarded(file, "begin", build)
        except BaseException:
            for suffix in ("", "-wal", "-shm"):  # ours, and without content
                with suppress(OSError):
                    os.unlink(f"{file}{suffix}")
            raise

    @classmethod
    def open(cls, path: str | os.PathLike[str], expected: Mapping[str, Any] | None = None) -> RunFile:
        """Open a run file to go on with it.

        Parameters
        ----------
        path : path
        expected : mapping, optional    entries of `meta` the caller insists on; mappings are compared entry by entry

        Raises
        ------
        StoreError      no such file, not a run file, damaged, of a newer format, or with other entries: all are listed
        """
        file = Path(path)
        check_file(file)

        def load() -> RunFile:
            connection = connect(file, "rw")
            try:
                check_format(file, connection)
                damage = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
                if damage != "ok":
                    raise sqlite3.DatabaseError(f"malformed: {damage}")
                if expected is not None:
                    _insist(file, connection, expected)
                return cls(file, _tuned(connection))
            except BaseException:
                connection.close()
                raise

        return guarded(file, "open", load)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> RunRecord:
        """What is on file, without changing it; legal while the run goes on. See `RunRecord`."""
        return RunRecord.read(path)

    def expect(self, expected: Mapping[str, Any]) -> None:
        """Raise StoreError, listing what differs, unless `meta` holds these entries (the second half of `open`)."""
        guarded(self.path, "read", lambda: _insist(self.path, self._connection, expected))

    def close(self) -> None:
        """Bring everything into the one file and close it; closing twice is legal, any other use afterwards is not."""
        with suppress(
            sqlite3.Error
        ):  # the stamp is a nicety: never hide the exception that leads here behind a full disk
            self._connection.execute("UPDATE sessions SET ended=? WHERE id=?", (self._now(), self._session))
        self._connection.close()

    def __enter__(self) -> RunFile:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # ---------------------------------------------------------------- journal

    @property
    def replaying(self) -> bool:
        return self._next <= self._told

    @property
    def calls(self) -> int:
        """Calls answered so far in this run, earlier sessions included; those still to be replayed do not count."""
        return self._next - 1

    def set_step(self, name: str, iteration: int) -> None:
        """Label the calls to come."""
        self._step, self._iteration = name, iteration

    def replay(self, kind: str, Z: FloatArray) -> tuple[FloatArray, ...] | None:
        """Return the recorded answer to the next call; None: it is noted as asked, run it and `record` the answer.

        Raises
        ------
        StoreError      another kind or other points are on file, or another process is writing
        """
        rows = np.ascontiguousarray(Z, dtype="<f8")
        if self._next <= self._told:
            return guarded(self.path, "read", lambda: self._recorded(kind, rows))
        guarded(self.path, "write to", lambda: self._ask(kind, rows))
        return None

    def _recorded(self, kind: str, Z: FloatArray) -> tuple[FloatArray, ...]:
        number = self._next
        row = self._connection.execute(
            "SELECT kind, z, n, shapes, payload FROM calls WHERE id=? AND told_at IS NOT NULL", (number,)
        ).fetchone()
        if row is None:
            raise sqlite3.DatabaseError(f"malformed: call {number} of {self._told} has no answer")
        stored_kind, z, n, shapes, payload = row
        self._must_match(number, stored_kind, z, n, kind, Z)
        self._next = number + 1
        return unpacked(shapes, payload)

    def _must_match(self, number: int, stored_kind: str, z: bytes, n: int, kind: str, Z: FloatArray) -> None:
        """Raise StoreError unless the stored call is the one asked for.

        The stored points of an "evaluate" may be the first ones of those asked: the budget of that session ended there.
        """
        asked = Z.tobytes()
        same = asked.startswith(z) if kind == "evaluate" and z else asked == z
        if stored_kind == kind and n == Z.shape[-1] and same:
            return
        old = np.frombuffer(z, dtype="<f8").reshape(-1, n) if n else np.empty((0, 0))
        platform = read_meta(self._connection).get("platform", {})
        raise divergence(self.path, number, (stored_kind, old), (kind, Z), platform)

    def _ask(self, kind: str, Z: FloatArray) -> None:
        z, now = Z.tobytes(), self._now()
        number = self._next
        if self._open is None:
            row = (number, self._session, kind, self._step, self._iteration, z, Z.shape[-1], now)
            try:
                self._connection.execute(_ASK, row)
            except sqlite3.IntegrityError:
                raise self._shared() from None
        else:
            if self._inherited:
                stored = self._connection.execute("SELECT kind, z, n FROM calls WHERE id=?", (number,)).fetchone()
                if stored is None:
                    raise sqlite3.DatabaseError(f"malformed: call {number} is missing")
                self._must_match(number, stored[0], stored[1], stored[2], kind, Z)
            again = (self._session, kind, self._step, self._iteration, z, Z.shape[-1], now, number)
            if self._connection.execute(_ASK_AGAIN, again).rowcount != 1:
                raise self._shared()
        self._open, self._inherited = number, False

    def record(
        self,
        kind: str,
        Z: FloatArray,
        answer: tuple[FloatArray, ...],
        *,
        X: FloatArray | None = None,
        on_mesh: BoolArray | None = None,
        notes: Mapping[int, str] | None = None,
    ) -> None:
        """Keep the answer to the call just asked (see `Journal`), in one transaction.

        With X (q, n), full space, the points become rows of the table `evaluations` too; `answer` then begins with
        f (q,) in the user's sense, C (q, p) and status (q,).
        """
        number = self._open
        if number is None or self._inherited or number != self._next:
            raise StoreError(
                f"`record` must follow a `replay` that returned None, got an answer of kind {kind!r} to no open call."
            )
        now = self._now()
        shapes, payload = packed(answer)
        points: list[tuple[Any, ...]] = []
        if X is not None:
            points = point_rows((number, self._iteration, self._step), now, answer, X, on_mesh, notes or {})

        def write() -> None:
            connection = self._connection
            connection.execute("BEGIN IMMEDIATE")
            try:
                if connection.execute(_TELL, (now, shapes, payload, number, self._session)).rowcount != 1:
                    raise self._shared()
                connection.executemany(_POINT, points)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

        guarded(self.path, "write to", write)
        self._open = None
        self._told, self._next = number, number + 1

    def trait(self, key: str) -> Any:
        """Return the fact kept by `set_trait`, None if there is none."""
        return self.meta().get(f"trait:{key}")

    def set_trait(self, key: str, value: Any) -> None:
        """Keep a fact about the problem, a JSON value."""
        self._set_meta(f"trait:{key}", value)

    # ---------------------------------------------------------------- meta

    def meta(self) -> dict[str, Any]:
        """All entries of `meta`, decoded."""
        return guarded(self.path, "read", lambda: read_meta(self._connection))

    def finish(self, info: Mapping[str, Any]) -> None:
        """Keep how the run ended, JSON values (stop reason, message, certificate); a later session overwrites it."""
        self._set_meta("finish", dict(info))

    @property
    def extensions(self) -> tuple[float, ...]:
        """Budgets the run was given after its first one, in order; a resumed run must take the same ones in turn."""
        return tuple(float(budget) for budget in self.meta().get("extensions", ()))

    def extend(self, budget: float) -> None:
        """Note that the run goes on with a larger budget after its end; a budget noted before is not noted again."""
        if float(budget) not in self.extensions:
            self._set_meta("extensions", [*self.extensions, float(budget)])

    def elapsed(self) -> float:
        """Seconds that all sessions took, this one included."""
        return self.elapsed_before + self._now() - self._started

    def _set_meta(self, key: str, value: Any) -> None:
        row = (key, dumps(key, value))
        guarded(
            self.path, "write to", lambda: self._connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", row)
        )

    # ---------------------------------------------------------------- small parts

    def _now(self) -> float:
        return self._clock + time.monotonic()

    def _shared(self) -> StoreError:
        return StoreError(
            f"A run file must have one writer, but another process goes on with {str(self.path)!r}. "
            "Stop one of the two, then resume."
        )


def _insist(path: Path, connection: sqlite3.Connection, expected: Mapping[str, Any]) -> None:
    lines = differences(read_meta(connection), expected)
    if lines:
        raise StoreError(
            f"The run file {str(path)!r} belongs to another run. {'; '.join(lines)}. "
            "Give the stored ones to resume it, or choose another file name for a new run."
        )


def _tuned(connection: sqlite3.Connection) -> sqlite3.Connection:
    """With NORMAL a commit survives the death of the process; a power cut may cost the last ones, never the file."""
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint=4000")
    return connection


def _today() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
