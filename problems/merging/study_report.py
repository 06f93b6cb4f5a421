"""The report of the merging study, in Markdown."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .arithmetic import CONTROL_SHARE
from .bank import MODES

__all__ = ["expectations", "write_report"]

Results = list[dict[str, Any]]
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
    seeds = ", ".join(str(result["seed"]) for result in results)
    val, test = results[0]["samples"]
    zero = _spread([r["untouched"]["tasks"] for r in results]), _spread([r["untouched"]["control"] for r in results])
    lines = [
        f"## {bank}",
        "",
        f"Seeds {seeds}; {val} validation and {test} test samples a task. Untouched model on test: tasks {zero[0]}, control {zero[1]}.",
        "",
        *_modes_table("pre-trained", [r["modes"] for r in results]),
    ]
    random = [r["random"] for r in results if r["random"]]
    if random:
        lines += _modes_table("no pre-training", random)
    advantage = _spread([r["modes"]["standard"]["advantage"] for r in results])
    lines += [f"Non-linear advantage of standard fine-tuning on one task: {advantage}.", ""]
    kernels = [r["kernel"] for r in results if r["kernel"]]
    if kernels:
        energy = {place: _spread([k[place] for k in kernels], 1) for place in kernels[0]}
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
            lines += _merging_table(control, rows, results[0]["budget"])
    return lines


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
        cells = [
            _spread([table[mode][column] for table in tables], 2 if column == "alpha" else 3) for column in COLUMNS
        ]
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
        worst = max(mean(mode, "normalised", "random") for mode in ("standard", "linear"))
        checks.append((f"normalised addition without pre-training: {worst:.3f} <= 0.80", worst <= 0.80))
    kernels = [r["kernel"] for r in results if r["kernel"]]
    if kernels:
        ratio = float(np.mean([k["own task"] / max(k["other task"], k["control"]) for k in kernels]))
        checks.append((f"local energy on the task / elsewhere = {ratio:.1f} >= 1.8", ratio >= 1.8))
    return checks


def _merging_table(control: bool, rows: list[list[dict[str, Any]]], budget: int) -> list[str]:
    title = "95 % of the control kept (on validation)" if control else "control not looked at"
    lines = [
        f"Merging, {title}, {budget} evaluations for every search; accuracy in points, the last two columns in % of the untouched model:",
        "",
        "| method | evaluations | validation | test | normalised test | test - validation | control, validation | control, test |",
        "|---|" + "---:|" * 7,
    ]
    methods = [row["method"] for row in rows[0]]
    by_method = {m: [next(row for row in seed if row["method"] == m) for seed in rows] for m in methods}
    lost = {m for m in methods if control and min(row["control_validation"] for row in by_method[m]) < CONTROL_SHARE}
    best = max((m for m in methods if m not in lost), key=lambda m: np.mean([row["test"] for row in by_method[m]]))
    for method in methods:
        found = by_method[method]
        cells = [
            f"{np.mean([row['evaluations'] for row in found]):.0f}",
            _spread([100 * row["validation"] for row in found], 1),
            _spread([100 * row["test"] for row in found], 1),
            _spread([100 * row["normalised"] for row in found], 1),
            _spread([100 * (row["test"] - row["validation"]) for row in found], 1, signed=True),
            _spread([100 * row["control_validation"] for row in found], 1),
            _spread([100 * row["control"] for row in found], 1),
        ]
        if method == best:
            cells[2] = f"**{cells[2]}**"
        note = " (loses the control)" if method in lost else ""
        lines.append(f"| {method}{note} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _spread(values: Iterable[float], digits: int = 3, *, signed: bool = False) -> str:
    found = [float(value) for value in values]
    form: Callable[[float], str] = lambda value: f"{value:{'+' if signed else ''}.{digits}f}"  # noqa: E731
    return form(float(np.mean(found))) + (f" ± {np.std(found, ddof=1):.{digits}f}" if len(found) > 1 else "")
