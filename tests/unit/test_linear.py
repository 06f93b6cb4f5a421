"""Known linear constraints: the class, the polyhedron, the cone of directions, whole runs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize, nnls

import dfoattack as da
from dfoattack.mesh import Mesh
from dfoattack.polyhedron import Polyhedron
from dfoattack.reports import run_file_text
from dfoattack.solver import Solver
from dfoattack.space import Box
from dfoattack.steps.cone_directions import cone_directions, tangent_cone
from tests.integration.cases import assert_same_run, drive

seeds = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[1.0, np.inf]], 1.0), r"`A` of a linear constraint must be finite and of shape \(q, n\)"),
        (([[1.0]], [1.0, 2.0]), r"`upper` of a linear constraint must be a number or have shape \(q,\) with q = 1"),
        (([[1.0]], np.nan), r"`upper` of a linear constraint must hold numbers or inf, got nan"),
        (([[1.0]], 1.0, np.inf), r"`lower` of a linear constraint must hold numbers or -inf, got inf"),
        (([[1.0]], 1.0, 2.0), r"`lower` of a linear constraint must not exceed `upper`, got 2 > 1 in row 0"),
    ],
)
def test_arguments_are_checked(arguments: Any, message: str) -> None:
    with pytest.raises(da.ProblemError, match=message):
        da.Linear(*arguments)


def problem(**more: Any) -> da.Problem:
    base: dict[str, Any] = dict(
        objective=lambda y: ((y - np.array([2.0, 1.0, -1.0])) ** 2).sum(axis=1), space=[(-3, 3)] * 3,
        linear=da.Linear([[1, 1, 1], [1, -1, 0]], [1.0, 0.3], name="walls"), x0=[-1.0, 0.0, 1.0], sense="minimize",
    )  # fmt: skip
    return da.Problem(**{**base, **more})


@pytest.mark.parametrize(
    ("linear", "message"),
    [
        (da.Linear([1.0, 1.0], 0.0), r"`A` of `linear\[0\]` must have shape \(q, n\) with n = 3"),
        ("walls", r"`linear` must be a Linear or a sequence of these, got 'walls'"),
        ([da.Linear([1, 0, 0], 0.0, name="a")] * 2, r"`name` must differ between linear constraints, got 'a' 2 times"),
        (da.Linear([1, 0, 0], -4.0), r"`linear` must leave a point inside the bounds"),
        ([da.Linear([1, 1, 0], 0.0), da.Linear([-1, -1, 0], 0.0)], r"`linear` must leave an interior"),
        (da.Linear([[1, 1, 0], [2, 2, 0]], 0.0, 0.0), r"Linear equalities must be independent in the continuous variables"),
    ],
)  # fmt: skip
def test_what_cannot_be_met_is_refused(linear: Any, message: str) -> None:
    with pytest.raises(da.ProblemError, match=message):
        problem(linear=linear)


def test_fixed_variables_leave_the_polyhedron() -> None:
    box = Box([-1, -1, -1], [1, 1, 1], fixed={1: 0.5})
    found = Polyhedron.of([da.Linear([[1, 2, 0], [0, 1, 0], [1, 1, 1]], [1.5, 1.0, 0.25], [-np.inf, 0.0, 0.25])], box)
    assert found is not None
    assert found.A.tolist() == [[1, 0]] and found.b.tolist() == [0.5]
    assert found.E.tolist() == [[1, 1]] and found.d.tolist() == [-0.25]
    assert Polyhedron.of([da.Linear([0, 1, 0], 1.0)], box) is None
    with pytest.raises(da.ProblemError, match="Linear constraint `w` must be satisfiable, row 0 is not"):
        Polyhedron.of([da.Linear([0, 1, 0], 0.25, name="w")], box)


def random_polyhedron(rng: np.random.Generator, n: int, q: int, e: int) -> tuple[Polyhedron, np.ndarray]:
    A, inside = rng.standard_normal((q, n)), 0.5 * rng.uniform(-1, 1, n)
    linear = [da.Linear(A, A @ inside + rng.uniform(0.05, 1.0, q))]
    if e:
        E = rng.standard_normal((e, n))
        linear.append(da.Linear(E, E @ inside, E @ inside))
    found = Polyhedron.of(linear, Box(-np.ones(n), np.ones(n)))
    assert found is not None
    return found, inside


@settings(max_examples=25)
@given(seeds, st.integers(2, 6), st.integers(1, 9), st.integers(0, 1))
def test_projections_are_inside_and_nearest(seed: int, n: int, q: int, e: int) -> None:
    rng = np.random.default_rng(seed)
    polyhedron, inside = random_polyhedron(rng, n, q, e)
    x, scale = rng.uniform(-1.0, 1.0, n), 10.0 ** rng.uniform(-1, 1, n)
    y = polyhedron.projected(x, scale)
    assert y is not None and polyhedron.inside(y[None])[0] and np.abs(y).max() <= 1.0
    # Nearest: no other point inside makes an acute angle with the way back.
    others = polyhedron.shortened(inside, inside + rng.standard_normal((200, n)), scale)
    assert polyhedron.inside(others).all()
    assert (((others - y) / scale) @ ((x - y) / scale)).max() <= 1e-9 * (1.0 + np.linalg.norm((x - y) / scale) ** 2)


@settings(max_examples=25)
@given(seeds, st.integers(2, 6), st.integers(1, 9), st.integers(0, 1))
def test_repaired_points_are_inside_on_the_way(seed: int, n: int, q: int, e: int) -> None:
    rng = np.random.default_rng(seed)
    polyhedron, inside = random_polyhedron(rng, n, q, e)
    x = np.clip(inside + rng.standard_normal(n), -1.0, 1.0)
    for slide in (False, True):
        y = polyhedron.repaired(inside, x, np.ones(n), slide)
        if y is not None:
            assert polyhedron.inside(y[None])[0] and np.abs(y).max() <= 1.0
            if not slide and not e and not polyhedron.inside(x[None])[0]:
                t = (y - inside) @ (x - inside) / ((x - inside) @ (x - inside))
                np.testing.assert_allclose(y, inside + t * (x - inside), atol=1e-12)
    same = polyhedron.repaired(inside, inside, np.ones(n), False)
    assert same is inside


@settings(max_examples=40)
@given(seeds, st.integers(1, 5), st.integers(0, 8), st.integers(0, 2), st.booleans())
def test_generators_of_the_tangent_cone(seed: int, m: int, q: int, e: int, degenerate: bool) -> None:
    """They lie in the cone, and every vector of the cone is a non-negative combination of them; whatever the rank."""
    rng = np.random.default_rng(seed)
    A = rng.integers(-2, 3, (q, m)).astype(float) if degenerate else rng.standard_normal((q, m))
    A = A[np.abs(A).sum(axis=1) > 0]
    E = rng.standard_normal((min(e, m - 1), m))
    A, E = (M / np.linalg.norm(M, axis=1)[:, None] for M in (A, E))
    H = np.linalg.qr(rng.standard_normal((m, m)))[0]
    N, R = tangent_cone(A, E, H)
    generators = np.vstack([N, -N, R])
    np.testing.assert_allclose(N @ N.T, np.eye(N.shape[0]), atol=1e-10)
    np.testing.assert_allclose(N @ R.T, 0.0, atol=1e-9)
    if generators.shape[0]:
        assert (generators @ A.T).max(initial=0.0) <= 1e-8 and np.abs(generators @ E.T).max(initial=0.0) <= 1e-8
    for _ in range(5):
        z = rng.standard_normal(m)
        bound = [{"type": "ineq", "fun": lambda d: -A @ d, "jac": lambda d: -A}] if A.shape[0] else []
        line = [{"type": "eq", "fun": lambda d: E @ d, "jac": lambda d: E}] if E.shape[0] else []
        d = minimize(
            lambda d, z=z: ((d - z) ** 2).sum(),
            np.zeros(m),
            jac=lambda d, z=z: 2 * (d - z),
            constraints=bound + line,
            method="SLSQP",
            options={"ftol": 1e-14},
        ).x
        if not generators.shape[0]:
            assert np.linalg.norm(d) < 1e-5
        else:
            assert nnls(generators.T, d)[1] < 1e-5


def test_cone_directions_beside_a_vertex_and_far_from_it() -> None:
    found = Polyhedron.of([da.Linear([[1, 1, 0], [1, -1, 0]], [1.0, 1.0])], Box([-5] * 3, [5] * 3))
    assert found is not None
    mesh = Mesh.start(np.full(3, 0.5), np.zeros(3), np.zeros(3))
    v = np.array([0.3, -1.0, 0.7])
    assert cone_directions(found, mesh, np.array([-2.0, 0.0, 0.0]), v) is None
    D = cone_directions(found, mesh, np.array([1.0, 0.0, 0.0]), v)
    assert D is not None
    expected = {(0, 0, 1), (0, 0, -1), (-1, 1, 0), (-1, -1, 0)}
    assert {tuple(np.rint(2 * d).astype(int).tolist()) for d in D} == expected and np.allclose(
        np.abs(D).max(axis=1), 0.5
    )
    near = cone_directions(found, mesh, np.array([0.9, 0.0, 0.0]), v)
    assert near is not None
    touching = np.array([0.9, 0.0, 0.0]) + near[-2:]
    np.testing.assert_allclose([touching[0] @ [1, 1, 0], touching[1] @ [1, -1, 0]], 1.0)
    edge = cone_directions(found, mesh, np.array([1.0, 0.0, 5.0]), v)
    assert edge is not None and (edge[:, 2] <= 0).all() and edge.shape[0] == 3, "the bound takes part"


def watched(log: list[np.ndarray], **more: Any) -> da.Problem:
    def value(y: np.ndarray) -> np.ndarray:
        log.extend(y.copy())
        values: np.ndarray = ((y - np.array([2.0, 1.0, -1.0])) ** 2).sum(axis=1)
        return values

    return problem(objective=value, **more)


@pytest.mark.parametrize("options", [{}, {"searches": ()}, {"searches": (), "poll": "2n", "covering_quota": 20}])
@pytest.mark.parametrize("x0", [[-1.0, 0.0, 1.0], [3.0, 3.0, 3.0], None])
def test_no_call_is_outside_and_the_vertex_is_found(options: Any, x0: Any) -> None:
    log: list[np.ndarray] = []
    result = da.solve(watched(log, x0=x0), budget=250, options=options)
    X = np.array(log)
    assert X.shape[0] == result.nfev
    assert (X.sum(axis=1) <= 1.0 + 1e-15).all() and (X[:, 0] - X[:, 1] <= 0.3 + 1e-15).all()
    assert result.feasible and result.fun == pytest.approx(best_of(problem()), abs=1e-5)


def best_of(known: da.Problem) -> float:
    (walls,) = known.linear
    c = np.array([2.0, 1.0, -1.0])
    inequality = {"type": "ineq", "fun": lambda x: walls.upper - walls.A @ x, "jac": lambda x: -walls.A}
    found = minimize(
        lambda x: ((x - c) ** 2).sum(), [-1.0, 0, 0], constraints=[inequality], method="SLSQP", options={"ftol": 1e-15}
    )
    return float(found.fun)


@pytest.mark.parametrize("options", [{}, {"searches": ()}])
def test_linear_equalities_are_kept(options: Any) -> None:
    log: list[np.ndarray] = []
    line = [da.Linear([1, 1, 1], 1.0), da.Linear([1, -2, 0], 0.25, 0.25, name="line")]
    result = da.solve(watched(log, linear=line, x0=[3, 3, 3]), budget=300, options=options)
    X = np.array(log)
    assert np.abs(X @ [1, -2, 0] - 0.25).max() < 1e-13 and (X.sum(axis=1) <= 1.0 + 1e-15).all()
    c, E = np.array([2.0, 1.0, -1.0]), np.array([[1.0, -2.0, 0.0]])
    best = c - E[0] * (E @ c - 0.25) / 5.0
    assert best.sum() > 1.0
    # Both are active: the projection of c on the line where they meet.
    B = np.vstack([E, np.ones(3)])
    best = c - B.T @ np.linalg.solve(B @ B.T, B @ c - [0.25, 1.0])
    np.testing.assert_allclose(result.x, best, atol=1e-4)
    assert result.certificate.text == "not certified: the linear equalities leave a set without interior"
    states = {row.group.name: (row.group.kind, row.state) for row in result.constraints}
    assert states == {"linear0": ("linear", "active"), "line": ("linear", "active")}


def test_integers_stay_on_the_lattice_beside_linear_constraints() -> None:
    """A small integer program, all of whose points are enumerated."""
    known = da.Problem(
        objective=lambda y: -(5 * y[:, 0] + 4 * y[:, 1] + 3 * y[:, 2]), space=da.Box([0] * 3, [4] * 3, integer=True),
        linear=da.Linear([[2, 3, 1], [4, 1, 2], [3, 4, 2]], [5, 11, 8]), x0=[4, 4, 4], sense="minimize",
    )  # fmt: skip
    result = da.solve(known, budget=200)
    assert result.fun == -13.0 and (result.records.x == np.rint(result.records.x)).all()
    assert known.linear[0].excess(result.records.x).max() <= 0.0
    assert result.reason is da.StopReason.LATTICE


@pytest.mark.parametrize("x0", [[0, 0], None])
def test_a_lattice_without_a_point_inside_is_refused(x0: Any) -> None:
    box = da.Box([0, 0], [3, 3], integer=True)
    known = da.Problem(objective=lambda y: y[:, 0], space=box, linear=da.Linear([2, 4], 5.5, 4.5), x0=x0)
    with pytest.raises(da.ProblemError, match="`linear` must leave a point on the lattice"):
        Solver(known, budget=10)


def test_continuous_variables_adapt_to_integers() -> None:
    known = problem(space=da.Box([-3] * 3, [3] * 3, integer=[0]), linear=da.Linear([1, 1, 1], 0.5, 0.5), x0=[3, 3, 3])
    result = da.solve(known, budget=300)
    # With x0 = 2 the others have to sum to -1.5 at the least distance from (1, -1).
    assert result.x[0] in (1.0, 2.0) and result.fun == pytest.approx(min(1.0 + 0.125, 2 * 0.75**2), abs=1e-4)
    assert np.abs(result.records.x.sum(axis=1) - 0.5).max() < 1e-13


def test_attacks_know_linear_constraints() -> None:
    log: list[np.ndarray] = []
    gradient = lambda y: 2.0 * (y - np.array([2.0, 1.0, -1.0]))  # noqa: E731
    result = da.solve(watched(log, objective_grad=gradient), budget=60, options={"searches": ()})
    assert result.fun == pytest.approx(best_of(problem()), abs=1e-6)
    X = np.array(log)
    assert (X.sum(axis=1) <= 1.0 + 1e-15).all() and (X[:, 0] - X[:, 1] <= 0.3 + 1e-15).all()


def test_saving_at_every_ask_changes_nothing() -> None:
    def make() -> Solver:
        line = [da.Linear([1, 1, 1], 1.0), da.Linear([1, -2, 0], 0.25, 0.25)]
        return Solver(problem(linear=line), budget=80, seed=4)

    whole, solver = drive(make()), make()
    while len(solver.ask()):
        again = make()
        again.restore(solver.to_bytes())
        solver = again
        solver.tell(solver.evaluate())
    assert_same_run(whole, solver.result())


def test_a_stored_run_with_every_kind_of_constraint_is_resumed_exactly(tmp_path: Path) -> None:
    def make() -> da.Problem:
        kinds = [
            da.Constraint(lambda x, y: (x**2).sum(axis=1) - 4.0, kind="progressive-to-extreme", name="ball"),
            da.Constraint(lambda x, y: x[:, 0] * x[:, 1] - 0.2, equality=True, tol=1e-3, name="curve"),
            da.Constraint(lambda x, y: x[:, 2] - 2.5, kind="extreme", name="lid"),
        ]
        return problem(linear=da.Linear([1, 1, 1], 1.0), constraints=kinds, x0=[3, 3, 3])

    whole = da.solve(make(), budget=80, seed=2, store=tmp_path / "whole.db")
    events: list[object] = []

    def stop(event: object) -> bool:
        events.append(event)
        return len(events) == 10

    part = da.solve(make(), budget=80, seed=2, store=tmp_path / "part.db", callback=stop)
    assert part.nfev < whole.nfev
    again = da.resume(tmp_path / "part.db", make())
    assert_same_run(whole, again)
    assert again.constraints == whole.constraints and len(whole.constraints) == 4
    text = run_file_text(tmp_path / "part.db")
    assert "|c| <= 0.001" in text and "progressive-to-extreme" in text


def test_the_fingerprint_names_them_and_they_pickle() -> None:
    assert "linear" not in problem(linear=()).fingerprint()
    assert (
        problem().fingerprint()
        != problem(linear=da.Linear([[1, 1, 1], [1, -1, 0]], [1.0, 0.31], name="walls")).fingerprint()
    )
    again = pickle.loads(pickle.dumps(problem().linear))
    assert again[0].A.tolist() == [[1, 1, 1], [1, -1, 0]]


@pytest.mark.parametrize(
    ("space", "word"),
    [
        (da.Box([0, 0], [1, 360], names=["load", "angle"], periodic=[1]), "variable `angle` is periodic"),
        (da.Box([0, None], [1, None], names=["load", "metal"], categorical={1: ("a", "b")}), "`metal` is categorical"),
    ],
)
def test_no_half_spaces_of_angles_and_labels(space: da.Box, word: str) -> None:
    def make(A: list[float]) -> da.Problem:
        return da.Problem(objective=lambda y: y[:, 0], space=space, linear=da.Linear(A, 1.0, name="share"))

    with pytest.raises(da.ProblemError, match=f"linear constraint `share` must be 0 in column 1.*{word}"):
        make([1.0, 0.5])
    assert make([1.0, 0.0]).polyhedron is not None  # the other variables may be bound
