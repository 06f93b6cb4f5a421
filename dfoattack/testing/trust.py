"""The contract of a measure of distance to the training data, as tests."""

from __future__ import annotations

import numpy as np
import pytest

from dfoattack._fingerprint import fingerprint_of
from dfoattack._typing import FloatArray
from dfoattack.trust.support import Measure

__all__ = ["MeasureContract"]


class MeasureContract:
    """Subclass in a test file (class name Test...), override `measure` and `points`.

    A measure is what `Problem(support=...)` takes instead of training inputs: `name`, `own`, `distance` and `gradient`.

    Attributes
    ----------
    gradient_tol : float        relative, against central differences
    difference_step : float     user units
    """

    gradient_tol: float = 1e-5
    difference_step: float = 1e-6

    @pytest.fixture
    def measure(self) -> Measure:
        """Return a new measure; override."""
        raise NotImplementedError("override the fixture `measure`")

    @pytest.fixture
    def points(self) -> FloatArray:
        """Return designs (k, n), k >= 3, at which the distance is smooth; override."""
        raise NotImplementedError("override the fixture `points`")

    def test_distances_are_finite_numbers_not_below_zero(self, measure: Measure, points: FloatArray) -> None:
        """(k,) for many points and for one."""
        for rows in (points, points[:1]):
            d = measure.distance(rows)
            assert d.shape == (len(rows),) and d.dtype == np.float64
            assert np.isfinite(d).all() and np.all(d >= 0.0)

    def test_rows_do_not_depend_on_each_other(self, measure: Measure, points: FloatArray) -> None:
        """One row gives what the same row of a batch gives."""
        together, slopes = measure.distance(points), measure.gradient(points)
        for i in range(len(points)):
            assert measure.distance(points[i : i + 1])[0] == pytest.approx(together[i], rel=1e-12)
            assert measure.gradient(points[i : i + 1])[0] == pytest.approx(slopes[i], rel=1e-9, abs=1e-12)

    def test_gradients_agree_with_differences(self, measure: Measure, points: FloatArray) -> None:
        """In every variable, by central differences."""
        slopes = measure.gradient(points)
        assert slopes.shape == points.shape
        scale = float(np.max(np.abs(slopes), initial=1e-300))
        for j in range(points.shape[1]):
            h = np.zeros(points.shape[1])
            h[j] = self.difference_step
            expected = (measure.distance(points + h) - measure.distance(points - h)) / (2.0 * self.difference_step)
            assert np.max(np.abs(slopes[:, j] - expected)) <= self.gradient_tol * scale

    def test_own_distances_are_sorted(self, measure: Measure) -> None:
        """Those of the training inputs themselves; none where they are not known."""
        assert measure.own.ndim == 1 and np.all(np.diff(measure.own) >= 0.0)

    def test_points_are_not_changed_and_answers_repeat(self, measure: Measure, points: FloatArray) -> None:
        """The same bits twice."""
        before = points.tobytes()
        first = measure.distance(points).tobytes(), measure.gradient(points).tobytes()
        assert (measure.distance(points).tobytes(), measure.gradient(points).tobytes()) == first
        assert points.tobytes() == before

    def test_the_definition_can_be_told_from_others(self, measure: Measure) -> None:
        """A fingerprint that repeats: constraints made of it are compared when a run is resumed."""
        assert fingerprint_of(measure.distance) == fingerprint_of(measure.distance)
