"""The counterfactual maps: derivatives, routes against a naive twin, pairs, the networks' quality, pictures, training."""

from __future__ import annotations

import heapq
import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import dfoattack as da  # noqa: E402
from dfoattack import Problem  # noqa: E402
from dfoattack.errors import ProblemError  # noqa: E402
from dfoattack.testing.problems import ProblemContract  # noqa: E402
from dfoattack_problems.counterfactual_map import model, terrain, train  # noqa: E402
from dfoattack_problems.counterfactual_map.problem import make_path_problem, make_problem  # noqa: E402
from dfoattack_problems.counterfactual_map.routes import cheapest, contest  # noqa: E402
from dfoattack_problems.counterfactual_map.task import make_task  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def loaded() -> tuple[model.MapNet, np.ndarray, str]:
    return model.load()


class TestCost(ProblemContract):
    n_random = 2_000
    n_local = 500
    feasibility_tol = 0.0
    difference_step = 1e-8  # thousands of ReLU have their kinks somewhere near

    @pytest.fixture
    def problem(self) -> Problem:
        return make_problem()


class TestValue(TestCost):
    @pytest.fixture
    def problem(self) -> Problem:
        return make_problem(1, route="value")


class TestPath(TestCost):
    smooth = False

    @pytest.fixture
    def problem(self) -> Problem:
        return make_path_problem()


# ------------------------------------------------------------------ routes


def naive(costs: np.ndarray) -> tuple[float, set[int]]:
    """Dijkstra with a heap over (12, 12) tiles."""
    side = terrain.SIDE
    best = {0: (float(costs[0]), -1)}
    queue = [(float(costs[0]), 0)]
    while queue:
        value, tile = heapq.heappop(queue)
        if value > best[tile][0]:
            continue
        row, column = divmod(tile, side)
        for r, c in itertools.product((row - 1, row, row + 1), (column - 1, column, column + 1)):
            if 0 <= r < side and 0 <= c < side and (r, c) != (row, column):
                there, new = r * side + c, value + float(costs[r * side + c])
                if there not in best or new < best[there][0]:
                    best[there] = (new, tile)
                    heapq.heappush(queue, (new, there))
    tile, route = side * side - 1, set()
    while tile >= 0:
        route.add(tile)
        tile = best[tile][1]
    return best[side * side - 1][0], route


def test_routes_agree_with_a_plain_dijkstra() -> None:
    rng = np.random.default_rng(0)
    costs = rng.uniform(0.5, 8.0, (20, 144))
    value, on = cheapest(costs)
    for i in range(20):
        expected, route = naive(costs[i])
        assert value[i] == pytest.approx(expected, rel=1e-12)
        assert set(np.flatnonzero(on[i])) == route


def second(costs: np.ndarray, wanted: np.ndarray) -> float:
    """Cost of the cheapest route but the wanted one, which must be the cheapest: it avoids one of its tiles."""
    rivals = []
    for tile in np.flatnonzero(wanted)[1:-1]:
        closed = costs.copy()
        closed[tile] = 1e6
        rivals.append(naive(closed)[0])
    return min(rivals)


def test_the_contest_counts_all_rivals_and_at_low_temperature_the_best_alone() -> None:
    costs = np.random.default_rng(1).uniform(0.5, 8.0, (6, 144))
    value, on = cheapest(costs)
    for i in range(6):
        lead = second(costs[i], on[i]) - value[i]
        cold, warm = (contest(costs[i : i + 1], on[i], temperature)[0][0] for temperature in (0.03, 0.2))
        assert cold >= max(-lead, 0.03 * np.log(1e-12)) - 1e-6, "smaller parts are lost in rounding"
        assert cold <= max(-lead, 0.03 * np.log(1e-12)) + 0.15, "the weight of a few rivals that are nearly as good"
        assert warm > cold - 1e-9, "more rivals have a say"
    lost, _ = contest(costs[:1], on[1], 0.1)
    assert lost[0] == pytest.approx(costs[0] @ on[1] - value[0], abs=0.3)


@pytest.mark.parametrize("temperature", [0.05, 0.2])
def test_slopes_of_the_contest_are_its_differences(temperature: float) -> None:
    rng = np.random.default_rng(2)
    costs = rng.uniform(0.5, 8.0, (2, 144))
    for wanted in cheapest(costs)[1]:
        _, slope = contest(costs[:1], wanted, temperature)
        direction = rng.normal(size=144)
        ends = contest(np.array([costs[0] + s * 1e-6 * direction for s in (1.0, -1.0)]), wanted, temperature)[0]
        assert slope[0] @ direction == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-5, abs=1e-7)


# ------------------------------------------------------------------ the task


def test_f_and_its_gradient_are_the_written_formulas(loaded: tuple[model.MapNet, np.ndarray, str]) -> None:
    problem = make_problem(3)
    task = make_task(loaded[0], loaded[1], 3)
    X = task.x_initial + np.random.default_rng(0).normal(0.0, 0.3, (4, 64))
    Y = problem.forward(X)
    f, C = problem.outer(X, Y)
    costs, start = Y[:, 64:], task.costs
    assert np.allclose(Y[:, :64], X)
    assert np.allclose(
        f,
        [
            -(((x - task.x_initial) ** 2).sum()) - ((c.sum() - start.sum()) / 100) ** 2
            for x, c in zip(X, costs, strict=True)
        ],
    )
    norm = np.linalg.norm(X, axis=1)
    assert np.allclose(C[:, 0], (norm - 7) * (norm - 9) / 10)
    assert np.allclose(C[:, 1], (2 * costs @ task.wanted - costs @ task.initial) / 10)
    gradient = task.f_gradient(Y)
    assert np.allclose(gradient[:, 64:], (-2e-4 * (costs.sum(1) - start.sum()))[:, None])
    assert np.ptp(gradient[:, 64:], axis=1).max() == 0.0
    assert abs(problem.outer(problem.x0, problem.forward(problem.x0))[0][0]) < 1e-20
    strict = make_problem(3, eps=0.0)
    assert np.allclose(strict.outer(X, Y)[1][:, 1], (costs @ task.wanted - costs @ task.initial) / 10)


def test_pairs_have_routes_that_differ_and_starts_inside_the_shell(
    loaded: tuple[model.MapNet, np.ndarray, str],
) -> None:
    net, codes, _ = loaded
    tasks = [make_task(net, codes, pair) for pair in range(12)]
    assert len({task.x_initial.tobytes() for task in tasks}) > 6
    for task in tasks:
        assert (task.initial & task.wanted).sum() < 0.4 * task.wanted.sum()
        assert 7.0 < np.linalg.norm(task.x_initial) < 9.0
    again = make_task(net, codes, 5)
    assert again.x_initial.tobytes() == tasks[5].x_initial.tobytes()


@pytest.mark.parametrize("pair", [0, 1, 2])
def test_the_alternative_map_is_feasible_where_the_initial_one_is_not(pair: int) -> None:
    for make in (
        lambda **k: make_problem(pair, route="value", **k),
        lambda **k: make_path_problem(pair, **k),
    ):
        bad, good = make(start="initial"), make(start="alternative")
        assert bad.outer(bad.x0, bad.forward(bad.x0))[1].max() > 0.0
        assert good.outer(good.x0, good.forward(good.x0))[1].max() <= 0.0


def test_a_contest_that_is_won_proves_the_path() -> None:
    rng = np.random.default_rng(3)
    base = rng.uniform(1.0, 4.0, (1, 144))
    wanted = cheapest(rng.uniform(1.0, 4.0, (1, 144)))[1][0]
    costs = base - rng.uniform(0.0, 1.0, (40, 1)) * (base - 0.6) * wanted
    won = contest(costs, wanted, 0.1)[0] <= 0.0
    first = np.all(cheapest(costs)[1] == wanted, axis=1)
    assert 3 < won.sum() < 37 and np.all(first[won])
    assert np.sum(first & ~won) < 10, "and it asks for little more"


def test_the_stand_in_has_a_slope_where_the_path_has_none() -> None:
    problem = make_path_problem(2, start="initial")
    x, y = problem.x0, problem.forward(problem.x0)
    assert problem.outer(x, y)[1][0, 1] > 0.0 and problem.attacked(x, y)[1][0, 1] > 0.0
    assert problem.constraint_jacobian(x[0], y[0], [1])[0].any()
    bare = make_path_problem(2, guide=False)
    assert bare.outer(x, y)[1].shape == (1, 2) and bare.softened == ()
    assert not bare.constraint_jacobian(x[0], y[0], [1])[0].any()


def test_the_default_finds_a_changed_route_from_a_map_that_has_another() -> None:
    problem = make_path_problem(8, start="initial")
    result = da.solve(problem, budget=1000, seed=0, callback=lambda event: event.maxcv == 0.0)
    assert result.feasible and result.maxcv == 0.0 and "path" in result.softened
    costs = problem.forward(result.x[None])[:, 64:]
    task = make_task(*model.load()[:2], 8)
    assert set(np.flatnonzero(task.wanted)) == naive(costs[0])[1]


# ------------------------------------------------------------------ networks and pictures


def test_the_shipped_networks_draw_and_read_maps(loaded: tuple[model.MapNet, np.ndarray, str]) -> None:
    net, codes, digest = loaded
    assert model.WEIGHTS.stat().st_size < 5e6 and len(digest) == 64
    assert np.all((np.linalg.norm(codes, axis=1) > 7) & (np.linalg.norm(codes, axis=1) < 9))
    rng = np.random.default_rng(7)
    drawn = terrain.maps(rng, 40)
    assert np.abs(codes.mean(0)).max() < 0.3 and 0.7 < codes.std() < 1.2, "codes are about standard normal"
    pictures = torch.from_numpy(terrain.pictures(rng, drawn))
    with torch.inference_mode():
        read = net.cost(pictures).numpy()
    assert np.abs(read - terrain.costs(drawn)).mean() < 0.15
    with torch.inference_mode():
        rebuilt = net(torch.from_numpy(codes)).numpy()[:, 64:]
    nearest = np.abs(rebuilt[..., None] - terrain.COSTS).min(2)
    assert nearest.mean() < 0.5, "decoded tiles must look like terrains"


def test_maps_have_all_terrains_and_textures(loaded: Any) -> None:
    drawn = terrain.maps(np.random.default_rng(0), 200)
    shares = np.bincount(drawn.ravel(), minlength=5) / drawn.size
    assert shares.min() > 0.05 and np.allclose(shares.sum(), 1.0)
    flat = terrain.pictures(np.random.default_rng(0), np.full((1, 12, 12), 4))
    assert flat.shape == (1, 3, 48, 48) and flat.std() > 1.2 * terrain.NOISE


def test_whitening_changes_codes_and_no_picture() -> None:
    torch.manual_seed(0)
    drawn = torch.from_numpy(terrain.pictures(np.random.default_rng(0), terrain.maps(np.random.default_rng(1), 200)))
    encoder, decoder = model.Encoder().eval(), model.Decoder().eval()
    with torch.no_grad():
        before = decoder(encoder(drawn.float())[0])
        train.whiten(encoder, decoder, drawn.float())
        codes = encoder(drawn.float())[0]
        assert torch.allclose(decoder(codes), before, atol=1e-3)
    assert codes.mean(0).abs().max() < 0.05
    assert torch.cov(codes.T).diagonal().median() == pytest.approx(1.0, abs=0.1)


@pytest.mark.slow
def test_training_again_gives_networks_that_learn(tmp_path: Path) -> None:
    net, codes, quality = train.train(seed=1, steps=40, count=200, log=False)
    _, _, longer = train.train(seed=1, steps=5, count=200, log=False)
    assert quality.picture < longer.picture < 0.2
    model.save(net, codes, tmp_path / "w.npz")
    again, _, digest = model.load(tmp_path / "w.npz")
    x = torch.zeros(1, 64, dtype=torch.float64)
    assert torch.allclose(again(x).float(), net(x.float()), atol=1e-4)
    assert digest != model.load()[2]


def test_the_picture_shows_three_maps_and_both_routes() -> None:
    figure_class = pytest.importorskip("matplotlib.figure").Figure
    problem = make_problem(0)
    figure = figure_class()
    problem.picture(SimpleNamespace(x=problem.x0[0] + 0.1, fun=-1.0), figure)
    titles = [axes.get_title().partition("\n")[0] for axes in figure.axes]
    assert titles[:3] == ["initial map", "counterfactual", "map of the wanted route"]
    assert [line.get_label() for line in figure.axes[0].lines] == ["wanted", "cheapest"]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"pair": -1}, "`pair` must be an integer >= 0, got -1."),
        ({"route": "shortest"}, "`route` must be one of 'cost', 'value', got 'shortest'."),
        ({"start": "here"}, "`start` must be one of 'initial', 'alternative', 'both', got 'here'."),
        ({"eps": -0.5}, "`eps` must be >= 0 and finite, got -0.5."),
    ],
)
def test_wrong_parameters_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ProblemError) as caught:
        make_problem(**wrong)
    assert str(caught.value) == said


def test_foreign_weights_declare_no_optimum_and_other_arrays_are_refused(tmp_path: Path) -> None:
    net, codes, _ = model.load()
    net.decoder[0].bias += 1e-3
    model.save(net, codes, tmp_path / "other.npz")
    assert make_problem(weights=str(tmp_path / "other.npz")).known is None
    np.savez(tmp_path / "wrong.npz", codes=codes)
    with pytest.raises(ValueError, match="must hold arrays"):
        make_problem(weights=str(tmp_path / "wrong.npz"))
