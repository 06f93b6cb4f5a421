"""The runner's one line: how much is done, what failed, how long it will take."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.arena.cells import Cell

_BAR = 24
# Where the line cannot be overwritten (a file, a pipe) one is written so often.
_SECONDS_PLAIN = 30.0
_SECONDS_TERMINAL = 1.0


class Progress:
    """Counts finished cells and estimates the rest from seconds per counted evaluation of each (solver, n)."""

    def __init__(self, cells: Sequence[Cell], jobs: int, already: int = 0, file: IO[str] | None = None) -> None:
        self._left: dict[tuple[str, int], float] = {}
        for cell in cells:
            key = (cell.solver, cell.n)
            self._left[key] = self._left.get(key, 0.0) + cell.budget
        self._spent: dict[tuple[str, int], tuple[float, float]] = {}
        self._total, self._done, self._failed = len(cells), 0, 0
        self._jobs, self._already = max(1, jobs), already
        self._file = sys.stderr if file is None else file
        self._began = self._shown = time.monotonic()
        self._last = ""

    def done(self, cell: Cell, seconds: float, status: str) -> None:
        """One cell is over."""
        key = (cell.solver, cell.n)
        self._done += 1
        self._failed += status not in ("ok", "time")
        self._left[key] -= cell.budget
        evaluations, before = self._spent.get(key, (0.0, 0.0))
        self._spent[key] = (evaluations + cell.budget, before + seconds)
        self._last = f"{cell.solver} {cell.instance} n={cell.n} seed {cell.seed}" + (
            f" {status}" if status != "ok" else ""
        )

    def seconds_left(self) -> float:
        """Estimate of the wall time to go; NaN before anything is known."""
        total = [sum(column) for column in zip(*self._spent.values(), strict=True)] if self._spent else [0.0, 0.0]
        if not total[0]:
            return float("nan")
        seconds = 0.0
        for (solver, n), budget in self._left.items():
            same = [value for (name, _), value in self._spent.items() if name == solver]
            evaluations, spent = self._spent.get((solver, n)) or [sum(c) for c in zip(*same, strict=True)] or total
            seconds += budget * spent / evaluations
        return seconds / self._jobs

    def tick(self, *, last: bool = False) -> None:
        """Show the line if it is time."""
        terminal = self._file.isatty()
        now = time.monotonic()
        if not last and now - self._shown < (_SECONDS_TERMINAL if terminal else _SECONDS_PLAIN):
            return
        self._shown = now
        text = self.line(now)
        if terminal:
            self._file.write(f"\r\x1b[2K{text[:140]}" + ("\n" if last else ""))
        else:
            self._file.write(text + "\n")
        self._file.flush()

    def line(self, now: float) -> str:
        """The text of the line."""
        share = self._done / max(1, self._total)
        bar = "#" * round(_BAR * share) + "." * (_BAR - round(_BAR * share))
        left = self.seconds_left()
        parts = [
            f"[{bar}] {self._done}/{self._total} runs",
            f"{_clock(now - self._began)} gone, {_clock(left) if left == left else '?'} to go",
        ]
        parts += [f"{self._already} were there"] if self._already else []
        parts += [f"{self._failed} failed"] if self._failed else []
        parts += [self._last] if self._last else []
        return " | ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"
