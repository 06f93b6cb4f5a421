"""Box: bounds, lattices, fixed variables, the two views, and what its errors say."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import Bounds

from dfoattack.errors import ProblemError
from dfoattack.space import Box, as_box

INF = np.inf


class TestConstruction:
    def test_defaults(self):
        box = Box([0, -1], [1, None])
        assert (box.n, box.n_free, box.names, box.units) == (2, 2, ("x0", "x1"), ("", ""))
        assert box.upper.tolist() == [1.0, INF]
        assert box.free.tolist() == [0, 1]
        assert not box.fixed_mask.any()

    def test_none_means_no_bound_at_all(self):
        assert Box(None, [1, 2]).lower.tolist() == [-INF, -INF]
        assert Box([1, 2], None).upper.tolist() == [INF, INF]

    def test_arrays_are_read_only_and_apart_from_the_users(self):
        lower = np.zeros(2)
        box = Box(lower, [1, 1])
        lower[0] = 5.0
        assert box.lower[0] == 0.0
        for array in (box.lower, box.upper, box.granularity, box.free, box.free_lower, box.fixed_values):
            assert not array.flags.writeable

    def test_negative_zero_is_zero(self):
        box = Box([-0.5, -0.0], [0.5, 1], integer=[0])
        assert not np.signbit(box.lower).any()

    def test_one_variable(self):
        box = Box([0], [1])
        assert (box.n, box.n_free) == (1, 1)

    def test_pickle_keeps_everything(self):
        box = Box([0, 0, 1], [1, 5, 1], integer=[1], names=["a", "b", "c"])
        copy = pickle.loads(pickle.dumps(box))
        assert copy == box
        assert hash(copy) == hash(box)
        assert not copy.lower.flags.writeable

    def test_describe_is_json(self):
        box = Box([0, -INF], [1, INF], granularity=[0.25, 0])
        assert json.loads(json.dumps(box.describe()))["upper"] == [1.0, None]


class TestErrors:
    @pytest.mark.parametrize(
        ("lower", "upper", "message"),
        [
            ([0, 2], [1, 1], r"`lower` must not exceed `upper` for variable `x1`, got 2 > 1"),
            ([0, np.nan], [1, 1], r"`lower` must hold numbers or -inf, got nan for variable `x1`"),
            ([0, 0], [1, -INF], r"`upper` must hold numbers or inf, got -inf for variable `x1`"),
            ([INF, 0], [INF, 1], r"`lower` must hold numbers or -inf, got inf for variable `x0`"),
            ([0, 0], [1], r"`lower` and `upper` must both have shape \(n,\) with n >= 1, got \(2,\) and \(1,\)"),
            ([], [], r"n >= 1, got \(0,\) and \(0,\)"),
            ([[0, 0]], [[1, 1]], r"got \(1, 2\) and \(1, 2\)"),
            (0.0, 1.0, r"got \(\) and \(\)"),
            (["a"], [1], r"`lower` must be an array of real numbers, got \['a'\]"),
            ([0], [1j], r"`upper` must be an array of real numbers"),
            (None, None, r"`lower` and `upper` must not both be None"),
        ],
    )
    def test_bounds(self, lower, upper, message):
        with pytest.raises(ProblemError, match=message):
            Box(lower, upper)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"names": ["a"]}, r"`names` must have length n = 2, got 1"),
            ({"names": ["a", "a"]}, r"`names` must be different from each other, got 'a' twice"),
            ({"names": "ab"}, r"`names` must be a sequence of n = 2 str, got 'ab'"),
            ({"units": ["m"]}, r"`units` must have length n = 2, got 1"),
            ({"integer": ["x01"]}, r"`integer` must use names from `names`, got 'x01'. Did you mean `x"),
            ({"integer": [2]}, r"`integer` must use indices in \[0, n-1\] = \[0, 1\], got 2"),
            ({"integer": [True]}, r"`integer` must have shape \(n,\) with n = 2 as a mask, got \(1,\)"),
            ({"integer": 1.5}, r"`integer` must be True, a bool mask, or a list"),
            ({"integer": [0.5]}, r"`integer` must use indices \(int\) or names \(str\), got 0.5"),
            ({"granularity": -1}, r"`granularity` must be finite and >= 0 \(0 = continuous\), got -1.0"),
            ({"granularity": [1, 2, 3]}, r"`granularity` must be a number or have shape \(n,\) with n = 2, got \(3,\)"),
            ({"granularity": {"x0": np.nan}}, r"`granularity` must be finite"),
            ({"granularity": 0.5, "integer": True}, r"`granularity` must be a whole number for integer variable"),
            ({"fixed": {"x0": 9}}, r"`fixed` must lie in \[0, 3\] for variable `x0`, got 9"),
            ({"fixed": {"x0": np.nan}}, r"`fixed` must be one finite number for variable `x0`, got nan"),
            ({"fixed": [1, 2]}, r"`fixed` must be a dict"),
            ({"fixed": {"x0": 0.5}, "integer": True}, r"`fixed` must be a multiple of 1 for variable `x0`, got 0.5"),
        ],
    )
    def test_options(self, options, message):
        with pytest.raises(ProblemError, match=message):
            Box([0, 0], [3, 3], **options)

    def test_no_integer_inside(self):
        with pytest.raises(ProblemError, match=r"variable `x0` must hold at least one integer, got \[0.2, 0.8\]"):
            Box([0.2], [0.8], integer=True)

    def test_no_lattice_point_inside(self):
        with pytest.raises(ProblemError, match=r"at least one multiple of 0.5, got \[0.1"):
            Box([0.1], [0.4], granularity=0.5)

    def test_wrong_width(self):
        with pytest.raises(ProblemError, match=r"`Z` must have shape \(k, 2\) or \(2,\), got \(3, 4\)"):
            Box([0, 0], [1, 1]).expand(np.zeros((3, 4)))


class TestLattice:
    @pytest.mark.parametrize("integer", [[1], ["b"], "b", 1, [False, True], np.array([False, True])])
    def test_integer_spellings(self, integer):
        box = Box([0.5, 0.5], [3.7, 3.7], integer=integer, names=["a", "b"])
        assert box.lower.tolist() == [0.5, 1.0]
        assert box.upper.tolist() == [3.7, 3.0]
        assert box.granularity.tolist() == [0.0, 1.0]

    def test_no_integers(self):
        for integer in (None, False, []):
            assert not Box([0], [1], integer=integer).granularity.any()

    def test_one_lattice_point_fixes_the_variable(self):
        box = Box([0.5, 0], [1.5, 1], integer=[0])
        assert box.fixed_values[0] == 1.0
        assert box.n_free == 1

    @pytest.mark.parametrize(
        ("g", "low", "high", "new_low", "new_high"),
        [
            (0.1, 0.07, 0.31, 0.1, 0.3),
            (0.01, 0.07, 0.57, 0.07, 0.57),  # 0.07 * 100 > 7 and 0.57 * 100 < 57 in floating point
            (0.3, 0.9, 2.1, 0.9, 2.1),  # 3 * 0.3 < 0.9: the bound itself is taken as that lattice point
            (0.1, 0.1 + 0.2, 1.0, 0.1 + 0.2, 1.0),
            (2.0, -3.0, 7.0, -2.0, 6.0),
            (1.0, 2.0000000000000004, 5.0, 3.0, 5.0),  # integers are exact: no tolerance
        ],
    )
    def test_bounds_move_inwards(self, g, low, high, new_low, new_high):
        box = Box([low], [high], granularity=g)
        assert (box.lower[0], box.upper[0]) == (new_low, new_high)
        assert box.contains(box.lower)
        assert box.contains(box.upper)

    def test_a_tenth_is_exact(self):
        box = Box([0], [1], granularity=0.1)
        assert box.free_inverse[0] == 10.0
        assert box.snap(np.array([[0.1 * 3]])).tolist() == [[0.3]]

    def test_huge_bounds(self):
        box = Box([-1e300], [1e300], integer=True)
        assert (box.lower[0], box.upper[0]) == (-1e300, 1e300)

    @given(
        g=st.sampled_from([1.0, 2.0, 0.1, 0.25, 0.3, 1 / 3, 0.01, 7.5]),
        low=st.floats(-1e3, 1e3),
        width=st.floats(20, 1e3),
        x=st.floats(-2e3, 3e3),
    )
    def test_snapped_points_are_inside_and_stay(self, g, low, width, x):
        box = Box([low], [low + width], granularity=g)
        z = box.snap(np.array([[x]]))
        assert low <= z[0, 0] <= low + width
        assert np.array_equal(box.snap(z), z)
        assert box.contains(box.expand(z)[0])
        nearest = min(max(x, box.lower[0]), box.upper[0])
        assert abs(z[0, 0] - nearest) <= g / 2 * (1 + 1e-9) + 1e-9


class TestViews:
    @pytest.fixture
    def box(self):
        return Box([0, 0, 1, 0], [1, 5, 1, 9], integer=[1], fixed={"x3": 0.1 + 0.2})

    def test_round_trip(self, box):
        assert box.free.tolist() == [0, 1]
        full = box.expand(np.array([[0.5, 2.0], [1.0, 3.0]]))
        assert full.tolist() == [[0.5, 2.0, 1.0, 0.1 + 0.2], [1.0, 3.0, 1.0, 0.1 + 0.2]]
        assert box.reduce(full).tolist() == [[0.5, 2.0], [1.0, 3.0]]
        assert box.expand(np.array([0.5, 2.0])).shape == (4,)
        assert box.reduce(full[0]).tolist() == [0.5, 2.0]

    def test_new_arrays(self):
        box = Box([0], [1])
        Z = np.array([[0.5]])
        for made in (box.expand(Z), box.reduce(Z), box.snap(Z)):
            made[0, 0] = 9.0
        assert Z[0, 0] == 0.5

    def test_contains(self, box):
        assert box.contains([0.5, 2, 1, 0.1 + 0.2])
        assert not box.contains([0.5, 2.5, 1, 0.1 + 0.2])  # off the lattice
        assert not box.contains([0.5, 2, 1, 0.3])  # one ulp off the fixed value
        assert not box.contains([np.nextafter(1.0, 2), 2, 1, 0.1 + 0.2])
        assert not box.contains([np.nan, 2, 1, 0.1 + 0.2])

    def test_no_rows(self, box):
        assert box.expand(np.empty((0, 2))).shape == (0, 4)
        assert box.reduce(np.empty((0, 4))).shape == (0, 2)
        assert box.snap(np.empty((0, 2))).shape == (0, 2)

    def test_all_fixed(self):
        box = Box([1, 2], [1, 2])
        assert box.n_free == 0
        assert box.expand(np.empty((3, 0))).tolist() == [[1, 2]] * 3
        assert box.expand(np.empty(0)).tolist() == [1, 2]
        assert box.reduce(np.array([[1.0, 2.0]])).shape == (1, 0)
        assert box.snap(np.empty((3, 0))).shape == (3, 0)
        assert box.snap(np.empty(0)).shape == (0,)
        assert box.contains([1, 2])


class TestAsBox:
    @pytest.mark.parametrize(
        "space",
        [
            ([0, 1], [2, 3]),
            (np.array([0, 1]), np.array([2, 3])),
            [(0, 2), (1, 3)],
            np.array([[0, 2], [1, 3]]),
            Bounds([0, 1], [2, 3]),
            Box([0, 1], [2, 3]),
        ],
    )
    def test_spellings(self, space):
        assert as_box(space) == Box([0, 1], [2, 3])

    def test_pairs_with_none(self):
        assert as_box([(0, None), (None, 1), (2, 3)]) == Box([0, -INF, 2], [INF, 1, 3])

    @pytest.mark.parametrize("space", [None, 3, [], [1, 2], [(0, 1, 2)], "ab c", (1, 2)])
    def test_neither(self, space):
        with pytest.raises(ProblemError, match="`space` must be a Box, a pair"):
            as_box(space)

    def test_ambiguous_tuples_are_refused(self):
        with pytest.raises(ProblemError, match="could be either"):
            as_box(((0, 1), (0, 1)))
