"""Kinds of constraints in the barrier: two-sided, progressive-to-extreme, extreme with a phase one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.barrier import Barrier, Columns, hardened, measured, poll_centres, with_points
from dfoattack.cache import History
from dfoattack.solver import Solver
from dfoattack.trials import Counters, Evaluations
from tests.integration.cases import assert_best_is_best, assert_same_run, drive

TWO_WALLS_BEST = 1.4900314  # SLSQP from many starts
KINDS = ("progressive", "extreme", "progressive-to-extreme")


def columns(kinds: list[str], equality: list[bool] | None = None) -> Columns:
    flags = equality or [False] * len(kinds)
    return Columns.of(
        [(f"c{i}", k, 0.0, e) for i, (k, e) in enumerate(zip(kinds, flags, strict=True))], np.ones(len(kinds))
    )


def told(F: list[float], C: list[list[float]]) -> Evaluations:
    k = len(F)
    return Evaluations(np.arange(float(k))[:, None], np.array(F), np.array(C), np.zeros(k, dtype=np.int8), Counters())


def run(known: Columns, F: list[float], C: list[list[float]]) -> tuple[Barrier, History]:
    barrier = Barrier(known, 0, 1 if known.extreme.any() else 2, -1, -1, math.inf, math.inf, -math.inf, 0)
    evaluations = told(F, C)
    measures = measured(barrier, evaluations)
    history = History.empty(1).extended(
        evaluations.X, evaluations.F, *measures, evaluations.C, evaluations.status, 1, 1
    )
    return with_points(barrier, history, 0), history


def test_columns_of_every_kind() -> None:
    known = Columns.of([("a", kind, 0.5, kind == "extreme") for kind in KINDS], np.array([-3.0, 0.5, 2.0]))
    assert known.extreme.tolist() == [False, True, False] and known.hybrid.tolist() == [False, False, True]
    assert known.scale.tolist() == [3.0, 1.0, 2.0] and known.equality.tolist() == [False, True, False]
    assert known.excess(np.array([[-2.0, -2.0, 1.0]])).tolist() == [[-2.5, 1.5, 0.5]]


def test_a_hybrid_column_turns_extreme_when_a_centre_satisfies_it_and_all_points_are_judged_again() -> None:
    barrier, history = run(
        columns(["progressive-to-extreme"] * 2), [3.0, 1.0, 5.0], [[1.0, -1.0], [2.0, 2.0], [0.5, -1.0]]
    )
    assert barrier.inf == 1, "the least objective leads, and it satisfies nothing"
    assert hardened(barrier, history, 0.1) == (barrier, history)
    barrier, history = run(
        columns(["progressive-to-extreme"] * 2), [3.0, 4.0, 5.0], [[1.0, -1.0], [2.0, 2.0], [0.5, 1.0]]
    )
    after, judged = hardened(barrier, history, 0.1)
    assert after.columns is not None
    assert after.columns.extreme.tolist() == [False, True] and after.columns.hybrid.tolist() == [True, False]
    assert judged.F.tolist() == [3.0, math.inf, math.inf] and history.F.tolist() == [3.0, 4.0, 5.0]
    assert judged.H.tolist() == [1.0, 4.0, 0.25] and judged.HE.tolist() == [0.0, 4.0, 1.0]
    assert after.inf == 0 and after.phase == 2
    assert hardened(after, judged, 0.1) == (after, judged)


def test_a_feasible_centre_turns_every_hybrid_column() -> None:
    barrier, history = run(
        columns(["progressive-to-extreme", "progressive"]), [3.0, 1.0, 0.0], [[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0]]
    )
    assert (barrier.feas, barrier.inf) == (0, 2)
    after, judged = hardened(barrier, history, 0.1)
    assert after.columns is not None and after.columns.extreme.tolist() == [True, False]
    assert (after.feas, after.inf) == (0, 2) and judged.F.tolist() == [3.0, math.inf, 0.0]


def two_walls(kind: str, **more: Any) -> da.Problem:
    settings: dict[str, Any] = dict(
        objective=lambda y: (y[:, 0] - 2.0) ** 2 + (y[:, 1] + 1.0) ** 2,
        constraints=[
            da.Constraint(lambda x, y: x[:, 0] ** 2 + x[:, 1] ** 2 - 2.0, kind=kind, name="disc"),
            da.Constraint(lambda x, y: x[:, 0] - x[:, 1] ** 3 - 1.0, kind=kind, name="curve"),
        ],
        space=[(-3, 3)] * 2,
        x0=[-2.5, 2.5],
        sense="minimize",
    )
    return da.Problem(**{**settings, **more})


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_every_kind_finds_the_same_optimum_from_an_infeasible_start(kind: str, seed: int) -> None:
    result = da.solve(two_walls(kind), budget=400, seed=seed, options={"restarts": False})
    assert result.feasible and result.fun == pytest.approx(TWO_WALLS_BEST, abs=1e-3)
    assert_best_is_best(result, "minimize")


def test_hybrid_columns_never_turn_back_and_no_centre_violates_a_turned_one() -> None:
    solver = Solver(two_walls("progressive-to-extreme"), budget=300, seed=1)
    turned, h_max, start = np.zeros(2, dtype=bool), math.inf, 0
    while len(solver.ask()):
        solver.tell(solver.evaluate())
        barrier, history = solver.state.barrier, solver.state.history
        assert barrier.columns is not None
        assert (barrier.columns.extreme | ~turned).all()
        turned = barrier.columns.extreme
        assert barrier.h_max <= h_max or barrier.start > start
        h_max, start = barrier.h_max, barrier.start
        if barrier.phase == 2:
            for row in poll_centres(barrier, history, 0.1):
                assert row < 0 or not (history.C[row] > 0.0)[turned].any()
            F, H, HE, _ = measured(barrier, Evaluations(history.X, history.f, history.C, history.status, Counters()))
            assert F.tobytes() == history.F.tobytes() and H.tobytes() == history.H.tobytes()
            assert HE.tobytes() == history.HE.tobytes()
    assert turned.all()


def test_a_run_with_turning_columns_is_the_same_after_saving_at_every_ask() -> None:
    whole = drive(Solver(two_walls("progressive-to-extreme"), budget=150, seed=3))
    solver = Solver(two_walls("progressive-to-extreme"), budget=150, seed=3)
    while len(solver.ask()):
        again = Solver(two_walls("progressive-to-extreme"), budget=150, seed=3)
        again.restore(solver.to_bytes())
        solver = again
        solver.tell(solver.evaluate())
    assert_same_run(whole, solver.result())


def naive_incumbents(history: History, start: int, h_max: float) -> tuple[float, float]:
    """Objective of the best feasible point, and of the undominated infeasible point with the least one within the threshold."""
    F, H = history.F[start:], history.H[start:]
    ok = np.isfinite(F)
    feasible = F[ok & (H == 0.0)].min(initial=math.inf)
    rows = np.flatnonzero(ok & (H > 0.0) & (H <= h_max) & (F < feasible))
    undominated = [
        i for i in rows if not ((F[rows] <= F[i]) & (H[rows] <= H[i]) & ((F[rows] < F[i]) | (H[rows] < H[i]))).any()
    ]
    return float(feasible), float(min((F[i] for i in undominated), default=math.inf))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(2))
def test_incumbents_are_the_best_by_definition_after_every_tell(kind: str, seed: int) -> None:
    problem = two_walls(kind, constraints=[
        da.Constraint(lambda x, y: np.sin(3.0 * x[:, 0]) + 0.5 * x[:, 1] - 0.4, name="waves"),
        da.Constraint(lambda x, y: x[:, 0] ** 2 + x[:, 1] ** 2 - 6.0, kind=kind, name="disc"),
        da.Constraint(lambda x, y: x[:, 0] * x[:, 1] - 0.5, equality=True, tol=0.1, name="hyperbola"),
    ])  # fmt: skip
    solver, h_max, start = Solver(problem, budget=250, seed=seed), math.inf, 0
    while len(solver.ask()):
        barrier = solver.state.barrier
        assert barrier.h_max <= h_max or barrier.start > start, "h_max never increases within a local run"
        h_max, start = barrier.h_max, barrier.start
        solver.tell(solver.evaluate())
        barrier, history = solver.state.barrier, solver.state.history
        if barrier.phase == 2:
            feasible, infeasible = naive_incumbents(history, barrier.start, barrier.h_max)
            assert feasible == (history.F[barrier.feas] if barrier.feas >= 0 else math.inf)
            assert infeasible == (history.F[barrier.inf] if barrier.inf >= 0 else math.inf)


def hidden(y: np.ndarray) -> np.ndarray:
    """No value in a strip right of the start."""
    values = (y[:, 0] - 2.0) ** 2 + (y[:, 1] + 1.0) ** 2
    return np.where((y[:, 0] > -2.2) & (y[:, 0] < -1.9), np.nan, values)


@pytest.mark.parametrize("seed", range(3))
def test_phase_one_leads_into_the_extreme_set_beside_progressive_and_hidden_constraints(seed: int) -> None:
    problem = two_walls("progressive", objective=hidden, constraints=[
        da.Constraint(lambda x, y: x[:, 0] ** 2 + x[:, 1] ** 2 - 2.0, kind="extreme", name="disc"),
        da.Constraint(lambda x, y: x[:, 0] + x[:, 1] - 3.5, kind="extreme", name="half"),
        da.Constraint(lambda x, y: x[:, 0] - x[:, 1] ** 3 - 1.0, name="curve"),
    ])  # fmt: skip
    solver = Solver(problem, budget=500, seed=seed)
    violations = []
    while len(solver.ask()):
        solver.tell(solver.evaluate())
        if solver.state.barrier.phase == 1 and not solver.state.runs:
            violations.append(float(solver.state.history.HE[solver.state.barrier.feas]))
    assert violations == sorted(violations, reverse=True) and violations[0] > 0.0
    result = solver.result()
    assert result.feasible and result.fun == pytest.approx(TWO_WALLS_BEST, abs=2e-2)
    assert (result.records.status != 0).any()


def test_phase_one_that_ends_nowhere_is_reported_infeasible() -> None:
    wall = da.Constraint(lambda x, y: 1.0 + (x**2).sum(axis=1), kind="extreme", name="never")
    result = da.solve(two_walls("progressive", constraints=[wall]), budget=120)
    assert not result.feasible and not result.success
    assert result.maxcv == result.records.maxcv.min() and result.maxcv < 1.01
    assert result.constraints[0].state == "violated"


def test_equality_is_checked_and_named() -> None:
    with pytest.raises(da.ProblemError, match=r"`equality` of constraint `c` must be True or False, got 1"):
        da.Constraint(lambda y: y[:, 0], name="c", equality=1)  # type: ignore[arg-type]
    one = da.Constraint(lambda y: y[:, :2], equality=True, tol=0.5)
    problem = da.Problem(
        objective=lambda y: y[:, 0], constraints=[one, da.Constraint(lambda y: y[:, 0])], space=[(-2, 2)] * 2
    )
    assert problem.equality.shape == (0,)
    X = np.array([[-0.75, 0.25]])
    _, C = problem.outer(X, X)
    assert problem.equality.tolist() == [True, True, False]
    assert problem.excess(C).tolist() == [[0.25, -0.25, -0.75]]
    other = da.Problem(objective=lambda y: y[:, 0], constraints=da.Constraint(one.fn, tol=0.5), space=[(-2, 2)] * 2)
    same = da.Problem(objective=lambda y: y[:, 0], constraints=one, space=[(-2, 2)] * 2)
    assert other.fingerprint()["constraints"] != same.fingerprint()["constraints"]


@pytest.mark.parametrize("seed", range(2))
def test_equality_bands_are_met_without_gradients(seed: int) -> None:
    """Problem G11 of the constrained benchmark: minimum 0.75 on a parabola."""
    band = da.Constraint(lambda x, y: x[:, 1] - x[:, 0] ** 2, equality=True, tol=1e-4, name="parabola")
    problem = da.Problem(
        objective=lambda y: y[:, 0] ** 2 + (y[:, 1] - 1.0) ** 2,
        constraints=band, space=[(-1, 1)] * 2, x0=[0.3, -0.8], sense="minimize",
    )  # fmt: skip
    result = da.solve(problem, budget=150, seed=seed)
    assert result.feasible and result.maxcv == 0.0 and result.fun == pytest.approx(0.7499, abs=1e-4)
    (status,) = result.constraints
    assert (status.group.name, status.rule, status.state) == ("parabola", "|c| <= 0.0001", "active")
    assert result.certificate.text.startswith("not certified: equalities hold within their tolerances only")
    assert "|c| <= 0.0001" in str(result)


def test_a_wide_band_has_an_interior() -> None:
    band = da.Constraint(lambda x, y: x[:, 1], equality=True, tol=0.5, name="strip")
    problem = da.Problem(
        objective=lambda y: (y**2).sum(axis=1), constraints=band, space=[(-1, 1)] * 2, x0=[0.4, 0.3], sense="minimize"
    )
    assert "not certified: equalities" not in da.solve(problem, budget=600).certificate.text


@pytest.mark.parametrize(
    ("attack", "tol", "gap"), [("sqp", 1e-3, 1e-2), ("l2", 0.1, 0.25), ("sign", 0.1, 0.25), ("pgd", 0.1, 0.35)]
)
def test_attacks_serve_equalities(attack: str, tol: float, gap: float) -> None:
    """A polish along a thin band; ladders, which know no curvature, in a wide one."""
    band = da.Constraint(
        lambda y: y[:, 0] + y[:, 1] ** 2 - 1.0, equality=True, tol=tol, name="parabola",
        grad=lambda x, y, w: (None, np.column_stack([w[:, 0], 2.0 * w[:, 0] * y[:, 1]])),
    )  # fmt: skip
    problem = da.Problem(
        objective=lambda y: (y**2).sum(axis=1), objective_grad=lambda y: 2.0 * y,
        constraints=band, space=[(-2, 2)] * 2, x0=[-1.0, 0.5], sense="minimize",
    )  # fmt: skip
    result = da.solve(problem, budget=200, options={"attacks": (attack,), "searches": ()})
    assert result.feasible and result.fun < 0.75 + gap, "0.75 on the parabola"
    assert "attack" in result.records.step
