"""RunRecord: what a run file holds, read without changing it."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray, StatusArray
from dfoattack.store_format import check_file, check_format, connect, elapsed_seconds, guarded, read_meta
from dfoattack.trials import Counters, Status

_ACCOUNT = 7  # numbers at the end of every answer: see Ledger.account


@dataclass(frozen=True, slots=True, eq=False)
class RunRecord:
    """A run as its file tells it, at the moment of reading; the N evaluated points are in the order of evaluation.

    Attributes
    ----------
    path : Path
    meta : dict                     "version", "fingerprint", "options", "seed", "platform", "created", ...
    finish : dict or None           how the run ended (stop reason, message, certificate); None: it did not
    counters : Counters             what the recorded answers cost
    seconds : dict                  time in user code: "forward", "outer", "vjp"
    elapsed : float                 seconds of all sessions together
    sessions : int                  how often the run was started or resumed
    calls : dict                    answered calls of user code by kind
    unanswered : str or None        kind of the call that never came back, if the last one did not
    X : float64 (N, n)              points, full space
    f : float64 (N,)                objective, user's sense; NaN unless OK
    C : float64 (N, p)              constraints; NaN unless OK
    status : int8 (N,)              see Status
    step : tuple of N str           which step proposed the point
    iteration : int64 (N,)
    on_mesh : bool (N,)
    told_at : float64 (N,)          seconds since the epoch
    notes : tuple of N (str or None)    why a point is not OK
    """

    path: Path
    meta: dict[str, Any]
    finish: dict[str, Any] | None
    counters: Counters
    seconds: dict[str, float]
    elapsed: float
    sessions: int
    calls: dict[str, int]
    unanswered: str | None
    X: FloatArray
    f: FloatArray
    C: FloatArray
    status: StatusArray
    step: tuple[str, ...]
    iteration: IntArray
    on_mesh: BoolArray
    told_at: FloatArray
    notes: tuple[str | None, ...]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> RunRecord:
        """Read a run file; legal while the run goes on.

        Raises
        ------
        StoreError      no such file, not a run file, damaged, or of a newer format
        """
        file = Path(path)
        check_file(file)
        try:
            return guarded(file, "read", lambda: _read(file, "ro"))
        except Exception as error:
            # On read-only media SQLite cannot make the index of its journal; without a journal it needs none.
            journal = Path(f"{file}-wal")
            if not isinstance(error.__cause__, sqlite3.OperationalError) or (
                journal.exists() and journal.stat().st_size
            ):
                raise
            return guarded(file, "read", lambda: _read(file, "immutable"))


def _read(file: Path, mode: str) -> RunRecord:
    connection = connect(file, mode)
    try:
        check_format(file, connection)
        connection.execute("BEGIN")  # one snapshot for all that follows
        meta = read_meta(connection)
        finish = meta.pop("finish", None)
        account = _last_account(connection)
        counters = Counters(*(int(value) for value in account[:4]))
        forward, outer, vjp = account[4:]
        told = "SELECT kind, COUNT(*) FROM calls WHERE told_at IS NOT NULL GROUP BY kind ORDER BY kind"
        open_call = connection.execute("SELECT kind FROM calls WHERE told_at IS NULL").fetchone()
        return RunRecord(
            file,
            {key: value for key, value in meta.items() if not key.startswith("trait:")},
            finish,
            counters,
            {"forward": forward, "outer": outer, "vjp": vjp},
            elapsed_seconds(connection),
            int(connection.execute("SELECT COUNT(*) FROM sessions").fetchone()[0]),
            dict(connection.execute(told).fetchall()),
            None if open_call is None else str(open_call[0]),
            *_points(connection),
        )
    finally:
        connection.close()


def _last_account(connection: sqlite3.Connection) -> list[float]:
    row = connection.execute("SELECT payload FROM calls WHERE told_at IS NOT NULL ORDER BY id DESC LIMIT 1").fetchone()
    if row is None:
        return [0.0] * _ACCOUNT
    account: list[float] = np.frombuffer(row[0][-8 * _ACCOUNT :], dtype="<f8").tolist()
    if len(account) != _ACCOUNT:
        raise sqlite3.DatabaseError("malformed answer")
    return account


def _points(connection: sqlite3.Connection) -> tuple[Any, ...]:
    """The fields of a RunRecord from X on."""
    rows = connection.execute(
        "SELECT x, f, c, status, step, iteration, on_mesh, told_at, note FROM evaluations ORDER BY id"
    ).fetchall()
    x, f, c, status, step, iteration, on_mesh, told_at, note = zip(*rows, strict=True) if rows else [()] * 9
    codes = {member.name: int(member) for member in Status}
    return (
        _matrix(x),
        np.array([np.nan if value is None else value for value in f], dtype=np.float64),
        _matrix(c),
        np.array([codes[name] for name in status], dtype=np.int8),
        tuple(step),
        np.array(iteration, dtype=np.int64),
        np.array([bool(flag) for flag in on_mesh], dtype=np.bool_),
        np.array(told_at, dtype=np.float64),
        tuple(note),
    )


def _matrix(blobs: tuple[bytes, ...]) -> FloatArray:
    """Rows of float64; shorter ones (constraints before their number was known) end in NaN."""
    out = np.full((len(blobs), max(map(len, blobs), default=0) // 8), np.nan)
    for row, blob in enumerate(blobs):
        out[row, : len(blob) // 8] = np.frombuffer(blob, dtype="<f8")
    return out
