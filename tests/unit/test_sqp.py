"""The SQP polish against SciPy's SLSQP with exact gradients, and its subproblem against a general solver."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from dfoattack.attacks import _polish
from dfoattack.attacks._rows import Rows
from dfoattack.attacks.qp import solve_qp
from dfoattack.attacks.sqp import SQP
from dfoattack.evaluator import Evaluator
from dfoattack.problem import Constraint, Problem
from dfoattack.testing.views import FunctionView, target_at

RNG = np.random.default_rng


def complex_step(fun):
    """Derivative of a scalar or vector function by complex steps, exact to rounding: (n,) or (p, n)."""

    def derivative(z):
        columns = []
        for i in range(z.size):
            shifted = z.astype(complex)
            shifted[i] += 1e-30j
            columns.append(np.imag(fun(shifted)) / 1e-30)
        return np.array(columns).T

    return derivative


def rosenbrock(z):
    return 100.0 * (z[1] - z[0] ** 2) ** 2 + (1.0 - z[0]) ** 2


_H = RNG(5).standard_normal((50, 50))
_H = _H @ _H.T / 50.0 + 0.1 * np.eye(50)
_G, _A50, _B50 = RNG(6).standard_normal(50), RNG(7).standard_normal((20, 50)), RNG(8).uniform(0.1, 1.0, 20)
_G12, _A12, _B12 = RNG(1).standard_normal(12), RNG(2).standard_normal((6, 12)), RNG(3).uniform(0.1, 1.0, 6)

# name: (fun, con or None, lower, upper, start). Hock & Schittkowski 1981 where the name begins with hs.
PROBLEMS = {
    "rosenbrock": (rosenbrock, None, -2.0, 2.0, [-1.2, 1.0]),
    "hs21": (
        lambda z: 0.01 * z[0] ** 2 + z[1] ** 2 - 100.0,
        lambda z: np.array([10.0 - 10.0 * z[0] + z[1]]),
        [2.0, -50.0],
        [50.0, 50.0],
        [40.0, 10.0],
    ),
    "hs35": (
        lambda z: (
            9.0
            - 8.0 * z[0]
            - 6.0 * z[1]
            - 4.0 * z[2]
            + 2.0 * z[0] ** 2
            + 2.0 * z[1] ** 2
            + z[2] ** 2
            + 2.0 * z[0] * z[1]
            + 2.0 * z[0] * z[2]
        ),
        lambda z: np.array([z[0] + z[1] + 2.0 * z[2] - 3.0]),
        0.0,
        10.0,
        [0.5, 0.5, 0.5],
    ),
    "hs43": (
        lambda z: (
            z[0] ** 2 + z[1] ** 2 + 2.0 * z[2] ** 2 + z[3] ** 2 - 5.0 * z[0] - 5.0 * z[1] - 21.0 * z[2] + 7.0 * z[3]
        ),
        lambda z: np.array(
            [
                z @ z + z[0] - z[1] + z[2] - z[3] - 8.0,
                z[0] ** 2 + 2.0 * z[1] ** 2 + z[2] ** 2 + 2.0 * z[3] ** 2 - z[0] - z[3] - 10.0,
                2.0 * z[0] ** 2 + z[1] ** 2 + z[2] ** 2 + 2.0 * z[0] - z[1] - z[3] - 5.0,
            ]
        ),
        -10.0,
        10.0,
        [0.0, 0.0, 0.0, 0.0],
    ),
    "hs65": (
        lambda z: (z[0] - z[1]) ** 2 + ((z[0] + z[1] - 10.0) / 3.0) ** 2 + (z[2] - 5.0) ** 2,
        lambda z: np.array([z @ z - 48.0]),
        [-4.5, -4.5, -5.0],
        [4.5, 4.5, 5.0],
        [-4.5, 4.5, 0.0],
    ),
    "hs71_band": (
        lambda z: z[0] * z[3] * (z[0] + z[1] + z[2]) + z[2],
        lambda z: np.array([25.0 - z[0] * z[1] * z[2] * z[3], z @ z - 40.001, 39.999 - z @ z]),
        1.0,
        5.0,
        [1.0, 5.0, 5.0, 1.0],
    ),
    "curved_channel": (
        lambda z: -z[0],
        lambda z: np.array([z[1] - z[0] ** 2 - 0.01, z[0] ** 2 - z[1] - 0.01]),
        [-2.0, -1.0],
        [2.0, 4.0],
        [0.0, 0.0],
    ),
    "curved_vertex": (
        lambda z: -z[0] - z[1],
        lambda z: np.array(
            [
                z[0] ** 2 + 0.3 * z[1] ** 2 - 1.0,
                0.2 * z[0] ** 2 + z[1] ** 2 - 0.9,
                np.exp(z[0]) - 3.0 + z[1],
            ]
        ),
        -2.0,
        2.0,
        [-0.5, -0.5],
    ),
    "affine": (lambda z: _G12 @ z, lambda z: _A12 @ z - _B12, -1.0, 1.0, np.zeros(12)),
    "infeasible_start": (
        lambda z: z[0] ** 2 + z[1],
        lambda z: np.array([1.0 - z[0] * z[1], z[0] ** 2 + z[1] ** 2 - 6.0]),
        -4.0,
        4.0,
        [3.0, 3.0],
    ),
    "quadratic_50": (lambda z: 0.5 * z @ _H @ z + _G @ z, None, -1.0, 1.0, np.zeros(50)),
    "quadratic_50_rows": (lambda z: 0.5 * z @ _H @ z + _G @ z, lambda z: _A50 @ z - _B50, -1.0, 1.0, np.zeros(50)),
}


def setting(name, **settings):
    fun, con, lower, upper, start = PROBLEMS[name]
    start = np.asarray(start, dtype=float)
    jac = None if con is None else complex_step(con)
    view = FunctionView(start.size, lambda z: float(fun(z)), complex_step(fun), con, jac, **settings)
    return view, target_at(view, start, lower, upper)


def polish(view, target, **options):
    return SQP(**options)(target, np.array([np.inf]), view, RNG(0))


def slsqp(name):
    fun, con, lower, upper, start = PROBLEMS[name]
    n = len(start)
    bounds = list(zip(np.broadcast_to(lower, n), np.broadcast_to(upper, n), strict=True))
    rows = [] if con is None else [{"type": "ineq", "fun": lambda z: -con(z), "jac": lambda z: -complex_step(con)(z)}]
    return minimize(
        fun, start, jac=complex_step(fun), bounds=bounds, constraints=rows, method="SLSQP",
        options={"ftol": 1e-13, "maxiter": 500},
    )  # fmt: skip


def best_feasible(view, target, found):
    """Least F among the returned rows that satisfy every constraint exactly."""
    Z = np.clip(target.X[found.centre] + found.D, target.lower, target.upper)
    F, C = view.values(Z, view.outputs(Z))
    return np.min(F[np.all(C <= 0.0, axis=1)], initial=np.inf)


@pytest.mark.parametrize("name", PROBLEMS)
def test_it_reaches_slsqps_value_strictly_feasible(name):
    view, target = setting(name)
    found = polish(view, target)
    expected = slsqp(name).fun
    assert best_feasible(view, target, found) <= expected + 1e-6 * max(1.0, abs(expected))


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_best_row_costs_the_evaluator_no_pass(name):
    """Inner points are visited with the bits they are returned with."""
    view, target = setting(name)
    found = polish(view, target)
    before = view.passes
    best_feasible(view, target, type(found)(found.D[:1], found.centre[:1], found.radius[:1]))
    assert view.passes == before


def test_affine_constraints_are_bought_once():
    view, target = setting("affine")
    polish(view, target)
    gradients_of_f = view.passes + 1
    assert view.vjps <= gradients_of_f + _B12.size


def grid(z):
    """700 columns of which one or two are active: a curve over time must stay below its limit, as with a PINN."""
    t = np.linspace(0.0, 1.0, 350)
    heat = 60.0 + 25.0 * z[0] * t * np.exp(1.0 - t * (1.2 + z[1])) + 8.0 * z[1] * np.sin(3.0 * t) + 5.0 * z[0] * z[1]
    energy = np.cumsum((z[0] + 0.4) ** 2 * (1.0 + 0.3 * z[1] * np.cos(5.0 * t))) / 35.0
    return np.concatenate([heat - 72.0, energy - 6.0])


@pytest.mark.parametrize("start", [[0.0, 0.0], [0.5, -0.5], [2.0, 2.0]])
def test_many_columns_few_active_cost_few_products(start):
    def fun(z):
        return -np.tanh(z[0] + 0.3 * z[1]) - 0.3 * z[1] + 0.05 * z[0] ** 2

    view = FunctionView(2, lambda z: float(fun(z)), complex_step(fun), grid, complex_step(grid), m=600)
    target = target_at(view, start, -1.0, 3.0)
    found = polish(view, target)
    assert view.vjps <= 60
    assert best_feasible(view, target, found) <= -1.136466


def test_with_few_outputs_the_whole_jacobian_costs_no_more_than_they():
    view, target = setting("hs43", m=1)
    polish(view, target)
    assert view.vjps <= 2 * (view.passes + 1)  # one for F, at most one for all rows


@pytest.mark.parametrize("budget", range(0, 60, 3))
def test_any_budget_is_kept_and_used(budget):
    view, target = setting("hs43", budget=float(budget))
    found = polish(view, target)
    assert view.spent <= budget
    if budget >= 30:
        assert best_feasible_cached(view, target, found) < target.F[0]


def best_feasible_cached(view, target, found):
    view._budget = np.inf
    return best_feasible(view, target, found)


def test_a_radius_is_a_trust_box():
    view, target = setting("hs43")
    found = SQP()(target, np.array([0.25]), view, RNG(0))
    assert len(found) >= 1
    assert np.all(np.abs(found.D) <= 0.25)


def test_every_feasible_centre_is_polished():
    view, _ = setting("curved_vertex")
    two = target_at(view, [[-0.5, -0.5], [0.1, 0.2]], -2.0, 2.0)
    assert set(polish(view, two).centre) == {0, 1}


def test_at_a_minimum_there_is_nothing_to_do():
    view, _ = setting("rosenbrock")
    assert len(polish(view, target_at(view, [1.0, 1.0], -2.0, 2.0))) == 0


# ---------------------------------------------------------------- the real view


def discs(y):
    return np.column_stack([y[:, 0] ** 2 + 0.3 * y[:, 1] ** 2 - 1.0, 0.2 * y[:, 0] ** 2 + y[:, 1] ** 2 - 0.9])


def discs_grad(X, Y, W):
    return np.zeros_like(X), 2.0 * Y * np.column_stack([W @ [1.0, 0.2], W @ [0.3, 1.0]])


@pytest.mark.parametrize("grad", [discs_grad, None], ids=["gradient", "blind"])
@pytest.mark.parametrize("budget", [None, 25.0])
def test_through_the_real_view_passes_become_evaluations(budget, grad):
    problem = Problem(
        objective=lambda y: -y[:, 0] - y[:, 1],
        objective_grad=lambda Y: -np.ones_like(Y),
        space=([-2.0, -2.0], [2.0, 2.0]),
        constraints=[Constraint(discs, grad=grad)],
        sense="minimize",
    )
    evaluator = Evaluator(problem, budget=budget)
    start = np.array([[-0.5, -0.5]])
    first = evaluator.evaluate(start)
    view = evaluator.view()
    two = np.zeros(2)
    fake = target_at(FunctionView(2, lambda z: 0.0, lambda z: two), start, -2.0, 2.0)
    values = {"F": first.F, "C": first.C, "tol": two, "scale": np.ones(2), "extreme": np.zeros(2, dtype=bool)}
    target = type(fake)(**{**vars(fake), **values})
    found = polish(view, target)
    before = evaluator.counters
    told = evaluator.evaluate(np.clip(start + found.D[:1], -2.0, 2.0))
    assert evaluator.counters.nphi == before.nphi  # the inner point is not run again
    assert evaluator.counters.passes == before.passes - 1
    assert np.all(told.C <= 0.0) and told.F[0] < first.F[0]
    if budget is None:
        vertex = np.sqrt(0.73 / 0.94) + np.sqrt(0.9 - 0.2 * 0.73 / 0.94)
        # Secants alone lead a blind constraint near its vertex, not to it.
        assert told.F[0] == pytest.approx(-vertex, abs=2e-2 if grad is None else 1e-8)


# ---------------------------------------------------------------- subproblem and rows


@pytest.mark.parametrize("seed", range(30))
def test_the_subproblem_agrees_with_a_general_solver(seed):
    rng = RNG(seed)
    n, q = int(rng.integers(1, 8)), int(rng.integers(0, 12))
    M = rng.standard_normal((n, n))
    B, g = M @ M.T + 1e-3 * np.eye(n), rng.standard_normal(n) * 10.0 ** rng.uniform(-3.0, 3.0)
    A, b = rng.standard_normal((q, n)), rng.uniform(-0.3, 1.0, q)
    lo, hi = -rng.uniform(0.0, 1.0, n), rng.uniform(0.0, 1.0, n)
    found = solve_qp(B, g, A, b, lo, hi)
    assert found is not None
    assert np.all((found.d >= lo) & (found.d <= hi)) and np.all(found.multipliers >= 0.0)
    rows = [{"type": "ineq", "fun": lambda d: b - A @ d, "jac": lambda d: -A}] if q else []
    general = minimize(
        lambda d: 0.5 * d @ B @ d + g @ d, np.zeros(n), jac=lambda d: B @ d + g, bounds=list(zip(lo, hi, strict=True)),
        constraints=rows, method="SLSQP", options={"ftol": 1e-14, "maxiter": 500},
    )  # fmt: skip
    if found.relaxed > 0.0:
        assert not general.success
        return
    assert np.max(A @ found.d - b, initial=0.0) <= 1e-9
    if general.success:
        assert 0.5 * found.d @ B @ found.d + g @ found.d <= general.fun + 1e-7 * (1.0 + abs(general.fun))


def test_inconsistent_rows_are_relaxed_and_not_worsened():
    A, b = np.array([[1.0, 0.0], [-1.0, 0.0]]), np.array([-1.0, -1.0])  # x <= -1 and x >= 1
    found = solve_qp(np.eye(2), np.array([0.0, 1.0]), A, b, np.full(2, -5.0), np.full(2, 5.0))
    assert found is not None and found.relaxed == pytest.approx(1.0, abs=1e-6)
    assert np.all(A @ found.d <= np.maximum(0.0, 1e-6))


def test_numbers_the_subproblem_cannot_use_give_none():
    far = np.full(1, 9.0)
    none = np.zeros((0, 1))
    assert solve_qp(-np.eye(1), np.ones(1), none, np.zeros(0), -far, far) is None
    assert solve_qp(np.eye(1), np.array([np.nan]), none, np.zeros(0), -far, far) is None


def test_affine_rows_stay_exact_and_curved_ones_follow_the_secant():
    rows = Rows(2, 2)
    rows.learn(np.array([0, 1]), np.array([[1.0, 2.0], [1.0, 0.0]]))
    step = np.array([0.5, 0.5])
    rows.move(step, np.array([1.5, 0.8]))
    assert rows.exact.tolist() == [True, False]
    np.testing.assert_allclose(rows.J @ step, [1.5, 0.8])


def test_columns_that_move_alike_are_bought_once():
    rows = Rows(4, 2)
    order = np.array([2, 0, 1, 3])
    np.testing.assert_array_equal(rows.distinct(order, 3), [2, 0, 1])  # nothing seen yet: the order decides
    rows.look(np.array([1.0, 0.0]), np.array([1.0, 1.0, 1.01, -1.0]))
    rows.look(np.array([0.0, 1.0]), np.array([2.0, -1.0, 2.0, 0.0]))
    np.testing.assert_array_equal(rows.distinct(order, 3), [2, 1, 3])


# ---------------------------------------------------------------- kinks


def kinked(seed):
    """A random network with two hidden layers of ReLU over [-1, 1]^8, and a random start."""
    rng = RNG(seed)
    A = rng.standard_normal((24, 8)) / np.sqrt(8)
    B = rng.standard_normal((24, 24)) / np.sqrt(12)
    w, shift = rng.standard_normal(24) / np.sqrt(24), 0.3 * rng.standard_normal(24)

    def fun(z):
        return float(w @ np.maximum(B @ np.maximum(A @ z + shift, 0.0), 0.0))

    def grad(z):
        inner = A @ z + shift
        return ((w * (B @ np.maximum(inner, 0.0) > 0.0)) @ B * (inner > 0.0)) @ A

    view = FunctionView(8, fun, grad)
    return view, target_at(view, rng.uniform(-1.0, 1.0, 8), -1.0, 1.0)


def test_a_polish_that_crawls_along_kinks_ends(monkeypatch):
    def ends():
        out = []
        for seed in range(12):
            view, target = kinked(seed)
            out.append((best_feasible(view, target, polish(view, target)), view.vjps))
        return np.array(out).T

    values, costs = ends()
    monkeypatch.setattr(_polish, "_crawls", lambda state: False)
    patient, dear = ends()
    assert costs.sum() < 0.75 * dear.sum() and np.all(costs <= dear)
    assert np.median((values - patient) / np.abs(patient)) < 1e-3


@pytest.mark.parametrize("name", PROBLEMS)
def test_nothing_smooth_is_taken_for_kinks(name, monkeypatch):
    crawled, judge = [], _polish._crawls
    monkeypatch.setattr(_polish, "_crawls", lambda state: crawled.append(judge(state)) or crawled[-1])
    view, target = setting(name)
    polish(view, target)
    assert crawled and not any(crawled)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "rosenbrock"])  # begins at a wall of degree 4
def test_nothing_like_a_parabola_is_taken_for_a_dent(name, monkeypatch):
    looked = []
    monkeypatch.setattr(_polish, "along_axes", lambda *args: looked.append(args))
    polish(*setting(name))
    assert not looked


def test_silent_rows_are_those_of_which_only_a_zero_gradient_is_known():
    rows = Rows(3, 2)
    assert not rows.silent.any()
    rows.learn(np.array([0, 1]), np.array([[0.0, 0.0], [1.0, 0.0]]))
    assert rows.silent.tolist() == [True, False, False]
    rows.look(np.array([0.5, 0.0]), np.array([1.0, 0.5, 0.0]))  # a wall was met: that tells more than the gradient
    assert not rows.silent.any()
