"""A worker process seen from the runner: started, given cells, watched, killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.arena.cells import Cell

ROOT = Path(__file__).resolve().parents[2]
# One thread each: equal conditions, and runs side by side do not fight for cores.
THREADS = {name: "1" for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")}
_TAIL = 1500


@dataclass(frozen=True)
class Limits:
    """What one run may use; `grace` seconds after `seconds` a run that still does not answer is killed."""

    seconds: float = 1800.0
    grace: float = 30.0
    memory: int = 4 << 30


class Worker:
    """One process of one lane (suite, solver). Its working directory is an empty one that goes with it."""

    def __init__(self, lane: tuple[str, str], limits: Limits) -> None:
        self.lane = lane
        self.cell: Cell | None = None
        self.served = 0
        self._limits = limits
        self._received = b""
        self._given = 0.0
        self._folder = Path(tempfile.mkdtemp(prefix="arena-"))
        self._said: IO[bytes] = (self._folder / ".said").open("w+b")
        self.answers, theirs = os.pipe()
        command = [sys.executable, "-m", "benchmarks.arena.worker", str(theirs)]
        self._process = subprocess.Popen(
            [*command, str(limits.seconds), str(limits.memory)],
            stdin=subprocess.PIPE,
            stdout=self._said,
            stderr=subprocess.STDOUT,
            cwd=self._folder,
            env={**os.environ, **THREADS, "PYTHONPATH": os.pathsep.join(_paths())},
            pass_fds=[theirs],
            start_new_session=True,
        )
        os.close(theirs)

    def give(self, cell: Cell) -> None:
        """Hand over the next cell; a process that has died meanwhile is found out by `read`."""
        self.cell, self._given, self.served = cell, time.monotonic(), self.served + 1
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(cell.to_dict()).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass

    def read(self) -> dict[str, Any] | None:
        """What came through the pipe: an answer, None while it is incomplete; a death is an answer too."""
        data = os.read(self.answers, 1 << 20)
        self._received += data
        if self._received.endswith(b"\n"):
            answer: dict[str, Any] = json.loads(self._received)
            self._received = b""
            return answer
        if data:
            return None
        code = self._process.wait()
        said = self._tail()
        memory = "bad_alloc" in said or "MemoryError" in said
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        return {"status": "memory" if memory else "crash", "notes": [f"the process ended with {how}", said]}

    @property
    def overdue(self) -> bool:
        """True iff the present run has neither answered nor obeyed its time limit."""
        # Imports and compilation come before a run's clock; they get the grace period twice at the first run.
        grace = self._limits.grace * (2.0 if self.served == 1 else 1.0)
        return self.cell is not None and time.monotonic() - self._given > self._limits.seconds + grace

    @property
    def elapsed(self) -> float:
        """Seconds since the present cell was given."""
        return time.monotonic() - self._given

    def close(self) -> None:
        """End the process and everything it has started, and remove its folder."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self._process.wait()
        if self._process.stdin is not None:
            try:
                self._process.stdin.close()
            except BrokenPipeError:
                pass
        os.close(self.answers)
        self._said.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _tail(self) -> str:
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - _TAIL))
        return self._said.read().decode(errors="replace").strip()


def _paths() -> list[str]:
    """The repository's root first, then what this process was given and where it was started."""
    return [str(ROOT), *[p for p in os.environ.get("PYTHONPATH", "").split(os.pathsep) if p], os.getcwd()]
