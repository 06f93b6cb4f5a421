"""The barrier as a value: measures, incumbents, thresholds, poll centres; the kernels below it have tests of their own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dfoattack.barrier import (
    FULL,
    PARTIAL,
    UNSUCCESSFUL,
    Barrier,
    Columns,
    beats,
    end_of_iteration,
    measured,
    poll_centres,
    success_types,
    with_points,
    with_range,
)
from dfoattack.cache import History
from dfoattack.trials import Counters, Evaluations, Status

NO, YES = np.array([False]), np.array([True])
PROGRESSIVE = Columns(np.zeros(1), np.ones(1), NO, NO, NO)
EXTREME = Columns(np.zeros(1), np.ones(1), YES, NO, NO)


def told(F: list[float], C: list[float] | None = None, status: list[int] | None = None) -> Evaluations:
    """Points 0, 1, 2, ... on a line with these values, one constraint or none."""
    k = len(F)
    flags = np.zeros(k, dtype=np.int8) if status is None else np.array(status, dtype=np.int8)
    values = np.empty((k, 0)) if C is None else np.array(C, dtype=float)[:, None]
    return Evaluations(np.arange(float(k))[:, None], np.array(F, dtype=float), values, flags, Counters())


def grown(barrier: Barrier, history: History, evaluations: Evaluations) -> tuple[Barrier, History]:
    """Both after the evaluations were told."""
    F, H, HE, V = measured(barrier, evaluations)
    first = history.size
    X = evaluations.X + first
    history = history.extended(X, evaluations.F, F, H, HE, V, evaluations.C, evaluations.status, 1, 1)
    return with_range(with_points(barrier, history, first), F, 7), history


def fresh(columns: Columns | None = None, h_max: float = math.inf) -> Barrier:
    phase = 1 if columns is not None and columns.extreme.any() else 2
    return Barrier(columns, 0, phase, -1, -1, h_max, math.inf, -math.inf, 0)


def run(values: list[float], constraints: list[float], columns: Columns = PROGRESSIVE) -> tuple[Barrier, History]:
    return grown(fresh(columns), History.empty(1), told(values, constraints))


def test_measures_of_plain_points() -> None:
    F, H, HE, V = measured(fresh(), told([1.0, 2.0]))
    assert F.tolist() == [1.0, 2.0] and not H.any() and not HE.any() and np.isneginf(V).all()


def test_measures_of_violations_and_failures() -> None:
    evaluations = told([1.0, 2.0, np.inf], [0.5, -0.5, np.nan], [0, 0, Status.FAILED])
    F, H, HE, V = measured(fresh(PROGRESSIVE), evaluations)
    assert F.tolist() == [1.0, 2.0, math.inf]
    assert H.tolist() == [0.25, 0.0, math.inf]
    assert HE.tolist() == [0.0, 0.0, math.inf]
    assert V.tolist() == [0.5, -0.5, math.inf]
    F, H, HE, _ = measured(fresh(EXTREME), evaluations)
    assert F.tolist() == [math.inf, 2.0, math.inf], "a violated extreme constraint has no value"
    assert H.tolist() == [0.0, 0.0, math.inf] and HE.tolist() == [0.25, 0.0, math.inf]
    assert evaluations.F.tolist() == [1.0, 2.0, math.inf], "what was told is not touched"


def test_tolerance_and_scale() -> None:
    columns = Columns(np.array([0.5]), np.array([10.0]), NO, NO, NO)
    _, H, _, V = measured(fresh(columns), told([0.0, 0.0, 0.0], [0.5, 1.5, np.nextafter(0.5, 1.0)]))
    assert V[0] == 0.0 and H[0] == 0.0
    assert H[1] == pytest.approx(0.01) and V[1] == 1.0
    assert 0.0 < H[2] and 0.0 < V[2], "an ulp beyond the tolerance is infeasible"


def test_success_types() -> None:
    barrier, history = run([5.0, 1.0], [-1.0, 2.0])  # feasible 5; infeasible 1 at h = 4
    assert (barrier.feas, barrier.inf) == (0, 1)
    evaluations = told([4.0, 5.0, 6.0, 0.5, 3.0, 0.5, np.inf], [-1.0, -1.0, -1.0, 1.0, 1.0, 3.0, np.nan], [0] * 6 + [1])
    F, H, HE, _ = measured(barrier, evaluations)
    types = success_types(barrier, history, F, H, HE)
    assert types.tolist() == [FULL, UNSUCCESSFUL, UNSUCCESSFUL, FULL, PARTIAL, UNSUCCESSFUL, UNSUCCESSFUL]


def test_points_beyond_the_threshold_are_unsuccessful() -> None:
    barrier = fresh(PROGRESSIVE, h_max=1.0)
    F, H, HE, _ = measured(barrier, told([-9.0, 0.0], [2.0, 1.0]))
    assert success_types(barrier, History.empty(1), F, H, HE).tolist() == [UNSUCCESSFUL, PARTIAL]
    barrier, _ = grown(barrier, History.empty(1), told([-9.0, 0.0], [2.0, 1.0]))
    assert barrier.inf == 1


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-2, 2), st.booleans()), min_size=1, max_size=30))
def test_incumbents_are_the_best_points_whatever_the_order(rows: list[tuple[int, int, bool]]) -> None:
    """Told at once or one by one; ties go to the first feasible point and to the least violation."""
    F = [float("inf") if bad else float(f) for f, _, bad in rows]
    C = [float("nan") if bad else float(c) for _, c, bad in rows]
    status = [int(bad) for _, _, bad in rows]
    at_once, history = grown(fresh(PROGRESSIVE), History.empty(1), told(F, C, status))
    by_one, past = fresh(PROGRESSIVE), History.empty(1)
    for f, c, s in zip(F, C, status, strict=True):
        by_one, past = grown(by_one, past, told([f], [c], [s]))
    assert (at_once.feas, at_once.inf) == (by_one.feas, by_one.inf)
    feasible = [i for i in range(len(F)) if not status[i] and C[i] <= 0]
    if feasible:
        assert history.F[at_once.feas] == min(F[i] for i in feasible) and at_once.feas in feasible
    else:
        assert at_once.feas == -1
    if at_once.inf >= 0:
        i = at_once.inf
        assert not status[i] and C[i] > 0
        assert F[i] == min(F[j] for j in range(len(F)) if not status[j] and C[j] > 0)


def test_phase_one_lasts_until_the_extreme_constraints_hold() -> None:
    barrier, history = grown(fresh(EXTREME), History.empty(1), told([1.0, 2.0], [3.0, 2.0]))
    assert barrier.phase == 1 and barrier.feas == 1, "the least violation leads, whatever the objective"
    F, H, HE, _ = measured(barrier, told([0.0, 9.0], [2.5, 1.0]))
    assert success_types(barrier, history, F, H, HE).tolist() == [UNSUCCESSFUL, FULL]
    barrier, history = grown(barrier, history, told([7.0, 6.0, 8.0], [-1.0, 0.0, 1.0]))
    assert barrier.phase == 2 and barrier.feas == 3 and barrier.inf == -1
    assert math.isinf(history.F[4])


def test_restarting_forgets_incumbents_but_not_the_scale() -> None:
    barrier, history = run([5.0, 1.0], [-1.0, 2.0])
    again = barrier.restarted(history.size, 7.0)
    assert (again.feas, again.inf, again.start, again.h_max, again.phase) == (-1, -1, 2, 7.0, 2)
    assert again.columns is barrier.columns and again.f_scale == barrier.f_scale == 4.0
    assert Barrier.empty(3.0).restarted(0, 3.0).phase == 2
    assert run([1.0], [1.0], EXTREME)[0].restarted(1, 3.0).phase == 1


def test_range_is_frozen_after_so_many_values() -> None:
    barrier = with_range(fresh(), np.array([1.0, np.inf, 3.0, np.nan]), 3)
    assert (barrier.f_low, barrier.f_high, barrier.f_count, barrier.f_scale) == (1.0, 3.0, 2, 2.0)
    barrier = with_range(barrier, np.array([-1.0, 99.0]), 3)
    assert (barrier.f_low, barrier.f_high, barrier.f_count) == (-1.0, 3.0, 3)


@pytest.mark.parametrize("values", [[], [2.0], [2.0, 2.0], [-1.7e308, 1.7e308]])
def test_a_range_that_says_nothing_counts_as_one(values: list[float]) -> None:
    barrier = with_range(fresh(), np.array(values), 9)
    assert barrier.f_scale == 1.0


def test_h_max_after_a_partial_success_falls_below_the_old_incumbent() -> None:
    barrier, history = run([1.0], [2.0])  # h = 4
    barrier, history = grown(barrier, history, told([3.0, 3.0], [1.5, 0.5]))  # 2.25, 0.25: partial
    after = end_of_iteration(barrier, history, PARTIAL, 0)
    assert after.h_max == 2.25 and after.inf in (1, 2) and history.H[after.inf] <= 2.25


def test_h_max_after_any_other_iteration_is_that_of_the_old_incumbent() -> None:
    barrier, history = run([1.0, 0.0], [2.0, 5.0])
    for success in (UNSUCCESSFUL, FULL):
        after = end_of_iteration(barrier, history, success, 0)
        assert after.h_max == 4.0 and after.inf == 0, "the point beyond the threshold is no incumbent any more"


def test_h_max_stays_where_there_was_no_infeasible_incumbent() -> None:
    barrier, history = run([1.0], [-1.0])
    assert end_of_iteration(barrier, history, FULL, -1) == barrier
    phase_one, history = run([1.0], [1.0], EXTREME)
    assert end_of_iteration(phase_one, history, FULL, 0) == phase_one


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(1, 9), st.integers(0, 2)), min_size=2, max_size=25))
def test_h_max_never_increases(rows: list[tuple[int, int, int]]) -> None:
    barrier, history = fresh(PROGRESSIVE), History.empty(1)
    for f, c, success in rows:
        inf_before, h_before = barrier.inf, barrier.h_max
        barrier, history = grown(barrier, history, told([float(f)], [float(c)]))
        barrier = end_of_iteration(barrier, history, success, inf_before)
        assert barrier.h_max <= h_before
        if barrier.inf >= 0:
            assert 0.0 < history.H[barrier.inf] <= barrier.h_max


def test_poll_centres() -> None:
    nothing = fresh(PROGRESSIVE)
    assert poll_centres(nothing, History.empty(1), 0.1) == (-1, -1)
    for values, constraints, expected in (
        ([1.0], [-1.0], (0, -1)),
        ([1.0], [1.0], (0, -1)),
        ([0.0, 100.0, 50.0], [-1.0, -1.0, 1.0], None),
    ):
        barrier, history = run(values, constraints)
        if expected is not None:
            assert poll_centres(barrier, history, 0.1) == expected
    # A range of about 100: the infeasible one must be better by more than a tenth of it.
    for f_inf, leads in ((-1.0, False), (-9.0, False), (-12.0, True), (-1e9, True)):
        barrier, history = run([0.0, 100.0], [-1.0, -1.0])
        barrier, history = grown(barrier, history, told([f_inf], [1.0]))
        first, second = poll_centres(barrier, history, 0.1)
        assert (first, second) == ((2, 0) if leads else (0, 2)), f_inf


def test_beats_is_a_full_success() -> None:
    barrier, history = run([5.0, 1.0], [-1.0, 2.0])
    assert beats(barrier, history, told([4.0], [-1.0]))
    assert beats(barrier, history, told([0.5], [1.0]))
    assert not beats(barrier, history, told([3.0], [1.0])), "partial"
    assert not beats(barrier, history, told([5.0, np.inf], [-1.0, np.nan], [0, 1]))
    plain, past = grown(fresh(), History.empty(1), told([1.0]))
    assert beats(plain, past, told([2.0, 0.5])) and not beats(plain, past, told([1.0, np.inf], None, [0, 2]))
    assert beats(fresh(), History.empty(1), told([3.0])), "anything beats nothing"
    assert not beats(fresh(), History.empty(1), told([3.0], [1.0])), "kinds of constraints are not known yet"
