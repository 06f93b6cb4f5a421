"""Everything a comparison has to say, as blocks, then as files."""

from __future__ import annotations

import csv
from collections import Counter as Multiset
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.arena import pictures, race, tables
from benchmarks.arena.document import Block, Heading, Picture, Text, markdown
from benchmarks.arena.page import page
from benchmarks.arena.slices import Slice, ordered, safe, slices_of
from benchmarks.arena.store import Run, Store

_NOTES_PER_SOLVER = 4
# Suites with no more instances are shown instance by instance.
_FEW = 6


def read(folders: Sequence[Path]) -> tuple[list[Run], list[dict[str, Any]]]:
    """Runs and sessions of several result folders, in the order given."""
    runs: list[Run] = []
    sessions: list[dict[str, Any]] = []
    for folder in folders:
        with Store(folder) as store:
            runs += list(store.runs())
            sessions += [{**s, "folder": str(folder)} for s in store.sessions()]
    return runs, sessions


def read_references(path: Path) -> dict[tuple[str, str, int], float]:
    """Best known values from a CSV file with the columns suite, instance, n, value. Raises ValueError without them."""
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        missing = {"suite", "instance", "n", "value"} - set(reader.fieldnames or ())
        if missing:
            raise ValueError(f"{path} must have the columns suite, instance, n, value; missing: {sorted(missing)}.")
        return {(row["suite"], row["instance"], int(row["n"])): float(row["value"]) for row in reader}


def write_references(runs: Sequence[Run], path: Path) -> int:
    """Write the best strictly feasible value of every instance, who found it and with which budget; returns how many.

    Better values that are in the file already stay.
    """
    best = _read_best(path) if path.exists() else {}
    for run in runs:
        c, values = run.cell, run.curves["strict"][1]
        key = (c.suite, c.instance, c.n)
        if len(values) and (key not in best or values[-1] < best[key][0]):
            best[key] = (float(values[-1]), c.solver, c.budget)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["suite", "instance", "n", "value", "solver", "budget"])
        writer.writerows([*key, repr(value), *who] for key, (value, *who) in sorted(best.items()))
    return len(best)


def _read_best(path: Path) -> dict[tuple[str, str, int], tuple[float, str, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        return {
            (row["suite"], row["instance"], int(row["n"])): (float(row["value"]), row["solver"], float(row["budget"]))
            for row in csv.DictReader(file)
        }


def write(
    folders: Sequence[Path],
    out: Path,
    *,
    baseline: str | None = None,
    solvers: Sequence[str] | None = None,
    references: Mapping[tuple[str, str, int], float] | None = None,
) -> Path:
    """Write report.md, report.html and the pictures into `out`; returns the path of the Markdown file."""
    runs, sessions = read(folders)
    blocks = compose(slices_of(runs, references or {}, solvers), sessions, baseline)
    out.mkdir(parents=True, exist_ok=True)
    for block in blocks:
        if isinstance(block, Picture):
            (out / f"{block.name}.png").write_bytes(block.png)
    (out / "report.html").write_text(page(blocks, "Arena"), encoding="utf-8")
    path = out / "report.md"
    path.write_text(markdown(blocks), encoding="utf-8")
    return path


def compose(parts: Sequence[Slice], sessions: Sequence[dict[str, Any]], baseline: str | None = None) -> list[Block]:
    """The blocks of a report. Raises ValueError if the baseline is nobody here."""
    solvers = ordered(name for part in parts for name in part.solvers)
    if baseline is not None and baseline not in solvers:
        raise ValueError(f"`--baseline` must be one of {', '.join(solvers)}, got {baseline!r}.")
    baseline = baseline or next((name for name in solvers if name.startswith("nomad")), solvers[0])
    look = pictures.styles(solvers)
    blocks: list[Block] = [Heading("Arena", 1), *_honesty(parts, sessions)]
    for suite in dict.fromkeys(part.suite for part in parts):
        blocks += _suite(suite, [part for part in parts if part.suite == suite], look, baseline)
    blocks += [Heading("Solvers"), Text(items=tuple(_solver(name, parts) for name in solvers))]
    return blocks


def _honesty(parts: Sequence[Slice], sessions: Sequence[dict[str, Any]]) -> list[Block]:
    seeds = sorted({seed for part in parts for _, _, seed in part.keys})
    items = [
        f"{s['date']}, commit {s['commit']}, {s['machine']}, OMP_NUM_THREADS {s['threads']}; {s['versions']}"
        for s in sessions
    ]
    rules = (
        "One evaluation is f and all c at one point; repeats are free; the start, failed points and differences count; a "
        f"vector-Jacobian product counts as {parts[0].gradient_cost:g}. Every solver starts at the same point and, when it "
        "stops early, again at the same random points until the budget is spent. Values and feasibility come from the log "
        "of the counting wrapper alone. **Bold** in our rows: another solver (random search aside) does better."
    )
    levels = (
        "Solved to tau: f0 - f >= (1 - tau)(f0 - fL); fL is the known optimum, or the best value of all runs here and the "
        "reference table; f0 the worst first feasible value over all solvers. ECDF 51: COCO's targets 1e2 ... 1e-8 above the "
        "optimum; area: mean of the ECDF over log10(evaluations/n) from n to the budget. Medians of even numbers take the "
        "better middle run."
    )
    number = f"Seed {seeds[0]} alone" if len(seeds) == 1 else f"Seeds {seeds[0]} to {seeds[-1]}"
    claim = "10 seeds or more make a claim, 3 a trend, 1 a smoke test."
    return [
        Text(rules),
        Text(levels),
        Text(f"{number}; {claim} Measured in:", tuple(dict.fromkeys(items))),
    ]


def _suite(suite: str, parts: Sequence[Slice], look: pictures.Styles, baseline: str) -> list[Block]:
    kinds = ("strict", "loose") if any(part.constrained for part in parts) else ("strict",)
    blocks: list[Block] = [Heading(suite), tables.coverage(parts), *_notes(parts)]
    for kind in kinds:
        if len(kinds) > 1:
            blocks.append(Heading(f"{suite}: {'every c <= 0' if kind == 'strict' else 'every c <= 1e-6'}", 3))
        blocks.append(tables.by_n(parts, kind))
        if any(baseline in part.solvers and len(part.solvers) > 1 for part in parts):
            blocks.append(tables.differences(parts, kind, baseline))
        known = [part for part in parts if part.known]
        if known:
            name = f"{safe(suite)}-ecdf-{kind}"
            caption = "Share of (problem, target) pairs hit against evaluations."
            blocks.append(Picture(name, pictures.ecdfs(known, kind, look), caption))
    blocks += [Heading(f"{suite}: time", 3), tables.cpu(parts)]
    for part in parts:
        blocks.append(Heading(part.title, 3))
        if part.constrained:
            blocks.append(tables.feasibility(part))
        for kind in kinds:
            rule = f", {'c <= 0' if kind == 'strict' else 'c <= 1e-6'}" if len(kinds) > 1 else ""
            blocks += [
                *(_race(part, kind, look) if not part.known else []),
                tables.shares(part, kind),
                *(tables.finals(part, kind) if len(set(part.instances)) <= _FEW else [tables.by_group(part, kind)]),
                Picture(
                    f"{part.name}-data-{kind}",
                    pictures.data_profiles(part, kind, look),
                    f"Data profiles{rule}: share of problems solved to tau within so many evaluations.",
                ),
                Picture(
                    f"{part.name}-performance-{kind}",
                    pictures.performance_profiles(part, kind, look),
                    f"Performance profiles{rule}; to be read for the best solver only.",
                ),
            ]
        if part.constrained and part.known:
            blocks.append(tables.soft(part))
        caption = "Gap to the best known value, one panel a group; median and quartiles over instances and seeds."
        blocks.append(Picture(f"{part.name}-bands", pictures.bands(part, "strict", look), caption))
    return blocks


def _race(part: Slice, kind: str, look: pictures.Styles) -> list[Block]:
    found = race.Race.of(part, kind)
    picture = Picture(
        f"{part.name}-race-{kind}",
        pictures.race(found, look),
        "Evaluations to within 1 % of the best known value, median over seeds; on the right edge: does not arrive.",
    )
    return [race.places(found), race.table(found), picture]


def _notes(parts: Sequence[Slice]) -> list[Block]:
    """What failed and what adaptors had to say; restarts and our reasons to stop are left out."""
    items = []
    for name in ordered(n for part in parts for n in part.solvers):
        runs = [r for part in parts for r in part.runs.get(name, {}).values()]
        count = Multiset(
            note.strip().splitlines()[-1][:200]
            for r in runs
            for note in r.notes
            if note.strip() and not note.startswith("stopped:") and not note.endswith("restarts")
        )
        items += [f"{name}, {k} of {len(runs)} runs: {note}" for note, k in count.most_common(_NOTES_PER_SOLVER)]
    return [Text(items=tuple(items))] if items else []


def _solver(name: str, parts: Sequence[Slice]) -> str:
    found = {r.configuration for part in parts for r in part.runs.get(name, {}).values() if r.configuration}
    return f"`{name}`: {'; or '.join(sorted(found)) or 'never came to run'}."
