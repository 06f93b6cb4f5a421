"""Estimated gradients in the attack step: when they are due, for which operators, and what the operators see."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.attacks.base import AttackOperator, View
from dfoattack.cache import point_key
from dfoattack.gradient_sources.base import PRECISION, Room
from dfoattack.gradient_sources.choice import probing
from dfoattack.gradient_sources.poll_reuse import poll_jacobian
from dfoattack.gradient_sources.view import SourceView
from dfoattack.source_names import POLL
from dfoattack.state import Setup, SolverState
from dfoattack.trials import OK

PATIENCE = 10.0  # times n + 1: evaluations of the searches before gradients are paid for that come second
PROBES = 3  # lines at most
ALLOWANCE = 20.0  # times n + 1: points an attack may then look at
SHARE = 0.5  # of the evaluations that differences may take, after so many, where they come first


def _unasked(setup: Setup) -> bool:
    """The solver pays for gradients of its own accord."""
    return setup.options.gradient_source == "auto" and not setup.softened and probing(setup.gradient_source) is not None


def wants_noise(setup: Setup, state: SolverState) -> bool:
    """Whether differences would come first if the noise were known, which it is not: what one line takes for noise may be a kink or a jump."""
    attack = state.attack
    unknown = attack.probes == 0 or (attack.probes < PROBES and attack.noise > PRECISION)
    return unknown and _unasked(setup) and not state.history.p


def _second(setup: Setup, state: SolverState) -> bool:
    """Whether searches that need no gradients come first: beside constraints, where nobody has asked for any."""
    return _unasked(setup) and bool(state.history.p)


def due(setup: Setup, state: SolverState) -> bool:
    """Whether gradients may be estimated yet, or again.

    Where nobody has asked for any: never of noise; second beside constraints; else at most `SHARE` of the evaluations, once a first descent
    is paid for, so that many basins do not cost a polish each.
    """
    if not _unasked(setup):
        return True
    if state.attack.noisy:
        return False
    size, n = state.history.size, setup.n
    if _second(setup, state):
        return size >= PATIENCE * (n + 1)
    return state.attack.spent <= max(ALLOWANCE * (n + 1), SHARE * size)


def suits(operator: AttackOperator, operators: Sequence[AttackOperator], name: str) -> bool:
    """Whether an operator can work with the gradients of this source.

    Poll reuse knows one point only. Random estimates have no curvature. Differences pay n passes for a gradient, of which a polish makes
    more than a single step; they go to polishes where there are any.
    """
    source = probing(name)
    if source is None:
        return name != POLL or not operator.inner_points
    if source.random:
        return not operator.whole_box
    return operator.whole_box or not any(other.whole_box for other in operators)


def source_view(setup: Setup, state: SolverState, view: View, row: int, rng: np.random.Generator) -> SourceView:
    """The view with the gradients that `setup.gradient_source` estimates at history row `row` and, unless it is poll reuse, elsewhere."""
    history, mesh, geometry = state.history, state.mesh, setup.geometry
    assert mesh is not None
    known: dict[bytes, FloatArray] = {}
    if setup.gradient_source == POLL:
        T = np.column_stack([history.f, history.C]) if history.p else history.f[:, None]
        moving = ~geometry.categorical & (setup.upper > setup.lower)
        J = poll_jacobian(history.X, T, history.status == OK, row, mesh.frame_size, moving)
        known = {} if J is None else {point_key(history.X[row]): J}
    noise = state.attack.noise
    if state.noise is not None:
        noise = float(state.noise.sigma(history.f[row : row + 1])[0]) / state.barrier.f_scale
    room = Room(
        setup.lower,
        setup.upper,
        mesh.scale,
        mesh.size,
        (setup.granularity > 0.0) | geometry.categorical,
        noise,
    )
    admits = None if setup.polyhedron is None else setup.polyhedron.inside
    allowance = ALLOWANCE * (setup.n + 1) if _second(setup, state) else math.inf
    return SourceView(view, known, probing(setup.gradient_source), room, admits, rng, allowance, _recall(setup, state))


def _recall(setup: Setup, state: SolverState) -> Callable[[bytes], FloatArray | None]:
    """Values (1 + p,) of points that were evaluated; of stand-ins nothing is known."""
    history = state.history

    def found(key: bytes) -> FloatArray | None:
        row = -1 if setup.softened else history.find_key(key)
        if row < 0 or history.status[row] != OK:
            return None
        return np.append(history.f[row], history.C[row] if history.p else np.empty(0))

    return found
