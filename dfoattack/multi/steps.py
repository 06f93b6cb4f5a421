"""The steps of an iteration for several objectives.

Poll, completion, speculative search and covering are those of the solver for one objective: `seen_from` shows them the archive from one
of its members, as a local run with that member's mesh. The bridge and the model search are made for a front.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._values import evolve
from dfoattack.geometry import Geometry
from dfoattack.multi.archive import Element
from dfoattack.multi.state import MultiSetup, MultiState
from dfoattack.state import AttackState, SolverState
from dfoattack.steps.base import Outcome, Proposal, Step
from dfoattack.steps.covering import Covering
from dfoattack.steps.poll import Poll, PollCompletion
from dfoattack.steps.speculative import Speculative

START, SINGLE = "start", "single"
JUMP_EVERY = 8  # iterations after which a jump goes first
JUMP_ELSEWHERE = 0.05  # odds of a coordinate in which they agree, beside one in which they differ most
NEIGHBOURS_FRAME = 0.1  # of the first frame: centres with a larger one do not look at other levels yet
BLEND = (-0.5, 1.5)  # range of the shares of a blend: 0 is the centre, 1 its neighbour


def seen_from(setup: MultiSetup, state: MultiState, element: Element, floored: bool = False) -> SolverState:
    """The state as a step for one objective sees it: the element is its incumbent, `focus.second` the other one."""
    second = -1 if state.focus is None else state.focus.second
    # F is 0 for all usable points, so that the first of the two always leads.
    barrier = evolve(state.barrier, start=0, phase=2, feas=element.row, inf=second)
    return SolverState(
        rng=state.rng,
        history=state.history,
        barrier=barrier,
        mesh=element.mesh,
        attack=AttackState(setup.base.options.attack_radius_init),
        cover=state.cover,
        queue=state.queue,
        iteration=state.iteration,
        stage=state.stage,
        success=state.success,
        floored=floored,
        kept=state.kept,
        move=element.move,
        streak=max(0, state.streak - 1),
        moved=state.focus is not None and state.focus.follows,
        counters=state.counters,
    )


class FrontStep:
    """A step of the schedule: `propose` points for the centre, `update` after their evaluation; draws are a function of the state.

    Attributes
    ----------
    name : str
    enlarges : bool     points of this step that dominate a member enlarge the frame they inherit
    refines : bool      where its points do not enter the front, the centre refines whatever the steps behind it find
    greedy : bool       an opportunistic block ends with any point that enters the front; else with one that dominates a member
    changes_levels : bool           proposes points with other levels of categorical variables than their origins'
    """

    name: str = ""
    enlarges: bool = False
    refines: bool = False
    greedy: bool = False
    changes_levels: bool = False

    def propose(self, setup: MultiSetup, state: MultiState, element: Element, rng: np.random.Generator) -> Proposal:
        raise NotImplementedError

    def update(self, setup: MultiSetup, state: MultiState, element: Element, outcome: Outcome) -> MultiState:
        return state


class Borrowed(FrontStep):
    """A step of the solver for one objective at work for the present centre."""

    def __init__(self, step: Step) -> None:
        self.step = step
        self.name, self.enlarges = step.name, step.enlarges

    def propose(self, setup: MultiSetup, state: MultiState, element: Element, rng: np.random.Generator) -> Proposal:
        return self.step.propose(setup.base, seen_from(setup, state, element, element.done), rng, None)

    def update(self, setup: MultiSetup, state: MultiState, element: Element, outcome: Outcome) -> MultiState:
        after = self.step.update(setup.base, seen_from(setup, state, element, element.done), outcome)
        return evolve(state, kept=after.kept, cover=after.cover)


class Completion(Borrowed):
    """The completion of a poll; once its points have failed the poll was complete."""

    def __init__(self) -> None:
        super().__init__(PollCompletion())

    def update(self, setup: MultiSetup, state: MultiState, element: Element, outcome: Outcome) -> MultiState:
        polled = state.kept is not None and not outcome.success
        return evolve(super().update(setup, state, element, outcome), polled=polled)


class Bridge(FrontStep):
    """Points across the gap: the middle of the centre and its neighbour, a blend of the two coordinate by coordinate, and a jump.

    Where the efficient points form a smooth piece the middle lies near them; the blend reaches across where they do not, also beyond the
    two, and moves only the coordinates in which they differ. The jump puts one coordinate of the centre anywhere in its range: pieces of a
    front that no path of efficient points connects are found that way. The middle goes the short way round, the blend takes levels of either
    side, the jump any level. Draws n + 2 uniforms.
    """

    name = "bridge"
    greedy = True
    changes_levels = True

    def propose(self, setup: MultiSetup, state: MultiState, element: Element, rng: np.random.Generator) -> Proposal:
        focus, base = state.focus, setup.base
        draws = rng.random(setup.n + 2)
        if focus is None or focus.other < 0 or element.done:
            return Proposal.nothing(setup.n)
        geometry, levels = base.geometry, base.geometry.categorical
        x, y = state.history.X[element.row], state.history.X[focus.other]
        across = geometry.displacement(x, y)
        share = BLEND[0] + (BLEND[1] - BLEND[0]) * draws[:-2]
        blend = np.where(levels & (share > 0.5), y, x + share * across)
        # Mostly a coordinate in which the two differ: along the others the front is likely to be at its best.
        differ = np.where(levels, x != y, np.abs(across) / element.mesh.scale)
        odds = np.cumsum(differ + JUMP_ELSEWHERE * differ.max(initial=0.0) + 1e-300)
        jump, j = x.copy(), min(int(np.searchsorted(odds, draws[-2] * odds[-1])), setup.n - 1)
        span = base.upper[j] - base.lower[j]
        if levels[j]:
            jump[j] = np.floor(draws[-1] * (base.upper[j] + 1.0))
        else:
            jump[j] = base.lower[j] + draws[-1] * span if np.isfinite(span) else x[j] + 0.5 * across[j]
        raw = np.vstack([x + 0.5 * across, blend, jump])
        if state.iteration % JUMP_EVERY == 0:  # also while gaps are filled easily: what lies beyond the ends is no gap
            raw = raw[::-1]
        return Proposal.around(geometry.snapped(raw), x, False)


class Neighbours(FrontStep):
    """The discrete neighbours of a centre whose frame has become small, nearest first.

    Points of other levels that extend the front begin with a wide frame of their own, so that nothing else is needed to develop them.
    Draws nothing.
    """

    name = "neighbours"
    changes_levels = True

    def propose(self, setup: MultiSetup, state: MultiState, element: Element, rng: np.random.Generator) -> Proposal:
        if element.frame > NEIGHBOURS_FRAME and setup.base.continuous:
            return Proposal.nothing(setup.n)
        neighbours, x = setup.base.geometry.neighbours, state.history.X[element.row]
        return Proposal.around(neighbours(x), x, not neighbours.moves_others)


@dataclass(frozen=True)
class FrontSchedule:
    """The steps in order, and the names under which points are recorded."""

    steps: tuple[FrontStep, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names by the code stored in `History.step`: 0 a start point, 1 a single-objective leg, then the steps."""
        return (START, SINGLE, *(step.name for step in self.steps))


def schedule(descent: FrontStep, model: FrontStep, geometry: Geometry) -> FrontSchedule:
    """The steps in order; `descent` and `model` are the model searches, a module of their own."""
    poll, covering = (Borrowed(Poll()), Completion()), Borrowed(Covering())
    discrete = (Neighbours(),) if geometry.has_levels else ()
    return FrontSchedule((Borrowed(Speculative()), descent, model, Bridge(), *poll, *discrete, covering))
