"""Run cells in worker processes and store what they answer, whatever happens to them."""

from __future__ import annotations

import selectors
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import baselines
from benchmarks.arena.process import Limits, Worker
from benchmarks.arena.store import KINDS, Run, Store

if TYPE_CHECKING:
    from benchmarks.arena.cells import Cell
    from benchmarks.arena.progress import Progress

# A process that has served so many cells is replaced: what solvers leave behind does not pile up.
CELLS_PER_PROCESS = 60
_LOOK_SECONDS = 0.5
# (suite, solver) -> cells to run with their place in the whole list
Lanes = dict[tuple[str, str], "deque[tuple[int, Cell]]"]
_NUMBERS = ("f_opt", "constraints", "spent", "nfev", "nphi", "ngev", "hits", "cpu", "cpu_user", "user", "wall", "setup")


def run_all(
    cells: Sequence[Cell], store: Store, session: int, limits: Limits, *, jobs: int, progress: Progress
) -> dict[str, int]:
    """Run every cell, `jobs` at a time; returns how many ended with which status.

    Cells are taken in their order, except that an idle process prefers the next one of its own lane: importing a solver
    costs more than a short run.
    """
    lanes: Lanes = {}
    for place, cell in enumerate(cells):
        lanes.setdefault(cell.lane, deque()).append((place, cell))
    counts: dict[str, int] = {}
    workers: list[Worker] = []
    with selectors.DefaultSelector() as selector:
        try:
            while workers or any(lanes.values()):
                while len(workers) < jobs and (worker := _start(lanes, workers, limits)) is not None:
                    workers.append(worker)
                    selector.register(worker.answers, selectors.EVENT_READ, worker)
                for worker, answer in _wait(selector, workers):
                    run = _record(worker, answer, session)
                    store.add(run)
                    counts[run.status] = counts.get(run.status, 0) + 1
                    progress.done(run.cell, worker.elapsed, run.status)
                    if not _go_on(worker, answer, lanes):
                        selector.unregister(worker.answers)
                        workers.remove(worker)
                        worker.close()
                progress.tick()
        finally:
            for worker in workers:
                worker.close()
    return counts


def _start(lanes: Lanes, workers: Sequence[Worker], limits: Limits) -> Worker | None:
    """A process for the lane with the earliest cell, rather one that nobody works on; None if nothing is left."""
    waiting = [lane for lane, queue in lanes.items() if queue]
    if not waiting:
        return None
    busy = {worker.lane for worker in workers}
    lane = min(waiting, key=lambda lane: (lane in busy, lanes[lane][0][0]))
    worker = Worker(lane, limits)
    worker.give(lanes[lane].popleft()[1])
    return worker


def _go_on(worker: Worker, answer: dict[str, Any], lanes: Lanes) -> bool:
    """Give the process its next cell. False where there is none, or where it should not be trusted with another."""
    queue = lanes[worker.lane]
    shared = not baselines.alone(worker.lane[1]) and worker.served < CELLS_PER_PROCESS
    if not queue or not shared or answer["status"] != "ok":
        return False
    worker.give(queue.popleft()[1])
    return True


def _wait(selector: selectors.BaseSelector, workers: Sequence[Worker]) -> list[tuple[Worker, dict[str, Any]]]:
    """Workers that have answered, died or overrun their time, with what is to be recorded."""
    found = []
    answered = set()
    for key, _ in selector.select(_LOOK_SECONDS):
        answered.add(key.data)
        answer = key.data.read()
        if answer is not None:
            found.append((key.data, answer))
    for worker in workers:
        if worker not in answered and worker.overdue:
            note = f"no answer after {worker.elapsed:.0f} s; killed"
            found.append((worker, {"status": "hang", "notes": [note]}))
    return found


def _record(worker: Worker, answer: dict[str, Any], session: int) -> Run:
    """A run as stored; what a dead process could not say is empty."""
    assert worker.cell is not None
    empty = ((), ())
    curves = {kind: answer.get("curves", {}).get(kind, empty) for kind in KINDS}
    numbers: dict[str, Any] = {name: answer.get(name) for name in _NUMBERS}
    return Run(
        cell=worker.cell,
        unit=answer.get("unit", ""),
        status=answer["status"],
        configuration=answer.get("configuration", ""),
        notes=tuple(note for note in answer["notes"] if note),
        curves={kind: (np.array(at), np.array(value)) for kind, (at, value) in curves.items()},
        session=session,
        **numbers,
    )
