"""The total order of evaluated points."""

from __future__ import annotations

import itertools

import numpy as np

from dfoattack.cache import History
from dfoattack.steps._order import EXTREME, FAILED, OBJECTIVE, VIOLATION, better, levels, order

INF, NAN = np.inf, np.nan
# (F, H, HE, V) from the best to the worst; the last two pairs are equal
POINTS = [
    (-1.0, 0.0, 0.0, -2.0),
    (5.0, 0.0, 0.0, -1e-9),
    (-9.0, 1e-300, 0.0, 1e-150),
    (-8.0, 1e-300, 0.0, 1e-150),
    (-9.0, 1e-300, 0.0, 2e-150),
    (-9.0, 2.0, 0.0, 1.0),
    (INF, 0.0, 1e-9, 1e-4),
    (INF, 3.0, 1e-9, 1e-4),
    (INF, 0.0, 4.0, 2.0),
    (INF, INF, INF, INF),
    (NAN, NAN, NAN, NAN),
]


def history() -> History:
    F, H, HE, V = (np.array(column) for column in zip(*POINTS, strict=True))
    k = len(F)
    X = np.arange(float(k))[:, None]
    return History.empty(1).extended(X, F, F, H, HE, V, np.empty((k, 0)), np.zeros(k, dtype=np.int8), 1, 1)


def test_the_order_is_that_of_the_table_whatever_the_order_of_the_rows() -> None:
    rows = np.arange(len(POINTS))
    for seed in range(20):
        shuffled = np.random.default_rng(seed).permutation(rows)
        ranked = shuffled[order(history(), shuffled)]
        assert ranked[:-2].tolist() == rows[:-2].tolist() and set(ranked[-2:]) == {9, 10}


def test_equal_points_follow_the_tie_break() -> None:
    rows = np.array([9, 10, 0])
    assert order(history(), rows).tolist() == [2, 0, 1]
    assert order(history(), rows, np.array([2.0, 1.0, 3.0])).tolist() == [2, 1, 0]


def test_better_agrees_with_the_order_and_is_strict() -> None:
    points = history()
    for a, b in itertools.combinations(range(len(POINTS) - 1), 2):
        assert better(points, a, b) and not better(points, b, a), (a, b)
    assert not any(better(points, a, a) for a in range(len(POINTS)))


def test_what_decides_about_a_point() -> None:
    kinds, values = levels(history(), np.array([0, 1, 2, 5, 6, 8, 9, 10]))
    assert kinds.tolist() == [
        OBJECTIVE,
        OBJECTIVE,
        VIOLATION,
        VIOLATION,
        EXTREME,
        EXTREME,
        FAILED,
        FAILED,
    ]
    assert values[[1, 3]].tolist() == [5.0, 2.0] and np.isposinf(values[-2:]).all()
