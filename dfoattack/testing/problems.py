"""The contract of a problem, as tests: what it declares about itself must be true."""

from __future__ import annotations

import numpy as np
import pytest

from dfoattack._typing import FloatArray
from dfoattack.problem import Problem

__all__ = ["ProblemContract", "sample_points"]

_WIDTH = 10.0  # half width of the sampled range of an unbounded variable


class ProblemContract:
    """Subclass in a test file (class name Test...), override `problem`, and set the attributes that do not fit.

    Attributes
    ----------
    n_random : int          points drawn when trying to beat the declared optimum
    n_local : int           evaluations of the local search that starts from the best of them
    feasibility_tol : float largest violation allowed at the declared optimum, beyond the constraint's own tol
    smooth : bool           True: gradients are compared with differences
    gradient_tol : float    relative; 1e-5 in float64, about 1e-2 for a float32 network
    difference_step : float relative to the scale of each variable
    row_tol : float         largest difference of a row alone and in a batch, relative to max(1, abs(y)); float32: 1e-5
    """

    n_random: int = 10_000
    n_local: int = 2_000
    feasibility_tol: float = 1e-6
    smooth: bool = True
    gradient_tol: float = 1e-5
    difference_step: float = 1e-6
    row_tol: float = 1e-10

    @pytest.fixture
    def problem(self) -> Problem:
        """Return a new problem; override."""
        raise NotImplementedError("override the fixture `problem`")

    def test_values_have_the_agreed_shapes(self, problem: Problem) -> None:
        """Objective (k,), constraints (k, p), for many points and for one."""
        X = sample_points(problem, 7)
        for rows in (X, X[:1]):
            f, C = problem.outer(rows, problem.forward(rows))
            assert f.shape == (len(rows),)
            assert C.shape == (len(rows), problem.p)
        assert problem.p == len(problem.columns)

    def test_rows_do_not_depend_on_each_other(self, problem: Problem) -> None:
        """One row gives what the same row of a batch gives."""
        X = sample_points(problem, 5)
        Y = problem.forward(X)
        for i in range(len(X)):
            alone = problem.forward(X[i : i + 1])
            assert np.all(np.abs(alone - Y[i]) <= self.row_tol * np.maximum(1.0, np.abs(Y[i])))

    def test_evaluation_is_deterministic(self, problem: Problem) -> None:
        """The same points twice give the same bytes, and the fingerprint does not change in between."""
        X = sample_points(problem, 5)
        before = problem.fingerprint()
        first = problem.outer(X, problem.forward(X))
        again = problem.outer(X, problem.forward(X))
        assert first[0].tobytes() == again[0].tobytes()
        assert first[1].tobytes() == again[1].tobytes()
        assert problem.fingerprint() == before

    def test_declared_optimum_has_the_declared_value(self, problem: Problem) -> None:
        """f(known.x) = known.value within tol, and known.x is in the box and feasible."""
        known = problem.known
        if known is None or known.x is None or known.kind == "none":
            pytest.skip("no optimum with a location is declared")
        assert problem.space.contains(known.x)
        X = known.x[None, :]
        f, C = problem.outer(X, problem.forward(X))
        assert abs(f[0] - known.value) <= known.tol
        assert np.all(problem.excess(C)[0] <= self.feasibility_tol)

    def test_nothing_simple_beats_the_declared_optimum(self, problem: Problem) -> None:
        """Neither random points nor a short local search finds a feasible point better than declared + tol."""
        known = problem.known
        if known is None or known.kind == "none":
            pytest.skip("no optimum is declared")
        best = self._best_found(problem)
        declared = problem.sign * known.value
        assert best >= declared - known.tol, f"found {problem.sign * best}, declared {known.value}: declaration wrong"

    def test_gradients_agree_with_differences(self, problem: Problem) -> None:
        """Objective and constraint gradients against central differences of the whole composition."""
        if not (self.smooth and problem.has_gradient):
            pytest.skip("no gradient to check")
        X = sample_points(problem, 3, margin=0.05)  # differences must not leave the box
        Y = problem.forward(X)
        p = problem.outer(X, Y)[1].shape[1]
        rng = np.random.default_rng(1)
        wf, W = rng.standard_normal(len(X)), rng.standard_normal((len(X), p))
        blind = [c.name for c in problem.constraints if problem.gradient_source == "jac" and c.grad is None]
        if blind:
            W[:] = 0.0
        G = problem.vjp(X, Y, wf, W)
        expected = np.zeros_like(X)
        steps = self.difference_step * np.maximum(np.abs(X), _ranges(problem))
        free = [int(j) for j in problem.space.free if int(j) not in problem.space.categories]  # codes have no slope
        for j in free:
            shift = np.zeros_like(X)
            shift[:, j] = steps[:, j]
            high, low = X + shift, X - shift
            expected[:, j] = (_weighted(problem, high, wf, W) - _weighted(problem, low, wf, W)) / (high - low)[:, j]
        scale = float(np.max(np.abs(expected), initial=1e-300))
        assert np.max(np.abs(G[:, free] - expected[:, free]), initial=0.0) <= self.gradient_tol * scale

    # ---------------------------------------------------------------- helpers

    def _best_found(self, problem: Problem) -> float:
        """Return the least feasible sign*f of random points and a local random search; +inf if none is feasible."""
        rng = np.random.default_rng(0)
        best: float = np.inf
        centre: FloatArray | None = None
        X = sample_points(problem, self.n_random)
        for block in np.array_split(X, max(1, len(X) // 500)):
            best, centre = _improve(problem, block, best, centre)
        width, size = 0.1 * _ranges(problem), 50
        for _ in range(self.n_local // size):
            if centre is None:
                break
            steps = rng.standard_normal((size, problem.n)) * 10.0 ** rng.uniform(-3, 0, (size, 1))
            block, before = centre + width * steps, best
            best, centre = _improve(problem, _into_box(problem, block), best, centre)
            width = width * (1.2 if best < before else 0.7)
        return best


def sample_points(problem: Problem, k: int, margin: float = 0.0) -> FloatArray:
    """Return k random admissible full points (k, n), unbounded variables within 10 of the start or of zero.

    margin : float in [0, 0.5)      fraction of each range that is left out at both ends
    """
    space = problem.space
    centre = np.zeros(problem.n) if problem.x0 is None else problem.x0[0]
    lower = np.where(np.isfinite(space.lower), space.lower, np.minimum(centre, space.upper) - _WIDTH)
    upper = np.where(np.isfinite(space.upper), space.upper, np.maximum(centre, space.lower) + _WIDTH)
    inner = margin + (1.0 - 2.0 * margin) * np.random.default_rng(2).random((k, problem.n))
    return _into_box(problem, lower + (upper - lower) * inner)


def _into_box(problem: Problem, X: FloatArray) -> FloatArray:
    space = problem.space
    return space.expand(space.snap(space.reduce(X)))


def _ranges(problem: Problem) -> FloatArray:
    widths = problem.space.upper - problem.space.lower
    return np.where(np.isfinite(widths) & (widths > 0), widths, 1.0)


def _improve(
    problem: Problem, X: FloatArray, best: float, centre: FloatArray | None
) -> tuple[float, FloatArray | None]:
    """Return the better of (best, centre) and the best feasible row of X."""
    try:
        f, C = problem.outer(X, problem.forward(X))
    except problem.failures:
        return best, centre
    feasible = np.all(problem.excess(C) <= 0.0, axis=1) & np.isfinite(f)
    F = np.where(feasible, problem.sign * f, np.inf)
    i = int(np.argmin(F))
    return (float(F[i]), X[i].copy()) if F[i] < best else (best, centre)


def _weighted(problem: Problem, X: FloatArray, wf: FloatArray, W: FloatArray) -> FloatArray:
    f, C = problem.outer(X, problem.forward(X))
    total: FloatArray = wf * f + np.sum(W * C, axis=1)
    return total
