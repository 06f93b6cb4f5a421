"""The evaluator: counters equal to the calls user code saw, one status a point, a budget that holds."""

from __future__ import annotations

import time
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfoattack.errors import BudgetSpent, EvaluationError, EvaluationFailed, ProblemError
from dfoattack.evaluator import Evaluator
from dfoattack.problem import Constraint, Problem
from dfoattack.space import Box
from dfoattack.surrogate import Identity
from dfoattack.trials import Counters, Evaluations, Status, Trials
from tests.unit.spies import (
    BlindPhi,
    SpyFunction,
    SpyPhi,
    marked,
    mixed_session,
    network_problem,
    plain_problem,
    points,
    same,
)

OK, FAILED, NONFINITE, TIMEOUT, NOT_RUN = (int(s) for s in Status)


def never(part: Evaluations) -> bool:
    return False


def charged(evaluator: Evaluator) -> None:
    """The invariants of the accounting, and the spies' own counts."""
    c, problem = evaluator.counters, evaluator.problem
    assert c.nphi == c.nfev + c.passes
    assert c.cost(evaluator.ledger.gradient_cost) <= evaluator.ledger.budget
    assert min(c.nfev, c.nphi, c.ngev, c.passes) >= 0
    spy = problem.objective if isinstance(problem.surrogate, Identity) else problem.surrogate
    assert c.nphi == spy.rows


# -------------------------------------------------------------------- values


def test_values_are_minimised_and_constraints_keep_their_sign() -> None:
    phi = SpyPhi()
    evaluator = Evaluator(network_problem(phi))
    Z = points(4)
    answer = evaluator.evaluate(Z)
    assert np.array_equal(answer.F, -Z.sum(axis=1))
    assert np.array_equal(answer.C[:, 1], Z[:, 0] + Z[:, 1] - 1.0)
    assert answer.status.tolist() == [OK] * 4 and answer.status.dtype == np.int8
    assert answer.ok.all() and answer.run.all() and len(answer) == 4
    assert phi.calls == 1
    assert evaluator.counters == Counters(nfev=4, nphi=4)
    assert answer.counters == evaluator.counters
    charged(evaluator)


def test_fixed_variables_reach_user_code_and_not_the_solver() -> None:
    seen: list[np.ndarray] = []
    problem = Problem(
        objective=lambda x, y: (seen.append(x.copy()), y[:, 0])[1], space=Box([0, 0, 0], [1, 1, 1], fixed={1: 0.25})
    )
    Evaluator(problem).evaluate(np.array([[0.5, 1.0]]))
    assert seen[0].tolist() == [[0.5, 0.25, 1.0]]


def test_no_negative_zero_comes_back() -> None:
    problem = Problem(objective=lambda y: np.zeros(len(y)), space=Box([0], [1]), sense="maximize")
    assert not np.signbit(Evaluator(problem).evaluate(np.zeros((1, 1))).F[0])


def test_an_empty_block_and_a_problem_without_free_variables() -> None:
    evaluator = Evaluator(plain_problem(SpyFunction()))
    assert len(evaluator.evaluate(np.empty((0, 3)))) == 0
    assert len(evaluator.run(Trials.empty(np.zeros(3), "poll"), never)) == 0
    assert evaluator.counters == Counters()
    fixed = Problem(objective=lambda y: y[:, 0], space=Box([1.5], [1.5]), sense="minimize")
    assert Evaluator(fixed).evaluate(np.empty((1, 0))).F.tolist() == [1.5]


# -------------------------------------------------------------------- statuses


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_not_finite_is_nonfinite(value: float) -> None:
    phi = SpyPhi(marked(9.0)(lambda: value))
    evaluator = Evaluator(network_problem(phi))
    Z = points(3)
    Z[1, 0] = 9.0
    answer = evaluator.evaluate(Z)
    assert answer.status.tolist() == [OK, NONFINITE, OK]
    assert answer.F[1] == np.inf and np.isnan(answer.C[1]).all()
    assert np.isfinite(answer.F[[0, 2]]).all() and np.isfinite(answer.C[[0, 2]]).all()
    charged(evaluator)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_constraint_that_is_not_finite_is_nonfinite(value: float) -> None:
    problem = Problem(
        objective=lambda y: y[:, 0],
        constraints=lambda y: np.where(y[:, 0] > 0.5, value, -1.0),
        space=Box([0], [1]),
        sense="minimize",
    )
    answer = Evaluator(problem).evaluate(np.array([[0.25], [0.75]]))
    assert answer.status.tolist() == [OK, NONFINITE]
    assert answer.F.tolist() == [0.25, np.inf]


@pytest.mark.parametrize("error", [EvaluationFailed, ZeroDivisionError, np.linalg.LinAlgError, KeyError])
def test_a_declared_exception_fails_its_row_only(error: type[Exception]) -> None:
    phi = SpyPhi(marked(9.0)(lambda: error("no mesh")))
    evaluator = Evaluator(network_problem(phi, failures=KeyError), budget=100)
    Z = points(5)
    Z[2, 0] = 9.0
    answer = evaluator.evaluate(Z)
    assert answer.status.tolist() == [OK, OK, FAILED, OK, OK]
    assert answer.F[2] == np.inf and np.isnan(answer.C[2]).all()
    # five rows in the block, five again one by one
    assert evaluator.counters == Counters(nfev=5, nphi=10, passes=5)
    charged(evaluator)


def test_outer_functions_that_raise_are_asked_again_without_phi() -> None:
    def objective(y: np.ndarray) -> np.ndarray:
        if (y[:, 2] == 9.0).any():
            raise EvaluationFailed
        return y[:, 0]

    phi = SpyPhi()
    problem = Problem(surrogate=phi, objective=objective, space=Box([-10] * 3, [10] * 3))
    evaluator = Evaluator(problem)
    Z = points(4)
    Z[0, 0] = 9.0
    assert evaluator.evaluate(Z).status.tolist() == [FAILED, OK, OK, OK]
    assert phi.rows == 4
    assert evaluator.counters == Counters(nfev=4, nphi=4)


def test_all_rows_fail_before_the_number_of_constraints_is_known() -> None:
    phi = SpyPhi(lambda x: EvaluationFailed() if x[0] > 0 else None)
    evaluator = Evaluator(network_problem(phi))
    answer = evaluator.evaluate(np.ones((2, 3)))
    assert answer.status.tolist() == [FAILED, FAILED] and answer.C.shape == (2, 0)
    assert evaluator.evaluate(-np.ones((2, 3))).C.shape == (2, 2)
    mixed = evaluator.run(Trials.checked([[1, 1, 1], [-1, 0, 0]]), never)
    assert mixed.C.shape == (2, 2) and mixed.status.tolist() == [FAILED, OK]


def test_an_undeclared_exception_stops_and_carries_the_point() -> None:
    phi = SpyPhi(marked(1.5)(lambda: RuntimeError("licence lost")))
    evaluator = Evaluator(network_problem(phi))
    Z = points(4)
    Z[2, 0] = 1.5
    with pytest.raises(EvaluationError, match="RuntimeError: licence lost at x = ") as caught:
        evaluator.evaluate(Z)
    assert isinstance(caught.value.__cause__, RuntimeError)
    assert np.array_equal(caught.value.x, Z[2])
    assert evaluator.partial is not None
    assert evaluator.partial.status.tolist() == [OK, OK, FAILED, NOT_RUN]
    # four rows in the block, three again; the fourth trip of row 3 was for nothing
    assert evaluator.counters == Counters(nfev=3, nphi=7, passes=4)
    charged(evaluator)


def test_an_undeclared_exception_within_run_keeps_earlier_blocks() -> None:
    phi = SpyPhi(marked(1.5)(lambda: RuntimeError("boom")))
    evaluator = Evaluator(network_problem(phi))
    Z = points(5)
    Z[3, 0] = 1.5
    with pytest.raises(EvaluationError):
        evaluator.run(Trials.checked(Z, block=2), never)
    assert evaluator.partial is not None
    assert evaluator.partial.status.tolist() == [OK, OK, OK, FAILED, NOT_RUN]


def test_a_wrong_shape_is_an_error_of_the_problem() -> None:
    problem = Problem(objective=lambda y: y[:-1, 0], space=Box([0], [1]), failures=ValueError)
    with pytest.raises(ProblemError, match=r"shape \(1,\) for a block of 2 points"):
        Evaluator(problem).evaluate(np.zeros((2, 1)))


def test_keyboard_interrupt_passes_through() -> None:
    phi = SpyPhi(marked(1.5)(KeyboardInterrupt))
    evaluator = Evaluator(network_problem(phi))
    Z = points(4)
    Z[3, 0] = 1.5
    with pytest.raises(KeyboardInterrupt):
        evaluator.run(Trials.checked(Z), never)
    assert evaluator.partial is not None
    assert evaluator.partial.status.tolist() == [OK, OK, OK, NOT_RUN]


# -------------------------------------------------------------------- time


def test_a_hanging_row_times_out_alone() -> None:
    phi = SpyPhi(marked(1.5)(lambda: "hang"), hang=3.0)
    evaluator = Evaluator(network_problem(phi), timeout=0.2)
    Z = points(3)
    Z[1, 0] = 1.5
    began = time.perf_counter()
    answer = evaluator.evaluate(Z)
    assert time.perf_counter() - began < 2.0
    assert answer.status.tolist() == [OK, TIMEOUT, OK]
    assert evaluator.counters == Counters(nfev=3, nphi=3)
    assert evaluator.seconds["forward"] >= 0.2


def test_exceptions_cross_the_thread_of_a_timeout() -> None:
    def bad(x: np.ndarray) -> Any:
        return {1.5: EvaluationFailed(), 1.25: RuntimeError("x"), 1.75: KeyboardInterrupt()}.get(x[0])

    evaluator = Evaluator(network_problem(SpyPhi(bad)), timeout=30.0)
    Z = points(3)
    Z[1, 0] = 1.5
    assert evaluator.evaluate(Z).status.tolist() == [OK, FAILED, OK]
    Z[2, 0] = 1.25
    with pytest.raises(EvaluationError):
        evaluator.evaluate(Z)
    Z[0, 0] = 1.75
    with pytest.raises(KeyboardInterrupt):
        evaluator.evaluate(Z)


def test_a_hanging_pass_gives_nan_and_zero() -> None:
    phi = SpyPhi(marked(1.5)(lambda: "hang"), hang=3.0)
    evaluator = Evaluator(network_problem(phi), timeout=0.1)
    evaluator.evaluate(points(1))
    view = evaluator.view()
    z = np.full((1, 3), 1.5)
    Y = view.outputs(z)
    assert Y.shape == (1, 3) and np.isnan(Y).all()
    F, C = view.values(z, Y)
    assert F.tolist() == [np.inf] and C.tolist() == [[np.inf, np.inf]]
    assert view.grad(z).tolist() == [[0.0, 0.0, 0.0]]


def test_seconds_are_those_of_user_code() -> None:
    problem = Problem(surrogate=lambda X: (time.sleep(0.02), X)[1], objective=lambda y: y[:, 0], space=Box([0], [1]))
    evaluator = Evaluator(problem)
    evaluator.evaluate(np.zeros((1, 1)))
    assert 0.02 <= evaluator.seconds["forward"] < 1.0
    assert 0.0 < evaluator.seconds["outer"] < 1.0 and evaluator.seconds["vjp"] == 0.0


# -------------------------------------------------------------------- budget and blocks


def test_the_budget_cuts_a_block() -> None:
    phi = SpyPhi()
    evaluator = Evaluator(network_problem(phi), budget=5)
    assert evaluator.remaining == 5.0
    evaluator.evaluate(points(3))
    answer = evaluator.evaluate(points(4, seed=1))
    assert answer.status.tolist() == [OK, OK, NOT_RUN, NOT_RUN]
    assert answer.F[2:].tolist() == [np.inf, np.inf]
    assert phi.rows == 5 and evaluator.remaining == 0.0
    assert evaluator.evaluate(points(2, seed=2)).status.tolist() == [NOT_RUN, NOT_RUN]
    charged(evaluator)


def test_a_retry_never_leaves_the_budget() -> None:
    phi = SpyPhi(marked(1.5)(EvaluationFailed))
    evaluator = Evaluator(network_problem(phi), budget=6)
    Z = points(4)
    Z[3, 0] = 1.5
    # four in the block, two again; for the others no second trip is left, they share the fate of the block
    assert evaluator.evaluate(Z).status.tolist() == [OK, OK, FAILED, FAILED]
    assert evaluator.counters == Counters(nfev=4, nphi=6, passes=2)
    charged(evaluator)


def test_no_retry_at_all_still_names_an_undeclared_error() -> None:
    evaluator = Evaluator(plain_problem(SpyFunction(marked(1.5)(lambda: RuntimeError("boom")))), budget=2)
    with pytest.raises(EvaluationError, match="boom"):
        evaluator.evaluate(np.array([[0.0, 0, 0], [1.5, 0, 0]]))
    charged(evaluator)


@pytest.mark.parametrize("opportunistic", [True, False])
def test_blocks_stop_at_the_first_success(opportunistic: bool) -> None:
    fun = SpyFunction()
    evaluator = Evaluator(plain_problem(fun))
    Z = points(7)
    asked: list[int] = []

    def improves(part: Evaluations) -> bool:
        asked.append(len(part))
        return len(asked) == 2

    trials = Trials.checked(Z, block=2, opportunistic=opportunistic)
    answer = evaluator.run(trials, improves)
    if opportunistic:
        assert answer.status.tolist() == [OK] * 4 + [NOT_RUN] * 3 and fun.rows == 4 and asked == [2, 2]
    else:
        assert answer.status.tolist() == [OK] * 7 and asked == []
        assert np.array_equal(answer.F, (Z**2).sum(axis=1))
    assert answer.counters == evaluator.counters
    charged(evaluator)


def test_the_last_block_is_not_asked_about_and_short_blocks_are_legal() -> None:
    evaluator = Evaluator(plain_problem(SpyFunction()))

    def improves(part: Evaluations) -> bool:
        raise AssertionError("only one block")

    assert evaluator.run(Trials.checked(points(3), block=3), improves).ok.all()
    assert evaluator.run(Trials.checked(points(3), block=64), improves).ok.all()


def test_run_ends_where_the_budget_ends() -> None:
    evaluator = Evaluator(plain_problem(SpyFunction()), budget=3)
    answer = evaluator.run(Trials.checked(points(8), block=2, opportunistic=False), never)
    assert answer.status.tolist() == [OK] * 3 + [NOT_RUN] * 5
    charged(evaluator)


# -------------------------------------------------------------------- the gradient view


def test_gradients_are_those_of_the_minimised_objective() -> None:
    phi = SpyPhi()
    problem = network_problem(phi)
    evaluator = Evaluator(problem)
    Z = points(2)
    evaluator.evaluate(Z)
    view = evaluator.view()
    assert view.n == 3 and view.p == 2 and view.has_gradient
    assert np.allclose(view.grad(Z), -1.0)
    jac = np.stack([2.0 * Z[0], np.array([1.0, 1.0, 0.0])])
    W = np.array([[1.0, 0.0], [0.0, 1.0]])
    assert np.allclose(view.vjp_c(Z[[0, 0]], W), jac, atol=1e-7)
    assert np.allclose(view.grad_mix(Z[[0, 0]], np.array([2.0, 0.0]), W), [jac[0] - 2.0, jac[1]], atol=1e-7)
    assert np.allclose(view.constraint_jacobian(Z[0], np.array([1, 0])), jac[::-1], atol=1e-7)
    # the outputs of evaluated points were kept: no pass
    assert evaluator.counters == Counters(nfev=2, nphi=2, ngev=2 + 2 + 2 + 2)
    assert phi.vjp_rows == evaluator.counters.ngev
    charged(evaluator)


def test_rows_of_zero_weights_are_free() -> None:
    phi = SpyPhi()
    evaluator = Evaluator(network_problem(phi))
    evaluator.evaluate(points(1, seed=9))
    view = evaluator.view()
    G = view.grad_mix(points(3), np.array([0.0, 1.0, 0.0]), np.zeros((3, 2)))
    assert G[0].tolist() == [0.0] * 3 and np.allclose(G[1], -1.0)
    assert evaluator.counters == Counters(nfev=1, nphi=2, passes=1, ngev=1) and phi.vjp_rows == 1
    assert view.vjp_c(points(2), np.zeros((2, 2))).tolist() == [[0.0] * 3] * 2 and phi.rows == 2


def test_fixed_variables_have_no_gradient() -> None:
    evaluator = Evaluator(network_problem(SpyPhi(), n=4, fixed={2: 0.5}))
    z = np.array([[0.1, 0.2, 0.3]])
    evaluator.evaluate(z)
    view = evaluator.view()
    assert view.n == 3
    assert np.allclose(view.vjp_c(z, np.array([[1.0, 0.0]])), 2.0 * z, atol=1e-7)
    assert view.constraint_jacobian(z[0], np.array([0])).shape == (1, 3)


def test_a_pass_turns_into_the_evaluation() -> None:
    phi = SpyPhi()
    evaluator = Evaluator(network_problem(phi))
    Z = points(4)
    view = evaluator.view()
    Y = view.outputs(Z)
    assert evaluator.counters == Counters(nphi=4, passes=4)
    F, C = view.values(Z, Y)
    answer = evaluator.evaluate(Z[1:3])
    assert evaluator.counters == Counters(nfev=2, nphi=4, passes=2)
    assert np.array_equal(answer.F, F[1:3]) and np.array_equal(answer.C, C[1:3])
    new = points(1, seed=9)
    answer = evaluator.evaluate(np.concatenate([new, Z[:1]]))
    assert evaluator.counters == Counters(nfev=4, nphi=5, passes=1)
    assert answer.ok.all() and answer.F[1] == F[0]
    charged(evaluator)


def test_outputs_are_cached_by_exact_point() -> None:
    phi = SpyPhi()
    evaluator = Evaluator(network_problem(phi))
    view = evaluator.view()
    z = points(1)
    first = view.outputs(np.concatenate([z, z, z]))
    assert phi.rows == 1 and np.array_equal(first[0], first[2])
    assert np.array_equal(evaluator.view().outputs(z), first[:1]) and phi.rows == 1
    zero = np.zeros((1, 3))
    view.outputs(zero)
    view.outputs(-zero)
    assert phi.rows == 2
    charged(evaluator)


def test_the_budget_refuses_what_it_cannot_pay_in_full() -> None:
    phi = SpyPhi()
    evaluator = Evaluator(network_problem(phi), budget=10, gradient_cost=3.0)
    view = evaluator.view()
    z = points(1)
    evaluator.evaluate(z)
    assert view.affords(3, 0) and view.affords(2, 3) and not view.affords(3, 1)
    view.grad(z)
    with pytest.raises(BudgetSpent, match="got 6 left"):
        view.outputs(points(7, seed=1))
    with pytest.raises(BudgetSpent):
        view.grad(points(2, seed=2))  # two products and two passes
    assert evaluator.counters == Counters(nfev=1, nphi=1, ngev=1)
    view.outputs(points(6, seed=1))
    assert evaluator.remaining == 0.0
    # passes already paid become evaluations although nothing is left
    answer = evaluator.evaluate(np.concatenate([points(6, seed=1), points(1, seed=3)]))
    assert answer.status.tolist() == [OK] * 6 + [NOT_RUN]
    charged(evaluator)


def test_a_budget_with_a_fractional_gradient_cost_holds() -> None:
    evaluator = Evaluator(network_problem(SpyPhi()), budget=10, gradient_cost=0.7)
    z = points(1)
    evaluator.evaluate(z)
    for _ in range(3):
        evaluator.view().grad(z)
    assert evaluator.evaluate(points(20, seed=4)).ok.sum() == 6
    charged(evaluator)


def test_passes_that_fail_cost_and_are_nan() -> None:
    phi = SpyPhi(marked(1.5)(EvaluationFailed))
    evaluator = Evaluator(network_problem(phi))
    evaluator.evaluate(points(1, seed=3))
    view = evaluator.view()
    Z = points(3)
    Z[1, 0] = 1.5
    Y = view.outputs(Z)
    assert np.isnan(Y[1]).all() and np.isfinite(Y[[0, 2]]).all()
    assert evaluator.counters == Counters(nfev=1, nphi=7, passes=6)
    F, C = view.values(Z, Y)
    assert F[1] == np.inf and np.all(C[1] == np.inf) and np.isfinite(F[[0, 2]]).all()
    charged(evaluator)


def test_outer_functions_may_fail_for_a_row_of_the_view() -> None:
    def objective(y: np.ndarray) -> np.ndarray:
        if (y[:, 2] > 1.0).any():
            raise EvaluationFailed
        return y[:, 0]

    evaluator = Evaluator(Problem(surrogate=SpyPhi(), objective=objective, space=Box([-2] * 3, [2] * 3)))
    view = evaluator.view()
    Z = points(3)
    Z[1, 0] = 1.5
    F, C = view.values(Z, view.outputs(Z))
    assert np.isfinite(F).tolist() == [True, False, True] and C.shape == (3, 0)


def test_gradients_that_are_not_finite_or_fail_are_zero() -> None:
    class Rough(SpyPhi):
        def vjp(self, X: np.ndarray, V: np.ndarray) -> np.ndarray:
            G = super().vjp(X, V)
            if (X[:, 0] == 1.5).any():
                raise FloatingPointError
            G[X[:, 0] == 1.25] = np.nan
            return G

    evaluator = Evaluator(network_problem(Rough()))
    Z = points(2)
    Z[1, 0] = 1.25
    G = evaluator.view().grad(Z)
    assert np.allclose(G[0], -1.0) and G[1].tolist() == [0.0, 0.0, 0.0]
    assert evaluator.view().grad(np.full((1, 3), 1.5)).tolist() == [[0.0, 0.0, 0.0]]


def test_undeclared_exceptions_of_the_view_carry_the_point() -> None:
    phi = SpyPhi(marked(1.5)(lambda: RuntimeError("boom")))
    evaluator = Evaluator(network_problem(phi))
    Z = points(3)
    Z[2, 0] = 1.5
    with pytest.raises(EvaluationError, match="boom") as caught:
        evaluator.view().outputs(Z)
    assert np.array_equal(caught.value.x, Z[2])


def test_without_a_gradient_nothing_is_kept() -> None:
    evaluator = Evaluator(network_problem(BlindPhi()))
    evaluator.evaluate(points(3))
    assert not evaluator.view().has_gradient and len(evaluator.store) == 0
    with pytest.raises(ProblemError, match="no `vjp`"):
        evaluator.view().grad(points(1))


def test_identity_charges_values_instead_of_outputs() -> None:
    fun = SpyFunction()
    evaluator = Evaluator(plain_problem(fun, gradient=True))
    view = evaluator.view()
    Z = points(3)
    Y = view.outputs(Z)
    assert np.array_equal(Y, Z) and evaluator.counters == Counters()
    F, C = view.values(Z, Y)
    assert np.array_equal(F, (Z**2).sum(axis=1)) and C.shape == (3, 0)
    view.values(Z, Y)
    assert fun.rows == 3 and evaluator.counters == Counters(nphi=3, passes=3)
    assert np.array_equal(view.grad(Z), 2.0 * Z)
    answer = evaluator.evaluate(np.concatenate([Z[:2], points(1, seed=8)]))
    assert np.array_equal(answer.F[:2], F[:2])
    assert evaluator.counters == Counters(nfev=3, nphi=4, ngev=3, passes=1)
    assert fun.gradient_rows == 3
    view.values(Z[:1], Y[:1] + 0.5)  # y moved away from x: paid, not kept
    assert evaluator.counters.passes == 2
    charged(evaluator)


def test_a_point_twice_in_a_block_is_paid_twice() -> None:
    phi = SpyPhi()
    evaluator = Evaluator(network_problem(phi), budget=3)
    z = points(1)
    evaluator.view().outputs(z)
    assert evaluator.evaluate(z[[0, 0, 0, 0]]).status.tolist() == [OK, OK, OK, NOT_RUN]
    assert phi.rows == 1 and evaluator.remaining == 0.0


def test_old_rows_leave_the_store_and_stay_paid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dfoattack.evaluator._KEPT_BYTES", 4 * 24)  # four rows of three outputs
    phi = SpyPhi()
    evaluator = Evaluator(network_problem(phi))
    view = evaluator.view()
    Z = points(6)
    Y = view.outputs(Z)
    assert np.isfinite(Y).all() and len(evaluator.store) == 4
    evaluator.evaluate(Z)
    assert evaluator.counters == Counters(nfev=6, nphi=8, passes=2)
    charged(evaluator)


# -------------------------------------------------------------------- everything at once


@settings(max_examples=40, deadline=None)
@given(
    budget=st.one_of(st.none(), st.integers(1, 40).map(float), st.floats(1.0, 40.0)),
    cost=st.sampled_from([0.3, 1.0, 2.0, 2.7]),
    seed=st.integers(0, 2**31),
    identity=st.booleans(),
    rate=st.sampled_from([0.0, 0.2, 0.7]),
)
def test_the_accounts_balance_whatever_happens(
    budget: float | None, cost: float, seed: int, identity: bool, rate: float
) -> None:
    rng = np.random.default_rng(seed)

    def bad(x: np.ndarray) -> Any:
        h = zlib.crc32(x.tobytes()) % 1000 / 1000.0
        return None if h >= rate else (EvaluationFailed() if h < rate / 2 else np.nan)

    problem = plain_problem(SpyFunction(bad), gradient=True) if identity else network_problem(SpyPhi(bad))
    evaluator = Evaluator(problem, budget=budget, gradient_cost=cost)
    pool = points(12, seed=seed % 1000)
    for _ in range(12):
        Z = pool[rng.integers(0, 12, rng.integers(1, 6))]
        Z = np.unique(Z, axis=0)
        view = evaluator.view()
        try:
            what = rng.integers(0, 4)
            if what == 0:
                fresh = rng.uniform(-1, 1, Z.shape)
                evaluator.evaluate(fresh)
            elif what == 1:
                view.values(Z, view.outputs(Z))
            elif what == 2:
                view.grad(Z)
            else:
                passes = rng.uniform(-1, 1, Z.shape)
                view.values(passes, view.outputs(passes))
                evaluator.run(Trials.checked(passes, block=2), never)
        except BudgetSpent:
            pass
        charged(evaluator)


def test_a_mixed_session_is_deterministic() -> None:
    left = mixed_session(Evaluator(network_problem(SpyPhi()), budget=80))
    right = mixed_session(Evaluator(network_problem(SpyPhi()), budget=80))
    assert same(left, right)


# -------------------------------------------------------------------- trials


def test_trials_from_outside_are_checked() -> None:
    trials = Trials.checked([[0, 1], [2, 3]], on_mesh=True)
    assert trials.X.dtype == np.float64 and trials.on_mesh.tolist() == [True, True]
    assert trials.centre.tolist() == [0.0, 1.0] and len(trials) == 2
    cases: list[tuple[dict[str, Any], str]] = [
        ({"X": [1, 2]}, r"`X` must have shape \(k, n\), got \(2,\)"),
        ({"X": [[1.0, np.nan]]}, "`X` must be finite, got .* in row 0"),
        ({"X": [[1.0]], "on_mesh": [True, False]}, r"`on_mesh` must have shape \(k,\) with k = 1"),
        ({"X": [[1.0]], "centre": [1.0, 2.0]}, r"`centre` must have shape \(n,\) with n = 1"),
        ({"X": [[1.0]], "block": 0}, "`block` must be at least 1, got 0"),
    ]
    for arguments, message in cases:
        with pytest.raises(ValueError, match=message):
            Trials.checked(**arguments)


def test_evaluations_can_be_cut() -> None:
    answer = Evaluator(plain_problem(SpyFunction())).evaluate(points(4))
    part = answer.take(answer.F > answer.F.min())
    assert len(part) == 3 and part.counters == answer.counters
    assert Counters(1, 2, 3, 4) + Counters(1, 1, 1, 1) - Counters(2, 3, 4, 5) == Counters()
    assert Counters(1, 2, 3, 4).cost(2.0) == 11.0


def test_constraint_jacobian_costs_no_more_than_outputs() -> None:
    phi = SpyPhi()
    many = [Constraint(lambda y, j=j: y[:, 1] * (j + 1.0) - 1.0) for j in range(5)]
    problem = Problem(surrogate=phi, objective=lambda y: y[:, 0], constraints=many, space=Box([-2] * 3, [2] * 3))
    evaluator = Evaluator(problem, budget=8)
    z = points(1)
    evaluator.evaluate(z)
    view = evaluator.view()
    J = view.constraint_jacobian(z[0], np.arange(5))
    assert np.allclose(J, np.outer(np.arange(1, 6), 2.0 * z[0]), atol=1e-6)
    assert evaluator.counters.ngev == phi.vjp_rows == 3
    assert view.constraint_jacobian(z[0], np.empty(0, np.int64)).shape == (0, 3)
    with pytest.raises(BudgetSpent):
        view.constraint_jacobian(z[0], np.arange(5))
