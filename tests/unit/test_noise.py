"""Estimates of noisy values: spread, means, outliers, cautious values, verdicts."""

from __future__ import annotations

import math

import numpy as np
import pytest

import dfoattack as da
from dfoattack.barrier import Columns
from dfoattack.cache import History
from dfoattack.certificate import Certificate
from dfoattack.errors import OptionError
from dfoattack.noise import NO_SPREAD, NoiseState, Spread, cautious, resolution, with_evaluations, with_replicates
from dfoattack.trials import Counters, Evaluations

NONE = Counters()


def told(X: np.ndarray, F: list[float], C: np.ndarray | None = None) -> Evaluations:
    k = len(F)
    values = np.array(F, dtype=np.float64)
    status = np.where(np.isfinite(values), 0, 1).astype(np.int8)
    return Evaluations(X, values, np.empty((k, 0)) if C is None else C, status, NONE)


def known(F: list[float], option: str | float = "auto", C: np.ndarray | None = None) -> tuple[NoiseState, History]:
    """One evaluation of each of the points (0,), (1,), ..."""
    X = np.arange(float(len(F)))[:, None]
    first = told(X, F, C)
    zero = np.zeros(len(F))
    history = History.empty(1).extended(X, first.F, first.F, zero, zero, zero, first.C, first.status, 0, 0)
    return with_evaluations(NoiseState.start(option, 1), first, zero, 0, 0), history


def again(
    noise: NoiseState, history: History, row: int, values: list[float], C: np.ndarray | None = None
) -> tuple[NoiseState, np.ndarray]:
    """The state and the estimates after more evaluations of one point."""
    more = told(np.full((len(values), 1), float(row)), values, C)
    noise, f, _ = with_replicates(with_evaluations(noise, more, np.zeros(len(values)), 1, 0), history, more)
    return noise, f


@pytest.mark.parametrize("relative", [False, True])
def test_the_spread_is_found_and_whether_it_grows_with_the_values(relative: bool) -> None:
    rng = np.random.default_rng(3)
    spread = NO_SPREAD
    for mean in np.tile([1.0, 10.0, 100.0], 60):
        a, b = mean + (0.05 * mean if relative else 0.5) * rng.standard_normal(2)
        spread = spread.with_residual((a - b) ** 2 / 2.0, (a + b) / 2.0)
    assert spread.proportional == relative
    got = spread.deviation(np.array([1.0, 100.0]))
    assert got == pytest.approx([0.05, 5.0] if relative else [0.5, 0.5], rel=0.3)


def test_a_spread_of_equal_values_is_zero_and_an_unknown_one_too() -> None:
    assert NO_SPREAD.deviation(np.array([1.0, np.inf])).tolist() == [0.0, 0.0]
    same = Spread().with_residual(0.0, 0.0)
    assert same.deviation(np.array([2.0])).tolist() == [0.0] and not same.proportional


def test_estimates_are_means_and_errors_shrink_with_their_number() -> None:
    noise, history = known([5.0, 7.0], 0.5)
    noise, f = again(noise, history, 0, [5.5, 4.8])
    assert f == pytest.approx([15.3 / 3.0, 7.0])
    assert (noise.count(0), noise.count(1), noise.replicates, noise.raw.size) == (3, 1, 2, 4)
    assert noise.error(history, 0) == pytest.approx(0.5 / math.sqrt(3.0))
    assert noise.raw.f.tolist() == [5.0, 7.0, 5.5, 4.8]


def test_a_failed_repetition_changes_no_estimate() -> None:
    noise, history = known([5.0], 0.5)
    noise, f = again(noise, history, 0, [math.inf])
    assert f.tolist() == [5.0] and noise.count(0) == 1 and noise.replicates == 1


def test_a_lucky_value_does_not_survive_one_repetition_nor_a_majority() -> None:
    noise, history = known([-1000.0, 1.0], 0.5)
    one, f = again(noise, history, 0, [2.0])
    assert f[0] == 2.0 and one.count(0) == 1
    many, f = again(one, history, 0, [2.2, 2.4])
    assert f[0] == pytest.approx(2.2) and many.count(0) == 3


def test_an_outlier_does_not_blow_up_the_estimated_noise() -> None:
    noise, history = known([0.0, -1000.0])
    noise, _ = again(noise, history, 0, [0.1, -0.1, 0.05])
    before = float(noise.sigma(np.zeros(1))[0])
    noise, f = again(noise, history, 1, [0.0])
    assert 0.0 < before < 0.2 and float(noise.sigma(np.zeros(1))[0]) < 5.0 * before
    assert f[1] == 0.0


def test_cautious_values_prefer_the_better_known_of_equal_points() -> None:
    noise, history = known([1.0, 1.0], 0.4)
    noise, f = again(noise, history, 1, [1.0, 1.0, 1.0])
    F = cautious(noise, told(history.X, f.tolist()), None, noise.all_counts(2)).F
    assert F == pytest.approx([1.4, 1.2])


def test_constraints_get_a_margin_equalities_do_not() -> None:
    C = np.array([[-0.1, 0.2]])
    noise, history = known([1.0], 0.4, C)
    noise, _ = again(noise, history, 0, [1.0, 1.0], np.array([[-0.3, 0.4], [-0.2, 0.3]]))
    columns = Columns(np.zeros(2), np.ones(2), np.zeros(2, bool), np.array([False, True]), np.zeros(2, bool))
    got = cautious(noise, told(history.X, [1.0], C), columns).C[0]
    assert got[0] > -0.1 and got[1] == 0.2


def test_certain_needs_two_standard_errors_of_the_difference() -> None:
    noise, history = known([10.0], 1.0)
    band = 2.0 * math.sqrt(2.0)
    assert noise.certain(10.0 - band - 0.01, 1.0, history, 0)
    assert not noise.certain(10.0 - band + 0.01, 1.0, history, 0)


def test_without_noise_or_models_there_is_no_resolution() -> None:
    noise, history = known([10.0], 1.0)
    assert resolution(None, history, 0, None) == 0.0 == resolution(noise, history, 0, None)


def test_certificates_speak_of_improvements_beyond_the_noise() -> None:
    plain = Certificate(1.0, 9, 0.4, 100, 0.1, True, 50, 0.09, 0.99, False, "")
    noisy = Certificate(1.0, 9, 0.4, 100, 0.1, True, 50, 0.09, 0.99, False, "", 0.25)
    assert "of the ball improves (50 uniform" in plain.text
    assert "of the ball improves by more than 0.25, 2 standard deviations of normal noise (50 uniform" in noisy.text
    lattice = Certificate(1.0, 9, 0.4, 100, 0.1, True, 50, 0.09, 0.99, True, "", 0.25)
    assert "exact" not in lattice.text and "none seen to be better by more than 0.25" in lattice.text


def test_several_objectives_refuse_the_option() -> None:
    problem = da.MultiProblem(
        objective=lambda y: np.stack([y[:, 0], -y[:, 0]], axis=1),
        space=da.Box([0], [1]),
        sense=("minimize", "minimize"),
    )
    with pytest.raises(OptionError, match="`noise` must be None"):
        da.MultiSolver(problem, {"noise": "auto"}, budget=10)
