"""The airfoil plug-in: network equal to NeuralFoil's, optima that hold, gradients, parameters, picture.

`REFERENCE_Y` was recorded with NeuralFoil 0.3.3 itself (AeroSandbox 4.2.10):
`get_aero_from_kulfan_parameters(..., TE_thickness=0, alpha, Re=2e6, model_size)` at the rows of `REFERENCE_X`.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")

from scipy.optimize import nnls  # noqa: E402

from dfoattack import Problem  # noqa: E402
from dfoattack.errors import MissingExtraError, ProblemError  # noqa: E402
from dfoattack_problems.airfoil import extract, geometry, model  # noqa: E402
from dfoattack_problems.airfoil.best_known import Design, SmoothProgramme  # noqa: E402
from dfoattack_problems.airfoil.definition import LOWER, START, UPPER, Goal, Limits  # noqa: E402
from dfoattack_problems.airfoil.model import AirfoilNet  # noqa: E402
from dfoattack_problems.airfoil.problem import make_problem  # noqa: E402

FloatArray = npt.NDArray[np.float64]

DECLARED: list[tuple[Goal, bool]] = [("cd", False), ("ld", False), ("cd", True), ("ld", True)]
ids = ["cd", "ld", "cd-robust", "ld-robust"]

REFERENCE_X = np.array(
    [
        [
            0.0607,
            0.1165,
            0.1955,
            0.3364,
            0.0672,
            0.5,
            0.4778,
            0.2141,
            -0.0603,
            -0.0115,
            -0.0893,
            -0.0428,
            -0.0939,
            -0.1056,
            -0.0997,
            -0.0445,
            0.3668,
            3.1715,
        ],
        [
            0.2211,
            0.215,
            0.5,
            0.5,
            0.3389,
            0.0505,
            0.0856,
            0.4503,
            -0.1283,
            -0.1929,
            0.25,
            -0.1482,
            0.0062,
            0.25,
            -0.1929,
            0.1909,
            0.9049,
            8.7854,
        ],
        [
            0.17,
            0.16,
            0.15,
            0.14,
            0.13,
            0.14,
            0.13,
            0.14,
            -0.17,
            -0.16,
            -0.15,
            -0.14,
            -0.13,
            -0.14,
            -0.13,
            -0.14,
            0.0,
            4.0,
        ],
        [
            0.1144,
            0.4171,
            0.4505,
            0.0183,
            0.1786,
            -0.0086,
            0.1957,
            0.0034,
            -0.2063,
            0.1677,
            -0.3296,
            -0.0326,
            -0.437,
            0.1245,
            0.0903,
            -0.3205,
            0.753,
            -3.8286,
        ],
    ]
)
REFERENCE_Y = {
    "xxsmall": [
        [
            0.7312616242067449,
            0.6558957451866929,
            0.006163192003135246,
            -0.08034083479434226,
            0.48858529577595955,
            0.876097102756127,
        ],
        [0.7403655261260571, 1.7129729843191357, 0.011845041380763671, -0.11344125445939816, 0.27420295751537327, 1.0],
        [
            0.9661813720586215,
            0.41145074652719016,
            0.006872653527011411,
            0.008992654110086828,
            0.14000866692767178,
            0.8476578676213591,
        ],
        [
            0.00040954512706111384,
            -0.025242444300090483,
            0.043353513674529644,
            0.0825172061864226,
            0.31649051151188035,
            0.0,
        ],
    ],
    "large": [
        [
            0.8999999665746925,
            0.8000142169420683,
            0.0037487913156432845,
            -0.10000913445018589,
            0.8218522633793888,
            0.9391730223344179,
        ],
        [0.8999925910553424, 1.7787482623731061, 0.0069188351383681285, -0.1000178649076022, 0.4042921245019526, 1.0],
        [
            0.9530820760883864,
            0.4083196308133526,
            0.006232091431813808,
            0.010672310892965576,
            0.18080307663324124,
            0.9438976739349987,
        ],
        [0.02961847929822879, -0.2107328135012677, 0.0523476203291078, 0.025405806195860293, 0.24148717788317753, 0.0],
    ],
}


def declared(goal: Goal, robust: bool) -> Problem:
    problem = make_problem(goal, robust=robust)
    assert problem.known is not None
    assert problem.known.x is not None
    return problem


def values(problem: Problem, X: FloatArray) -> tuple[FloatArray, FloatArray]:
    X = np.atleast_2d(X)
    return problem.outer(X, problem.forward(X))


def random_designs(k: int, seed: int = 0) -> FloatArray:
    return LOWER + (UPPER - LOWER) * np.random.default_rng(seed).random((k, 18))


# ------------------------------------------------------------------ the network


def numpy_twin(size: str, X: FloatArray, reynolds: float = 2e6, ncrit: float = 9.0) -> FloatArray:
    """The package's function, line by line in NumPy, one design at a time: (k, 18) -> (k, 6)."""
    folder = Path(model.__file__).parent / "weights"
    net, inputs = np.load(folder / f"{size}.npz"), np.load(folder / "inputs.npz")
    mean, inverse = inputs["mean"].astype(float), inputs["inverse_covariance"]

    def evaluate(v: FloatArray) -> FloatArray:
        n_layers = len(net.files) // 2
        h = v
        for i in range(n_layers):
            h = net[f"weight{i}"].astype(float) @ h + net[f"bias{i}"].astype(float)
            if i < n_layers - 1:
                h = h / (1.0 + np.exp(-h))
        h[0] -= (v - mean) @ inverse @ (v - mean) / (2 * 25)
        return h

    rows = []
    for x in X:
        a = np.deg2rad(x[17])
        flow = [(np.log(reynolds) - 12.5) / 3.5, (ncrit - 9.0) / 4.5, 1.0, 1.0]
        v = np.array([*x[:17], 0.0, np.sin(2 * a), np.cos(a), 1 - np.cos(a) ** 2, *flow])
        w = v.copy()
        w[:8], w[8:16] = -v[8:16], -v[:8]
        w[16], w[18] = -v[16], -v[18]
        w[23], w[24] = v[24], v[23]
        straight, flipped = evaluate(v), evaluate(w)
        back = flipped.copy()
        back[1], back[3] = -flipped[1], -flipped[3]
        back[4], back[5] = flipped[5], flipped[4]
        y = (straight + back) / 2
        rows.append(
            [
                1 / (1 + np.exp(-y[0])),
                y[1] / 2,
                np.exp((y[2] - 2) * 2),
                y[3] / 20,
                np.clip(y[4], 0, 1),
                np.clip(y[5], 0, 1),
            ]
        )
    return np.array(rows)


@pytest.mark.parametrize("size", sorted(REFERENCE_Y))
def test_network_equals_recorded_answers_of_the_package(size: str) -> None:
    expected = np.array(REFERENCE_Y[size])
    ours = AirfoilNet((size,))(torch.tensor(REFERENCE_X)).numpy()
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(ours[:, 2], expected[:, 2], rtol=1e-12)
    np.testing.assert_allclose(numpy_twin(size, REFERENCE_X), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", extract.SHIPPED_SIZES)
def test_network_equals_numpy_twin(size: str) -> None:
    X = random_designs(20)
    ours = AirfoilNet((size,), reynolds=3e5, ncrit=11.0)(torch.tensor(X)).numpy()
    np.testing.assert_allclose(ours, numpy_twin(size, X, 3e5, 11.0), rtol=0, atol=1e-12)


def test_mirrored_airfoil_has_mirrored_answers() -> None:
    X = random_designs(5)
    mirrored = np.hstack([-X[:, 8:16], -X[:, :8], -X[:, 16:]])
    y, z = (AirfoilNet()(torch.tensor(points)).numpy() for points in (X, mirrored))
    np.testing.assert_allclose(z, y[:, [0, 1, 2, 3, 5, 4]] * [1, -1, 1, -1, 1, 1], rtol=0, atol=1e-12)


def test_shipped_arrays_are_the_package_s_own() -> None:
    folder = extract.package_folder()
    if folder is None:
        pytest.skip("NeuralFoil is not installed")
    stored = Path(model.__file__).parent / "weights"
    for size in extract.SHIPPED_SIZES:
        for name, array in extract.network_arrays(folder, size).items():
            np.testing.assert_array_equal(np.load(stored / f"{size}.npz")[name], array)
    for name, array in extract.distribution_arrays(folder).items():
        np.testing.assert_array_equal(np.load(stored / "inputs.npz")[name], array)


def test_extract_keeps_six_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    layers = {"net.0.weight": (4, 25), "net.0.bias": (4,), "net.10.weight": (198, 4), "net.10.bias": (198,)}
    source = {name: rng.random(shape).astype(np.float32) for name, shape in layers.items()}
    np.savez(tmp_path / "nn-tiny.npz", **source)
    inputs = {"mean_inputs_scaled": np.zeros(25, np.float32), "inv_cov_inputs_scaled": np.eye(25)}
    np.savez(tmp_path / "scaled_input_distribution.npz", **inputs)
    monkeypatch.setattr(extract, "SHIPPED_SIZES", ("tiny",))
    extract.main(["--package", str(tmp_path), "--out", str(tmp_path / "out")])
    with np.load(tmp_path / "out" / "tiny.npz") as written:
        assert sorted(written.files) == ["bias0", "bias1", "weight0", "weight1"]
        np.testing.assert_array_equal(written["weight1"], source["net.10.weight"][:6])
        assert written["weight1"].dtype == np.float32
    with np.load(tmp_path / "out" / "inputs.npz") as written:
        np.testing.assert_array_equal(written["inverse_covariance"], np.eye(25))


def test_xxxlarge_comes_from_the_installed_package(monkeypatch: pytest.MonkeyPatch) -> None:
    model._arrays.cache_clear()
    monkeypatch.setattr(model, "package_folder", lambda: None)
    with pytest.raises(MissingExtraError, match=r"pip install --no-deps neuralfoil==0\.3\.3"):
        make_problem(size="xxxlarge")


# ------------------------------------------------------------------ geometry


def test_start_is_naca_0012() -> None:
    np.testing.assert_allclose(geometry.naca0012_weights(), geometry.NACA0012, rtol=0, atol=6e-9)
    s = np.linspace(0.01, 0.99, 99)
    y = 0.6 * (0.2969 * np.sqrt(s) - 0.1260 * s - 0.3516 * s**2 + 0.2843 * s**3 - 0.1036 * s**4)
    upper, lower = geometry.surfaces(START, s)
    np.testing.assert_allclose(upper, y, atol=1e-4)
    np.testing.assert_allclose(lower, -y, atol=1e-4)


def test_thickness_is_the_distance_of_the_surfaces() -> None:
    X = random_designs(4)
    t = geometry.thickness(torch.tensor(X)).numpy()
    for x, row in zip(X, t, strict=True):
        upper, lower = geometry.surfaces(x, geometry.STATIONS)
        np.testing.assert_allclose(row, upper - lower, rtol=0, atol=1e-15)
    assert t.shape == (4, 79)
    assert geometry.STATIONS[geometry.TE_STATION] == pytest.approx(0.9045, abs=1e-5)


# ------------------------------------------------------------------ the problem


def test_the_problem_is_what_it_says() -> None:
    problem = make_problem()
    assert (problem.n, problem.sense, problem.name) == (18, "maximize", "airfoil")
    assert problem.space.names == (*(f"u{i}" for i in range(1, 9)), *(f"l{i}" for i in range(1, 9)), "LE", "alpha")
    assert problem.space.units[-1] == "deg"
    f, C = values(problem, START)
    assert problem.p == C.shape[1] == 84
    assert f[0] == pytest.approx(-6.3177523, abs=1e-7)
    violated = {name for (name, _, _), c in zip(problem.columns, C[0], strict=True) if c > 0}
    assert violated == {"lift"}
    values(lift_over_drag := make_problem("ld"), START)
    assert lift_over_drag.p == 83


def test_objective_and_constraints_by_hand() -> None:
    X = random_designs(3)
    y = numpy_twin("large", X)
    t = geometry.thickness(torch.tensor(X)).numpy()
    f, C = values(make_problem(), X)
    np.testing.assert_allclose(f, -1000 * y[:, 2], rtol=1e-11)
    by_hand = [0.8 - y[:, 1], 0.9 - y[:, 0], -0.1 - y[:, 3], 0.12 - t.max(axis=1), 0.014 - t[:, 63]]
    np.testing.assert_allclose(C, np.column_stack([*by_hand, 1e-4 - t]), rtol=0, atol=1e-12)
    f, C = values(make_problem("ld", cl_min=0.5, confidence=0.5), X)
    np.testing.assert_allclose(f, 0.1 * y[:, 1] / y[:, 2], rtol=1e-11)
    np.testing.assert_allclose(C[:, :2], np.column_stack([0.5 - y[:, 1], 0.5 - y[:, 0]]), rtol=0, atol=1e-12)


def test_robust_takes_the_worse_of_two_networks() -> None:
    X = np.vstack([random_designs(20), START])
    for goal in ("cd", "ld"):
        parts = [values(make_problem(goal, size), X) for size in ("large", "xsmall")]
        f, C = values(make_problem(goal, robust=True, robust_size="xsmall"), X)
        np.testing.assert_allclose(f, np.minimum(parts[0][0], parts[1][0]), rtol=1e-11)
        np.testing.assert_allclose(C, np.maximum(parts[0][1], parts[1][1]), rtol=0, atol=1e-12)
        assert 0 < np.sum(parts[0][0] < parts[1][0]) < len(X)  # so f has a kink somewhere between


@pytest.mark.parametrize(("goal", "robust"), DECLARED, ids=ids)
def test_declared_optimum_holds_and_is_strictly_feasible(goal: Goal, robust: bool) -> None:
    problem = declared(goal, robust)
    x = problem.known.x
    f, C = values(problem, x)
    assert f[0] == pytest.approx(problem.known.value, abs=1e-9)
    assert np.max(C) <= 0.0
    assert problem.space.contains(x)
    batch = np.vstack([random_designs(6), x])
    assert np.max(values(problem, batch)[1][-1]) <= 0.0  # also where the matrix product adds in another order


@pytest.mark.parametrize(("goal", "robust"), DECLARED, ids=ids)
def test_nothing_better_is_found_near_by_or_at_random(goal: Goal, robust: bool) -> None:
    problem = declared(goal, robust)
    X = random_designs(10_000, seed=1)
    f, C = values(problem, X)
    feasible = C.max(axis=1) <= 0.0
    assert not np.any(f[feasible] > problem.known.value)
    programme = SmoothProgramme(goal, Limits.of(goal), ("large", "xxlarge") if robust else ("large",))
    rng = np.random.default_rng(2)
    near = problem.known.x + 0.02 * (UPPER - LOWER) * rng.standard_normal(18)
    for x0 in (near,) if robust else (START, near, X[np.argmin(C.max(axis=1))]):
        found = programme.solve(x0, iterations=30 if robust else 200)
        assert found.maxcv > 1e-8 or found.f <= problem.known.value + problem.known.tol


@pytest.mark.parametrize(("goal", "robust"), DECLARED, ids=ids)
def test_first_order_conditions_hold_at_the_declared_optimum(goal: Goal, robust: bool) -> None:
    """grad f is a cone combination of active gradients; with two networks of equal f, a convex mixture of theirs is."""
    problem = declared(goal, robust)
    x = problem.known.x
    programme = SmoothProgramme(goal, Limits.of(goal), ("large", "xxlarge") if robust else ("large",))
    width = UPPER - LOWER
    goals, goal_rows = programme.goals(x)
    slack, rows = programme.constraints(x, None)
    worst = goals <= goals.min() + 1e-8
    bounds = np.vstack([np.eye(18)[x == LOWER], -np.eye(18)[x == UPPER]])
    A = np.vstack([goal_rows[worst] * width, rows[slack < 1e-9] * width, bounds]).T
    mixture = 100.0 * np.r_[np.ones(worst.sum()), np.zeros(A.shape[1] - worst.sum())]  # weights of f sum to one
    scale = np.abs(goal_rows * width).max()
    _, residual = nnls(np.vstack([A / scale, mixture]), np.r_[np.zeros(18), 100.0])
    assert residual < 1e-5


def test_restore_makes_a_rounded_optimum_feasible_again() -> None:
    programme = SmoothProgramme("cd", Limits.of("cd"), ("large",))
    rounded = np.round(declared("cd", False).known.x, 9)
    assert programme.constraints(rounded, None)[0].min() < 0.0
    again = programme.restore(Design(rounded, 0.0, 1.0, 0))
    assert again.maxcv <= 0.0
    assert again.f == pytest.approx(-3.7487470764, abs=1e-6)


@pytest.mark.parametrize(("goal", "robust"), DECLARED, ids=ids)
def test_gradients_agree_with_central_differences(goal: Goal, robust: bool) -> None:
    problem = make_problem(goal, robust=robust)
    x = START + 0.02 * (UPPER - LOWER) * np.random.default_rng(3).standard_normal(18)
    _, C = values(problem, x)
    rng = np.random.default_rng(4)
    weights = rng.standard_normal(C.shape)
    X, step = x[None], 1e-5
    gradient = problem.vjp(X, problem.forward(X), np.ones(1), weights)[0]
    differences = np.empty(18)
    for i in range(18):
        above, below = x.copy(), x.copy()
        above[i] += step
        below[i] -= step
        (fa, Ca), (fb, Cb) = values(problem, above), values(problem, below)
        differences[i] = (fa[0] - fb[0] + np.sum(weights * (Ca - Cb))) / (2 * step)
    np.testing.assert_allclose(gradient, differences, rtol=1e-5, atol=1e-5 * np.abs(gradient).max())


def test_one_row_equals_the_same_row_of_a_batch() -> None:
    problem = make_problem(robust=True)
    X = random_designs(33)
    Y = problem.forward(X)
    for i in (0, 16, 32):
        np.testing.assert_allclose(problem.forward(X[i : i + 1])[0], Y[i], rtol=0, atol=1e-12)


def test_verify_is_the_largest_shipped_network() -> None:
    problem = make_problem("ld")
    assert problem.verify is not None
    assert problem.verify(START) == pytest.approx(values(make_problem("ld", "xxlarge"), START)[0][0], rel=1e-12)
    # The optimum of one network exploits its errors: the larger one gives this design a third less lift over drag.
    assert problem.verify(declared("ld", False).known.x) < 0.7 * problem.known.value


def test_a_changed_problem_declares_no_optimum() -> None:
    for change in ({"confidence": 0.95}, {"reynolds": 1e6}, {"size": "xsmall"}, {"cl_min": 0.7}):
        assert make_problem(**change).known is None
    assert make_problem(cl_min=0.8).known is not None


def test_fingerprint_tells_networks_flow_and_limits_apart() -> None:
    changes = ({}, {"size": "xsmall"}, {"robust": True}, {"reynolds": 1e6}, {"confidence": 0.95}, {"goal": "ld"})
    fingerprints = [str(make_problem(**change).fingerprint()) for change in changes]
    assert len(set(fingerprints)) == len(changes)
    assert fingerprints[0] == str(make_problem().fingerprint())


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"goal": "lift"}, r"`goal` must be 'cd' or 'ld', got 'lift'"),
        ({"size": "huge"}, r"`size` must be one of xxsmall, .*, got 'huge'"),
        ({"robust": True, "robust_size": "large"}, r"`robust_size` must differ from `size`, got 'large'"),
        ({"confidence": 1.0}, r"`confidence` must lie in \(0, 1\), got 1\.0"),
        ({"max_thickness": 0.0}, r"`max_thickness` must lie in \(0, 1\), got 0\.0"),
        ({"te_thickness": -0.1}, r"`te_thickness` must lie in \[0, 1\), got -0\.1"),
        ({"min_thickness": float("nan")}, r"`min_thickness` must lie in \[0, 1\), got nan"),
        ({"cl_min": float("inf")}, r"`cl_min` must be finite, got inf"),
        ({"cm_min": float("nan")}, r"`cm_min` must be finite, got nan"),
        ({"reynolds": 0.0}, r"`reynolds` must be positive and finite, got 0\.0"),
        ({"ncrit": float("nan")}, r"`ncrit` must be finite, got nan"),
    ],
)
def test_parameters_without_a_meaning_are_refused(parameters: dict[str, object], message: str) -> None:
    with pytest.raises(ProblemError, match=message):
        make_problem(**parameters)  # type: ignore[arg-type]  # wrong on purpose


def test_unknown_parameters_raise() -> None:
    with pytest.raises(TypeError):
        make_problem(sise="large")  # type: ignore[call-arg]  # wrong on purpose


def test_picture_shows_both_airfoils_and_the_limits() -> None:
    figure = pytest.importorskip("matplotlib.figure").Figure()
    problem = make_problem(max_thickness=0.13)
    assert problem.picture is not None
    problem.picture(SimpleNamespace(x=declared("cd", False).known.x, fun=-3.75), figure)
    shape, thick = figure.axes
    assert [text.get_text() for text in shape.get_legend().get_texts()] == [
        "start: NACA 0012, 4.00 deg",
        "result, 3.17 deg",
    ]
    assert "-3.75" in shape.get_title()
    heights = [line.get_ydata()[0] for line in thick.get_lines()[2:]]
    np.testing.assert_allclose(np.ravel(heights), [0.13, 0.014, 1e-4])
    figure.canvas.draw()
