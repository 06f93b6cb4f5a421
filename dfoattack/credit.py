"""Credit: which search has the next turn, by measured gain per evaluation.

A discounted bandit with a floor for every arm. Rewards are relative to the gains of the last successes, so that they stay comparable
while a run converges and do not depend on the scale of the objective; old rewards and costs fade with every evaluation, whoever made it.
Turns are handed out so that every arm's share of the recent cost follows its rate: deterministic, and no arm starves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from dfoattack._values import evolve

MEMORY_A_VARIABLE = 10.0  # evaluations, times n + 1, after which a reward has faded to 1/e
FOLLOW = 0.3  # how fast the typical gain follows the last one
POLL_FLOOR = 0.08  # least share of poll and covering in the recent cost
POLL_HOPE = 0.15  # rate expected of the poll before it is known, in units of the mean rate
STARVED = 0.1  # of the recent cost that its floor grants: an arm below it has been passed over for long and goes first
KNOWN_LEAST = 1e-3  # mean rate that is assumed at least: rewards of last digits say nothing about arms not yet known
GREED = 2.0  # shares are proportional to this power of the rates


@dataclass(frozen=True)
class Arm:
    """Discounted reward and cost of one arm; `cost` in evaluations."""

    reward: float = 0.0
    cost: float = 0.0


@dataclass(frozen=True)
class Credit:
    """Credit of all arms.

    Attributes
    ----------
    arms : tuple of Arm     in the order of the schedule
    typical : float         running mean of positive gains, in the unit of the gains; 0 before the first
    """

    arms: tuple[Arm, ...] = ()
    typical: float = 0.0


def earned(credit: Credit, count: int, arm: int, gain: float, cost: float, n: int) -> Credit:
    """The credit after `arm` (of `count`) spent `cost` evaluations and moved the incumbent by `gain` >= 0."""
    arms = list(credit.arms) or [Arm()] * count
    typical = followed(credit, gain).typical
    reward = gain / (gain + typical) if gain > 0.0 else 0.0
    fade = math.exp(-cost / (MEMORY_A_VARIABLE * (n + 1.0)))
    arms = [Arm(a.reward * fade, a.cost * fade) for a in arms]
    mine = arms[arm]
    arms[arm] = Arm(mine.reward + reward, mine.cost + cost)
    return evolve(credit, arms=tuple(arms), typical=typical)


def followed(credit: Credit, gain: float) -> Credit:
    """The credit after a gain >= 0 by whoever it was: gains of the arms are measured by it."""
    if not gain > 0.0:
        return credit
    return evolve(credit, typical=gain if credit.typical == 0.0 else (1.0 - FOLLOW) * credit.typical + FOLLOW * gain)


def shares(
    credit: Credit, ready: Sequence[bool], floors: Sequence[float], hopes: Sequence[float], n: int
) -> list[float]:
    """Share of the cost each arm shall have: by its rate, at least its floor, 0 where it is not ready."""
    arms = credit.arms or (Arm(),) * len(floors)
    prior = 0.2 * (n + 1.0)  # cost at which an arm's own record outweighs the ignorance about it
    known = sum(a.reward for a in arms) / max(sum(a.cost for a in arms), prior)
    known = max(known, KNOWN_LEAST) if known > 0.0 else 1.0
    rates = [
        ((a.reward + known * hope * prior) / (a.cost + prior)) ** GREED if ok else 0.0
        for a, hope, ok in zip(arms, hopes, ready, strict=True)
    ]
    total = sum(rates)
    given = [rate / total if total > 0.0 else float(ok) for rate, ok in zip(rates, ready, strict=True)]
    given = [max(share, floor) if ok else 0.0 for share, floor, ok in zip(given, floors, ready, strict=True)]
    total = sum(given)
    return [share / total if total > 0.0 else 0.0 for share in given]


def choose(credit: Credit, ready: Sequence[bool], floors: Sequence[float], hopes: Sequence[float], n: int) -> int:
    """The ready arm whose recent cost is farthest below its share; -1 if none is ready. The lowest index wins a tie.

    Turns that cost much of the memory would pass over an arm with a small share for ever: one that starves goes first.
    """
    if not any(ready):
        return -1
    arms = credit.arms or (Arm(),) * len(floors)
    total = sum(a.cost for a in arms) + 1.0
    if total > 0.9 * MEMORY_A_VARIABLE * (n + 1.0):
        for i, (arm, floor, ok) in enumerate(zip(arms, floors, ready, strict=True)):
            if ok and arm.cost < STARVED * floor * total:
                return i
    wanted = shares(credit, ready, floors, hopes, n)
    best, most = -1, 0.0
    for i, (arm, share, ok) in enumerate(zip(arms, wanted, ready, strict=True)):
        deficit = share * total - arm.cost
        if ok and (best < 0 or deficit > most):
            best, most = i, deficit
    return best


def poll_is_due(credit: Credit, count: int, floors: Sequence[float], hopes: Sequence[float], n: int) -> bool:
    """Whether arm 0 has had less than its share of the recent cost."""
    arms = credit.arms or (Arm(),) * count
    total = sum(a.cost for a in arms) + 1.0
    return arms[0].cost < shares(credit, [True] * count, floors, hopes, n)[0] * total


def starves(credit: Credit, floors: Sequence[float]) -> bool:
    """Whether arm 0 has had less than half its floor of the recent cost: then nobody's turn goes on, however well it does."""
    total = sum(a.cost for a in credit.arms)
    return bool(credit.arms) and credit.arms[0].cost < 0.5 * floors[0] * total - 1.0
