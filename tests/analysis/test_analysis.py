"""Attack analysis: rates where they are known, honest counts, every installed operator, tables, picture, command."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack import registry
from dfoattack.analysis import analyse, draw
from dfoattack.analysis.points import SAMPLES, THIRDS
from dfoattack.analysis.text import order, rates_text
from dfoattack.attacks.base import AttackOperator, Displacements
from dfoattack.cli import main
from dfoattack.errors import OptionError
from dfoattack.surrogate import CallableSurrogate

FAST = ("sign", "l2", "pgd", "none")


def network(**more: Any) -> da.Problem:
    """Maximise -|x - a|^2 in a box, a inside."""
    a = np.array([0.3, 0.6])
    arguments: dict[str, Any] = {
        "objective": lambda y: y[:, 0],
        "surrogate": CallableSurrogate(
            lambda X: -((X - a) ** 2).sum(axis=1, keepdims=True), lambda X, V: -2.0 * (X - a) * V
        ),
        "space": da.Box([0.0, 0.0], [1.0, 1.0]),
        "x0": [0.9, 0.1],
        "backend": "numpy",
    }
    return da.Problem(**{**arguments, **more})


class Hostile(AttackOperator):
    """Raises."""

    name = "hostile"

    def _propose(self, target: Any, radii: Any, view: Any, rng: Any) -> Displacements:
        raise RuntimeError("no mood")


class Uphill(AttackOperator):
    """Goes the wrong way."""

    name = "uphill"

    def _propose(self, target: Any, radii: Any, view: Any, rng: Any) -> Displacements:
        rows = []
        for i, g in enumerate(view.grad(target.X)):
            rows.append((radii[0] * target.weights * np.sign(g), i, float(radii[0])))
        return Displacements.from_rows(target.X.shape[1], rows)


# ---------------------------------------------------------------- points


def test_points_come_from_the_box_and_from_a_run_and_are_ranked() -> None:
    problem = network()
    points = draw(problem, 12, seed=1)
    counts = [int((points.sample == i).sum()) for i in range(len(SAMPLES))]
    assert counts[0] == 12 and 1 <= counts[1] <= 12 and points.failed == 0
    assert np.all(
        np.diff([points.F[points.third == i].mean() for i in range(len(THIRDS))]) < 0.0
    )  # minimised: best last
    assert points.F.argmin() in np.flatnonzero(points.third == 2)
    again = draw(problem, 12, seed=1)
    assert again.Z.tolist() == points.Z.tolist()
    assert draw(problem, 12, seed=2).Z.tolist() != points.Z.tolist()


def test_points_respect_lattices_linear_constraints_and_failures() -> None:
    space = da.Box([0.0, 0.0], [4.0, 1.0], integer=[0])
    problem = network(space=space, x0=[1.0, 0.1], linear=[da.Linear([[0.0, 1.0]], upper=[0.5])])
    Z = draw(problem, 15).Z
    assert np.all(Z[:, 0] == np.rint(Z[:, 0])) and np.all(Z[:, 1] <= 0.5)
    failing = network(objective=lambda y: np.where(y[:, 0] < -0.2, np.nan, y[:, 0]), x0=[0.3, 0.5])
    points = draw(failing, 30)
    assert points.failed > 0 and np.isfinite(points.F).all()
    with pytest.raises(OptionError, match="`points` must be an integer >= 3, got 2"):
        draw(problem, 2)


# ---------------------------------------------------------------- rates


def test_descent_succeeds_below_the_known_radius_and_only_there() -> None:
    problem = network()
    points = draw(problem, 20)
    rates = analyse(problem, points, operators=["l2"], radii=(1e-3, 0.2))
    distance = np.linalg.norm(points.Z - np.array([0.3, 0.6]), axis=1)
    # A step of length r towards the optimum improves iff r < 2 distance.
    for j, radius in enumerate((1e-3, 0.2)):
        clear = np.abs(2.0 * distance - radius) > 1e-9
        assert rates.success[0, clear, j].tolist() == (radius < 2.0 * distance[clear]).tolist()


def test_the_wrong_way_and_no_way_never_succeed_and_a_broken_operator_spoils_its_row_only() -> None:
    problem = network()
    rates = analyse(problem, draw(problem, 6), operators=[Uphill(), "none", "sign", Hostile()])
    assert rates.operators == ("uphill", "none", "sign")
    shares = rates.at_some_radius(rates.points.sample == 0)  # the run's last points are the optimum itself
    assert shares.tolist() == [0.0, 0.0, 1.0]
    assert rates.proposed[0, rates.points.sample == 0, :-1].all() and not rates.proposed[1].any()
    assert rates.unusable == {"hostile": "RuntimeError: no mood"}


def test_costs_are_what_user_code_saw() -> None:
    seen = {"products": 0}
    a = np.array([0.3, 0.6])

    def vjp(X: Any, V: Any) -> Any:
        seen["products"] += X.shape[0]
        return -2.0 * (X - a) * V

    problem = network(surrogate=CallableSurrogate(lambda X: -((X - a) ** 2).sum(axis=1, keepdims=True), vjp))
    points = draw(problem, 8, budget=20)
    seen["products"] = 0
    rates = analyse(problem, points, operators=["sign", "pgd"])
    assert rates.products.sum() == seen["products"] > 0
    assert rates.attacks().tolist() == [len(points) * 6] * 2
    assert rates.passes[0] == 0.0  # a ladder looks at nothing before it proposes
    assert rates.tried[:, -1].tolist() == [False, False]


def test_infeasible_points_succeed_by_less_violation_and_feasible_ones_stay_feasible() -> None:
    problem = network(constraints=[da.Constraint(lambda x, y: x[:, 0] - 0.2, name="c")], x0=[0.1, 0.1])
    points = draw(problem, 20)
    assert (points.h > 0.0).any() and (points.h == 0.0).any()
    rates = analyse(problem, points, operators=["sign"], radii=(1e-4,))
    infeasible = points.h > 0.0
    assert rates.success[0, infeasible, 0].all()  # a small step with less violation always exists here
    assert rates.at_some_radius(infeasible)[0] == 1.0


def test_every_installed_operator_is_in_the_table_or_named_with_a_reason() -> None:
    problem = network()
    rates = analyse(problem, draw(problem, 3, budget=20), radii=(1e-2,))
    names = set(registry.names(registry.ATTACKS))
    assert names <= {*rates.operators, *rates.unusable}
    assert "flips" in rates.unusable and "granular" in rates.unusable["flips"]
    polishes = [i for i, tried in enumerate(rates.tried) if tried[-1]]
    assert polishes and all(not rates.tried[i, 0] for i in polishes)


def test_granular_variables_are_flipped_and_never_left_in_between() -> None:
    asked: list[Any] = []

    def predict(X: Any) -> Any:
        asked.append(X.copy())
        return -((X - np.array([3.0, 0.6])) ** 2).sum(axis=1, keepdims=True)

    space = da.Box([0.0, 0.0], [5.0, 1.0], integer=[0])
    surrogate = CallableSurrogate(predict, lambda X, V: -2.0 * (X - np.array([3.0, 0.6])) * V)
    problem = network(space=space, surrogate=surrogate, x0=[1.0, 0.1])
    rates = analyse(problem, draw(problem, 6, budget=30), operators=["flips", "pgd"], radii=(0.1,))
    assert rates.operators == ("flips", "pgd")
    X = np.vstack(asked)
    assert np.all(X[:, 0] == np.rint(X[:, 0]))


def test_estimated_gradients_where_there_are_no_exact_ones() -> None:
    problem = network(surrogate=lambda X: -((X - 0.4) ** 2).sum(axis=1))
    points = draw(problem, 6, budget=30)
    with pytest.raises(OptionError, match="gradient_source"):
        analyse(problem, points, operators=["sign"])
    rates = analyse(problem, points, operators=["sign"], gradient_source="forward")
    assert rates.gradient_source == "forward" and rates.products[0] == 0.0 and rates.passes[0] > 0.0
    assert rates.at_some_radius(np.ones(len(points), dtype=bool))[0] > 0.7


def test_rates_are_deterministic_and_progress_is_told() -> None:
    problem = network()
    points = draw(problem, 5, budget=20)
    told: list[Any] = []
    first = analyse(problem, points, operators=FAST, progress=lambda done, total, text: told.append((done, total)))
    again = analyse(problem, points, operators=FAST)
    assert first.success.tolist() == again.success.tolist() and first.passes.tolist() == again.passes.tolist()
    assert told[-1] == (28, 28) and [done for done, _ in told] == list(range(1, 29))


@pytest.mark.parametrize(("radii", "shown"), [((0.0,), r"\[0.0\]"), ((), r"\[\]"), ((2.0,), r"\[2.0\]")])
def test_wrong_radii_are_named(radii: Any, shown: str) -> None:
    problem = network()
    with pytest.raises(OptionError, match=rf"`radii` must be numbers in \(0, 1\], got {shown}"):
        analyse(problem, draw(problem, 3, budget=5), radii=radii)


def test_wrong_names_are_named() -> None:
    problem = network()
    with pytest.raises(OptionError, match="Did you mean 'sign'"):
        analyse(problem, draw(problem, 3, budget=5), operators=["sing"])


# ---------------------------------------------------------------- what is shown


def test_the_tables_hold_every_operator_and_every_group() -> None:
    problem = network()
    rates = analyse(problem, draw(problem, 6, budget=30), operators=FAST)
    text = rates_text(rates)
    for word in (*FAST, "1e-06", "worst third", "best third", "uniform", "run", "products"):
        assert word in text
    best = [rates.operators[i] for i in order(rates)]
    assert best[-1] == "none"


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from dfoattack.analysis.picture import save

    problem = network()
    rates = analyse(problem, draw(problem, 4, budget=20), operators=[*FAST, "sqp"])
    file = tmp_path / "rates.png"
    save(file, rates, "toy")
    assert file.read_bytes()[:4] == b"\x89PNG"


PROBLEM_FILE = """
import numpy as np
import dfoattack as da
from dfoattack.surrogate import CallableSurrogate

def make_problem(shift: float = 0.4):
    net = CallableSurrogate(lambda X: -((X - shift) ** 2).sum(1, keepdims=True), lambda X, V: -2 * (X - shift) * V)
    return da.Problem(objective=lambda y: y[:, 0], surrogate=net, space=da.Box([0, 0], [1, 1]), x0=[0.9, 0.9], backend="numpy")
"""


def test_the_command(tmp_path: Path, capsys: Any) -> None:
    file = tmp_path / "toy.py"
    file.write_text(PROBLEM_FILE)
    words = [
        "analyse",
        str(file),
        "--points",
        "4",
        "--budget",
        "20",
        "--operators",
        "sign,none",
        "--radii",
        "1e-3,1e-2",
    ]
    assert main([*words, "--set", "shift=0.2", "--quiet"]) == 0
    out, err = capsys.readouterr()
    assert "by radius" in out and "sign" in out and "0.001" in out and not err.strip()
    assert main([*words, "--radii", "a,b"]) == 2
    assert "`--radii` must be numbers separated by commas, got 'a,b'" in capsys.readouterr().err
    assert main(["analyse", str(file), "--operators", "sing"]) == 2
    assert "Did you mean 'sign'" in capsys.readouterr().err


def test_the_command_explains_itself(capsys: Any) -> None:
    assert main(["analyse", "--help"]) == 0
    out = capsys.readouterr().out
    for word in ("--points", "--operators", "--radii", "worst", "--plot", "exit codes"):
        assert word in out
