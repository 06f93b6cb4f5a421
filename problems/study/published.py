"""The four methods of the directional-attack study (arXiv 2510.01461) by the rules of its published code, as baselines.

Written from a description of those rules. Where the published code slips, `Rules` chooses between the slip and what was
meant, so that the effect of each can be measured:

- poll: a basis whose rank is floor(n/2) + 1 only, against +- the columns of a random reflection;
- direction: the gradient of the outputs minus its own mean is sent back through the network, against the gradient;
- gradient: a wrong hand-written derivative of f, and constraints on x that the gradient does not see, against the right one;
- walls: constraints as a quadratic penalty with hand-chosen scales, against a barrier (violation first, value second);
- covering: lengths (U r)^(1/n) in the maximum norm, against r U^(1/n) in the Euclidean one (uniform in the ball).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .books import Books, FloatArray, Point, Spent, sufficient

if TYPE_CHECKING:
    from dfoattack.problem import Problem

__all__ = ["METHODS", "SLIPS", "Radii", "Rules", "attacks", "cdsm", "hybrid", "line_search"]

SLIPS = ("poll", "direction", "gradient", "walls", "covering")
OutputGradient = Callable[[FloatArray], FloatArray]
"""y (m,) -> what is taken for the gradient of f there (m,), user's sense."""


@dataclass(frozen=True)
class Radii:
    """Radii in the problem's units: the first, and the ranges of the attack's and of the poll's."""

    start: float
    attack: tuple[float, float]
    poll: tuple[float, float]

    @classmethod
    def of(cls, problem: Problem) -> Radii:
        """The published ones of the three problems; a tenth of the widest side and six decades below for others."""
        known = {
            "biodiesel": cls(1e-3, (1e-6, 1.0), (1e-6, 0.1)),
            "image-blend": cls(1.0, (1e-6, 10.0), (1e-5, 10.0)),
            "counterfactual-map": cls(1.0, (1e-5, 5.0), (1e-4, 200.0)),
        }
        widths = problem.space.upper - problem.space.lower
        width = float(np.max(widths[np.isfinite(widths)], initial=0.0)) or 10.0
        usual = cls(0.1 * width, (1e-7 * width, width), (1e-7 * width, width))
        return known.get(problem.name, known["counterfactual-map"] if "counterfactual" in problem.name else usual)


@dataclass(frozen=True)
class Rules:
    """Which slips are in: True is as published, False as it was meant."""

    poll: bool = True
    direction: bool = True
    gradient: bool = True
    walls: bool = True
    covering: bool = True

    @classmethod
    def right(cls) -> Rules:
        """None of the slips."""
        return cls(*(False for _ in SLIPS))

    def but(self, slip: str) -> Rules:
        """The same with one slip the other way round."""
        return dataclasses.replace(self, **{slip: not getattr(self, slip)})


@dataclass
class _Run:
    """What the steps of one run share."""

    books: Books
    rules: Rules
    radii: Radii
    rng: np.random.Generator
    best: Point
    wrong_gradient: OutputGradient | None = None
    iteration: int = 0
    searches: int = 0

    def try_point(self, x: FloatArray, step: str, radius: float) -> Point | None:
        """Evaluate; the point if it is better than the incumbent, which it then replaces."""
        point = self.books.evaluate(x, step, self.iteration, radius)
        if point.score > self.best.score:
            self.best = point
            return point
        return None

    # ---------------------------------------------------------------- steps

    def attack(self, radius: float) -> tuple[bool, bool]:
        """One sign step of length `radius` along the direction; (improved, by a thousandth of the value)."""
        before = self.best.score
        g = self.direction()
        if not g.any():
            return False, False
        found = self.try_point(self.best.x + radius * np.sign(g), "attack", radius)
        return found is not None, found is not None and sufficient(found.score, before)

    def direction(self) -> FloatArray:
        """Where the attack sees the score rise, (n,): one vector-Jacobian product."""
        return ascent_direction(self.books, self.best, self.rules, self.wrong_gradient)

    def cover(self) -> bool:
        """One random point near the incumbent."""
        n, r = len(self.best.x), self.radii.start
        d = self.rng.standard_normal(n)
        if self.rules.covering:
            d *= (self.rng.random() * r) ** (1.0 / n) / np.abs(d).max()
        else:
            d *= r * self.rng.random() ** (1.0 / n) / np.linalg.norm(d)
        return self.try_point(self.best.x + d, "covering", r) is not None

    def search(self) -> bool:
        """One random direction, longer the more searches there were."""
        d = self.rng.standard_normal(len(self.best.x))
        length = min(self.radii.start * np.sqrt(self.searches + 1.0), self.radii.poll[1])
        self.searches += 1
        return self.try_point(self.best.x + length * d / np.linalg.norm(d), "search", length) is not None

    def poll(self, radius: float, deficient: bool) -> bool:
        """Directions of maximum norm `radius` until one improves."""
        for d in poll_directions(len(self.best.x), deficient, self.rng):
            if self.try_point(self.best.x + radius * d / np.abs(d).max(), "poll", radius) is not None:
                return True
        return False

    def direct_search(self, radius: float, deficient: bool) -> float:
        """Covering, search and poll, each only if the one before failed; the new poll radius."""
        if self.cover() or self.search():
            return radius
        if self.poll(radius, deficient):
            return min(2.0 * radius, self.radii.poll[1])
        return 0.5 * radius


def ascent_direction(books: Books, point: Point, rules: Rules, wrong: OutputGradient | None = None) -> FloatArray:
    """The direction of an attack at a point, (n,): one vector-Jacobian product, with the slips of `rules`.

    The score is seen as a function of the outputs (y, max(s c, 0)): u = (grad f, -2 max(s c, 0)) is its gradient by them.
    Centred, u - mean(u) goes back instead of u. By the barrier u belongs to the violation alone while there is any.
    """
    problem = books.problem
    books.charge_gradient()
    x, y = point.x[None], point.y[None]
    # The outer functions' own derivatives need no pass through the network.
    D, V = problem._outer_gradient(x, y, np.full(1, books.sign), None)
    if rules.gradient and wrong is not None:
        V = books.sign * wrong(point.y)[None]
    scale = books.weights(len(point.c))
    beyond = np.maximum(scale * point.c, 0.0)
    if books.barrier and beyond.any():
        D, V = np.zeros_like(D), np.zeros_like(V)
    W = -2.0 * scale * beyond
    if rules.direction:
        mean = (V.sum() - 2.0 * beyond.sum()) / (V.shape[1] + len(beyond))
        W = W - mean * scale * (beyond > 0.0)
        V = V - mean
    DC, VC = problem._outer_gradient(x, y, np.zeros(1), W[None])
    gradient, _ = problem._through_phi(x, V + VC, D if rules.gradient else D + DC)
    return np.where(np.isfinite(gradient[0]), gradient[0], 0.0)


def poll_directions(n: int, deficient: bool, rng: np.random.Generator) -> FloatArray:
    """Rows of a poll in random order: +- the columns of a random reflection (2n), or n + 1 rows of rank floor(n/2) + 1."""
    v = rng.standard_normal(n)
    v /= np.linalg.norm(v)
    H = np.eye(n) - 2.0 * np.outer(v, v)
    if not deficient:
        rows = np.vstack([H, -H])
    else:
        rows = rng.standard_normal((n, n // 2 + 1)) @ H[: n // 2 + 1]
        rows = np.vstack([rows, -rows.sum(0)])
    return np.asarray(rows[rng.permutation(len(rows))])


# ---------------------------------------------------------------- the four methods


def line_search(run: _Run) -> None:
    """Random line searches: along a random line both ways, doubling while it improves; half as long after n failures.

    The description says no more than the name; lengths begin at the first radius and end at the poll's least one.
    """
    length, failures, n = run.radii.start, 0, len(run.best.x)
    while length > run.radii.poll[0]:
        run.iteration += 1
        d = run.rng.standard_normal(n)
        d /= np.linalg.norm(d)
        both = (s for s in (1.0, -1.0) if run.try_point(run.best.x + s * length * d, "line", length) is not None)
        sign = next(both, 0.0)
        failures = 0 if sign else failures + 1
        while sign:
            length = min(2.0 * length, run.radii.poll[1])
            if run.try_point(run.best.x + sign * length * d, "line", length) is None:
                break
        if failures >= n:
            length, failures = 0.5 * length, 0


def cdsm(run: _Run) -> None:
    """The covering direct search method; its own poll has full rank in the published code too."""
    radius = run.radii.start
    while radius > run.radii.poll[0]:
        run.iteration += 1
        radius = run.direct_search(radius, deficient=False)


def attacks(run: _Run) -> None:
    """Attacks alone: radius x 1.3 after a gain of a thousandth, x 1.1 after a smaller one, / 1.3 after none."""
    radius = run.radii.start
    while radius > run.radii.attack[0]:
        run.iteration += 1
        radius, _ = _attacked(run, radius)


def hybrid(run: _Run) -> None:
    """An attack, then, unless it gained a thousandth, covering, search and poll; until both radii are at their least."""
    attack_radius = poll_radius = run.radii.start
    while attack_radius > run.radii.attack[0] or poll_radius > run.radii.poll[0]:
        run.iteration += 1
        attack_radius, skip = _attacked(run, attack_radius)
        attack_radius = max(attack_radius, run.radii.attack[0])
        if not skip:
            poll_radius = max(run.direct_search(poll_radius, run.rules.poll), run.radii.poll[0])


def _attacked(run: _Run, radius: float) -> tuple[float, bool]:
    improved, much = run.attack(radius)
    factor = 1.3 if much else 1.1 if improved else 1.0 / 1.3
    return min(factor * radius, run.radii.attack[1]), much


METHODS: dict[str, Callable[[_Run], None]] = {
    "line-search": line_search,
    "cdsm": cdsm,
    "attacks": attacks,
    "hybrid": hybrid,
}


def run_method(
    name: str,
    problem: Problem,
    budget: float,
    seed: int,
    *,
    gradient_cost: float = 2.0,
    rules: Rules | None = None,
    scale: FloatArray | None = None,
    wrong_gradient: OutputGradient | None = None,
    start: FloatArray | None = None,
    on_gradient: Callable[[], None] | None = None,
) -> Books:
    """One run of one method, from `start` (n,) or the problem's first start until it stops or the budget is spent.

    scale (p,): of constraint columns in the penalty; wrong_gradient: what the slip "gradient" takes for that of f;
    on_gradient: see `Books`.

    Raises
    ------
    ValueError      attacks on a problem without gradients, or no start
    """
    rules = Rules() if rules is None else rules
    if name in ("attacks", "hybrid") and not problem.has_gradient:
        raise ValueError(f"`{name}` needs gradients, and the problem {problem.name} has none.")
    if start is None and problem.x0 is None:
        raise ValueError(f"`start` must be given, for the problem {problem.name} has none.")
    books = Books(problem, budget, gradient_cost, scale, barrier=not rules.walls)
    if on_gradient is not None:
        books.on_gradient = on_gradient
    x0 = np.array(problem.x0[0] if start is None else start)  # type: ignore[index]
    try:
        first = books.evaluate(x0, "start", 0)
        METHODS[name](_Run(books, rules, Radii.of(problem), np.random.default_rng(seed), first, wrong_gradient))
    except Spent:
        pass
    return books
