"""The report of the merging study, in Markdown."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .bank import MODES
from .study_tables import duels, methods_table, sizes_table, spread

__all__ = ["expectations", "write_report"]

Results = list[dict[str, Any]]
NORMALISED_WITHOUT = "normalised addition without pre-training"
COLUMNS = ("single", "alpha", "absolute", "normalised", "target", "control", "xi unit", "xi wide")


def write_report(results: Results, out: Path, maps: Sequence[str]) -> None:
    """Write ``report.md``: modes, expectations, kernel, merging methods, over-fitting, times."""
    banks = list(dict.fromkeys(result["bank"] for result in results))
    lines = [
        "# Task arithmetic, and merging by search",
        "",
        "Written by `dfoattack study merging`. Means over seeds, ± standard deviation between seeds where there are several.",
        "",
    ]
    for bank in banks:
        lines += _bank(bank, [r for r in results if r["bank"] == bank])
    for name in maps:
        title = f"Disentanglement error of tasks 0 and 1, {name}"
        lines += [f"![{title}](xi-{name}.png)", ""]
    if any(result["merging"] for result in results):
        lines += ["![Validation against test](validation-test.png)", ""]
    seconds = sum(result["seconds"]["all"] for result in results)
    lines += [
        f"Python {platform.python_version()}, numpy {np.__version__}, torch {torch.__version__}; one thread a part, "
        f"{seconds:.0f} s of processor time for all parts together.",
        "",
    ]
    (out / "report.md").write_text("\n".join(lines), encoding="utf-8")


def _bank(bank: str, results: Results) -> list[str]:
    seeds = f"Seed{'s' if len(results) > 1 else ''} {', '.join(str(result['seed']) for result in results)}"
    val, test = results[0]["samples"]
    zero = spread([r["untouched"]["tasks"] for r in results]), spread([r["untouched"]["control"] for r in results])
    lines = [
        f"## {bank}",
        "",
        f"{seeds}; {val} validation and {test} test samples a task. Untouched model on test: tasks {zero[0]}, control {zero[1]}.",
        "",
        *_modes_table("pre-trained", [r["modes"] for r in results]),
    ]
    random = [r["random"] for r in results if r["random"]]
    if random:
        lines += _modes_table("no pre-training", random)
    advantage = spread([r["modes"]["standard"]["advantage"] for r in results])
    lines += [f"Non-linear advantage of standard fine-tuning on one task: {advantage}.", ""]
    kernels = [r["kernel"] for r in results if r["kernel"]]
    if kernels:
        energy = {place: spread([k[place] for k in kernels], 1) for place in kernels[0]}
        lines += [
            "Local energy of the first 20 kernel eigenfunctions on held-out inputs: "
            + ", ".join(f"{place} {value}" for place, value in energy.items())
            + ".",
            "",
        ]
    lines += ["Expected (means over seeds):", ""]
    lines += [f"- {'yes' if held else '**no**'}: {text}" for text, held in expectations(results)]
    lines.append("")
    for control in (True, False):
        rows = [[row for row in r["merging"] if row["control kept"] == control] for r in results if r["merging"]]
        if rows:
            lines += methods_table(control, rows, results[0]["budget"]) + duels(control, rows)
    sized = [_with_full_size(r) for r in results if r["sizes"]]
    return lines + (sizes_table(sized) if sized else [])


def _with_full_size(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows of the merges on fewer samples, and those of the same methods on all of them."""
    methods = {row["method"] for row in result["sizes"]}
    full = [row for row in result["merging"] if not row["control kept"] and row["method"] in methods]
    return [*result["sizes"], *({**row, "samples": result["samples"][0]} for row in full)]


def _modes_table(title: str, tables: list[dict[str, Any]]) -> list[str]:
    head = [
        "mode",
        "single task",
        "alpha",
        "added: accuracy",
        "normalised",
        "negated: target",
        "control",
        "xi [0,1]²",
        "xi [-2,2]²",
    ]
    lines = [f"| {title}: " + " | ".join(head) + " |", "|---|" + "---:|" * len(COLUMNS)]
    for mode in MODES:
        cells = [spread([table[mode][column] for table in tables], 2 if column == "alpha" else 3) for column in COLUMNS]
        lines.append(f"| {mode} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def expectations(results: Results) -> list[tuple[str, bool]]:
    """What the literature and earlier measurements lead one to expect of the means over seeds, and whether it holds."""

    def mean(mode: str, column: str, where: str = "modes") -> float:
        return float(np.mean([r[where][mode][column] for r in results if r[where]]))

    def gap(column: str) -> float:
        return mean("linear", column) - mean("standard", column)

    gain, absolute, forgotten = gap("normalised"), gap("absolute"), -gap("target")
    wide = mean("linear", "xi wide") / mean("standard", "xi wide")
    unit = mean("linear", "xi unit") / mean("standard", "xi unit")
    kept = min(mean(mode, "control") for mode in MODES) / float(np.mean([r["untouched"]["control"] for r in results]))
    checks = [
        (f"normalised addition, linear - standard = {gain:+.3f} >= 0.015", gain >= 0.015),
        (f"accuracy after addition, linear - standard = {absolute:+.3f} >= 0.005", absolute >= 0.005),
        (
            f"normalised addition, post-hoc - standard = {mean('post-hoc', 'normalised') - mean('standard', 'normalised'):+.3f} >= 0",
            mean("post-hoc", "normalised") >= mean("standard", "normalised"),
        ),
        (
            f"accuracy after addition, linear - post-hoc = {mean('linear', 'absolute') - mean('post-hoc', 'absolute'):+.3f} >= 0",
            mean("post-hoc", "absolute") <= mean("linear", "absolute"),
        ),
        (f"negated target, standard - linear = {forgotten:+.3f} >= 0.03", forgotten >= 0.03),
        (f"control kept on test by every mode: {kept:.3f} >= 0.93 of the untouched one", kept >= 0.93),
        (f"disentanglement error on [-2,2]², linear / standard = {wide:.2f} <= 0.85", wide <= 0.85),
        (f"disentanglement error on [0,1]², linear / standard = {unit:.2f} <= 0.92", unit <= 0.92),
    ]
    if any(r["random"] for r in results):
        checks += _without_pre_training(mean)
    kernels = [r["kernel"] for r in results if r["kernel"]]
    if kernels:
        ratio = float(np.mean([k["own task"] / max(k["other task"], k["control"]) for k in kernels]))
        checks.append((f"local energy on the task / elsewhere = {ratio:.1f} >= 1.8", ratio >= 1.8))
    return checks


def _without_pre_training(mean: Callable[..., float]) -> list[tuple[str, bool]]:
    """What is lost without pre-training, of standard and linear the one that loses less."""
    modes = ("standard", "linear")
    worst = max(mean(mode, "normalised", "random") for mode in modes)
    lost = min(mean(mode, "absolute") - mean(mode, "absolute", "random") for mode in modes)
    ratio = min(mean(mode, "xi unit", "random") / mean(mode, "xi unit") for mode in modes)
    return [
        (f"{NORMALISED_WITHOUT}: {worst:.3f} <= 0.80", worst <= 0.80),
        (f"accuracy after addition lost without pre-training = {lost:+.3f} >= 0.03", lost >= 0.03),
        (f"disentanglement error on [0,1]², without / with pre-training = {ratio:.2f} >= 1.1", ratio >= 1.1),
    ]
