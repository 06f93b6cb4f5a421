"""The result file: one SQLite file a folder, one row a run, its staircases as arrays.

A run is written in one transaction when it is over, so a file that was being written when the machine stopped holds
whole runs only.

    sessions   one row a call of the runner: date, machine, versions, commit, threads, command line
    runs       one row a run, see `COLUMNS`
    curves     (run, kind): evaluation indices and values as little-endian float64, compressed by zlib; improvements only, and
               "loose" only where it differs from "strict": the file is small enough to be kept beside its report
               kind "strict": every c <= 0; "loose": every c <= 1e-6; "violation": least max(c, 0), whatever f; "soft":
               COCO's own score of a constrained problem whose optimum is known, max(f - f_opt, 0) + sum max(c, 0)
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.arena.cells import Cell

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

FILE = "arena.sqlite"
KINDS = ("strict", "loose", "violation", "soft")
# Ends of a run. Only `ok` ran its budget (or until the solver had nothing left to ask); the others are failures of the
# solver or limits it met, and what was found before counts where it could be kept.
STATUSES = ("ok", "time", "error", "memory", "crash", "hang", "cheat")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS sessions (
    id INTEGER PRIMARY KEY, date TEXT, machine TEXT, threads TEXT, versions TEXT, "commit" TEXT, command TEXT);
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, session INTEGER NOT NULL REFERENCES sessions(id),
    suite TEXT NOT NULL, instance TEXT NOT NULL, "group" TEXT NOT NULL, n INTEGER NOT NULL, unit TEXT NOT NULL,
    solver TEXT NOT NULL, options TEXT NOT NULL, seed INTEGER NOT NULL, budget REAL NOT NULL,
    gradient_cost REAL NOT NULL,
    status TEXT NOT NULL, f_opt REAL, constraints INTEGER,
    spent REAL, nfev INTEGER, nphi INTEGER, ngev INTEGER, hits INTEGER,
    cpu REAL, cpu_user REAL, user REAL, wall REAL, setup REAL,
    configuration TEXT NOT NULL, notes TEXT NOT NULL,
    UNIQUE (suite, instance, n, solver, seed, budget, gradient_cost));
CREATE TABLE IF NOT EXISTS curves (
    run INTEGER NOT NULL REFERENCES runs(id) ON DELETE CASCADE, kind TEXT NOT NULL, first REAL, at BLOB NOT NULL,
    value BLOB NOT NULL, PRIMARY KEY (run, kind)) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Run:
    """One finished run, as stored; seconds and counters are NaN or None where the process died.

    cpu        CPU seconds of the run, user functions included;  cpu_user, user   CPU and wall seconds inside those
    setup      wall seconds of imports, compilation and warm-up before the clock of the run started
    curves     kind -> (evaluation indices, values), both float64 (k,), values minimised
    commit     of this repository when it was measured
    """

    cell: Cell
    unit: str
    status: str
    f_opt: float | None
    constraints: int | None
    spent: float | None
    nfev: int | None
    nphi: int | None
    ngev: int | None
    hits: int | None
    cpu: float | None
    cpu_user: float | None
    user: float | None
    wall: float | None
    setup: float | None
    configuration: str
    notes: tuple[str, ...]
    curves: dict[str, tuple[FloatArray, FloatArray]]
    session: int = 0
    commit: str = ""

    @property
    def cpu_solver(self) -> float:
        """CPU seconds of the solver itself."""
        return float("nan") if self.cpu is None or self.cpu_user is None else max(0.0, self.cpu - self.cpu_user)


_PLAIN = ("status", "f_opt", "constraints", "spent", "nfev", "nphi", "ngev", "hits")
_SECONDS = ("cpu", "cpu_user", "user", "wall", "setup")


class Store:
    """A result file, opened; use as a context manager."""

    def __init__(self, folder: Path, *, create: bool = False) -> None:
        path = folder / FILE
        if create:
            folder.mkdir(parents=True, exist_ok=True)
        elif not path.exists():
            raise FileNotFoundError(f"No results in {folder}: {path} does not exist.")
        self._db = sqlite3.connect(path, timeout=60.0)
        self._db.execute("PRAGMA foreign_keys = ON")
        if create:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.executescript(_SCHEMA)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def start_session(self, about: dict[str, str], command: str) -> int:
        """Write down where and when; returns the session's number."""
        with self._db:
            cursor = self._db.execute(
                'INSERT INTO sessions (date, machine, threads, versions, "commit", command) VALUES (?, ?, ?, ?, ?, ?)',
                (about["date"], about["machine"], about["threads"], about["versions"], about["commit"], command),
            )
        return int(cursor.lastrowid or 0)

    def add(self, run: Run) -> None:
        """One run, in one transaction. What another runner has stored meanwhile for the same cell stays."""
        cell = run.cell
        row: dict[str, Any] = {**cell.to_dict(), "options": cell.solver.partition(":")[2], "unit": run.unit}
        row |= {name: getattr(run, name) for name in (*_PLAIN, *_SECONDS, "session", "configuration")}
        row["notes"] = json.dumps(run.notes)
        names = ", ".join(f'"{name}"' for name in row)
        with self._db:
            cursor = self._db.execute(
                f"INSERT OR IGNORE INTO runs ({names}) VALUES ({', '.join('?' * len(row))})", tuple(row.values())
            )
            if cursor.rowcount == 0:
                return
            self._db.executemany(
                "INSERT INTO curves (run, kind, first, at, value) VALUES (?, ?, ?, ?, ?)",
                [
                    (cursor.lastrowid, kind, float(at[0]) if len(at) else None, _blob(at), _blob(value))
                    for kind, (at, value) in run.curves.items()
                    if kind != "loose" or not _same(run.curves["strict"], (at, value))
                ],
            )

    def finished(self, *, failures_too: bool = True) -> set[tuple[Any, ...]]:
        """Keys of the cells that need not be run again."""
        rule = "" if failures_too else " WHERE status IN ('ok', 'time')"
        return set(
            self._db.execute(
                "SELECT suite, instance, n, solver, seed, budget, gradient_cost FROM runs" + rule
            ).fetchall()
        )

    def remove(self, keys: set[tuple[Any, ...]]) -> None:
        """Forget these runs, so that they are made again."""
        rule = "suite = ? AND instance = ? AND n = ? AND solver = ? AND seed = ? AND budget = ? AND gradient_cost = ?"
        with self._db:
            self._db.executemany(f"DELETE FROM runs WHERE {rule}", list(keys))

    def sessions(self) -> list[dict[str, Any]]:
        """Every call of the runner that has runs in this file."""
        names = ("id", "date", "machine", "threads", "versions", "commit", "command")
        query = 'SELECT id, date, machine, threads, versions, "commit", command FROM sessions s '
        query += "WHERE EXISTS (SELECT 1 FROM runs r WHERE r.session = s.id) ORDER BY id"
        return [dict(zip(names, row, strict=True)) for row in self._db.execute(query)]

    def runs(self) -> Iterator[Run]:
        """All runs with their staircases."""
        curves: dict[int, dict[str, tuple[FloatArray, FloatArray]]] = {}
        for number, kind, at, value in self._db.execute("SELECT run, kind, at, value FROM curves"):
            curves.setdefault(number, {})[kind] = (_array(at), _array(value))
        cell_names = ("suite", "instance", "group", "n", "solver", "seed", "budget", "gradient_cost")
        names = (*cell_names, "unit", *_PLAIN, *_SECONDS, "configuration", "session", "notes", "commit")
        columns = ", ".join(f'r."{name}"' if name != "commit" else 's."commit"' for name in names)
        empty = np.empty(0)
        for number, *values in self._db.execute(
            f"SELECT r.id, {columns} FROM runs r JOIN sessions s ON s.id = r.session ORDER BY r.id"
        ):
            row = dict(zip(names, values, strict=True))
            cell = Cell(**{name: row.pop(name) for name in cell_names})
            row["notes"] = tuple(json.loads(row["notes"]))
            found = curves.get(number, {})
            found.setdefault("loose", found.get("strict", (empty, empty)))
            yield Run(cell=cell, curves={kind: found.get(kind, (empty, empty)) for kind in KINDS}, **row)


def _blob(values: FloatArray) -> bytes:
    return zlib.compress(np.asarray(values, dtype="<f8").tobytes(), 9)


def _array(blob: bytes) -> FloatArray:
    return np.frombuffer(zlib.decompress(blob), dtype="<f8").astype(np.float64)


def _same(one: tuple[FloatArray, FloatArray], other: tuple[FloatArray, FloatArray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
