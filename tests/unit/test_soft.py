"""Stand-ins: attacks aim at the soft f and c, points are judged by the true ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.errors import OptionError, ProblemError

N = 6
CENTRES = np.linspace(-0.8, 0.8, N)


def soft(y: np.ndarray) -> np.ndarray:
    return -((y - CENTRES) ** 2).sum(axis=1)


def steps(y: np.ndarray) -> np.ndarray:
    """Which of ten shells round the optimum the point is in: piecewise constant, 0 gradient everywhere."""
    return np.floor(4.0 * soft(y))


class Affine:
    """A network without kinks: y = M x."""

    M = np.eye(N) + 0.1 * np.ones((N, N))

    def predict(self, X: np.ndarray) -> np.ndarray:
        return X @ self.M.T

    def vjp(self, X: np.ndarray, V: np.ndarray) -> np.ndarray:
        return V @ self.M


def problem(**more: Any) -> da.Problem:
    settings: dict[str, Any] = {"surrogate": Affine(), "objective": steps, "f_soft": soft, "x0": np.full(N, 3.0)}
    return da.Problem(space=da.Box([-4] * N, [4] * N), **{**settings, **more})


def test_the_soft_objective_aims_and_the_true_one_judges() -> None:
    with_it = da.solve(problem(), budget=60)
    without = da.solve(problem(f_soft=None), budget=60)
    assert with_it.fun >= -1.0 > without.fun
    np.testing.assert_array_equal(with_it.records.fun, steps(with_it.records.x @ Affine.M.T))
    assert with_it.softened == ("objective",) and "stand-ins for objective" in str(with_it)
    assert without.softened == () and "stand-in" not in str(without)


def test_many_starts_follow_the_stand_in_together() -> None:
    result = da.solve(problem(), budget=400, starts=8)
    assert "lockstep" in result.records.step and result.fun >= -1.0
    lockstep = np.array(result.records.step) == "lockstep"
    assert result.records.fun[lockstep].max() >= -1.0


def test_a_soft_constraint_leads_into_the_feasible_set() -> None:
    """Feasible only inside a small ball, and the constraint says no more than yes or no."""

    def inside(y: np.ndarray) -> np.ndarray:
        return np.where(soft(y) > -0.2, -1.0, 1.0)

    def margin(y: np.ndarray) -> np.ndarray:
        return -soft(y) - 0.2

    def run(stand_in: Any) -> da.Result:
        ball = da.Constraint(inside, name="ball", soft=stand_in)
        return da.solve(
            problem(objective=lambda y: y[:, 0], f_soft=None, constraints=ball), budget=80, options={"attacks": ("al",)}
        )

    aimed, blind = run(margin), run(None)
    assert aimed.feasible and aimed.softened == ("ball",) and not blind.feasible
    assert set(np.unique(aimed.records.constraints)) == {-1.0, 1.0}


def test_every_point_that_was_looked_at_is_judged_by_the_truth() -> None:
    """The stand-in asks for more than the truth, and its descent passes by better points than the one it ends at."""

    def cautious(y: np.ndarray) -> np.ndarray:
        return -soft(y) - 0.05

    def inside(y: np.ndarray) -> np.ndarray:
        return np.where(soft(y) > -0.5, -1.0, 1.0)

    ball = da.Constraint(inside, name="ball", soft=cautious)
    options = {"attacks": ("al",), "searches": ()}
    result = da.solve(
        problem(objective=lambda y: y[:, 0], f_soft=None, constraints=ball, sense="maximize"),
        budget=150,
        options=options,
    )
    assert result.nphi == result.nfev, "no pass was spent on a point that was not evaluated"
    Y = result.records.x @ Affine.M.T
    assert result.feasible and result.fun > Y[cautious(Y) <= 0.0][:, 0].max()


def test_gradients_are_those_of_the_stand_in() -> None:
    p = problem(objective_grad=lambda y: -2.0 * (y - CENTRES))
    X = np.random.default_rng(0).uniform(-1, 1, (3, N))
    Y = p.forward(X)
    np.testing.assert_allclose(p.vjp(X, Y, np.ones(3)), -2.0 * (Y - CENTRES) @ Affine.M)
    np.testing.assert_array_equal(p.outer(X, Y)[0], steps(Y))
    np.testing.assert_array_equal(p.attacked(X, Y)[0], soft(Y))


@pytest.mark.parametrize("identity", [True, False])
@pytest.mark.parametrize("budget", [10, 60])
def test_calls_are_counted_and_the_budget_holds(identity: bool, budget: int) -> None:
    rows = {"true": 0, "soft": 0}

    def counted(name: str, fn: Any) -> Any:
        def call(y: np.ndarray) -> np.ndarray:
            rows[name] += len(y)
            return np.asarray(fn(y))

        return call

    more: dict[str, Any] = {"objective": counted("true", steps), "f_soft": counted("soft", soft)}
    if identity:
        more |= {"surrogate": None, "objective_grad": lambda y: -2.0 * (y - CENTRES)}
    result = da.solve(problem(**more), budget=budget)
    assert result.cost <= budget and rows["true"] == result.nfev
    if identity:  # the functions are what is paid for
        assert rows["soft"] == result.nphi - result.nfev
    assert "attack" in result.records.step


def test_a_black_box_with_a_stand_in_pays_for_its_gradients() -> None:
    def phi(X: np.ndarray) -> np.ndarray:
        return np.asarray(X @ Affine.M.T)

    result = da.solve(problem(surrogate=phi), budget=150)
    assert result.gradient_source == "forward" and result.fun >= -1.0
    with pytest.raises(OptionError, match=r"'poll'.*objective"):
        da.solve(problem(surrogate=phi), budget=150, options={"gradient_source": "poll"})


def test_a_stopped_run_goes_on_with_the_same_stand_in_only(tmp_path: Any) -> None:
    whole, store = da.solve(problem(), budget=60), tmp_path / "run.db"
    da.solve(problem(), budget=60, store=store, callback=lambda event: event.nfev > 20)
    assert da.resume(store, problem()).records.x.tobytes() == whole.records.x.tobytes()
    with pytest.raises(da.StoreError, match="soft"):
        da.resume(store, problem(f_soft=lambda y: y[:, 0]))


def test_wrong_stand_ins_are_named() -> None:
    with pytest.raises(ProblemError, match="`f_soft` must be callable"):
        problem(f_soft=3)
    with pytest.raises(ProblemError, match="soft"):
        da.Constraint(steps, soft="margin")
    wide = problem(f_soft=lambda y: y)
    with pytest.raises(ProblemError, match=r"`f_soft`.*columns.*1, got 6"):
        da.solve(wide, budget=30)
