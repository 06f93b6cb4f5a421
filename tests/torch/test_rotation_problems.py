"""The rotation problems: contracts, declared optima, traps and the ways out of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import dfoattack as da
from dfoattack import registry
from dfoattack.problem import Problem
from dfoattack.testing.problems import ProblemContract
from dfoattack_problems.rotation.experiments import sanity_errors
from dfoattack_problems.rotation.fit import Rep, make_cut, make_fit
from dfoattack_problems.rotation.groups import geodesic
from dfoattack_problems.rotation.kinematics import make_ik_fk, make_ik_net
from dfoattack_problems.rotation.matrices import make_similarity_fit, make_so_n, make_stiefel, umeyama
from dfoattack_problems.rotation.networks import Autoencoder, load_weights, weights_path
from dfoattack_problems.rotation.representations import NAMES, REPRESENTATIONS
from dfoattack_problems.rotation.retraction import retraction_of, solve_with_retraction
from dfoattack_problems.rotation.skeleton import chain
from dfoattack_problems.rotation.train import object_clouds
from dfoattack_problems.rotation.worst import make_pose_attack, make_worst

POLL_ALONE = {"attacks": (), "searches": (), "restarts": False, "speculative": False}


class _Fast(ProblemContract):
    n_random = 2_000
    n_local = 500


@pytest.mark.parametrize("rep", NAMES)
class TestFit(_Fast):
    @pytest.fixture
    def problem(self, rep: Rep) -> Problem:
        return make_fit(rep)


@pytest.mark.parametrize("n", [1, 2])
class TestCut(_Fast):
    @pytest.fixture
    def problem(self, n: int) -> Problem:
        return make_cut(n)


@pytest.mark.parametrize(("n", "lifts"), [(3, 0), (3, 1), (5, 0), (5, 3)])
class TestSpecialOrthogonal(_Fast):
    @pytest.fixture
    def problem(self, n: int, lifts: int) -> Problem:
        return make_so_n(n, lifts)


class TestStiefel(_Fast):
    @pytest.fixture
    def problem(self) -> Problem:
        return make_stiefel(6, 3)


class TestSimilarity(_Fast):
    @pytest.fixture
    def problem(self) -> Problem:
        return make_similarity_fit()


@pytest.mark.parametrize("rep", NAMES)
class TestWorst(_Fast):
    # LeakyReLU: where a difference step crosses a kink it disagrees with the gradient
    gradient_tol = 1e-4

    @pytest.fixture
    def problem(self, rep: Rep) -> Problem:
        return make_worst(rep)


class TestPoseAttack(_Fast):
    gradient_tol = 1e-4

    @pytest.fixture
    def problem(self) -> Problem:
        return make_pose_attack()


@pytest.mark.parametrize(("joints", "rep"), [(4, "rodriguez"), (4, "euler"), (5, "quaternion"), (10, "6d")])
class TestChain(_Fast):
    @pytest.fixture
    def problem(self, joints: int, rep: Rep) -> Problem:
        return make_ik_fk(joints, rep)


@pytest.mark.parametrize("n", [3, 6])
class TestBody(_Fast):
    gradient_tol = 1e-4
    n_random = 300

    @pytest.fixture
    def problem(self, n: int) -> Problem:
        return make_ik_net(n)


# ---------------------------------------------------------------- values


def value(problem: Problem, x: np.ndarray) -> float:
    X = np.atleast_2d(np.asarray(x, dtype=np.float64))
    return float(problem.outer(X, problem.forward(X))[0][0])


def test_names_lead_to_the_problems() -> None:
    for name in (
        "rot-fit",
        "rot-cut-1d",
        "rot-worst",
        "pose-attack",
        "ik-fk",
        "ik-net",
        "so-n",
        "stiefel",
        "similarity-fit",
    ):
        problem = registry.load(registry.PROBLEMS, name)()
        assert isinstance(problem, Problem) and problem.name == name


def test_fit_measures_the_angle_or_the_squared_matrix_error() -> None:
    for rep in ("6d", "euler"):
        degrees, squared = make_fit(rep, 3), make_fit(rep, 3, "squared")
        x = degrees.x0[0]
        angle = np.deg2rad(-value(degrees, x))
        assert np.isclose(-value(squared, x), 8.0 * np.sin(angle / 2.0) ** 2)


def test_instances_differ_and_repeat() -> None:
    assert np.array_equal(make_fit("6d", 5).known.x, make_fit("6d", 5).known.x)
    assert not np.allclose(make_fit("6d", 5).known.x, make_fit("6d", 6).known.x)


@pytest.mark.parametrize("rep", ["quaternion", "6d"])
def test_an_autoencoder_problem_sees_the_error_of_the_network(rep: Rep) -> None:
    problem = make_worst(rep)
    x = problem.x0
    y = torch.from_numpy(problem.forward(x))
    R = REPRESENTATIONS["6d"].decode(torch.from_numpy(x.copy()))
    assert torch.allclose(y[:, 9:], R.flatten(1))
    answer = y[:, :9].reshape(1, 3, 3)
    assert np.isclose(value(problem, x), float(torch.rad2deg(geodesic(answer, R))[0]))
    assert 0.0 < value(problem, x) < 180.0


def test_scaling_the_columns_changes_nothing_for_the_network() -> None:
    problem = make_worst("6d")
    x = problem.x0[0]
    scaled = np.concatenate([1.7 * x[:3], 0.5 * x[3:] + 0.3 * x[:3]])
    assert np.isclose(value(problem, x), value(problem, scaled))


def test_pose_attack_starts_at_its_centre_and_keeps_near() -> None:
    problem = make_pose_attack("quaternion", 2, radius=10.0)
    x = problem.x0
    _, C = problem.outer(x, problem.forward(x))
    assert problem.columns[-1][0] == "near" and np.isclose(C[0, -1], -10.0, atol=1e-6)


def test_chain_reaches_its_length_when_straight() -> None:
    problem = make_ik_fk(6)
    y = problem.forward(problem.x0).reshape(6, 3)
    assert np.allclose(y, np.stack([np.arange(1.0, 7.0), np.zeros(6), np.zeros(6)], 1))


def test_chain_forward_kinematics_equals_a_loop_of_matrices() -> None:
    problem = make_ik_fk(4, "euler", 1)
    x = problem.known.x
    R = REPRESENTATIONS["euler"].decode(torch.from_numpy(x.reshape(4, 3).copy())).numpy()
    turned, place = np.eye(3), np.zeros(3)
    for j in range(4):
        turned = turned @ R[j]
        place = place + turned @ np.array([1.0, 0.0, 0.0])
    assert np.allclose(problem.forward(x[None])[0, -3:], place)
    assert chain(4).joints == 5


def test_prior_pulls_towards_straight() -> None:
    plain, prior = make_ik_fk(4, instance=2), make_ik_fk(4, instance=2, prior=0.1)
    assert prior.known is None
    assert np.isclose(value(plain, plain.x0[0]), value(prior, plain.x0[0]))
    assert value(prior, plain.known.x) < value(plain, plain.known.x)


def test_umeyama_recovers_an_exact_similarity() -> None:
    rng = np.random.default_rng(0)
    P = rng.standard_normal((10, 3))
    R = REPRESENTATIONS["6d"].decode(torch.from_numpy(rng.standard_normal(6))).numpy()
    M = np.concatenate([0.7 * R, [[1.0], [2.0], [-1.0]]], axis=1)
    assert np.allclose(umeyama(P, P @ M[:, :3].T + M[:, 3]), M)


def test_object_clouds_are_centred_and_scaled() -> None:
    cloud = object_clouds(tuple(range(40)), 256, torch.float64)
    assert cloud.shape == (40, 256, 3)
    assert float(cloud.abs().amax((1, 2)).sub(1.5).abs().max()) < 1e-3
    assert float(cloud.mean(1).abs().max()) < 1e-3


# ---------------------------------------------------------------- what the solver does


@pytest.mark.parametrize("options", [{}, {"attacks": ()}], ids=["gradients", "no gradients"])
def test_6d_is_found_from_every_start_with_retraction(options: dict[str, object]) -> None:
    for instance in range(4):
        problem = make_fit("6d", instance, limits=False)
        retract = retraction_of(REPRESENTATIONS["6d"])
        result, cost = solve_with_retraction(problem, retract, budget=600, seed=0, f_target=-1.0, options=options)
        assert result.fun >= -1.0 and cost <= 600


def test_retraction_ends_a_run_that_has_drifted_and_keeps_to_the_budget() -> None:
    problem = make_fit("quaternion", 0)
    problem.x0 = 1.9 * problem.x0  # long from the beginning
    seen: list[float] = []

    def retract(x: np.ndarray) -> np.ndarray:
        seen.append(float(np.linalg.norm(x)))
        return retraction_of(REPRESENTATIONS["quaternion"])(x)

    result, cost = solve_with_retraction(problem, retract, budget=80, drift=0.3)
    assert max(seen) > 1.5 and abs(np.linalg.norm(result.x) - 1.0) < 0.31
    assert len(result.records) < cost <= 80  # the last run is shorter than all of them
    with pytest.raises(da.OptionError, match=r"`drift` must be positive, got 0"):
        solve_with_retraction(problem, retract, budget=10, drift=0.0)


def test_the_cut_traps_a_poll_and_covering_leads_out() -> None:
    trapped = da.solve(make_cut(), budget=150, seed=0, options={**POLL_ALONE, "covering": False})
    assert np.isclose(trapped.fun, -np.rad2deg(1.5), atol=1e-3) and trapped.x[0] < 1e-3
    free = da.solve(make_cut(), budget=150, seed=0, options={**POLL_ALONE, "covering_radius": 8.0})
    assert free.fun > -0.1
    assert (
        da.solve(make_cut(1, periodic=True), budget=150, seed=0, options={**POLL_ALONE, "covering": False}).fun > -0.1
    )
    assert da.solve(make_cut(2), budget=150, seed=0, options={**POLL_ALONE, "covering": False}).fun > -0.1


def test_a_network_with_quaternions_is_half_a_turn_wrong_somewhere() -> None:
    result = da.solve(make_worst("quaternion", 1), budget=1500, seed=0, f_target=179.0)
    assert result.fun >= 179.0


def test_a_chain_reaches_its_target_within_its_limits() -> None:
    result = da.solve(make_ik_fk(5, "rodriguez", 3), budget=400, seed=0, f_target=-((5e-3) ** 2))
    assert result.feasible and result.fun >= -((5e-3) ** 2)


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_fit("7d"), r"`rep` must be one of 6d, .*, got '7d'"),
        (lambda: make_fit("6d", -1), r"`instance` must be >= 0, got -1"),
        (lambda: make_fit("6d", loss="cosine"), r"`loss` must be 'geodesic' or 'squared', got 'cosine'"),
        (lambda: make_fit("6d", periodic=True), r"`periodic` must be False but for Euler angles, got True for '6d'"),
        (lambda: make_cut(3), r"`n` must be 1 or 2, got 3"),
        (lambda: make_cut(2, periodic=True), r"`periodic` must be False for n = 2, got True"),
        (lambda: make_so_n(1), r"`n` must be at least 2, got 1"),
        (lambda: make_stiefel(3, 4), r"`k` must lie in \[1, n\) = \[1, 3\), got 4"),
        (lambda: make_similarity_fit(3), r"`points` must be at least 4, got 3"),
        (lambda: make_similarity_fit(noise=-1.0), r"`noise` must be >= 0 and finite, got -1.0"),
        (lambda: make_ik_fk(1), r"`joints` must be at least 2, got 1"),
        (lambda: make_ik_fk(prior=-1.0), r"`prior` must be >= 0 and finite, got -1.0"),
        (lambda: make_ik_net(4), r"`n` must be 3 or 6, got 4"),
        (lambda: make_pose_attack("5d"), r"`rep` must be a representation with shipped weights, .*, got '5d'"),
        (lambda: make_pose_attack(radius=0.0), r"`radius` must lie in \(0, 180\], got 0.0"),
    ],
)
def test_wrong_parameters_are_named(make: object, message: str) -> None:
    with pytest.raises(da.ProblemError, match=message):
        make()  # type: ignore[operator]


def test_foreign_weights_of_another_shape_are_refused(tmp_path: object) -> None:
    path = f"{tmp_path}/w.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(ValueError, match=r"`weights` must hold arrays .*, got \{'a': \(3,\)\}"):
        make_worst("6d", weights=path)


def test_declared_worst_errors_belong_to_the_shipped_weights_and_are_small() -> None:
    for rep in NAMES:
        known = make_worst(rep).known
        assert known is not None
        if REPRESENTATIONS[rep].continuous:
            net = Autoencoder(rep)
            assert load_weights(net, weights_path("sanity", rep)) == known.fingerprint
            assert known.value < 10.0
            if rep == "6d":
                assert known.value >= sanity_errors(net, 20_000).largest
        else:
            assert known.value == 180.0


@pytest.mark.parametrize("name", ["rot-worst", "pose-attack", "ik-fk", "ik-net"])
def test_pictures_are_drawn(name: str, tmp_path: object) -> None:
    figures = pytest.importorskip("matplotlib.figure")
    problem = registry.load(registry.PROBLEMS, name)()
    figure = figures.Figure()
    problem.picture(da.solve(problem, budget=5, seed=0), figure)
    figure.savefig(f"{tmp_path}/picture.png")
    (axes,) = figure.axes
    assert len(axes.collections) + len(axes.lines) >= 2 and axes.get_title()
