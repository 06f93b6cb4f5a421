"""Studies by name: comparisons and experiments that plug-ins bring along, run by `dfoattack study NAME`.

A study is a function `run(out, *, quick, seeds, progress)` behind an entry point of the group `dfoattack.studies`. It
writes everything (tables, pictures, raw runs) into the folder `out`, calls `progress(done, total, text)` after every
part, and, called again with the same folder, repeats no part whose file is there.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TextIO

from dfoattack import registry
from dfoattack._validation import shown, suggestion
from dfoattack.errors import MissingExtraError, OptionError

__all__ = ["Progress", "Study", "StudyLine", "find"]

Progress = Callable[[int, int, str], None]
"""`progress(done, total, text)`: parts done, parts in all, and what the last one was."""


class Study(Protocol):
    """What an entry point of `dfoattack.studies` names.

    Parameters
    ----------
    out : Path          existing folder; everything is written there, and what is there is not done again
    quick : bool        a minute's worth, to see that it works
    seeds : int >= 1    repetitions with the seeds 0, ..., seeds - 1
    progress : callable (done, total, text)
    """

    def __call__(self, out: Path, *, quick: bool, seeds: int, progress: Progress) -> None: ...


def find(name: str) -> Study:
    """The installed study of that name.

    Raises
    ------
    OptionError             no such study, or what lies there cannot be imported or called
    MissingExtraError       it needs torch
    """
    known = registry.names(registry.STUDIES)
    if name not in known:
        raise OptionError(f"No study {name!r}.{suggestion(name, known)} Installed: {', '.join(known) or 'none'}.")
    try:
        study: Study = registry.load(registry.STUDIES, name)
    except OptionError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name == "torch":
            raise MissingExtraError(f"Study {name} needs torch. Install `dfoattack[torch]`.") from error
        raise
    if not callable(study):
        raise OptionError(f"Study {name!r} must be a function run(out, *, quick, seeds, progress), got {shown(study)}.")
    return study


class StudyLine:
    """A live bar on a terminal, a plain line at most every ten seconds elsewhere. `close` ends the line."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self._began = time.monotonic()
        self._next = 0.0
        self._first = math.nan  # parts that an earlier call had done: they say nothing about the time
        self._last = ""

    def __call__(self, done: int, total: int, text: str) -> None:
        now = time.monotonic()
        if math.isnan(self._first):
            self._first = float(done)
        share = done / max(1, total)
        new = done - self._first
        left = f"about {(now - self._began) / new * (total - done):.0f} s left" if new > 0 and done < total else ""
        filled = int(20 * min(1.0, share))
        self._last = f"[{'#' * filled}{'.' * (20 - filled)}] {done}/{total}  {text}  {left}".rstrip()
        if now >= self._next:
            self._next = now + (0.1 if self.live else 10.0)
            self._write()

    def close(self) -> None:
        """Show the last part and end the line."""
        if self._last:
            self._write()
            if self.live:
                self.stream.write("\n")
        self.stream.flush()

    def _write(self) -> None:
        self.stream.write(f"\r\x1b[K{self._last}" if self.live else self._last + "\n")
        self.stream.flush()
