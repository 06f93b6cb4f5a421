"""Tables of the merging methods: all of them, dfoattack against each peer, and over-fitting by validation samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from .arithmetic import CONTROL_SHARE

__all__ = ["duels", "methods_table", "sizes_table", "spread"]

Rows = list[dict[str, Any]]
SEARCHES = ("task, accuracy", "task, loss", "layer, accuracy", "layer, loss")


def spread(values: Iterable[float], digits: int = 3, *, signed: bool = False) -> str:
    """Mean ± standard deviation of values, one a seed."""
    found = [float(value) for value in values]
    sign = "+" if signed else ""
    mean = round(float(np.mean(found)), digits) + 0.0  # no minus zero
    return f"{mean:{sign}.{digits}f}" + (f" ± {np.std(found, ddof=1):.{digits}f}" if len(found) > 1 else "")


def methods_table(control: bool, seeds: Sequence[Rows], budget: int) -> list[str]:
    """One line a method; the best test accuracy of those that keep the control is bold.

    seeds : for each seed the rows of all methods
    """
    title = "95 % of the control kept (on validation)" if control else "control not looked at"
    lines = [
        f"Merging, {title}, {budget} evaluations for every search (CMA-ES and dfoattack begin at the grid's point and pay for the grid); "
        "accuracy in points, the last two columns in % of the untouched model:",
        "",
        "| method | evaluations | validation | test | over the grid | normalised test | test - validation | control, validation | control, test |",
        "|---|" + "---:|" * 8,
    ]
    methods = [row["method"] for row in seeds[0]]
    found = {method: [_row(rows, method) for rows in seeds] for method in methods}
    lost = {m for m in methods if control and min(row["control_validation"] for row in found[m]) < CONTROL_SHARE}
    best = max((m for m in methods if m not in lost), key=lambda m: np.mean([row["test"] for row in found[m]]))
    for method in methods:
        rows = found[method]
        cells = [
            f"{np.mean([row['evaluations'] for row in rows]):.0f}",
            spread([100 * row["validation"] for row in rows], 1),
            spread([100 * row["test"] for row in rows], 1),
            spread(_over(rows, found["grid"]), 1, signed=True),
            spread([100 * row["normalised"] for row in rows], 1),
            spread([100 * (row["test"] - row["validation"]) for row in rows], 1, signed=True),
            spread([100 * row["control_validation"] for row in rows], 1),
            spread([100 * row["control"] for row in rows], 1),
        ]
        if method == best:
            cells[2] = f"**{cells[2]}**"
        note = " (loses the control)" if method in lost else ""
        lines.append(f"| {method}{note} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def duels(control: bool, seeds: Sequence[Rows]) -> list[str]:
    """Test accuracy of dfoattack minus that of a peer, seed by seed: AdaMerging of the same scope, CMA-ES on the same objective."""
    title = "control kept" if control else "control not looked at"
    lines = [
        f"dfoattack minus a peer on test, points, paired by seed, and on how many seeds it is ahead ({title}; "
        "AdaMerging of the same scope, CMA-ES of the same scope and objective):",
        "",
        "| dfoattack | grid | TIES | DARE | AdaMerging | CMA-ES |",
        "|---|" + "---:|" * 5,
    ]
    for search in SEARCHES:
        own = [_row(rows, f"dfoattack, {search}") for rows in seeds]
        scope = search.split(",")[0]
        cells = []
        for peer in ("grid", "TIES", "DARE", f"AdaMerging, {scope}", f"CMA-ES, {search}"):
            gains = _over(own, [_row(rows, peer) for rows in seeds])
            cell = f"{spread(gains, 1, signed=True)} ({sum(gain > 0.0 for gain in gains)} of {len(gains)})"
            mean = round(float(np.mean(gains)), 1)
            cells.append(cell if mean > 0.0 else f"**{'behind' if mean < 0.0 else 'level'}:** {cell}")
        lines.append(f"| {search} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def sizes_table(seeds: Sequence[Rows]) -> list[str]:
    """Over-fitting: gains over the grid on validation and on test by the number of validation samples.

    seeds : for each seed the rows of all methods and sizes, with a column `samples`
    """
    sizes = sorted({row["samples"] for row in seeds[0]})
    methods = [m for m in dict.fromkeys(row["method"] for row in seeds[0]) if m != "grid"]
    lines = [
        "Over-fitting by the number of validation samples a task (control not looked at): gain over the grid's point on validation -> on test, points; "
        "beside the method, the test accuracy.",
        "",
        "| samples | " + " | ".join(f"{method} | test" for method in methods) + " |",
        "|---:|" + "---:|" * (2 * len(methods)),
    ]
    for size in sizes:
        some = [[row for row in rows if row["samples"] == size] for rows in seeds]
        grid = [_row(rows, "grid") for rows in some]
        cells = []
        for method in methods:
            found = [_row(rows, method) for rows in some]
            gains = (spread(_over(found, grid, column), 1, signed=True) for column in ("validation", "test"))
            cells += [" -> ".join(gains), spread([100 * row["test"] for row in found], 1)]
        lines.append(f"| {size} | " + " | ".join(cells) + " |")
    return [*lines, ""]


def _row(rows: Rows, method: str) -> dict[str, Any]:
    return next(row for row in rows if row["method"] == method)


def _over(rows: Rows, others: Rows, column: str = "test") -> list[float]:
    """Differences in points, seed by seed."""
    return [100 * (row[column] - other[column]) for row, other in zip(rows, others, strict=True)]
