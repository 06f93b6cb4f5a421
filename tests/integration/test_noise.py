"""Runs with noisy values: repetitions are counted, replayed and saved like any evaluation, and lucky values do not last.

Noise here is a function of the point and of how often it was asked, so that runs can be repeated.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.progress import Event
from dfoattack.run_record import RunRecord
from dfoattack.solver import Solver
from tests.integration.cases import Network, assert_same_run, digest, drive, network_ball, network_value, sphere

AUTO: dict[str, Any] = {"noise": "auto"}


class Noise:
    """`exact` plus sigma times a number drawn for the point and the count of its calls."""

    def __init__(self, exact: Callable[[np.ndarray], np.ndarray], sigma: float) -> None:
        self.exact, self.sigma = exact, sigma
        self.seen: dict[bytes, int] = {}
        self.calls = 0

    def draw(self, y: np.ndarray) -> float:
        key = np.ascontiguousarray(y).tobytes()
        count = self.seen[key] = self.seen.get(key, 0) + 1
        seed = int.from_bytes(hashlib.blake2b(key + bytes([count]), digest_size=8).digest(), "big")
        return float(np.random.default_rng(seed).standard_normal())

    def __call__(self, y: np.ndarray) -> np.ndarray:
        self.calls += y.shape[0]
        return self.exact(y) + self.sigma * np.array([self.draw(row) for row in y])


def noisy_problem(sigma: float = 0.1, n: int = 3, **more: Any) -> da.Problem:
    settings: dict[str, Any] = dict(
        objective=Noise(sphere, sigma), space=da.Box([-3.0] * n, [3.0] * n), x0=[2.1] * n, sense="minimize"
    )
    return da.Problem(**{**settings, **more})


def constrained_problem() -> da.Problem:
    """A noisy objective and a noisy constraint, active at the solution (-1, -1)."""
    wall = Noise(lambda y: -2.0 - y.sum(axis=1), 0.02)
    return noisy_problem(
        0.02,
        2,
        objective=Noise(lambda y: y.sum(axis=1), 0.02),
        constraints=[da.Constraint(lambda x, y: wall(y), name="wall")],
        x0=[1.0, 1.0],
    )


def phase_one_problem() -> da.Problem:
    wall = Noise(lambda y: 1.0 - y.sum(axis=1), 0.02)
    return noisy_problem(
        0.05, 2, constraints=[da.Constraint(lambda x, y: wall(y), name="wall", kind="extreme")], x0=[-1.0, -1.0]
    )


def lattice_problem() -> da.Problem:
    return noisy_problem(0.3, 2, space=da.Box([-3, -3], [3, 3], integer=[0, 1]), x0=[3, 3])


def failing_problem() -> da.Problem:
    noise = Noise(sphere, 0.1)

    def value(y: np.ndarray) -> np.ndarray:
        return np.where(np.sin(31.0 * noise(y)) > 0.8, np.nan, noise(y))  # the same point may fail and may not

    return noisy_problem(objective=value)


PROBLEMS = [noisy_problem, constrained_problem, phase_one_problem, lattice_problem, failing_problem]


def repeated(result: da.Result) -> int:
    return len(result.records) - len({x.tobytes() for x in result.records.x})


# ------------------------------------------------------------------------------------------------------------- off, counts


def test_without_the_option_no_point_is_evaluated_twice() -> None:
    solver = Solver(noisy_problem(), budget=300, seed=1)
    result = drive(solver)
    assert solver.state.noise is None and repeated(result) == 0
    assert "replicate" not in result.records.step and "regression" not in solver.schedule.names
    assert math.isnan(result.fun_std) and result.replicates == 1 and math.isnan(result.noise_std)


@pytest.mark.parametrize("make", PROBLEMS)
@pytest.mark.parametrize("budget", [1, 2, 5, 23, 150])
def test_budgets_are_exact_and_repetitions_count(make: Callable[[], da.Problem], budget: int) -> None:
    result = da.solve(make(), budget=budget, seed=2, options=AUTO)
    assert result.nfev == len(result.records) == result.cost <= budget
    if budget >= 23:
        assert repeated(result) > 0
        assert result.nfev == budget or result.reason is da.StopReason.LATTICE


def test_a_network_is_asked_again_and_passes_are_counted_once() -> None:
    class Counting(Network):
        rows = 0

        def predict(self, X: np.ndarray) -> np.ndarray:
            self.rows += X.shape[0]
            return super().predict(X) + 1e-3 * np.random.default_rng(self.rows).standard_normal((X.shape[0], 2))

    phi = Counting()
    problem = da.Problem(
        surrogate=phi,
        objective=network_value,
        constraints=[da.Constraint(network_ball, name="ball")],
        space=da.Box([-2.0] * 3, [2.0] * 3),
        x0=[0.25, -0.5, 1.0],
        sense="maximize",
    )
    solver = Solver(problem, AUTO, budget=120, seed=0)
    result = drive(solver)
    passes = solver.evaluator.counters.passes
    assert phi.rows == result.nphi == result.nfev + passes
    assert result.cost <= 120 and repeated(result) > 0 and result.ngev > 0
    again = [i for i, step in enumerate(result.records.step) if step == "replicate"]
    values = {result.records.fun[i] for i in again}
    assert len(values) == len(again), "every repetition was a fresh evaluation"


# ------------------------------------------------------------------------------------------------------------- replay


@pytest.mark.parametrize("make", PROBLEMS)
def test_saving_and_loading_at_every_ask_changes_nothing(make: Callable[[], da.Problem]) -> None:
    plain = drive(Solver(make(), AUTO, budget=110, seed=3))
    problem = make()
    solver = Solver(problem, AUTO, budget=110, seed=3)
    while len(trials := solver.ask()):
        data = solver.to_bytes()
        solver = Solver(problem, AUTO, budget=110, seed=3)
        solver.restore(data)
        assert solver.to_bytes() == data
        pending = solver.pending
        assert pending is not None and pending.X.tobytes() == trials.X.tobytes()
        solver.tell(solver.evaluate())
    assert digest(solver.result()) == digest(plain)


@pytest.mark.parametrize("stop_at", [1, 6, 40, 77])
def test_an_interrupted_run_file_ends_like_an_uninterrupted_run(tmp_path: Path, stop_at: int) -> None:
    plain = da.solve(noisy_problem(), budget=120, seed=5, options=AUTO)
    problem = noisy_problem()

    def stop(event: Event) -> bool:
        return event.nfev >= stop_at

    da.solve(problem, budget=120, seed=5, options=AUTO, store=tmp_path / "run.db", callback=stop)
    result = da.resume(tmp_path / "run.db", problem)
    assert_same_run(plain, result)
    assert (result.fun, result.fun_std, result.replicates) == (plain.fun, plain.fun_std, plain.replicates)
    record = RunRecord.read(tmp_path / "run.db")
    assert len(record.f) == 120 and record.step.count("replicate") == result.records.step.count("replicate") > 0


def test_the_same_seed_gives_the_same_run_and_another_one_does_not() -> None:
    runs = [da.solve(noisy_problem(), budget=150, seed=seed, options=AUTO) for seed in (4, 4, 5)]
    assert digest(runs[0]) == digest(runs[1]) != digest(runs[2])


# ------------------------------------------------------------------------------------------------------------- what is found


def test_the_answer_is_the_mean_of_its_evaluations_and_the_noise_is_found() -> None:
    result = da.solve(noisy_problem(0.1), budget=300, seed=0, options=AUTO)
    at = (result.records.x == result.x).all(axis=1)
    assert result.replicates == at.sum() > 3
    assert result.fun == pytest.approx(result.records.fun[at].mean())
    assert result.noise_std == pytest.approx(0.1, rel=0.5)
    assert result.fun_std == pytest.approx(result.noise_std / math.sqrt(result.replicates))
    assert abs(result.fun - float(sphere(result.x[None, :])[0])) < 4.0 * result.fun_std
    assert f"+- {result.fun_std:.2g}, {result.replicates} evaluations" in str(result)
    assert result.certificate.margin == pytest.approx(2.0 * math.hypot(result.noise_std, result.fun_std))


def test_maximisation_mirrors_minimisation() -> None:
    down = da.solve(noisy_problem(), budget=150, seed=1, options=AUTO)
    noise = Noise(sphere, 0.1)
    up = da.solve(noisy_problem(objective=lambda y: -noise(y), sense="maximize"), budget=150, seed=1, options=AUTO)
    assert up.fun == -down.fun and up.fun_std == down.fun_std
    assert up.records.x.tobytes() == down.records.x.tobytes()


@pytest.mark.parametrize("call", [2, 30, 90])
def test_a_lucky_outlier_does_not_stay_the_incumbent(call: int) -> None:
    noise = Noise(sphere, 0.02)

    def value(y: np.ndarray) -> np.ndarray:
        before = noise.calls
        f = noise(y)
        f[np.arange(before, noise.calls) == call] = -1000.0
        return f

    result = da.solve(noisy_problem(objective=value), budget=300, seed=1, options=AUTO)
    assert result.records.fun.min() == -1000.0
    assert result.fun > -0.2
    assert sphere(result.x[None, :])[0] < 0.05
    plain = da.solve(noisy_problem(objective=Noise(sphere, 0.02)), budget=300, seed=1, options=AUTO)
    assert sphere(plain.x[None, :])[0] < 0.05


def test_noise_on_is_closer_to_the_truth_than_off() -> None:
    def truth(options: dict[str, Any], seed: int) -> float:
        noise = Noise(lambda y: sphere(y) + seed, 0.5)
        x = da.solve(noisy_problem(objective=noise), budget=300, seed=seed, options=options).x
        return float(sphere(x[None, :])[0])

    on = [truth(AUTO, seed) for seed in range(4)]
    off = [truth({}, seed) for seed in range(4)]
    assert np.median(on) < 0.3 * np.median(off)


def test_an_uncertain_success_is_evaluated_again_before_anything_else() -> None:
    """With the standard deviation given, a trial that is better by less than the band leads to repetitions of it and the incumbent."""
    solver = Solver(noisy_problem(n=2), {"noise": 1.0, "searches": (), "attacks": ()}, budget=100, seed=0)
    first = solver.ask()
    solver.tell([5.0] * len(first))
    trials = solver.ask()
    assert solver.step_name == "poll"
    solver.tell([4.0] + [9.0] * (len(trials) - 1))  # better by one standard deviation, certain from 2.83 on
    again = solver.ask()
    assert solver.step_name == "replicate"
    assert {x.tobytes() for x in again.X} == {first.X[0].tobytes(), trials.X[0].tobytes()}
    assert solver.state.success == 0
    values = {first.X[0].tobytes(): 9.0, trials.X[0].tobytes(): -1.0}
    solver.tell([values[x.tobytes()] for x in again.X])
    assert solver.state.success == 2, "(5 + 9) / 2 against (4 - 1) / 2 is certain"
    best = solver.state.history.X[solver.state.barrier.feas]
    assert best.tobytes() == trials.X[0].tobytes()
    assert solver.ask().X[0].tobytes() not in values


def test_an_uncertain_trial_that_stays_uncertain_is_no_success() -> None:
    solver = Solver(noisy_problem(n=2), {"noise": 1.0, "searches": (), "attacks": ()}, budget=100, seed=0)
    solver.tell([5.0] * len(solver.ask()))
    solver.tell([4.0] + [9.0] * (len(solver.ask()) - 1))
    rounds = 0
    while len(solver.ask()) and solver.step_name == "replicate":
        rounds += 1
        trial = solver.state.noise.trial if solver.state.noise is not None else -1
        at = solver.state.history.X[trial].tobytes()
        pending = solver.pending
        assert pending is not None
        solver.tell([4.0 if x.tobytes() == at else 5.0 for x in pending.X])
        assert solver.state.success == 0
    assert 1 <= rounds <= 5


def test_a_plateau_of_noise_ends() -> None:
    result = da.solve(
        noisy_problem(objective=Noise(lambda y: np.zeros(len(y)), 1.0), n=2),
        seed=0,
        options={**AUTO, "covering_quota": 30, "frame_size_min": 1e-3},
    )
    assert result.reason is da.StopReason.FRAME
    assert result.nfev < 1500
    assert result.records.step.count("replicate") <= 0.3 * result.nfev + 20
    assert result.certificate.margin > 0.0


def test_values_without_noise_cost_few_repetitions() -> None:
    result = da.solve(noisy_problem(0.0), budget=200, seed=0, options=AUTO)
    assert result.noise_std == 0.0 == result.fun_std
    assert 3 <= result.records.step.count("replicate") <= 10
    assert result.fun < 1e-8


def test_feasible_means_feasible_with_a_margin() -> None:
    true = []
    for seed in range(4):
        result = da.solve(constrained_problem(), budget=250, seed=seed, options=AUTO)
        assert result.feasible and result.maxcv == 0.0
        true.append(-2.0 - float(result.x.sum()))
    assert np.median(true) <= 0.02 and max(true) < 0.06
    assert min(true) > -0.5
