"""What a run tells while it runs, and the live line that shows it."""

from __future__ import annotations

import math
import sys
import time
from dataclasses import dataclass
from typing import TextIO

from dfoattack._typing import FloatArray


@dataclass(frozen=True)
class Event:
    """Progress after a step; what a callback gets.

    Attributes
    ----------
    step, iteration : str, int     which step it was, in which iteration
    nfev, ngev : int               evaluated points, vector-Jacobian products so far
    cost, budget : float           budget spent and given (inf without one), in evaluations
    x : float64 (n,) or None       best point so far: feasible, or the least infeasible one; None while every point failed
    fun, maxcv : float             objective (user's sense) and largest violation there; maxcv = 0 means feasible
    frame_size : float             largest frame size in units of the first
    seconds : float                since the run began, earlier sessions included
    """

    step: str
    iteration: int
    nfev: int
    ngev: int
    cost: float
    budget: float
    x: FloatArray | None
    fun: float
    maxcv: float
    frame_size: float
    seconds: float

    @property
    def best(self) -> str:
        """The best so far in a few words."""
        state = "feasible" if self.maxcv == 0.0 else f"violation {self.maxcv:.2g}"
        return f"best {self.fun:.7g} ({state})"


@dataclass(frozen=True)
class FrontEvent:
    """Progress of a run with several objectives.

    Attributes
    ----------
    step, iteration, nfev, ngev, cost, budget, seconds :   as in `Event`
    X : float64 (N, n)         feasible nondominated points so far
    F : float64 (N, q)         their objectives, user's senses
    maxcv : float              0 once a feasible point is known, before that the least violation
    frame_size : float         largest frame size of the front in units of the first
    """

    step: str
    iteration: int
    nfev: int
    ngev: int
    cost: float
    budget: float
    X: FloatArray
    F: FloatArray
    maxcv: float
    frame_size: float
    seconds: float

    @property
    def best(self) -> str:
        """The best so far in a few words."""
        size = self.F.shape[0]
        return f"{size} nondominated points" if size else f"no feasible point (violation {self.maxcv:.2g})"


class ProgressLine:
    """A live line on a terminal, a plain line every ten seconds elsewhere. Call it with events; `close` ends the line."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.live = self.stream.isatty()
        self._interval = 0.1 if self.live else 10.0
        self._next = 0.0
        self._last: Event | FrontEvent | None = None

    def __call__(self, event: Event | FrontEvent) -> None:
        self._last = event
        now = time.monotonic()
        if now >= self._next:
            self._next = now + self._interval
            self._write(event)

    def close(self) -> None:
        """Show the last event and end the line."""
        if self._last is not None:
            self._write(self._last)
            if self.live:
                self.stream.write("\n")
        self.stream.flush()

    def _write(self, event: Event | FrontEvent) -> None:
        text = line(event)
        self.stream.write(f"\r\x1b[K{text}" if self.live else text + "\n")
        self.stream.flush()


def line(event: Event | FrontEvent) -> str:
    """One line of progress: bar, cost, best value, violation, step, frame size, time left."""
    share = event.cost / event.budget if math.isfinite(event.budget) else math.nan
    if math.isfinite(share):
        filled = int(20 * min(1.0, share))
        left = event.seconds * (1.0 / share - 1.0) if share > 0 else math.nan
        head = (
            f"[{'#' * filled}{'.' * (20 - filled)}] {event.cost:g}/{event.budget:g}  about {max(0.0, left):.0f} s left"
        )
    else:
        head = f"{event.cost:g} evaluations"
    return f"{head}  {event.best}  {event.step:<11s} frame {event.frame_size:.1e}  {event.seconds:.0f} s"
