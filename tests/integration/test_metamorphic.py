"""Changes of a problem that must not change a run, bit for bit, or must change it in a known way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.options import SEARCHES
from tests.integration.cases import (
    Network,
    assert_same_run,
    digest,
    mixed_problem,
    mixed_value,
    network_problem,
    network_value,
    sphere,
    sphere_gradient,
    sphere_problem,
)

ROOT = Path(__file__).parents[2]
BOWL_OPTIONS: dict[str, Any] = {"attacks": (), "covering_radius": 0.5}


def constrained(k: int = 0, sense: str = "minimize", order: tuple[int, ...] = (0, 1), **more: Any) -> da.Problem:
    """A quadratic times 2^k under two constraints, one of them extreme."""
    walls = [
        da.Constraint(lambda x, y: 1.0 - x[:, 0] - x[:, 1], name="low"),
        da.Constraint(lambda x, y: x[:, 1] - 0.9, kind="extreme", name="high"),
    ]
    factor = 2.0**k if sense == "minimize" else -(2.0**k)
    gradient = more.pop("gradient", False)
    return da.Problem(
        objective=lambda y: factor * sphere(y),
        objective_grad=(lambda y: factor * sphere_gradient(y)) if gradient else None,
        constraints=[walls[i] for i in order],
        space=da.Box([-3.0, -3.0], [3.0, 3.0]),
        x0=[1.7, -0.4],
        sense=sense,
        **more,
    )


# ---------------------------------------------------------------------------------------------- scaling, sense, order


@pytest.mark.parametrize("k", [-47, -1, 40])
def test_scaling_the_objective_by_a_power_of_two_changes_no_decision(k: int) -> None:
    """No absolute epsilon anywhere: 2^-47 is about 1e-14."""
    plain = da.solve(constrained(), budget=300, seed=2, options=BOWL_OPTIONS)
    scaled = da.solve(constrained(k), budget=300, seed=2, options=BOWL_OPTIONS)
    assert_same_run(plain, scaled, fun=False)
    assert (scaled.records.fun == 2.0**k * plain.records.fun).all()
    assert plain.fun < 0.52


@pytest.mark.parametrize("k", [-47, 40])
@pytest.mark.parametrize("operator", ["sign", "l2", "pgd", "sqp"])
def test_scaling_changes_no_decision_of_an_attack(operator: str, k: int) -> None:
    options = {"attacks": (operator,)}
    runs = []
    for power in (0, k):
        factor = 2.0**power
        problem = sphere_problem(
            objective=lambda y, f=factor: f * sphere(y), objective_grad=lambda y, f=factor: 2 * f * y
        )
        runs.append(da.solve(problem, budget=200, seed=1, options=options))
    assert "attack" in runs[0].records.step
    assert_same_run(runs[0], runs[1], fun=False)
    assert (runs[1].records.fun == 2.0**k * runs[0].records.fun).all()


def chained(y: np.ndarray) -> np.ndarray:
    return (100.0 * (y[:, 1:] - y[:, :-1] ** 2) ** 2 + (1.0 - y[:, :-1]) ** 2).sum(axis=1)


def chained_run(fun: Any, **more: Any) -> da.Result:
    """Long enough for changes of basis of the models, generations, and restarts."""
    problem = da.Problem(objective=fun, space=[(-5.0, 5.0)] * 4, x0=[-1.2, 1.0, 0.7, 2.0], sense="minimize", **more)
    return da.solve(
        problem, budget=1300, seed=2, options={"searches": SEARCHES, "covering_quota": 10, "gradient_source": "none"}
    )


@pytest.mark.parametrize("k", [-46, -3, 1, 46])
@pytest.mark.parametrize("constrained", [False, True])
def test_scaling_changes_no_decision_of_any_search(constrained: bool, k: int) -> None:
    more = {"constraints": [lambda x, y: x.sum(axis=1) - 3.0]} if constrained else {}
    plain, scaled = chained_run(chained, **more), chained_run(lambda y: chained(y) * 2.0**k, **more)
    assert_same_run(plain, scaled, fun=False)
    assert {"model", "cma"} <= set(plain.records.step)


@pytest.mark.parametrize(("scale", "shift", "left"), [(1e-14, 0.0, 1e-9), (1e14, 0.0, 1e-9), (1.0, 1e10, 1e-3)])
def test_values_far_from_one_are_minimised_all_the_same(scale: float, shift: float, left: float) -> None:
    problem = da.Problem(
        objective=lambda y: scale * chained(y) + shift,
        space=[(-5.0, 5.0)] * 3,
        x0=[-1.2, 1.0, 0.7],
        sense="minimize",
    )
    result = da.solve(problem, budget=700, seed=2)
    assert chained(result.x[None])[0] <= left


def test_tiny_objectives_are_still_minimised() -> None:
    result = da.solve(sphere_problem(objective=lambda y: 1e-14 * sphere(y)), budget=400)
    assert result.fun < 1e-14 * 1e-6


@pytest.mark.parametrize("gradient", [False, True])
def test_minimising_f_is_maximising_minus_f(gradient: bool) -> None:
    left = da.solve(constrained(gradient=gradient), budget=250, seed=4)
    right = da.solve(constrained(sense="maximize", gradient=gradient), budget=250, seed=4)
    assert_same_run(left, right, fun=False)
    assert (left.records.fun == -right.records.fun).all()
    assert left.fun == -right.fun
    assert left.certificate == right.certificate


def test_the_target_is_in_the_sense_of_the_problem() -> None:
    left = da.solve(constrained(), budget=300, f_target=0.6)
    right = da.solve(constrained(sense="maximize"), budget=300, f_target=-0.6)
    assert left.reason == right.reason == da.StopReason.TARGET
    assert left.nfev == right.nfev and left.fun == -right.fun <= 0.6


def test_the_order_of_the_constraints_does_not_matter() -> None:
    left = da.solve(constrained(), budget=300, seed=6, options=BOWL_OPTIONS)
    right = da.solve(constrained(order=(1, 0)), budget=300, seed=6, options=BOWL_OPTIONS)
    assert_same_run(left, right)
    np.testing.assert_array_equal(left.records.constraints, right.records.constraints[:, ::-1])


def test_two_spellings_of_one_problem() -> None:
    """A constraint with two columns or two constraints; x through Phi or beside it; a list of pairs or a Box."""
    wide = da.Constraint(lambda x, y: np.stack([1.0 - x[:, 0] - x[:, 1], x[:, 1] - 0.9], axis=1), name="both")
    single = [da.Constraint(lambda y: 1.0 - y[:, 0] - y[:, 1]), da.Constraint(lambda y: y[:, 1] - 0.9)]
    left = da.Problem(objective=sphere, constraints=wide, space=[(-3, 3), (-3, 3)], x0=[1.7, -0.4], sense="minimize")
    right = da.Problem(
        objective=lambda x, y: sphere(y),
        constraints=single,
        space=da.Box([-3, -3], [3, 3]),
        surrogate=lambda X: X,
        x0=[[1.7, -0.4]],
        sense="minimize",
    )
    a, b = (da.solve(p, budget=200, seed=1, options={"attacks": ()}) for p in (left, right))
    assert_same_run(a, b)


# ---------------------------------------------------------------------------------------------- translation


@pytest.mark.parametrize("shift", [(1.0, -3.0), (4096.0, 17.0)])
def test_translation_by_mesh_multiples(shift: tuple[float, float]) -> None:
    """While the meshes consist of whole numbers x + t is exact, so that the run is the same run, moved."""
    options = {"frame_size_init": 1e11, "covering": False, "searches": (), "restarts": False}
    t = np.array(shift)

    def run(move: np.ndarray) -> da.Result:
        problem = da.Problem(
            objective=lambda y: np.abs(y[:, 0] - move[0] - 5717.0) + 3.0 * np.abs(y[:, 1] - move[1] + 35441.0),
            space=da.Box([-np.inf] * 2, [np.inf] * 2),
            x0=np.array([200123.0, 77.0]) + move,
            sense="minimize",
        )
        return da.solve(problem, budget=45, seed=9, options=options)

    plain, moved = run(np.zeros(2)), run(t)
    assert plain.records.x.tobytes() == (moved.records.x - t).tobytes()
    assert (plain.records.x == np.rint(plain.records.x)).all()
    assert plain.nit > 10
    assert_same_run(plain, moved, x=False)


def test_translation_of_an_integer_problem() -> None:
    t = np.array([64.0, -32.0, 1024.0])

    def run(move: np.ndarray) -> da.Result:
        problem = da.Problem(
            objective=lambda y: sphere(y - move - 1.0) + np.prod(np.sign(y - move), axis=1),
            space=da.Box(move - 16.0, move + 16.0, integer=True),
            x0=move + np.array([11.0, -14.0, 7.0]),
            sense="minimize",
        )
        return da.solve(problem, budget=150, seed=5)

    plain, moved = run(np.zeros(3)), run(t)
    assert plain.records.x.tobytes() == (moved.records.x - t).tobytes()
    assert_same_run(plain, moved, x=False)


# ---------------------------------------------------------------------------------------------- options without effect


def test_no_attack_is_the_attack_that_proposes_nothing() -> None:
    for problem in (network_problem, lambda: sphere_problem(gradient=True)):
        left = da.solve(problem(), budget=150, seed=3, options={"attacks": ()})
        right = da.solve(problem(), budget=150, seed=3, options={"attacks": ("none",)})
        assert_same_run(left, right)
        assert left.ngev == 0 and "attack" not in left.records.step


def test_attacks_change_nothing_where_no_gradient_exists() -> None:
    blind = lambda **options: da.solve(sphere_problem(), budget=150, seed=3, options=options)  # noqa: E731
    assert_same_run(blind(), blind(attacks=()))
    assert blind().gradient_source == "none"


@pytest.mark.parametrize("problem", [network_problem, mixed_problem])
@pytest.mark.parametrize("poll", ["n+1", "2n"])
def test_complete_polling_does_not_depend_on_the_block_size(problem: Callable[[], da.Problem], poll: str) -> None:
    runs = [
        da.solve(
            problem(),
            budget=150,
            seed=1,
            options={
                "opportunistic": False,
                "block_size": size,
                "poll": poll,
                "fill_blocks": False,
                "searches": ("model", "subspace"),  # rounds of the population fill a block
            },
        )
        for size in (1, 2, 3, 50)
    ]
    for other in runs[1:]:
        assert_same_run(runs[0], other)


def test_infinite_bounds_are_no_bounds() -> None:
    spaces = (
        da.Box([-np.inf] * 2, [np.inf] * 2),
        da.Box([None, None], [None, None]),
        [(-np.inf, None), (None, np.inf)],
    )
    for x0 in ([1.3, 0.2], None):
        runs = [
            da.solve(da.Problem(objective=sphere, space=s, x0=x0, sense="minimize"), budget=120, seed=2) for s in spaces
        ]
        for other in runs[1:]:
            assert_same_run(runs[0], other)
        assert runs[0].nfev == 120 and runs[0].fun < 1e-4


def test_a_fixed_variable_is_a_smaller_problem() -> None:
    """Fixing a variable and writing its value into the objective are one problem."""
    space = da.Box([-2.0, -3.0, -2.0], [2.0, 3.0, 2.0], fixed={1: 0.1 + 0.2})
    whole = da.Problem(objective=lambda y: sphere(y), space=space, x0=[1.1, 0.1 + 0.2, -0.7], sense="minimize")
    part = da.Problem(
        objective=lambda y: sphere(np.insert(y, 1, 0.1 + 0.2, axis=1)),
        space=da.Box([-2.0, -2.0], [2.0, 2.0]),
        x0=[1.1, -0.7],
        sense="minimize",
    )
    left, right = da.solve(whole, budget=150, seed=8), da.solve(part, budget=150, seed=8)
    assert left.records.x[:, [0, 2]].tobytes() == right.records.x.tobytes()
    assert (left.records.x[:, 1] == 0.1 + 0.2).all()
    assert_same_run(left, right, x=False)


def test_callback_and_progress_only_watch(tmp_path: Path) -> None:
    plain = da.solve(network_problem(), budget=80, seed=1)
    events: list[da.Event] = []
    watched = da.solve(network_problem(), budget=80, seed=1, callback=events.append, store=tmp_path / "run.db")
    shown = da.solve(network_problem(), budget=80, seed=1, progress=lambda event: None)
    assert digest(plain) == digest(watched) == digest(shown)
    assert [e.nfev for e in events] == sorted(e.nfev for e in events)
    assert events[-1].cost == plain.cost and events[-1].fun == plain.fun


# ---------------------------------------------------------------------------------------------- reproducibility

CHILD = """
import json, sys
import dfoattack as da
from tests.integration.cases import digest, mixed_problem, network_problem
out = {}
for name, make in (("network", network_problem), ("mixed", mixed_problem)):
    out[name] = [digest(da.solve(make(), budget=120, seed=seed)) for seed in (0, 7)]
print(json.dumps(out))
"""


def child_digests(folder: Path, **environment: str) -> dict[str, list[str]]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **environment}
    done = subprocess.run(
        [sys.executable, "-c", CHILD], cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def test_the_same_seed_gives_the_same_run_in_another_process_and_folder(tmp_path: Path) -> None:
    (tmp_path / "a file that sorts first").touch()
    here = {
        name: [digest(da.solve(make(), budget=120, seed=seed)) for seed in (0, 7)]
        for name, make in (("network", network_problem), ("mixed", mixed_problem))
    }
    assert child_digests(tmp_path, PYTHONHASHSEED="1") == here
    assert len({digest_ for pair in here.values() for digest_ in pair}) == 4, "other seeds are other runs"


@pytest.mark.slow
def test_the_same_run_without_the_compiler(tmp_path: Path) -> None:
    assert child_digests(tmp_path, NUMBA_DISABLE_JIT="1") == child_digests(tmp_path)


def test_global_random_state_is_neither_used_nor_touched() -> None:
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first = digest(da.solve(mixed_problem(), budget=60))
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002
    np.random.seed(2)  # noqa: NPY002
    assert digest(da.solve(mixed_problem(), budget=60)) == first


def test_a_problem_can_be_solved_twice() -> None:
    problem = network_problem()
    assert digest(da.solve(problem, budget=60)) == digest(da.solve(problem, budget=60))
    assert Network().fingerprint() == problem.surrogate.fingerprint()
    assert network_value(np.array([[1.0, 0.0]]))[0] == 1.0 and mixed_value(np.zeros((1, 4))).shape == (1,)
