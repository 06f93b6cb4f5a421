"""Noisy objectives: the true value of the point that is returned, with the option `noise` off and on, beside CMA-ES and Py-BOBYQA.

    python -m benchmarks.noise_study [--seeds 5] [--sizes 2 5 10] [--multiples 100 200] [--out benchmarks/results/noise.md]

Noise is normal with a constant standard deviation, a share (the level) of the gap between the start and the minimum; the score is
log10 of the true gap at the returned point over that of the start, so that a level of 1e-2 hides everything below -2. The k-th evaluation of
a run draws the k-th number of its seed, for every solver. CMA-ES is pycma with its noise handler and answers with its favourite point,
Py-BOBYQA has `objfun_has_noise`; neither has constraints here.
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import dfoattack as da

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

LEVELS = (1e-4, 1e-2, 1e-1)
FAMILIES = ("sphere", "ellipsoid-1e2", "ellipsoid-1e4", "rosenbrock", "bounded", "constrained")
BOUND = 5.0


class Spent(Exception):
    """The budget of a run is used."""


class Case:
    """One function with its minimum in the box [-5, 5]^n, and a start.

    Attributes
    ----------
    least : float           minimum over the box and the constraint
    x0 : float64 (n,)
    gap : float             f(x0) - least
    """

    def __init__(self, family: str, n: int, seed: int) -> None:
        rng = np.random.default_rng([seed, n, FAMILIES.index(family)])
        self.family, self.n = family, n
        self.x_best = rng.uniform(-2.0, 2.0, n)
        condition = {"ellipsoid-1e2": 1e2, "ellipsoid-1e4": 1e4, "bounded": 1e2}.get(family, 1.0)
        self.weights = condition ** np.linspace(0.0, 1.0, n)
        self.R = np.linalg.qr(rng.standard_normal((n, n)))[0] if family.startswith("ellipsoid") else np.eye(n)
        self.least = 0.0
        if family == "bounded":  # half of the minimiser lies at a bound
            self.x_best[::2] = BOUND + 1.0
            self.least = float(self.weights[::2].sum())
        if family == "constrained":  # the sum must be larger than at the minimiser without constraint
            self.limit = float(self.x_best.sum()) + math.sqrt(n)
            self.least = 1.0
        self.x0 = rng.uniform(-4.0, 4.0, n)
        if family == "constrained" and self.x0.sum() < self.limit:
            self.x0 = np.clip(self.x_best + 2.0 / math.sqrt(n) + 0.5, -BOUND, BOUND)
        self.gap = float(self.f(self.x0[None, :])[0]) - self.least

    def f(self, X: FloatArray) -> FloatArray:
        """True values of X (k, n), (k,)."""
        if self.family == "rosenbrock":
            Z = X - self.x_best + 1.0
            return np.asarray((100.0 * (Z[:, 1:] - Z[:, :-1] ** 2) ** 2 + (1.0 - Z[:, :-1]) ** 2).sum(axis=1))
        Z = (X - self.x_best) @ self.R.T
        return np.asarray((self.weights * Z * Z).sum(axis=1))

    def score(self, x: FloatArray) -> float:
        """log10 of the remaining share of the gap, at least -12; 0 for an infeasible point."""
        if self.family == "constrained" and x.sum() < self.limit - 1e-9:
            return 0.0
        return math.log10(max((float(self.f(np.atleast_2d(x))[0]) - self.least) / self.gap, 1e-12))


class Noisy:
    """The function with noise, a budget and a generator of its own."""

    def __init__(self, case: Case, level: float, budget: int, seed: int) -> None:
        self.case, self.sigma, self.left = case, level * case.gap, budget
        self.rng = np.random.default_rng([seed, 77])

    def __call__(self, X: FloatArray) -> FloatArray:
        if X.shape[0] > self.left:
            raise Spent
        self.left -= X.shape[0]
        return self.case.f(X) + self.sigma * self.rng.standard_normal(X.shape[0])

    def one(self, x: FloatArray) -> float:
        return float(self(np.clip(np.atleast_2d(x), -BOUND, BOUND))[0])


def with_dfoattack(noise: str | None) -> Callable[[Case, Noisy, int, int], FloatArray]:
    """A solver of the study: dfoattack with this value of the option."""

    def run(case: Case, noisy: Noisy, budget: int, seed: int) -> FloatArray:
        constraints: Sequence[Any] = ()
        if case.family == "constrained":
            constraints = [da.Constraint(lambda x, y: case.limit - x.sum(axis=1), name="sum")]
        problem = da.Problem(
            objective=noisy,
            constraints=constraints,
            space=da.Box([-BOUND] * case.n, [BOUND] * case.n),
            x0=case.x0,
            sense="minimize",
            backend="numpy",
        )
        found: FloatArray = da.solve(problem, budget=budget, seed=seed, options={"noise": noise}).x
        return found

    return run


def with_cma(case: Case, noisy: Noisy, budget: int, seed: int) -> FloatArray:
    """pycma with its noise handler, first step size a tenth of the box as for dfoattack."""
    import cma

    options = {"bounds": [-BOUND, BOUND], "seed": seed + 1, "verbose": -9, "verb_log": 0, "maxfevals": budget}
    strategy = cma.CMAEvolutionStrategy(case.x0, 1.0, options)
    handler = cma.NoiseHandler(case.n, [1, 1, 10])
    try:
        while not strategy.stop():
            X, values = strategy.ask_and_eval(noisy.one, evaluations=handler.evaluations)
            strategy.tell(X, values)
            strategy.sigma *= handler(X, values, noisy.one, strategy.ask)
            strategy.countevals += handler.evaluations_just_done
    except Spent:
        pass
    favourite: FloatArray = np.clip(strategy.result.xfavorite, -BOUND, BOUND)
    return favourite


def with_bobyqa(case: Case, noisy: Noisy, budget: int, seed: int) -> FloatArray:
    """Py-BOBYQA, first radius a tenth of the box."""
    import pybobyqa

    np.random.seed(seed)  # noqa: NPY002  it draws from NumPy's global generator
    box = np.full(case.n, -BOUND), np.full(case.n, BOUND)
    found = pybobyqa.solve(
        noisy.one, case.x0, bounds=box, rhobeg=1.0, maxfun=budget, objfun_has_noise=True, do_logging=False
    )
    x: FloatArray = np.clip(found.x, *box)
    return x


SOLVERS: dict[str, Callable[[Case, Noisy, int, int], FloatArray]] = {
    "off": with_dfoattack(None),
    "on": with_dfoattack("auto"),
    "CMA-ES": with_cma,
    "Py-BOBYQA": with_bobyqa,
}


def scores(solver: str, family: str, n: int, level: float, budget: int, seeds: int) -> list[float]:
    """One score a seed; empty where the solver has no constraints."""
    if family == "constrained" and solver in ("CMA-ES", "Py-BOBYQA"):
        return []
    out = []
    for seed in range(seeds):
        case = Case(family, n, seed)
        out.append(case.score(SOLVERS[solver](case, Noisy(case, level, budget, seed), budget, seed)))
    return out


def main() -> None:
    """Run the study and write its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=[2, 5, 10])
    parser.add_argument("--multiples", type=int, nargs="+", default=[100, 200])
    parser.add_argument("--families", nargs="+", default=list(FAMILIES))
    parser.add_argument("--levels", type=float, nargs="+", default=list(LEVELS))
    parser.add_argument("--solvers", nargs="+", default=list(SOLVERS))
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    names: list[str] = arguments.solvers
    lines = ["| function | n | noise | budget | " + " | ".join(names) + " |", "|---" * (4 + len(names)) + "|"]
    means: dict[tuple[str, float], list[float]] = {}
    wins = losses = 0
    for family in arguments.families:
        for n in arguments.sizes:
            for level in arguments.levels:
                for multiple in arguments.multiples:
                    row = {name: scores(name, family, n, level, multiple * n, arguments.seeds) for name in names}
                    shown = {name: f"{np.median(found):.2f}" if found else "-" for name, found in row.items()}
                    for name, found in row.items():
                        means.setdefault((name, level), []).extend(found)
                    if "off" in row and "on" in row:
                        wins += sum(on < off - 0.1 for on, off in zip(row["on"], row["off"], strict=True))
                        losses += sum(on > off + 0.1 for on, off in zip(row["on"], row["off"], strict=True))
                    cells = " | ".join(shown[name] for name in names)
                    lines.append(f"| {family} | {n} | {level:g} | {multiple} n | {cells} |")
                    print(lines[-1], flush=True)
    summary = ["| noise | " + " | ".join(names) + " |", "|---" * (1 + len(names)) + "|"]
    for level in arguments.levels:
        cells = " | ".join(f"{np.mean(means[name, level]):.2f}" if means[name, level] else "-" for name in names)
        summary.append(f"| {level:g} | {cells} |")
    compared = f"Runs in which `noise` = 'auto' ends better than without by more than 0.1: {wins}, worse: {losses}."
    text = "\n".join([*summary, "", compared, "", *lines])
    print("\n".join([*summary, compared]))
    if arguments.out is not None:
        head = (__doc__ or "").split("\n\n")[2].replace("\n", " ")
        intro = f"# Noisy objectives\n\n{head}\n\nMeans over all runs, then medians over {arguments.seeds} seeds.\n\n"
        arguments.out.write_text(intro + text + "\n")


if __name__ == "__main__":
    main()
