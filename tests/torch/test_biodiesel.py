"""The bio-diesel problems: declared values, derivatives, the networks against the true kinetics, pictures, training."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from scipy.optimize import brentq, nnls  # noqa: E402

from dfoattack import Problem  # noqa: E402
from dfoattack.errors import ProblemError  # noqa: E402
from dfoattack.testing.problems import ProblemContract  # noqa: E402
from dfoattack_problems.biodiesel import data, kinetics, train  # noqa: E402
from dfoattack_problems.biodiesel.best_known import excess, slsqp  # noqa: E402
from dfoattack_problems.biodiesel.model import Reactor, Schedule, load_weights, save_weights, weights_path  # noqa: E402
from dfoattack_problems.biodiesel.problem import make_problem, make_schedule, truth  # noqa: E402
from dfoattack_problems.biodiesel.schedule import truth as schedule_truth  # noqa: E402

TRUE_VALUE = 3.335336
PAIRS = [(head, support) for head in ("hard", "soft") for support in ("wide", "narrow")]
CASES: dict[str, Any] = {
    **{f"{h}-{s}": (lambda h=h, s=s: make_problem(h, s)) for h, s in PAIRS},
    **{f"{h}-{s}-trust": (lambda h=h, s=s: make_problem(h, s, trust=True)) for h, s in PAIRS},
    **{f"schedule-{n}": (lambda n=n: make_schedule(n)) for n in (10, 20, 30, 50)},
    **{f"schedule-{n}-levels": (lambda n=n: make_schedule(n, levels=True)) for n in (10, 20, 30, 50)},
}


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    """Small matrices: more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def values(problem: Problem, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return problem.outer(X, problem.forward(X))


class TestDefault(ProblemContract):
    feasibility_tol = 0.0

    @pytest.fixture
    def problem(self) -> Problem:
        return make_problem()


class TestSoftNarrow(TestDefault):
    @pytest.fixture
    def problem(self) -> Problem:
        return make_problem("soft", "narrow", trust=True)


class TestSchedule(TestDefault):
    @pytest.fixture
    def problem(self) -> Problem:
        return make_schedule()


class TestLongSchedule(TestDefault):
    @pytest.fixture
    def problem(self) -> Problem:
        return make_schedule(50)


class TestLevels(TestDefault):
    smooth = False  # gradients would be compared off the lattice

    @pytest.fixture
    def problem(self) -> Problem:
        return make_schedule(30, levels=True)


# ------------------------------------------------------------------ the declared optimum


@pytest.mark.parametrize("case", CASES)
def test_the_declared_optimum_is_attained_and_feasible_at_tolerance_zero(case: str) -> None:
    problem = CASES[case]()
    known = problem.known
    assert known is not None and known.kind == "best_known" and len(known.fingerprint) == 64
    f, worst = excess(problem, known.x[None])
    assert abs(f[0] - known.value) <= min(known.tol, 1e-6)
    assert worst[0] <= 0.0
    assert np.array_equal(problem.space.snap(known.x[None]), known.x[None])


def test_default_problem_is_within_a_hundredth_of_the_truth() -> None:
    problem = make_problem()
    known = problem.known
    # The true optimum is a corner: all energy is spent, and the temperature's closed form reaches 65 degC at the end.
    time = brentq(lambda t: 22.0 + 7.0 * (500.0 / t) * -np.expm1(-t / 15.0) - 65.0, 60.0, 120.0)
    f, worst = truth(np.array([time / 120.0, 500.0 / time / 20.0]))
    assert abs(f - TRUE_VALUE) < 2e-6 and abs(worst) < 1e-5
    assert abs(known.value - TRUE_VALUE) < 0.01
    assert abs(problem.verify(known.x) - known.value) < 0.01
    assert truth(known.x)[1] < 0.1  # degC: the temperature's limit is the one that the network cannot keep exactly
    assert np.allclose(known.x * [120.0, 20.0], [81.03, 6.171], atol=[0.2, 0.02])


def test_start_is_feasible_and_has_the_value_of_the_truth() -> None:
    problem = make_problem()
    f, C = values(problem, problem.x0)
    assert C.shape == (1, 705) and C.max() <= 0.0
    assert abs(truth(problem.x0[0])[0] - 0.986580) < 1e-6
    assert abs(f[0] - 0.986580) < 0.005
    names = {name.partition("[")[0]: 0 for name, _, _ in problem.columns}
    assert list(names) == ["time", "power", "energy", "species", "temperature_low", "temperature_high"]


def test_slsqp_with_exact_gradients_finds_the_declared_optimum_and_nothing_better() -> None:
    """From one start the line search may fail at the many flat columns of n = 2; of six, some arrive."""
    for problem, needed in ((make_problem(), 2), (make_problem(trust=True), 3), (make_schedule(10), 6)):
        starts = np.vstack([problem.x0, np.random.default_rng(0).uniform(0.0, 1.0, (5, problem.n))])
        runs = [run for run in (slsqp(problem, start) for start in starts) if run.violation < 1e-7]
        assert max(run.value for run in runs) < problem.known.value + 1e-5
        assert sum(run.value > problem.known.value - 1e-4 for run in runs) >= needed


def test_soft_head_without_trust_promises_what_the_reactor_does_not_do() -> None:
    """The optimiser walks to where the network never saw data; with the support constraint it cannot."""
    wide = make_problem("soft", "wide")
    assert wide.known.value > 3.0 and wide.verify(wide.known.x) < 0.2
    narrow = make_problem("soft", "narrow")
    f, worst = truth(narrow.known.x)
    assert narrow.known.value > f + 1.0 or worst > 10.0  # degC above the limit
    for support in ("wide", "narrow"):
        trusted = make_problem("soft", support, trust=True)
        assert abs(trusted.verify(trusted.known.x) - trusted.known.value) < 0.05
        assert trusted.constraints[-1].name == "support"


@pytest.mark.parametrize("case", ["hard-wide", "schedule-10", "schedule-20", "schedule-30", "schedule-50"])
def test_first_order_conditions_hold_at_the_declared_optimum(case: str) -> None:
    problem = CASES[case]()
    x = problem.known.x
    Y = problem.forward(x[None])
    _, C = problem.outer(x[None], Y)
    gradient = problem.vjp(x[None], Y, np.ones(1), np.zeros_like(C))[0]
    near = np.flatnonzero(C[0] > -1e-5)
    # The box is part of the problem: the columns `time` and `power` repeat it for n = 2, not for the schedule.
    walls = np.vstack([np.eye(problem.n)[x > 1.0 - 1e-7], -np.eye(problem.n)[x < 1e-7]])
    jacobian, _ = problem.constraint_jacobian(x, Y[0], near)
    _, residual = nnls(np.vstack([jacobian, walls]).T, gradient)
    assert residual < 2e-3 * np.linalg.norm(gradient)


# ------------------------------------------------------------------ networks against the true kinetics


def test_hard_head_keeps_start_signs_and_balances_in_the_whole_box() -> None:
    problem = make_problem()
    X = np.vstack([[[0.0, 0.3], [1.0, 1.0], [1.0, 0.0]], np.random.default_rng(0).uniform(size=(200, 2))])
    y = problem.forward(X).reshape(-1, 100, 6)
    assert np.array_equal(y[0], np.tile([0.833, 0.0, 0.0, 0.0, 0.0, 22.0], (100, 1)))
    assert y[..., :5].min() >= 0.0
    assert np.allclose(y[..., :4].sum(-1), 0.833, atol=1e-14)
    assert np.allclose(y[..., 4], y[..., 1] + 2.0 * y[..., 2] + 3.0 * y[..., 3], atol=1e-14)


@pytest.mark.parametrize(("head", "support"), PAIRS)
def test_network_follows_the_kinetics_inside_its_support(head: Any, support: str) -> None:
    net = Reactor(head)
    load_weights(net, weights_path(f"{head}_{support}"))
    species, degrees = train.reactor_quality(net, support)
    assert species < 0.02 and degrees < 1.0
    if head == "hard":
        assert species < 0.006 and degrees < 0.15


@pytest.mark.parametrize("n", [10, 20, 30, 50])
def test_schedule_rolls_out_as_its_step_network_does_and_follows_the_kinetics(n: int) -> None:
    net = Schedule(n)
    load_weights(net, weights_path("schedule"))
    x = torch.rand(5, n, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    state = torch.zeros(5, 4, dtype=torch.float64)
    step = torch.full((5, 1), 60.0 / n / 6.0, dtype=torch.float64)
    for k in range(n):
        state = net.advance(state, x[:, k : k + 1], step)
    last = net(x).reshape(5, n, 4)[:, -1]
    assert torch.allclose(last, state * torch.tensor([1.0, 1.0, 1.0, 50.0]) + torch.tensor([0.0, 0.0, 0.0, 22.0]))
    conversion, degrees = train.schedule_quality(net, n)
    assert conversion < 0.03 and degrees < 1.0
    problem = make_schedule(n)
    assert abs(problem.verify(problem.known.x) - problem.known.value) < 0.05
    assert schedule_truth(problem.known.x)[1] < 0.3  # degC


def test_schedule_counts_its_columns_and_whole_watts_are_exact() -> None:
    problem = make_schedule(30, levels=True)
    _f, C = values(problem, problem.x0)
    assert problem.m == 120 and C.shape == (1, 3 * 30 - 1) and C.max() <= 0.0
    edge = np.full(30, 0.5)
    edge[:3] = [0.2, 0.5, 0.8]
    edge[3] = 0.5
    edge = problem.space.snap(edge[None])
    _, C = values(problem, edge)
    assert C[0, 0] == 0.0 and C[0, 31:].max() == 0.0
    free = make_schedule(30)
    assert problem.known.value <= free.known.value + free.known.tol
    assert np.allclose(10.0 * problem.known.x, np.rint(10.0 * problem.known.x), atol=1e-12)


def test_the_integrators_agree() -> None:
    times = np.linspace(0.0, 60.0, 11)
    constant = kinetics.simulate(5.0, times)
    assert np.allclose(constant[0], [0.833, 0.0, 0.0, 0.0, 0.0, 22.0], rtol=0.0, atol=1e-12)
    segments = kinetics.simulate_schedule(np.full(10, 5.0), 60.0)
    assert np.allclose(kinetics.species_of(segments[:, :3]), constant[1:, :5], atol=1e-7)
    assert np.allclose(segments[:, 3], 22.0 + 35.0 * -np.expm1(-times[1:] / 15.0), atol=1e-5)
    powers = np.array([[1.0, 9.0, 4.0], [6.0, 0.0, 8.0]])
    by_steps = train.true_schedule(powers / 10.0, 18.0)
    for row, rolled in zip(powers, by_steps, strict=True):
        expected = kinetics.simulate_schedule(row, 18.0)
        assert np.allclose(rolled * [0.833, 0.833, 0.833, 1.0], expected, atol=1e-5)


def test_rates_in_torch_and_numpy_are_the_same() -> None:
    state = np.array([[0.5, 0.3, 0.1, 48.0], [0.1, 0.0, 0.0, 30.0]])
    species = torch.from_numpy(kinetics.species_of(state[:, :3]))
    constants = (torch.tensor(kinetics.K_REF, dtype=torch.float64), torch.tensor(kinetics.E_A, dtype=torch.float64))
    r = torch.stack(kinetics.rates(species, torch.from_numpy(state[:, 3]), *constants), 1)
    assert np.allclose(r.numpy(), kinetics.conversion_field(state, np.array([5.0, 5.0]))[:, :3], rtol=1e-12)


def test_slopes_of_the_network_agree_with_differences() -> None:
    for head in ("hard", "soft"):
        net = Reactor(head)  # type: ignore[arg-type]
        load_weights(net, weights_path(f"{head}_wide"))
        inputs = torch.tensor([[0.2, 0.3], [0.7, 0.1]], dtype=torch.float64)
        y, slopes = net.outputs_and_slopes(inputs)
        step = torch.tensor([1e-5, 0.0], dtype=torch.float64)
        difference = (net.outputs(inputs + step) - net.outputs(inputs - step)) / (2e-5 * 120.0)
        assert torch.allclose(y, net.outputs(inputs)) and torch.allclose(slopes, difference, rtol=1e-5, atol=1e-8)


# ------------------------------------------------------------------ parameters, weights, training, pictures


def test_parameters_are_checked() -> None:
    with pytest.raises(ProblemError, match="`head` must be one of 'hard', 'soft', got 'firm'"):
        make_problem("firm")  # type: ignore[arg-type]
    with pytest.raises(ProblemError, match="`support` must be one of 'wide', 'narrow'"):
        make_problem(support="all")  # type: ignore[arg-type]
    with pytest.raises(ProblemError, match="`conc_tol` must be >= 0"):
        make_problem(conc_tol=-1.0)
    with pytest.raises(ProblemError, match="`n` must be one of 10, 20, 30, 50, got 12"):
        make_schedule(12)
    with pytest.raises(ValueError, match="must hold arrays"):
        make_problem("soft", weights=str(weights_path("hard_wide")))
    assert make_problem(conc_tol=0.01).known is None


def test_training_is_repeatable_and_its_weights_can_be_used(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (train.train_reactor("hard_wide", seed=3, steps=20, log=False) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    other = train.train_reactor("hard_wide", seed=4, steps=1, log=False)
    assert not torch.equal(first.layers[0].weight, other.layers[0].weight)
    save_weights(first, tmp_path / "mine.npz")
    problem = make_problem(weights=str(tmp_path / "mine.npz"))
    assert problem.known is None
    assert np.array_equal(problem.forward(problem.x0)[0], first(torch.from_numpy(problem.x0.copy()))[0].numpy())
    assert train.main(["--net", "schedule", "--steps", "3", "--out", str(tmp_path)]) == 0
    assert "largest roll-out error" in capsys.readouterr().out
    assert make_schedule(10, weights=str(tmp_path / "schedule.npz")).known is None


def test_training_learns() -> None:
    before = train.reactor_quality(train.train_reactor("hard_narrow", seed=5, steps=1, log=False), "narrow")
    after = train.reactor_quality(train.train_reactor("hard_narrow", seed=5, steps=300, log=False), "narrow")
    assert after[0] < 0.3 * before[0] and after[1] < 0.3 * before[1]


def test_training_data_are_what_they_say() -> None:
    inputs, outputs = data.labels(data.SUPPORTS["narrow"])
    assert inputs.shape == (39, 2) and outputs.shape == (39, 6)
    assert set(inputs[:, 1]) == {4.0, 5.0, 6.0} and inputs[:, 0].max() == 60.0
    state, drive, after = data.transitions(np.random.default_rng(0), schedules=20, segments=30)
    assert state.shape == (600, 4) and after.shape == (600, 4)
    assert (
        drive[:, 0].min() >= 0.0 and drive[:, 0].max() <= 10.0 and 0.5 <= drive[:, 1].min() <= drive[:, 1].max() <= 6.0
    )
    unit = np.array([0.833, 0.833, 0.833, 1.0])
    again = kinetics.runge_kutta(state * unit, drive[:, 0], drive[:, 1], substeps=24)
    assert np.allclose(again, after * unit, atol=1e-6)


@pytest.mark.parametrize("case", ["hard-wide", "schedule-10"])
def test_picture_shows_the_trajectory_and_its_limits(case: str) -> None:
    figures = pytest.importorskip("matplotlib.figure")
    problem = CASES[case]()
    figure = figures.Figure(figsize=(7, 7), layout="constrained")
    problem.picture(SimpleNamespace(x=problem.known.x, fun=problem.known.value), figure)
    texts = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert "limit 65 °C" in texts and "network" in texts and "true kinetics" in texts
    assert f"{problem.known.value:.5f} by the network" in figure.axes[0].get_title()
    figure.savefig(io.BytesIO(), format="png")
