"""What is compared on each of the three problems, and how it is run and kept."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .books import FloatArray
from .published import SLIPS, OutputGradient, Rules, run_method
from .trace import Trace, of_books, of_solver

if TYPE_CHECKING:
    from dfoattack.problem import Problem
    from dfoattack.studies import Progress

OURS = "dfoattack"
MAIN = ("line-search", "cdsm", "attacks", "hybrid", OURS)
MENDED = "hybrid, mended"


@dataclass(frozen=True)
class Setting:
    """One problem of the study.

    Attributes
    ----------
    name : str
    make : callable (quick) -> Problem
    budgets : (float, float)            counted work of a run, quick and full
    scale : float                       by which the published code multiplies the constraints in its penalty
    slips : tuple of str                slips that can matter here
    logarithmic : bool                  the optimum is near 0: draw -f on a logarithmic scale
    wrong_gradient : callable, optional Problem -> what the published code takes for the gradient of f
    """

    name: str
    make: Callable[[bool], Problem]
    budgets: tuple[float, float]
    scale: float = 1.0
    slips: tuple[str, ...] = SLIPS
    logarithmic: bool = False
    wrong_gradient: Callable[[Problem], OutputGradient] | None = None

    def methods(self) -> tuple[str, ...]:
        """The five of the comparison, the hybrid without any slip, and with one slip each."""
        return (*MAIN, MENDED, *(f"{MENDED} but {slip}" for slip in self.slips))


def _biodiesel(quick: bool) -> Problem:
    from dfoattack_problems.biodiesel.problem import make_problem

    return make_problem()


def _image(quick: bool) -> Problem:
    from dfoattack_problems.image_blend.problem import make_problem

    return make_problem(10, pixels=64) if quick else make_problem()


def _map(quick: bool) -> Problem:
    from dfoattack_problems.counterfactual_map.problem import make_problem

    return make_problem()


def _wrong_map_gradient(problem: Problem) -> OutputGradient:
    """The published slip: 1 + sum(C) - C_initial, tile by tile, in place of sum(C) - sum(C_initial)."""
    from dfoattack_problems.counterfactual_map.model import LATENT
    from dfoattack_problems.counterfactual_map.task import TOTAL_UNIT

    start = problem.forward(problem.x0[:1])[0]  # type: ignore[index]

    def wrong(y: FloatArray) -> FloatArray:
        code = -2.0 * (y[:LATENT] - start[:LATENT])
        total = 1.0 + y[LATENT:].sum() - start[LATENT:]
        return np.concatenate([code, (-2.0 / TOTAL_UNIT**2) * total])

    return wrong


SETTINGS = {
    "biodiesel": Setting("biodiesel", _biodiesel, (300.0, 3000.0), scale=1000.0),
    "image-blend": Setting(
        "image-blend", _image, (200.0, 1000.0), slips=("poll", "direction", "covering"), logarithmic=True
    ),
    "counterfactual-map": Setting(
        "counterfactual-map", _map, (500.0, 2000.0), logarithmic=True, wrong_gradient=_wrong_map_gradient
    ),
}


def run_cells(
    setting: Setting, problem: Problem, out: Path, quick: bool, seeds: int, progress: Progress
) -> dict[str, list[Trace]]:
    """Every method with every seed; what `out/runs` holds of the same problem and budget is not run again."""
    budget = setting.budgets[0 if quick else 1]
    problem.outer(problem.x0[:1], problem.forward(problem.x0[:1]))  # type: ignore[index]  # p is known from now on
    folder = out / "runs"
    folder.mkdir(exist_ok=True)
    identity = json.dumps([problem.fingerprint(), budget, setting.scale], sort_keys=True)
    short = hashlib.sha256(identity.encode()).hexdigest()[:8]
    cells = [(method, seed) for seed in range(seeds) for method in setting.methods()]
    files = {cell: folder / f"{cell[0].replace(', ', '-').replace(' ', '-')}-{cell[1]}-{short}.npz" for cell in cells}
    traces: dict[str, list[Trace]] = {}
    for done, cell in enumerate(cells, start=1):
        if not files[cell].exists():
            run_cell(setting, problem, cell[0], cell[1], budget).save(files[cell])
        traces.setdefault(cell[0], []).append(Trace.load(files[cell]))
        progress(done, len(cells), f"{cell[0]}, seed {cell[1]}")
    return traces


def run_cell(setting: Setting, problem: Problem, method: str, seed: int, budget: float) -> Trace:
    """One run."""
    if method == OURS:
        return of_solver(problem, budget, seed)
    base, _, slip = method.partition(" but ")
    rules = Rules.right() if base == MENDED else Rules()
    began = time.perf_counter()
    books = run_method(
        base.partition(",")[0],
        problem,
        budget,
        seed,
        rules=rules.but(slip) if slip else rules,
        scale=np.full(problem.p or 0, setting.scale),
        wrong_gradient=None if setting.wrong_gradient is None else setting.wrong_gradient(problem),
    )
    return of_books(books, time.perf_counter() - began)


@dataclass(frozen=True)
class Probe:
    """Whether one sign step from the points of a run improves, by radius.

    Attributes
    ----------
    title : str
    radii : float64 (q,)        in the problem's units
    at : float64 (k,)           counted work at which the run had reached each point
    success : bool (k, q)
    """

    title: str
    radii: FloatArray
    at: FloatArray
    success: FloatArray


def probes(setting: Setting, problem: Problem, traces: dict[str, list[Trace]]) -> Iterator[Probe]:
    """Attack success by radius and point: the study's direction and score at the hybrid's points, the exact gradient and
    the barrier's order at those of the hybrid and of dfoattack (first seed)."""
    for method, rules, title in (
        ("hybrid", Rules(), "as published, at the hybrid's points"),
        ("hybrid", Rules.right(), "exact gradient and barrier, at the hybrid's points"),
        (OURS, Rules.right(), "exact gradient and barrier, at dfoattack's points"),
    ):
        yield _probe(setting, problem, traces[method][0], rules, title)


def _probe(setting: Setting, problem: Problem, trace: Trace, rules: Rules, title: str) -> Probe:
    from .books import Books
    from .published import ascent_direction

    wrong = None if setting.wrong_gradient is None else setting.wrong_gradient(problem)
    books = Books(problem, np.inf, scale=np.full(problem.p or 0, setting.scale), barrier=not rules.walls)
    widest = float(np.max(problem.space.upper - problem.space.lower))
    radii = widest * 10.0 ** np.arange(-7.0, 0.1, 0.5)
    rows = np.unique(np.linspace(0, len(trace.moves) - 1, 24).astype(int))
    success = np.zeros((len(rows), len(radii)))
    for i, row in enumerate(rows):
        point = books.evaluate(trace.moves[row], "probe", 0)
        step = np.sign(ascent_direction(books, point, rules, wrong))
        for j, radius in enumerate(radii):
            success[i, j] = books.evaluate(point.x + radius * step, "probe", 0).score > point.score
    return Probe(title, radii, trace.spent[trace.improving()][rows], success)
