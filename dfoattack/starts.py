"""Start points: the user's, a design where there are none or where they fail, and restarts far from everything evaluated."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np

from dfoattack import designs
from dfoattack._typing import FloatArray
from dfoattack.cache import History
from dfoattack.errors import ProblemError
from dfoattack.mesh import first_frame
from dfoattack.state import Setup
from dfoattack.steps import admissible

DESIGNS = {"sobol": designs.sobol, "lhs": designs.latin_hypercube}
RESTART_CANDIDATES = 16
REACH = 10.0  # deviations of the start design within which local runs begin anew where a variable has no two bounds
PROJECTED_MOST = 16  # points of a design that are moved onto known linear constraints; others outside are left out
ENUMERATION_MAX = 200000  # lattices up to this size are searched for a point that is left


def design(
    setup: Setup, rng: np.random.Generator, k: int, around: FloatArray | None = None, reach: float = 0.0
) -> FloatArray:
    """k points of the design that the option `start_design` names, (k, n); fewer where known linear constraints exclude them."""
    drawn = DESIGNS[setup.options.start_design](setup, rng, k, around, reach)
    return admissible.points(setup, drawn, PROJECTED_MOST)


def first_design(setup: Setup, rng: np.random.Generator) -> FloatArray:
    """Start design where no start point is given: the middle of the box and `n_init` - 1 points of the design.

    The option `starts` takes the place of `n_init`. Without either about n + 1 points, a tenth of the budget at most.
    """
    count = setup.options.n_init if setup.options.starts is None else setup.options.starts
    if count is None:
        count = int(min(setup.n + 1, max(1.0, setup.budget / 10.0)))
    finite = np.isfinite(setup.lower) & np.isfinite(setup.upper)
    middle = np.clip(0.0, setup.lower, setup.upper)
    middle[finite] = 0.5 * (setup.lower[finite] + setup.upper[finite])
    middle[setup.geometry.categorical] = 0.0
    out = admissible.points(setup, setup.geometry.snapped(middle[None, :]))
    if not out.shape[0]:
        raise ProblemError("`linear` must leave a point on the lattice of the granular variables, but there is none.")
    return np.vstack([out, design(setup, rng, count - 1, middle)]) if count > 1 else out


def filled(setup: Setup, rng: np.random.Generator, queue: FloatArray, scale: FloatArray | None) -> FloatArray:
    """Start points (q, n), and behind them what makes the block full: the first models' points round a single one, else further design points."""
    q, n = queue.shape
    size = setup.options.block_size
    count = -q % size
    if not count or not n:
        return queue
    if q > 1:
        return np.vstack([queue, design(setup, rng, count, queue[0])])
    x = queue[0]
    frame = mesh_scale(setup, x) if scale is None else scale
    D = np.vstack([np.eye(n), -np.eye(n)])[:count]
    D = np.vstack([D, _in_ball(rng, count - D.shape[0], n)])
    X = setup.geometry.held(setup.geometry.snapped(x + frame * D), np.broadcast_to(x, D.shape))
    return np.vstack([queue, admissible.points(setup, X, PROJECTED_MOST)])


def mesh_scale(setup: Setup, x: FloatArray) -> FloatArray:
    """First frame size (n,) that the options ask for at a start point x (n,)."""
    if setup.options.frame_size_init is None:
        return first_frame(x, setup.lower, setup.upper)
    return np.broadcast_to(np.asarray(setup.options.frame_size_init, dtype=np.float64), x.shape).copy()


def _in_ball(rng: np.random.Generator, k: int, n: int) -> FloatArray:
    """k random directions (k, n) of lengths from a tenth to one, as many in each decade's part."""
    D = rng.standard_normal((k, n))
    D *= (10.0 ** -rng.random(k) / np.sqrt((D * D).sum(axis=1)))[:, None]
    return D


def first_points(setup: Setup, rng: np.random.Generator) -> FloatArray:
    """What a run evaluates first, (k, n): the user's start points and, up to `n_init` or `starts` points in all, a design; see `first_design`."""
    given = setup.starts
    if not given.shape[0]:
        return first_design(setup, rng)
    more = (setup.options.starts or setup.options.n_init or 0) - given.shape[0]
    return np.vstack([given, design(setup, rng, more, given[0])]) if more > 0 else given


def restart_point(setup: Setup, rng: np.random.Generator, history: History, scale: FloatArray) -> FloatArray:
    """Of many points of a design the one farthest from all evaluated points, in the metric of `scale`, (1, n).

    On a lattice all of them may be known already: then any point that is not, found by enumeration; (0, n) if there is none or
    the lattice is too large to tell.
    """
    candidates = design(setup, rng, RESTART_CANDIDATES, history.X[0], REACH)
    d2 = setup.geometry.fill_distance(candidates, np.ascontiguousarray(history.X), scale)
    best = int(np.argmax(d2)) if d2.size else -1
    if best >= 0 and d2[best] > 0.0:
        return candidates[best : best + 1]
    return _unknown_lattice_point(setup, history)


def lattice_size(setup: Setup) -> float:
    """Number of lattice points in the box; inf where a variable is continuous or unbounded."""
    if setup.continuous or not setup.n:
        return math.inf if setup.n else 1.0
    size = float(np.prod(_lattice_counts(setup)))
    if setup.polyhedron is None or size > ENUMERATION_MAX:
        return size
    return float(sum(1 for _ in _lattice(setup)))


def _lattice_counts(setup: Setup) -> FloatArray:
    """Lattice values of each variable, (n,); the upper bound of a periodic one is its lower bound again."""
    counts: FloatArray = np.rint((setup.upper - setup.lower) / setup.granularity)
    return np.where(setup.geometry.period > 0.0, counts, counts + 1.0)


def _lattice(setup: Setup) -> Iterator[FloatArray]:
    """All lattice points of the box that satisfy the known linear constraints, each (n,)."""
    counts = _lattice_counts(setup).astype(int)
    for steps in itertools.product(*(range(c) for c in counts)):
        x = setup.geometry.snapped((setup.lower + np.array(steps) * setup.granularity)[None, :])
        if setup.polyhedron is None or setup.polyhedron.inside(x)[0]:
            yield x[0]


def _unknown_lattice_point(setup: Setup, history: History) -> FloatArray:
    if setup.continuous or np.prod(_lattice_counts(setup)) > ENUMERATION_MAX:
        return np.empty((0, setup.n))
    for x in _lattice(setup):
        if history.find(x) < 0:
            return x[None, :].copy()
    return np.empty((0, setup.n))
