"""How far the untrusted and the trusted optimum of a network are from the truth, on the bio-diesel reactor, whose kinetics are known.

    python -m benchmarks.trust_study [--seeds 3] [--budget 200] [--out benchmarks/results/trust.md]

Four networks of the same reactor (hard or soft head; trained on t <= 120 min and Q <= 8 W, or on t <= 60 and Q in [4, 6] only) are optimised
in the same box, t <= 120 and Q <= 20: without trust (the best optimum known, and a run from the default start), inside a data support, against
the worst point of a ball, as the worse of two networks, and under the eyes of the true simulator (true violations up to 0.5 count as none
there). Runs are kept in a .jsonl file beside the table; stopped, the study goes on where it was.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import dfoattack as da
from benchmarks.machine import paragraph
from dfoattack.named_problems import find
from dfoattack.studies import StudyLine

NETWORKS = (("soft", "narrow"), ("soft", "wide"), ("hard", "narrow"), ("hard", "wide"))
WAYS = (
    "best known", "untrusted", "box", "knn", "mahalanobis", "robust", "worst of two", "verified", "verified in support",
)  # fmt: skip
TRUE_BEST, TRUE_X = 3.335336, (81.028, 6.1707)  # problems/biodiesel/README.md
RHO, STEPS = 0.01, 5
PRICE = 1 + (STEPS + 1) + 2 * STEPS  # of one robust evaluation, in evaluations
ROUNDS = 8
ALLOWED = 0.5  # true violation that a verified run may have: degC, mol/L
SCALE = np.array([120.0, 20.0])  # min, W

_COLOURS = dict(
    zip(
        WAYS,
        ("#882255", "#d55e00", "#0072b2", "#56b4e9", "#009e73", "#cc79a7", "#e69f00", "#202124", "#5f6368"),
        strict=True,
    )
)


def make(head: str, support: str) -> da.Problem:
    """The reactor problem with one of the shipped networks."""
    return find("biodiesel").make({"head": head, "support": support})


def truth(x: Any) -> tuple[float, float]:
    """True f and the largest true constraint value."""
    from dfoattack_problems.biodiesel.problem import truth as simulated

    f, violation = simulated(np.asarray(x))
    return float(f), float(violation)


def worst_of_two(support: str) -> da.Problem:
    """The worse of the hard and the soft network trained on the same data, in f and in every constraint."""
    soft, hard = make("soft", support), make("hard", support)
    caution = da.trust.Caution(2, "worst")
    return soft.replace(
        surrogate=da.Ensemble([soft.surrogate, hard.surrogate]),
        objective=caution.objective(soft.objective),
        constraints=[dataclasses.replace(c, fn=caution.constraint(c.fn)) for c in soft.constraints],
    )


def run(head: str, support: str, way: str, seed: int, budget: float) -> dict[str, Any]:
    """One run: where it ends, what the model says there, what is true, and what the trust report says."""
    plain, calls = make(head, support), 0
    if way == "best known":
        known = plain.known
        assert known is not None and known.x is not None  # declared for the shipped networks
        x, predicted, cost = known.x, known.value, math.nan
    elif way.startswith("verified"):
        region = None if way == "verified" else da.trust.DataSupport(plain.support, "knn", space=plain.space)
        found = da.solve_verified(
            plain, budget=ROUNDS * budget, verify=truth, rounds=ROUNDS, support=region, violation_tol=ALLOWED, seed=seed
        )
        x, predicted, cost, calls = found.x, found.predicted, found.cost, len(found.f_true)
    else:
        problem, limit = plain, budget
        if way in ("box", "knn", "mahalanobis"):
            problem = da.trust.supported(plain, way)
        elif way == "robust":
            problem, limit = da.trust.robust(plain, RHO, steps=STEPS), PRICE * budget / 2.0
        elif way == "worst of two":
            problem = worst_of_two(support)
        result = da.solve(problem, budget=limit, seed=seed)
        x, predicted, cost = result.x, result.fun, result.cost
    f, violation = truth(x)
    report = da.solve(plain.replace(x0=x), budget=1, options={"attacks": ()}).trust
    assert report is not None  # the problem declares training inputs
    return {
        "head": head, "support": support, "way": way, "seed": seed, "x": list(map(float, x)), "predicted": float(predicted),
        "true": f, "violation": violation, "verdict": report.verdict, "percentile": report.percentile, "cost": float(cost),
        "calls": calls,
    }  # fmt: skip


def play(
    file: Path, seeds: int, budget: float, only: str | None, progress: Callable[[int, int, str], None]
) -> list[dict[str, Any]]:
    """All runs (of one network), those that `file` holds already not again."""
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []
    done = {(row["head"], row["support"], row["way"], row["seed"]) for row in rows}
    cells = [(*network, way, seed) for seed in range(seeds) for network in NETWORKS for way in WAYS]
    cells = [cell for cell in cells if not (cell[2] == "worst of two" and cell[0] == "hard")]  # it is the same problem
    cells = [cell for cell in cells if not (cell[2] == "best known" and cell[3] > 0)]
    cells = [cell for cell in cells if only in (None, f"{cell[0]}-{cell[1]}")]
    for number, cell in enumerate(cells):
        if cell not in done:
            rows.append(run(*cell, budget))
            with file.open("a", encoding="utf-8") as out:
                out.write(json.dumps(rows[-1]) + "\n")
        progress(number + 1, len(cells), " ".join(map(str, cell)))
    return rows


def table(rows: Sequence[dict[str, Any]]) -> str:
    """One line a network and way: medians over the seeds."""
    lines = [
        "| network | way | x (min, W) | predicted f | true f | predicted - true | true violation | verdict | percentile | cost | true calls |",
        "|---|---|---|---:|---:|---:|---:|---|---:|---:|---:|",
    ]
    for head, support in NETWORKS:
        for way in WAYS:
            own = [r for r in rows if (r["head"], r["support"], r["way"]) == (head, support, way)]
            if not own:
                continue
            middle = sorted(own, key=lambda r: r["true"])[len(own) // 2]
            t, q = np.array(middle["x"]) * SCALE
            violation = max(r["violation"] for r in own)
            verdicts = "/".join(sorted({r["verdict"] for r in own}))
            lines.append(
                f"| {head} {support} | {way} | {t:.2f}, {q:.3f} | {middle['predicted']:.4f} | {middle['true']:.4f} | "
                f"{middle['predicted'] - middle['true']:+.4f} | {violation:.2g} | {verdicts} | {middle['percentile']:.0f} | "
                f"{_number(np.median([r['cost'] for r in own]))} | {max(r['calls'] for r in own)} |"
            )
    return "\n".join(lines)


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f}"


def picture(file: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Where each way ends on the map of the true f, and what was predicted beside what is true."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16.0, 8.5), layout="constrained")
    axes = figure.subplots(2, 4, height_ratios=(1.3, 1.0))
    t, q = np.linspace(0.0, 120.0, 31), np.linspace(0.0, 20.0, 31)
    grid = np.array([[truth((a / 120.0, b / 20.0)) for a in t] for b in q])
    f = np.where(grid[:, :, 1] <= 0.0, grid[:, :, 0], np.nan)
    for column, (head, support) in enumerate(NETWORKS):
        above, below = axes[0, column], axes[1, column]
        own = [r for r in rows if (r["head"], r["support"]) == (head, support)]
        above.contourf(t, q, f, levels=12, cmap="Greys", alpha=0.6)
        inputs = make(head, support).support * SCALE
        above.plot(*inputs.T, ".", color="#56b4e9", markersize=1.5, label="training inputs")
        above.plot(*TRUE_X, "*", color="#f0e442", markeredgecolor="black", markersize=15, label="true optimum")
        for way in WAYS:
            points = np.array([r["x"] for r in own if r["way"] == way]).reshape(-1, 2) * SCALE
            above.plot(*points.T, "o", color=_COLOURS[way], markersize=7, markeredgecolor="white", label=way)
        above.set(
            xlim=(-3, 123), ylim=(-0.5, 20.5), xlabel="time, min", title=f"{head} head, trained on {support} data"
        )
        ways = [way for way in WAYS if any(r["way"] == way for r in own)]
        for place, way in enumerate(ways):
            for r in (r for r in own if r["way"] == way):
                below.plot([place, place], [r["predicted"], r["true"]], color=_COLOURS[way], linewidth=1.0)
                below.plot(place, r["predicted"], "o", color=_COLOURS[way], markerfacecolor="white")
                below.plot(place, r["true"], "o" if r["violation"] <= 1e-3 else "X", color=_COLOURS[way])
        below.axhline(TRUE_BEST, color="#5f6368", linestyle="--", linewidth=0.9)
        below.set_xticks(range(len(ways)), ways, rotation=35, ha="right", fontsize="small")
    axes[0, 0].set_ylabel("power, W")
    axes[0, 3].legend(fontsize="small", loc="upper right")
    axes[1, 0].set_ylabel("f: predicted (hollow), true (filled;\nX where truly infeasible by over 1e-3)")
    figure.suptitle(
        "Where the optimum of the network is in truth (grey: true f where truly feasible)", x=0.01, ha="left"
    )
    figure.savefig(file, dpi=110)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="repetitions, default 3")
    parser.add_argument("--budget", type=float, default=200.0, help="evaluations of one run, default 200")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("benchmarks/results/trust.md"),
        help="the table; picture and runs lie beside it",
    )
    names = [f"{head}-{support}" for head, support in NETWORKS]
    parser.add_argument("--only", choices=names, help="the runs of one network, without the table")
    options = parser.parse_args(arguments)
    line = StudyLine()
    rows = play(options.out.with_suffix(".jsonl"), options.seeds, options.budget, options.only, line)
    line.close()
    if options.only is not None:
        return 0
    text = table(rows)
    print(text)
    picture(options.out.with_suffix(".png"), rows)
    if not options.out.exists():
        head = "# Trust: the optimum of a network beside the truth\n\n"
        how = f"    python -m benchmarks.trust_study --seeds {options.seeds} --budget {options.budget:g}\n\n"
        options.out.write_text(
            f"{head}{how}{text}\n\n![map]({options.out.with_suffix('.png').name})\n\n{paragraph()}\n", encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
