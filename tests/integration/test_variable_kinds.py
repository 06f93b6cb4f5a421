"""Periodic, grouped, categorical and mixed variables in whole runs."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.solver import Solver
from tests.integration.cases import assert_best_is_best, assert_same_run, digest, drive

CENTRES = np.random.default_rng(5).uniform(-2.0, 2.0, (3, 4, 2))  # (variable, level, coordinate)
COSTS = np.random.default_rng(6).uniform(0.0, 1.0, (3, 4))
LABELS = [("steel", "brass", "wood", "glass"), (1, 2, 5, 10), ("u", "v", "w", "z")]


# ------------------------------------------------------------------------------------------------ problems


def seam_value(y: np.ndarray) -> np.ndarray:
    """Angles in degrees, minimum 0 at 0 = 360; a curved valley through the seam."""
    a = np.deg2rad(y)
    return ((1.0 - np.cos(a)).sum(axis=1)) + 10.0 * (np.sin(a[:, 1:]) - np.sin(a[:, :-1]) ** 2).sum(axis=1) ** 2


def seam_problem(x0: Any = (300.0, 60.0, 330.0), **more: Any) -> da.Problem:
    box = da.Box([0] * 3, [360] * 3, periodic=True)
    return da.Problem(objective=seam_value, space=box, x0=x0, sense="minimize", **more)


def clock_value(y: np.ndarray) -> np.ndarray:
    """An hour, a period of 0.7 on a lattice of 0.1, a plain coordinate; the minimum is across both seams."""
    hour = np.abs((y[:, 0] - 0.5 + 12.0) % 24.0 - 12.0)
    lattice = np.abs((y[:, 1] - 0.65 + 0.35) % 0.7 - 0.35)
    return hour + 10.0 * lattice + (y[:, 2] - 0.3) ** 2


def clock_problem(**more: Any) -> da.Problem:
    box = da.Box([0, 0, -1], [24, 0.7, 1], integer=[0], granularity={1: 0.1}, periodic=[0, 1])
    settings: dict[str, Any] = dict(objective=clock_value, space=box, x0=[19, 0.3, -0.8], sense="minimize")
    return da.Problem(**{**settings, **more})


def catalogue_value(x: np.ndarray) -> np.ndarray:
    """Every choice of levels has its own quadratic; the codes mean nothing as numbers."""
    codes = x[:, :3]
    assert (codes == np.rint(codes)).all() and (codes >= 0).all() and (codes <= 3).all()
    c = codes.astype(int)
    centre = sum(CENTRES[i, c[:, i]] for i in range(3)) / 3.0
    cost = sum(COSTS[i, c[:, i]] for i in range(3))
    return np.asarray(((x[:, 3:] - centre) ** 2).sum(axis=1) + cost)


def catalogue_box(**more: Any) -> da.Box:
    levels = dict(enumerate(LABELS))
    return da.Box([None] * 3 + [-4, -4], [None] * 3 + [4, 4], categorical=levels, **more)


def catalogue_problem(**more: Any) -> da.Problem:
    settings: dict[str, Any] = dict(
        objective=catalogue_value, space=catalogue_box(), x0=[3, 0, 1, 3.5, -3.1], sense="minimize"
    )
    return da.Problem(**{**settings, **more})


def one_step(x: np.ndarray) -> list[np.ndarray]:
    """Neighbours are the next and the previous level only, and moving there halves the continuous part."""
    found = []
    for i, step in itertools.product(range(3), (-1.0, 1.0)):
        y = x.copy()
        y[i] = (y[i] + step) % 4.0
        y[3:] *= 0.5
        found.append(y)
    return found


def everything_problem(**more: Any) -> da.Problem:
    """An angle, an integer, a category, a continuous and a fixed variable; a constraint."""
    box = da.Box(
        [0, 0, None, -2, 0],
        [360, 9, None, 2, 1],
        periodic=["angle"],
        integer=["count"],
        categorical={"kind": ["a", "b", "c"]},
        fixed={"rest": 0.5},
        groups=[["angle", "count"], ["size"]],
        names=["angle", "count", "kind", "size", "rest"],
    )

    def value(y: np.ndarray) -> np.ndarray:
        shift = np.array([0.4, -0.2, 0.9])[y[:, 2].astype(int)]
        cost = np.array([0.3, 0.1, 0.0])[y[:, 2].astype(int)]
        angle = 1.0 - np.cos(np.deg2rad(y[:, 0] - 2.0))
        return np.asarray(angle + (y[:, 1] - 6.2) ** 2 / 9.0 + (y[:, 3] - shift) ** 2 + cost)

    wall = da.Constraint(lambda x, y: x[:, 3] + 0.1 * x[:, 1] - 0.8, name="wall")
    settings: dict[str, Any] = dict(
        objective=value, constraints=[wall], space=box, x0=[200.0, 1, 1, -1.0, 0.5], sense="minimize"
    )
    return da.Problem(**{**settings, **more})


KINDS = {
    "seam": seam_problem,
    "clock": clock_problem,
    "catalogue": catalogue_problem,
    "everything": everything_problem,
}


# ------------------------------------------------------------------------------------------------ periodic


@pytest.mark.parametrize("searches", [("model", "cma", "subspace"), ()])
@pytest.mark.parametrize("seed", range(3))
def test_an_optimum_at_the_seam_is_found_from_both_sides(searches: tuple[str, ...], seed: int) -> None:
    for x0 in ((300.0, 60.0, 330.0), (20.0, 345.0, 40.0)):
        result = da.solve(
            seam_problem(x0, known=None), budget=1500, seed=seed, f_target=1e-9, options={"searches": searches}
        )
        assert result.reason == da.StopReason.TARGET, (result.fun, result.x)
        assert (result.records.x >= 0.0).all() and (result.records.x < 360.0).all()
        assert_best_is_best(result, "minimize")
        # The short way round: no point of the way lies on the far side.
        assert np.abs((result.x + 180.0) % 360.0 - 180.0).max() < 0.1


def test_a_turned_problem_is_the_same_problem() -> None:
    """A box that begins elsewhere on the circle holds the same points, in the same order, up to round-off (no tie at this seed)."""
    first = da.solve(seam_problem(), budget=60, seed=3, options={"searches": (), "covering": False})
    box = da.Box([-90] * 3, [270] * 3, periodic=True)
    turned = da.Problem(objective=seam_value, space=box, x0=[-60.0, 60.0, -30.0], sense="minimize")
    second = da.solve(turned, budget=60, seed=3, options={"searches": (), "covering": False})
    np.testing.assert_allclose(second.records.x % 360.0, first.records.x, atol=1e-9)


def test_periodic_lattices() -> None:
    problem = clock_problem()
    hours, tenths = np.arange(24.0), np.arange(7) / 10.0
    grid = np.array([[h, t, 0.3] for h in hours for t in tenths])
    best = problem.outer(grid, grid)[0].min()
    for seed in range(3):
        result = da.solve(problem, budget=400, seed=seed, f_target=best + 1e-8)
        assert result.reason == da.StopReason.TARGET
        x = result.records.x
        assert set(x[:, 0]) <= set(hours) and set(x[:, 1]) <= set(tenths), "exact lattice values, upper never"


def test_a_small_periodic_lattice_is_enumerated() -> None:
    box = da.Box([0, 0], [5, 4], integer=True, periodic=[0])
    table = np.random.default_rng(3).standard_normal((5, 5))
    problem = da.Problem(
        objective=lambda y: table[y[:, 0].astype(int), y[:, 1].astype(int)], space=box, sense="minimize"
    )
    result = da.solve(problem, budget=200)
    assert result.reason == da.StopReason.LATTICE and result.nfev == 25 and result.fun == table.min()


def test_attacks_cross_the_seam() -> None:
    """A gradient step out of the box comes in on the other side."""

    def gradient(y: np.ndarray) -> np.ndarray:
        return np.deg2rad(np.sin(np.deg2rad(y)))

    problem = da.Problem(
        objective=lambda y: (1.0 - np.cos(np.deg2rad(y))).sum(axis=1),
        objective_grad=gradient,
        space=da.Box([10, 10], [370, 370], periodic=True),
        x0=[40.0, 345.0],
        sense="minimize",
    )
    for operator in ("sign", "l2", "pgd", "sqp"):
        result = da.solve(problem, budget=300, seed=1, f_target=1e-10, options={"attacks": (operator,)})
        assert result.reason == da.StopReason.TARGET, operator
        assert (result.records.x >= 10.0).all() and (result.records.x < 370.0).all()


# ------------------------------------------------------------------------------------------------ categorical


def best_of_the_catalogue() -> tuple[float, list[int]]:
    choice = [int(i) for i in COSTS.argmin(axis=1)]
    return float(COSTS.min(axis=1).sum()), choice


@pytest.mark.parametrize("how", ["labels", "distances", "function"])
@pytest.mark.parametrize("seed", range(3))
def test_the_best_levels_are_found(how: str, seed: int) -> None:
    more: dict[str, Any] = {}
    if how == "distances":
        D = np.abs(np.subtract.outer(np.arange(4.0), np.arange(4.0)))
        D[D > 2.0] = np.inf
        more = {"distances": {i: D for i in range(3)}}
    if how == "function":
        more = {"neighbours": one_step}
    value, choice = best_of_the_catalogue()
    result = da.solve(catalogue_problem(space=catalogue_box(**more)), budget=3000, seed=seed, f_target=value + 1e-6)
    assert result.reason == da.StopReason.TARGET, result.fun - value
    assert result.x[:3].tolist() == choice
    assert result.levels == {f"x{i}": LABELS[i][choice[i]] for i in range(3)}
    assert f"x0={LABELS[0][choice[0]]}, x1={LABELS[1][choice[1]]}" in str(result)
    assert_best_is_best(result, "minimize")


@pytest.mark.parametrize("quota", [0, 5])
@pytest.mark.parametrize("seed", range(4))
def test_no_run_converges_beside_a_better_neighbour(seed: int, quota: int) -> None:
    problem = catalogue_problem()
    options = {"covering_quota": quota, "frame_size_min": 1e-3, "searches": ()}
    result = da.solve(problem, seed=seed, options=options)
    assert result.reason == da.StopReason.FRAME
    known = {x.tobytes() for x in result.records.x}
    found = problem.space.neighbours(result.x)
    assert len(found) == 9 and all(x.tobytes() in known for x in found)
    assert result.fun <= problem.outer(found, found)[0].min()


def test_only_neighbour_steps_and_starts_change_levels() -> None:
    problem = catalogue_problem()
    solver = Solver(problem, budget=400, seed=2)
    changed = set()
    while len(trials := solver.ask()):
        centre = trials.centre
        if (trials.X[:, :3] != centre[:3]).any():
            changed.add(trials.step)
        solver.tell(solver.evaluate())
    assert changed == {"neighbours"}


def test_all_categorical() -> None:
    table = np.random.default_rng(8).standard_normal((4, 3, 5))
    box = da.Box([None] * 3, [None] * 3, categorical={i: range(k) for i, k in enumerate(table.shape)})
    problem = da.Problem(objective=lambda y: table[tuple(y.astype(int).T)], space=box, sense="minimize")
    result = da.solve(problem, budget=100)
    assert result.reason == da.StopReason.LATTICE and result.nfev == 60 and result.fun == table.min()
    one = da.solve(problem, options={"restarts": False})
    assert one.reason == da.StopReason.FRAME and "only categorical variables" in one.certificate.text


def test_failing_neighbours_do_no_harm() -> None:
    def value(x: np.ndarray) -> np.ndarray:
        return np.where(x[:, 0] == 2.0, np.nan, catalogue_value(x))

    result = da.solve(catalogue_problem(objective=value), budget=500, seed=1)
    assert result.success and result.x[0] != 2.0


def test_codes_are_never_moved_along_gradients() -> None:
    def gradient(x: np.ndarray) -> np.ndarray:
        c = x[:, :3].astype(int)
        centre = sum(CENTRES[i, c[:, i]] for i in range(3)) / 3.0
        return np.hstack([np.full((len(x), 3), 1e3), 2.0 * (x[:, 3:] - centre)])

    value, _ = best_of_the_catalogue()
    result = da.solve(catalogue_problem(objective_grad=gradient), budget=3000, seed=0, f_target=value + 1e-6)
    assert result.ngev > 0 and result.reason == da.StopReason.TARGET


# ------------------------------------------------------------------------------------------------ groups, mixed


def test_poll_directions_stay_in_one_group() -> None:
    box = da.Box([-3] * 5, [3] * 5, groups=[[0, 3], ["x1", "x2"]])
    problem = da.Problem(
        objective=lambda y: (y**2).sum(axis=1), space=box, x0=np.linspace(0.7, 1.9, 5), sense="minimize"
    )
    solver = Solver(problem, {"searches": (), "speculative": False}, budget=300, seed=1)
    polls = 0
    while len(trials := solver.ask()):
        if trials.step == "poll":
            polls += 1
            moved = np.abs(trials.X - trials.centre) > 0.0
            for group in ([0, 3], [1, 2], [4]):
                rest = [i for i in range(5) if i not in group]
                assert not (moved[:, group].any(axis=1) & moved[:, rest].any(axis=1)).any()
        solver.tell(solver.evaluate())
    assert polls > 10
    assert solver.result().fun < 1e-4


@pytest.mark.parametrize("seed", range(3))
def test_a_mixed_valley_needs_both_kinds_of_moves_together(seed: int) -> None:
    """From (2, 4) no lattice neighbour improves at the same y: its own y must be found first."""

    def value(y: np.ndarray) -> np.ndarray:
        return np.asarray((1.0 - y[:, 0]) ** 2 + 10.0 * (y[:, 1] - y[:, 0] ** 2) ** 2)

    space = da.Box([-5, -30], [5, 30], integer=[0])
    problem = da.Problem(objective=value, space=space, x0=[-4, 11.3], sense="minimize")
    result = da.solve(problem, budget=900, seed=seed, f_target=1e-6, options={"restarts": False})
    assert result.reason == da.StopReason.TARGET, (result.fun, result.x)


def test_mixed_runs_end_beside_no_better_lattice_neighbour() -> None:
    target = np.array([3.4, -7.3, 1.234, -0.567])
    space = da.Box([-20] * 4, [20] * 4, integer=[0, 1])
    for seed in range(3):
        problem = da.Problem(
            objective=lambda y: ((y - target) ** 2).sum(axis=1) + 0.3 * (y[:, 0] - 3.4) * (y[:, 1] + 7.3),
            space=space,
            x0=[-11, 9, 8.1, -3.3],
            sense="minimize",
        )
        result = da.solve(problem, seed=seed, options={"covering_quota": 5})
        known = {x.tobytes() for x in result.records.x}
        steps = np.vstack([np.eye(4)[:2], -np.eye(4)[:2]])
        assert all(x.tobytes() in known for x in result.x + steps)
        assert result.x[:2].tolist() == [3.0, -7.0]


@pytest.mark.parametrize("seed", range(3))
def test_all_kinds_together(seed: int) -> None:
    problem = everything_problem()
    result = da.solve(problem, budget=1200, seed=seed)
    assert result.feasible and result.levels == {"kind": "b"}
    assert result.x[1] == 6.0 and result.x[4] == 0.5
    assert result.fun <= 0.1 + 0.04 / 9.0 + 1e-6 and abs(result.x[0] - 2.0) < 0.5 and abs(result.x[3] + 0.2) < 1e-2
    for x in result.records.x:
        assert problem.space.contains(x)


# ------------------------------------------------------------------------------------------------ save, load, resume


@pytest.mark.parametrize("name", KINDS)
def test_saving_and_loading_at_every_ask_changes_nothing(name: str) -> None:
    make = KINDS[name]
    plain = drive(Solver(make(), budget=250, seed=3))
    solver = Solver(make(), budget=250, seed=3)
    while len(solver.ask()):
        other = Solver(make(), budget=250, seed=3)
        other.restore(solver.to_bytes())
        solver = other
        solver.tell(solver.evaluate())
    assert_same_run(plain, solver.result())
    assert digest(plain) == digest(solver.result())


@pytest.mark.parametrize("name", KINDS)
def test_run_files_are_resumed_exactly(name: str, tmp_path: Any) -> None:
    make, store = KINDS[name], tmp_path / "run.dfo"
    whole = da.solve(make(), budget=200, seed=4)
    da.solve(make(), budget=90, seed=4, store=store)
    resumed = da.resume(store, make(), budget=200)
    assert resumed.nfev > 90 and resumed.reason == whole.reason
    again = da.resume(store, make())
    assert_same_run(resumed, again)


def test_a_run_file_belongs_to_its_kinds(tmp_path: Any) -> None:
    store = tmp_path / "run.dfo"
    da.solve(catalogue_problem(), budget=30, store=store)
    other = catalogue_problem(space=catalogue_box(neighbours=one_step))
    with pytest.raises(da.StoreError, match="space"):
        da.resume(store, other, budget=60)


def test_show_names_the_levels(tmp_path: Any) -> None:
    from dfoattack.reports import run_file_text

    store = tmp_path / "run.dfo"
    result = da.solve(everything_problem(), budget=300, seed=1, store=store)
    assert f"kind = {result.levels['kind']}" in run_file_text(store)


# ------------------------------------------------------------------------------------------------ other doors


def test_minimize_takes_a_box() -> None:
    """SciPy has no word for periods and levels; the Box says them."""
    value, choice = best_of_the_catalogue()
    result = da.minimize(
        lambda x: float(catalogue_value(x[None, :])[0]),
        [0, 0, 0, 1.0, 1.0],
        bounds=catalogue_box(),
        budget=3000,
        f_target=value + 1e-6,
    )
    assert result.x[:3].tolist() == choice and result.levels["x0"] == LABELS[0][choice[0]]
    with pytest.raises(da.ProblemError, match="`integrality` must be left out"):
        da.minimize(lambda x: 0.0, [0.0] * 5, bounds=catalogue_box(), integrality=1)
    with pytest.raises(da.ProblemError, match=r"n = 2 variables \(from `x0`\), got a Box with 5"):
        da.minimize(lambda x: 0.0, [0.0] * 2, bounds=catalogue_box())


def test_phase_one_looks_at_neighbours_too() -> None:
    """An extreme constraint that one level alone satisfies."""
    wall = da.Constraint(lambda x, y: 1.0 - (x[:, 0] == 2.0) - 0.1 * (x[:, 0] == 1.0), kind="extreme")
    box = da.Box([None, -1], [None, 1], categorical={0: "a b c".split()})
    problem = da.Problem(
        objective=lambda y: (y[:, 1] - 0.3) ** 2, constraints=wall, space=box, x0=[0, -0.9], sense="minimize"
    )
    result = da.solve(problem, options={"restarts": False, "covering_quota": 3})
    assert result.feasible and result.levels == {"x0": "c"} and result.fun < 1e-6
    assert result.reason == da.StopReason.FRAME
