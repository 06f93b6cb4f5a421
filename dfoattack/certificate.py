"""What may honestly be said about the point that was found.

Nothing here claims local optimality: that theorem is asymptotic. Two finite statements are made where they hold. *Coverage*: how
large a ball round the incumbent is without an evaluated point, estimated on random test points. *Volume*: if N independent
uniform trials of one fixed set all failed to improve, the improving share of that set is at most 1 - beta^(1/N) with confidence
1 - beta (a binomial bound; it holds for discontinuous problems). Windows of trials are looked at one after another, so the j-th
one uses beta_j = 6 beta / (pi^2 j^2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.kernels import covering as kernels
from dfoattack.state import Setup, SolverState

SIGMAS = 2.0  # standard deviations of the noise by which a point must be better before the statements speak of it
SEEN = 0.977  # probability that noise does not hide such a point
_WORK_MAX = 2e8  # test points x evaluated points x variables; more would keep the user waiting for the statement
_IMPROVING_MAX = 0.5  # a bound that allows half of the ball to improve says nothing
_WIDE_BAND = (
    0.1  # share of covering trials that must meet the equalities before their bands count as sets with an interior
)
_INTERIOR_TRIALS = 10  # covering trials without a single feasible one after which an interior is doubted


@dataclass(frozen=True)
class Certificate:
    """Statements about the ball of `radius` (scaled: first frame sizes) round the best feasible point.

    Attributes
    ----------
    radius : float                covering radius, scaled units
    points : int                  evaluated points inside the ball
    fill_distance : float         largest distance of the test points from the evaluated points, scaled; NaN if not measured
    test_points : int             number of test points
    uncovered : float             bound on the share of the ball's volume that is farther than that, at the given confidence
    covered : bool                True when the fill distance is at most half the radius; else "not certified"
    trials : int                  independent uniform trials round the present incumbent, all without improvement
    improving : float             bound on the improving share of ball and box; NaN when there is no statement
    confidence : float            1 - beta of both statements
    exhausted : bool              every lattice point of the ball was evaluated: optimal among them, exactly
    reason : str                  why nothing is certified, empty otherwise
    margin : float                with the option `noise`: improvements by less than this are not spoken of; 0 without
    """

    radius: float
    points: int
    fill_distance: float
    test_points: int
    uncovered: float
    covered: bool
    trials: int
    improving: float
    confidence: float
    exhausted: bool
    reason: str
    margin: float = 0.0

    @property
    def text(self) -> str:
        """The statements as sentences."""
        if self.reason:
            return f"not certified: {self.reason}"
        if self.exhausted and not self.margin:
            return f"no better point among all lattice points within radius {self.radius:g} (exact)"
        more = f" by more than {self.margin:.2g}, {SIGMAS:g} standard deviations of normal noise" if self.margin else ""
        if self.exhausted:
            return f"all lattice points within radius {self.radius:g} evaluated, none seen to be better{more}"
        lines = []
        if self.covered:
            lines.append(
                f"coverage: with confidence {self.confidence:.0%} all but {self.uncovered:.2g} of the ball of radius "
                f"{self.radius:g} lies within {self.fill_distance:.3g} of an evaluated point"
            )
        else:
            lines.append(
                f"coverage: not certified (fill distance {self.fill_distance:.3g} in a ball of radius {self.radius:g}, "
                f"{self.points} points)"
            )
        if self.improving <= _IMPROVING_MAX:
            lines.append(
                f"volume: with confidence {self.confidence:.0%} at most {self.improving:.2%} of the ball improves{more} "
                f"({self.trials} uniform trials)"
            )
        else:
            lines.append(f"volume: not certified ({self.trials} uniform trials round this point)")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text


def certify(setup: Setup, state: SolverState, seed: int, covering_code: int) -> Certificate:
    """The statements that hold for `state`; random test points come from `seed` and leave the run's own generator alone."""
    options, row = setup.options, state.best_feas
    radius, beta = options.covering_radius, options.certificate_beta
    reason = _no_statement(setup, state, row, covering_code)
    if reason or state.mesh is None:
        return Certificate(radius, 0, math.nan, 0, 1.0, False, 0, math.nan, 1.0 - beta, False, reason)
    history, scale = state.history, state.mesh.scale
    x = history.X[row]
    geometry = setup.geometry
    distance = (((geometry.images(x, history.X) - x) / scale) ** 2).sum(axis=1)
    V = np.ascontiguousarray(history.X[distance <= (2.0 * radius) ** 2])
    count = int(min(options.certificate_points, max(100, _WORK_MAX / max(1, V.shape[0] * setup.n))))
    T = _ball_points(setup, x, scale, radius, np.random.Generator(np.random.PCG64(seed)), count)
    fill, uncovered = math.nan, 1.0
    if T.shape[0]:
        d2 = geometry.fill_distance(T, V, scale)
        fill, uncovered = float(np.sqrt(d2.max())), 1.0 - beta ** (1.0 / T.shape[0])
    window, trials, exhausted = _window(state, row)
    improving = math.nan
    if trials:
        beta_j = 6.0 * beta / (math.pi**2 * max(1, window) ** 2)
        improving = 1.0 - beta_j ** (1.0 / trials)
    margin = 0.0
    if state.noise is not None:
        # A point that is better by the margin would have been seen to be better with this probability at least.
        deviation = float(state.noise.sigma(history.f[row : row + 1])[0])
        margin = SIGMAS * math.hypot(deviation, state.noise.error(history, row))
        improving = min(1.0, improving / SEEN) if margin else improving
    points = int((distance <= radius**2).sum())
    covered = fill <= 0.5 * radius
    return Certificate(
        radius, points, fill, T.shape[0], uncovered, covered, trials, improving, 1.0 - beta, exhausted, "", margin
    )


def _window(state: SolverState, row: int) -> tuple[int, int, bool]:
    """(window, uniform trials, exhausted) of the covering round history row `row`, whichever local run found it."""
    cover = state.cover
    if cover.window_row == row:
        return cover.window, cover.window_n if cover.rejecting else 0, cover.exhausted
    for run in state.runs:
        if run.feas == row:
            return run.window, run.trials, run.exhausted
    return cover.window, 0, False


def _no_statement(setup: Setup, state: SolverState, row: int, covering_code: int) -> str:
    """Why no statement can be made at all; empty when one can."""
    if row < 0:
        return "no feasible point was found" if state.best_inf >= 0 else "no point could be evaluated"
    if state.mesh is None or not setup.n:
        return "there are no free variables to vary"
    if not setup.geometry.moving.shape[0]:
        return "there are only categorical variables to vary"
    if not setup.options.covering:
        return "the covering step was switched off"
    if setup.polyhedron is not None and setup.polyhedron.E.shape[0]:
        return "the linear equalities leave a set without interior"
    history, columns = state.history, state.barrier.columns
    if columns is None or not columns.tol.shape[0]:
        return ""
    x = history.X[row]
    distance = (((setup.geometry.images(x, history.X) - x) / state.mesh.scale) ** 2).sum(axis=1)
    # Points made by covering only: the poll may walk inside a set without interior for ever.
    tried = (history.step == covering_code) & (distance <= setup.options.covering_radius**2) & (distance > 0)
    feasible = int(np.count_nonzero(history.V[tried] <= 0.0))
    if columns.equality.any() and (tried.sum() < _INTERIOR_TRIALS or feasible < _WIDE_BAND * tried.sum()):
        return f"equalities hold within their tolerances only, and {feasible} of {int(tried.sum())} covering trials met them"
    if tried.sum() >= _INTERIOR_TRIALS and not feasible:
        return f"none of {int(tried.sum())} covering trials was feasible, the feasible set may have no interior here"
    return ""


def _ball_points(
    setup: Setup, x: FloatArray, scale: FloatArray, radius: float, rng: np.random.Generator, count: int
) -> FloatArray:
    """About `count` points uniform in ball and box, fewer (possibly none) where rejection finds few."""
    parts, found = [], 0
    geometry, at = setup.geometry, setup.geometry.moving
    n, (lower, upper) = at.shape[0], geometry.around(x)
    centre, scale, lower, upper = x[at], scale[at], lower[at], upper[at]
    for _ in range(8):
        out = np.empty((count, n))
        normals, uniforms = rng.standard_normal((count, n)), rng.random(count)
        kept = int(kernels.ball_points(centre, radius, scale, lower, upper, normals, uniforms, out))
        points = np.tile(x, (kept, 1))
        points[:, at] = out[:kept]
        if setup.polyhedron is not None:
            points = points[setup.polyhedron.inside(points)]
        parts.append(points[: count - found])
        found += parts[-1].shape[0]
        if found >= count or not parts[-1].shape[0]:
            break
    return np.vstack(parts) if parts else np.empty((0, setup.n))
