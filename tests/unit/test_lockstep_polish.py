"""The polishes in lockstep (`lbfgsb`, `al`) against SciPy, closed forms, and themselves row by row."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from dfoattack.attacks import by_name
from dfoattack.errors import OptionError
from dfoattack.testing.views import FunctionView, affine_view, quadratic_view, target_at
from tests.unit.test_sqp import PROBLEMS, best_feasible, complex_step, setting, slsqp

RNG = np.random.default_rng
BOUNDED = [name for name, problem in PROBLEMS.items() if problem[1] is None]
CONSTRAINED = [
    name for name, problem in PROBLEMS.items() if problem[1] is not None and name not in ("infeasible_start",)
]


def polish(name, view, target, radius=np.inf, **options):
    return by_name(name, options)(target, np.array([radius]), view, RNG(0))


@pytest.mark.parametrize("name", BOUNDED)
def test_lbfgsb_reaches_scipys_value_at_a_comparable_price(name):
    fun, _, lower, upper, start = PROBLEMS[name]
    view, target = setting(name)
    found = polish("lbfgsb", view, target)
    n = len(start)
    bounds = list(zip(np.broadcast_to(lower, n), np.broadcast_to(upper, n), strict=True))
    other = minimize(fun, start, jac=complex_step(fun), bounds=bounds, method="L-BFGS-B", options={"ftol": 1e-9})
    assert best_feasible(view, target, found) <= other.fun + 1e-8 * max(1.0, abs(other.fun))
    assert view.passes + 2 * view.vjps <= 1.3 * 3 * other.nfev


@pytest.mark.parametrize("name", CONSTRAINED)
def test_al_reaches_slsqps_value_feasible(name):
    view, target = setting(name)
    found = polish("al", view, target, iterations=900)
    expected = slsqp(name).fun
    assert best_feasible(view, target, found) <= expected + 1e-5 * max(1.0, abs(expected))


def test_al_returns_the_multipliers_of_the_minimum_and_starts_from_them():
    # minimise |z|^2 / 2 subject to 1 - z_0 <= 0: z = (1, 0), lambda = 1
    view = quadratic_view(np.eye(2), np.zeros(2), np.array([[-1.0, 0.0]]), np.array([-1.0]))
    target = target_at(view, [2.0, 1.0], -4.0, 4.0)
    found = polish("al", view, target)
    np.testing.assert_allclose(target.X[0] + found.D[0], [1.0, 0.0], atol=1e-4)
    assert found.multipliers[0, 0] / target.scale[0] == pytest.approx(1.0, abs=1e-4)
    cold = view.passes
    again = target_at(view, [2.0, 0.9], -4.0, 4.0)
    polish("al", view, type(again)(**{**vars(again), "multipliers": found.multipliers}))
    assert view.passes - cold < cold


@pytest.mark.parametrize("operator", ["lbfgsb", "al"])
def test_rows_in_lockstep_walk_as_they_would_alone(operator):
    view, _ = setting("curved_vertex")
    starts = RNG(3).uniform(-2.0, 2.0, (7, 2))
    together = polish(operator, view, target_at(view, starts, -2.0, 2.0))
    for i, start in enumerate(starts):
        target = target_at(view, starts, -2.0, 2.0)  # the scale of h belongs to the run, not to the row
        one = type(target)(
            **{**vars(target), "X": start[None], "F": target.F[i : i + 1], "C": target.C[i : i + 1]},
        )
        alone = polish(operator, view, one)
        assert together.D[together.centre == i].tobytes() == alone.D.tobytes()


@pytest.mark.parametrize("operator", ["lbfgsb", "al"])
def test_an_iteration_of_all_rows_is_one_call(operator):
    view, _ = setting("rosenbrock")
    calls = {"outputs": [], "grad_mix": []}

    class Spy(FunctionView):
        """Counts blocks, not points."""

    spy = Spy(2, view._fun, view._grad)
    for name, blocks in calls.items():
        inner = getattr(spy, name)

        def recorded(Z, *rest, inner=inner, blocks=blocks):
            blocks.append(len(Z))
            return inner(Z, *rest)

        setattr(spy, name, recorded)
    starts = RNG(0).uniform(-2.0, 2.0, (40, 2))
    target = target_at(spy, starts, -2.0, 2.0)
    calls["outputs"].clear()
    polish(operator, spy, target, iterations=30)
    assert len(calls["grad_mix"]) <= (32 if operator == "lbfgsb" else 32 + 25)  # 25 changes of the multipliers
    assert max(calls["grad_mix"]) >= 20
    trials = spy.passes
    assert trials > 8 * 30  # far more points than calls


@pytest.mark.parametrize("operator", ["lbfgsb", "al"])
@pytest.mark.parametrize("budget", range(0, 70, 7))
def test_any_budget_is_kept_and_the_best_centres_go_first(operator, budget):
    view, _ = setting("rosenbrock", budget=float(budget))
    starts = np.array([[-1.2, 1.0], [2.0, -2.0], [0.9, 0.8]])
    target = target_at(view, starts, -2.0, 2.0)
    found = polish(operator, view, target)
    assert view.spent <= budget
    if 3 <= budget < 6:
        assert found.centre.tolist() == [2]


@pytest.mark.parametrize("operator", ["lbfgsb", "al"])
def test_a_radius_is_a_trust_box(operator):
    view, target = setting("hs65")
    found = polish(operator, view, target, radius=0.25)
    assert len(found) == 1 and np.all(np.abs(found.D) <= 0.25) and np.max(np.abs(found.D)) == 0.25


def test_lbfgsb_finds_the_vertex_of_an_affine_objective_in_two_products():
    g = np.array([1.0, -2.0, 0.5])
    view = affine_view(g)
    found = polish("lbfgsb", view, target_at(view, np.zeros(3), -1.0, 1.0))
    np.testing.assert_array_equal(found.D, [[-1.0, 1.0, -1.0]])
    assert view.vjps <= 3


def test_lbfgsb_makes_an_infeasible_centre_feasible_before_it_minds_f():
    view, target = setting("infeasible_start")
    assert not target.feasible[0]
    found = polish("lbfgsb", view, target)
    assert best_feasible(view, target, found) < np.inf


@pytest.mark.parametrize("operator", ["lbfgsb", "al"])
def test_failing_points_are_avoided(operator):
    """F has no value beyond a line, and falls towards it."""
    view = FunctionView(
        2,
        lambda z: np.nan if z[0] > 0.5 else float((z[0] - 2.0) ** 2 + z[1] ** 2),
        lambda z: np.array([2.0 * (z[0] - 2.0), 2.0 * z[1]]),
    )
    found = polish(operator, view, target_at(view, [-1.0, 1.0], -3.0, 3.0))
    end = np.array([-1.0, 1.0]) + found.D[0]
    assert 0.4 < end[0] <= 0.5


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lbfgsb", {"iterations": 0}, "`iterations` must be an integer >= 1, got 0"),
        ("lbfgsb", {"memory": 0}, "`memory` must be an integer >= 1, got 0"),
        ("lbfgsb", {"accuracy": 0.0}, "`accuracy` must be > 0, got 0.0"),
        ("al", {"rounds": 0}, "`rounds` must be an integer >= 1, got 0"),
        ("al", {"memory": -1}, "`memory` must be an integer >= 1, got -1"),
    ],
)
def test_wrong_options(name, options, message):
    with pytest.raises(OptionError) as caught:
        by_name(name, options)
    assert message in str(caught.value)
