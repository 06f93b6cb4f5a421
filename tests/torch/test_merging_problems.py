"""The solver's problems over task vectors: contracts, values by hand, stand-in gradients, the convex oracle."""

from __future__ import annotations

import io
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dfoattack import Problem  # noqa: E402
from dfoattack.errors import ProblemError  # noqa: E402
from dfoattack.testing.problems import ProblemContract  # noqa: E402
from dfoattack_problems.merging import arithmetic, data  # noqa: E402
from dfoattack_problems.merging.bank import shipped_bank  # noqa: E402
from dfoattack_problems.merging.problem import (  # noqa: E402
    make_global,
    make_layer,
    make_linear,
    make_negate,
    make_negate_multi,
    make_task,
    make_xi_max,
)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def values(problem: Problem, X: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return problem.outer(X, problem.forward(X))


class _Contract(ProblemContract):
    """float32 networks; few samples, so that thousands of models are affordable."""

    n_random, n_local, row_tol = 400, 200, 2e-3
    smooth = False


class TestGlobal(_Contract):
    @pytest.fixture
    def problem(self) -> Problem:
        return make_global()


class TestTask(_Contract):
    @pytest.fixture
    def problem(self) -> Problem:
        return make_task(samples=60)


class TestLayerLoss(_Contract):
    smooth, gradient_tol, difference_step = True, 2e-2, 1e-2

    @pytest.fixture
    def problem(self) -> Problem:
        return make_layer(objective="loss", grouping="tensor", control=False, samples=60)


class TestPostHocEntropy(_Contract):
    smooth, gradient_tol, difference_step = True, 2e-2, 1e-2

    @pytest.fixture
    def problem(self) -> Problem:
        return make_layer(mode="post-hoc", objective="entropy", control=False, samples=60)


class TestNegate(_Contract):
    @pytest.fixture
    def problem(self) -> Problem:
        return make_negate()


class TestNegatePerTensor(_Contract):
    @pytest.fixture
    def problem(self) -> Problem:
        return make_negate(per_tensor=True, samples=60)


class TestNegateMulti(_Contract):
    @pytest.fixture
    def problem(self) -> Problem:
        return make_negate_multi(samples=60)


class TestXiMax(_Contract):
    @pytest.fixture
    def problem(self) -> Problem:
        return make_xi_max(samples=60)


class TestLinear(ProblemContract):
    n_random, n_local = 2_000, 1_000

    @pytest.fixture
    def problem(self) -> Problem:
        return make_linear(control=True)


# ------------------------------------------------------------------ values


def test_start_of_the_global_merge_is_the_table_of_the_grid() -> None:
    problem, bank = make_global(), shipped_bank("digits")
    family = data.load_family("digits", 0)
    found = arithmetic.addition(bank, family, "standard")
    f, _ = values(problem, np.array([[found.alpha]]))
    grid, _ = values(problem, arithmetic.GRID.numpy()[:, None])
    assert f[0] == pytest.approx(grid.max(), abs=1e-12)


def test_variables_mean_what_they_say_across_groupings() -> None:
    task, layer, tensor = make_task(), make_layer(), make_layer(grouping="tensor")
    x = np.array([0.1, 0.4, -0.2, 0.6])
    rows = [values(p, np.repeat(x, p.n // 4)[None]) for p in (task, layer, tensor)]
    assert [p.n for p in (task, layer, tensor)] == [4, 20, 40]
    assert all(f[0] == pytest.approx(rows[0][0][0], abs=2e-3) for f, _ in rows)
    assert layer.space.names[:2] == ("task 0 0", "task 0 1")


def test_accuracies_and_control_by_hand() -> None:
    problem, bank = make_task(), shipped_bank("digits")
    family = data.load_family("digits", 0)
    x = np.array([0.3, 0.3, 0.3, 0.3])
    f, C = values(problem, x[None])
    correct = []
    theta = sum(float(a) * tau for a, tau in zip(x, bank.vectors["standard"], strict=True)).apply(bank.theta_0)
    from dfoattack_problems.merging.linearize import standard_forward
    from dfoattack_problems.merging.model import cosine_logits

    for params in (theta, bank.theta_0):
        for t, task in enumerate(family.all):
            logits = cosine_logits(standard_forward(bank.encoder, params, task.val.X), bank.heads[t])
            correct.append(float((logits.argmax(1) == task.val.y).double().mean()))
    assert f[0] == pytest.approx(np.mean(correct[:4]), abs=2e-3)
    assert C[0, 0] == pytest.approx(0.95 * correct[9] - correct[4], abs=4e-3)
    assert problem.verify(x) == pytest.approx(0.66, abs=0.1)


def test_attacks_get_the_slope_of_the_expected_accuracy() -> None:
    problem = make_task(samples=60)
    x = np.full((1, 4), 0.2)
    gradient = problem.vjp(x, problem.forward(x), np.ones(1))[0]
    assert np.abs(gradient).max() > 0.0

    def expected(point: np.ndarray) -> float:
        logits = torch.from_numpy(problem.forward(point)[:, : 4 * 600].reshape(4, 60, 10))
        labels = torch.stack([problem.objective.blocks.labels[t] for t in range(4)])
        return float(logits.softmax(-1).gather(-1, labels[..., None]).mean())

    for j in range(4):
        step = np.zeros((1, 4))
        step[0, j] = 1e-2
        slope = (expected(x + step) - expected(x - step)) / 2e-2
        assert slope == pytest.approx(gradient[j], abs=2e-2 * np.abs(gradient).max())


def test_xi_is_the_disentanglement_error() -> None:
    bank = shipped_bank("digits")
    family = data.load_family("digits", 0)
    swapped = data.TaskFamily(
        "validation", 0, tuple(data.Task(t.name, t.train, t.test, t.val) for t in family.tasks), family.control
    )
    axis = torch.tensor([-1.5, 1.0], dtype=torch.float64)
    table = arithmetic.disentanglement(bank, swapped, "standard", (1, 2), axis)
    problem = make_xi_max(pair=(1, 2))
    f, C = values(problem, np.array([[-1.5, 1.0], [1.0, 1.0], [0.5, 0.25]]))
    assert f[:2] == pytest.approx([float(table[0, 1]), float(table[1, 1])], abs=0.015)
    assert C[:, 0] == pytest.approx([-1.5, -1.0, 0.25])
    best, _ = values(make_xi_max(pair=(1, 2), goal="best"), np.array([[1.0, 1.0]]))
    assert best[0] == -f[1]


def test_forgetting_starts_feasible_and_its_limits_are_its_own() -> None:
    one = make_negate(target=2)
    many = make_negate_multi(forget=(1, 3))
    for problem in (one, many):
        _, C = values(problem, problem.x0)
        assert C.max() <= 0.0
    assert [name for name, _, _ in many.columns] == ["control", "task 0", "task 2"]
    f, _ = values(one, np.array([[0.0], [0.6]]))
    assert f[1] > f[0]


# ------------------------------------------------------------------ the convex oracle


@pytest.mark.parametrize("per_tensor", [False, True])
def test_linear_merge_is_affine_in_the_logits_and_convex(per_tensor: bool) -> None:
    problem = make_linear(per_tensor=per_tensor, control=True)
    rng = np.random.default_rng(0)
    A, B = rng.uniform(-0.5, 1.5, (2, 3, problem.n))
    middle = problem.forward(0.5 * (A + B))
    assert np.allclose(middle, 0.5 * (problem.forward(A) + problem.forward(B)), atol=1e-9)
    assert middle.shape == (3, 15_000) and problem.n == (40 if per_tensor else 4)
    (fa, ca), (fb, cb), (fm, cm) = (values(problem, P) for P in (A, B, 0.5 * (A + B)))
    assert np.all(fm >= 0.5 * (fa + fb)) and np.all(cm <= 0.5 * (ca + cb))


def test_linear_merge_starts_at_the_untouched_model_and_follows_the_linearised_one() -> None:
    problem, bank = make_linear(), shipped_bank("digits")
    family = data.load_family("digits", 0)
    from dfoattack_problems.merging.linearize import standard_forward
    from dfoattack_problems.merging.model import cosine_logits

    losses = []
    for t, task in enumerate(family.tasks):
        logits = cosine_logits(standard_forward(bank.encoder, bank.theta_0, task.val.X), bank.heads[t])
        losses.append(float(torch.nn.functional.cross_entropy(logits, task.val.y)))
    f, _ = values(problem, np.zeros((1, 4)))
    assert f[0] == pytest.approx(-np.mean(losses), abs=1e-4)


# ------------------------------------------------------------------ parameters, pictures


def test_parameters_are_checked() -> None:
    with pytest.raises(ProblemError, match="`mode` must be one of 'standard', 'post-hoc', 'linear', got 'free'"):
        make_task(mode="free")  # type: ignore[arg-type]
    with pytest.raises(ProblemError, match="`objective` must be one of"):
        make_task(objective="margin")  # type: ignore[arg-type]
    with pytest.raises(ProblemError, match=r"`samples` must lie in \[1, 300\], got 0"):
        make_task(samples=0)
    with pytest.raises(ProblemError, match=r"`target` must lie in \[0, 3\], got 4"):
        make_negate(target=4)
    with pytest.raises(ProblemError, match="at least one and at most 3"):
        make_negate_multi(forget=())
    with pytest.raises(ProblemError, match="two different tasks"):
        make_xi_max(pair=(1, 1))
    with pytest.raises(ProblemError, match="`bank` must be one of"):
        make_task("nothing")


def test_picture_shows_every_coefficient() -> None:
    figures = pytest.importorskip("matplotlib.figure")
    problem = make_layer(samples=20)
    figure = figures.Figure()
    problem.picture(SimpleNamespace(x=problem.x0[0], fun=0.5), figure)
    assert len(figure.axes[0].patches) == 20 and "f = 0.5" in figure.axes[0].get_title()
    figure.savefig(io.BytesIO(), format="png")
