"""Lockstep multistart: what it asks, finds, costs, remembers, and that neither blocks nor interruptions matter to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.errors import OptionError
from dfoattack.restarts import END
from dfoattack.solver import Solver
from dfoattack.steps.lockstep import SAME, SHARE
from dfoattack.surrogate import CallableSurrogate
from tests.integration.cases import Network, assert_best_is_best, digest, drive, network_problem
from tests.unit.searching import check_points, check_replay

N = 4


class Waves:
    """Rastrigin's function as a network with one output, its calls and rows noted; at most `most` rows at a time."""

    def __init__(self, most: int | None = None) -> None:
        self.most = most
        self.blocks: list[int] = []
        self.vjps: list[int] = []

    def predict(self, X: np.ndarray) -> np.ndarray:
        self.blocks.append(len(X))
        if self.most is None:
            return self._value(X)
        return np.concatenate([self._value(X[i : i + self.most]) for i in range(0, len(X), self.most)])

    def vjp(self, X: np.ndarray, V: np.ndarray) -> np.ndarray:
        self.vjps.append(len(X))
        return V * (2.0 * X + 20.0 * np.pi * np.sin(2.0 * np.pi * X))

    def fingerprint(self) -> str:
        return "waves"

    @staticmethod
    def _value(X: np.ndarray) -> np.ndarray:
        # summed by a product, so that the last digits depend on the size of the block
        terms = X**2 - 10.0 * np.cos(2.0 * np.pi * X)
        return 10.0 * N + terms @ np.ones((N, 1))


def first(y: np.ndarray) -> np.ndarray:
    return y[:, 0]


def waves(phi: Any = None, **more: Any) -> da.Problem:
    settings: dict[str, Any] = {"space": [(-3.3, 4.1)] * N, "sense": "minimize", "surrogate": phi or Waves()}
    return da.Problem(**{"objective": first, **settings, **more})


def steps_of(result: da.Result) -> list[str]:
    return list(dict.fromkeys(result.records.step))


class TestWhatIsAsked:
    def test_x0_comes_first_then_the_design_in_one_call(self) -> None:
        phi = Waves()
        solver = Solver(waves(phi, x0=[1.0, 2.0, 3.0, -1.0]), {"starts": 50}, budget=1000)
        trials = solver.ask()
        assert trials.X[0].tolist() == [1.0, 2.0, 3.0, -1.0]
        assert len(trials) == 50
        solver.tell(solver.evaluate())
        assert phi.blocks == [50]
        assert np.ptp(trials.X, axis=0).min() > 0.9 * 7.4  # spread over the box

    def test_all_starts_share_a_pass_and_a_product(self) -> None:
        phi = Waves()
        solver = Solver(waves(phi), {"starts": 64}, budget=10**6)
        solver.ask()
        solver.tell(solver.evaluate())
        trials = solver.ask()
        assert trials.step == "lockstep"
        assert phi.blocks[1] == phi.vjps[0] == 64
        assert sum(phi.blocks[1:]) > 5 * len(phi.blocks[1:])  # many rows a call, down to the last starts
        assert len(trials) == 64

    def test_its_ends_are_paid_once(self) -> None:
        phi = Waves()
        solver = Solver(waves(phi), {"starts": 64}, budget=10**6)
        solver.ask()
        solver.tell(solver.evaluate())
        solver.ask()
        before = len(phi.blocks)
        solver.tell(solver.evaluate())
        assert len(phi.blocks) == before  # the evaluator knows them
        counters = solver.evaluator.counters
        assert counters.nphi == sum(phi.blocks) and counters.ngev == sum(phi.vjps)
        assert counters.nphi == counters.nfev + counters.passes

    def test_without_gradients_the_starts_are_a_design(self) -> None:
        result = da.solve(waves(CallableSurrogate(Waves._value)), budget=100, starts=30)
        assert "lockstep" not in steps_of(result)
        assert result.records.step[29] == "start" and result.records.step[30] != "start"
        for options in ({"attacks": ()}, {"gradient_source": "spsa"}):
            assert "lockstep" not in steps_of(da.solve(waves(), budget=100, starts=30, options=options))


class TestWhatIsFound:
    def test_many_starts_find_what_one_does_not(self) -> None:
        one = da.solve(waves(), budget=2000, options={"restarts": False})
        many = da.solve(waves(), budget=2000, starts=128, options={"restarts": False})
        assert many.fun < 0.6 * one.fun
        assert_best_is_best(many, "minimize")

    def test_every_start_arrives_at_a_stationary_point(self) -> None:
        solver = Solver(waves(), {"starts": 40}, budget=10**6)
        while solver.state.lockstep is None or solver.state.lockstep.rows.size:
            solver.ask()
            solver.tell(solver.evaluate())
        ends = solver.state.history.X[solver.state.lockstep.ends]
        gradient = 2.0 * ends + 20.0 * np.pi * np.sin(2.0 * np.pi * ends)
        inside = (ends > -3.3) & (ends < 4.1)
        assert np.abs(gradient[inside]).max() < 1e-3
        assert len(ends) > 10
        values = solver.state.history.f[solver.state.lockstep.ends]
        assert (np.diff(values) >= 0.0).all()

    def test_the_ends_are_distinct_and_wait_for_restarts(self) -> None:
        options = {
            "starts": 40,
            "searches": ("model", "cma", "subspace"),
        }  # runs end sooner without descents from elsewhere
        solver = Solver(waves(), options, budget=3000, seed=1)
        result = drive(solver)
        lockstep = solver.state.lockstep
        assert lockstep is not None
        ends = solver.state.history.X[lockstep.ends]
        gaps = np.abs(ends[:, None] - ends[None]).max(axis=2) / (0.1 * 7.4)
        assert (gaps + np.eye(len(ends)) > SAME).all()
        from_ends = [run for run in solver.state.runs if run.kind == END]
        assert from_ends
        for place, run in enumerate(from_ends, 1):
            beside = np.abs(solver.state.history.X[run.start] - ends[place]).max()
            assert 0.0 < beside <= 0.05 * 7.4
        assert result.local_runs > 1
        check_points(solver)

    @pytest.mark.parametrize("seed", range(3))
    def test_active_constraints_are_followed(self, seed: int) -> None:
        """Against the best of a fine grid of feasible points."""
        result = da.solve(network_problem(), budget=3000, starts=32, seed=seed)
        axis = np.linspace(-2.0, 2.0, 41)
        X = np.stack(np.meshgrid(axis, axis, axis), axis=-1).reshape(-1, 3)
        Y = Network().predict(X)
        ok = (Y[:, 1] <= 0.5) & ((X**2).sum(axis=1) <= 2.0)
        assert result.feasible
        assert result.fun >= (Y[ok, 0] - 0.2 * Y[ok, 1] ** 2).max() - 1e-9
        at_end = [i for i, step in enumerate(result.records.step) if step == "lockstep"]
        found = result.records.fun[at_end][result.records.maxcv[at_end] <= 0.0]
        assert found.max() >= result.fun - 1e-3

    def test_equalities_and_linear_constraints(self) -> None:
        ring = da.Constraint(lambda x, y: (x**2).sum(axis=1) - 4.0, equality=True, tol=1e-6, name="ring")
        problem = waves(constraints=[ring], linear=da.Linear([[1.0, 1.0, 0.0, 0.0]], upper=[1.0]))
        solver = Solver(problem, {"starts": 24}, budget=20000, seed=0)
        for _ in range(8):
            solver.ask()
            solver.tell(solver.evaluate())
        result = solver.result()
        assert result.feasible and "lockstep" in steps_of(result)
        assert (solver.state.history.X[:, :2].sum(axis=1) <= 1.0 + 1e-9).all()

    def test_integers_stay_what_they_are_at_each_start(self) -> None:
        problem = waves(space=_integer_box())
        solver = Solver(problem, {"starts": 16}, budget=5000, seed=0)
        solver.ask()
        solver.tell(solver.evaluate())
        kinds = {tuple(x) for x in solver.state.history.X[:, [0, 2]]}
        trials = solver.ask()
        assert trials.step == "lockstep" and {tuple(x) for x in trials.X[:, [0, 2]]} <= kinds
        solver.tell(solver.evaluate())
        check_points(solver)


def _integer_box() -> da.Box:
    return da.Box([-3, -3.3, -3, -3.3], [4, 4.1, 4, 4.1], integer=[0, 2])


class TestBudget:
    @pytest.mark.parametrize("budget", [1, 7, 20, 21, 33, 47, 100, 333, 1000])
    @pytest.mark.parametrize("problem", [waves, network_problem])
    def test_it_is_never_exceeded_and_used(self, budget: int, problem: Any) -> None:
        result = da.solve(problem(), budget=budget, starts=20, seed=2)
        assert result.cost <= budget
        assert result.cost == result.nphi + 2.0 * result.ngev
        if result.reason.name == "BUDGET":
            assert result.cost > budget - 1.0 - 1e-9

    def test_the_descents_leave_a_share_to_the_run(self) -> None:
        costs = {}

        def note(event: da.Event) -> None:
            costs[event.step] = event.cost

        da.solve(waves(), budget=2000, starts=100, callback=note)
        assert costs["lockstep"] <= 100 + SHARE * 1900 + 1.0

    def test_a_gradient_price_that_is_not_whole(self) -> None:
        result = da.solve(waves(), budget=500, starts=30, options={"gradient_cost": 0.7})
        assert result.cost <= 500
        assert result.cost == pytest.approx(result.nphi + 0.7 * result.ngev)


class TestIndependence:
    @pytest.mark.parametrize("most", [1, 7, 64])
    def test_results_do_not_depend_on_the_size_of_blocks(self, most: int) -> None:
        """The last digits of the outputs do; what is found agrees up to rounding."""
        whole = Solver(waves(Waves()), {"starts": 64}, budget=10**5, seed=4)
        parts = Solver(waves(Waves(most)), {"starts": 64}, budget=10**5, seed=4)
        for solver in (whole, parts):
            while solver.state.lockstep is None or solver.state.lockstep.rows.size:
                solver.ask()
                solver.tell(solver.evaluate())
        a, b = whole.state.history, parts.state.history
        assert a.size == b.size
        assert np.allclose(a.X, b.X, atol=1e-6)
        assert np.allclose(a.f, b.f, rtol=1e-9)

    def test_the_order_of_the_starts_does_not_matter(self) -> None:
        X = np.random.default_rng(0).uniform(-3.0, 4.0, (12, N))
        forth = da.solve(waves(x0=X), budget=1500, starts=12, options={"restarts": False})
        back = da.solve(waves(x0=X[::-1]), budget=1500, starts=12, options={"restarts": False})
        assert forth.fun == pytest.approx(back.fun, rel=1e-9, abs=1e-9)


class TestInterruptions:
    @pytest.mark.parametrize("make", [waves, network_problem])
    def test_saving_and_loading_at_every_call_changes_nothing(self, make: Any) -> None:
        check_replay(lambda: Solver(make(), {"starts": 12}, budget=400, seed=3), every=2)

    def test_a_new_solver_goes_on_from_its_bytes(self) -> None:
        plain = drive(Solver(network_problem(), {"starts": 12}, budget=400, seed=3))
        solver = Solver(network_problem(), {"starts": 12}, budget=400, seed=3)
        while len(solver.ask()):
            data = solver.to_bytes()
            solver = Solver(network_problem(), {"starts": 12}, budget=400, seed=3)
            solver.restore(data)
            solver.tell(solver.evaluate())
        assert digest(plain) == digest(solver.result())

    @pytest.mark.parametrize("calls", [1, 2, 3, 5, 8, 13])
    def test_a_run_that_dies_inside_the_descents_is_resumed(self, tmp_path: Any, calls: int) -> None:
        """User code breaks down at one call; the stored answers of all calls before it are not asked again."""

        class Mortal(Network):
            left = calls

            def predict(self, X: np.ndarray) -> np.ndarray:
                self.left -= 1
                if self.left == 0:
                    raise KeyboardInterrupt
                return super().predict(X)

        plain = da.solve(network_problem(), budget=400, starts=12, seed=3)
        store = tmp_path / "run.db"
        cut = da.solve(network_problem(surrogate=Mortal()), budget=400, starts=12, seed=3, store=store)
        assert cut.reason.name == "INTERRUPTED"
        seen = Mortal()
        seen.left = 10**9
        again = da.resume(store, network_problem(surrogate=seen))
        assert digest(plain) == digest(again)
        uncut = Mortal()
        uncut.left = 10**9
        da.solve(network_problem(surrogate=uncut), budget=400, starts=12, seed=3)
        assert seen.left - uncut.left >= calls - 2  # so many calls were spared


class TestOptions:
    @pytest.mark.parametrize("starts", [0, -3, 2.5, True])
    def test_a_number_of_starts_that_is_none(self, starts: Any) -> None:
        with pytest.raises(OptionError, match="`starts` must be an integer >= 1"):
            da.solve(waves(), budget=10, starts=starts)

    def test_n_init_says_the_same(self) -> None:
        with pytest.raises(OptionError, match="`n_init` must be None beside `starts` = 5, got 3"):
            da.solve(waves(), budget=10, starts=5, options={"n_init": 3})

    def test_several_objectives_have_none(self) -> None:
        problem = da.MultiProblem(objective=lambda x: x[:, :2], space=[(0, 1)] * 2, sense=("minimize", "minimize"))
        with pytest.raises(OptionError, match="`starts` must be None with several objectives, got 4"):
            da.solve_multi(problem, budget=50, options={"starts": 4})

    def test_more_starts_given_than_asked_for(self) -> None:
        X = np.random.default_rng(0).uniform(-3.0, 4.0, (6, N))
        solver = Solver(waves(x0=X), {"starts": 4}, budget=100)
        assert np.array_equal(solver.ask().X, X)
