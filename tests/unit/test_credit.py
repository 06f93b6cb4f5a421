"""Credit: shares of the cost by measured gain, floors, and independence of the scale."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dfoattack.credit import POLL_FLOOR, POLL_HOPE, Credit, choose, earned, poll_is_due, shares

FLOORS, HOPES = (POLL_FLOOR, 0.02, 0.02, 0.02), (POLL_HOPE, 1.0, 0.05, 0.05)
READY = [True] * 4


def played(rates: list[float], turns: int, costs: list[float], n: int = 5, scale: float = 1.0) -> list[int]:
    """Arms chosen in so many turns; arm i has a success of a random size with probability rates[i]."""
    rng = np.random.default_rng(0)
    credit, chosen = Credit(), []
    for _ in range(turns):
        arm = choose(credit, READY, FLOORS, HOPES, n)
        gain = scale * 2.0 ** float(rng.integers(-20, 3)) if rng.random() < rates[arm] else 0.0
        credit = earned(credit, 4, arm, gain, costs[arm], n)
        chosen.append(arm)
    return chosen


@pytest.mark.parametrize("n", [1, 5, 40])
@pytest.mark.parametrize("best", range(4))
@pytest.mark.parametrize("costs", [[1.0] * 4, [7.0, 1.0, 12.0, 2.0]])
def test_no_arm_starves(n: int, best: int, costs: list[float]) -> None:
    """One arm that always gains, the others never: their floors hold over every long stretch."""
    rates = [0.0] * 4
    rates[best] = 1.0
    chosen = played(rates, 6000, costs, n)
    stretch = 2000
    for begin in range(stretch, 6000, stretch):
        spent = np.array([sum(costs[a] for a in chosen[begin : begin + stretch] if a == arm) for arm in range(4)])
        share = spent / spent.sum()
        assert (share >= 0.5 * np.array(FLOORS)).all(), share
        assert np.argmax(share) == best and share[best] >= 0.6


def test_nothing_gained_shares_by_hope_and_floor() -> None:
    wanted = shares(Credit(), READY, FLOORS, HOPES, 5)
    assert sum(wanted) == pytest.approx(1.0) and wanted[1] == max(wanted)
    assert wanted[0] == pytest.approx(POLL_FLOOR, rel=0.2)


@given(st.integers(-200, 200))
@settings(max_examples=20)
def test_the_scale_of_the_gains_does_not_matter(k: int) -> None:
    rates, costs = [0.2, 0.4, 0.1, 0.3], [3.0, 1.0, 9.0, 2.0]
    assert played(rates, 300, costs) == played(rates, 300, costs, scale=2.0**k)


def test_arms_that_are_not_ready_get_nothing() -> None:
    for ready in itertools.product([True, False], repeat=4):
        wanted = shares(Credit(), ready, FLOORS, HOPES, 5)
        assert sum(wanted) == pytest.approx(1.0 if any(ready) else 0.0)
        assert all(share == 0.0 for share, ok in zip(wanted, ready, strict=True) if not ok)
        arm = choose(Credit(), ready, FLOORS, HOPES, 5)
        assert arm == -1 if not any(ready) else ready[arm]


def test_ties_go_to_the_first() -> None:
    assert choose(Credit(), [True, True], (0.1, 0.1), (1.0, 1.0), 3) == 0


def test_old_records_fade() -> None:
    credit = earned(Credit(), 2, 0, 1.0, 1.0, 1)
    first = credit.arms[0]
    for _ in range(200):
        credit = earned(credit, 2, 1, 0.0, 1.0, 1)
    assert credit.arms[0].reward < 1e-3 * first.reward and credit.arms[0].cost < 1e-3 * first.cost
    assert credit.typical == 1.0, "a turn without gain says nothing about the size of gains"


def test_a_reward_is_relative_to_the_last_gains() -> None:
    credit = Credit()
    for gain in (1.0, 1.0, 1.0, 1.0):
        credit = earned(credit, 1, 0, gain, 1.0, 10**9)
    assert credit.arms[0].reward == pytest.approx(4 * 0.5)
    small = earned(credit, 1, 0, 1e-9, 1.0, 10**9)
    assert small.arms[0].reward - credit.arms[0].reward < 1e-8
    large = earned(credit, 1, 0, 1e12, 1.0, 10**9)
    assert 0.5 < large.arms[0].reward - credit.arms[0].reward <= 1.0, "no gain is worth more than one"


def test_the_poll_is_due_below_its_share() -> None:
    assert poll_is_due(Credit(), 4, FLOORS, HOPES, 5)
    credit = Credit()
    for _ in range(20):
        credit = earned(credit, 4, 0, 0.0, 1.0, 5)
    assert not poll_is_due(credit, 4, FLOORS, HOPES, 5)
    for _ in range(200):
        credit = earned(credit, 4, 1, 0.0, 1.0, 5)
    assert poll_is_due(credit, 4, FLOORS, HOPES, 5)
