"""`dfoattack study biodiesel | image-blend | counterfactual-map`."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np

from dfoattack.plots import matplotlib_module
from dfoattack.studies import Progress

from . import figures, tables
from .settings import OURS, SETTINGS, probes, run_cells

__all__ = ["run_biodiesel", "run_counterfactual_map", "run_image_blend"]


def run_biodiesel(out: Path, *, quick: bool, seeds: int, progress: Progress) -> None:
    """The reactor: random line search, cDSM, attacks, hybrid by the published rules, and dfoattack."""
    _run("biodiesel", out, quick, seeds, progress)


def run_image_blend(out: Path, *, quick: bool, seeds: int, progress: Progress) -> None:
    """The image blend: random line search, cDSM, attacks, hybrid by the published rules, and dfoattack."""
    _run("image-blend", out, quick, seeds, progress)


def run_counterfactual_map(out: Path, *, quick: bool, seeds: int, progress: Progress) -> None:
    """The counterfactual map: random line search, cDSM, attacks, hybrid by the published rules, and dfoattack."""
    _run("counterfactual-map", out, quick, seeds, progress)


def _run(name: str, out: Path, quick: bool, seeds: int, progress: Progress) -> None:
    setting = SETTINGS[name]
    figure = matplotlib_module("figure").Figure(figsize=(9.0, 6.0), layout="constrained")  # before anything is paid for
    problem = setting.make(quick)
    traces = run_cells(setting, problem, out, quick, seeds, progress)
    best_known = None if problem.known is None else problem.known.value
    probed = list(probes(setting, problem, traces))
    figures.values_over_work(setting, traces, best_known, out / "value.png")
    figures.values_over_iterations(setting, traces, out / "steps.png")
    figures.run_times(setting, traces, out / "time.png")
    figures.attack_success(setting, probed, out / "attack.png")
    values = tables.finals(traces[OURS])
    best = traces[OURS][int(np.argmax(values))]
    if problem.picture is not None:
        problem.picture(SimpleNamespace(x=best.moves[-1], fun=float(values.max())), figure)
        figure.savefig(out / "solution.png", dpi=120)
    (out / "results.md").write_text(tables.document(setting, traces, best_known, probed), encoding="utf-8")
