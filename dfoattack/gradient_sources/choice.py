"""Which source of gradients a run uses: decided from what the surrogate offers, or forced by the option `gradient_source`."""

from __future__ import annotations

import numpy as np

from dfoattack.errors import OptionError
from dfoattack.gradient_sources.base import Probing
from dfoattack.gradient_sources.differences import Central, Forward
from dfoattack.gradient_sources.smoothing import NES, SPSA
from dfoattack.gradient_sources.subspace import SubspaceDifferences
from dfoattack.options import Options
from dfoattack.problem import Problem
from dfoattack.source_names import POLL

REUSE_MIN = 20  # granular variables from which on flips along reused gradients are worth their evaluations
DIFFERENCES_MAX = 50  # variables up to which differences along all of them are worth their passes beside models
MODELS_MAX = 20  # variables up to which a set of points soon determines a quadratic: models need no differences

_PROBING: dict[str, Probing] = {
    source.name: source for source in (Forward(), Central(), SubspaceDifferences(), SPSA(), NES())
}


def probing(name: str) -> Probing | None:
    """The source of this name that pays passes; None for exact gradients, poll reuse and none at all."""
    return _PROBING.get(name)


def chosen(options: Options, problem: Problem, may_ask: bool = False) -> str:
    """Name of the source: "vjp" or "jac" (exact), a probing one, "poll", or "none".

    Parameters
    ----------
    options : Options
    problem : Problem
    may_ask : bool      user code may be called while trials are chosen, as in `solve`; an ask-and-tell loop evaluates elsewhere

    Notes
    -----
    Left to itself: exact gradients where there are any; where the problem declares a stand-in, differences or, with many variables, random
    estimates of it; else what `_unasked` says.

    Raises
    ------
    OptionError     exact gradients are forced and there are none; poll reuse is forced and attacks aim at a stand-in
    """
    exact, option = problem.gradient_source, options.gradient_source
    if option == "auto":
        if exact == "none" and problem.softened:
            return Forward.name if problem.space.n_free <= DIFFERENCES_MAX else NES.name
        return _unasked(options, problem, may_ask) if exact == "none" else exact
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


def _unasked(options: Options, problem: Problem, may_ask: bool = False) -> str:
    """The source of a black box whose user has not asked for gradients: what has paid in `benchmarks/results/gradient-sources.md`.

    Poll reuse, which costs nothing, where all variables are granular and many. Differences for polishes where values are exact, and either
    points are evaluated one at a time, there are constraints, some variables are continuous and all together not too many: polishes follow
    active constraints farther than models do; or there are none, but many variables, all of them continuous: there a quasi-Newton method
    has gone far before a set of points determines a model, and its differences are one block. In few variables without constraints they
    have brought nothing.
    """
    n, continuous = problem.space.n_free, int(np.count_nonzero(problem.space.free_granularity == 0.0))
    if options.noise is not None or not options.attacks:
        return "none"
    if continuous == 0:
        return POLL if n >= REUSE_MIN else "none"
    if not may_ask:
        return "none"
    if problem.constraints:
        pays = 2 <= continuous and n <= DIFFERENCES_MAX and options.block_size == 1
    else:
        pays = MODELS_MAX < continuous == n
    return Forward.name if pays else "none"
