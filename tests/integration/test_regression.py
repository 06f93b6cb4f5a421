"""Problems on which methods of this family are known to fail, and what must hold on them, with and without covering.

Discontinuous and barely smooth functions after Audet, Bouchet & Bourdin (2024); the start is (0.1) or 0, the first frame 0.01 and the
covered ball has radius 0.1 (n = 1) or 0.5, as in the derivations.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

import dfoattack as da
from dfoattack.kernels import mesh as mesh_kernels
from dfoattack.solver import Solver
from dfoattack.steps.covering import Ball
from dfoattack.steps.poll import completion, poll_rows
from tests.integration.cases import assert_best_is_best, drive, sphere, sphere_gradient

RATIOS = (1.0, 2.0, 5.0, 10.0, 100.0)
NARROW = dict(frame_size_init=0.01, covering_radius=10.0)  # a ball of radius 0.1
WIDE = dict(frame_size_init=0.01, covering_radius=50.0)  # a ball of radius 0.5

Function = Callable[[np.ndarray], np.ndarray]


def free_problem(fun: Function, x0: Sequence[float], **more: Any) -> da.Problem:
    n = len(x0)
    space = da.Box([-np.inf] * n, [np.inf] * n)
    return da.Problem(objective=fun, space=space, x0=np.asarray(x0, dtype=float), sense="minimize", **more)


def ce0(y: np.ndarray) -> np.ndarray:
    x = y[:, 0]
    return np.where(x >= -1.0, x**3, -1.0 + 3.0 * (x + 1.0) + 3.0 * (x + 1.0) ** 2)


def ce1(y: np.ndarray) -> np.ndarray:
    x = y[:, 0]
    return np.where(x > 0.0, x**3, np.where(x >= -1.0, x - 1.0, -2.0 + (x + 1.0) ** 2))


def ce2(power: int) -> Function:
    def value(y: np.ndarray) -> np.ndarray:
        others = np.sqrt((y[:, 1:] ** 2).sum(axis=1))
        horn = (y[:, 0] > 0.0) & (y[:, 0] <= 1.0) & (others < np.abs(y[:, 0]) ** power)
        return np.where(horn, -y[:, 0], (y**2).sum(axis=1))

    return value


def ce3(y: np.ndarray) -> np.ndarray:
    special = np.zeros(y.shape[1])
    special[0] = 1.0 / 3.0
    return np.where((y == special).all(axis=1), -1.0, sphere(y))


def walk(solver: Solver) -> Solver:
    """Run to the end; after every tell the incumbent is the best evaluated point of the run."""
    while len(solver.ask()):
        solver.tell(solver.evaluate())
        history, barrier = solver.state.history, solver.state.barrier
        ok = (history.status == 0) & (history.V <= 0.0)
        rows = np.flatnonzero(ok[barrier.start :]) + barrier.start
        if rows.size:
            assert history.F[barrier.feas] == history.F[rows].min()
            assert history.F[solver.state.best_feas] == history.F[ok].min()
        else:
            assert barrier.feas == -1
    return solver


# ------------------------------------------------------------------------------------------------ CE0, CE1: n = 1


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("covering", [True, False])
@pytest.mark.parametrize(("fun", "best", "enough"), [(ce0, -1.75, -1.7499), (ce1, -2.0, -1.9999)])
def test_ce0_and_ce1_are_crossed_within_500_evaluations(
    fun: Function, best: float, enough: float, covering: bool, seed: int
) -> None:
    problem = free_problem(fun, [0.1])
    result = walk(Solver(problem, {**NARROW, "covering": covering}, budget=500, seed=seed)).result()
    assert best - 1e-12 <= result.fun <= enough
    assert_best_is_best(result, "minimize")


def test_ce0_has_a_smooth_minimum_where_it_is_said_to_be() -> None:
    x = np.array([[-1.5], [0.0], [-1.0], [-1.0 - 1e-9]])
    np.testing.assert_allclose(ce0(x), [-1.75, 0.0, -1.0, -1.0 - 3e-9], rtol=0, atol=1e-15)


# ------------------------------------------------------------------------------------------------ CE2: horns


def horn_runs(n: int, power: int, budget: int, seeds: Sequence[int], **options: Any) -> int:
    """In how many runs the horn is found from its tip."""
    settings = {**WIDE, "restarts": False, "covering_quota": budget, **options}
    found = 0
    for seed in seeds:
        problem = free_problem(ce2(power), [0.0] * n)
        result = da.solve(problem, budget=budget, seed=seed, options=settings, f_target=-1e-12)
        assert_best_is_best(result, "minimize")
        found += result.fun < 0.0
    return found


# Measured on 20 seeds: found within 140 evaluations (p = 2) and 1030 (p = 4).
@pytest.mark.parametrize(("power", "budget"), [(2, 300), (4, 1030)])
def test_ce2_is_escaped_by_covering(power: int, budget: int) -> None:
    assert horn_runs(2, power, budget, range(6)) == 6


@pytest.mark.slow
@pytest.mark.parametrize(("n", "power", "budget"), [(2, 2, 300), (2, 4, 1500), (3, 2, 800)])
def test_ce2_is_escaped_by_covering_in_all_of_20_seeds(n: int, power: int, budget: int) -> None:
    assert horn_runs(n, power, budget, range(20)) == 20


def test_ce2_traps_a_run_without_covering() -> None:
    """The first mesh is as coarse as the frame, so that a poll may hit the axis by luck: some runs find it, not all."""
    seeds = range(10)
    without = horn_runs(2, 4, 1030, seeds, covering=False, searches=())
    short = horn_runs(2, 4, 1030, seeds, covering_quota=0, searches=())
    assert without < 10
    assert without <= short < 10, "one covering trial a failed poll, without a quota, is not enough for every seed"


# ------------------------------------------------------------------------------------------------ CE3, CE4: no claims


def test_ce3_no_claim_is_made_about_a_single_point() -> None:
    """The set where something better hides has no interior; nobody need find it, and nobody may say that it is not there."""
    options = {"frame_size_init": 0.1, "covering_radius": 5.0, "covering_quota": 200, "restarts": False}
    result = da.solve(free_problem(ce3, [0.0, 0.0]), options=options)
    certificate = result.certificate
    assert result.fun == 0.0 and result.reason == da.StopReason.FRAME
    assert not certificate.exhausted
    assert certificate.trials >= 100
    assert 0.0 < certificate.improving < 1.0 and 0.0 < certificate.uncovered < 1.0
    assert "exact" not in certificate.text and "optim" not in certificate.text
    assert "with confidence 99%" in certificate.text


@pytest.mark.parametrize("kind", ["extreme", "progressive"])
def test_ce4_a_feasible_set_without_interior_is_not_certified(kind: str) -> None:
    line = da.Constraint(lambda x, y: np.abs(x[:, 1]), kind=kind, name="line")
    problem = free_problem(lambda y: (y[:, 0] - 1.0) ** 2, [0.5, 0.0], constraints=[line])
    result = da.solve(problem, budget=600, options={"restarts": False})
    assert result.feasible and result.x[1] == 0.0
    assert not result.certificate.covered and math.isnan(result.certificate.improving)
    assert "none of 60 covering trials" in result.certificate.text, (
        "the quota is for the point reported, not for the centre of polls"
    )
    result = da.solve(problem, budget=600, options={"restarts": False, "searches": ()})
    assert result.feasible and result.x[1] == 0.0
    assert result.certificate.text.startswith("not certified: none of ")
    assert "no interior" in result.certificate.text
    assert not result.certificate.covered and math.isnan(result.certificate.improving)


def test_statements_need_covering() -> None:
    result = da.solve(free_problem(sphere, [0.3, 0.2]), budget=60, options={"covering": False})
    assert result.certificate.text == "not certified: the covering step was switched off"


# ------------------------------------------------------------------------------------------------ CE5: calibration

BETA = 0.1
SHARE = 0.05  # of the ball's volume that improves


def hidden_ball(n: int, radius: float, q: float) -> Function:
    """|x|^2, but -1 on a ball of radius q at distance radius / 2."""
    centre = np.zeros(n)
    centre[0] = 0.5 * radius

    def value(y: np.ndarray) -> np.ndarray:
        return np.where(((y - centre) ** 2).sum(axis=1) < q * q, -1.0, sphere(y))

    return value


def test_ce5_the_volume_statement_is_violated_no_more_often_than_it_says() -> None:
    """1000 repetitions with the sampler of the covering step: the bound may be below the truth in a share beta of them."""
    n, repetitions = 3, 1000
    radius = 1.0
    q = radius * SHARE ** (1.0 / n)
    problem = free_problem(hidden_ball(n, radius, q), [0.0] * n)
    solver = Solver(problem, {"frame_size_init": 1.0, "covering_radius": 1.0}, budget=10, seed=0)
    solver.ask()
    solver.tell(solver.evaluate())
    mesh = solver.state.mesh
    assert mesh is not None
    ball = Ball(solver.setup, np.zeros(n), mesh)
    rng = np.random.default_rng(1)
    beta_1 = 6.0 * BETA / math.pi**2
    # The statement is wrong as soon as the trials without success are more than this.
    limit = math.floor(math.log(beta_1) / math.log(1.0 - SHARE)) + 1
    assert 1.0 - beta_1 ** (1.0 / limit) < SHARE <= 1.0 - beta_1 ** (1.0 / (limit - 1))
    trials = np.vstack([ball.uniform(rng, True)[0] for _ in range(limit * 100)])
    lengths = np.sqrt((trials**2).sum(axis=1))
    assert lengths.max() <= radius
    hits = hidden_ball(n, radius, q)(trials) < 0.0
    sigma = math.sqrt(SHARE * (1.0 - SHARE) / hits.size)
    assert abs(hits.mean() - SHARE) < 4.0 * sigma, "the sampler is uniform"
    pick = np.random.default_rng(2).integers(hits.size, size=(repetitions, limit))
    wrong = int((~hits[pick].any(axis=1)).sum())
    assert wrong <= BETA * repetitions + 3.0 * math.sqrt(repetitions * BETA * (1.0 - BETA))
    assert wrong >= 0.2 * BETA * repetitions, "and it is not idly careful"


@pytest.mark.parametrize("budget", range(150, 170, 3))
def test_ce5_the_statement_counts_evaluated_uniform_trials_only(budget: int) -> None:
    """Trials alternate, uniform ones first; those beyond the budget were never made."""
    n = 2
    options = {"frame_size_init": 1.0, "restarts": False, "covering_quota": 1000, "certificate_points": 100}
    options |= {"searches": ()}  # the sooner covering has its turn
    result = da.solve(free_problem(sphere, [0.0] * n), budget=budget, seed=budget, options=options)
    assert result.best_index == 0
    made = sum(step == "covering" for step in result.records.step)
    assert made > 50
    assert result.certificate.trials == (made + 1) // 2
    assert result.certificate.improving == pytest.approx(1.0 - (0.06 / math.pi**2) ** (2.0 / (made + made % 2)))


def test_ce5_full_runs_keep_their_promise() -> None:
    """Runs that stay at 0 although something better hides: the volume bound may be too low in a share beta of all."""
    n, wrong, runs, found = 2, 0, 20, 0
    q = math.sqrt(SHARE)
    options = {
        "frame_size_init": 1.0,
        "restarts": False,
        "covering_quota": 120,
        "certificate_beta": BETA,
        "certificate_points": 100,
        "poll": "2n",
    }
    for seed in range(runs):
        result = da.solve(free_problem(hidden_ball(n, 1.0, q), [0.0] * n), budget=200, seed=seed, options=options)
        if result.fun < 0.0:
            found += 1
        else:
            wrong += result.certificate.improving < SHARE
    assert wrong <= BETA * runs + 3.0 * math.sqrt(runs * BETA * (1.0 - BETA))
    assert found >= runs // 2


# ------------------------------------------------------------------------------------------------ CE6: one output


@pytest.mark.parametrize("sense", ["minimize", "maximize"])
@pytest.mark.parametrize("operator", ["sign", "l2", "pgd", "sqp"])
def test_ce6_attacks_move_along_the_gradient_of_a_single_output(operator: str, sense: str) -> None:
    """The centred direction J^T (u - mean u) of some codes is zero for one output, and for equal weights."""

    class Rows:
        J = np.array([[1.0, -2.0, 0.5], [0.5, 1.0, -0.25]])

        def predict(self, X: np.ndarray) -> np.ndarray:
            return np.einsum("kn,mn->km", X, self.J)

        def vjp(self, X: np.ndarray, V: np.ndarray) -> np.ndarray:
            return np.einsum("km,mn->kn", V, self.J)

    for columns in (slice(0, 1), slice(0, 2)):
        rows = Rows()
        rows.J = Rows.J[columns]
        problem = da.Problem(
            objective=lambda y: y.sum(axis=1), surrogate=rows, space=[(-1, 1)] * 3, x0=[0.03, 0.02, 0.01], sense=sense
        )
        result = da.solve(problem, budget=30, options={"attacks": (operator,), "covering": False})
        attacks = [i for i, step in enumerate(result.records.step) if step == "attack"]
        sign = 1.0 if sense == "maximize" else -1.0
        values = sign * result.records.fun
        assert attacks and values[attacks[0]] > values[0]


# ------------------------------------------------------------------------------------------------ CE7: polls span


def positively_spans(Z: np.ndarray) -> bool:
    """Full rank, and 0 is a combination of all rows with positive weights; a linear program decides."""
    k, n = Z.shape
    lengths = np.sqrt((Z**2).sum(axis=1))
    if k == 0 or not lengths.all():
        return False
    unit = Z / lengths[:, None]
    if np.linalg.matrix_rank(unit) < n:
        return False
    # Scaled weights: the smallest positive one is 1, so feasibility is what has to be decided.
    answer = linprog(np.ones(k), A_eq=unit.T, b_eq=np.zeros(n), bounds=[(1.0, None)] * k, method="highs")
    return bool(answer.status == 0)


def test_the_linear_program_knows_what_spans() -> None:
    I3 = np.eye(3)
    assert positively_spans(np.vstack([I3, -I3.sum(axis=0)[None, :]]))
    assert positively_spans(np.vstack([I3, -I3]))
    assert not positively_spans(I3)
    assert not positively_spans(np.vstack([I3, -I3[:2]]))
    assert not positively_spans(np.vstack([I3, [[-1.0, -1.0, 0.0]]]))


def check_poll(n: int, rho: np.ndarray, seed: int, pairs: bool) -> None:
    rng = np.random.default_rng([n, seed])
    K = poll_rows(rng.standard_normal(n), rho)
    K = np.vstack([K, -K]) if pairs else K * rng.choice([-1.0, 1.0], size=(n, 1))
    K = K[rng.permutation(len(K))]
    Z = np.vstack([K, completion(K, rho)])
    Z = Z[np.any(Z != 0.0, axis=1)]
    assert np.array_equal(Z, np.rint(Z)) and (np.abs(Z) <= rho).all(), "on the mesh, inside the frame"
    assert positively_spans(Z)


@pytest.mark.parametrize("pairs", [False, True], ids=["n+1", "2n"])
@pytest.mark.parametrize("n", range(1, 65))
def test_ce7_every_poll_positively_spans(n: int, pairs: bool) -> None:
    for k, ratio in enumerate(RATIOS):
        check_poll(n, np.full(n, ratio), k, pairs)


@settings(max_examples=60)
@given(st.integers(1, 64), st.integers(0, 2**32 - 1), st.booleans(), st.booleans())
def test_ce7_polls_span_with_frames_of_different_width(n: int, seed: int, pairs: bool, flat: bool) -> None:
    rng = np.random.default_rng(seed)
    widths = np.array(RATIOS[:3] if flat else RATIOS)
    check_poll(n, rng.choice(widths, size=n), seed, pairs)


def test_ce7_the_poll_of_a_run_spans_too() -> None:
    """The points a run really asks for at one centre of the smallest frames, rounded, ordered and completed."""
    for n in (1, 2, 3, 5, 8):
        for seed in range(3):
            options = {
                "covering": False,
                "speculative": False,
                "frame_size_init": 1.0,
                "opportunistic": False,
                "searches": (),
            }
            problem = free_problem(lambda y: np.where((y == 0.0).all(axis=1), 0.0, 1.0), [0.0] * n)
            solver = Solver(problem, options, budget=400, seed=seed)
            steps: dict[int, list[np.ndarray]] = {}
            while len(trials := solver.ask()):
                if trials.step == "poll":
                    steps.setdefault(solver.state.iteration, []).extend(trials.X - trials.centre)
                solver.tell(solver.evaluate())
            assert len(steps) >= 5
            assert positively_spans(np.array(steps[1])), (n, seed)


# ------------------------------------------------------------------------------------------------ CE8, T4, T6


def steps_by_iteration(solver: Solver) -> list[set[str]]:
    """Which steps were asked in each iteration."""
    found: dict[int, set[str]] = {}
    while len(trials := solver.ask()):
        found.setdefault(solver.state.iteration, set()).add(trials.step)
        solver.tell(solver.evaluate())
    return [found.get(i, set()) for i in range(1, solver.state.iteration + 1)]


@pytest.mark.parametrize("skips", [0, 2, 5])
@pytest.mark.parametrize("operator", ["sign", "l2", "pgd", "sqp"])
@pytest.mark.parametrize("fun", ["bowl", "slope"])
def test_ce8_attacks_do_not_starve_the_other_steps(fun: str, operator: str, skips: int) -> None:
    """F -> 0 and exact attacks: a relative test would let them end every iteration."""
    n = 3
    value, grad = {
        "bowl": (sphere, sphere_gradient),
        "slope": (lambda y: y[:, 0], lambda y: np.eye(1, n).repeat(len(y), axis=0)),
    }[fun]
    problem = free_problem(value, [0.9, -0.7, 0.31], objective_grad=grad)
    options = {"attacks": (operator,), "attack_skips_max": skips, "restarts": False, "searches": ()}
    iterations = steps_by_iteration(Solver(problem, options, budget=400, seed=3))
    run = 0
    for asked in iterations[:-1]:  # the last one may be cut short by the budget
        run = run + 1 if asked <= {"attack"} else 0
        assert run <= skips
    assert any("poll" in asked for asked in iterations)
    assert any("attack" in asked for asked in iterations)


@pytest.mark.parametrize("quota", [0, 20, 75])
def test_t4_convergence_waits_for_the_covering_quota(quota: int) -> None:
    options = {"covering_quota": quota, "restarts": False, "covering_radius": 0.5}
    result = da.solve(free_problem(sphere, [0.31, -0.2]), options=options)
    assert result.reason == da.StopReason.FRAME
    assert result.frame_size <= 1e-9
    after = result.records.step[result.best_index + 1 :]
    assert sum(step == "covering" for step in after) >= quota
    assert f"quota of {quota} done" in result.message


def test_t4_the_default_quota_is_a_share_of_the_budget_larger_where_convergence_is_the_end() -> None:
    problem = free_problem(sphere, [0.31, -0.2])
    assert Solver(problem, {"restarts": False}, budget=400).setup.quota == 40
    assert Solver(problem, budget=400).setup.quota == 12
    assert Solver(problem, budget=1e6).setup.quota == 1000
    assert Solver(problem).setup.quota == 200
    assert Solver(problem, {"covering": False}, budget=400).setup.quota == 0


def test_every_failed_iteration_has_a_covering_trial() -> None:
    """T3: an iteration in which poll and completion failed ends with a covering trial."""
    solver = Solver(free_problem(sphere, [0.31, -0.2]), {"restarts": False, "covering_quota": 10}, budget=300)
    failed: set[int] = set()
    asked: dict[int, set[str]] = {}
    while len(trials := solver.ask()):
        before = solver.state
        asked.setdefault(before.iteration, set()).add(trials.step)
        solver.tell(solver.evaluate())
        if trials.step == "covering" and not solver.state.success:
            failed.add(before.iteration)
    refined = [i for i in asked if "poll" in asked[i] and i not in failed]
    history = solver.state.history
    for i in refined[:-1]:
        rows = np.flatnonzero(history.iteration == i)
        assert history.F[rows].min() < history.F[: rows[0]].min(), "a polled iteration without covering had a success"


# ------------------------------------------------------------------------------------------------ CE9: the mesh


def test_ce9_mesh_sizes_of_the_first_frames() -> None:
    a, b = np.array([1, 5, 2, 1, 5]), np.array([0, -1, -1, -1, -2])
    zero = np.zeros(5, dtype=np.int64)
    delta, frame = np.empty(5), np.empty(5)
    mesh_kernels.mesh_sizes(a, b, zero, np.zeros(5), np.zeros(5), np.ones(5), delta, frame)
    np.testing.assert_allclose(frame, [1.0, 0.5, 0.2, 0.1, 0.05], rtol=1e-15)
    np.testing.assert_allclose(delta, [1.0, 0.01, 0.01, 0.01, 1e-4], rtol=1e-15)


@pytest.mark.parametrize(
    ("request_size", "expected"),
    [(0.3, 0.2), (0.02, 0.02), (0.9999, 0.5), (1.0, 1.0), (7.0, 5.0), (1e-3, 1e-3), (0.019999, 0.01), (123.0, 100.0)],
)
def test_ce9_the_first_frame_is_rounded_down(request_size: float, expected: float) -> None:
    solver = Solver(free_problem(sphere, [0.5]), {"frame_size_init": request_size}, budget=5)
    solver.ask()
    solver.tell(solver.evaluate())
    assert solver.state.mesh is not None
    np.testing.assert_allclose(solver.state.mesh.frame_size, [expected], rtol=1e-15)


# ------------------------------------------------------------------------------------------------ the incumbent


@pytest.mark.parametrize("gradient", [False, True])
@pytest.mark.parametrize("opportunistic", [False, True])
def test_t1_holds_for_every_kind_of_step(gradient: bool, opportunistic: bool) -> None:
    bumpy = lambda y: sphere(y) + 0.3 * np.cos(9.0 * y).sum(axis=1)  # noqa: E731
    slope = lambda y: 2.0 * y - 2.7 * np.sin(9.0 * y)  # noqa: E731
    problem = free_problem(bumpy, [1.7, -2.2], objective_grad=slope if gradient else None)
    result = walk(Solver(problem, {"opportunistic": opportunistic, "block_size": 3}, budget=400, seed=5)).result()
    assert_best_is_best(result, "minimize")
    assert drive(Solver(problem, budget=30)).nfev <= 30
