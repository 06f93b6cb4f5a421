"""The rates as tables."""

from __future__ import annotations

import numpy as np

from dfoattack._typing import BoolArray
from dfoattack.analysis.points import SAMPLES, THIRDS, Points
from dfoattack.analysis.rates import Rates
from dfoattack.reports import table
from dfoattack.source_names import described

__all__ = ["groups", "order", "rates_text"]


def groups(points: Points) -> dict[str, BoolArray]:
    """The groups of points that are told apart, by name."""
    found: dict[str, BoolArray] = {"all": np.ones(len(points), dtype=bool)}
    found.update({name: points.sample == i for i, name in enumerate(SAMPLES)})
    found.update({name: points.third == i for i, name in enumerate(THIRDS)})
    found["infeasible"] = points.h > 0.0
    found["on a constraint"] = points.parked
    return found


def order(rates: Rates) -> list[int]:
    """Operators by the share of points they improve at some radius, best first; by name where it is equal."""
    share = rates.at_some_radius(np.ones(len(rates.points), dtype=bool))
    return sorted(range(len(rates.operators)), key=lambda i: (-share[i], rates.operators[i]))


def rates_text(rates: Rates) -> str:
    """Success by radius, success by group of points, what it cost, and what could not be tried."""
    rows = order(rates)
    by_radius = rates.by_radius()
    head = ("operator", *("box" if r == np.inf else f"{r:g}" for r in rates.radii))
    first = table(head, [(rates.operators[i], *map(_share, by_radius[i])) for i in rows])
    chosen = {name: group for name, group in groups(rates.points).items() if group.any()}
    shares = {name: rates.at_some_radius(group) for name, group in chosen.items()}
    head = ("operator", *(f"{name} ({int(group.sum())})" for name, group in chosen.items()))
    second = table(head, [(rates.operators[i], *(_share(share[i]) for share in shares.values())) for i in rows])
    attacks = rates.attacks()
    third = table(
        ("operator", "attacks", "proposing", "trials", "passes", "products"),
        [
            (
                rates.operators[i],
                f"{attacks[i]:.0f}",
                _share(rates.proposed[i][:, rates.tried[i]].mean()),
                *(f"{total[i] / attacks[i]:.2f}" for total in (rates.trials, rates.passes, rates.products)),
            )
            for i in rows
        ],
    )
    parts = [
        "Share of the points that an attack improves, in %: an infeasible point by less violation, a feasible one by a better\n"
        f"feasible value. Gradients: {described(rates.gradient_source, ())}.",
        f"by radius (share of the box; box: operators that choose their own steps)\n{first}",
        f"at one radius at least, by group of points\n{second}",
        f"cost of one attack (operator, point, radius)\n{third}",
    ]
    if rates.points.failed:
        parts.append(f"{rates.points.failed} drawn points had no value and were left out.")
    if rates.unusable:
        parts.append("not tried\n" + table(("operator", "why"), list(rates.unusable.items()), left=2))
    return "\n\n".join(parts)


def _share(value: float) -> str:
    return "-" if np.isnan(value) else f"{100.0 * value:.0f}"
