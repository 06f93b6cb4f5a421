"""Two result folders of one solver: what became better or worse, by group and overall, beyond the spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.arena import profiles
from benchmarks.arena.document import Block, Heading, Table, Text
from benchmarks.arena.report import read
from benchmarks.arena.slices import Slice, slices_of
from benchmarks.arena.tables import target_times

if TYPE_CHECKING:
    from benchmarks.arena.store import Run
    from dfoattack._typing import FloatArray

OLD, NEW = "old", "new"


def compare(old: Path, new: Path, solver: str) -> list[Block]:
    """The blocks of a comparison. Raises ValueError where the folders share no cell of the solver."""
    before, _ = read([old])
    after, _ = read([new])
    renamed = [*_renamed(before, solver, OLD), *_renamed(after, solver, NEW)]
    for folder, name in ((old, OLD), (new, NEW)):
        if not any(run.cell.solver == name for run in renamed):
            raise ValueError(f"No runs of `{solver}` in {folder}.")
    # All other runs take part in the best known values only.
    others = [run for run in (*before, *after) if run.cell.solver != solver]
    parts = [part for part in slices_of([*others, *renamed], {}, [OLD, NEW]) if set(part.solvers) == {OLD, NEW}]
    if not parts:
        raise ValueError(f"{old} and {new} share no cell of `{solver}`.")
    commits = {name: sorted({r.commit for p in parts for r in p.runs[name].values()}) for name in (OLD, NEW)}
    blocks: list[Block] = [
        Heading(f"{solver}: {old} (commit {', '.join(commits[OLD])}) to {new} (commit {', '.join(commits[NEW])})", 1),
        Text(
            "Share: targets hit at the full budget. Anytime: mean share over the logarithm of evaluations. Intervals: 95 % "
            "bootstrap over instances (over seeds where there is one instance, none where there is one seed). Spread: differences of the share, seed by "
            "seed. Better, worse: problems by their last value. **Bold**: the interval lies below 0."
        ),
    ]
    for part in parts:
        blocks += [Heading(part.title), *(_table(part, kind) for kind in _kinds(part)), _cpu(part)]
    return [*blocks, Heading("In short"), Text(items=tuple(_verdict(part) for part in parts))]


def _renamed(runs: Sequence[Run], solver: str, name: str) -> list[Run]:
    return [replace(run, cell=replace(run.cell, solver=name)) for run in runs if run.cell.solver == solver]


def _kinds(part: Slice) -> tuple[str, ...]:
    return ("strict", "loose") if part.constrained else ("strict",)


def scores(part: Slice, kind: str) -> tuple[FloatArray, FloatArray]:
    """(2, P) share of targets and anytime score of each problem; rows old, new."""
    times, _ = target_times(part, kind)
    order = [part.solvers.index(OLD), part.solvers.index(NEW)]
    share = np.mean(np.isfinite(times), axis=2)[order]
    scaled = times / part.units[None, :, None]
    anytime = np.array(
        [profiles.area(scaled[:, p : p + 1], part.multiple)[order] for p in range(scaled.shape[1])], dtype=np.float64
    ).T
    return share, anytime


def _table(part: Slice, kind: str) -> Table:
    share, anytime = scores(part, kind)
    last = [_last(part, kind, name) for name in (OLD, NEW)]
    rows, bold = [], set()
    names = sorted(set(part.groups))
    for i, name in enumerate([*(names if len(names) > 1 else []), "all"]):
        members = np.array([name in ("all", group) for group in part.groups])
        interval = _interval(part, share[1] - share[0], members)
        any_interval = _interval(part, anytime[1] - anytime[0], members)
        bold |= {(i, j) for j, (_, _, high) in ((3, interval), (5, any_interval)) if high < 0.0}
        rows.append(
            (
                name,
                *(f"{v:.3f}" for v in share[:, members].mean(axis=1)),
                profiles.interval_text(interval),
                _spread(part, share[1] - share[0], members),
                profiles.interval_text(any_interval),
                str(int(np.sum((last[1] < last[0])[members]))),
                str(int(np.sum((last[1] > last[0])[members]))),
            )
        )
    columns = ("group", "old", "new", "share", "spread", "anytime", "better", "worse")
    rule = {"strict": "every c <= 0", "loose": "every c <= 1e-6"}[kind]
    return Table(columns, tuple(rows), frozenset(bold), rule if part.constrained else f"{len(part.keys)} problems.")


def _last(part: Slice, kind: str, name: str) -> FloatArray:
    """(P,) last value of each run; +inf without a feasible point."""
    ends = [part.runs[name][key].curves[kind][1] for key in part.keys]
    return np.array([v[-1] if len(v) else np.inf for v in ends])


def _interval(part: Slice, difference: FloatArray, members: np.ndarray) -> tuple[float, float, float]:
    chosen = [key for key, inside in zip(part.keys, members, strict=True) if inside]
    instances = [f"{instance}/{n}" for instance, n, _ in chosen]
    single = len(set(instances)) == 1
    return profiles.bootstrap(difference[members], [str(seed) for _, _, seed in chosen] if single else instances)


def _spread(part: Slice, difference: FloatArray, members: np.ndarray) -> str:
    """Least and greatest difference over seeds."""
    seeds = np.array([seed for _, _, seed in part.keys])
    means = [float(difference[members & (seeds == seed)].mean()) for seed in np.unique(seeds[members])]
    return f"{min(means):+.3f} .. {max(means):+.3f}"


def _cpu(part: Slice) -> Text:
    us = {
        name: profiles.median([1e6 * r.cpu_solver / r.nfev for r in part.runs[name].values() if r.nfev])
        for name in (OLD, NEW)
    }
    ends = {name: sum(r.status != "ok" for r in part.runs[name].values()) for name in (OLD, NEW)}
    return Text(
        f"CPU microseconds per evaluation: {us[OLD]:.4g} to {us[NEW]:.4g}; runs that did not end well: {ends[OLD]} to "
        f"{ends[NEW]}."
    )


def _verdict(part: Slice) -> str:
    share, anytime = scores(part, "strict")
    everything = np.ones(len(part.keys), dtype=np.bool_)
    words = []
    for name, values in (("share", share), ("anytime", anytime)):
        interval = _interval(part, values[1] - values[0], everything)
        verdict = "better" if interval[1] > 0.0 else "worse" if interval[2] < 0.0 else "no clear difference"
        words.append(f"{name} {verdict} {profiles.interval_text(interval)}")
    return f"{part.title}: {'; '.join(words)}"
