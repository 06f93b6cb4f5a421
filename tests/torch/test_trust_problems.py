"""What the plug-ins declare about their training data, and what the trust report makes of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")

import dfoattack as da
from dfoattack.named_problems import find
from dfoattack.trust.mahalanobis import Moments


def at(problem: da.Problem, x: Any) -> Any:
    result = da.solve(problem.replace(x0=x), budget=1)
    return result


@pytest.mark.parametrize(("support", "box"), [("wide", (1.0, 0.0, 0.4)), ("narrow", (0.5, 0.2, 0.3))])
def test_biodiesel_declares_inputs_of_its_training(support: str, box: tuple[float, float, float]) -> None:
    problem = find("biodiesel").make({"support": support})
    X = problem.support
    assert X.shape[1] == 2 and len(X) > 500
    assert X[:, 0].min() == 0.0 and X[:, 0].max() == pytest.approx(box[0])
    assert X[:, 1].min() == pytest.approx(box[1]) and X[:, 1].max() == pytest.approx(box[2])


def test_the_optimum_of_a_badly_supported_network_is_called_extrapolated_and_is_not_true() -> None:
    problem = find("biodiesel").make({"head": "soft", "support": "narrow"})
    result = at(problem, problem.known.x)
    report = da.trust.report(problem, result)
    assert report is not None and report.verdict == "extrapolated" and report.outside
    assert report.predicted == pytest.approx(problem.known.value) and report.gap > 1.0
    assert report.precision_gap < 1e-2 and report.balls and report.cost.ngev > 0


def test_the_default_network_is_supported_and_nearly_true() -> None:
    problem = find("biodiesel").make({})
    report = da.trust.report(problem, at(problem, problem.known.x))
    assert report is not None and report.verdict == "supported" and report.outside == ()
    assert abs(report.gap) < 0.01 and report.gradient_percentile > 0.0


def test_the_airfoil_knows_the_moments_of_its_training_inputs() -> None:
    problem = find("airfoil").make({})
    assert isinstance(problem.support, Moments) and problem.support.degrees == 25
    X = np.array([problem.x0[0], problem.known.x])
    gradient = problem.support.gradient(X)
    for j in (0, 9, 16, 17):
        h = np.eye(18)[j] * 1e-5
        expected = (problem.support.distance(X + h) - problem.support.distance(X - h)) / 2e-5
        assert gradient[:, j] == pytest.approx(expected, rel=1e-4, abs=1e-6)
    start, best = at(problem, X[0]).trust, at(problem, X[1]).trust
    assert start.verdict == "supported" and best.verdict == "edge"
    assert "if they were normal" in best.text and best.outside is None
