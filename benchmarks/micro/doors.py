"""Ask and tell, and the evaluator: what a point costs on its way in and out, beside the bare call of the function."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import process_time

import numpy as np

import dfoattack as da
from benchmarks.micro.overhead import POLL, Rosenbrock
from dfoattack.evaluator import Evaluator

N = 20
POINTS = 2000
REPEATS = 3
BLOCKS = (1, 40)


def _problem() -> da.Problem:
    return da.Problem(
        objective=Rosenbrock(), space=da.Box([-5.0] * N, [5.0] * N), x0=[-1.2] * N, sense="minimize", backend="numpy"
    )


def bare(block: int) -> float:
    """Seconds a point of the function alone, blocks of new points."""
    f, X = Rosenbrock(), np.random.default_rng(0).uniform(-5.0, 5.0, (POINTS, N))
    start = process_time()
    for i in range(0, POINTS, block):
        f(X[i : i + block])
    return (process_time() - start) / POINTS


def evaluator(block: int) -> float:
    """Seconds a point through `Evaluator.evaluate`: checks, cache, books, and the function."""
    door, X = Evaluator(_problem()), np.random.default_rng(0).uniform(-5.0, 5.0, (POINTS, N))
    door.evaluate(X[:block] * 0.5)
    start = process_time()
    for i in range(0, POINTS, block):
        door.evaluate(X[i : i + block])
    return (process_time() - start) / POINTS


def ask_tell(block: int) -> float:
    """Seconds a point of `ask` and `tell`, polls alone, the function not counted."""
    # Complete polls fill every block.
    options = {**POLL, "poll": "2n", "speculative": False, "opportunistic": block == 1, "block_size": block}
    solver = da.Solver(_problem(), options, budget=POINTS)
    f, spent, points = Rosenbrock(), 0.0, 0
    while True:
        start = process_time()
        trials = solver.ask()
        spent += process_time() - start
        if not len(trials.X):
            break
        values = f(trials.X)
        start = process_time()
        solver.tell(values)
        spent += process_time() - start
        points += len(trials.X)
    return spent / points


def section(say: Callable[[str], None]) -> str:
    """Markdown of this measurement."""
    lines = [
        "## Evaluator, ask and tell",
        "",
        f"CPU microseconds a point (n = {N}, chained Rosenbrock, {POINTS} points, median of {REPEATS}), and the ratio to the bare "
        "call of the function in blocks of the same size, measured beside it. Ask and tell: polls 2n under that option "
        "`block_size`, the function not counted; at 1 a poll is asked for as a whole and told in part, at 40 every block is filled.",
        "",
        "| points a block | function | evaluator | ratio | ask and tell | ratio |",
        "| ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for block in BLOCKS:
        ask_tell(block)  # loads compiled code
        rows = [(bare(block), evaluator(block), ask_tell(block)) for _ in range(REPEATS)]
        function, door, both = (1e6 * median(column) for column in zip(*rows, strict=True))
        say(
            f"doors, blocks of {block}: function {function:.1f}, evaluator {door:.1f}, ask and tell {both:.1f} microseconds"
        )
        ratios = (f"{door:.1f} | {door / function:.1f}", f"{both:.1f} | {both / function:.1f}")
        lines.append(f"| {block} | {function:.1f} | {ratios[0]} | {ratios[1]} |")
    return "\n".join(lines)
