"""The steps of an iteration in their order, and the searches by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dfoattack import replicates
from dfoattack.attacks import by_name
from dfoattack.attacks.base import AttackOperator
from dfoattack.geometry import Geometry
from dfoattack.options import Options
from dfoattack.steps.attack import Attack
from dfoattack.steps.base import Search, Step
from dfoattack.steps.boundary import Boundary
from dfoattack.steps.cma import CMA
from dfoattack.steps.covering import Covering
from dfoattack.steps.fill import Fill
from dfoattack.steps.lockstep import Lockstep
from dfoattack.steps.model import ModelSearch
from dfoattack.steps.multistart import Multistart
from dfoattack.steps.neighbours import neighbour_steps
from dfoattack.steps.nelder_mead import NelderMead
from dfoattack.steps.noise_probe import NoiseProbe
from dfoattack.steps.poll import Poll, PollCompletion
from dfoattack.steps.portfolio import Portfolio
from dfoattack.steps.regression import Regression
from dfoattack.steps.speculative import Speculative
from dfoattack.steps.subspace import Subspace
from dfoattack.steps.vns import VNS

START = "start"
FILL = Fill()


@dataclass(frozen=True)
class Schedule:
    """The steps of an iteration in order, what fills idle places of a block, and the names under which points are recorded."""

    steps: tuple[Step, ...]
    first: tuple[str, ...] = (START,)  # names that belong to no step
    fill: Step = FILL

    @classmethod
    def default(cls, options: Options, geometry: Geometry) -> Schedule:
        """The steps of a run; those of discrete neighbours only where there are any."""
        operators = [a if isinstance(a, AttackOperator) else by_name(a) for a in options.attacks]
        discrete = neighbour_steps(geometry)
        searches = Portfolio(searches_of(options, operators))
        head: tuple[Step, ...] = (NoiseProbe(), Attack(operators), Speculative())
        if options.starts is not None and operators:
            head = (Lockstep(), *head)
        tail: tuple[Step, ...] = (searches, Poll(), PollCompletion(), *discrete, Covering())
        if options.noise is None:
            return cls((*head, *tail))
        return cls((*head, Regression(), *tail), (START, replicates.REPLICATE))

    @property
    def names(self) -> tuple[str, ...]:
        """Step names by the code stored in `History.step`; code 0 is a start point, the last one what fills blocks."""
        names = [*self.first]
        for step in self.steps:
            names += [search.name for search in step.searches] if isinstance(step, Portfolio) else [step.name]
        return tuple(dict.fromkeys((*names, self.fill.name)))

    @property
    def arms(self) -> int:
        """Arms of the credit: the poll, then the searches."""
        return 1 + sum(len(step.searches) for step in self.steps if isinstance(step, Portfolio))


def searches_of(options: Options, operators: Sequence[AttackOperator] = ()) -> tuple[Search, ...]:
    """The searches that the options ask for, in the order in which ties are broken; `operators` are those of the attack step."""
    known: dict[str, Search] = {
        "model": ModelSearch(),
        "cma": CMA(restarts=options.noise is None),  # what noise has ended, noise would end again
        "nelder-mead": NelderMead(),
        "subspace": Subspace(),
        "boundary": Boundary(),
        "vns": VNS(),
        "multistart": Multistart(operators),
    }
    return tuple(known[name] for name in options.searches)
