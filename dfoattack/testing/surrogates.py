"""The contract of a surrogate, as tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dfoattack._typing import FloatArray
from dfoattack.surrogate import fingerprint_of, has_vjp

__all__ = ["SurrogateContract"]


class SurrogateContract:
    """Subclass in a test file (class name Test...), override `surrogate` and `points`, and set the tolerances.

    Attributes
    ----------
    row_tol : float         largest difference of a row alone and in a batch, relative to max(1, abs(y)); float32: 1e-5
    vjp_tol : float         relative error of the vjp against central differences; float32: 1e-2
    difference_step : float central difference step, relative to max(1, abs(x)); float32: 1e-2
    """

    row_tol: float = 1e-10
    vjp_tol: float = 1e-5
    difference_step: float = 1e-6

    @pytest.fixture
    def surrogate(self) -> Any:
        """Return a new surrogate; override."""
        raise NotImplementedError("override the fixture `surrogate`")

    @pytest.fixture
    def points(self) -> FloatArray:
        """Return points X (k, n), k >= 2, at which the surrogate is differentiable; override."""
        raise NotImplementedError("override the fixture `points`")

    def test_predict_has_the_agreed_shape_and_type(self, surrogate: Any, points: FloatArray) -> None:
        """(k, n) -> (k, m) of real numbers, also for one row."""
        for rows in (points, points[:1]):
            Y = np.asarray(surrogate.predict(rows.copy()))
            assert Y.dtype.kind in "fiub"
            assert Y.ndim in (1, 2)
            assert Y.shape[0] == len(rows)

    def test_predict_is_deterministic(self, surrogate: Any, points: FloatArray) -> None:
        """The same block twice gives the same bytes."""
        first = np.array(surrogate.predict(points.copy()))
        again = np.array(surrogate.predict(points.copy()))
        assert first.tobytes() == again.tobytes()

    def test_rows_do_not_depend_on_each_other(self, surrogate: Any, points: FloatArray) -> None:
        """One row gives what the same row of a batch gives, in any order."""
        Y = _outputs(surrogate, points)
        backwards = _outputs(surrogate, points[::-1].copy())[::-1]
        _close(backwards, Y, self.row_tol)
        for i in range(len(points)):
            _close(_outputs(surrogate, points[i : i + 1]), Y[i : i + 1], self.row_tol)

    def test_points_are_left_alone(self, surrogate: Any, points: FloatArray) -> None:
        """The caller's array is not written to, and the answer is not a view of it."""
        X = points.copy()
        Y = _outputs(surrogate, X)
        assert X.tobytes() == points.tobytes()
        X += 1.0
        assert np.array_equal(Y, _outputs(surrogate, points))

    def test_outputs_outlive_the_next_call(self, surrogate: Any, points: FloatArray) -> None:
        """A later call does not change an earlier answer."""
        first = surrogate.predict(points.copy())
        kept = np.array(first)
        surrogate.predict(points[::-1].copy())
        assert np.array_equal(np.asarray(first), kept)

    def test_vjp_agrees_with_differences(self, surrogate: Any, points: FloatArray) -> None:
        """vjp(X, V)[i] = J(x_i)^T v_i, for random V."""
        if not has_vjp(surrogate):
            pytest.skip("this surrogate offers no vjp")
        m = _outputs(surrogate, points).shape[1]
        V = np.random.default_rng(0).standard_normal((len(points), m))
        G = np.asarray(surrogate.vjp(points.copy(), V.copy()))
        assert G.shape == points.shape
        expected = np.empty_like(points)
        step = self.difference_step * np.maximum(1.0, np.abs(points))
        for j in range(points.shape[1]):
            shift = np.zeros_like(points)
            shift[:, j] = step[:, j]
            high, low = points + shift, points - shift
            change = np.sum(V * (_outputs(surrogate, high) - _outputs(surrogate, low)), axis=1)
            expected[:, j] = change / (high - low)[:, j]
        scale = max(1.0, float(np.max(np.abs(expected))))
        assert np.max(np.abs(G - expected)) <= self.vjp_tol * scale

    def test_vjp_rows_do_not_depend_on_each_other(self, surrogate: Any, points: FloatArray) -> None:
        """A zero row of V gives a zero row, whatever the others are, and leaves the others as they are."""
        if not has_vjp(surrogate):
            pytest.skip("this surrogate offers no vjp")
        V = np.ones((len(points), _outputs(surrogate, points).shape[1]))
        G = np.array(surrogate.vjp(points.copy(), V.copy()))
        V[0] = 0.0
        part = np.array(surrogate.vjp(points.copy(), V.copy()))
        assert not np.any(part[0])
        _close(part[1:], G[1:], self.row_tol)

    def test_predictions_survive_a_vjp(self, surrogate: Any, points: FloatArray) -> None:
        """A gradient changes nothing that a later prediction could see."""
        if not has_vjp(surrogate):
            pytest.skip("this surrogate offers no vjp")
        before = np.array(surrogate.predict(points.copy()))
        surrogate.vjp(points.copy(), np.ones((len(points), _outputs(surrogate, points).shape[1])))
        assert np.array(surrogate.predict(points.copy())).tobytes() == before.tobytes()

    def test_fingerprint_survives_use(self, surrogate: Any, points: FloatArray) -> None:
        """A text that is the same before and after predictions."""
        before = fingerprint_of(surrogate)
        assert isinstance(before, str)
        assert before
        surrogate.predict(points.copy())
        assert fingerprint_of(surrogate) == before


def _outputs(surrogate: Any, X: FloatArray) -> FloatArray:
    """Return Phi(X) as a new array (k, m)."""
    Y = np.array(surrogate.predict(X.copy()), dtype=np.float64)
    return Y.reshape(len(X), 1) if Y.ndim == 1 else Y


def _close(values: FloatArray, expected: FloatArray, tol: float) -> None:
    assert values.shape == expected.shape
    assert np.all(np.abs(values - expected) <= tol * np.maximum(1.0, np.abs(expected)))
