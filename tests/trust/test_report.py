"""The trust report: what is known, and that what is not known never passes for good."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import dfoattack as da
from dfoattack.errors import OptionError
from dfoattack.surrogate import CallableSurrogate
from dfoattack.trust.balls import Adversary, adverse, reach_of
from dfoattack.trust.mahalanobis import Moments

G = np.array([2.0, -1.0])


class Spy:
    """An affine network y = G x that counts its rows."""

    def __init__(self) -> None:
        self.passes = self.products = 0

    def predict(self, X: Any) -> Any:
        self.passes += X.shape[0]
        return X @ G[:, None]

    def vjp(self, X: Any, V: Any) -> Any:
        self.products += X.shape[0]
        return V @ G[None, :]

    def fingerprint(self) -> str:
        return "spy"


def affine(spy: Any = None, **more: Any) -> da.Problem:
    return da.Problem(
        objective=lambda y: y[:, 0],
        surrogate=spy or Spy(),
        space=da.Box([0.0, 0.0], [1.0, 1.0], names=["a", "b"]),
        constraints=[da.Constraint(lambda x, y: x.sum(axis=1) - 1.5, name="sum", tol=1e-6)],
        x0=[0.5, 0.5],
        backend="numpy",
        **more,
    )


def centre_data(seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(0.3, 0.7, size=(200, 2))


def at(problem: da.Problem, x: Any) -> Any:
    """A result of one evaluation, at x."""
    return da.solve(problem.replace(x0=x), budget=1)


# ---------------------------------------------------------------- unknown is unknown


def test_without_data_everything_is_unknown_and_nothing_fine() -> None:
    result = at(affine(), [0.5, 0.5])
    report = result.trust
    assert report is not None and report.verdict == "unknown" and report.level == "cheap"
    for name in ("distance", "percentile", "spread", "gradient_norm", "precision_gap", "verified", "gap"):
        assert math.isnan(getattr(report, name))
    assert report.outside is None and report.balls == () and report.fingerprint == ""
    assert {"outside", "percentile", "spread", "balls", "gradient_norm", "precision_gap", "verified"} <= set(
        report.unknown
    )
    assert "UNKNOWN (no training inputs are declared)" in report.text and "fine" not in report.text
    assert "true value: unknown" in report.brief
    assert all("UNKNOWN" in text or "unknown" in text for text in (str(result), report.brief))


def test_a_full_report_without_data_still_says_what_it_cannot_know() -> None:
    problem = affine()
    report = da.trust.report(problem, at(problem, [0.5, 0.5]))
    assert report is not None and report.verdict == "unknown"
    assert report.unknown["verified"] == "no simulator is declared"
    assert report.unknown["spread"] == "no ensemble"
    assert "one precision" in report.unknown["precision_gap"]
    assert all(math.isnan(ball.usual) for ball in report.balls) and len(report.balls) == 3
    assert math.isnan(report.gradient_percentile)


def test_no_model_no_report() -> None:
    problem = da.Problem(objective=lambda y: y[:, 0], space=[(0, 1)], x0=[0.5])
    result = da.solve(problem, budget=3)
    assert result.trust is None and "trust" not in str(result)


def test_the_report_can_be_switched_off_and_levels_are_checked() -> None:
    problem = affine(support=centre_data())
    assert da.solve(problem, budget=1, options={"trust": "off"}).trust is None
    with pytest.raises(OptionError, match="`trust` must be 'off', 'cheap' or 'full', got 'some'"):
        da.solve(problem, budget=1, options={"trust": "some"})
    with pytest.raises(OptionError, match="`trust` must be"):
        da.trust.report(problem, at(problem, [0.5, 0.5]), "some")


def test_a_probe_that_raises_makes_its_field_unknown() -> None:
    def verify(x: Any) -> float:
        raise OSError("the laboratory is closed")

    problem = affine(verify=verify)
    report = da.trust.report(problem, at(problem, [0.5, 0.5]))
    assert report is not None and math.isnan(report.verified)
    assert report.unknown["verified"] == "OSError: the laboratory is closed"


# ---------------------------------------------------------------- verdicts


@pytest.mark.parametrize(
    ("x", "verdict", "outside"),
    [([0.5, 0.5], "supported", []), ([0.5, 0.705], "edge", ["b"]), ([0.0, 0.9], "extrapolated", ["a", "b"])],
)
def test_verdicts(x: Any, verdict: str, outside: list[str]) -> None:
    report = at(affine(support=centre_data()), x).trust
    assert report is not None and report.verdict == verdict
    assert [b.name for b in report.outside] == outside
    assert report.training == 200 and 0.0 <= report.percentile <= 100.0
    assert (report.distance > report.farthest) == (verdict == "extrapolated")


def test_the_percentile_is_the_share_of_the_datas_own_distances() -> None:
    from dfoattack.trust.knn import NearestNeighbours

    X = centre_data()
    report = at(affine(support=X), [0.31, 0.31]).trust
    nearest = NearestNeighbours(X, 5)
    distance = nearest.distance(np.array([[0.31, 0.31]]))[0]
    assert report is not None and report.distance == pytest.approx(distance)
    assert report.percentile == pytest.approx(100.0 * np.mean(nearest.own < distance))


def test_where_only_moments_are_known_percentiles_are_those_of_normal_inputs() -> None:
    moments = Moments(np.array([0.5, 0.5]), np.eye(2) / 0.1**2)
    near = at(affine(support=moments), [0.5, 0.6]).trust
    far = at(affine(support=moments), [0.0, 0.5]).trust
    assert near is not None and far is not None
    assert near.verdict == "supported" and near.percentile == pytest.approx(100.0 * (1.0 - math.exp(-0.5)))
    assert far.verdict == "extrapolated" and far.outside is None and "if they were normal" in far.text


# ---------------------------------------------------------------- what is asked of user code


def test_the_cheap_report_calls_nothing_and_the_full_one_counts_what_it_calls() -> None:
    spy = Spy()
    problem = affine(spy, support=centre_data(), verify=lambda x: (x[0], -1.0))
    result = da.solve(problem, budget=40, options={"attacks": ()})
    before = (spy.passes, spy.products)
    assert before[0] == result.nphi
    da.trust.report(problem, result, "cheap")
    assert (spy.passes, spy.products) == before
    report = da.trust.report(problem, result)
    assert report is not None
    assert report.cost.nphi == spy.passes - before[0] > 0 and report.cost.ngev == spy.products - before[1] > 0
    assert report.counters.nfev == result.nfev == 40  # the run's own figures are untouched


def test_a_full_report_of_a_run_leaves_the_run_as_it_was() -> None:
    problem = affine(support=centre_data())
    cheap = da.solve(problem, budget=60, seed=3)
    full = da.solve(problem, budget=60, seed=3, options={"trust": "full"})
    assert full.cost == cheap.cost and full.x.tolist() == cheap.x.tolist()
    assert full.trust is not None and full.trust.level == "full" and full.trust.balls


def test_balls_of_an_affine_f_are_the_closed_form() -> None:
    problem = affine(support=centre_data())
    result = at(problem, [0.5, 0.5])
    report = da.trust.report(problem, result)
    assert report is not None
    for ball in report.balls:
        assert ball.loss == pytest.approx(ball.radius * np.abs(G).sum(), rel=1e-9)
        assert ball.worst == pytest.approx(report.predicted - ball.loss)
        assert ball.usual == pytest.approx(ball.loss, rel=1e-9)  # an affine f is as steep everywhere
    assert report.gradient_norm == pytest.approx(np.linalg.norm(G))


def test_truth_is_told_beside_the_prediction() -> None:
    problem = affine(verify=lambda x: (0.25, 0.5))
    report = da.trust.report(problem, at(problem, [0.5, 0.5]))
    assert report is not None and report.verified == 0.25 and report.gap == pytest.approx(0.25)
    assert "TRULY INFEASIBLE by 0.5" in report.text
    plain = da.trust.report(problem.replace(verify=lambda x: 0.25), at(problem, [0.5, 0.5]))
    assert plain is not None and math.isnan(plain.verified_violation)


def test_a_verify_that_answers_something_else_is_named() -> None:
    problem = affine(verify=lambda x: (1.0, 2.0, 3.0))
    report = da.trust.report(problem, at(problem, [0.5, 0.5]))
    assert report is not None and "`verify` must return f, or (f, violation)" in report.unknown["verified"]


def test_the_report_is_deterministic() -> None:
    problem = affine(support=centre_data())
    result = at(problem, [0.6, 0.5])
    assert da.trust.report(problem, result) == da.trust.report(problem, result)


# ---------------------------------------------------------------- the adversary


@pytest.mark.parametrize("sense", ["maximize", "minimize"])
def test_the_adversary_works_against_the_sense_and_stays_in_the_box(sense: str) -> None:
    problem = affine(sense=sense)
    target = adverse(problem)
    reach = reach_of(problem)
    view = da.Solver(target).evaluator.view()
    Z = np.array([[0.5, 0.5], [0.99, 0.01]])
    worst = Adversary(target, reach).worst(Z, np.array([0.01, 0.1]), view, np.random.default_rng(0))
    loss = (1.0 if sense == "maximize" else -1.0) * ((Z @ G)[:, None] - worst.f)
    assert loss[0] == pytest.approx([0.03, 0.3])
    assert loss[1] == pytest.approx(
        [0.03, 0.3] if sense == "maximize" else [0.03, 0.03]
    )  # the corner bounds what lowers f
    assert np.all(worst.Z >= 0.0) and np.all(worst.Z <= 1.0)


def test_granular_variables_are_held() -> None:
    problem = da.Problem(
        objective=lambda y: y[:, 0],
        surrogate=CallableSurrogate(lambda X: X @ G[:, None], lambda X, V: V @ G[None, :]),
        space=da.Box([0, 0], [4, 1], integer=[0]),
        x0=[2, 0.5],
        backend="numpy",
    )
    target = adverse(problem)
    view = da.Solver(target).evaluator.view()
    Z = np.array([[2.0, 0.5], [3.0, 0.5]])
    worst = Adversary(target, reach_of(problem)).worst(Z, np.array([0.1]), view, np.random.default_rng(0))
    assert worst.Z[:, 0, 0].tolist() == [2.0, 3.0]
    assert worst.f[:, 0] == pytest.approx(Z @ G - 0.1)
