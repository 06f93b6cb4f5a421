"""Which source of gradients a run uses: decided from what the surrogate offers, or forced by the option `gradient_source`."""

from __future__ import annotations

from dfoattack.errors import OptionError
from dfoattack.gradient_sources.base import Probing
from dfoattack.gradient_sources.differences import Central, Forward
from dfoattack.gradient_sources.smoothing import NES, SPSA
from dfoattack.gradient_sources.subspace import SubspaceDifferences
from dfoattack.problem import Problem
from dfoattack.source_names import POLL

DIFFERENCES_MAX = 50  # variables up to which differences along all of them are worth their passes

_PROBING: dict[str, Probing] = {
    source.name: source for source in (Forward(), Central(), SubspaceDifferences(), SPSA(), NES())
}


def probing(name: str) -> Probing | None:
    """The source of this name that pays passes; None for exact gradients, poll reuse and none at all."""
    return _PROBING.get(name)


def chosen(option: str, problem: Problem) -> str:
    """Name of the source: "vjp" or "jac" (exact), a probing one, "poll", or "none".

    Left to itself: exact gradients where there are any. Without them, nothing is paid for gradients that nobody asked for; a problem
    that declares a stand-in asks for them.

    Raises
    ------
    OptionError     exact gradients are forced and there are none; poll reuse is forced and attacks aim at a stand-in
    """
    exact = problem.gradient_source
    if option == "auto":
        if exact == "none" and problem.softened:
            return Forward.name if problem.space.n_free <= DIFFERENCES_MAX else NES.name
        return exact
    if option == "exact":
        if exact == "none":
            raise OptionError(
                "`gradient_source` must not be 'exact' where there is no gradient: the surrogate has no `vjp`, or without a "
                "surrogate the objective has no `objective_grad`."
            )
        return exact
    if option == POLL and problem.softened:
        raise OptionError(
            f"`gradient_source` must not be 'poll' where attacks aim at stand-ins (for {', '.join(problem.softened)}): "
            "the points evaluated anyway have values of the true functions only."
        )
    return option
