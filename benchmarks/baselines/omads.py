"""OMADS: mesh adaptive direct search in pure Python (GPL-3: an optional install, run and never copied)."""

from __future__ import annotations

import contextlib
import io
import sys
import tempfile
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from OMADS import mads

from benchmarks.baselines._common import LARGE, UnitBox, number, old_seed
from benchmarks.baselines.restarts import run_restarted
from benchmarks.columns import Columns, columns
from benchmarks.counting import Counter
from benchmarks.log import Log

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "OMADS.mads as its documentation shows it (rich directions, ACTIVE sampling search with 10 samples, cache), "
    "progressive barrier, an equality as two inequalities, variables scaled to the unit box, first frame 0.1; above 20 "
    "constraint columns the largest of each named constraint; random restarts with a new seed"
)
COLUMN_LIMIT = 20


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    counter = Counter(problem, budget, gradient_cost)
    box = UnitBox.of(counter)
    seen: Columns | None = None
    raised: list[BaseException] = []

    def local(z: FloatArray, k: int) -> None:
        nonlocal seen
        seen = chosen = seen if seen is not None else columns(counter, COLUMN_LIMIT)

        def blackbox(u: Any) -> list[Any]:
            # It swallows what is raised here, so that is kept and raised again below.
            try:
                F, c = counter.value(box.point(np.asarray(u, dtype=np.float64)))
            except BaseException as error:
                raised.append(error)
                raise
            return [min(F, LARGE), [float(v) for v in np.nan_to_num(chosen.one_sided(c), nan=LARGE)] or [0.0]]

        with (
            tempfile.TemporaryDirectory() as folder,
            _silent(),
            old_seed(counter, seed, k),
        ):
            try:
                mads.main(_input(counter, blackbox, box.unit(z), number(counter, seed, k) % 10_000, folder))
            finally:
                if raised:
                    raise raised[0]

    return run_restarted(counter, seed, local)


def _input(counter: Counter, blackbox: Any, start: FloatArray, seed: int, folder: str) -> dict[str, Any]:
    n = counter.n
    return {
        "evaluator": {"blackbox": blackbox},
        "param": {
            "name": "arena",
            "baseline": [float(v) for v in start],
            "lb": [0.0] * n,
            "ub": [1.0] * n,
            "var_names": [f"x{i}" for i in range(n)],
            "scaling": [1.0] * n,
            "post_dir": folder,
        },
        "options": {
            "seed": seed,
            "budget": max(1, int(counter.remaining)),
            "tol": 1e-9,
            "psize_init": 0.1,
            "rich_direction": True,
            "store_cache": True,
            "check_cache": True,
            "display": False,
            "save_results": False,
        },
        "search": {"type": "sampling", "s_method": "ACTIVE", "ns": 10, "visualize": False},
    }


@contextlib.contextmanager
def _silent() -> Any:
    """It prints, and leaves standard error bound to a file of its own when it is interrupted."""
    error = sys.stderr
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stderr = error
