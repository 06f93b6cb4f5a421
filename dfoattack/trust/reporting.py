"""The trust report: what is known about how far the value of a result can be believed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack._validation import check_choice
from dfoattack.errors import OptionError
from dfoattack.problem import Problem
from dfoattack.surrogate import Identity
from dfoattack.trials import Counters
from dfoattack.trust.caution import Cautious, spread_of

if TYPE_CHECKING:
    from dfoattack.constraint_status import ConstraintRow
    from dfoattack.result import Result
    from dfoattack.trust.probe import Ball

__all__ = ["LEVELS", "Beyond", "TrustReport", "report"]

LEVELS = ("off", "cheap", "full")
EDGE = 95.0  # percentile of the training data's own distances from which a design lies at their edge
_NORMAL_END = 99.99  # percentile that stands for "beyond the maximum" where only mean and covariance are known
_MOST = 6  # variables named in the text
_NOT_CHEAP = 'asked for by trust="full" only'


@dataclass(frozen=True)
class Beyond:
    """A variable outside the range of the training inputs: its name, its value, and that range."""

    name: str
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class TrustReport:
    """What is known about an answer over a learned model; what is not known is in `unknown`, with the reason, and never passes for good.

    Attributes
    ----------
    level : str                     "cheap": no user code was called; "full"
    verdict : str                   "supported"; "edge": at or beyond the 95th percentile of the training inputs' own distances, or outside the
                                    range of a variable; "extrapolated": beyond their maximum; "unknown"
    predicted, maxcv : float        f and the largest violation as the model sees them
    feasible : bool                 predicted
    constraints : tuple of ConstraintRow    each constraint with its tolerance, as in the result
    outside : tuple of Beyond, None variables outside the training range; None: unknown
    distance, percentile : float    distance to the training data, and the share (in %) of training inputs whose own is smaller; NaN: unknown
    farthest : float                largest own distance of a training input
    training : int                  training inputs
    spread : float                  standard deviation of f over an ensemble at x; NaN: unknown
    balls : tuple of Ball           worst f found in balls round x, beside the same at training inputs; empty: unknown
    gradient_norm : float           |grad f| at x in units of the box; NaN: unknown
    gradient_percentile : float     share (in %) of training inputs at which it is smaller
    precision_gap : float           |f in float64 - f in float32|; NaN: unknown
    verified, gap : float           f by the true simulator, and predicted - verified; NaN: not verified
    verified_violation : float      largest true constraint value; NaN: unknown
    certificate : str               what the run may claim about its own search; nothing about the model
    counters : Counters             of the run
    cost : Counters                 of this report; never charged to the run's budget
    fingerprint : str               of the surrogate; "" unless level is "full"
    unknown : dict                  field -> why nothing is known
    """

    level: str
    verdict: str
    predicted: float
    maxcv: float
    feasible: bool
    constraints: tuple[ConstraintRow, ...]
    certificate: str
    counters: Counters
    outside: tuple[Beyond, ...] | None = None
    distance: float = math.nan
    percentile: float = math.nan
    farthest: float = math.nan
    training: int = 0
    spread: float = math.nan
    balls: tuple[Ball, ...] = ()
    gradient_norm: float = math.nan
    gradient_percentile: float = math.nan
    precision_gap: float = math.nan
    verified: float = math.nan
    gap: float = math.nan
    verified_violation: float = math.nan
    cost: Counters = field(default_factory=Counters)
    fingerprint: str = ""
    unknown: Mapping[str, str] = field(default_factory=dict)

    @property
    def brief(self) -> str:
        """Two or three lines for the print of a result."""
        return "\n".join([self._verdict, *self._where, self._truth, *self._unknown])

    @property
    def text(self) -> str:
        """All of it, a line a field."""
        state = "feasible" if self.feasible else f"LEAST INFEASIBLE, violation {self.maxcv:.3g}"
        lines = [
            self._verdict,
            f"predicted f = {self.predicted:.8g}, {state}: by the model, not in truth",
            *(f"  {row.label}: {row.value:.4g}  ({row.rule}, {row.state})" for row in self.constraints),
            *self._where,
            *self._robustness,
            self._truth,
            *(f"certificate of the search: {line}" for line in self.certificate.splitlines()),
            f"run: nfev {self.counters.nfev}, nphi {self.counters.nphi}, ngev {self.counters.ngev}; "
            f"report: nphi {self.cost.nphi}, ngev {self.cost.ngev}, not charged",
        ]
        if self.fingerprint:
            lines.append(f"surrogate: {self.fingerprint}")
        return "\n".join([*lines, *self._unknown])

    def __str__(self) -> str:
        return self.text

    @property
    def _verdict(self) -> str:
        why = {
            "supported": "among the training data",
            "edge": "at the edge of the training data",
            "extrapolated": "farther from the training data than any of them",
            "unknown": self.unknown.get("percentile", ""),
        }[self.verdict]
        shown = self.verdict if self.verdict == "supported" else self.verdict.upper()
        return f"{shown} ({why})"

    @property
    def _where(self) -> list[str]:
        lines = []
        if math.isfinite(self.distance):
            known = "" if math.isnan(self.percentile) else f", percentile {self.percentile:.3g}"
            own = (
                f" of {self.training} training inputs (farthest {self.farthest:.3g})"
                if self.training
                else " if they were normal"
            )
            lines.append(f"distance to the training data {self.distance:.3g}{known}{own}")
        if self.outside:
            named = [f"{b.name} = {b.value:.6g} not in [{b.low:.6g}, {b.high:.6g}]" for b in self.outside[:_MOST]]
            more = f", ... ({len(self.outside)} variables)" if len(self.outside) > _MOST else ""
            lines.append(f"outside the training range: {', '.join(named)}{more}")
        elif self.outside is not None:
            lines.append("every variable inside its training range")
        return lines

    @property
    def _robustness(self) -> list[str]:
        lines = []
        if not math.isnan(self.spread):
            lines.append(f"ensemble spread at x: {self.spread:.3g}")
        for ball in self.balls:
            usual = "" if math.isnan(ball.usual) else f"; at training inputs the median loss is {ball.usual:.3g}"
            lines.append(
                f"worst f within {ball.radius:g} of the box: {ball.worst:.8g}, a loss of {ball.loss:.3g}{usual}"
            )
        if not math.isnan(self.gradient_norm):
            share = self.gradient_percentile
            rank = "" if math.isnan(share) else f", larger than at {share:.3g} % of the training inputs"
            lines.append(f"gradient norm {self.gradient_norm:.3g}{rank}")
        if not math.isnan(self.precision_gap):
            lines.append(f"float32 and float64 differ by {self.precision_gap:.2g} in f")
        return lines

    @property
    def _truth(self) -> str:
        if math.isnan(self.verified):
            return "true value: unknown; f is a model's opinion"
        held = ""
        if not math.isnan(self.verified_violation):
            value = self.verified_violation
            held = ", truly feasible" if value <= 0.0 else f", TRULY INFEASIBLE by {value:.3g}"
        return f"true value: f = {self.verified:.8g} (predicted - true = {self.gap:+.3g}){held}"

    @property
    def _unknown(self) -> list[str]:
        reasons: dict[str, list[str]] = {}
        for name, reason in self.unknown.items():
            reasons.setdefault(reason, []).append(name.replace("_", " "))
        parts = [f"{', '.join(names)} ({reason})" for reason, names in reasons.items()]
        return [f"unknown: {'; '.join(parts)}"] if parts else []


def report(
    problem: Problem, result: Result, level: str = "full", *, output: FloatArray | None = None, seed: int = 0
) -> TrustReport | None:
    """Say how far a result can be believed.

    Parameters
    ----------
    problem : Problem
    result : Result             of this problem
    level : str                 "cheap" calls no user code; "full" also attacks f in balls round x and round 20 training inputs, takes gradients
                                at x and at 100 training inputs, runs the model in another precision and asks `Problem.verify`
    output : float64 (m,)       Phi(x), if it is at hand: the spread of an ensemble is then known for nothing
    seed : int                  of the choice of training inputs and of random starts

    Returns
    -------
    TrustReport or None         None for level "off", for a run without an evaluated point, and where there is no model to be doubted: no
                                surrogate, no training inputs, no simulator

    Raises
    ------
    OptionError                 another level
    """
    check_choice("trust", level, LEVELS, OptionError)
    nothing = isinstance(problem.surrogate, Identity) and problem.support is None and problem.verify is None
    if level == "off" or nothing or result.best_index < 0:
        return None
    known: dict[str, Any] = {}
    unknown: dict[str, str] = {}
    _place(problem, result.x, known, unknown)
    if level == "full":
        from dfoattack.trust.probe import probe

        probe(problem, result.x, result.fun, output, seed, known, unknown)
    else:
        _cheap(problem, result.x, output, known, unknown)
    return TrustReport(
        level=level,
        verdict=_verdict(known),
        predicted=result.fun,
        maxcv=result.maxcv,
        feasible=result.feasible,
        constraints=result.constraints,
        certificate=result.certificate.text,
        counters=Counters(result.nfev, result.nphi, result.ngev, result.nphi - result.nfev),
        unknown=unknown,
        **known,
    )


def _place(problem: Problem, x: FloatArray, known: dict[str, Any], unknown: dict[str, str]) -> None:
    """Where x lies among the training inputs."""
    if problem.support is None:
        unknown.update(dict.fromkeys(("outside", "percentile"), "no training inputs are declared"))
        return
    from dfoattack.trust.support import measure_of, training_box, training_inputs

    inputs, measure = training_inputs(problem), measure_of(problem)
    if inputs is None:
        unknown["outside"] = "no training inputs are declared, only a measure"
    else:
        box = training_box(inputs, problem.space)
        names, known["training"] = problem.space.names, inputs.shape[0]
        known["outside"] = tuple(
            Beyond(names[i], float(x[i]), float(box.lower[i]), float(box.upper[i]))
            for i in np.flatnonzero(box.outside(x[None])[0])
        )
    if measure is None:
        return
    distance = float(measure.distance(x[None])[0])
    known["distance"] = distance
    if measure.own.size:
        known["farthest"] = float(measure.own[-1])
        known["percentile"] = 100.0 * float(np.searchsorted(measure.own, distance, side="left")) / measure.own.size
    elif callable(getattr(measure, "normal_share", None)):
        known["percentile"] = 100.0 * float(measure.normal_share(distance))  # type: ignore[attr-defined]  # just seen
    else:
        unknown["percentile"] = "distances of the training inputs themselves are not known"


def _cheap(
    problem: Problem, x: FloatArray, output: FloatArray | None, known: dict[str, Any], unknown: dict[str, str]
) -> None:
    """What needs no call of the model."""
    if not isinstance(problem.objective, Cautious):
        unknown["spread"] = "no ensemble"
    elif output is None:
        unknown["spread"] = _NOT_CHEAP
    else:
        known["spread"] = float(spread_of(problem, x[None], output[None, : problem.m])[0])  # type: ignore[index]  # it is an ensemble
    unknown.update(dict.fromkeys(("balls", "gradient_norm", "precision_gap"), _NOT_CHEAP))
    unknown["verified"] = "no simulator is declared" if problem.verify is None else _NOT_CHEAP


def _verdict(known: Mapping[str, Any]) -> str:
    percentile, distance = known.get("percentile", math.nan), known.get("distance", math.nan)
    if math.isnan(percentile):
        return "unknown"
    end = known.get("farthest", math.nan)
    if distance > end or (math.isnan(end) and percentile >= _NORMAL_END):
        return "extrapolated"
    return "edge" if percentile >= EDGE or known.get("outside") else "supported"
