"""Many-start SLSQP with exact gradients: how the declared optima were found.

    OMP_NUM_THREADS=1 python -m dfoattack_problems.airfoil.best_known --goal cd --starts 40 --seed 0

Variables are scaled to [0, 1]. Half of the starts are uniform in the box, half are NACA 0012 with normal noise of 15 %
of the box. The worst of several networks is handled by one more variable (epigraph), which keeps the problem smooth.
The maximum thickness is a maximum over stations: each start is solved with it as it is, then polished once for each
station near the thickest one, with the limit put on that station alone: smooth, with a smaller feasible set.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize

from .definition import CD_SCALE, LD_SCALE, LOWER, START, UPPER, Goal, Limits
from .geometry import STATIONS, TE_STATION, shape_matrix
from .model import CD, CL, CM, CONFIDENCE, N_OUTPUTS, AirfoilNet

__all__ = ["Design", "SmoothProgramme", "main"]

MARGIN = 1e-12
"""What active constraints keep in hand in a declared optimum: 200 times their rounding error, about 1e-9 in f."""

FloatArray = npt.NDArray[np.float64]

FEASIBLE = 1e-7
"""Violation up to which SLSQP's answer counts as feasible before `restore`."""


@dataclass(frozen=True)
class Design:
    """A point found: `x` (18,), `f` to be maximised, `maxcv` the largest constraint value, `nfev` evaluations."""

    x: FloatArray
    f: float
    maxcv: float
    nfev: int


class SmoothProgramme:
    """Values and Jacobians for SLSQP; z = (x - LOWER)/(UPPER - LOWER) and, with q > 1 networks, f itself."""

    def __init__(self, goal: Goal, limits: Limits, sizes: tuple[str, ...]) -> None:
        self.goal, self.limits = goal, limits
        self.net = AirfoilNet(sizes)
        self.q = len(sizes)
        self.width = UPPER - LOWER
        matrix = shape_matrix(STATIONS)
        self.thickness_rows = np.hstack([matrix, -matrix, np.zeros((len(STATIONS), 2))])
        self._key = b""
        self._answer = (np.zeros(0), np.zeros((0, 0)))

    def outputs(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the network outputs (6 q,) at x and their Jacobian (6 q, 18); the last point is remembered."""
        if x.tobytes() != self._key:
            m = N_OUTPUTS * self.q
            rows = torch.tensor(x).repeat(m, 1).requires_grad_(True)
            y = self.net(rows)
            (jacobian,) = torch.autograd.grad(y.diagonal().sum(), rows)
            self._key, self._answer = x.tobytes(), (y[0].detach().numpy(), jacobian.numpy())
        return self._answer

    def goals(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return f of every network (q,) and its Jacobian (q, 18)."""
        y, jacobian = self.outputs(x)
        lift, drag = y[CL::N_OUTPUTS], y[CD::N_OUTPUTS]
        d_lift, d_drag = jacobian[CL::N_OUTPUTS], jacobian[CD::N_OUTPUTS]
        if self.goal == "cd":
            return -CD_SCALE * drag, -CD_SCALE * d_drag
        ratio = lift / drag
        return LD_SCALE * ratio, LD_SCALE * (d_lift - ratio[:, None] * d_drag) / drag[:, None]

    def constraints(self, x: FloatArray, station: int | None) -> tuple[FloatArray, FloatArray]:
        """Return all margins of safety (p,), >= 0 where feasible, and their Jacobian (p, 18)."""
        y, jacobian = self.outputs(x)
        lim = self.limits
        values, rows = [], []
        for column, limit in ((CL, lim.cl_min), (CONFIDENCE, lim.confidence), (CM, lim.cm_min)):
            if limit is not None:
                values.append(y[column::N_OUTPUTS] - limit)
                rows.append(jacobian[column::N_OUTPUTS])
        t = self.thickness_rows @ x
        thickest = int(t.argmax()) if station is None else station
        values += [t[[thickest]] - lim.max_thickness, t[[TE_STATION]] - lim.te_thickness, t - lim.min_thickness]
        rows += [self.thickness_rows[[thickest]], self.thickness_rows[[TE_STATION]], self.thickness_rows]
        return np.concatenate(values), np.vstack(rows)

    def solve(self, x0: FloatArray, station: int | None = None, iterations: int = 200) -> Design:
        """Run SLSQP once from x0 (18,); `station` None takes the largest thickness wherever it is."""
        extra = int(self.q > 1)
        x0 = np.clip(x0, LOWER, UPPER)

        def design(z: FloatArray) -> FloatArray:
            return np.clip(LOWER + z[:18] * self.width, LOWER, UPPER)

        def objective(z: FloatArray) -> tuple[float, FloatArray]:
            if extra:
                return -z[18], np.r_[np.zeros(18), -1.0]
            f, jacobian = self.goals(design(z))
            return -f[0], -jacobian[0] * self.width

        def inequality(z: FloatArray) -> FloatArray:
            x = design(z)
            values = self.constraints(x, station)[0]
            return np.r_[values, self.goals(x)[0] - z[18]] if extra else values

        def inequality_jacobian(z: FloatArray) -> FloatArray:
            x = design(z)
            rows = self.constraints(x, station)[1] * self.width
            if not extra:
                return rows
            goals = self.goals(x)[1] * self.width
            return np.vstack([np.c_[rows, np.zeros(len(rows))], np.c_[goals, -np.ones(self.q)]])

        z0 = (x0 - LOWER) / self.width
        bounds: list[tuple[float | None, float | None]] = [(0.0, 1.0)] * 18
        if extra:
            z0, bounds = np.r_[z0, self.goals(x0)[0].min()], [*bounds, (None, None)]
        found = minimize(
            objective, z0, jac=True, method="SLSQP", bounds=bounds, options={"maxiter": iterations, "ftol": 1e-13},
            constraints={"type": "ineq", "fun": inequality, "jac": inequality_jacobian},
        )  # fmt: skip
        x = design(found.x)
        return Design(x, float(self.goals(x)[0].min()), float(-self.constraints(x, None)[0].min()), int(found.nfev))

    def polish(self, start: Design, tolerance: float = FEASIBLE) -> Design:
        """Solve again with the thickness limit on one station at a time; keep the best feasible design."""
        centre = int((self.thickness_rows @ start.x).argmax())
        trials = [self.solve(start.x, station) for station in range(max(centre - 2, 0), min(centre + 3, len(STATIONS)))]
        feasible = [trial for trial in trials if trial.maxcv <= tolerance]
        return max(feasible, key=lambda trial: trial.f, default=start)

    def restore(self, start: Design) -> Design:
        """Return a strictly feasible neighbour: nearly active bounds made exact, active constraints moved to `MARGIN`.

        Least-norm Newton steps in the variables off their bounds. SLSQP stops when its merit function does not move any
        more, which can leave violations of 1e-10.
        """
        x = np.where(start.x - LOWER < 1e-9 * self.width, LOWER, start.x)
        x = np.where(UPPER - x < 1e-9 * self.width, UPPER, x)
        free = (x > LOWER) & (x < UPPER)
        for _ in range(4):
            values, jacobian = self.constraints(x, None)
            active = values < 1e-7
            rows = jacobian[active][:, free] * self.width[free]
            step = np.linalg.lstsq(rows, MARGIN - values[active], rcond=None)[0]
            x[free] += step * self.width[free]
        values = self.constraints(x, None)[0]
        return Design(x, float(self.goals(x)[0].min()), float(-values.min()), start.nfev)


def starts(count: int, seed: int) -> FloatArray:
    """Return (count, 18) starts: even rows uniform in the box, odd rows NACA 0012 with noise."""
    rng = np.random.default_rng(seed)
    uniform = LOWER + (UPPER - LOWER) * rng.random((count, len(START)))
    noisy = np.clip(START + 0.15 * (UPPER - LOWER) * rng.standard_normal(uniform.shape), LOWER, UPPER)
    return np.where(np.arange(count)[:, None] % 2 == 0, uniform, noisy)


def main(arguments: list[str] | None = None) -> None:
    """Run the starts and print one line each, then the table of distinct optima and the best design."""
    parser = argparse.ArgumentParser(description="Many-start SLSQP on the airfoil problems.")
    parser.add_argument("--goal", choices=("cd", "ld"), default="cd")
    parser.add_argument("--sizes", nargs="+", default=["large"], help="more than one: the worst of them")
    parser.add_argument("--starts", type=int, default=40)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--iterations", type=int, default=200, help="at most, for the first solve of a start")
    options = parser.parse_args(arguments)
    goal: Goal = options.goal
    programme = SmoothProgramme(goal, Limits.of(goal), tuple(options.sizes))
    found: list[Design] = []
    top = -1e3
    for number, x0 in enumerate(starts(options.starts, options.seed)):
        clock = time.perf_counter()
        first = programme.solve(x0, iterations=options.iterations)
        # A polish is five more solves: only for starts that could still be the best.
        promising = first.maxcv < 1e-3 and first.f > top - 0.1 * abs(top)
        last = programme.polish(first) if promising else first
        top = max(top, last.f) if last.maxcv <= FEASIBLE else top
        found.append(last)
        seconds = time.perf_counter() - clock
        print(
            f"{number:4d} f {first.f:.8f} -> {last.f:.8f} maxcv {last.maxcv:.1e} nfev {first.nfev} {seconds:.1f} s",
            flush=True,
        )
    feasible = [design for design in found if design.maxcv <= FEASIBLE]
    levels, counts = np.unique([round(design.f, 4) for design in feasible], return_counts=True)
    print(f"{len(feasible)} of {len(found)} starts feasible; f: number of starts")
    for value, count in sorted(zip(levels, counts, strict=True), reverse=True):
        print(f"  {value:.4f}: {count}")
    if feasible:
        restored = [programme.restore(design) for design in feasible if design.f >= top - 1e-6]
        strict = [design for design in restored if design.maxcv <= 0.0] or restored
        best = max(strict, key=lambda design: design.f)
        print(f"strictly feasible: f = {best.f!r}, max c = {best.maxcv:.3e}\n{best.x.tolist()}")


if __name__ == "__main__":
    main()
