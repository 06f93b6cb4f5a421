"""The suites `networks` and `networks-blackbox`: what is inside, exact gradients on one side and none on the other."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest

import dfoattack as da
from benchmarks import baselines, scores, suites
from benchmarks.__main__ import main
from benchmarks.arena.store import Store
from benchmarks.suites.networks import FAMILIES, OTHERS, SUITES
from dfoattack import registry

torch = pytest.importorskip("torch")
pytest.importorskip("sklearn")

from benchmarks.suites.networks import approximation, digits, treatment  # noqa: E402  (they need torch)

SMOOTH = ["schedule", "airfoil-multipoint", "tanh-polytope-n10-i1", "approximation-tanh-i1", "digits-tanh-i1"]


def problem(name: str, suite: str = "networks") -> da.Problem:
    return suites.load(suite).instances(only=[name])[0].problem()


def values(p: da.Problem, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return p.outer(X, p.forward(X))


def points(p: da.Problem, count: int, seed: int = 0) -> np.ndarray:
    share = np.random.default_rng(seed).uniform(0.2, 0.8, (count, p.n))
    return p.space.lower + share * (p.space.upper - p.space.lower)


def test_every_family_is_in_both_suites() -> None:
    white, black = (suites.load(name).instances() for name in SUITES)
    assert [i.name for i in white] == [i.name for i in black]
    names = {i.group.removesuffix(f"-n{i.n}") for i in white}
    assert names == {family.name for family in FAMILIES} | (set(OTHERS) & set(registry.names(registry.PROBLEMS)))
    assert sum(i.name.endswith("-i1") for i in white) == sum(i.name.endswith("-i3") for i in white) == 18


def test_every_registered_problem_is_in_the_suite() -> None:
    """A new plug-in of this package needs a line in `OTHERS`."""
    ours = {e.name for e in entry_points(group=registry.PROBLEMS) if e.value.startswith("dfoattack_problems.")}
    shipped = {"biodiesel", "biodiesel-schedule", "airfoil", "airfoil-multipoint"}
    assert ours - shipped == set(OTHERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(OTHERS))
def test_plugins_have_the_number_of_variables_that_is_listed(name: str) -> None:
    try:
        p = problem(name)
    except ImportError as error:
        pytest.skip(str(error))
    assert p.n == p.space.n_free == OTHERS[name]
    assert p.has_gradient


@pytest.mark.parametrize("name", ["biodiesel", "relu-polytope-n10-i1", "approximation-relu-i1", "digits-label-i1"])
def test_the_black_box_has_the_same_values_and_no_gradient(name: str) -> None:
    white, black = problem(name), problem(name, "networks-blackbox")
    X = points(white, 3)
    for a, b in zip(values(white, X), values(black, X), strict=True):
        np.testing.assert_array_equal(a, b)
    assert white.has_gradient and not black.has_gradient
    with pytest.raises(da.ProblemError, match="no `vjp`"):
        black.vjp(X, black.forward(X), np.ones(3))
    assert white.columns == black.columns and white.sense == black.sense
    assert white.fingerprint() != black.fingerprint()


@pytest.mark.parametrize("name", SMOOTH)
def test_gradients_are_those_of_the_values(name: str) -> None:
    p = problem(name)
    x = points(p, 1)
    _, C = values(p, x)
    rng = np.random.default_rng(1)
    W = rng.standard_normal(C.shape) * (C.shape[1] <= 20)
    g = p.vjp(x, p.forward(x), np.ones(1), W)[0]
    direction = rng.standard_normal(p.n)
    step = 1e-6 * direction
    (up, cu), (down, cd) = values(p, x + step), values(p, x - step)
    slope = (up[0] - down[0] + W[0] @ (cu[0] - cd[0])) / 2e-6
    assert g @ direction == pytest.approx(slope, rel=1e-5, abs=1e-6)


def test_instances_are_fresh_and_repeatable() -> None:
    X = np.random.default_rng(0).uniform(-1.0, 1.0, (4, 10))
    first, again, other = (problem(f"relu-box-n10-i{i}") for i in (1, 1, 2))
    np.testing.assert_array_equal(values(first, X)[0], values(again, X)[0])
    assert not np.allclose(values(first, X)[0], values(other, X)[0])
    trained = values(problem("approximation-relu-i1"), X[:, :6])[0]
    approximation.networks.cache_clear()
    np.testing.assert_array_equal(values(problem("approximation-relu-i1"), X[:, :6])[0], trained)


def test_training_learns() -> None:
    pair, median, error = approximation.networks("tanh", 6, 1)
    assert error < 0.15  # of a variance of 1
    assert abs(median) < 0.5
    X = np.random.default_rng(0).uniform(-1.0, 1.0, (500, 6))
    second = pair(torch.from_numpy(X))[:, 1].numpy()
    assert 0.3 < np.mean(second < median) < 0.7
    _, truth = digits.pictures()
    assert np.mean(digits.classifier("relu", 1)[1] == truth) > 0.97
    net, X = treatment.classifier(9, 1)
    assert 0.2 < np.mean(net(torch.from_numpy(X)).numpy() > 0.0) < 0.4


def test_half_spaces_leave_the_centre_and_cut_most_of_the_box() -> None:
    for n in (10, 1000):
        p = problem(f"tanh-polytope-n{n}-i2")
        X = np.random.default_rng(0).uniform(-1.0, 1.0, (200, n))
        X[0] = 0.0
        _, C = values(p, X)
        assert C.shape == (200, 20) and C[0].max() < 0.0
        assert np.mean(C.max(axis=1) <= 0.0) < 0.2
        rows = (values(p, np.eye(n)[:5])[1] - C[0]).T  # the first entries of the rows of A
        assert np.all(np.abs(rows) <= 1.0)


def test_an_equality_is_one_two_sided_column() -> None:
    p = problem("approximation-tanh-i1")
    values(p, points(p, 1))
    assert p.equality.tolist() == [True] and p.columns[0][2] == 1e-3


@pytest.mark.parametrize("name", ["digits-label-i1", "treatment-i1"])
def test_labels_say_yes_or_no_and_nothing_else(name: str) -> None:
    instance = suites.load("networks").instances(only=[name])[0]
    p = instance.problem()
    starts = np.array([instance.start(seed) for seed in range(8)])
    _, C = values(p, np.vstack([starts, points(p, 20)]))
    assert set(np.unique(C)) <= {-0.5, 0.5}
    if name.startswith("digits"):  # pictures of the target
        assert np.all(C[:8] == -0.5)
        assert len({x.tobytes() for x in starts}) == 8
    else:  # the sample itself first, then anything
        assert C[0, 0] == 0.5
        assert values(p, starts[:1])[0][0] == 0.0


def test_own_starts_come_with_seed_zero_and_random_ones_after() -> None:
    instance = suites.load("networks").instances(only=["airfoil-cd"])[0]
    own = instance.problem().x0
    assert own is not None
    np.testing.assert_array_equal(instance.start(0), own[0])
    assert not np.array_equal(instance.start(1), own[0])
    np.testing.assert_array_equal(instance.start(1), instance.start(1))
    assert instance.problem().space.contains(instance.start(1))


def test_multipoint_is_the_airfoil_network_at_each_angle() -> None:
    from dfoattack_problems.airfoil.model import AirfoilNet

    p = problem("airfoil-multipoint")
    X = points(p, 2)
    Y = p.forward(X)
    for j in range(3):
        single = np.hstack([X[:, :17], X[:, 17 + j : 18 + j]])
        alone = AirfoilNet(("medium",))(torch.from_numpy(single)).numpy()
        np.testing.assert_allclose(Y[:, 6 * j : 6 * j + 6], alone, rtol=1e-12, atol=1e-14)
    f, C = p.outer(X, Y)
    np.testing.assert_allclose(f, -1000.0 * Y[:, 2::6].mean(axis=1))
    np.testing.assert_allclose(C[:, :3], np.array([0.6, 0.8, 1.0]) - Y[:, 1::6])
    make = registry.load(registry.PROBLEMS, "airfoil-multipoint")
    with pytest.raises(da.ProblemError, match="`lifts` must be one or more finite numbers"):
        make(lifts=[])
    with pytest.raises(da.ProblemError, match="`size` must be one of"):
        make(size="huge")


@pytest.mark.slow
def test_the_quick_run_has_every_installed_solver_end_well(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    assert main(["run", "--quick", "--out", str(tmp_path)]) == 0
    with Store(tmp_path) as store:
        runs = list(store.runs())
    assert {r.cell.solver for r in runs} == set(baselines.installed())
    assert len(runs) == 2 * len(baselines.installed())
    for r in runs:
        assert r.status == "ok", (r.cell, r.notes)
        assert 1.0 <= (r.spent or 0.0) <= 60.0
    page = (tmp_path / "report" / "report.html").read_text()
    assert all(name in page for name in baselines.installed())


@pytest.mark.parametrize("name", ["slsqp", "ipopt", "cobyqa", "cobyla", "cma-es", "nomad", "lbfgsb", "adam", "de"])
def test_solvers_meet_an_equality(name: str) -> None:
    """min x1^2 + x2^2 s.t. x1 + x2 = 1 within 1e-2, through a network of one layer."""
    if name in baselines.PACKAGES:
        pytest.importorskip(baselines.PACKAGES[name])
    p = da.Problem(
        surrogate=torch.nn.Linear(2, 2, dtype=torch.float64).requires_grad_(False).eval(),
        objective=lambda x, y: (x**2).sum(dim=1),
        constraints=[da.Constraint(lambda x, y: x.sum(dim=1) - 1.0, name="sum", equality=True, tol=1e-2)],
        space=da.Box([-2.0, -2.0], [2.0, 2.0]),
        x0=[-1.0, 1.5],
        sense="minimize",
        name="equality",
        backend="torch",
    )
    log = baselines.load(name).run(p, 150.0 if name == "nomad" else 400.0, 0, 2.0)
    assert log.error == ""
    found = scores.curve(log, p, 0.0)
    # On a penalty's kink Adam and L-BFGS-B crawl along the band instead of arriving.
    assert 0.99**2 / 2.0 <= found.final <= (2.0 if name in ("adam", "lbfgsb") else 0.52)
