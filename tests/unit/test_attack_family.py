"""What single operators are for: kinks, curved constraints, smallest changes, Ipopt; and how often ladders raise the merit."""

from __future__ import annotations

import importlib
import sys

import numpy as np
import pytest

from dfoattack.attacks import by_name
from dfoattack.attacks.sampling import shortest
from dfoattack.errors import OptionError
from dfoattack.testing.views import FunctionView, affine_view, quadratic_view, target_at
from tests.unit.test_sqp import PROBLEMS, best_feasible, setting, slsqp

RNG = np.random.default_rng


def one(operator, view, target, radii=(0.1,)):
    return operator(target, np.array(radii), view, RNG(0))


# ---------------------------------------------------------------- kinks


def valley(z):
    """A kink along z_0 = 0.1 z_1, falling slowly along it: signs of the gradient never point along."""
    return 10.0 * abs(z[0] - 0.1 * z[1]) + z[1]


def valley_grad(z):
    side = 1.0 if z[0] - 0.1 * z[1] >= 0.0 else -1.0
    return np.array([10.0 * side, 1.0 - side])


def test_sampling_follows_a_kink_where_the_gradient_crosses_it():
    view = FunctionView(2, valley, valley_grad)
    start = np.array([0.05, 0.5])
    target = target_at(view, start, -1.0, 1.0)
    stuck = one(by_name("l2"), view, target, (0.5, 0.1))
    gains = [valley(start) - valley(start + d) for d in stuck.D]
    assert max(gains) < 0.0
    found = one(by_name("sampling", {"spread": 0.2}), view, target, (0.5,))
    assert valley(start) - valley(start + found.D[0]) > 0.3


def test_perturbed_steps_leave_a_kink():
    view = FunctionView(2, valley, valley_grad)
    start = np.array([0.05, 0.5])
    found = one(by_name("perturbed", {"steps": 20}), view, target_at(view, start, -1.0, 1.0), (0.5,))
    assert valley(start + found.D[0]) < valley(start)


@pytest.mark.parametrize("seed", range(20))
def test_the_shortest_combination_satisfies_its_optimality_conditions(seed):
    rng = RNG(seed)
    n, q = int(rng.integers(1, 8)), int(rng.integers(1, 9))
    G = rng.standard_normal((q, n)) + rng.standard_normal(n)
    v = shortest(G, np.ones(n))
    assert np.all(G @ v >= v @ v - 1e-10)  # every vertex lies on the far side


# ---------------------------------------------------------------- curved constraints


def test_the_tangent_step_leaves_a_constraint_where_sign_steps_crawl():
    """Parked on a circle, F falls along it: the corrected step ends on the circle, much farther than any common descent."""
    disc = FunctionView(
        2,
        lambda z: float(z[1] - 0.5 * z[0]),
        lambda z: np.array([-0.5, 1.0]),
        lambda z: np.array([z @ z - 1.0]),
        lambda z: 2.0 * z[None],
    )
    start = np.array([np.cos(0.3), np.sin(0.3)]) * (1.0 - 1e-9)
    target = target_at(disc, start, -2.0, 2.0)
    found = one(by_name("tangent"), disc, target, (0.4, 0.1))
    ends = start + found.D
    assert np.all(np.sum(ends**2, axis=1) <= 1.0)
    gain = disc._fun(start) - min(disc._fun(z) for z in ends)
    crawl = one(by_name("sign"), disc, target, (0.4, 0.1, 0.025))
    feasible = [d for d in crawl.D if (start + d) @ (start + d) <= 1.0]
    assert gain > 0.3
    assert gain > 1.2 * max([disc._fun(start) - disc._fun(start + d) for d in feasible], default=0.0)


def test_the_tangent_step_follows_the_curved_channel():
    """minimise -x_1 with |x_2 - x_1^2| <= 0.01 from the origin, F* = -2: tangent steps alone arrive in less than 100 evaluations."""
    view, _ = setting("curved_channel")
    z, radius, cost = np.zeros(2), 0.5, 0
    operator = by_name("tangent", {"active": 0.02})
    for _ in range(60):
        target = target_at(view, z, [-2.0, -1.0], [2.0, 4.0])
        before = view.spent
        found = one(operator, view, target, (radius, 0.25 * radius))
        if len(found) == 0:
            found = one(by_name("sign"), view, target, (radius, 0.25 * radius))
        cost += view.spent - before
        ends = [np.clip(z + d, [-2.0, -1.0], [2.0, 4.0]) for d in found.D]
        good = [e for e in ends if np.all(view._con(e) <= 0.0) and -e[0] < -z[0] - 1e-9]
        if good:
            step = min(good, key=lambda e: -e[0])
            radius, z = 1.5 * float(np.max(np.abs(step - z))), step
        else:
            radius *= 0.5
        if z[0] > 1.99:
            break
    assert z[0] > 1.99
    assert cost < 150


def test_known_linear_constraints_are_projected_on_exactly():
    A, b = np.array([[1.0, 1.0, 0.0]]), np.array([0.0])
    g = np.array([-1.0, -0.5, 0.2])
    view = affine_view(g, A, b)
    found = one(by_name("tangent"), view, target_at(view, np.zeros(3), -1.0, 1.0), (0.2,))
    expected = -(g - A[0] * (A[0] @ g) / 2.0)
    np.testing.assert_allclose(found.D[0], 0.2 * expected / np.max(np.abs(expected)), atol=1e-8)


def test_at_a_constrained_minimum_the_tangent_step_stays():
    view = affine_view(np.array([-1.0, 0.0]), np.array([[1.0, 0.0]]), np.array([0.5]))
    assert len(one(by_name("tangent"), view, target_at(view, [0.5, 0.0], -1.0, 1.0))) == 0


def test_an_infeasible_centre_is_pulled_back():
    view = quadratic_view(np.eye(2), np.zeros(2), np.array([[-1.0, 0.0], [0.0, -1.0]]), np.array([-1.0, -1.0]))
    target = target_at(view, [0.9, 0.95], -2.0, 2.0)
    found = one(by_name("tangent"), view, target, (0.3,))
    end = target.X[0] + found.D[0]
    assert np.all(end >= 1.0) and np.all(end <= 1.0 + 1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_a_point_parked_on_a_kink_of_the_violation_is_left(seed):
    """Two constraints meet in a corner at which F and both rows pull; tangent or two-goal direction must gain."""
    rng = RNG(seed)
    n = int(rng.integers(2, 6))
    A = rng.standard_normal((2, n))
    g = rng.standard_normal(n)
    view = affine_view(g, A, np.zeros(2))
    target = target_at(view, np.zeros(n), -1.0, 1.0)
    multipliers = np.linalg.lstsq(A.T, -g, rcond=None)[0]
    stationary = n == 2 and bool(np.all(multipliers >= 0.0))
    gains = []
    for name in ("tangent", "sign", "l2"):
        found = one(by_name(name), view, target)
        ok = np.all(found.D @ A.T <= 1e-12, axis=1)
        gains += list(-(found.D @ g)[ok])
    assert max(gains, default=0.0) > 1e-3 or stationary


# ---------------------------------------------------------------- smallest radius


def test_the_smallest_radius_is_that_of_the_closed_form():
    """F = g . z falls fastest along -g: the least l2 length for a gain of 1 is 1 / |g|."""
    g = np.array([3.0, 4.0])
    view = FunctionView(2, lambda z: float(g @ z) + 10.0, lambda z: g)
    found = one(by_name("smallest", {"gain": 0.1}), view, target_at(view, np.zeros(2), -2.0, 2.0), (1.0,))
    assert np.linalg.norm(found.D[0]) == pytest.approx(0.2, rel=1e-3)
    assert g @ found.D[0] <= -1.0


def test_from_an_infeasible_centre_the_nearest_feasible_point_is_found():
    view = FunctionView(2, lambda z: 0.0, np.zeros_like, lambda z: np.array([1.0 - z @ z]), lambda z: -2.0 * z[None])
    target = target_at(view, [0.5, 0.3], -2.0, 2.0)
    found = one(by_name("smallest"), view, target, (1.0,))
    least = 1.0 - np.hypot(0.5, 0.3)
    assert least <= np.linalg.norm(found.D[0]) <= 1.02 * least


def test_where_the_gain_is_out_of_reach_the_best_inner_point_is_returned():
    view = affine_view(np.array([1.0, 1.0]))
    found = one(by_name("smallest", {"gain": 5.0}), view, target_at(view, np.ones(2), -2.0, 2.0), (0.1,))
    np.testing.assert_allclose(np.linalg.norm(found.D[0]), 0.1, rtol=1e-9)


# ---------------------------------------------------------------- Ipopt


@pytest.mark.parametrize("name", [name for name in PROBLEMS if name != "infeasible_start"])
def test_ipopt_reaches_slsqps_value_strictly_feasible(name):
    pytest.importorskip("cyipopt")
    view, target = setting(name)
    found = one(by_name("ipopt"), view, target, (np.inf,))
    expected = slsqp(name).fun
    assert best_feasible(view, target, found) <= expected + 1e-5 * max(1.0, abs(expected))


def test_ipopt_meets_columns_that_it_was_not_shown():
    pytest.importorskip("cyipopt")
    view, target = setting("curved_vertex")
    found = one(by_name("ipopt", {"most": 1}), view, target, (np.inf,))
    assert best_feasible(view, target, found) <= slsqp("curved_vertex").fun + 1e-4


def test_what_user_code_raises_inside_ipopt_comes_out():
    pytest.importorskip("cyipopt")

    def broken(z):
        if np.any(z != 0.0):
            raise ZeroDivisionError("user code")
        return 0.0

    view = FunctionView(2, broken, lambda z: np.ones(2))
    with pytest.raises(ZeroDivisionError, match="user code"):
        one(by_name("ipopt"), view, target_at(view, np.zeros(2), -1.0, 1.0))


def test_without_the_library_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cyipopt", None)
    importlib.invalidate_caches()
    with pytest.raises(
        OptionError, match=r"Attack 'ipopt' needs the package cyipopt .* pip install 'dfoattack\[ipopt\]'"
    ):
        by_name("ipopt")


# ---------------------------------------------------------------- how often a ladder raises the merit

LADDER = 10.0 ** -np.arange(0.0, 7.0)


def net(seed, n, relu):
    """A random network with two hidden layers and one output, as F and its gradient."""
    rng = RNG(seed)
    W1, b1 = rng.standard_normal((16, n)) / np.sqrt(n), rng.standard_normal(16)
    W2, b2 = rng.standard_normal((16, 16)) / 4.0, rng.standard_normal(16)
    v = rng.standard_normal(16)
    act = (lambda u: np.maximum(u, 0.0)) if relu else np.tanh
    slope = (lambda u: (u > 0.0) * 1.0) if relu else (lambda u: 1.0 - np.tanh(u) ** 2)

    def fun(z):
        return float(v @ act(W2 @ act(W1 @ z + b1) + b2))

    def grad(z):
        u1 = W1 @ z + b1
        u2 = W2 @ act(u1) + b2
        return W1.T @ (slope(u1) * (W2.T @ (slope(u2) * v)))

    return fun, grad


@pytest.mark.parametrize("relu", [False, True], ids=["tanh", "relu"])
@pytest.mark.parametrize("constrained", [False, True], ids=["box", "constraint"])
@pytest.mark.parametrize("name", ["sign", "l2"])
def test_ladders_from_random_points_raise_the_merit(name, constrained, relu):
    """At least 99 % of ladders from random points with a projected merit gradient improve in the barrier's order at one of their radii."""
    raised = tried = 0
    for seed in range(25):
        n = (2, 5, 20)[seed % 3]
        fun, grad = net(seed, n, relu)
        con, jac = net(1000 + seed, n, relu)
        c = (lambda z, con=con: np.array([con(z)])) if constrained else None
        J = (lambda z, jac=jac: jac(z)[None]) if constrained else None
        view = FunctionView(n, fun, grad, c, J)
        X = RNG(seed).uniform(-1.0, 1.0, (16, n))
        target = target_at(view, X, -1.0, 1.0)
        found = by_name(name)(target, LADDER, view, RNG(0))
        for i, x in enumerate(X):
            infeasible = constrained and target.C[i, 0] > 0.0
            if not np.any(jac(x) if infeasible else grad(x)):
                continue  # a dead ReLU: no slope at all
            ends = np.clip(x + found.D[found.centre == i], -1.0, 1.0)
            before = (max(con(x), 0.0) if constrained else 0.0, fun(x))
            after = [((max(con(z), 0.0) if constrained else 0.0), fun(z)) for z in ends]
            tried += 1
            raised += any(key < before for key in after)
    assert tried >= 380
    assert raised >= 0.99 * tried


# ---------------------------------------------------------------- the polish by size


@pytest.mark.parametrize(("dense", "constrained", "same"), [(2, True, "sqp"), (1, True, "al"), (1, False, "lbfgsb")])
def test_the_polish_is_chosen_by_size_and_constraints(dense, constrained, same):
    A, b = (np.array([[1.0, -0.5]]), np.array([-0.2])) if constrained else (None, None)
    rows = [affine_view(np.array([1.0, 2.0]), *(() if A is None else (A, b))) for _ in range(2)]
    target = target_at(affine_view(np.array([1.0, 2.0]), *(() if A is None else (A, b))), np.zeros(2), -1.0, 1.0)
    ours, other = (
        operator(target, np.array([np.inf]), view, np.random.default_rng(0))
        for operator, view in zip((by_name("polish", {"dense": dense}), by_name(same)), rows, strict=True)
    )
    np.testing.assert_array_equal(ours.D, other.D)
    assert len(ours) and (rows[0].vjps, rows[0].passes) == (rows[1].vjps, rows[1].passes)
    with pytest.raises(OptionError, match="`dense` must be an integer >= 0, got -1"):
        by_name("polish", {"dense": -1})
