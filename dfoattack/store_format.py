"""What a run file looks like inside: tables, byte layout, and messages about files that are not what they should be."""

from __future__ import annotations

import json
import math
import os
import platform
import sqlite3
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dfoattack._typing import BoolArray, FloatArray
from dfoattack.errors import StoreError
from dfoattack.trials import Status

FORMAT = 1
APPLICATION_ID = 0x64666F61  # "dfoa"
SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE sessions (id INTEGER PRIMARY KEY, started REAL NOT NULL, ended REAL, platform TEXT NOT NULL);
CREATE TABLE calls (
    id INTEGER PRIMARY KEY, session INTEGER NOT NULL, kind TEXT NOT NULL, step TEXT NOT NULL,
    iteration INTEGER NOT NULL, z BLOB NOT NULL, n INTEGER NOT NULL, asked_at REAL NOT NULL, told_at REAL,
    shapes TEXT, payload BLOB
);
CREATE TABLE evaluations (
    id INTEGER PRIMARY KEY, call_id INTEGER NOT NULL, iteration INTEGER NOT NULL, step TEXT NOT NULL,
    status TEXT NOT NULL, f REAL, x BLOB NOT NULL, c BLOB NOT NULL, on_mesh INTEGER, told_at REAL NOT NULL, note TEXT
);
"""
_SQLITE_MAGIC = b"SQLite format 3\0"
_STATUS_NAMES = tuple(status.name for status in Status)
_SHOWN = 60  # characters of a value in a message

T = TypeVar("T")


def guarded(path: Path, verb: str, work: Callable[[], T]) -> T:
    """Return work(), with every error of SQLite turned into a StoreError that says what to do."""
    try:
        return work()
    except sqlite3.Error as cause:
        text = str(cause)
        if isinstance(cause, sqlite3.ProgrammingError):
            cure = "It was closed; open it again."
        elif "malformed" in text or "not a database" in text or "***" in text:
            cure = f"It is damaged: save what can be read with `sqlite3 {path.name} .recover`, and begin a new run."
        else:
            cure = "Check free space and permissions; what was recorded so far is kept, and the run can be resumed."
        raise StoreError(f"Could not {verb} the run file {str(path)!r}: {text}. {cure}") from cause


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open the file; mode "rw", "ro", or "immutable" (read-only media). Autocommit: transactions are written out."""
    query = "mode=ro&immutable=1" if mode == "immutable" else f"mode={mode}"
    # The run may be driven from another thread than the one that opened it; SQLite itself is serialised.
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?{query}", uri=True, timeout=30.0, isolation_level=None, check_same_thread=False
    )


def reserve(path: Path) -> None:
    """Create the file, empty; StoreError if there is one or it cannot be."""
    if not path.parent.is_dir():
        raise StoreError(
            f"`store` must lie in an existing folder, got {str(path)!r}. Create {str(path.parent)!r} first."
        )
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o666))
    except FileExistsError:
        raise StoreError(
            f"`store` must be the name of a new file, got {str(path)!r}, which exists. "
            "Resume that run with `dfoattack.resume`, or choose another name."
        ) from None
    except OSError as cause:
        raise StoreError(f"`store` must name a file that can be written, got {str(path)!r} ({cause}).") from cause


def check_file(path: Path) -> None:
    """Raise StoreError for what cannot be a run file, without changing it."""
    if not path.is_file():
        raise StoreError(
            f"`store` must name an existing run file, got {str(path)!r}, which does not exist or is no file."
        )
    try:
        with path.open("rb") as stream:
            head = stream.read(len(_SQLITE_MAGIC))
    except OSError as cause:
        raise StoreError(f"`store` must name a readable file, got {str(path)!r} ({cause}).") from cause
    if head != _SQLITE_MAGIC:
        what = "is empty" if not head else "is no SQLite file"
        raise StoreError(
            f"`store` must name a dfoattack run file, got {str(path)!r}, which {what}. "
            "Choose another name, or delete it if it is yours to delete."
        )


def check_format(path: Path, connection: sqlite3.Connection) -> None:
    """Raise StoreError for a file of another program, of a newer format, or without a run inside."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise StoreError(
            f"`store` must name a dfoattack run file, got {str(path)!r}, which holds no run: another program made it, "
            "or it was killed while it began. Choose another name, or delete it if it is yours to delete."
        )
    if version != FORMAT:
        raise StoreError(
            f"Run files of format {FORMAT} can be read, got format {version} in {str(path)!r}. "
            "Use the version of dfoattack that wrote it."
        )


def platform_versions() -> dict[str, str]:
    """What may change the last bit of a number."""
    versions = {"python": platform.python_version(), "machine": platform.machine(), "system": platform.system()}
    for package in ("numpy", "numba", "scipy", "torch"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


# ---------------------------------------------------------------- arrays


def packed(arrays: tuple[FloatArray, ...]) -> tuple[str, bytes]:
    """Shapes as "3;3,2;7" and all numbers as little-endian float64."""
    shapes = ";".join([",".join(map(str, array.shape)) for array in arrays])
    return shapes, b"".join([array.astype("<f8", copy=False).tobytes() for array in arrays])


def unpacked(shapes: str, payload: bytes) -> tuple[FloatArray, ...]:
    """Inverse of `packed`; the arrays are writable."""
    numbers = np.frombuffer(payload, dtype="<f8").astype(np.float64)
    arrays: list[FloatArray] = []
    start = 0
    for text in shapes.split(";"):
        shape = tuple(int(size) for size in text.split(",") if size)
        stop = start + int(np.prod(shape, dtype=np.int64))
        arrays.append(numbers[start:stop].reshape(shape))
        start = stop
    if start != numbers.size:
        raise sqlite3.DatabaseError("malformed answer")
    return tuple(arrays)


def point_rows(
    label: tuple[int, int, str],
    now: float,
    answer: tuple[FloatArray, ...],
    X: FloatArray,
    on_mesh: BoolArray | None,
    notes: Mapping[int, str],
) -> list[tuple[Any, ...]]:
    """Rows of `evaluations`: `answer` begins with f (q,), C (q, p), status (q,); label is call, iteration, step."""
    f, C, status = answer[0].tolist(), answer[1].astype("<f8", copy=False), answer[2].tolist()
    full = X.astype("<f8", copy=False)
    flags = [None] * len(f) if on_mesh is None else on_mesh.tolist()
    rows = []
    for i, value in enumerate(f):
        number = None if math.isnan(value) else value  # SQLite has no NaN
        x, c = full[i].tobytes(), C[i].tobytes()
        rows.append((*label, _STATUS_NAMES[int(status[i])], number, x, c, flags[i], now, notes.get(i)))
    return rows


# ---------------------------------------------------------------- meta


def dumps(name: str, value: Any) -> str:
    """JSON text of one entry."""
    try:
        return json.dumps(value, sort_keys=True)
    except (TypeError, ValueError) as cause:
        raise StoreError(f"`{name}` must consist of JSON values, got {value!r} ({cause}).") from cause


def read_meta(connection: sqlite3.Connection) -> dict[str, Any]:
    """All entries, decoded."""
    return {key: json.loads(text) for key, text in connection.execute("SELECT key, value FROM meta ORDER BY key")}


def differences(stored: Any, given: Any, name: str = "") -> list[str]:
    """Lines "key: stored a, given b" for the entries of `given` in which `stored` differs (mappings entry by entry)."""
    if isinstance(stored, Mapping) and isinstance(given, Mapping):
        lines = []
        for key in sorted({*stored, *given} if name else given):
            label = f"{name}.{key}" if name else str(key)
            lines += differences(stored.get(key), given.get(key), label)
        return lines
    old, new = json.dumps(stored, sort_keys=True), json.dumps(given, sort_keys=True)
    if old == new:
        return []
    same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
    return [f"{name}: stored {_part(old, same)}, given {_part(new, same)}"]


def divergence(
    path: Path,
    number: int,
    stored: tuple[str, FloatArray],
    asked: tuple[str, FloatArray],
    platform_then: Mapping[str, str],
) -> StoreError:
    """The error for a replay that asks for something else than what is on file; each call as (kind, points)."""
    now = platform_versions()
    changed = [
        f"{key} {platform_then.get(key)} then, {now.get(key)} now"
        for key in sorted({*platform_then, *now})
        if platform_then.get(key) != now.get(key)
    ]
    return StoreError(
        f"The replay diverged at call {number}: on file {_shown(*stored)}, asked now {_shown(*asked)} (another "
        "version, a non-deterministic surrogate, or other options). Resume with the code, options and versions that "
        f"wrote {str(path)!r}{': ' + '; '.join(changed) if changed else ''}, or begin a new run."
    )


def _shown(kind: str, Z: FloatArray) -> str:
    points = "1 point" if len(Z) == 1 else f"{len(Z)} points"
    first = np.array2string(Z[0], threshold=6, precision=17, max_line_width=10**6) if Z.size else ""
    return f"`{kind}` of {points}{', first ' if first else ''}{first}"


def _part(text: str, place: int) -> str:
    """The text, cut to where the difference is."""
    if len(text) <= _SHOWN:
        return text
    start = max(0, min(place - _SHOWN // 3, len(text) - _SHOWN))
    return f"{'...' if start else ''}{text[start : start + _SHOWN]}{'...' if start + _SHOWN < len(text) else ''}"


def elapsed_seconds(connection: sqlite3.Connection) -> float:
    """Seconds of all sessions on file, each until its last sign of life."""
    rows = connection.execute(
        "SELECT s.started, MAX(COALESCE(s.ended, 0), COALESCE(MAX(c.asked_at), 0), COALESCE(MAX(c.told_at), 0)) "
        "FROM sessions s LEFT JOIN calls c ON c.session = s.id GROUP BY s.id"
    )
    return float(sum(max(0.0, last - started) for started, last in rows))
