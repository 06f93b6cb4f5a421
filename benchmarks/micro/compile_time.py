"""Import, and the first solve with an empty and with a filled cache of compiled kernels; each in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable

PROGRAM = """
import json, time
clock = [time.perf_counter()]
import numba
clock.append(time.perf_counter())
import dfoattack as da
da.solve  # the public names are imported when first used
clock.append(time.perf_counter())
def solve():
    problem = da.Problem(objective=lambda y: (y * y).sum(1) + 0.1 * y[:, 0], constraints=lambda y: 0.2 - y[:, 0],
                         space=da.Box([-1] * 5, [1] * 5), x0=[0.7] * 5, sense="minimize", backend="numpy")
    da.solve(problem, budget=300, seed=0)
    clock.append(time.perf_counter())
solve()
solve()
print(json.dumps([b - a for a, b in zip(clock, clock[1:])]))
"""
ROWS = ("import numba", "import dfoattack after that", "first solve (300 evaluations)", "second solve")


def measure(cache: str) -> list[float]:
    """Seconds of the four parts, compiled kernels being kept in the folder `cache`."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": cache}
    process = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    return [float(value) for value in json.loads(process.stdout.splitlines()[-1])]


def section(say: Callable[[str], None]) -> str:
    """Markdown of this measurement."""
    with tempfile.TemporaryDirectory() as folder:
        empty, filled = measure(folder), measure(folder)
    say(f"first solve: {empty[2]:.1f} s with an empty cache, {filled[2]:.2f} s with a filled one")
    lines = [
        "## Compilation",
        "",
        "Wall seconds in a fresh process (n = 5, one constraint, no network). Kernels are compiled at the first solve "
        "after installation and kept on disk.",
        "",
        "| | cache empty | cache filled |",
        "| --- | ---: | ---: |",
    ]
    lines += [f"| {name} | {a:.3f} | {b:.3f} |" for name, a, b in zip(ROWS, empty, filled, strict=True)]
    return "\n".join(lines)
