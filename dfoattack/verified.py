"""`solve_verified`: optimise the model, ask the true simulator about the best points, trust the model less or more, repeat.

A trust region for what the model is trusted with, in the manner of model management (Alexandrov, Dennis, Lewis & Torczon 1998): the region
shrinks where the truth does not follow the prediction, and grows where it does. No gradient of the truth is needed, so that nothing better
is promised than a point that was verified, and never a worse one than the start.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack._validation import check_finite_scalar, check_seed, shown
from dfoattack.api import solve
from dfoattack.errors import OptionError, ProblemError
from dfoattack.options import Options
from dfoattack.problem import Problem
from dfoattack.result import Records, Result
from dfoattack.trust.balls import reach_of
from dfoattack.trust.support import DataSupport, training_inputs
from dfoattack.trust.verify import checked_answer

__all__ = ["Round", "VerifiedResult", "solve_verified"]

POOR, GOOD = 0.25, 0.75  # true gain over predicted gain below which the region shrinks, from which it grows
SMALLEST = 1e-4  # region, in units of the first, below which nothing is left to be trusted
APART = 1e-3  # distance between points that are verified in one round, share of the box

Verify = Callable[[FloatArray], Any]
Refit = Callable[[Problem, FloatArray, FloatArray, FloatArray], Problem]


@dataclass(frozen=True)
class Round:
    """One round: size of the region (1 = all of it), the best prediction in it and the truth there, gains over the centre, what followed.

    A ratio of NaN: the model had no better feasible point to offer, or the truth had no value there.
    """

    size: float
    predicted: float
    true: float
    violation: float
    ratio: float
    action: str


@dataclass(frozen=True)
class VerifiedResult:
    """Outcome of `solve_verified`.

    Attributes
    ----------
    x : float64 (n,)            the best verified point
    fun, violation : float      f and the largest constraint value by the true simulator; violation is NaN where it was not told
    predicted : float           f by the model at x, when x was chosen
    feasible : bool             truly feasible, as far as was told
    X : float64 (v, n)          all verified points, in order
    f_true, f_predicted, violations : float64 (v,)
    rounds : tuple of Round
    message : str
    cost : float                evaluations of all runs on the model, gradients charged
    result : Result             of the last run
    problem : Problem           with the last model
    """

    x: FloatArray
    fun: float
    violation: float
    predicted: float
    feasible: bool
    X: FloatArray
    f_true: FloatArray
    f_predicted: FloatArray
    violations: FloatArray
    rounds: tuple[Round, ...]
    message: str
    cost: float
    result: Result
    problem: Problem

    def __str__(self) -> str:
        state = "truly feasible" if self.feasible else f"TRULY INFEASIBLE by {self.violation:.3g}"
        if math.isnan(self.violation):
            state = "constraints not verified"
        lines = [
            self.message,
            f"verified f = {self.fun:.8g} ({state}), predicted {self.predicted:.8g}; {len(self.f_true)} points verified, cost {self.cost:g}",
            "x = " + np.array2string(self.x, precision=6, threshold=12),
            "round      region   predicted        true   violation   ratio  then",
        ]
        for number, r in enumerate(self.rounds, 1):
            lines.append(
                f"{number:5d}  {r.size:10.3g}  {r.predicted:10.6g}  {r.true:10.6g}  {r.violation:10.3g}  {r.ratio:6.2f}  {r.action}"
            )
        return "\n".join(lines)


class Region(Protocol):
    """What the model is trusted with, `size` of its first extent."""

    def restricted(self, problem: Problem, centre: FloatArray | None, size: float) -> Problem: ...


class BoxRegion:
    """The box {abs(x_i - centre_i) <= size reach_i} inside the problem's; variables without ends (periodic, categorical) are free."""

    def restricted(self, problem: Problem, centre: FloatArray | None, size: float) -> Problem:
        if centre is None:
            return problem
        space = problem.space
        width = np.maximum(size * reach_of(problem, training_inputs(problem)), space.granularity)
        if size >= 1.0:
            return problem.replace(x0=_starts(problem, centre))
        return problem.replace(space=space.within(centre - width, centre + width), x0=centre)


class SupportRegion:
    """Where the data are: the threshold of a data support shrinks with the size."""

    def __init__(self, support: DataSupport) -> None:
        self.support = support

    def restricted(self, problem: Problem, centre: FloatArray | None, size: float) -> Problem:
        taken = {constraint.name for constraint in problem.constraints}
        name = "support" if "support" not in taken else "trusted support"
        more = self.support.scaled(size).constraint(name)
        start = problem.x0 if centre is None else _starts(problem, centre)
        return problem.replace(constraints=[*problem.constraints, more], x0=start)


def _starts(problem: Problem, centre: FloatArray) -> FloatArray:
    """The centre, then the further starts of the problem."""
    others = np.empty((0, problem.n)) if problem.x0 is None else problem.x0[1:]
    return np.vstack([centre, others])


def solve_verified(
    problem: Problem,
    *,
    budget: float,
    verify: Verify | None = None,
    rounds: int = 8,
    top: int = 1,
    support: DataSupport | None = None,
    refit: Refit | None = None,
    shrink: float = 0.5,
    tol: float = 1e-3,
    violation_tol: float = 0.0,
    seed: int = 0,
    options: Options | Mapping[str, Any] | None = None,
    callback: Callable[[int, Round], object] | None = None,
) -> VerifiedResult:
    """Optimise a model under the eyes of the true simulator.

    A round solves the problem inside a region round the best verified point, verifies the best `top` points that the model offers there,
    and compares the true gain with the predicted one: below a quarter the region shrinks, from three quarters on it grows again.

    Parameters
    ----------
    problem : Problem
    budget : float                      evaluations of the model in all, shared evenly by the rounds
    verify : callable, optional         x (n,) -> f, or (f, violation), violation <= 0 where x is truly feasible; None: `problem.verify`
    rounds : int >= 1
    top : int >= 1                      points verified in a round, at least a thousandth of the box apart; the start is verified besides
    support : DataSupport, optional     shrink this threshold instead of a box round the best point
    refit : callable, optional          (problem, X (v, n), f (v,), violation (v,)) -> Problem with a better model, after every round that was
                                        poor; the region then stays as it is
    shrink : float                      in (0, 1)
    tol : float                         >= 0; ends when prediction and truth of the best point agree within tol max(1, abs f) and nothing
                                        better by as much is predicted, or when the model offers the best verified point itself
    violation_tol : float               >= 0, true violation up to which a point counts as truly feasible. The model is a little wrong about
                                        active constraints too: with 0 the region shrinks until none is active
    seed : int                          round i is solved with seed + i
    options : Options or mapping        of the runs
    callback : callable, optional       called with (number, Round) after every round

    Returns
    -------
    VerifiedResult                      its x is the best by the truth: truly feasible before infeasible, then by f

    Raises
    ------
    OptionError, ProblemError           before anything is evaluated; `verify` answered something else than numbers
    Exception                           what `verify` or `refit` raise

    Examples
    --------
    >>> from dfoattack import Box, Problem, solve_verified
    >>> truth = lambda x: -((x[0] - 0.3) ** 2)
    >>> def model(X):  # the truth, and a bump where it is wrong
    ...     return -((X - 0.3) ** 2) + np.exp(-(((X - 0.9) / 0.05) ** 2))
    >>> problem = Problem(objective=lambda y: y[:, 0], surrogate=model, space=Box([0], [1]), x0=[0.5])
    >>> found = solve_verified(problem, budget=400, verify=truth)
    >>> bool(abs(found.x[0] - 0.3) < 0.03), bool(found.fun == truth(found.x))
    (True, True)
    """
    ask = _simulator(problem, verify)
    _check(rounds, top, shrink, tol, violation_tol, budget)
    seed, chosen = check_seed(seed), Options.make(options)
    region: Region = BoxRegion() if support is None else SupportRegion(support)
    known = _Verified(problem, ask, float(violation_tol))
    if problem.x0 is not None:
        known.add(problem.x0[0], math.nan)
    size, cost, played = 1.0, 0.0, []
    result: Result | None = None
    message = f"All {rounds} rounds were used"
    for number in range(rounds):
        centre = known.best
        sub = region.restricted(problem, centre, size)
        result = solve(sub, budget=budget / rounds, seed=seed + number, options=chosen)
        cost += result.cost
        offered = _offered(result, sub, known, top)
        before = known.value(centre)
        for x, f in offered:
            known.add(x, f)
        played.append(_judged(problem, result, known, before, len(offered), size, tol))
        last = played[-1]
        if last.action == "end":
            message = "The model offers nothing better than what is verified"
        elif last.action == "refit or shrink":
            if refit is not None:
                problem = _refitted(refit, problem, known)
                action = "refit"
            else:
                size, action = size * shrink, "shrink"
            played[-1] = last = Round(**{**last.__dict__, "action": action})
        elif last.action == "grow":
            size = min(1.0, size / shrink)
        if callback is not None:
            callback(number + 1, last)
        if size < SMALLEST:
            message = "The region in which the model is trusted has shrunk to nothing"
        if last.action == "end" or size < SMALLEST:
            break
    if result is None or known.best is None:
        raise ProblemError("No point could be verified: the model has no value anywhere. Give `x0`.")
    return known.result(tuple(played), message, cost, result, problem)


class _Verified:
    """The verified points."""

    def __init__(self, problem: Problem, ask: Verify, tol: float) -> None:
        self.problem, self.ask, self.tol = problem, ask, tol
        self.X: list[FloatArray] = []
        self.f: list[float] = []
        self.predicted: list[float] = []
        self.violation: list[float] = []

    def add(self, x: FloatArray, predicted: float) -> None:
        f, violation = checked_answer(self.ask(x.copy()))
        self.X.append(x.copy())
        self.f.append(f + 0.0)  # never -0.0
        self.predicted.append(predicted)
        self.violation.append(violation)

    def key(self, i: int) -> tuple[float, float]:
        """Smaller is better: true violation, then f; a value that is not a number is worst, a violation that was not told is none."""
        violation = 0.0 if math.isnan(self.violation[i]) else max(0.0, self.violation[i] - self.tol)
        f = self.problem.sign * self.f[i]
        return (violation, f) if math.isfinite(f) else (math.inf, math.inf)

    @property
    def row(self) -> int:
        """The best one, -1 for none."""
        return min(range(len(self.f)), key=self.key, default=-1)

    @property
    def best(self) -> FloatArray | None:
        return self.X[self.row] if self.X else None

    def value(self, x: FloatArray | None) -> tuple[float, float]:
        return (math.inf, math.inf) if x is None else self.key(self.row)

    def near(self, x: FloatArray, reach: FloatArray) -> bool:
        return any(float(np.max(np.abs(x - other) / reach)) < APART for other in self.X)

    def result(
        self, rounds: tuple[Round, ...], message: str, cost: float, result: Result, problem: Problem
    ) -> VerifiedResult:
        i = self.row
        if math.isnan(self.predicted[i]):  # the start: its prediction was not needed so far
            x = self.X[i][None]
            self.predicted[i] = float(problem.outer(x, problem.forward(x))[0][0])
        return VerifiedResult(
            x=self.X[i],
            fun=self.f[i],
            violation=self.violation[i],
            predicted=self.predicted[i],
            feasible=self.key(i)[0] == 0.0,
            X=np.array(self.X),
            f_true=np.array(self.f),
            f_predicted=np.array(self.predicted),
            violations=np.array(self.violation),
            rounds=rounds,
            message=message,
            cost=cost,
            result=result,
            problem=problem,
        )


def _offered(result: Result, problem: Problem, known: _Verified, top: int) -> list[tuple[FloatArray, float]]:
    """Those of the best `top` points of a run by the model, apart from each other, that were not verified before; the best one counts as
    verified only if it was to the last bit."""
    reach = reach_of(known.problem, training_inputs(known.problem))
    seen: list[FloatArray] = []
    chosen: list[tuple[FloatArray, float]] = []
    for row in _ranked(result.records, problem):
        x = result.records.x[row]
        if any(float(np.max(np.abs(x - other) / reach)) < APART for other in seen):
            continue
        new = not any(np.array_equal(x, other) for other in known.X) if not seen else not known.near(x, reach)
        seen.append(x)
        if new:
            chosen.append((x, float(result.records.fun[row])))
        if len(seen) == top:
            break
    return chosen


def _ranked(records: Records, problem: Problem) -> list[int]:
    """Feasible rows by f, the best first; where there are none, the least infeasible one."""
    ok = np.isfinite(records.fun) & np.isfinite(records.maxcv)
    feasible = np.flatnonzero(ok & (records.maxcv <= 0.0))
    if feasible.size:
        return [int(i) for i in feasible[np.argsort(problem.sign * records.fun[feasible], kind="stable")]]
    rows = np.flatnonzero(ok)
    return [int(rows[np.argmin(records.maxcv[rows])])] if rows.size else []


def _judged(
    problem: Problem, result: Result, known: _Verified, before: tuple[float, float], count: int, size: float, tol: float
) -> Round:
    """What a round was worth, and what to do next."""
    if not count:
        # All that is offered was verified before. If that is the best point itself, the model can do no better; else it insists on an error.
        same = result.best_index >= 0 and known.best is not None and np.array_equal(result.x, known.best)
        return Round(size, result.fun, math.nan, math.nan, math.nan, "end" if same else "refit or shrink")
    first = len(known.f) - count
    predicted, true, violation = known.predicted[first], known.f[first], known.violation[first]
    records = result.records
    begun = bool(len(records)) and np.isfinite(records.fun[0]) and records.maxcv[0] <= 0.0
    promised = problem.sign * (float(records.fun[0]) - predicted) if begun else math.inf
    gained = min(known.key(i) for i in range(first, len(known.f))) < before
    small = tol * max(1.0, abs(true))
    held = known.key(first)[0] == 0.0
    truly = before[0] == 0.0 and held
    if math.isfinite(promised) and promised > 0.0 and truly and math.isfinite(true):
        ratio = (before[1] - problem.sign * true) / promised
    else:
        ratio = 1.0 if known.key(first) < before else 0.0
    agrees = abs(predicted - true) <= small and held
    if agrees and promised <= small:
        action = "end"
    elif ratio < POOR and not (agrees and gained):
        action = "refit or shrink"
    else:
        action = "grow" if ratio >= GOOD and size < 1.0 else "keep"
    return Round(size, predicted, true, violation, ratio, action)


def _refitted(refit: Refit, problem: Problem, known: _Verified) -> Problem:
    new = refit(problem, np.array(known.X), np.array(known.f), np.array(known.violation))
    if not isinstance(new, Problem):
        raise ProblemError(f"`refit` must return a Problem, got {shown(new)}.")
    if new.n != problem.n or new.sense != problem.sense:
        raise ProblemError(
            f"`refit` must keep n = {problem.n} and sense {problem.sense!r}, got {new.n} and {new.sense!r}."
        )
    known.problem = new
    return new


def _simulator(problem: Problem, verify: Verify | None) -> Verify:
    chosen = problem.verify if verify is None else verify
    if chosen is None:
        raise ProblemError("There is no true simulator. Give `verify=`, or `Problem(verify=...)`.")
    if not callable(chosen):
        raise ProblemError(f"`verify` must be callable, got {shown(chosen)}.")
    return chosen


def _check(rounds: Any, top: Any, shrink: float, tol: float, violation_tol: float, budget: float) -> None:
    for name, value in (("rounds", rounds), ("top", top)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise OptionError(f"`{name}` must be an integer >= 1, got {value!r}.")
    if not 0.0 < check_finite_scalar("shrink", shrink, error=OptionError) < 1.0:
        raise OptionError(f"`shrink` must be in (0, 1), got {shrink!r}.")
    check_finite_scalar("tol", tol, low=0.0, error=OptionError)
    check_finite_scalar("violation_tol", violation_tol, low=0.0, error=OptionError)
    if not check_finite_scalar("budget", budget, error=OptionError) / rounds >= 1.0:
        raise OptionError(f"`budget` must be at least one evaluation a round, {rounds}, got {budget!r}.")
