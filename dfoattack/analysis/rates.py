"""Success rates: every operator, from every point, at every radius."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from dfoattack import registry
from dfoattack._typing import BoolArray, FloatArray
from dfoattack.analysis.points import Points, judged, reach
from dfoattack.attacks import BUILTIN, by_name
from dfoattack.attacks.base import AttackOperator, Target, View, realise
from dfoattack.attacks.extended import extended, softened
from dfoattack.errors import EvaluationError, OptionError, ProblemError
from dfoattack.evaluator import Evaluator
from dfoattack.gradient_sources.base import Room
from dfoattack.gradient_sources.choice import chosen, probing
from dfoattack.gradient_sources.view import SourceView
from dfoattack.options import Options
from dfoattack.problem import Problem
from dfoattack.source_names import EXACT

__all__ = ["RADII", "Rates", "analyse"]

RADII = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
_BLOCK = 32  # centres a call
_FRAME = 1e-2  # frame size in which estimated gradients probe, in units of a tenth of the box

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, eq=False)
class Rates:
    """What became of the attacks of a operators from k points at q radii.

    Attributes
    ----------
    operators : tuple of str            that could be tried, by name
    radii : float64 (q,)                shares of the box; the last one is +inf: operators that choose their own steps in the whole box
    success : bool (a, k, q)            the best of what was proposed is an improvement: at an infeasible point less violation, at a feasible one
                                        a better feasible value
    proposed : bool (a, k, q)           something was proposed
    tried : bool (a, q)                 the operator takes such a radius
    passes, products, trials : int64 (a,)   forward passes, vector-Jacobian products and evaluated proposals, of all its attacks together
    unusable : dict                     operator -> why it could not be tried
    gradient_source : str
    points : Points
    """

    operators: tuple[str, ...]
    radii: FloatArray
    success: BoolArray
    proposed: BoolArray
    tried: BoolArray
    passes: FloatArray
    products: FloatArray
    trials: FloatArray
    unusable: dict[str, str]
    gradient_source: str
    points: Points

    def by_radius(self) -> FloatArray:
        """Share of the points improved, (a, q); NaN where an operator was not tried."""
        return np.where(self.tried, self.success.mean(axis=1), np.nan)

    def at_some_radius(self, group: BoolArray) -> FloatArray:
        """Share of the points of a group (k,) bool improved at one radius at least, (a,); NaN for an empty group."""
        if not group.any():
            return np.full(len(self.operators), np.nan)
        rates: FloatArray = self.success[:, group].any(axis=2).mean(axis=1)
        return rates

    def attacks(self) -> FloatArray:
        """Attacks made by each operator, (a,)."""
        return np.asarray(len(self.points) * self.tried.sum(axis=1), dtype=np.float64)


def analyse(
    problem: Problem,
    points: Points,
    *,
    operators: Sequence[str | AttackOperator] | None = None,
    radii: Sequence[float] = RADII,
    gradient_source: str = "auto",
    seed: int = 0,
    progress: Progress | None = None,
) -> Rates:
    """Attack every point with every operator at every radius and count what improves.

    Parameters
    ----------
    operators : sequence of names or operators      None: every operator that is installed
    radii : sequence of floats                      in (0, 1], shares of the box
    gradient_source : str                           as the option of that name: "auto" takes exact gradients, "forward", "spsa", ... estimate them
    progress : callable (done, total, text)

    Raises
    ------
    OptionError         a name, a radius; no gradient source
    EvaluationError     user code raised something undeclared
    """
    ladder = np.asarray(radii, dtype=np.float64)
    if ladder.ndim != 1 or not ladder.size or not np.all((ladder > 0.0) & (ladder <= 1.0)):
        raise OptionError(f"`radii` must be numbers in (0, 1], got {list(radii)}.")
    source = chosen(Options(gradient_source=gradient_source), problem)
    if source not in EXACT and probing(source) is None:
        raise OptionError(
            "Attacks need gradients, and this problem has none: its surrogate has no `vjp`. Estimate them: "
            "`gradient_source` = 'forward', 'central', 'subspace', 'spsa' or 'nes'."
        )
    names = sorted({*BUILTIN, *registry.names(registry.ATTACKS)}) if operators is None else list(operators)
    bench = _Bench(problem, points, source, seed)
    usable: list[AttackOperator] = []
    unusable: dict[str, str] = {}
    for name in names:
        operator = _made(name, operators is None, unusable)
        reason = "" if operator is None else bench.refusal(operator)
        if reason:
            unusable[operator.name] = reason  # type: ignore[union-attr]  # only an operator is refused
        elif operator is not None:
            usable.append(operator)
    columns = np.append(np.unique(ladder), np.inf)
    total, done = len(usable) * columns.size, 0
    kept: list[_Tally] = []
    for number, operator in enumerate(usable):
        tally = _Tally(operator.name, len(points), columns.size)
        try:
            for j, radius in enumerate(columns):
                if (radius == np.inf) == bool(operator.whole_box or operator.lattice):
                    bench.attack(operator, number, radius, j, tally)
                done += 1
                if progress is not None:
                    progress(done, total, operator.name)
            kept.append(tally)
        except EvaluationError:
            raise
        except Exception as error:  # a plug-in that raises spoils its own row only
            unusable[operator.name] = f"{type(error).__name__}: {error}"
            done = (number + 1) * columns.size
    return _assembled(kept, columns, unusable, source, points)


def _made(name: str | AttackOperator, lenient: bool, unusable: dict[str, str]) -> AttackOperator | None:
    """The operator; of all that are installed, one that cannot be made only loses its row."""
    if not isinstance(name, str):
        return name
    try:
        return by_name(name)
    except Exception as error:
        if not lenient:
            raise
        unusable[name] = str(error)
        return None


class _Tally:
    """What one operator has done so far."""

    def __init__(self, name: str, k: int, q: int) -> None:
        self.name = name
        self.success = np.zeros((k, q), dtype=bool)
        self.proposed = np.zeros((k, q), dtype=bool)
        self.tried = np.zeros(q, dtype=bool)
        self.passes = self.products = self.trials = 0


class _Bench:
    """The problem, the points, and how one attack is made and judged."""

    def __init__(self, problem: Problem, points: Points, source: str, seed: int) -> None:
        self.problem, self.points, self.source, self.seed = problem, points, source, seed
        self.space, self.reach = problem.space, reach(problem)
        self.categorical = np.isin(self.space.free, list(self.space.categories))
        self.granular = (self.space.free_granularity > 0.0) & ~self.categorical

    def refusal(self, operator: AttackOperator) -> str:
        """Why an operator cannot be tried on this problem, "" if it can."""
        if operator.lattice and not self.granular.any():
            return "moves granular variables, and there are none"
        if operator.inner_points and np.all(self.granular | self.categorical):
            return "looks between the values of granular variables, and there are no others"
        estimate = probing(self.source)
        if operator.whole_box and estimate is not None and estimate.random:
            return "random estimates have no curvature for a polish"
        return ""

    def attack(self, operator: AttackOperator, number: int, radius: float, j: int, tally: _Tally) -> None:
        """Attack all points at one radius, and judge what is proposed."""
        tally.tried[j] = True
        held = self.categorical | (self.granular & operator.inner_points)
        step = 1 if held.any() else _BLOCK
        rng = np.random.Generator(np.random.PCG64([self.seed, number, j]))
        for start in range(0, len(self.points), step):
            self._block(operator, np.arange(start, min(start + step, len(self.points))), radius, held, rng, j, tally)

    def _block(
        self,
        operator: AttackOperator,
        rows: np.ndarray,
        radius: float,
        held: BoolArray,
        rng: np.random.Generator,
        j: int,
        tally: _Tally,
    ) -> None:
        door = Evaluator(self.problem)
        points, longest = self.points, float(self.reach.max())
        view = self._view(door, rng)
        view.outputs(points.Z[rows])  # a run knows its centres: their passes are not the attack's
        before = door.counters
        target = self._target(rows, held)
        if self.problem.softened:
            target = softened(target, view)
        target, view = extended(target, view, points.columns, self.problem.polyhedron)
        found = operator(target, np.array([longest if radius == np.inf else radius * longest]), view, rng)
        spent = door.counters - before
        tally.passes += spent.passes
        tally.products += spent.ngev
        if not len(found):
            return
        centre = rows[found.centre]
        Z = self.space.snap(realise(points.Z[centre], found.D, self.space.free_lower, self.space.free_upper))
        if self.problem.polyhedron is not None:
            inside = self.problem.polyhedron.inside(Z)
            centre, Z = centre[inside], Z[inside]
        tally.trials += Z.shape[0]
        tally.proposed[centre, j] = True
        answer = door.evaluate(Z)
        h = judged(np.where(answer.ok[:, None], answer.C, np.nan), points.columns)
        h = np.where(answer.ok, h, np.inf)
        feasible = points.h[centre] == 0.0
        better = np.where(feasible, (h == 0.0) & (answer.F < points.F[centre]), h < points.h[centre])
        tally.success[centre[better], j] = True

    def _target(self, rows: np.ndarray, held: BoolArray) -> Target:
        points, columns = self.points, self.points.columns
        lower, upper = self.space.free_lower, self.space.free_upper
        if held.any():  # one centre at a time
            z = points.Z[rows[0]]
            lower, upper = np.where(held, z, lower), np.where(held, z, upper)
        return Target(
            points.Z[rows],
            points.F[rows],
            points.C[rows],
            lower,
            upper,
            self.reach / self.reach.max(),
            columns.tol,
            columns.scale,
            columns.extreme,
            granularity=self.space.free_granularity,
        )

    def _view(self, door: Evaluator, rng: np.random.Generator) -> View:
        if self.source in EXACT:
            return door.view()
        room = Room(
            self.space.free_lower, self.space.free_upper, 0.1 * self.reach, _FRAME, self.granular | self.categorical
        )
        polyhedron = self.problem.polyhedron
        admits = None if polyhedron is None else polyhedron.inside
        return SourceView(door.view(), {}, probing(self.source), room, admits, rng)


def _assembled(
    kept: Sequence[_Tally], columns: FloatArray, unusable: dict[str, str], source: str, points: Points
) -> Rates:
    if not kept:
        raise ProblemError(f"No operator could be tried: {unusable}.")
    return Rates(
        tuple(tally.name for tally in kept),
        columns,
        np.stack([tally.success for tally in kept]),
        np.stack([tally.proposed for tally in kept]),
        np.stack([tally.tried for tally in kept]),
        np.array([tally.passes for tally in kept], dtype=np.float64),
        np.array([tally.products for tally in kept], dtype=np.float64),
        np.array([tally.trials for tally in kept], dtype=np.float64),
        unusable,
        source,
        points,
    )
