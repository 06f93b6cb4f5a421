"""Descents from elsewhere, and what attacks cost: both by what they earn."""

from __future__ import annotations

import numpy as np
import pytest

import dfoattack as da
from dfoattack import codec
from dfoattack.attacks.base import AttackOperator, Displacements
from dfoattack.solver import Solver
from dfoattack.steps._target import done_at
from dfoattack.steps._watched import Watched
from dfoattack.testing.views import FunctionView, quadratic_view, target_at
from tests.unit.searching import check_replay


def waves(X):
    """Many minima; the least of all is at (-2.9, -2.9, ..)."""
    return np.sum(0.1 * X + np.sin(2.0 * X), axis=1)


def waves_slope(X):
    return 0.1 + 2.0 * np.cos(2.0 * X)


def problem(n=3, **more):
    return da.Problem(
        objective=waves,
        objective_grad=waves_slope,
        space=da.Box([-4.0] * n, [4.0] * n),
        x0=[2.0] * n,
        sense="minimize",
        **more,
    )


def counted(solver):
    """Cost by step."""
    spent, before = {}, 0.0
    while len(trials := solver.ask()):
        solver.tell(solver.evaluate())
        now = solver.state.counters.cost(solver.options.gradient_cost)
        spent[trials.step] = spent.get(trials.step, 0.0) + now - before
        before = now
    return spent


def least(n):
    X = np.linspace(-4.0, 4.0, 200001)
    return n * float(np.min(0.1 * X + np.sin(2.0 * X)))


@pytest.mark.parametrize("seed", range(3))
def test_other_basins_are_found_by_descents(seed):
    options = {"searches": ("multistart",), "covering": False, "restarts": False}
    result = da.solve(problem(2), budget=600, seed=seed, options=options)
    assert result.fun == pytest.approx(least(2), abs=1e-6)
    assert "multistart" in result.records.step


def test_it_waits_until_the_incumbent_is_polished():
    solver = Solver(problem(), {"searches": ("multistart",), "attacks": ("sign", "sqp")}, budget=300, seed=0)
    steps = []
    while len(trials := solver.ask()):
        steps.append(trials.step)
        if trials.step == "multistart":
            assert done_at(solver.state, solver.state.attack.credits[1], solver.state.centre)
        solver.tell(solver.evaluate())
    assert steps.index("attack") < steps.index("multistart")


def test_in_stagnation_it_has_the_largest_share_and_not_everything():
    spent = counted(Solver(problem(8), budget=2000, seed=1))
    total = sum(spent.values())
    assert spent["multistart"] == max(spent.values())
    assert spent["multistart"] <= 0.9 * total and spent["poll"] >= 0.02 * total


@pytest.mark.parametrize("case", ["no gradient", "no polish", "lattice"])
def test_without_gradients_polish_or_continuous_space_it_keeps_out(case):
    more = {} if case == "no gradient" else {"objective_grad": waves_slope}
    space = da.Box([-4.0] * 2, [4.0] * 2, integer=[0] if case == "lattice" else [])
    plain = da.Problem(objective=waves, space=space, x0=[2.0, 2.0], sense="minimize", **more)
    options = {"attacks": ("sign",)} if case == "no polish" else {}
    assert "multistart" not in da.solve(plain, budget=300, seed=0, options=options).records.step


def test_starts_satisfy_linear_constraints_and_are_evaluations():
    linear = da.Linear([[1.0, 1.0]], upper=[1.0])
    solved = da.solve(problem(2, linear=linear), budget=300, seed=0, options={"searches": ("multistart",)})
    assert "multistart" in solved.records.step
    assert np.all(solved.records.x.sum(axis=1) <= 1.0)


def test_equalities_count_as_violation_on_both_sides():
    ring = da.Constraint(lambda X: (X**2).sum(axis=1) - 4.0, equality=True, tol=1e-4, grad=None)
    met = [da.solve(problem(2, constraints=[ring]), budget=400, seed=seed).feasible for seed in range(5)]
    assert sum(met) >= 4  # the band is thin, and nobody knows its gradient


def test_saving_changes_nothing():
    check_replay(lambda: Solver(problem(2), budget=250, seed=2))


def test_a_descent_that_will_not_arrive_is_ended_and_one_that_may_goes_on():
    view = quadratic_view(np.eye(3), np.zeros(3))
    target = target_at(view, [1.0, 1.0, 1.0], -2.0, 2.0)
    for level, hopeless in ((-1.0, True), (-np.inf, True), (-1e-9, False), (0.4, False), (np.inf, False)):
        watched = Watched(view, target, level, 2.0)
        for k in range(10):  # values 1.5 * 4^-k: the pace leads to zero
            Z = np.full((1, 3), 2.0**-k)
            watched.values(Z, watched.outputs(Z))
            watched.grad(Z)
        assert watched.hopeless == hopeless
        assert watched.affords(1, 1) != hopeless


def test_a_descent_without_a_feasible_point_goes_on():
    view = quadratic_view(np.eye(2), np.zeros(2), np.array([[1.0, 0.0]]), np.array([-9.0]))
    watched = Watched(view, target_at(view, [1.0, 1.0], -2.0, 2.0), -5.0, 2.0)
    for k in range(20):
        Z = np.full((1, 2), 1.0 - 0.01 * k)
        watched.values(Z, watched.outputs(Z))
        watched.grad(Z)
    assert not watched.hopeless


# ---------------------------------------------------------------- what a useless attack costs


class Uphill(AttackOperator):
    """Follows the gradient the wrong way."""

    name = "uphill"

    def _propose(self, target, radii, view, rng):
        g = view.grad(target.X)[0]
        size = np.max(np.abs(g))
        if size == 0.0:
            return Displacements.none(g.size)
        rows = [(float(r) * target.weights * g / size, 0, float(r)) for r in radii]
        return Displacements.from_rows(g.size, rows)


class Asks(Uphill):
    """Pays for ten gradients and proposes nothing."""

    name = "asks"

    def _propose(self, target, radii, view, rng):
        for i in range(10):
            if view.affords(1, 1):
                view.grad(np.clip(target.X + 1e-3 * i, target.lower, target.upper))
        return Displacements.none(target.X.shape[1])


def valley(X):
    return np.sum(100.0 * (X[:, 1:] - X[:, :-1] ** 2) ** 2 + (1.0 - X[:, :-1]) ** 2, axis=1)


def valley_slope(X):
    G = np.zeros_like(X)
    G[:, :-1] += -400.0 * X[:, :-1] * (X[:, 1:] - X[:, :-1] ** 2) - 2.0 * (1.0 - X[:, :-1])
    G[:, 1:] += 200.0 * (X[:, 1:] - X[:, :-1] ** 2)
    return G


@pytest.mark.parametrize("operator", [Uphill(), Asks()], ids=lambda o: o.name)
def test_the_cost_of_a_useless_attack_tends_to_zero(operator):
    shares = []
    for budget in (250, 1000, 4000):
        space = da.Box([-3.0] * 5, [3.0] * 5)
        p = da.Problem(
            objective=valley, objective_grad=valley_slope, space=space, x0=[-1.2, 1.0, -0.8, 0.7, 1.1], sense="minimize"
        )
        options = {"attacks": (operator,), "searches": (), "frame_size_min": 1e-300}
        solver = Solver(p, options, budget=budget, seed=0)
        while len(solver.ask()):
            solver.tell(solver.evaluate())
        counters = solver.state.counters
        rows = sum(step == "attack" for step in (solver.schedule.names[i] for i in solver.state.history.step))
        shares.append((rows + 3.0 * counters.ngev) / budget)
    assert shares[0] > shares[1] > shares[2]
    assert shares[2] < 0.5 * shares[1] and shares[2] < (0.02 if operator.name == "uphill" else 0.1)


# ---------------------------------------------------------------- multipliers


def test_multipliers_are_kept_in_the_state_and_survive_saving():
    p = da.Problem(
        objective=lambda X: (X**2).sum(axis=1),
        objective_grad=lambda X: 2.0 * X,
        constraints=[da.Constraint(lambda X: 1.0 - X[:, 0], grad=lambda X, Y, W: (-W @ np.eye(1, X.shape[1]), None))],
        space=da.Box([-4.0] * 2, [4.0] * 2),
        x0=[3.0, 2.0],
        sense="minimize",
    )
    solver = Solver(p, {"attacks": ("al",), "searches": ()}, budget=80, seed=0)
    while len(solver.ask()):
        solver.tell(solver.evaluate())
    known = codec.from_bytes(codec.to_bytes(solver.state)).attack.multipliers
    assert known.tobytes() == solver.state.attack.multipliers.tobytes()
    np.testing.assert_allclose(known / solver.state.barrier.columns.scale, [2.0], rtol=1e-2)


def test_what_is_nearly_feasible_tells_what_to_expect() -> None:
    """A descent along the outside of a limit ends where its values stall; one that is far outside goes on."""
    for violation, hopeless in ((0.04, True), (0.2, False)):
        view = FunctionView(
            2,
            lambda z: float(z @ z),
            lambda z: 2.0 * z,
            lambda z, v=violation: np.array([v]),
            lambda z: np.zeros((1, 2)),
        )
        watched = Watched(view, target_at(view, [1.0, 1.0], -2.0, 2.0), -1.0, 2.0)
        for _ in range(20):
            Z = np.zeros((1, 2))
            watched.values(Z, watched.outputs(Z))
            watched.grad(Z)
        assert watched.hopeless == hopeless
