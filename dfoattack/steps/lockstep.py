"""Lockstep multistart: many start points descend together, one forward pass and one product an iteration for all of them.

The operators are the polishes whose rows never look at each other, so that what one start does depends neither on the others nor on how the
rows are cut into blocks. A turn is one call of the operator. With a budget, at most `SHARE` of it is spent here: each turn may cost half of what
is left of that, and goes to the starts that stand best (successive halving, after Jamieson & Talwalkar 2016).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.attacks import by_name
from dfoattack.attacks.base import Displacements, View
from dfoattack.cache import History
from dfoattack.source_names import EXACT
from dfoattack.state import LockstepState, Setup, SolverState
from dfoattack.steps._target import target_of
from dfoattack.steps.base import Outcome, Proposal, Step

SHARE = 0.5  # of the budget that is left after the start points were evaluated
SHORTEST, LONGEST = 8, 200  # iterations of a turn
TURNS = 16
GAIN = 1e-7  # relative gain below which a start has arrived although its turn was cut short
SAME = 1e-3  # in units of the first frame: starts nearer than that to a better one are given up
ENDS = 64  # kept for restarts


@dataclass(frozen=True)
class Turn:
    """What a turn asked for.

    Attributes
    ----------
    before : LockstepState
    chosen : int64 (b,)                 places in `before.rows` of the starts that took part, b = 0 when the share is spent
    X, centre : float64 (f, n), (f,)    best points found, each by the start at `chosen[centre]`
    unfinished : bool (b,)              which of them the end of the turn has stopped
    multipliers : float64 (b, q) or None
    """

    before: LockstepState
    chosen: IntArray
    X: FloatArray
    centre: IntArray
    unfinished: BoolArray
    multipliers: FloatArray | None = None


class Lockstep(Step):
    """Descend from all start points at once; then the ordinary run goes on from the best, and the others' ends wait for restarts.

    L-BFGS-B without constraints, the augmented Lagrangian with some. Granular and categorical variables stay what they are at each start
    (starts that differ in them take separate calls). Without exact gradients nothing happens: the starts are a design.
    """

    name = "lockstep"

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        if view is None or setup.gradient_source not in EXACT or state.runs or not setup.continuous:
            return Proposal.nothing(setup.n)
        now = state.lockstep or _begun(setup, state)
        if not now.rows.size:
            return Proposal.nothing(setup.n)
        count, iterations = _turn(setup, state, now)
        chosen = np.sort(_order(state.history, now.rows)[:count])
        if not count:
            nobody = np.empty(0, dtype=np.int64)
            return Proposal.nothing(setup.n, Turn(now, nobody, np.empty((0, setup.n)), nobody, nobody == 1))
        parts, multipliers = [], []
        unfinished = np.ones(chosen.size, dtype=bool)  # also where the budget has ended the call
        for group in _groups(setup, state.history.X[now.rows[chosen]]):
            found = _descended(setup, state, now, chosen[group], iterations, view, rng)
            parts.append((found.D, group[found.centre]))
            multipliers.append((group, found.multipliers))
            if found.unfinished is not None:
                unfinished[group] = found.unfinished
        centre = np.concatenate([part[1] for part in parts])
        origins = state.history.X[now.rows[chosen[centre]]]
        X = setup.geometry.snapped(origins + np.concatenate([part[0] for part in parts]))
        turn = Turn(now, chosen, X, centre, unfinished, _joined(multipliers, chosen.size))
        off_mesh = np.zeros(X.shape[0], dtype=bool)
        return Proposal(X, origins, off_mesh, turn, block=max(1, X.shape[0]), opportunistic=False)

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        turn: Turn | None = outcome.memo
        if turn is None:
            return state
        now, history = turn.before, state.history
        rows, arrived = _moved(history, turn)
        known = now.multipliers
        if turn.multipliers is not None:
            known = np.zeros((rows.size, turn.multipliers.shape[1])) if known is None else known.copy()
            known[turn.chosen] = turn.multipliers
        ends = np.concatenate([now.ends, rows[arrived]])
        scale = np.ones(setup.n) if state.mesh is None else state.mesh.scale
        distinct = _distinct(history, np.concatenate([rows, now.ends]), scale)
        going = np.flatnonzero(~arrived & np.isin(rows, distinct))
        return evolve(
            state,
            lockstep=LockstepState(
                rows=rows[going],
                ends=distinct[np.isin(distinct, ends)][:ENDS],
                limit=now.limit,
                multipliers=None if known is None else known[going],
                turns=now.turns + 1,
            ),
        )

    def ends_iteration(self, setup: Setup, state: SolverState, outcome: Outcome) -> bool:
        return False

    def repeats(self, setup: Setup, state: SolverState, outcome: Outcome) -> bool:
        return state.lockstep is not None and state.lockstep.rows.size > 0


def _begun(setup: Setup, state: SolverState) -> LockstepState:
    """All starts that could be evaluated, and the cost at which the phase ends."""
    spent = state.counters.cost(setup.options.gradient_cost)
    limit = spent + SHARE * (setup.budget - spent)
    rows = np.flatnonzero(np.isfinite(state.history.f)).astype(np.int64)
    return LockstepState(rows, np.empty(0, dtype=np.int64), limit)


def _moved(history: History, turn: Turn) -> tuple[IntArray, BoolArray]:
    """Where the starts of `turn.before` stand now, and which of them have arrived."""
    last = not turn.chosen.size or turn.before.turns + 1 >= TURNS
    rows, arrived = turn.before.rows.copy(), np.full(turn.before.rows.size, last)
    arrived[turn.chosen] = True  # unless they are seen to be on their way
    for x, centre in zip(turn.X, turn.centre, strict=True):
        place, row = int(turn.chosen[centre]), history.find(x)
        if row >= 0 and _better(history, row, int(rows[place])):
            rows[place] = row
            arrived[place] = last or not (
                turn.unfinished[centre] and _worth(history, row, int(turn.before.rows[place]))
            )
    return rows, arrived


def _turn(setup: Setup, state: SolverState, now: LockstepState) -> tuple[int, int]:
    """How many starts take part in the next turn, and for how many iterations; (0, 0) when the share is spent."""
    price = 1.0 + setup.options.gradient_cost
    left = now.limit - state.counters.cost(setup.options.gradient_cost)
    if left == math.inf:
        return int(now.rows.size), LONGEST
    walks = 0.5 * left / price
    if walks >= SHORTEST * now.rows.size:
        return int(now.rows.size), int(min(LONGEST, walks // now.rows.size))
    count = int(walks // SHORTEST)
    return count, SHORTEST if count else 0


def _order(history: History, rows: IntArray) -> IntArray:
    """Places of the rows (k,) from the best to the worst: extreme violation, violation, objective."""
    order: IntArray = np.lexsort((history.f[rows], history.buffer.H[rows], history.buffer.HE[rows]))
    return order


def _better(history: History, row: int, than: int) -> bool:
    buffer = history.buffer
    new, old = (
        (float(buffer.HE[i]), float(buffer.H[i]), float(buffer.f[i]) if np.isfinite(buffer.f[i]) else math.inf)
        for i in (row, than)
    )
    return new < old


def _worth(history: History, row: int, than: int) -> bool:
    """Whether the way from one row to a better one was more than the last digits."""
    buffer = history.buffer
    for values in (buffer.HE, buffer.H):
        if values[row] < (1.0 - GAIN) * values[than]:
            return True
    f, before = float(buffer.f[row]), float(buffer.f[than])
    return before - f > GAIN * max(abs(f), abs(before))


def _distinct(history: History, rows: IntArray, scale: FloatArray) -> IntArray:
    """Rows without those that lie beside a better one; only neighbours in the order of merit are compared."""
    rows = np.unique(rows)
    rows = rows[_order(history, rows)]
    if rows.size < 2:
        return rows
    gaps = np.max(np.abs(np.diff(history.X[rows], axis=0)) / scale, axis=1, initial=0.0)
    kept: IntArray = rows[np.concatenate([[True], gaps > SAME])]
    return kept


def _groups(setup: Setup, X: FloatArray) -> Iterator[IntArray]:
    """Places of points (k, n) that agree in all variables that a descent holds."""
    held = _held(setup)
    if not held.any():
        yield np.arange(X.shape[0])
        return
    _, member = np.unique(X[:, held], axis=0, return_inverse=True)
    member = np.ravel(member)
    for group in range(int(member.max()) + 1):
        yield np.flatnonzero(member == group)


def _held(setup: Setup) -> BoolArray:
    held: BoolArray = (setup.granularity > 0.0) | setup.geometry.categorical
    return held


def _descended(
    setup: Setup,
    state: SolverState,
    now: LockstepState,
    places: IntArray,
    iterations: int,
    view: View,
    rng: np.random.Generator,
) -> Displacements:
    """One call of the operator from the starts at `places` of `now.rows`, which agree in the variables that are held."""
    history, rows = state.history, now.rows[places]
    if setup.softened and not view.affords(0, int(rows.size)):
        return Displacements.none(setup.n)
    target, view = target_of(setup, state, history.X[rows], history.f[rows], history.C[rows], True, view)
    if now.multipliers is not None:
        target = replace(target, multipliers=now.multipliers[places])
    operator = by_name("al" if target.tol.size else "lbfgsb", {"iterations": iterations})
    return operator(target, np.array([np.inf]), view, rng)


def _joined(parts: list[tuple[IntArray, FloatArray | None]], b: int) -> FloatArray | None:
    """Multipliers (b, q) of all groups; zeros where a call was cut short, None where there are none."""
    known = [(group, found) for group, found in parts if found is not None]
    if not known:
        return None
    out = np.zeros((b, known[0][1].shape[1]))
    for group, found in known:
        out[group] = found
    return out
