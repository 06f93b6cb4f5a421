"""The contract of an attack operator, as tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dfoattack._typing import FloatArray
from dfoattack.attacks.base import Displacements, Target
from dfoattack.testing.views import FunctionView, target_at

__all__ = ["AttackContract"]

_LOWER, _UPPER = np.array([-1.0, -2.0, -0.5, -1.0]), np.array([1.0, 2.0, 0.5, 1.0])
_WEIGHTS = np.array([1.0, 0.5, 0.25, 1.0])
_CENTRES = np.array([[0.3, -0.2, 0.1, 0.4], [-1.0, 2.0, 0.5, 0.9], [0.9, 1.5, -0.4, -0.8]])


def _fun(z: FloatArray) -> float:
    return float((z[0] - 0.5) ** 2 + 2.0 * (z[1] + z[2]) ** 2 + np.sin(z[3]) + 0.1 * z @ z)


def _grad(z: FloatArray) -> FloatArray:
    both = 4.0 * (z[1] + z[2])
    return np.array([2.0 * (z[0] - 0.5), both, both, np.cos(z[3])]) + 0.2 * z


def _con(z: FloatArray) -> FloatArray:
    return np.array([z[0] ** 2 + z[1] ** 2 - 1.5, -z[3] - z[0] - 0.6])


def _jac(z: FloatArray) -> FloatArray:
    return np.array([[2.0 * z[0], 2.0 * z[1], 0.0, 0.0], [-1.0, 0.0, 0.0, -1.0]])


class AttackContract:
    """Subclass in a test file (class name Test...) and override `operator`.

    The problem is smooth, has four variables and two constraints; the three centres are one feasible point, one vertex of the
    box that is infeasible, and one infeasible point inside.

    Attributes
    ----------
    radii : (q,)            radii the operator is called with
    random : bool           the operator draws random numbers: two seeds may then differ
    independent : bool      what is proposed for a centre does not depend on the other centres
    """

    radii: FloatArray = np.array([0.3, 0.05])
    random: bool = False
    independent: bool = True

    @pytest.fixture
    def operator(self) -> Any:
        """Return the operator; override."""
        raise NotImplementedError("override the fixture `operator`")

    def make_view(self, **settings: Any) -> FunctionView:
        """A fresh view of the test problem; settings as for `FunctionView`."""
        return FunctionView(4, _fun, _grad, _con, _jac, **settings)

    def make_target(self, view: FunctionView) -> Target:
        """The three centres."""
        return target_at(view, _CENTRES, _LOWER, _UPPER, _WEIGHTS)

    def propose(self, operator: Any, view: FunctionView, seed: int = 0) -> tuple[Target, Displacements]:
        target = self.make_target(view)
        return target, operator(target, self.radii, view, np.random.default_rng(seed))

    def test_it_has_a_name_and_shows_its_parameters(self, operator: Any) -> None:
        assert operator.name
        assert repr(operator).startswith(type(operator).__name__ + "(")

    def test_shapes_and_finiteness(self, operator: Any) -> None:
        target, found = self.propose(operator, self.make_view())
        k = len(found)
        assert found.D.shape == (k, 4)
        assert found.centre.shape == found.radius.shape == (k,)
        assert np.all(np.isfinite(found.D))
        assert np.all(np.any(found.D != 0.0, axis=1))
        assert np.all((found.centre >= 0) & (found.centre < len(target.X)))
        assert found.gradient is None or (
            found.gradient.shape == target.X.shape and bool(np.all(np.isfinite(found.gradient)))
        )

    def test_promise_of_radius_and_box(self, operator: Any) -> None:
        """max_i abs(d_i) / weights_i <= radius exactly, and every trial in the box but for the rounding of the sum."""
        target, found = self.propose(operator, self.make_view())
        assert np.all(np.abs(found.D) <= found.radius[:, None] * target.weights)
        Z = target.X[found.centre] + found.D
        assert np.all((Z >= np.nextafter(_LOWER, -np.inf)) & (Z <= np.nextafter(_UPPER, np.inf)))

    def test_same_seed_same_rows(self, operator: Any) -> None:
        first = self.propose(operator, self.make_view(), 3)[1]
        again = self.propose(operator, self.make_view(), 3)[1]
        assert first.D.tobytes() == again.D.tobytes()
        if not self.random:
            assert first.D.tobytes() == self.propose(operator, self.make_view(), 4)[1].D.tobytes()

    def test_it_keeps_no_state_and_changes_no_argument(self, operator: Any) -> None:
        view = self.make_view()
        before, target = dict(vars(operator)), self.make_target(view)
        copies = {name: np.array(value) for name, value in vars(target).items()}
        operator(target, self.radii, view, np.random.default_rng(0))
        assert dict(vars(operator)) == before
        for name, value in copies.items():
            np.testing.assert_array_equal(getattr(target, name), value)

    def test_a_centre_gets_the_same_rows_alone_and_in_a_block(self, operator: Any) -> None:
        if self.random or not self.independent:
            pytest.skip("this operator's rows may depend on the block")
        target, together = self.propose(operator, self.make_view())
        for i in range(len(target.X)):
            view = self.make_view()
            parts = {name: getattr(self.make_target(view), name)[i : i + 1] for name in ("X", "F", "C")}
            alone = operator(Target(**{**vars(target), **parts}), self.radii, view, np.random.default_rng(0))
            assert alone.D.tobytes() == together.D[together.centre == i].tobytes()

    def test_without_a_slope_nothing_breaks(self, operator: Any) -> None:
        """F and c are constant: no gradient, nothing to gain, no row beyond the radius."""
        view = FunctionView(
            4, lambda z: 1.0, np.zeros_like, lambda z: np.array([1.0, -1.0]), lambda z: np.zeros((2, 4))
        )
        target = target_at(view, _CENTRES, _LOWER, _UPPER, _WEIGHTS)
        found = operator(target, self.radii, view, np.random.default_rng(0))
        assert np.all(np.isfinite(found.D))
        assert np.all(np.abs(found.D) <= found.radius[:, None] * target.weights)

    def test_one_variable_one_output(self, operator: Any) -> None:
        """n = m = 1: a direction that subtracts a mean over the outputs would be zero here."""
        view = FunctionView(1, lambda z: float(z[0]), np.ones_like)
        target = target_at(view, np.array([[0.0], [0.9]]), -1.0, 1.0)
        found = operator(target, self.radii, view, np.random.default_rng(0))
        assert np.all(np.abs(found.D) <= found.radius[:, None])
        assert len(found) == 0 or np.min(found.D) < 0.0

    def test_nothing_returned_nothing_drawn(self, operator: Any) -> None:
        """Without gradients an operator that returns nothing leaves the generator alone."""
        view, rng = self.make_view(has_gradient=False), np.random.default_rng(0)
        found = operator(self.make_target(view), self.radii, view, rng)
        if len(found) == 0:
            assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state

    @pytest.mark.parametrize("budget", [0.0, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 50.0])
    def test_budget_is_never_exceeded(self, operator: Any, budget: float) -> None:
        view = self.make_view(budget=budget)
        self.propose(operator, view)
        assert view.spent <= budget

    def test_counters_are_the_calls(self, operator: Any) -> None:
        """No point is paid for twice, and none is visited without being counted."""
        view = self.make_view()
        self.propose(operator, view)
        assert view.passes == len(view.seen) == len({z.tobytes() for z in view.seen})

    def test_hostile_gradients_do_no_harm(self, operator: Any) -> None:
        """NaN gradients (the view turns them into zeros) give valid rows or none."""
        target, found = self.propose(operator, self.make_view(hostile=True))
        assert np.all(np.isfinite(found.D))
        assert np.all(np.abs(found.D) <= found.radius[:, None] * target.weights)

    def test_failed_centres_are_survived(self, operator: Any) -> None:
        view = self.make_view()
        target = self.make_target(view)
        target.F[0], target.C[0] = np.inf, np.nan
        found = operator(target, self.radii, view, np.random.default_rng(0))
        assert np.all(np.isfinite(found.D))
