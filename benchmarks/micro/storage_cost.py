"""What the run file adds: the same solve with and without it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.micro.overhead import POLL, one

N = 20
POINTS = 2000
REPEATS = 3
BLOCKS = (1, 40)


def wall(options: dict[str, Any], seed: int, store: str | None) -> tuple[float, int]:
    """Wall seconds (writing to disk is not CPU time) and points of one solve."""
    start = perf_counter()
    _, points = one(N, options, POINTS, seed, store)
    return perf_counter() - start, points


def section(say: Callable[[str], None]) -> str:
    """Markdown of this measurement."""
    lines = [
        "## Run file",
        "",
        f"Wall microseconds that `store=` adds per block of evaluations (n = {N}, {POINTS} evaluations, no "
        f"constraints, median of {REPEATS} seeds), and bytes of the file per evaluation.",
        "",
        "| points a block | microseconds a block | microseconds a point | bytes a point |",
        "| ---: | ---: | ---: | ---: |",
    ]
    for block in BLOCKS:
        # Polls alone, so that every block is full.
        options: dict[str, Any] = {**POLL, "speculative": False, "poll": "2n"}
        options |= {"opportunistic": block == 1, "block_size": block}
        one(N, options, 300, 0)
        added: list[float] = []
        sizes: list[float] = []
        for seed in range(REPEATS):
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "run.sqlite"
                plain, _ = wall(options, seed, None)
                stored, points = wall(options, seed, str(path))
                added.append((stored - plain) / points)
                sizes.append(sum(f.stat().st_size for f in Path(folder).iterdir()) / points)
        point = 1e6 * median(added)
        say(f"run file, blocks of {block}: {point:.0f} microseconds a point")
        lines.append(f"| {block} | {point * block:.0f} | {point:.0f} | {median(sizes):.0f} |")
    return "\n".join(lines)
