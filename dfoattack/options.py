"""All options of a run, frozen, with one checker."""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dfoattack.errors import OptionError
from dfoattack.source_names import GRADIENT_SOURCES

_HELP = "help"
SEARCHES = ("model", "cma", "nelder-mead", "subspace", "vns", "boundary", "multistart")


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={_HELP: text})


@dataclass(frozen=True)
class Options:
    """Options of a run; every one has a default that is meant to be kept.

    `Options.help()` prints the list with its meanings. Unknown names raise `OptionError` and propose the nearest one.
    """

    poll: str = _option(
        "n+1", "poll directions: 'n+1' (orthogonal with negative completion) or '2n' (orthogonal pairs)"
    )
    opportunistic: bool = _option(True, "end a step after the first block with a success; False evaluates every trial")
    block_size: int = _option(
        1, "points evaluated in one call; beyond 1 every block is filled, which changes the trajectory"
    )
    fill_blocks: bool = _option(
        True,
        "fill blocks with points of several steps; False: `block_size` only cuts what one step proposes into calls",
    )
    start_design: str = _option(
        "sobol", "design of start points and of restarts' candidates: 'sobol' (scrambled) or 'lhs' (Latin hypercube)"
    )
    n_init: int | None = _option(
        None, "points at the beginning, x0 among them; None: x0 alone, or about n + 1 where there is none"
    )
    starts: int | None = _option(
        None,
        "start points (x0, then the design) that descend in lockstep (with exact gradients) before the run goes on",
    )
    frame_size_init: float | tuple[float, ...] | None = _option(
        None, "first frame size, user units, one value or one a variable; None: a tenth of the range"
    )
    frame_size_min: float = _option(1e-9, "convergence: largest frame size / first frame size, in (0, 1)")
    speculative: bool = _option(True, "try further along a successful step")
    searches: tuple[str, ...] = _option(
        ("model", "cma", "subspace", "boundary", "multistart"),
        "searches among which the credit chooses: 'model', 'cma', 'nelder-mead', 'subspace', 'vns', 'boundary', 'multistart'; (): poll and covering alone",
    )
    covering: bool = _option(True, "covering trials after failed polls, and the quota before a run may converge")
    covering_radius: float = _option(1.0, "radius of the covered ball, in units of the first frame size, > 0")
    covering_pool: int = _option(512, "candidates kept for the farthest point, >= 8")
    covering_fresh: int = _option(8, "candidates renewed a covering call, in [1, covering_pool]")
    covering_quota: int | None = _option(
        None,
        "covering trials without improvement before the best local run converges; None: 3 % of the budget where others follow, else 10 %, at most 1000",
    )
    attacks: tuple[Any, ...] = _option(
        ("polish", "sign", "l2", "tangent", "flips"),
        "attack operators, by name or object; () switches the attack step off",
    )
    gradient_source: str = _option(
        "auto",
        "where attacks get gradients: 'exact', 'poll' (points evaluated anyway), 'forward', 'central', 'subspace' (differences), "
        "'spsa', 'nes' (random, antithetic), 'none'; 'auto': exact ones where there are any, else what has paid: differences for "
        "black boxes with constraints, or with many variables",
    )
    attack_radius_init: float = _option(1.0, "first attack radius, in units of the first frame size, > 0")
    attack_radius_min: float = _option(1e-6, "smallest attack radius, same units, in (0, attack_radius_init]")
    attack_skips_max: int = _option(5, "consecutive iterations an attack with a sufficient gain may end early, >= 0")
    attack_sleep_max: int = _option(4096, "longest pause of an operator that keeps failing, iterations, >= 1")
    gradient_cost: float = _option(
        2.0, "budget charged for one vector-Jacobian product at one point, in evaluations, > 0"
    )
    h_max_init: float = _option(math.inf, "first barrier threshold on the aggregated violation h, > 0")
    infeasible_margin: float = _option(
        0.1, "an infeasible incumbent leads the poll when better by this share of the objective's range"
    )
    restarts: bool = _option(True, "use what is left of the budget after convergence for further local runs")
    noise: str | float | None = _option(
        None,
        "values are noisy: 'auto' or the standard deviation of the objective, > 0; None: a value is the truth, no point is evaluated twice",
    )
    timeout: float | None = _option(None, "seconds after which an evaluation counts as failed; None: wait for ever")
    certificate_beta: float = _option(0.01, "1 - confidence of the certificates, in (0, 1)")
    certificate_points: int = _option(20000, "test points of the coverage certificate, >= 100")
    trust: str = _option(
        "cheap",
        "trust report of the result: 'off'; 'cheap', which calls no user code; 'full', whose calls are counted apart and not charged",
    )

    def __post_init__(self) -> None:
        attacks: Any = self.attacks
        size: Any = self.frame_size_init
        searches: Any = self.searches
        if isinstance(searches, (str, list)):
            object.__setattr__(self, "searches", (searches,) if isinstance(searches, str) else tuple(searches))
        if not isinstance(attacks, tuple):
            object.__setattr__(self, "attacks", tuple(attacks) if isinstance(attacks, list) else (attacks,))
        for field_ in dataclasses.fields(self):
            value = getattr(self, field_.name)
            if isinstance(value, (np.integer, np.floating, np.bool_)):
                object.__setattr__(self, field_.name, value.item())
        if isinstance(size, (list, np.ndarray)):
            object.__setattr__(self, "frame_size_init", tuple(float(v) for v in size))
        _check(self)

    @property
    def fills(self) -> bool:
        """Whether blocks are filled with points of several steps."""
        return self.fill_blocks and self.block_size > 1

    @classmethod
    def make(cls, options: Options | Mapping[str, Any] | None) -> Options:
        """Options from nothing, a mapping or options. Raises `OptionError` on an unknown name or a value out of range."""
        if options is None:
            return cls()
        if isinstance(options, Options):
            return options
        if not isinstance(options, Mapping):
            raise OptionError(f"`options` must be a mapping or `dfoattack.Options`, got {type(options).__name__}.")
        names = [f.name for f in dataclasses.fields(cls)]
        for key in options:
            if key not in names:
                near = difflib.get_close_matches(str(key), names, n=1)
                hint = f" Did you mean `{near[0]}`?" if near else ""
                raise OptionError(f"Unknown option `{key}`.{hint} All options: `dfoattack.Options.help()`.")
        return cls(**options)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able mapping; operators passed as objects are written as their repr."""
        out: dict[str, Any] = {}
        for f in dataclasses.fields(self):
            value = getattr(self, f.name)
            if f.name == "attacks":
                value = [a if isinstance(a, str) else repr(a) for a in value]
            elif isinstance(value, tuple):
                value = list(value)
            elif isinstance(value, float) and math.isinf(value):
                value = "inf"
            out[f.name] = value
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Options:
        """Inverse of `to_dict` for options whose operators are all given by name."""
        data = dict(data)
        if data.get("h_max_init") == "inf":
            data["h_max_init"] = math.inf
        if isinstance(data.get("attacks"), list):
            data["attacks"] = tuple(data["attacks"])
        if isinstance(data.get("searches"), list):
            data["searches"] = tuple(data["searches"])
        if isinstance(data.get("frame_size_init"), list):
            data["frame_size_init"] = tuple(data["frame_size_init"])
        return cls.make(data)

    @classmethod
    def help(cls) -> str:
        """One line an option: name, default, meaning."""
        lines = [f"{f.name:20s} {f.default!r:28}  {f.metadata[_HELP]}" for f in dataclasses.fields(cls)]
        return "\n".join(lines)


def _are_names(given: Any, known: tuple[str, ...]) -> bool:
    return isinstance(given, tuple) and all(name in known for name in given) and len(set(given)) == len(given)


def _check(o: Options) -> None:
    def real(name: str, rule: str, ok: bool) -> None:
        if not ok:
            raise OptionError(f"`{name}` must be {rule}, got {getattr(o, name)!r}.")

    def number(name: str) -> float:
        value = getattr(o, name)
        real(name, "a number", isinstance(value, (int, float)) and not isinstance(value, bool))
        return float(value)

    def whole(name: str, low: int) -> None:
        value = getattr(o, name)
        real(name, f"an integer >= {low}", isinstance(value, int) and not isinstance(value, bool) and value >= low)

    real("poll", "'n+1' or '2n'", o.poll in ("n+1", "2n"))
    real("trust", "'off', 'cheap' or 'full'", o.trust in ("off", "cheap", "full"))
    real("start_design", "'sobol' or 'lhs'", o.start_design in ("sobol", "lhs"))
    if o.n_init is not None:
        whole("n_init", 1)
    if o.starts is not None:
        whole("starts", 1)
        real("n_init", f"None beside `starts` = {o.starts}", o.n_init is None)
    real("searches", f"a tuple of different names among {SEARCHES}", _are_names(o.searches, SEARCHES))
    operators = all(isinstance(a, str) or callable(a) for a in o.attacks)
    real("attacks", "a tuple of names or operators (empty: no attacks)", operators)
    real("gradient_source", f"one of {GRADIENT_SOURCES}", o.gradient_source in GRADIENT_SOURCES)
    for name in ("opportunistic", "fill_blocks", "speculative", "covering", "restarts"):
        real(name, "True or False", isinstance(getattr(o, name), bool))
    whole("block_size", 1)
    whole("covering_pool", 8)
    whole("covering_fresh", 1)
    real("covering_fresh", f"at most `covering_pool` = {o.covering_pool}", o.covering_fresh <= o.covering_pool)
    whole("attack_skips_max", 0)
    whole("attack_sleep_max", 1)
    whole("certificate_points", 100)
    if o.covering_quota is not None:
        whole("covering_quota", 0)
    real("frame_size_min", "in (0, 1)", 0.0 < number("frame_size_min") < 1.0)
    real("covering_radius", "positive and finite", 0.0 < number("covering_radius") < math.inf)
    real("attack_radius_init", "positive and finite", 0.0 < number("attack_radius_init") < math.inf)
    low = number("attack_radius_min")
    real(
        "attack_radius_min",
        f"in (0, attack_radius_init] = (0, {o.attack_radius_init}]",
        0.0 < low <= o.attack_radius_init,
    )
    real("gradient_cost", "positive and finite", 0.0 < number("gradient_cost") < math.inf)
    real("h_max_init", "positive", number("h_max_init") > 0.0)
    real("infeasible_margin", "non-negative and finite", 0.0 <= number("infeasible_margin") < math.inf)
    real("certificate_beta", "in (0, 1)", 0.0 < number("certificate_beta") < 1.0)
    if o.noise is not None and o.noise != "auto":
        number_ = isinstance(o.noise, (int, float)) and not isinstance(o.noise, bool)
        real("noise", "None, 'auto' or a positive number", number_ and 0.0 < float(o.noise) < math.inf)
    if o.timeout is not None:
        real("timeout", "positive or None", number("timeout") > 0.0)
    if o.frame_size_init is not None:
        values = o.frame_size_init if isinstance(o.frame_size_init, tuple) else (o.frame_size_init,)
        ok = all(isinstance(v, (int, float)) and not isinstance(v, bool) and 0.0 < v < math.inf for v in values)
        real("frame_size_init", "positive and finite", ok)
