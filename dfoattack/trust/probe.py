"""What a full trust report asks of user code: worst values in balls, gradients, another precision, the true simulator."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack.evaluator import Evaluator
from dfoattack.gradient_view import GradientView
from dfoattack.problem import Problem
from dfoattack.trials import Counters
from dfoattack.trust.balls import Adversary, adverse, reach_of
from dfoattack.trust.caution import Cautious, spread_of
from dfoattack.trust.support import training_inputs
from dfoattack.trust.verify import checked_answer

__all__ = ["RADII", "Ball", "probe"]

RADII = (1e-3, 1e-2, 1e-1)  # of the balls, in units of the box
_TRIED = 20  # training inputs whose balls are compared
_SLOPES = 100  # training inputs whose gradients are compared


@dataclass(frozen=True)
class Ball:
    """The worst f found within `radius` (in units of the box) of x, user's sense; how much worse than at x that is, and the same loss at
    training inputs: the median of 20 of them (NaN: unknown)."""

    radius: float
    worst: float
    loss: float
    usual: float


def probe(
    problem: Problem,
    x: FloatArray,
    predicted: float,
    output: FloatArray | None,
    seed: int,
    known: dict[str, Any],
    unknown: dict[str, str],
) -> None:
    """Fill `known` and `unknown` with all that calls of user code can tell at x (n,). A call that raises makes its field unknown."""
    rng = np.random.Generator(np.random.PCG64(seed))
    target = adverse(problem)
    door = Evaluator(target)
    view, space = door.view(), problem.space
    z = space.reduce(x[None])
    spare = Counters()

    def tried(names: tuple[str, ...], work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # the run is paid for: a probe that fails must not hide its result
            unknown.update(dict.fromkeys(names, f"{type(error).__name__}: {error}"))

    def spread() -> None:
        if not isinstance(problem.objective, Cautious):
            unknown["spread"] = "no ensemble"
            return
        Y = view.outputs(z) if output is None else output[None, : problem.m]
        known["spread"] = float(spread_of(problem, x[None], Y)[0])  # type: ignore[index]  # it is an ensemble

    def precision() -> None:
        nonlocal spare
        twin = getattr(problem.surrogate, "in_other_precision", None)
        if twin is None:
            unknown["precision_gap"] = "the surrogate offers one precision only"
            return
        other = target.replace(surrogate=twin())
        f, _ = other.outer(x[None], other.forward(x[None]))
        spare = Counters(nphi=1, passes=1)
        own = float(target.sign * view.values(z, view.outputs(z))[0][0])
        known["precision_gap"] = abs(float(f[0]) - own)

    def truth() -> None:
        if problem.verify is None:
            unknown["verified"] = "no simulator is declared"
            return
        value, violation = checked_answer(problem.verify(x.copy()))
        known.update(verified=value, gap=predicted - value, verified_violation=violation)

    tried(("spread",), spread)
    tried(("balls", "gradient_norm"), lambda: _landscape(problem, target, view, z, rng, known, unknown))
    tried(("precision_gap",), precision)
    tried(("verified",), truth)
    known["cost"] = door.counters + spare
    known["fingerprint"] = problem.fingerprint()["surrogate"]


def _landscape(
    problem: Problem,
    target: Problem,
    view: GradientView,
    z: FloatArray,
    rng: np.random.Generator,
    known: dict[str, Any],
    unknown: dict[str, str],
) -> None:
    """Worst values in balls and gradients, at x and at training inputs."""
    if not view.has_gradient:
        unknown.update(dict.fromkeys(("balls", "gradient_norm"), "the surrogate has no gradient"))
        return
    inputs = training_inputs(problem)
    reach = problem.space.reduce(reach_of(problem, inputs)[None])[0]
    trained = _inside(problem, inputs, rng)
    adversary, radii = Adversary(target, reach, steps=10, restarts=2), np.array(RADII)
    at_x = adversary.worst(z, radii, view, rng).f[0]
    loss = np.full(len(RADII), math.nan)
    own = target.sign * view.values(z, view.outputs(z))[0][0]
    if trained.shape[0]:
        rows = trained[:_TRIED]
        f = target.sign * view.values(rows, view.outputs(rows))[0]
        losses = target.sign * (f[:, None] - adversary.worst(rows, radii, view, rng).f)
        usable = np.isfinite(losses).all(axis=1)
        loss = np.median(losses[usable], axis=0) if usable.any() else loss
    else:
        unknown["balls at training inputs"] = (
            "no training inputs are declared" if inputs is None else "none lies inside the box"
        )
    known["balls"] = tuple(
        Ball(float(r), float(w), float(target.sign * (own - w)), float(usual))
        for r, w, usual in zip(RADII, at_x, loss, strict=True)
    )
    norm = float(np.linalg.norm(view.grad(z)[0] * reach))
    known["gradient_norm"] = norm
    if trained.shape[0]:
        others = np.linalg.norm(view.grad(trained) * reach, axis=1)
        known["gradient_percentile"] = 100.0 * float(np.mean(others < norm))


def _inside(problem: Problem, inputs: FloatArray | None, rng: np.random.Generator) -> FloatArray:
    """At most 100 training inputs that the problem admits, in random order, free variables (k, n_free)."""
    if inputs is None:
        return np.empty((0, problem.space.n_free))
    order = rng.permutation(inputs.shape[0])[: 20 * _SLOPES]
    chosen = [i for i in order if problem.space.contains(inputs[i])][:_SLOPES]
    return problem.space.reduce(inputs[chosen])
