"""Several objectives with variables and constraints of every kind."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import dfoattack as da
from tests.integration.test_multi import same

TWO = ("minimize", "minimize")


def angle_problem() -> da.MultiProblem:
    """Distances on a circle to 350 and to 20 degrees: the efficient angles lie across the seam."""

    def value(X: np.ndarray) -> np.ndarray:
        a, b = (np.abs((X[:, 0] - centre + 180.0) % 360.0 - 180.0) / 30.0 for centre in (350.0, 20.0))
        return np.stack([a**2 + X[:, 1] ** 2, b**2 + X[:, 1] ** 2], axis=1)

    return da.MultiProblem(objective=value, sense=TWO, space=da.Box([0, -1], [360, 1.5], periodic=[0]))


def label_problem() -> da.MultiProblem:
    """Level "b" is best for the first objective, level "c" for the second; "a" for none."""

    def value(X: np.ndarray) -> np.ndarray:
        first, second = np.array([0.5, 0.0, 1.0])[X[:, 0].astype(int)], np.array([0.7, 1.0, 0.0])[X[:, 0].astype(int)]
        x = X[:, 1]
        return np.stack([first + x**2 + X[:, 2] ** 2, second + (x - 1.0) ** 2 + X[:, 2] ** 2], axis=1)

    space = da.Box([None, -2, -2], [None, 2, 2.5], categorical={0: ("a", "b", "c")})
    return da.MultiProblem(objective=value, sense=TWO, space=space, x0=[0, -1.0, 1.0])


def pair(X: np.ndarray) -> np.ndarray:
    return np.stack([((X - 1.0) ** 2).sum(1), ((X + 0.5) ** 2).sum(1)], axis=1)


def linear_problem() -> da.MultiProblem:
    """A face cuts the end of the first objective off; an equality holds everywhere."""
    linear = [da.Linear([1, 1, 0], 1.0, name="face"), da.Linear([0, 1, -1], 0.0, 0.0, name="blend")]
    return da.MultiProblem(objective=pair, sense=TWO, space=[(-2, 2)] * 3, linear=linear, x0=[-1.5, 1.0, 1.0])


def equality_problem() -> da.MultiProblem:
    """On the circle of radius one, up to 1e-3; a hybrid constraint keeps to its right half."""
    constraints = [
        da.Constraint(lambda x, y: (x**2).sum(1) - 1.0, equality=True, tol=1e-3, name="circle"),
        da.Constraint(lambda x, y: -x[:, 0], kind="progressive-to-extreme", name="half"),
    ]
    return da.MultiProblem(
        objective=lambda X: np.stack(
            [(X[:, 0] - 1.5) ** 2 + X[:, 1] ** 2, (X[:, 1] - 1.5) ** 2 + X[:, 0] ** 2], axis=1
        ),
        sense=TWO,
        space=[(-2, 2)] * 2,
        constraints=constraints,
        x0=[-1.0, -1.0],
    )


MAKERS = [angle_problem, label_problem, linear_problem, equality_problem]


@pytest.mark.parametrize("make", MAKERS)
def test_save_and_load_at_every_call(make: Callable[[], da.MultiProblem]) -> None:
    straight = da.MultiSolver(make(), budget=70, seed=3)
    while len(straight.ask()):
        straight.tell(straight.evaluate())
    data = da.MultiSolver(make(), budget=70, seed=3).to_bytes()
    while True:
        fresh = da.MultiSolver(make(), budget=70, seed=3)
        fresh.restore(data)
        if fresh.pending is None:
            if not len(fresh.ask()):
                break
        else:
            fresh.tell(fresh.evaluate())
        data = fresh.to_bytes()
    same(straight.result(), fresh.result())


def test_a_front_across_the_seam() -> None:
    result = da.solve_multi(angle_problem(), budget=200, seed=0)
    angle = result.X[:, 0]
    assert np.all((angle >= 0.0) & (angle < 360.0))
    assert np.all((angle >= 349.0) | (angle <= 21.0)) and np.any(angle > 352.0) and np.any(angle < 18.0)
    # f = a^2 and (1 - a)^2 for a in [0, 1]: within (1, 1) the volume is 5/6.
    assert result.hypervolume_at([1.0, 1.0]) > 0.98 * 5.0 / 6.0


def test_every_efficient_level_is_found() -> None:
    result = da.solve_multi(label_problem(), budget=400, seed=0)
    assert set(result.records.x[:, 0]) == {0.0, 1.0, 2.0}
    assert {1.0, 2.0} <= set(result.X[:, 0])
    dense = np.linspace(0.0, 1.0, 2001)
    points = np.array([[level, x, 0.0] for level in (0.0, 1.0, 2.0) for x in dense])
    best = da.hypervolume(label_problem().values(points)[0], [2.2, 2.2], TWO)
    assert result.hypervolume_at([2.2, 2.2]) > 0.98 * best


def test_known_linear_constraints_are_never_violated() -> None:
    seen: list[np.ndarray] = []
    problem = linear_problem()

    def value(X: np.ndarray) -> np.ndarray:
        seen.append(X.copy())
        return pair(X)

    watched = da.MultiProblem(
        objective=value, sense=TWO, space=problem.space, linear=list(problem.linear), x0=[-1.5, 1.0, 1.0]
    )
    result = da.solve_multi(watched, budget=300, seed=0)
    X = np.vstack(seen)
    assert X.shape[0] == result.nfev and np.all(X[:, 0] + X[:, 1] <= 1.0) and np.all(np.abs(X[:, 1] - X[:, 2]) <= 1e-14)
    # Efficient: the line from (-1/2, -1/2, -1/2) to the face, then the way to the nearest point of (1, 1, 1) on it.
    t = np.linspace(0.0, 1.0, 4001)[:, None]
    inner = -0.5 + t * np.array([1.0, 1.0, 1.0])
    corner = np.array([0.5, 0.5, 0.5])
    last = np.array([1.0 - 2.0 / 3.0, 2.0 / 3.0, 2.0 / 3.0])
    dense = pair(np.vstack([inner, corner + t * (last - corner)]))
    assert result.hypervolume_at([5.0, 5.0]) > 0.98 * da.hypervolume(dense, [5.0, 5.0], TWO)


def test_linear_constraints_of_angles_are_refused_before_anything_is_evaluated() -> None:
    def value(X: np.ndarray) -> np.ndarray:
        raise AssertionError("evaluated")

    with pytest.raises(da.ProblemError, match="linear constraint `sum` must be 0 in column 0"):
        da.MultiProblem(
            objective=value,
            sense=TWO,
            space=da.Box([0, -1], [360, 1], periodic=[0]),
            linear=da.Linear([1, 1], 1, name="sum"),
        )


def test_equalities_and_hybrid_constraints() -> None:
    result = da.solve_multi(equality_problem(), budget=500, seed=0)
    assert result.success and np.all(np.abs((result.X**2).sum(1) - 1.0) <= 1e-3) and np.all(result.X[:, 0] >= 0.0)
    t = np.linspace(0.0, 0.5 * np.pi, 4001)
    dense = equality_problem().values(np.sqrt(1.001) * np.column_stack([np.cos(t), np.sin(t)]))[0]
    assert result.hypervolume_at([3.5, 3.5]) > 0.9 * da.hypervolume(dense, [3.5, 3.5], TWO)


def test_a_hybrid_column_turns_extreme_for_good() -> None:
    solver = da.MultiSolver(equality_problem(), budget=200, seed=0)
    turned = -1
    while len(solver.ask()):
        solver.tell(solver.evaluate())
        columns = solver.state.barrier.columns
        if columns is not None and columns.extreme[1] and turned < 0:
            turned = solver.state.history.size
        assert turned < 0 or (columns is not None and columns.extreme[1] and not columns.hybrid.any())
    history = solver.state.history
    assert 0 < turned < 200
    assert np.all(np.isinf(history.F[history.X[:, 0] < 0.0])), "judged again, the points before as well"


def test_noise_is_refused() -> None:
    with pytest.raises(da.OptionError, match="`noise`"):
        da.MultiSolver(linear_problem(), {"noise": 0.1})


def test_blocks_are_cut_and_not_filled() -> None:
    result = da.solve_multi(linear_problem(), budget=60, seed=0, options={"block_size": 4})
    assert result.nfev == 60 and result.success and "fill" not in result.records.step


def test_only_labels() -> None:
    table = np.array([[3.0, 0.0], [1.0, 1.0], [2.0, 2.0], [0.0, 3.0]])
    problem = da.MultiProblem(
        objective=lambda X: table[X[:, 0].astype(int)],
        sense=TWO,
        space=da.Box([None], [None], categorical={0: tuple("abcd")}),
    )
    result = da.solve_multi(problem, budget=50, seed=0)
    assert result.nfev == 4 and sorted(result.X[:, 0]) == [0.0, 1.0, 3.0]
    assert result.reason in (da.StopReason.LATTICE, da.StopReason.FRAME)
