"""Estimated gradients against exact ones, and what they cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.attacks import by_name
from dfoattack.errors import OptionError
from dfoattack.gradient_sources.base import Probing, Room
from dfoattack.gradient_sources.choice import DIFFERENCES_MAX, MODELS_MAX, chosen, probing
from dfoattack.gradient_sources.poll_reuse import poll_jacobian
from dfoattack.gradient_sources.smoothing import CUT, CUT_VARIANCE
from dfoattack.gradient_sources.view import SourceView
from dfoattack.solver import Solver
from dfoattack.source_names import GRADIENT_SOURCES
from dfoattack.steps._estimates import PATIENCE
from dfoattack.steps.model import POINTS_MAX
from dfoattack.testing.views import FunctionView, affine_view, quadratic_view, target_at
from tests.unit.spies import BlindPhi, SpyFunction, SpyPhi, network_problem, plain_problem

PROBING = ("forward", "central", "subspace", "spsa", "nes")
UNBIASED = ("spsa", "nes")


def source(name: str) -> Probing:
    found = probing(name)
    assert found is not None
    return found


def room(n: int, half: float = 5.0, held: Any = (), frame: float = 1.0) -> Room:
    flags = np.zeros(n, dtype=bool)
    flags[list(held)] = True
    return Room(np.full(n, -half), np.full(n, half), np.linspace(0.5, 2.0, n), frame, flags)


def seen(name: str, view: FunctionView, space: Room | None = None, seed: int = 0) -> SourceView:
    return SourceView(view, {}, source(name), space or room(view.n), None, np.random.default_rng(seed))


def affine(n: int, p: int = 3) -> tuple[FunctionView, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(n)
    g, A = rng.standard_normal(n), rng.standard_normal((p, n))
    return affine_view(g, A, rng.standard_normal(p)), g, A


# ------------------------------------------------------------------------------------------------ estimates


@pytest.mark.parametrize("name", ["forward", "central"])
@pytest.mark.parametrize("place", [0.3, 5.0, -5.0])
def test_differences_are_exact_on_affine_functions_also_at_the_bounds(name: str, place: float) -> None:
    view, g, A = affine(7)
    estimate, z = seen(name, view), np.full((1, 7), place)
    np.testing.assert_allclose(estimate.grad(z)[0], g, rtol=1e-6)
    np.testing.assert_allclose(estimate.constraint_jacobian(z[0], np.array([2, 0])), A[[2, 0]], rtol=1e-6)
    assert all(np.all(np.abs(x) <= 5.0) for x in view.seen)


def test_differences_follow_smooth_functions_to_the_order_they_promise() -> None:
    z = np.array([[0.4, -1.1, 0.7]])
    view = FunctionView(3, lambda x: float(np.exp(x[0]) + np.sin(x[1]) * x[2]), lambda x: x)
    exact = np.array([np.exp(0.4), np.cos(-1.1) * 0.7, np.sin(-1.1)])
    errors = {name: np.max(np.abs(seen(name, view).grad(z)[0] - exact)) for name in ("forward", "central")}
    assert errors["forward"] < 1e-4 and errors["central"] < 1e-6


def test_the_step_grows_with_the_noise() -> None:
    quiet, loud = room(3), Room(np.full(3, -5.0), np.full(3, 5.0), np.ones(3), 1.0, np.zeros(3, bool), noise=1e-2)
    assert np.all(loud.step(1) > 100.0 * quiet.step(1)[0]) and loud.step(1)[0] == pytest.approx(0.1)


@pytest.mark.parametrize("name", UNBIASED)
def test_random_estimates_are_unbiased_on_quadratics(name: str) -> None:
    """Within four standard errors in every component."""
    n, rng = 6, np.random.default_rng(3)
    H = rng.standard_normal((n, n))
    view = quadratic_view(H + H.T, rng.standard_normal(n))
    z = rng.uniform(-1.0, 1.0, (1, n))
    estimate, samples = source(name), []
    for seed in range(600):
        A, B = estimate.pairs(z[0], room(n), np.random.default_rng(seed))
        T = [view.values(P, view.outputs(P))[0][:, None] for P in (A, B)]
        samples.append(estimate.jacobian(A - B, T[0] - T[1], room(n))[0])
    error = np.mean(samples, axis=0) - view.grad(z)[0]
    assert np.all(np.abs(error) < 4.0 * np.std(samples, axis=0) / np.sqrt(len(samples)))


def test_the_variance_of_cut_normal_numbers() -> None:
    z = np.clip(np.random.default_rng(0).standard_normal(400_000), -CUT, CUT)
    assert CUT_VARIANCE == pytest.approx(np.mean(z * z), rel=5e-3) and CUT_VARIANCE == pytest.approx(0.99501, abs=1e-4)


@pytest.mark.parametrize("name", UNBIASED)
def test_random_estimates_stay_unbiased_in_a_corner_of_the_box(name: str) -> None:
    _, g, A = affine(5)
    z, estimate = np.full(5, 5.0), source(name)
    samples = []
    for seed in range(600):
        P, Q = estimate.pairs(z, room(5), np.random.default_rng(seed))
        assert np.all(np.abs(P) <= 5.0) and np.all(np.abs(Q) <= 5.0)
        samples.append(estimate.jacobian(P - Q, (P - Q) @ np.vstack([g, A]).T, room(5)))
    error = np.mean(samples, axis=0) - np.vstack([g, A])
    assert np.all(np.abs(error) < 4.0 * np.std(samples, axis=0) / np.sqrt(len(samples)) + 1e-12)


@pytest.mark.parametrize("place", [0.2, 5.0])
def test_subspace_differences_are_exact_on_affine_functions_in_the_subspace(place: float) -> None:
    _, g, A = affine(10)
    space, estimate = room(10), source("subspace")
    P, Q = estimate.pairs(np.full(10, place), space, np.random.default_rng(1))
    D = P - Q
    assert len(D) == 4 and np.linalg.matrix_rank(D / space.scale) == 4
    J = estimate.jacobian(D, D @ np.vstack([g, A]).T, space)
    np.testing.assert_allclose(J @ D.T, np.vstack([g, A]) @ D.T, rtol=1e-8, atol=1e-12)
    across = np.linalg.svd(D / space.scale)[2][4:]
    np.testing.assert_allclose((J * space.scale) @ across.T, 0.0, atol=1e-8)


@pytest.mark.parametrize("name", PROBING)
def test_held_variables_do_not_move(name: str) -> None:
    view, _, _ = affine(6)
    z = np.full((1, 6), 0.5)
    J = seen(name, view, room(6, held=[1, 4])).constraint_jacobian(z[0], np.arange(3))
    assert np.all(J[:, [1, 4]] == 0.0) and np.all(J[:, [0, 2, 3, 5]] != 0.0)
    assert all(x[1] == 0.5 and x[4] == 0.5 for x in view.seen)


# ------------------------------------------------------------------------------------------------ poll reuse


def cloud(n: int, k: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    X, M = rng.uniform(-1.0, 1.0, (k, n)), rng.standard_normal((3, n))
    return X, X @ M.T + 1.0, M


def reuse(X: np.ndarray, T: np.ndarray, row: int = 0, usable: Any = None, **more: Any) -> np.ndarray | None:
    n = X.shape[1]
    flags = np.ones(len(X), bool) if usable is None else usable
    return poll_jacobian(X, T, flags, row, more.get("frame", np.ones(n)), more.get("moving", np.ones(n, bool)))


def test_poll_reuse_is_exact_on_affine_functions() -> None:
    X, T, M = cloud(5, 12)
    J = reuse(X, T)
    assert J is not None
    np.testing.assert_allclose(J, M, rtol=1e-9)


def test_poll_reuse_needs_points_in_general_position() -> None:
    X, T, _ = cloud(5, 5)
    assert reuse(X, T) is None  # too few
    X, T, _ = cloud(5, 30)
    X[:, 3] = X[:, 2]
    assert reuse(X, T) is None  # in a plane


def test_poll_reuse_never_looks_at_failed_or_far_points() -> None:
    X, T, M = cloud(4, 20)
    usable = np.ones(20, bool)
    usable[7:10], T[7:10] = False, np.inf
    X[15:] += 10.0
    T[15:] = 1e6
    J = reuse(X, T, usable=usable)
    assert J is not None
    np.testing.assert_allclose(J, M, rtol=1e-9)
    usable[0] = False
    assert reuse(X, T, usable=usable) is None


def test_poll_reuse_takes_the_latest_points() -> None:
    X, T, M = cloud(3, 40)
    T[1:30] = 17.0
    J = reuse(X, T)
    assert J is not None
    np.testing.assert_allclose(J, M, rtol=1e-9)


def test_poll_reuse_with_fixed_levels() -> None:
    X, T, M = cloud(4, 40)
    X[:, 2] = np.arange(40) % 2
    T = X @ M.T
    J = reuse(X, T, moving=np.array([True, True, False, True]))
    assert J is not None
    np.testing.assert_allclose(J[:, [0, 1, 3]], M[:, [0, 1, 3]], rtol=1e-9)
    assert np.all(J[:, 2] == 0.0)


# ------------------------------------------------------------------------------------------------ the view


@pytest.mark.parametrize("name", PROBING)
def test_one_estimate_serves_the_objective_and_all_constraints(name: str) -> None:
    view, _, _ = affine(8)
    estimate, z = seen(name, view), np.full((1, 8), 0.1)
    g = estimate.grad(z)
    paid = view.passes
    assert 0 < paid <= source(name).passes(8)
    W = np.array([[1.0, -2.0, 0.5]])
    c = estimate.vjp_c(z, W)
    np.testing.assert_allclose(estimate.grad_mix(z, np.array([3.0]), W), 3.0 * g + c)
    np.testing.assert_allclose(W @ estimate.constraint_jacobian(z[0], np.arange(3)), c)
    assert view.passes == paid and view.vjps == 0


@pytest.mark.parametrize("name", PROBING)
def test_failed_probes_are_never_used(name: str) -> None:
    """A function without a value in an octant: whatever is estimated comes from pairs that have both values."""
    n, g = 9, np.arange(1.0, 10.0)
    view = FunctionView(n, lambda x: np.nan if x[0] > 0.0 and np.all(x[1:3] >= 0.0) else float(g @ x), lambda x: g)
    estimate = seen(name, view)
    J = estimate.grad(np.zeros((1, n)))[0]
    assert np.all(np.isfinite(J)) and np.any(J != 0.0)
    assert estimate.seen and not any(x[0] > 0.0 and np.all(x[1:3] >= 0.0) for x in estimate.seen.values())
    if name == "forward":
        np.testing.assert_allclose(J[1:], g[1:], rtol=1e-6)
        assert J[0] == 0.0


def test_without_any_usable_probe_there_is_no_gradient() -> None:
    view = FunctionView(3, lambda x: np.nan, lambda x: x)
    assert np.all(seen("forward", view).grad(np.zeros((1, 3))) == 0.0)


@pytest.mark.parametrize("name", PROBING)
@pytest.mark.parametrize("budget", [0.0, 3.0, 20.0, 60.0])
@pytest.mark.parametrize("operator", ["sign", "l2", "pgd", "sqp"])
def test_every_operator_stays_within_the_budget(name: str, budget: float, operator: str) -> None:
    view, _, _ = affine(5)
    limited = FunctionView(5, lambda z: float(view._fun(z)), view._grad, view._con, view._jac, budget=budget)
    target = target_at(limited, np.repeat([[0.0], [0.5]], 5, axis=1), -5.0, 5.0)
    found = by_name(operator)(target, np.array([0.5, 0.1]), seen(name, limited), np.random.default_rng(0))
    assert limited.spent <= budget and np.all(np.isfinite(found.D))


# ------------------------------------------------------------------------------------------------ in a run


def run(name: str, problem: da.Problem | None = None, budget: float = 150, **more: Any) -> da.Result:
    problem = problem or network_problem(BlindPhi(), n=4, x0=np.full(4, 0.1))
    return da.solve(problem, budget=budget, options={"gradient_source": name, **more})


@pytest.mark.parametrize("name", [*PROBING, "poll"])
def test_every_source_drives_attacks_on_a_black_box_and_is_named_in_the_result(name: str) -> None:
    phi = BlindPhi()
    result = run(name, network_problem(phi, n=4, x0=np.full(4, 0.1)))
    assert result.gradient_source == name and f"gradients: {name}" in str(result)
    assert "attack" in result.records.step and result.feasible
    assert result.ngev == 0 and result.nphi == phi.rows


@pytest.mark.parametrize("name", [*PROBING, "poll", "none"])
@pytest.mark.parametrize("budget", [7, 60, 150])
def test_counters_are_the_rows_the_network_saw(name: str, budget: int) -> None:
    phi = BlindPhi()
    result = run(name, network_problem(phi, n=4, x0=np.full(4, 0.1)), budget)
    assert phi.rows == result.nphi == result.nfev == result.cost <= budget  # nothing that was looked at is lost


@pytest.mark.parametrize("name", [*PROBING, "poll"])
def test_counters_without_a_network(name: str) -> None:
    fun = SpyFunction()
    result = run(name, plain_problem(fun, n=5, x0=np.full(5, 1.5)), 120)
    assert fun.rows == result.cost == result.nfev <= 120 and "attack" in result.records.step


@pytest.mark.parametrize("name", ["poll", "spsa", "subspace"])
def test_same_seed_same_run_and_other_seed_other_run(name: str) -> None:
    first, again = run(name), run(name)
    assert first.records.x.tobytes() == again.records.x.tobytes()
    other = da.solve(
        network_problem(BlindPhi(), n=4, x0=np.full(4, 0.1)), budget=150, seed=1, options={"gradient_source": name}
    )
    assert other.records.x.tobytes() != first.records.x.tobytes()


@pytest.mark.parametrize("name", ["poll", "nes", "forward"])
def test_a_run_that_is_cut_and_resumed_takes_the_same_way(name: str, tmp_path: Any) -> None:
    whole, store = run(name), tmp_path / "run.db"
    problem = network_problem(BlindPhi(), n=4, x0=np.full(4, 0.1))
    calls = 0

    def cut(event: da.Event) -> bool:
        nonlocal calls
        calls += 1
        return calls == 9

    da.solve(problem, budget=150, options={"gradient_source": name}, store=store, callback=cut)
    resumed = da.resume(store, problem)
    assert resumed.records.x.tobytes() == whole.records.x.tobytes() and resumed.nphi == whole.nphi


class Mortal(BlindPhi):
    """Interrupts the run in the middle of its `life`-th call."""

    life = 10**9

    def predict(self, X: np.ndarray) -> np.ndarray:
        self.life -= 1
        if self.life == 0:
            raise KeyboardInterrupt
        return super().predict(X)


@pytest.mark.parametrize("name", ["poll", "nes", "forward"])
def test_a_run_that_dies_again_and_again_ends_where_an_undisturbed_one_does(name: str, tmp_path: Any) -> None:
    """Also in the middle of an estimate, whose other passes are in the run file then."""
    whole, store = run(name), tmp_path / "run.db"
    for life in (2, 7, 5, 11, 3, 9, 10**9):
        phi = Mortal()
        phi.life = life
        problem = network_problem(phi, n=4, x0=np.full(4, 0.1))
        if store.exists():
            result = da.resume(store, problem)
        else:
            result = da.solve(problem, budget=150, options={"gradient_source": name}, store=store)
    assert result.records.x.tobytes() == whole.records.x.tobytes()
    assert (result.nfev, result.nphi, result.cost) == (whole.nfev, whole.nphi, whole.cost)


@pytest.mark.parametrize("name", ["poll", "spsa"])
def test_a_solver_from_bytes_goes_on_bit_for_bit(name: str) -> None:
    def fresh() -> Solver:
        return Solver(
            network_problem(BlindPhi(), n=4, x0=np.full(4, 0.1)), {"gradient_source": name}, budget=150, seed=2
        )

    first = fresh()
    for _ in range(12):
        first.ask()
        first.tell(first.evaluate())
    second = fresh()
    second.restore(first.to_bytes())
    for solver in (first, second):
        while len(solver.ask()):
            solver.tell(solver.evaluate())
    assert first.result().records.x.tobytes() == second.result().records.x.tobytes()


def test_integers_are_held_by_probes() -> None:
    seen_: list[np.ndarray] = []

    def fun(y: np.ndarray) -> np.ndarray:
        seen_.append(y.copy())
        return ((y - 1.3) ** 2).sum(axis=1)

    space = da.Box([-5] * 4, [5] * 4, integer=[False, True, False, True])
    result = run("central", da.Problem(objective=fun, space=space, x0=[3.0, 3.0, 3.0, 3.0], sense="minimize"), 120)
    X = np.vstack(seen_)
    assert np.array_equal(X[:, [1, 3]], np.rint(X[:, [1, 3]])) and "attack" in result.records.step


def test_known_linear_constraints_hold_for_probes() -> None:
    X: list[np.ndarray] = []

    def fun(y: np.ndarray) -> np.ndarray:
        X.append(y.copy())
        return -y.sum(axis=1)

    problem = da.Problem(
        objective=fun, space=da.Box([0, 0, 0], [1, 1, 1]), linear=da.Linear([1.0, 1.0, 1.0], upper=1.0),
        x0=[0.1, 0.1, 0.1], sense="minimize",
    )  # fmt: skip
    result = run("central", problem, 80)
    assert np.all(np.vstack(X).sum(axis=1) <= 1.0 + 1e-9) and result.fun == pytest.approx(-1.0, abs=1e-6)


# ------------------------------------------------------------------------------------------------ choice


def test_exact_gradients_are_used_where_there_are_any() -> None:
    white, black = network_problem(SpyPhi()), network_problem(BlindPhi())

    def made(name: str, problem: da.Problem, may_ask: bool = True) -> str:
        return chosen(da.Options(gradient_source=name), problem, may_ask)

    assert made("auto", white) == made("exact", white) == "vjp"
    assert all(made(name, white) == name for name in GRADIENT_SOURCES if name not in ("auto", "exact"))
    with pytest.raises(OptionError, match="exact"):
        made("exact", black)
    with pytest.raises(OptionError, match=r"gradient_source.*'guess'"):
        da.Options(gradient_source="guess")


def black_box(n: int, **more: Any) -> da.Problem:
    space = more.pop("space", None) or da.Box([-5.0] * n, [5.0] * n)
    return da.Problem(
        objective=lambda X: ((X - 1.0) ** 2).sum(axis=1), space=space, sense="minimize", backend="numpy", **more
    )


def test_black_boxes_get_differences_where_models_are_slow() -> None:
    """Beside constraints, and without them where a set of points is far from determining a quadratic."""

    def made(problem: da.Problem, may_ask: bool = True, **options: Any) -> str:
        return chosen(da.Options(**options), problem, may_ask)

    row = [da.Constraint(lambda X: X.sum(axis=1) - 1.0)]
    full = [(n + 1) * (n + 2) // 2 for n in (MODELS_MAX, MODELS_MAX + 1)]
    assert full[0] <= POINTS_MAX < full[1]
    assert made(black_box(MODELS_MAX)) == "none" and made(black_box(MODELS_MAX + 1)) == "forward"
    assert made(black_box(300)) == "forward"
    assert (
        made(black_box(5, constraints=row)) == "forward"
        and made(black_box(DIFFERENCES_MAX + 1, constraints=row)) == "none"
    )
    mixed = da.Box([-5.0] * 31, [5.0] * 31, granularity=[1.0] + [0.0] * 30)
    assert made(black_box(31, space=mixed)) == "none"
    many = black_box(30)
    assert made(many, block_size=8) == "forward"
    assert made(black_box(5, constraints=row), block_size=8) == "none"
    assert made(many, may_ask=False) == made(many, noise="auto") == made(many, attacks=()) == "none"


@pytest.mark.parametrize("row", [False, True])
def test_differences_come_first_in_many_variables_and_second_beside_constraints(row: bool) -> None:
    n = 24
    more: dict[str, Any] = {"constraints": [da.Constraint(lambda X: X.sum(axis=1) - 20.0)]} if row else {}
    result = da.solve(black_box(n, x0=np.full((1, n), -2.0), **more), budget=30 * (n + 1))
    first = list(result.records.step).index("attack")
    assert first >= PATIENCE * (n + 1) if row else first == 1
    if not row:  # a gradient and a step that overshoots, another gradient and the minimum
        assert result.records.best_so_far("minimize")[4 * (n + 1)] <= 1e-6


def test_a_forced_source_leaves_the_networks_own_gradients_alone() -> None:
    phi = SpyPhi()
    result = run("forward", network_problem(phi, n=4, x0=np.full(4, 0.1)))
    assert phi.vjp_rows == result.ngev == 0 and "attack" in result.records.step
    phi = SpyPhi()
    result = run("none", network_problem(phi, n=4, x0=np.full(4, 0.1)))
    assert phi.vjp_rows == 0 and "attack" not in result.records.step


def test_a_useless_source_falls_asleep() -> None:
    """On a function that no gradient helps with, attacks take a small share of the budget; what they gain there is luck."""
    rng = np.random.default_rng(0)
    table = rng.uniform(size=4096)

    def jagged(y: np.ndarray) -> np.ndarray:
        return table[np.abs(np.floor(y * 1e4) @ np.arange(1, 4)).astype(int) % 4096] + 0.01 * (y**2).sum(axis=1)

    problem = da.Problem(objective=jagged, space=da.Box([-2] * 3, [2] * 3), x0=[1.0, 1.0, 1.0], sense="minimize")
    result = run("poll", problem, 1500)
    assert result.records.step.count("attack") < 0.15 * len(result.records)
