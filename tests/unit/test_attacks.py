"""One-step attacks, projected gradients, geometry and the contract's own checks, against closed forms and general solvers."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from dfoattack.attacks import BUILTIN, by_name
from dfoattack.attacks.base import AttackOperator, Displacements, violation
from dfoattack.attacks.pgd import PGD
from dfoattack.attacks.projection import (
    project_l1,
    project_l2,
    project_linf,
    steepest_l1,
    steepest_l2,
    steepest_linf,
    two_goal_l1,
    two_goal_l2,
    two_goal_linf,
)
from dfoattack.errors import DfoattackError, OptionError
from dfoattack.testing.views import FunctionView, affine_view, quadratic_view, target_at

RNG = np.random.default_rng
HAS_IPOPT = importlib.util.find_spec("cyipopt") is not None
STEPS = ["sign", "l2", "l1", "topk"]
WALKS = ["pgd", "momentum", "apgd", "adam", "perturbed", "sampling"]
NAMES = [name for name in BUILTIN if name != "none" and (name != "ipopt" or HAS_IPOPT)]


def one(operator, view, target, radii=(0.1,)):
    return operator(target, np.array(radii), view, RNG(0))


# ---------------------------------------------------------------- closed forms


@pytest.mark.parametrize("m", [1, 2, 7])
def test_affine_gains_have_the_closed_form(m):
    # F = v . (A x + b): m = 1 and v = ones are CE6, where a centred direction J^T (v - mean v) would not move at all.
    rng = RNG(m)
    g = rng.standard_normal((m, 6)).T @ np.ones(m)
    w, r = rng.uniform(0.2, 1.0, 6), 0.3
    view = affine_view(g)
    target = target_at(view, np.zeros(6), -9.0, 9.0, w)
    sign, l2, l1 = np.abs(w * g).sum(), np.linalg.norm(w * g), np.abs(w * g).max()
    top = {"topk": np.sort(np.abs(w * g))[-2:].sum()}
    signs = dict.fromkeys(("sign", "pgd", "momentum", "apgd", "adam", "perturbed"), sign)
    for name, gain in {**signs, "l2": l2, "l1": l1, **top}.items():
        options = {"counts": [2]} if name == "topk" else {}
        found = one(by_name(name, options), view, target, (r, r / 4))
        np.testing.assert_allclose(-found.D @ g, [r * gain, r / 4 * gain], rtol=1e-12)
    for name in ("lbfgsb", "al", "sqp", "ipopt"):
        if name != "ipopt" or HAS_IPOPT:
            found = one(by_name(name), view, target, (r,))
            np.testing.assert_allclose(-found.D[0] @ g, r * sign, rtol=1e-6)


@pytest.mark.parametrize("name", STEPS)
def test_a_ladder_costs_one_vjp_and_one_more_where_it_is_infeasible(name):
    view = affine_view(np.array([1.0, 2.0]), np.array([[1.0, 0.0]]), np.array([0.5]))
    one(by_name(name), view, target_at(view, [0.0, 0.0], -2.0, 2.0), (1.0, 0.5, 0.25))
    assert (view.vjps, view.passes) == (1, 0)
    one(by_name(name), view, target_at(view, [1.0, 0.0], -2.0, 2.0), (1.0, 0.5, 0.25))
    assert (view.vjps, view.passes) == (3, 0)


@pytest.mark.parametrize("name", [*STEPS, *WALKS])
def test_infeasible_centre_decreases_both_goals(name):
    g, a = np.array([1.0, 0.2, 0.0]), np.array([-1.0, 0.3, 0.1])
    view = affine_view(g, a[None], np.array([-2.0]))
    target = target_at(view, np.zeros(3), -3.0, 3.0)
    # Further steps of an attack that ranks violation first may give some of F back.
    found = one(by_name(name, {"steps": 1} if name == "sampling" else {}), view, target)
    assert len(found) >= 1
    assert np.all(found.D @ g < 0.0) and np.all(found.D @ a < 0.0)


# The tangent step needs an active constraint, flips act on granular variables, SimBA asks for no gradient.
@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("tangent", "flips", "simba")])
def test_without_a_gradient_of_f_the_violation_is_attacked_alone(name):
    a = np.array([1.0, -2.0])
    view = FunctionView(
        2, lambda z: 0.0, lambda z: np.full(2, np.nan), lambda z: np.array([a @ z + 1.0]), lambda z: a[None]
    )
    found = one(by_name(name), view, target_at(view, np.zeros(2), -3.0, 3.0), (0.5,))
    assert len(found) >= 1
    assert found.D[0] @ a < 0.0


def test_a_feasible_centre_next_to_a_wall_leaves_it():
    # Straight descent would cross the constraint at once: c = -1e-6, grad F opposes grad c.
    g, a = np.array([-1.0, 0.1]), np.array([1.0, 0.0])
    view = affine_view(g, a[None], np.array([1e-6]))
    target = target_at(view, np.zeros(2), -1.0, 1.0)
    d = one(by_name("sign"), view, target).D[0]
    assert d @ a < 0.0 and d @ g < 0.0
    assert one(by_name("sign", {"active": 0.0}), view, target).D[0] @ a > 0.0


@pytest.mark.parametrize("name", ["sign", "l2", "l1", "pgd", "momentum", "adam", "apgd", "sampling"])
def test_at_a_vertex_of_the_box_blocked_coordinates_stay(name):
    g = np.array([1.0, -1.0, 1.0])
    view = affine_view(g)
    found = one(by_name(name), view, target_at(view, [-1.0, 1.0, 0.0], -1.0, 1.0), (0.5,))
    np.testing.assert_allclose(found.D, [[0.0, 0.0, -0.5]])


# ---------------------------------------------------------------- projected gradients


def test_pgd_reaches_the_ball_and_counts_its_passes():
    view = affine_view(np.array([1.0, -1.0]))
    found = one(PGD(steps=10), view, target_at(view, [0.0, 0.0], -1.0, 1.0))
    np.testing.assert_allclose(found.D, [[-0.1, 0.1]], atol=1e-15)
    assert view.passes == len(view.seen) <= 10
    assert view.vjps <= 10


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pgd", {"norm": "linf"}),
        ("pgd", {"norm": "l2"}),
        ("momentum", {}),
        ("momentum", {"nesterov": True}),
        ("apgd", {}),
        ("apgd", {"norm": "l2"}),
        ("adam", {}),
        ("perturbed", {}),
        ("sampling", {}),
    ],
)
def test_many_steps_on_a_quadratic_beat_the_first_one(name, options):
    H = np.diag([1.0, 30.0])
    view = quadratic_view(H, np.array([-0.2, -1.0]))
    target = target_at(view, np.zeros(2), -1.0, 1.0)
    d = one(by_name(name, {**options, "steps": 20}), view, target, (0.3,)).D[0]
    assert 0.5 * d @ H @ d + np.array([-0.2, -1.0]) @ d < -0.015


def test_pgd_ranks_violation_before_f():
    view = affine_view(np.array([-1.0, 0.0]), np.array([[1.0, 0.0]]), np.array([0.25]))
    d = one(PGD(active=0.0), view, target_at(view, np.zeros(2), -1.0, 1.0), (1.0,)).D[0]
    assert 0.1 <= d[0] <= 0.25


def test_pgd_returns_what_it_has_when_the_budget_ends():
    view = quadratic_view(np.eye(2), np.array([-1.0, -1.0]), None)
    view._budget = 7.0
    assert len(one(PGD(), view, target_at(view, np.zeros(2), -1.0, 1.0))) == 1
    assert view.spent <= 7.0


# ---------------------------------------------------------------- geometry


def ball_and_box(rng, n):
    return rng.uniform(0.2, 1.0, n), -rng.uniform(0.0, 1.0, n), rng.uniform(0.0, 1.0, n)


@pytest.mark.parametrize("seed", range(8))
def test_steepest_l2_and_projection_agree_with_a_general_solver(seed):
    rng = RNG(seed)
    n, r = int(rng.integers(2, 7)), float(rng.uniform(0.1, 1.5))
    w, a, b = ball_and_box(rng, n)
    g = rng.standard_normal(n)

    def solve(fun, jac, start):
        ball = {"type": "ineq", "fun": lambda d: r * r - np.sum((d / w) ** 2), "jac": lambda d: -2.0 * d / w**2}
        return minimize(
            fun,
            start,
            jac=jac,
            bounds=list(zip(a, b, strict=True)),
            constraints=[ball],
            options={"ftol": 1e-14, "maxiter": 500},
        ).x

    inner = 0.1 * np.clip(-g, a, b)
    d = steepest_l2(g, r, w, a, b)
    assert np.linalg.norm(d / w) <= r * (1.0 + 1e-12)
    assert g @ d <= g @ solve(lambda x: g @ x, lambda x: g, inner) + 1e-7
    z = project_l2(2.0 * g, r, w, a, b)
    expected = solve(lambda x: 0.5 * np.sum((x - 2.0 * g) ** 2), lambda x: x - 2.0 * g, inner)
    np.testing.assert_allclose(z, expected, atol=2e-5)


@pytest.mark.parametrize("seed", range(8))
def test_steepest_l1_agrees_with_linear_programming(seed):
    rng = RNG(seed)
    w, a, b = ball_and_box(rng, 6)
    g, r = rng.standard_normal(6), float(rng.uniform(0.1, 3.0))
    d = steepest_l1(g, r, w, a, b)
    assert np.sum(np.abs(d) / w) <= r * (1.0 + 1e-12)
    split = np.concatenate([g, -g])  # d = u - v
    best = linprog(
        split, A_ub=[np.concatenate([1.0 / w, 1.0 / w])], b_ub=[r], bounds=[*((0, t) for t in b), *((0, -t) for t in a)]
    )
    assert g @ d == pytest.approx(best.fun, abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_l1_projection_satisfies_its_optimality_conditions(seed):
    rng = RNG(seed)
    w, a, b = ball_and_box(rng, 6)
    d = rng.standard_normal(6)
    z = project_l1(d, 0.4, w, a, b)
    assert np.sum(np.abs(z) / w) <= 0.4 * (1.0 + 1e-12)
    for _ in range(200):  # the projection makes an obtuse angle with every point of the set
        other = project_l1(3.0 * rng.standard_normal(6), 0.4, w, a, b)
        assert (d - z) @ (other - z) <= 1e-9
    np.testing.assert_allclose(
        project_linf(d, 0.4, w, a, b), np.clip(d, np.maximum(a, -0.4 * w), np.minimum(b, 0.4 * w))
    )


@pytest.mark.parametrize("n", [2, 20, 100])
@pytest.mark.parametrize("cosine", [-0.3, -0.7, -0.95, -0.99])
def test_two_goals_decrease_together(n, cosine):
    rng = RNG(n)
    for _ in range(25):
        g = rng.standard_normal(n)
        g /= np.linalg.norm(g)
        side = rng.standard_normal(n)
        side -= (side @ g) * g
        h = cosine * g + np.sqrt(1.0 - cosine**2) * side / np.linalg.norm(side)
        h *= 10.0 ** rng.uniform(-6.0, 6.0)
        w = np.ones(n)
        free = np.full(n, np.inf)
        for d in (
            two_goal_linf(g, h, -w, w),
            two_goal_l2(g, h, 1.0, w, -free, free),
            two_goal_l1(g, h, 1.0, w, -free, free),
        ):
            assert g @ d < 0.0 and h @ d < 0.0


@pytest.mark.parametrize("seed", range(10))
def test_two_goal_linf_is_the_best_common_decrease(seed):
    rng = RNG(seed)
    n = int(rng.integers(2, 12))
    g, h = rng.standard_normal(n), rng.standard_normal(n)
    lo, hi = -rng.uniform(0.0, 1.0, n), rng.uniform(0.0, 1.0, n)
    lo[0], hi[-1] = 0.0, 0.0
    p, q = (v / -(v @ steepest_linf(v, lo, hi)) for v in (g, h))
    d = two_goal_linf(g, h, lo, hi)
    rows = np.column_stack([np.array([p, q]), np.ones(2)])  # maximise t with p . d + t <= 0, q . d + t <= 0
    bounds = [*zip(lo, hi, strict=True), (None, None)]
    best = -linprog(np.append(np.zeros(n), -1.0), A_ub=rows, b_ub=np.zeros(2), bounds=bounds).fun
    assert min(-(p @ d), -(q @ d)) == pytest.approx(max(best, 0.0), abs=1e-9)


def test_opposite_goals_have_no_common_direction():
    g, w = np.array([1.0, -2.0]), np.ones(2)
    assert not np.any(two_goal_linf(g, -g, -w, w))
    assert not np.any(two_goal_l2(g, -g, 1.0, w, -w, w))


# ---------------------------------------------------------------- promises


@given(
    st.sampled_from(NAMES),
    st.integers(1, 5),
    st.integers(0, 2**31),
    st.floats(1e-9, 1e3),
    st.sampled_from([0.0, 1.0, -1.0]),
)
def test_size_and_box_hold_for_any_input(name, n, seed, radius, corner):
    rng = RNG(seed)
    lower, width = rng.uniform(-10.0, 10.0, n), 10.0 ** rng.uniform(-3.0, 3.0, n)
    upper = lower + width
    x = np.clip(lower + width * rng.uniform(0.0, 1.0, n), lower, upper)
    x = np.where(corner > 0.0, upper, np.where(corner < 0.0, lower, x))
    w = 10.0 ** rng.uniform(-4.0, 0.0, n)
    g, A = rng.standard_normal(n) * 10.0 ** rng.uniform(-8.0, 8.0), rng.standard_normal((2, n))
    view = quadratic_view(np.eye(n), g, A, A @ x + rng.uniform(-1.0, 1.0, 2))
    target = target_at(view, x, lower, upper, w)
    found = one(by_name(name), view, target, (radius, radius / 3.0))
    assert np.all(np.abs(found.D) <= found.radius[:, None] * w)
    Z = target.X[found.centre] + found.D
    slack = np.spacing(
        np.maximum(np.abs(x), np.maximum(np.abs(lower), np.abs(upper)))
    )  # of the sum; trials are clipped
    assert np.all((Z >= lower - slack) & (Z <= upper + slack))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1e-300, 1e150, 1e300])
def test_numbers_of_any_size_warn_about_nothing(name, size):
    # Warnings are errors in this suite.
    g, A = np.array([1.0, -2.0, 0.5]) * size, np.array([[1.0, 1.0, 0.0], [0.0, -1.0, 1.0]]) * size
    for view in (affine_view(g), affine_view(g, A, np.array([-size, 0.1]))):
        found = one(by_name(name), view, target_at(view, np.zeros(3), -1.0, 1.0))
        assert np.all(np.isfinite(found.D))


# ---------------------------------------------------------------- the public method


class Fixed(AttackOperator):
    name = "fixed"

    def __init__(self, D=((0.1, 0.1),), centre=(0,)):
        self.D = D
        self.centre = centre

    def _propose(self, target, radii, view, rng):
        D = np.array(self.D, dtype=float)
        return Displacements(D, np.array(self.centre), np.full(len(D), radii[0]))


def flat():
    view = affine_view(np.array([1.0, 1.0]))
    return view, target_at(view, np.zeros(2), -1.0, 1.0)


def test_broken_promises_name_the_operator():
    view, target = flat()
    with pytest.raises(DfoattackError, match=r"'fixed' broke its promise .* it used 2 of the radius"):
        one(Fixed(D=((0.2, 0.0),)), view, target)
    with pytest.raises(DfoattackError, match=r"'fixed' named a centre outside 0\.\.0"):
        one(Fixed(centre=(1,)), view, target)
    with pytest.raises(DfoattackError, match=r"'fixed' must return D \(k, n\).* n = 2, got \(1, 3\)"):
        one(Fixed(D=((0.1, 0.1, 0.1),)), view, target)


def test_rows_that_are_zero_or_not_finite_are_dropped_and_rounding_is_forgiven():
    view, target = flat()
    D = ((0.0, 0.0), (np.nan, 0.1), (np.nextafter(0.1, 1.0), 0.0))
    np.testing.assert_array_equal(one(Fixed(D, (0, 0, 0)), view, target).D, [[0.1, 0.0]])


def test_wrong_arguments_are_told_with_name_and_value():
    view, target = flat()
    operator = by_name("sign")
    with pytest.raises(ValueError, match=r"`radii` must be a non-empty vector of numbers > 0, got \[-1\.\]"):
        one(operator, view, target, (-1.0,))
    with pytest.raises(ValueError, match=r"`radii` must be finite for the operator 'sign'"):
        one(operator, view, target, (np.inf,))
    for field, value, message in (
        ("weights", np.array([0.0, 1.0]), r"`target.weights` must lie in \(0, 1\], got \[0\. 1\.\]"),
        ("lower", np.zeros(3), r"`target.lower` must have shape \(2,\) \(b = 1, n = 2, p = 0\), got \(3,\)"),
        ("X", np.zeros(2), r"`target.X` must have shape \(b, n\) with b >= 1, got \(2,\)"),
    ):
        wrong = type(target)(**{**vars(target), field: value})
        with pytest.raises(ValueError, match=message):
            one(operator, view, wrong)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("sgin", {}, "Unknown attack 'sgin'. Did you mean 'sign'?"),
        ("pgd", {"stepps": 3}, "Attack 'pgd' does not take these options"),
        ("pgd", {"steps": 0}, "`steps` must be an integer >= 1, got 0"),
        ("pgd", {"reach": 1.0}, "`reach` must be >= 1.5 radii, got 1.0"),
        ("momentum", {"mu": 1.0}, "`mu` must lie in (0, 1), got 1.0"),
        ("momentum", {"reach": 1.0}, "`reach` must be >= 1.5 radii, got 1.0"),
        ("apgd", {"norm": "l7"}, '`norm` must be "linf" or "l2", got \'l7\''),
        ("adam", {"rate": 0.0}, "`rate` must be > 0, got 0.0"),
        ("adam", {"beta2": 1.0}, "`beta2` must lie in [0, 1), got 1.0"),
        ("perturbed", {"sigma": 0.0}, "`sigma` must be > 0, got 0.0"),
        ("sampling", {"samples": 1}, "`samples` must be an integer >= 2, got 1"),
        ("sampling", {"spread": -1.0}, "`spread` must be > 0, got -1.0"),
        ("smallest", {"gain": 0.0}, "`gain` must be > 0, got 0.0"),
        ("smallest", {"gamma": 1.0}, "`gamma` must lie in (0, 1), got 1.0"),
        ("tangent", {"most": 0}, "`most` must be an integer >= 1, got 0"),
        ("tangent", {"corrections": -1}, "`corrections` must be an integer >= 0, got -1"),
        ("topk", {"counts": [0]}, "`counts` must be an integer >= 1, got 0"),
        ("topk", {"counts": 4}, "`counts` must be a list or tuple of integers >= 1, got 4"),
        ("polish", {"dense": "x"}, "`dense` must be an integer >= 0, got 'x'"),
        ("sqp", {"iterations": "x"}, "`iterations` must be an integer >= 1, got 'x'"),
        ("lbfgsb", {"memory": 2.5}, "`memory` must be an integer >= 1, got 2.5"),
        ("al", {"rounds": True}, "`rounds` must be an integer >= 1, got True"),
        ("sqp", {"accuracy": "x"}, "`accuracy` must be > 0, got 'x'"),
        ("tangent", {"active": None}, "`active` must be >= 0, got None"),
        ("pgd", {"norm": "l7"}, '`norm` must be "linf" or "l2", got \'l7\''),
        ("pgd", {"restarts": 0}, "`restarts` must be an integer >= 1, got 0"),
        ("pgd", {"active": -1.0}, "`active` must be >= 0, got -1.0"),
        ("sign", {"active": -1.0}, "`active` must be >= 0, got -1.0"),
        ("l2", {"active": np.nan}, "`active` must be >= 0, got nan"),
        ("sqp", {"iterations": 0}, "`iterations` must be an integer >= 1, got 0"),
        ("sqp", {"accuracy": 0.0}, "`accuracy` must be > 0, got 0.0"),
    ],
)
def test_wrong_options(name, options, message):
    with pytest.raises(OptionError) as caught:
        by_name(name, options)
    assert message in str(caught.value)


def test_violation_does_not_underflow_and_takes_nan_for_infinite():
    C = np.array([[1e-200, -1.0], [-1.0, -1.0], [np.nan, 0.0]])
    h = violation(C, np.zeros(2), np.ones(2))
    assert h[0] > 0.0 and h[1] == 0.0 and h[2] == np.inf


def test_repr_shows_hyper_parameters_only():
    assert repr(PGD(steps=5)) == "PGD(steps=5, reach=2.0, norm='linf', restarts=1, active=0.001)"
