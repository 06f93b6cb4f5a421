"""Full blocks: points of several steps of one state in one list of trials, and its answers handed back step by step.

The step whose turn it is leads; the steps that would follow it if it failed come along as far as there are places, and models and clouds
(`steps/fill.py`) take the rest. After the block option of NOMAD 4 (Audet et al. 2022), whose blocks are poll and search points only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.cache import History, point_keys
from dfoattack.state import Part, Pending, Setup, SolverState
from dfoattack.steps import admissible
from dfoattack.steps.base import Outcome, Proposal, Step
from dfoattack.steps.covering import Covering
from dfoattack.steps.fill import Fill, merit
from dfoattack.steps.poll import Poll, PollCompletion
from dfoattack.steps.portfolio import Portfolio
from dfoattack.trials import Counters, Evaluations, Trials

POLL_SHARE = 0.4  # of the places, at most, which a poll of n + 2 points may take from a block that a search leads


class _Block:
    """A block that is being filled: rows, their owners, and what is known already."""

    def __init__(self, history: History, places: int) -> None:
        self.history, self.places, self.size = history, places, 0
        self.seen: set[bytes] = set()
        self.X: list[FloatArray] = []
        self.origins: list[FloatArray] = []
        self.on_mesh: list[BoolArray] = []
        self.parts: list[Part] = []

    @property
    def free(self) -> int:
        return self.places - self.size

    def add(self, stage: int, step: str, proposal: Proposal, whole: bool) -> bool:
        """Take the new points of a proposal, all of them or (not `whole`) as many as there are places; False if none was taken."""
        seen, rows = set(self.seen), []
        for i, key in enumerate(point_keys(proposal.X)):
            if key not in seen and self.history.find_key(key) < 0:
                seen.add(key)
                rows.append(i)
        if not rows or (whole and len(rows) > self.free):
            return False
        rows = rows[: self.free]
        self.seen.update(point_keys(proposal.X[rows]))
        self.X.append(proposal.X[rows])
        self.origins.append(proposal.origins[rows])
        self.on_mesh.append(proposal.on_mesh[rows])
        place = np.arange(self.size, self.size + len(rows))
        self.parts.append(Part(stage, proposal.name or step, place, proposal.memo))
        self.size += len(rows)
        return True


def admitted(setup: Setup, state: SolverState, step: Step, proposal: Proposal) -> Proposal:
    """The proposal of a step as it may be evaluated: categorical levels kept, known linear constraints satisfied."""
    if not (setup.geometry.plain or step.changes_levels):
        proposal = evolve(proposal, X=setup.geometry.held(proposal.X, proposal.origins))
    return admissible.proposal(setup, state, proposal)


def gathered(
    setup: Setup,
    steps: Sequence[Step],
    fill: Step,
    state: SolverState,
    rng: np.random.Generator,
    view: View | None,
    proposal: Proposal,
) -> Pending:
    """A block led by the proposal of the step at `state.stage`, which has at least one new point.

    The number of places is the option `block_size`, or the next multiple of it where the leading proposal is larger. The poll
    brings its completion and covering trials along, and a search all of these after a block without a success; the polls only as a
    whole: what they prove needs all of their points. The points are in the order of the merit that the models predict. Draws from rng.
    """
    options, leading = setup.options, steps[state.stage]
    size = proposal.block or options.block_size
    places = size * -(-proposal.X.shape[0] // size)
    block = _Block(state.history, places)
    block.add(state.stage, leading.name, proposal, whole=True)
    lead = block.parts[0]
    block.places = size * -(-block.size // size)
    follower, memo, seen = state, proposal.memo, state.history.size
    stage = state.stage
    while block.free and stage + 1 < len(steps) and _brings_along(setup, steps[stage], state, block.places):
        # As if the step had failed: its block may hold what would be asked next.
        if not isinstance(steps[stage], Portfolio):
            follower = steps[stage].update(setup, follower, Outcome(memo, seen, seen))
        stage += 1
        following = admitted(setup, follower, steps[stage], steps[stage].propose(setup, follower, rng, view))
        memo = following.memo
        whole = not isinstance(steps[stage], Covering)
        if following.X.shape[0] and not block.add(stage, steps[stage].name, following, whole):
            break
    if block.free:
        spare = admitted(setup, state, fill, fill.propose(setup, state, rng, view))
        block.add(len(steps), fill.name, spare, whole=False)
    X, origins, on_mesh = np.vstack(block.X), np.vstack(block.origins), np.concatenate(block.on_mesh)
    order = np.argsort(merit(setup, state, X), kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(order.shape[0])
    parts = tuple(evolve(part, rows=place[part.rows]) for part in block.parts)
    trials = Trials(
        X[order],
        lead.step,
        on_mesh[order],
        proposal.origins[0].copy(),
        size,
        options.opportunistic and proposal.opportunistic,
    )
    return Pending(trials, origins[order], proposal.memo, parts)


def _brings_along(setup: Setup, step: Step, state: SolverState, places: int) -> bool:
    """Whether the next step may join: the poll brings the rest of its iteration, searches the poll once blocks have brought nothing."""
    if isinstance(step, Portfolio):
        if setup.n + 2 > POLL_SHARE * places and not state.floored:
            return False
        return state.searches.fill is not None and state.searches.fill.fails > 0 and not state.explore
    return isinstance(step, (Poll, PollCompletion))


def told_by_part(
    pending: Pending, evaluations: Evaluations, before: Counters
) -> Iterator[tuple[Part, Pending, Evaluations]]:
    """Each part with its own trials and answers, in order; the counters grow from part to part.

    The first part is charged its gradients and what fills idle places besides its own points: a turn costs a round, however few points
    it is about, and what follows them is free.
    """
    trials, after = pending.trials, evaluations.counters
    others = [int(np.count_nonzero(evaluations.run[part.rows])) for part in pending.parts]
    spare = [run if part.step == Fill.name else 0 for part, run in zip(pending.parts, others, strict=True)]
    others = [others[0] + sum(spare), *(run - free for run, free in zip(others[1:], spare[1:], strict=True))]
    left = sum(others)
    for part, run in zip(pending.parts, others, strict=True):
        left -= run
        counters = Counters(after.nfev - left, max(before.nphi, after.nphi - left), after.ngev, after.passes)
        rows: IntArray = part.rows
        own = Trials(trials.X[rows], part.step, trials.on_mesh[rows], trials.centre, trials.block, trials.opportunistic)
        told = evaluations.take(rows)
        yield (
            part,
            Pending(own, pending.origins[rows], part.memo),
            Evaluations(told.X, told.F, told.C, told.status, counters),
        )
