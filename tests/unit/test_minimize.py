"""`minimize`, `scipy_method` and `as_problem`: SciPy's habits, and what is done differently said clearly."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import optimize, sparse
from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint, rosen, rosen_der

import dfoattack as da
from dfoattack.scipy_api import as_problem

BOX = [(-2.0, 2.0)] * 2
START = [-1.2, 1.0]
PLAIN: dict[str, Any] = {"attacks": ()}


class Counted:
    """A function of one point that counts its calls and keeps what it was called with."""

    def __init__(self, fn: Any) -> None:
        self.fn = fn
        self.points: list[np.ndarray] = []

    def __call__(self, x: np.ndarray, *args: Any) -> Any:
        self.points.append(x)
        return self.fn(x, *args)

    def __len__(self) -> int:
        return len(self.points)


def forbidden(*args: Any) -> float:
    raise AssertionError("called although the input is wrong")


def bowl(x: np.ndarray) -> float:
    return float(((x - 0.25) ** 2).sum())


def bowl_gradient(x: np.ndarray) -> np.ndarray:
    return 2.0 * (x - 0.25)


# ---------------------------------------------------------------- the call itself


def test_a_bowl_is_minimised_within_the_default_budget() -> None:
    f = Counted(bowl)
    r = da.minimize(f, [1.0, 1.5], bounds=BOX)
    assert r.success and r.feasible and r.maxcv == 0.0
    assert r.fun < 1e-9 and r.fun == bowl(r.x)
    assert len(f) == r.nphi == r.nfev <= 600  # 200 (n + 1)
    assert r.sense == "minimize" and r.gradient_source == "none"


def test_the_budget_counts_calls() -> None:
    f = Counted(rosen)
    r = da.minimize(f, START, budget=37)
    assert len(f) == r.nfev == 37
    assert r.status == da.StopReason.BUDGET.code


def test_the_same_seed_gives_the_same_run_and_none_is_zero() -> None:
    runs = [da.minimize(rosen, START, budget=60, seed=seed) for seed in (None, 0, 1)]
    assert runs[0].records.x.tobytes() == runs[1].records.x.tobytes()
    assert runs[0].records.x.tobytes() != runs[2].records.x.tobytes()


def test_a_generator_is_a_seed_and_moves_on() -> None:
    rng = np.random.default_rng(3)
    first, second = (da.minimize(rosen, START, budget=60, seed=rng) for _ in range(2))
    again = da.minimize(rosen, START, budget=60, seed=np.random.default_rng(3))
    assert first.records.x.tobytes() == again.records.x.tobytes()
    assert first.records.x.tobytes() != second.records.x.tobytes()


@pytest.mark.parametrize(
    ("x0", "n"), [(0.5, 1), ([0.5], 1), ([0.5, 0.5], 2), ([[0.5, 0.5], [1.0, 1.0], [0.3, 0.2]], 2)]
)
def test_shapes_of_the_start(x0: Any, n: int) -> None:
    f = Counted(bowl)
    r = da.minimize(f, x0, budget=30)
    assert r.x.shape == (n,)
    assert all(x.shape == (n,) and x.dtype == np.float64 for x in f.points)
    assert np.array_equal(f.points[0], np.atleast_2d(np.reshape(x0, (-1, n)))[0])


def test_args_reach_fun_and_jac() -> None:
    r = da.minimize(
        lambda x, a, b: float(((x - a) ** 2).sum() + b),
        [0.0, 0.0],
        args=(0.5, 3.0),
        jac=lambda x, a, b: 2.0 * (x - a),
        budget=60,
    )
    assert abs(r.fun - 3.0) < 1e-8
    assert abs(da.minimize(lambda x, a: float(((x - a) ** 2).sum()), 0.0, args=0.5, budget=100).fun) < 1e-6


def test_fun_may_scribble_on_its_point_and_keep_it() -> None:
    def spoil(x: np.ndarray) -> float:
        value = rosen(x)
        x[:] = np.nan
        return float(value)

    spoilt = da.minimize(spoil, START, jac=rosen_der, budget=60, options={"attacks": ("l2",)})
    clean = da.minimize(rosen, START, jac=rosen_der, budget=60, options={"attacks": ("l2",)})
    assert spoilt.records.x.tobytes() == clean.records.x.tobytes()
    f = Counted(bowl)
    da.minimize(f, START, budget=20)
    assert len({x.tobytes() for x in f.points}) == 20


@pytest.mark.parametrize("value", [np.float32(2.0), np.array([2.0]), np.array(2.0), np.array([[2.0]]), 2, True])
def test_what_counts_as_a_number(value: Any) -> None:
    assert da.minimize(lambda x: value, 0.0, budget=3).fun == float(np.asarray(value).reshape(()))


# ---------------------------------------------------------------- gradients


def test_the_attack_step_uses_jac_and_every_gradient_is_counted() -> None:
    f, g = Counted(rosen), Counted(rosen_der)
    r = da.minimize(f, START, jac=g, bounds=BOX, budget=200)
    assert r.gradient_source == "jac" and "attack" in r.records.step
    assert len(f) == r.nphi and len(g) == r.ngev == r.njev > 0
    assert r.cost == r.nphi + 2.0 * r.ngev <= 200
    assert r.fun < 1e-9
    poll: dict[str, Any] = {"searches": ()}  # models of the values do as well here
    assert da.minimize(rosen, START, bounds=BOX, budget=200, options=poll).fun > 1e3 * r.fun


def test_jac_true_is_the_same_run_and_calls_fun_once_a_point() -> None:
    pair = Counted(lambda x: (rosen(x), rosen_der(x)))
    both = da.minimize(pair, START, jac=True, budget=150)
    apart = da.minimize(rosen, START, jac=rosen_der, budget=150)
    assert both.records.x.tobytes() == apart.records.x.tobytes()
    assert len(pair) == both.nphi


@pytest.mark.parametrize("jac", [None, False])
def test_no_jac_no_attack(jac: Any) -> None:
    r = da.minimize(rosen, START, jac=jac, budget=60)
    assert r.ngev == 0 and "attack" not in r.records.step


# ---------------------------------------------------------------- bounds and integers


@pytest.mark.parametrize(
    "bounds",
    [
        Bounds([0.5, -np.inf], [2.0, np.inf]),
        [(0.5, 2.0), (None, None)],
        ((0.5, 2.0), (-np.inf, None)),
        np.array([[0.5, 2.0], [-np.inf, np.inf]]),
        Bounds(0.5, 9.0),
    ],
)
def test_bounds_are_never_violated(bounds: Any) -> None:
    f = Counted(bowl)
    r = da.minimize(f, [1.0, 1.0], bounds=bounds, budget=150)
    assert min(x[0] for x in f.points) >= 0.5
    assert abs(r.x[0] - 0.5) < 1e-6


def test_equal_bounds_fix_a_variable() -> None:
    f = Counted(bowl)
    r = da.minimize(f, [0.7, 1.0], bounds=[(0.7, 0.7), (-2, 2)], jac=bowl_gradient, budget=80)
    assert {x[0] for x in f.points} == {0.7} and r.x[0] == 0.7
    assert abs(r.x[1] - 0.25) < 1e-6


@pytest.mark.parametrize("integrality", [[1, 0], [True, False], np.array([1.0, 0.0])])
def test_integers(integrality: Any) -> None:
    f = Counted(lambda x: float((x[0] - 2.4) ** 2 + (x[1] - 0.3) ** 2))
    r = da.minimize(f, [0.0, 1.0], bounds=[(-5, 5)] * 2, integrality=integrality, budget=200)
    assert all(x[0] == np.rint(x[0]) for x in f.points)
    assert r.x[0] == 2.0 and abs(r.x[1] - 0.3) < 1e-4


def test_all_integers_end_with_the_lattice() -> None:
    r = da.minimize(lambda x: float((x**2).sum()), [3, 2], bounds=[(-3, 3)] * 2, integrality=1)
    assert r.fun == 0.0 and r.reason is da.StopReason.LATTICE and r.nfev <= 49


# ---------------------------------------------------------------- constraints


def line_gap(x: np.ndarray) -> float:
    return float(x[0] + x[1] - 1.0)


LINE = [
    LinearConstraint([1.0, 1.0], ub=1.0),
    LinearConstraint(sparse.csr_array([[1.0, 1.0]]), -np.inf, [1.0]),
    NonlinearConstraint(lambda x: x[0] + x[1], -np.inf, 1.0, jac=lambda x: [1.0, 1.0]),
    NonlinearConstraint(lambda x: [x[0] + x[1]], -np.inf, [1.0], jac=lambda x: sparse.csr_array([[1.0, 1.0]])),
    {"type": "ineq", "fun": lambda x, b: b - x[0] - x[1], "args": (1.0,), "jac": lambda x, b: np.array([-1.0, -1.0])},
    {"type": "INEQ", "fun": lambda x: np.array([1.0 - x[0] - x[1]])},
]


@pytest.mark.parametrize("constraint", LINE)
@pytest.mark.parametrize("wrap", [lambda c: c, lambda c: [c], lambda c: (c,)])
def test_an_inequality_is_met_exactly_in_every_spelling(constraint: Any, wrap: Any) -> None:
    r = da.minimize(bowl, [-1.0, 0.0], constraints=wrap(constraint), bounds=BOX, budget=100)
    assert r.success and line_gap(r.x) <= 0.0
    worse = da.minimize(lambda x: -x[0] - 2.0 * x[1], [-1.0, 0.0], constraints=wrap(constraint), bounds=BOX, budget=300)
    assert worse.success and line_gap(worse.x) <= 1e-15 and worse.fun < -2.8  # -3 at (-1, 2)


@pytest.mark.parametrize("pair", [(0, 1), (2, 3), (2, 4)])
def test_spellings_with_gradients_give_the_same_run(pair: tuple[int, int]) -> None:
    # The spellings differ in the last bit, which longer runs amplify.
    runs = [
        da.minimize(
            rosen,
            [-1.0, 0.0],
            jac=rosen_der,
            constraints=c,
            bounds=BOX,
            budget=40,
            options={"attacks": ("l2",), "searches": ()},
        )
        for c in (LINE[pair[0]], LINE[pair[1]])
    ]
    assert np.allclose(runs[0].x, runs[1].x, atol=1e-6)
    assert runs[0].nfev == runs[1].nfev


def test_both_sides_of_a_constraint() -> None:
    band = LinearConstraint([[1.0, 0.0], [0.0, 1.0]], [0.5, -np.inf], [0.75, 1.0])
    for sign, corner in ((1.0, 0.5), (-1.0, 0.75)):
        r = da.minimize(
            lambda x, s=sign: s * x[0] + (x[1] - 0.2) ** 2, [0.6, 0.0], constraints=band, bounds=BOX, budget=300
        )
        assert r.success and abs(r.x[0] - corner) < 1e-4 and 0.5 <= r.x[0] <= 0.75
    (known,) = as_problem(bowl, [0.6, 0.0], constraints=band).linear
    assert known.lower.tolist() == [0.5, -np.inf] and known.upper.tolist() == [0.75, 1.0]
    (curved,) = as_problem(
        bowl, [0.6, 0.0], constraints=NonlinearConstraint(np.sin, [0.5, -1.0], [0.75, np.inf])
    ).constraints
    assert curved.fn(np.array([[0.6, 0.0]])).shape == (1, 3)


def test_a_linear_constraint_is_never_violated_by_a_call() -> None:
    f = Counted(bowl)
    r = da.minimize(
        f,
        [2.0, 2.0],
        bounds=BOX,
        constraints=LinearConstraint([[1, 1], [1, -2]], [-np.inf, 0.25], [0.5, 0.25]),
        budget=80,
    )
    X = np.array(f.points)
    assert (X.sum(axis=1) <= 0.5 + 1e-15).all() and np.abs(X @ [1.0, -2.0] - 0.25).max() < 1e-13
    assert r.success and len(f.points) == r.nfev and r.records.constraints.shape == (r.nfev, 0)


def test_linear_equalities_that_nothing_can_solve_for_are_evaluated() -> None:
    problem = as_problem(
        bowl, [1.0, 0.0, 0.0], integrality=[1, 0, 0], eq_tol=1e-3,
        constraints=LinearConstraint([[1, 0, 0], [0, 1, 1], [0, 2, 2], [1, 1, 1]], [1, 0, 0, -np.inf], [1, 0, 0, 9]),
    )  # fmt: skip
    (known,) = problem.linear
    assert known.A.tolist() == [[0, 1, 1], [1, 1, 1]] and known.equality.tolist() == [True, False]
    (rest,) = problem.constraints
    assert rest.equality and rest.tol == 1e-3 and rest.fn(np.array([[2.0, 1.0, 1.0]])).tolist() == [[1.0, 4.0]]


def test_a_constraint_without_sides_is_dropped() -> None:
    free = NonlinearConstraint(forbidden, -np.inf, np.inf)
    assert as_problem(bowl, [0.0], constraints=free).constraints == ()


def test_keep_feasible_is_the_extreme_barrier() -> None:
    kinds = [
        as_problem(bowl, [0.0], constraints=NonlinearConstraint(np.sin, -1.0, 0.5, keep_feasible=k)).constraints[0].kind
        for k in (False, True, [True])
    ]
    assert kinds == ["progressive", "extreme", "extreme"]


HS71_START, HS71_BEST = [1.0, 5.0, 5.0, 1.0], 17.0140173


def hs71(x: np.ndarray) -> float:
    return float(x[0] * x[3] * (x[0] + x[1] + x[2]) + x[2])


def hs71_gradient(x: np.ndarray) -> np.ndarray:
    return np.array([x[3] * (2 * x[0] + x[1] + x[2]), x[0] * x[3], x[0] * x[3] + 1, x[0] * (x[0] + x[1] + x[2])])


HS71_CONSTRAINT = NonlinearConstraint(
    lambda x: [x.prod(), (x**2).sum()], [25.0, 40.0], [np.inf, 40.0], jac=lambda x: np.array([x.prod() / x, 2.0 * x])
)


def test_gradients_of_all_functions_solve_hock_schittkowski_71() -> None:
    r = da.minimize(hs71, HS71_START, jac=hs71_gradient, bounds=[(1, 5)] * 4, constraints=HS71_CONSTRAINT, budget=300)
    assert r.success and abs(r.fun - HS71_BEST) < 1e-5
    assert r.x.prod() >= 25.0 and abs((r.x**2).sum() - 40.0) <= 1e-6


def test_an_equality_is_a_band_whose_width_is_told_everywhere() -> None:
    problem = as_problem(hs71, HS71_START, constraints=HS71_CONSTRAINT)
    assert [(c.name, c.tol) for c in problem.constraints] == [("c0", 0.0), ("c0 (equality within 1e-06)", 1e-6)]
    y = np.array([[1.0, 5.0, 5.0, 1.5]])
    _, C = problem.outer(y, y)
    assert C.tolist() == [[25.0 - 37.5, 53.25 - 40.0]] and problem.equality.tolist() == [False, True]
    r = da.minimize(hs71, HS71_START, bounds=[(1, 5)] * 4, constraints=HS71_CONSTRAINT, budget=50, eq_tol=0.1)
    assert "Equalities count as met within 0.1." in r.message
    assert "Equalities" not in da.minimize(bowl, [0.0], budget=3, constraints=LinearConstraint([1.0], ub=1.0)).message


@pytest.mark.parametrize(
    "equality",
    [
        LinearConstraint([1.0, 1.0], 1.0, 1.0),
        {"type": "eq", "fun": line_gap},
        NonlinearConstraint(lambda x: x[0] + x[1], 1.0, 1.0),
    ],
)
def test_spellings_of_an_equality(equality: Any) -> None:
    r = da.minimize(bowl, [-1.0, 0.5], constraints=equality, bounds=BOX, options={"eq_tol": 1e-3})
    assert r.success and abs(line_gap(r.x)) <= 1e-3 and abs(r.fun - 0.125) < 5e-3


def test_an_equality_of_integers_is_met_exactly() -> None:
    r = da.minimize(
        lambda x: float((x - [0.2, 4.0]) @ (x - [0.2, 4.0])), [0, 0], bounds=[(0, 9)] * 2, integrality=1,
        constraints=LinearConstraint([1, 1], 3, 3), eq_tol=0.0,
    )  # fmt: skip
    assert r.success and r.x.tolist() == [0.0, 3.0]


def test_a_function_with_equalities_and_inequalities_is_called_once_a_point() -> None:
    g = Counted(HS71_CONSTRAINT.fun)
    r = da.minimize(
        hs71, HS71_START, bounds=[(1, 5)] * 4, constraints=NonlinearConstraint(g, [25, 40], [np.inf, 40]), budget=40
    )
    assert len(g) == r.nfev == 40


@pytest.mark.parametrize("shape", ["dense", "sparse", "list"])
def test_gradients_of_constraints_are_those_of_differences(shape: str) -> None:
    def values(x: np.ndarray) -> list[float]:
        return [x[0] * x[1], np.sin(x[0]), x[1] ** 2]

    def jac(x: np.ndarray) -> Any:
        J = np.array([[x[1], x[0]], [np.cos(x[0]), 0.0], [0.0, 2 * x[1]]])
        return {"dense": J, "sparse": sparse.csr_array(J), "list": J.tolist()}[shape]

    constraint = NonlinearConstraint(values, [0.1, 0.2, -1.0], [0.5, 0.2, np.inf], jac=jac)
    problem = as_problem(
        bowl, [0.3, 0.4], jac=bowl_gradient, constraints=[constraint, LinearConstraint([[1, 2], [3, 4]], 0, [1, 0])]
    )
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (3, 2))
    _, C = problem.outer(X, X)
    W, wf = rng.normal(size=C.shape), rng.normal(size=3)
    G = problem.vjp(X, X, wf, W)
    h = 1e-6
    for j in range(2):
        sides = []
        for step in (h, -h):
            Z = X.copy()
            Z[:, j] += step
            f, C = problem.outer(Z, Z)
            sides.append(wf * f + (W * C).sum(axis=1))
        assert np.allclose(G[:, j], (sides[0] - sides[1]) / (2 * h), atol=1e-8)


def test_a_jacobian_is_computed_once_a_point() -> None:
    jac = Counted(HS71_CONSTRAINT.jac)
    r = da.minimize(
        hs71, HS71_START, jac=hs71_gradient, bounds=[(1, 5)] * 4, budget=200,
        constraints=NonlinearConstraint(HS71_CONSTRAINT.fun, [25, 40], [np.inf, 40], jac=jac),
    )  # fmt: skip
    assert len({x.tobytes() for x in jac.points}) == len(jac) > 0 and r.ngev > len(jac)


# ---------------------------------------------------------------- failures


def test_nan_and_declared_exceptions_are_failed_points() -> None:
    def holes(x: np.ndarray) -> float:
        if x[0] < 0.0:
            raise ValueError("hole")
        if x[1] < 0.0:
            return float("nan")
        return bowl(x) if x[0] < 1.5 else 1.0 / 0.0

    r = da.minimize(holes, [1.0, 1.0], budget=150, failures=ValueError)
    assert r.success and r.fun < 1e-4 and np.any(r.records.status == da.Status.FAILED)


def test_an_undeclared_exception_is_the_cause_and_the_partial_result_is_kept() -> None:
    def breaks(x: np.ndarray) -> float:
        if x[0] < 0.5:
            raise KeyError("lost")
        return bowl(x)

    with pytest.raises(da.EvaluationError, match="KeyError") as caught:
        da.minimize(breaks, [1.0, 1.0], budget=100)
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.x is not None and caught.value.x[0] < 0.5
    assert caught.value.result.nfev >= 2 and caught.value.result.fun < bowl(np.array([1.0, 1.0])) + 1e-12


# ---------------------------------------------------------------- callback


def test_a_callback_gets_the_best_point_once_an_iteration() -> None:
    seen: list[np.ndarray] = []
    r = da.minimize(bowl, [1.0, 1.0], callback=lambda xk: seen.append(xk), budget=60)
    values = [bowl(x) for x in seen]
    assert values == sorted(values, reverse=True) and values[-1] >= r.fun
    assert len(seen) <= r.nit + 1


def test_a_callback_by_the_name_of_its_parameter() -> None:
    seen = []

    def look(*, intermediate_result: optimize.OptimizeResult) -> None:
        seen.append(intermediate_result)

    da.minimize(bowl, [1.0, 1.0], callback=look, budget=40)
    last = seen[-1]
    assert isinstance(last, optimize.OptimizeResult)
    assert last.fun == bowl(last.x) and last.nfev <= 40 and last.nit == len(seen) and last.maxcv == 0.0


def raise_stop(xk: np.ndarray) -> bool:
    raise StopIteration


@pytest.mark.parametrize("callback", [lambda xk: True, lambda xk: np.bool_(True), raise_stop])
def test_a_callback_stops_the_run(callback: Any) -> None:
    r = da.minimize(bowl, [1.0, 1.0], callback=callback)
    assert r.reason is da.StopReason.CALLBACK and r.nfev == 1 and r.success


@pytest.mark.parametrize("answer", [None, False, 1, "stop"])
def test_other_answers_of_a_callback_do_not(answer: Any) -> None:
    assert da.minimize(bowl, [1.0, 1.0], callback=lambda xk: answer, budget=20).nfev == 20


def test_no_callback_before_a_point_has_a_value() -> None:
    calls = []
    r = da.minimize(lambda x: np.nan, [0.5], bounds=[(0, 1)], callback=lambda xk: calls.append(xk), budget=20)
    assert not calls and not r.success and np.isnan(r.fun)


# ---------------------------------------------------------------- options


@pytest.mark.parametrize("name", ["maxfev", "maxfun", "budget"])
def test_names_of_the_budget(name: str) -> None:
    assert da.minimize(rosen, START, options={name: 25}).nfev == 25


def test_disp_is_the_progress_line(capsys: pytest.CaptureFixture[str]) -> None:
    da.minimize(rosen, START, options={"disp": True, "maxfev": 25})
    assert "25/25" in capsys.readouterr().err
    da.minimize(rosen, START, options={"disp": False, "maxfev": 25})
    assert capsys.readouterr().err == ""


def test_tol_ends_the_run_earlier() -> None:
    coarse = da.minimize(bowl, [1.0, 1.0], options={"tol": 1e-2, "covering": False, "restarts": False})
    fine = da.minimize(bowl, [1.0, 1.0], options={"tol": 1e-5, "covering": False, "restarts": False})
    assert coarse.reason is fine.reason is da.StopReason.FRAME and coarse.nfev < fine.nfev


def test_an_options_object_and_its_fields() -> None:
    r = da.minimize(rosen, START, jac=rosen_der, budget=40, options=da.Options(attacks=(), poll="2n"))
    assert r.ngev == 0


def test_f_target_and_max_time() -> None:
    assert da.minimize(bowl, [1.0, 1.0], f_target=0.5).reason is da.StopReason.TARGET
    assert da.minimize(bowl, [1.0, 1.0], options={"f_target": 0.5}).fun <= 0.5
    assert da.minimize(bowl, [1.0, 1.0], max_time=1e-9).reason is da.StopReason.TIME


NOT_TWICE = r"`budget` must be given once, got 10 and, as option `maxfev`, 20"


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"options": {"maxfv": 3}}, da.OptionError, r"Unknown option `maxfv`\. Did you mean `maxfev`\?"),
        ({"options": {"mesh_sise": 3}}, da.OptionError, r"Unknown option `mesh_sise`"),
        ({"options": {"maxiter": 3}}, da.OptionError, r"`maxiter` has no counterpart: .*`maxfev`"),
        ({"options": {"maxfev": 20}, "budget": 10}, da.OptionError, NOT_TWICE),
        ({"options": {"tol": 1e-3, "frame_size_min": 1e-3}}, da.OptionError, r"`frame_size_min` must be given once"),
        ({"options": 3}, da.OptionError, r"`options` must be a mapping or `dfoattack.Options`, got int"),
        ({"budget": 0}, da.OptionError, r"`budget` must be at least 1 evaluation, got 0"),
        ({"seed": -1}, da.OptionError, r"`seed` must be an integer >= 0, got -1"),
        ({"seed": "a"}, da.OptionError, r"`seed` must be an integer >= 0, got 'a'"),
        ({"eq_tol": -1.0}, da.OptionError, r"`eq_tol` must be a finite number in \[0, inf\), got -1.0"),
        ({"callback": 3}, da.OptionError, r"`callback` must be callable or None, got 3"),
        ({"fun": 3}, da.ProblemError, r"`fun` must be callable, got 3"),
        ({"jac": "2-point"}, da.ProblemError, r"`jac` must be callable, True or None, got '2-point'"),
        ({"x0": [3.0, 0.0]}, da.ProblemError, r"`x0` must lie in \[-2, 2\] for variable `x0`, got 3"),
        ({"x0": [np.nan, 0.0]}, da.ProblemError, r"`x0` must be finite, got nan"),
        ({"x0": []}, da.ProblemError, r"`x0` must have shape \(n,\) or \(s, n\), n and s >= 1, got \(0,\)"),
        ({"x0": np.zeros((1, 1, 2))}, da.ProblemError, r"`x0` must have shape .* got \(1, 1, 2\)"),
        ({"x0": "ab"}, da.ProblemError, r"`x0` must be an array of real numbers, got 'ab'"),
        ({"bounds": [(0, 1)]}, da.ProblemError, r"n = 2 pairs \(low, high\), one a variable of `x0`, got \[\(0, 1\)\]"),
        ({"bounds": [0, 1]}, da.ProblemError, r"n = 2 pairs"),
        ({"bounds": 7}, da.ProblemError, r"n = 2 pairs .* got 7"),
        (
            {"bounds": [(1, 0), (0, 1)]},
            da.ProblemError,
            r"`lower` must not exceed `upper` .*got 1 > 0",
        ),
        ({"bounds": [(np.nan, 0), (0, 1)]}, da.ProblemError, r"`lower` must hold numbers or -inf, got nan"),
        ({"bounds": Bounds([0, 0, 0], 1)}, da.ProblemError, r"`bounds.lb` must .* n = 2 \(from `x0`\), got \(3,\)"),
        ({"integrality": [1, 2]}, da.ProblemError, r"`integrality` must be 0 \(continuous\) or 1 \(integer\), got 2"),
        ({"integrality": [1, 1, 1]}, da.ProblemError, r"`integrality` .* n = 2 \(from `x0`\), got \(3,\)"),
        ({"integrality": 1, "x0": [0.5, 0.0]}, da.ProblemError, r"`x0` must be an integer for variable `x0`, got 0.5"),
        ({"constraints": 3}, da.ProblemError, r"`constraints` must be a scipy.optimize.LinearConstraint, .* got 3"),
        ({"constraints": [bowl]}, da.ProblemError, r"`constraints\[0\]` must be a scipy.optimize.LinearConstraint"),
        ({"constraints": {"type": "ineq"}}, da.ProblemError, r"'fun' of Constraint `c0` must be callable, got None"),
        ({"constraints": {"fun": bowl}}, da.ProblemError, r"'type' of Constraint `c0` must be 'eq' .* got None"),
        ({"constraints": {"type": "le", "fun": bowl}}, da.ProblemError, r"or 'ineq' \(fun >= 0\), got 'le'"),
        (
            {"constraints": {"type": "eq", "fun": bowl, "jacc": bowl}},
            da.ProblemError,
            r"Constraint `c0` must have the keys .* got 'jacc'\. Did you mean `jac`\?",
        ),
        (
            {"constraints": [LinearConstraint([1, 1], ub=1), LinearConstraint([1, 1, 1], ub=1)]},
            da.ProblemError,
            r"`A` of Constraint `c1` must have shape \(q, n\) with n = 2 \(from `x0`\), got \(1, 3\)",
        ),
        ({"constraints": LinearConstraint([1, np.inf], ub=1)}, da.ProblemError, r"`A` of .* must be finite, got inf"),
        (
            {"constraints": LinearConstraint([1, 1], 2, 1)},
            da.ProblemError,
            r"`lb` must not exceed `ub` in .* got 2 > 1",
        ),
        ({"constraints": NonlinearConstraint(bowl, np.nan, 1)}, da.ProblemError, r"must be numbers, .* got lb = nan"),
        ({"constraints": NonlinearConstraint(bowl, [0, 0], [1, 1, 1])}, da.ProblemError, r"must have the same shape"),
        (
            {"constraints": NonlinearConstraint(bowl, [0, 0], 1, keep_feasible=[True, False])},
            da.ProblemError,
            r"`keep_feasible` of Constraint `c0` must be the same for all",
        ),
        ({"store": "/nowhere/at/all/run.db"}, da.StoreError, r"must lie in an existing folder"),
    ],
)
def test_wrong_input_is_told_before_anything_is_called(change: dict[str, Any], error: Any, message: str) -> None:
    arguments = {"fun": forbidden, "x0": [0.0, 0.0], "bounds": BOX, **change}
    with pytest.raises(error, match=message) as caught:
        da.minimize(**arguments)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fun": lambda x: None}, r"`fun` must return one number, got None\. Is a `return` missing\?"),
        ({"fun": lambda x: (1.0, x)}, r"`fun` must return one number, got .* give `jac=True`"),
        ({"fun": lambda x: x}, r"`fun` must return one number, got array"),
        ({"fun": lambda x: 1j}, r"`fun` must return one number, got 1j"),
        ({"fun": lambda x: "a"}, r"`fun` must return one number, got 'a'"),
        ({"jac": True}, r"`fun` must return the pair \(f, gradient\) with jac=True"),
        ({"jac": lambda x: [1.0, 2.0, 3.0]}, r"`jac` must have shape \(n,\) = \(2,\), got \(3,\)"),
        ({"jac": lambda x: None}, r"`jac` must return numbers, got None"),
        ({"constraints": {"type": "ineq", "fun": lambda x: None}}, r"Constraint `c0` must return numbers, got None"),
        ({"constraints": {"type": "ineq", "fun": lambda x: ["a"]}}, r"Constraint `c0` must return real numbers"),
        ({"constraints": {"type": "ineq", "fun": lambda x: np.eye(2)}}, r"shape \(q,\), got shape \(2, 2\)"),
        (
            {"constraints": NonlinearConstraint(lambda x: [1.0], [0.0, 0.0], 3.0)},
            r"`lb` and `ub` of Constraint `c0` must be numbers or have shape \(q,\) with q = 1, got \(2,\)",
        ),
        (
            {
                "jac": lambda x: [1.0, 2.0],
                "constraints": {"type": "eq", "fun": lambda x: x, "jac": lambda x: [1.0, 2.0]},
            },
            r"The `jac` of Constraint `c0` must have shape \(q, n\) = \(2, 2\), got \(2,\)",
        ),
    ],
)
def test_wrong_answers_of_user_functions(change: dict[str, Any], message: str) -> None:
    arguments = {"fun": bowl, "x0": [1.0, 1.0], "bounds": BOX, "budget": 50, **change}
    with pytest.raises(da.ProblemError, match=message):
        da.minimize(**arguments)


# ---------------------------------------------------------------- SciPy's own minimize


def test_as_a_method_of_scipy() -> None:
    r = optimize.minimize(
        rosen, START, method=da.scipy_method, jac=rosen_der, bounds=Bounds(-2, 2), constraints=LINE[0], tol=1e-7,
        options={"maxfev": 300, "seed": 2},
    )  # fmt: skip
    assert isinstance(r, optimize.OptimizeResult)
    assert r.success and r.nfev <= 300 and line_gap(r.x) <= 0.0 and abs(r.fun - 0.1456) < 1e-3
    same = da.minimize(
        rosen,
        START,
        jac=rosen_der,
        bounds=BOX,
        constraints=LINE[0],
        budget=300,
        seed=2,
        options={"frame_size_min": 1e-7},
    )
    assert r.x.tobytes() == same.x.tobytes() and r.message == same.message


def test_scipy_passes_a_pair_function_and_a_callback() -> None:
    calls: list[np.ndarray] = []
    r = optimize.minimize(
        lambda x: (rosen(x), rosen_der(x)),
        START,
        method=da.scipy_method,
        jac=True,
        callback=calls.append,
        options={"budget": 100},
    )
    assert r.ngev > 0 and calls


def test_scipy_option_names_that_are_unknown_are_errors() -> None:
    with pytest.raises(da.OptionError, match="Did you mean `budget`"):
        optimize.minimize(rosen, START, method=da.scipy_method, options={"budgt": 5})


def test_second_derivatives_are_ignored_with_one_warning() -> None:
    with pytest.warns(RuntimeWarning, match="`hess` is ignored") as caught:
        optimize.minimize(rosen, START, method=da.scipy_method, hess=optimize.rosen_hess, options={"budget": 5})
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimize.minimize(rosen, START, method=da.scipy_method, options={"budget": 5})


# ---------------------------------------------------------------- resuming


def test_a_stored_run_is_resumed_with_as_problem(tmp_path: Path) -> None:
    path = tmp_path / "run.db"
    arguments: dict[str, Any] = {"jac": hs71_gradient, "bounds": [(1, 5)] * 4, "constraints": HS71_CONSTRAINT}
    da.minimize(hs71, HS71_START, **arguments, budget=60, store=path)
    problem = as_problem(hs71, HS71_START, **arguments)
    resumed = da.resume(path, problem, budget=120)
    whole = da.minimize(hs71, HS71_START, **arguments, budget=60, store=tmp_path / "other.db")
    assert resumed.records.x[: whole.nfev].tobytes() == whole.records.x.tobytes()
    assert resumed.cost > 60
    with pytest.raises(da.StoreError, match="belongs to another run"):
        da.resume(path, as_problem(hs71, HS71_START, **{**arguments, "constraints": ()}))


def test_the_fingerprint_does_not_depend_on_what_has_been_called() -> None:
    problem = as_problem(lambda x: (rosen(x), rosen_der(x)), START, jac=True, constraints=LINE[2])
    before = problem.fingerprint()
    da.solve(problem, budget=50)
    assert problem.fingerprint() == before
    other = as_problem(lambda x: (rosen(x), rosen_der(x)), START, jac=True, constraints=LINE[2], args=())
    assert other.fingerprint()["constraints"] == before["constraints"]
    moved = as_problem(rosen, START, constraints=NonlinearConstraint(LINE[2].fun, -np.inf, 2.0))
    assert moved.fingerprint()["constraints"] != before["constraints"]
