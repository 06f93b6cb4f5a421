"""Best known values of the shipped networks: how they were found, and the table of them.

``python -m dfoattack_problems.biodiesel.best_known --out known.npz`` finds them again (about ten minutes): SLSQP with
exact gradients from many starts, after a fine grid for n = 2; whole watts by local search and by beam search.
Every value is attained at a point whose constraints hold with tolerance 0 (soft heads: with the declared tolerance of
the concentrations).
"""

from __future__ import annotations

import argparse
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from scipy.optimize import minimize

from dfoattack.problem import Known

from .data import SUPPORTS
from .kinetics import (
    ENERGY_MAX,
    MEAN_POWER_MAX,
    POWER_MAX,
    RAMP_MAX,
    T0,
    TEMPERATURE_MAX,
    TIME_MAX,
    WATTS,
    FloatArray,
)

if TYPE_CHECKING:
    from dfoattack.problem import Problem

TABLE = Path(__file__).resolve().parent / "known.npz"
MARGIN = (
    1e-9  # own units; kept from the limits, so that another processor's last digit does not make the point infeasible
)
TOLERANCE = 1e-6  # of a value found by gradients
TOLERANCE_LEVELS = 1e-4  # of a value found among whole watts, where nothing proves that no better one exists


class Run(NamedTuple):
    """What one SLSQP run ended with and what it cost."""

    x: FloatArray
    value: float
    violation: float
    evaluations: int
    gradients: int


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    if not TABLE.exists():
        return {}
    with np.load(TABLE, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def look_up(case: str, digest: str) -> Known | None:
    """Return what is known of a case ("hard_wide_trust", "schedule_30_levels", ...) with these weights, if anything."""
    table = _table()
    if f"{case}.x" not in table or str(table[f"{case}.weights"]) != digest:
        return None
    levels = case.endswith("_levels")
    return Known(
        float(table[f"{case}.value"]),
        x=table[f"{case}.x"],
        kind="best_known",
        tol=TOLERANCE_LEVELS if levels else TOLERANCE,
        how=str(table[f"{case}.how"]),
        fingerprint=digest,
    )


class Smooth:
    """f and c - tol of a problem at single points, with exact derivatives; all share one pass of the network."""

    def __init__(self, problem: Problem, margin: float = 0.0) -> None:
        module = problem.surrogate.module  # type: ignore[attr-defined]
        probe = torch.full((1, problem.n), 0.5, dtype=torch.float64)
        problem.outer(probe.numpy(), problem.forward(probe.numpy()))
        allowed = torch.tensor([tol for _, _, tol in problem.columns], dtype=torch.float64) - margin
        two = [c.fn.__code__.co_argcount == 2 for c in problem.constraints]

        def both(x: torch.Tensor) -> torch.Tensor:
            X = x[None]
            Y = module(X)
            parts = [c.fn(X, Y) if t else c.fn(Y) for c, t in zip(problem.constraints, two, strict=True)]
            columns = torch.cat([part.reshape(-1) for part in parts])
            return torch.cat([problem.objective(Y), columns - allowed])

        self._both = both
        self._last: tuple[bytes, FloatArray] = (b"", np.empty(0))
        self._last_slopes: tuple[bytes, FloatArray] = (b"", np.empty((0, 0)))
        self.evaluations = 0
        self.gradients = 0

    def values(self, x: FloatArray) -> FloatArray:
        """Row (f, c_1 - tol_1 + margin, ...)."""
        key = x.tobytes()
        if self._last[0] != key:
            with torch.no_grad():
                self._last = key, self._both(torch.from_numpy(x.copy())).numpy()
            self.evaluations += 1
        return self._last[1]

    def slopes(self, x: FloatArray) -> FloatArray:
        """Jacobian (1 + p, n) of `values`."""
        key = x.tobytes()
        if self._last_slopes[0] != key:
            self._last_slopes = key, self._jacobian(torch.from_numpy(x.copy()))
            self.gradients += 1
        return self._last_slopes[1]

    def _jacobian(self, x: torch.Tensor) -> FloatArray:
        """Columns J e_i as derivatives of v -> J^T v: n is far smaller than the number of constraints."""
        x.requires_grad_()
        values = self._both(x)
        v = torch.zeros_like(values, requires_grad=True)
        (back,) = torch.autograd.grad(values, x, v, create_graph=True)
        columns = [torch.autograd.grad(back, v, e, retain_graph=True)[0] for e in torch.eye(len(x), dtype=x.dtype)]
        return torch.stack(columns, 1).numpy()


def slsqp(problem: Problem, start: FloatArray, margin: float = 0.0, ftol: float = 1e-6) -> Run:
    """SLSQP with exact gradients of f and every constraint column from one start; defaults as in SciPy."""
    smooth = Smooth(problem, margin)
    found = minimize(
        lambda x: -smooth.values(x)[0],
        start,
        jac=lambda x: -smooth.slopes(x)[0],
        bounds=[(0.0, 1.0)] * problem.n,
        constraints={"type": "ineq", "fun": lambda x: -smooth.values(x)[1:], "jac": lambda x: -smooth.slopes(x)[1:]},
        method="SLSQP",
        options={"ftol": ftol, "maxiter": 300},
    )
    counts = smooth.evaluations, smooth.gradients
    x = np.clip(found.x, 0.0, 1.0)
    values = smooth.values(x)
    return Run(x, float(values[0]), float(values[1:].max()) - margin, *counts)


def excess(problem: Problem, X: FloatArray) -> tuple[FloatArray, FloatArray]:
    """f (k,) and max_j (c_j - tol_j) (k,) at many points."""
    f, C = problem.outer(X, problem.forward(X))
    return f, (C - np.array([tol for _, _, tol in problem.columns])).max(1)


def on_grid(
    problem: Problem, low: FloatArray, high: FloatArray, side: int = 301, keep: int = 40
) -> tuple[FloatArray, float]:
    """Best feasible points of a grid over low <= x <= high (n = 2), one per 5 x 5 patch at most, and the best value."""
    first, second = np.linspace(low[0], high[0], side), np.linspace(low[1], high[1], side)
    f = np.full((side, side), -np.inf)
    for i, time in enumerate(first):
        affordable = np.flatnonzero(time * second * TIME_MAX * POWER_MAX <= ENERGY_MAX)
        values, worst = excess(problem, np.column_stack([np.full(len(affordable), time), second[affordable]]))
        f[i, affordable] = np.where(worst <= 0.0, values, -np.inf)
    best = float(f.max())
    points = []
    while len(points) < keep and np.isfinite(f.max()):
        i, j = np.unravel_index(np.argmax(f), f.shape)
        points.append([first[i], second[j]])
        f[max(0, i - 2) : i + 3, max(0, j - 2) : j + 3] = -np.inf
    return np.array(points).reshape(-1, 2), best


def best_smooth(problem: Problem, starts: FloatArray) -> tuple[FloatArray, float, int]:
    """Best feasible point over SLSQP runs from all starts, its value, and how many runs came within 1e-5 of it."""
    runs = [slsqp(problem, start, MARGIN, 1e-12) for start in starts]
    candidates = np.vstack([[run.x for run in runs], starts])
    f, worst = excess(problem, candidates)
    f = np.where((worst <= 0.0) & np.isfinite(f), f, -np.inf)
    best = int(np.argmax(f))
    hits = sum(abs(run.value - f[best]) < 1e-5 and run.violation < 1e-6 for run in runs)
    return candidates[best], float(f[best]), hits


def beam(problem: Problem, width: int) -> FloatArray:
    """Search over partial schedules of whole watts, segment by segment; (K,) levels.

    Of the partial schedules with the same energy and the same last power the `width` best are kept, judged by their sum
    of f so far plus their present f for every segment to come.
    """
    net, n = problem.surrogate.module, problem.n  # type: ignore[attr-defined]
    state = torch.zeros(1, 4, dtype=torch.float64)
    total, used, paths = np.zeros(1), np.zeros(1, dtype=np.int64), np.zeros((1, 0), dtype=np.int64)
    for k in range(n):
        rows, powers = (grid.ravel() for grid in np.meshgrid(np.arange(len(used)), np.arange(11), indexing="ij"))
        legal = used[rows] + powers <= MEAN_POWER_MAX * n
        if k > 0:
            legal &= np.abs(paths[rows, -1] - powers) <= RAMP_MAX
        rows, powers = rows[legal], powers[legal]
        following = []
        for part in np.array_split(np.arange(len(rows)), 1 + len(rows) // 20_000):
            drive = torch.from_numpy(powers[part, None] / WATTS)
            with torch.no_grad():
                following.append(net.advance(state[rows[part]], drive, torch.full_like(drive, net.step / 6.0)))
        after = torch.cat(following)
        y = after.numpy()
        cool = T0 + 50.0 * y[:, 3] <= TEMPERATURE_MAX
        rows, powers, y, after = rows[cool], powers[cool], y[cool], after[cool]
        f = y[:, :3].sum(1) / (1.0 - y[:, 2])
        sums, energy = total[rows] + f, used[rows] + powers
        group = 11 * energy + powers
        order = np.lexsort((-(sums + (n - k - 1) * f), group))
        heads = np.flatnonzero(np.r_[True, np.diff(group[order]) > 0])
        place = np.arange(len(order)) - np.repeat(heads, np.diff(np.r_[heads, len(order)]))
        kept = order[place < width]
        state, total, used = after[kept], sums[kept], energy[kept]
        paths = np.column_stack([paths[rows[kept]], powers[kept]])
    best: FloatArray = paths[np.argmax(total)].astype(np.float64)
    return best


def best_levels(
    problem: Problem, guide: FloatArray, width: int, rounds: int, rng: np.random.Generator
) -> tuple[FloatArray, float, bool]:
    """Beam search, and local search among moves of one watt in one segment and of one watt between two segments.

    The local search starts from random roundings of the continuous optimum `guide`; its later rounds kick the best
    schedule found in four random places. Returns the better schedule, its f, and whether both searches found that f.
    """
    n = problem.n
    steps = np.vstack([np.eye(n), -np.eye(n)])
    pairs = steps[:n][:, None] - steps[:n][None]
    steps = np.vstack([steps, pairs[~np.eye(n, dtype=bool)]])

    def score(levels: FloatArray) -> FloatArray:
        # Most moves break a constraint that needs no network.
        inside = np.all((levels >= 0.0) & (levels <= WATTS), axis=1)
        ramp = np.abs(np.diff(levels, axis=1)).max(1) <= RAMP_MAX
        legal = inside & ramp & (levels.mean(1) <= MEAN_POWER_MAX)
        f = np.full(len(levels), -np.inf)
        if legal.any():
            values, worst = excess(problem, levels[legal] / WATTS)
            f[legal] = np.where(worst <= 0.0, values, -np.inf)
        return f

    def climb(levels: FloatArray) -> tuple[FloatArray, float]:
        value = float(score(levels[None])[0])
        while True:
            f = score(levels + steps)
            i = int(np.argmax(f))
            if not f[i] > value + 1e-12:
                return levels, value
            levels, value = levels + steps[i], float(f[i])

    best, value = climb(np.full(n, 4.0))
    for turn in range(rounds):
        if turn < rounds // 2:
            levels = np.floor(WATTS * guide + rng.uniform(0.0, 1.0, n))
        else:
            levels = best.copy()
            levels[rng.integers(0, n, 4)] += rng.integers(-1, 2, 4)
        found = climb(levels)
        if found[1] > value:
            best, value = found
    other = beam(problem, width)
    rival = float(score(other[None])[0])
    agree = abs(rival - value) < 1e-9
    return (other / WATTS, rival, agree) if rival > value else (best / WATTS, value, agree)


def find_all(seed: int = 0) -> dict[str, Any]:
    """Find every best known value; the rows of ``known.npz``."""
    from .problem import make_problem
    from .schedule import make_schedule

    torch.set_num_threads(1)
    rng = np.random.default_rng(seed)
    table: dict[str, Any] = {}

    def enter(case: str, problem: Problem, digest: str, x: FloatArray, value: float, how: str) -> None:
        f, worst = excess(problem, x[None])
        if worst[0] > 0.0 or abs(f[0] - value) > 1e-12:
            raise ArithmeticError(f"{case}: f = {f[0]}, excess {worst[0]}, expected {value} and no excess")
        table.update(
            {f"{case}.x": x, f"{case}.value": value, f"{case}.weights": np.array(digest), f"{case}.how": np.array(how)}
        )
        print(f"{case}: {value:.9f} at {np.round(x, 6).tolist()}; true f {problem.verify(x):.6f}; {how}", flush=True)

    for head in ("hard", "soft"):
        for support in ("wide", "narrow"):
            for trust in (False, True):
                problem = make_problem(head, support, trust=trust)
                box = SUPPORTS[support]
                low = np.array([0.0, box.power[0] / POWER_MAX if trust else 0.0])
                high = np.array([box.time / TIME_MAX, box.power[1] / POWER_MAX]) if trust else np.ones(2)
                points, on_nodes = on_grid(problem, low, high)
                starts = np.vstack([problem.x0, points, rng.uniform(low, high, (40, 2))])
                x, value, hits = best_smooth(problem, starts)
                how = (
                    f"SLSQP with exact gradients from {len(starts)} starts ({hits} end here), {len(points)} of them "
                    f"the best of a grid of 301 x 301 points, whose own best is {on_nodes:.6f}"
                )
                case = f"{head}_{support}" + ("_trust" if trust else "")
                enter(case, problem, _digest(f"{head}_{support}"), x, value, how)
    for n, count, width, rounds in ((10, 30, 100, 200), (30, 15, 20, 60), (50, 10, 5, 30), (20, 6, 10, 24)):
        problem = make_schedule(n)
        starts = np.vstack([problem.x0, rng.uniform(0.0, 1.0, (count - 1, n))])
        x, value, hits = best_smooth(problem, starts)
        how = f"SLSQP with exact gradients from {count} starts ({hits} end here)"
        enter(f"schedule_{n}", problem, _digest("schedule"), x, value, how)
        whole = make_schedule(n, levels=True)
        levels, best, agree = best_levels(whole, x, width, rounds, rng)
        how = (
            f"local search over moves of one watt ({rounds} rounds) and beam search over partial schedules, which "
            f"{'agree' if agree else 'differ'}; the free optimum {value:.6f} is an upper bound"
        )
        enter(f"schedule_{n}_levels", whole, _digest("schedule"), levels, best, how)
    return table


def _digest(kind: str) -> str:
    from .model import Reactor, Schedule, load_weights, weights_path

    net = Schedule() if kind == "schedule" else Reactor("hard" if kind.startswith("hard") else "soft")
    return load_weights(net, weights_path(kind))


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description="Find the best known values of the bio-diesel networks again.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("known.npz"))
    options = parser.parse_args(arguments)
    np.savez(options.out, **find_all(options.seed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
