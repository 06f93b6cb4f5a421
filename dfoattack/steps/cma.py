"""CMA evolution strategy as a search: generations evaluated as far as a model needs it, restarts with large and small populations.

After Hansen (2016), "The CMA evolution strategy: a tutorial"; restarts after Hansen (2009), "Benchmarking a BI-population CMA-ES on
the BBOB-2009 function testbed"; models after Hansen (2019), "A global surrogate assisted CMA-ES"; injected points after Hansen (2011),
"Injecting external solutions into CMA-ES"; granular variables after Hamano et al. (2022), "CMA-ES with margin". Constraints are ordered,
not penalised.
"""

from __future__ import annotations

import math

import numpy as np

from dfoattack._threads import single_thread
from dfoattack._typing import FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.cache import point_keys
from dfoattack.search_states import FIRST, LARGE, SMALL, CmaRestarts, CmaState, Generation, default_population
from dfoattack.state import Setup, SolverState
from dfoattack.steps import _cma, _ranking
from dfoattack.steps._fold import Fold
from dfoattack.steps._model_rules import settled
from dfoattack.steps._order import FAILED, OBJECTIVE, better, keys, levels, order
from dfoattack.steps.base import Outcome, Proposal, Search

VARIABLES_MAX = 200  # beyond, the matrix costs more than it tells
FAILURES_MAX = 20  # generations without a usable point that end a run
IDLE_MAX = 10  # generations without a new point that end a run
POPULATION_MAX = 4096
EXPLORED = 0.02  # of the first step size of a restart: then the population has found its basin
SHRINK = 0.7  # of the step size after a generation without a usable point
AGREES = 0.6  # rank correlation of model and truth from which on the model ranks what is left of a generation
JUDGES = 15  # last points, or three quarters of a generation, at which they are compared
GROWTH = 2  # of the rounds of a generation
NEAR = 3.0  # a run away from the incumbent takes in outside points within so many expected lengths


class CMA(Search):
    """Draw a generation of a CMA-ES run and adapt the distribution to its ranking.

    A turn is a round of it: the points that a model of the run's last points likes best, more of them from round to round, until the
    model agrees with what it is told and ranks the whole generation. Without a model the round is the generation.

    Beside the model search it waits until that has gained nothing at a resolution, and has no turn where that has converged. The first
    run starts at the incumbent. When it has met a termination criterion the next one starts at random in the box, with a doubled
    population or with a small one and a small step, whichever has spent less so far. Draws lam * n normals a generation, and n + 2
    uniform numbers more where a run begins away from the incumbent. Periodic variables wrap, others are folded into the box.

    Parameters
    ----------
    sigma : float        first standard deviation, in units of the mesh's scale (the first frame size)
    wide : float         the same for restarts, which are to look at the whole box
    population : float   multiplier of 4 + floor(3 ln n)
    restarts : bool      False: no turn makes sense after convergence, until the incumbent has moved by another step
    """

    name = "cma"

    def __init__(self, sigma: float = 1.0, wide: float = 2.0, population: float = 1.0, restarts: bool = True) -> None:
        self.sigma, self.wide, self.population, self.restarts = sigma, wide, population, restarts

    @staticmethod
    def usable(setup: Setup) -> bool:
        """Whether the search can work on a problem at all: no levels, which have no distribution; no known linear constraints, which
        would move its samples."""
        return 1 <= setup.n <= VARIABLES_MAX and not setup.geometry.has_levels and setup.polyhedron is None

    def ready(self, setup: Setup, state: SolverState) -> bool:
        if not self.usable(setup) or state.mesh is None or state.centre < 0:
            return False
        model = state.searches.model
        if model is not None and not state.explore and (not model.barren or settled(setup, state)):
            # A sample that moves the incumbent away from models that do well would undo their work; where they are done, restarts follow.
            return False
        run = state.searches.cma
        return run is None or not run.done or self.restarts or state.centre != run.best_row

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        if not self.ready(setup, state):
            return Proposal.nothing(setup.n)
        run = state.searches.cma
        if run is None or run.done or run.begun < state.barrier.start:
            run = self._next_run(setup, state, run, rng)
        drawn = run.drawn or self._drawn(setup, state, run, rng)
        X, predicted = drawn.X, drawn.predicted
        if predicted is not None:
            drawn = evolve(drawn, asked=max(GROWTH * drawn.asked, setup.options.block_size))
            promising = X[np.argsort(predicted, kind="stable")]
            X = promising[[state.history.find_key(key) < 0 for key in point_keys(promising)]][: drawn.asked]
        run = evolve(run, drawn=drawn)
        return Proposal.around(X, state.history.X[state.centre], False, memo=run, opportunistic=False)

    @staticmethod
    def _drawn(setup: Setup, state: SolverState, run: CmaState, rng: np.random.Generator) -> Generation:
        fold = Fold.of(setup, run.scale)
        with single_thread():
            Y = (rng.standard_normal((run.lam, setup.n)) * run.D) @ run.B.T
        X = fold.points(run.mean + run.sigma * run.scale * run.stretch * Y)
        return Generation(Y, X, predictions(setup, state, run, X)[0])

    def _next_run(self, setup: Setup, state: SolverState, last: CmaState | None, rng: np.random.Generator) -> CmaState:
        assert state.mesh is not None
        scale, rows, centre = state.mesh.scale, state.history.size, state.centre
        fold = Fold.of(setup, scale)
        here = fold.preimage(state.history.X[centre])
        base = max(4, round(self.population * default_population(setup.n)))
        if last is None or not self.restarts:
            run = CmaState.start(here, self.sigma, scale, base, begun=rows, best_row=centre)
            return _cma.with_margin(run, setup.granularity)
        succession, lam, shrink = next_restart(last, float(rng.random()), float(rng.random()))
        if state.barrier.start > last.begun:  # this local run is its own: it has begun where it is to begin
            run = CmaState.start(here, self.wide * shrink, scale, lam, begun=rows, best_row=centre, restarts=succession)
            return _cma.with_margin(run, setup.granularity)
        unit = rng.random(setup.n)
        finite = np.isfinite(fold.width)
        low = np.where(finite, fold.low, here - 3.0 * self.wide * scale)
        width = np.where(finite, fold.width, 6.0 * self.wide * scale)
        mean, _ = fold.mirrored(low + unit * width)
        run = CmaState.start(mean, self.wide * shrink, scale, lam, begun=rows, best_row=centre, restarts=succession)
        return _cma.with_margin(run, setup.granularity)

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        run, history = outcome.memo, state.history
        drawn = run.drawn if isinstance(run, CmaState) else None
        if drawn is None:
            return state
        rows = np.array([history.find_key(key) for key in point_keys(drawn.X)], dtype=np.int64)
        spent = evolve(run.restarts, spent=run.restarts.spent + outcome.last - outcome.first)
        run = evolve(run, restarts=spent, idle=0 if outcome.last > outcome.first else run.idle + 1)
        left = bool((rows < 0).any())
        predicted, agreement = predictions(setup, state, run, drawn.X) if left else (None, 0.0)
        if left and (agreement < AGREES or not (rows >= 0).any()):  # or the budget has ended within the generation
            run = evolve(run, drawn=evolve(drawn, predicted=predicted))
        else:
            with single_thread():
                run = evolve(self._adapted(setup, state, run, drawn.Y, rows, predicted), drawn=None)
        if state.noise is not None and state.centre >= 0:
            deviation = float(state.noise.sigma(history.f[state.centre : state.centre + 1])[0])
            run = evolve(run, done=run.done or _cma.drowned(run, deviation))
        done = run.done or run.idle >= IDLE_MAX or run.restarts.spent >= run.restarts.limit
        contracted = run.sigma * float(run.D.max()) <= EXPLORED * self.wide
        explore = state.explore and not done and not contracted
        return evolve(state, searches=evolve(state.searches, cma=evolve(run, done=done)), explore=explore)

    def _adapted(
        self,
        setup: Setup,
        state: SolverState,
        run: CmaState,
        Y: FloatArray,
        rows: IntArray,
        predicted: FloatArray | None,
    ) -> CmaState:
        """The run after a generation of steps Y (lam, n), the points `rows` >= 0 of which are known; predictions rank it where others are not."""
        history, fold = state.history, Fold.of(setup, run.scale)
        known = rows[rows >= 0]
        if predicted is None:
            Z = _cma.white(run, Y)
            ranks = order(history, rows, (Z * Z).sum(axis=1))
            kinds, values = levels(history, rows[ranks])
            first, values = int(rows[ranks[0]]), np.where(kinds == kinds[0], values, np.inf)
        else:
            ranks = np.argsort(predicted, kind="stable")
            first, values = int(known[order(history, known)[0]]), predicted[ranks]
        decided, deciding = levels(history, np.array([first]))
        kind, best = int(decided[0]), float(deciding[0])
        if kind == FAILED:
            failures = run.failures + 1
            return evolve(run, sigma=SHRINK * run.sigma, failures=failures, done=failures >= FAILURES_MAX)
        Y = Y[ranks]
        if state.centre in known:
            run = evolve(run, best_row=state.centre)
        elif state.centre != run.best_row and state.centre >= run.begun:
            # An infeasible incumbent may lead the poll for its objective alone; here it counts only where the order says so.
            if better(history, state.centre, first):
                Y = self._injected(state, run, Y, fold)
            run = evolve(run, best_row=state.centre)
        run = _cma.updated(evolve(run, failures=0), Y, fold)
        run = _cma.traced(run, kind, best, float(values[values.shape[0] // 2]))
        f_best = float(history.buffer.F[state.best_feas]) if kind == OBJECTIVE and state.best_feas >= 0 else -math.inf
        done = _cma.finished(run, values, state.barrier.f_scale, f_best, setup.granularity == 0.0)
        return evolve(run, done=done)

    @staticmethod
    def _injected(state: SolverState, run: CmaState, Y: FloatArray, fold: Fold) -> FloatArray:
        """Ranked steps with the incumbent, which another step has found, in front of them; its step is no longer than usual."""
        n = Y.shape[1]
        y = fold.step(run.mean, fold.preimage(state.history.X[state.centre])) / (run.sigma * run.scale * run.stretch)
        length = float(np.linalg.norm(_cma.white(run, y)))
        longest = math.sqrt(n) + 2.0 * n / (n + 2.0)
        if not math.isfinite(length) or (run.restarts.regime != FIRST and length > NEAR * longest):
            return Y
        return np.vstack([y * min(1.0, longest / max(length, 1e-300)), Y[:-1]])


def predictions(setup: Setup, state: SolverState, run: CmaState, X: FloatArray) -> tuple[FloatArray | None, float]:
    """Objective at X (k, n) by a model of the run's last points, in the axes of its distribution, and how well it ranks the latest of them.

    (None, 0): there are too few, something else than the objective has decided about one of them, or there is noise, which the ranks of
    a whole generation average out.
    """
    history = state.history
    rows = np.arange(max(run.begun, history.size - _ranking.points_max(setup.n)), history.size)
    HE, H, _, F = keys(history, rows)
    if state.noise is not None or not ((HE <= 0.0) & (H <= 0.0) & np.isfinite(F)).all():
        return None, 0.0
    fold = Fold.of(setup, run.scale)
    with single_thread():
        V = fold.step(run.mean, fold.preimage(np.vstack([history.X[rows], X])))
        U = (V / (run.sigma * run.scale * run.stretch)) @ run.B / run.D
        model = _ranking.fitted(U[: rows.shape[0]], F)
        if model is None:
            return None, 0.0
        values = F.min() + model.values(U[rows.shape[0] :])
    latest = slice(-max(JUDGES, 3 * run.lam // 4), None)
    return values, _ranking.kendall(model.left_out[latest], F[latest])


def next_restart(last: CmaState, u: float, v: float) -> tuple[CmaRestarts, int, float]:
    """Regime after the run `last`, its population, and a factor for its first step size; u, v in [0, 1) are random."""
    old = last.restarts
    large = old.large + (old.spent if old.regime == LARGE else 0.0)
    small = old.small + (old.spent if old.regime == SMALL else 0.0)
    if large <= small:
        doublings = old.doublings + 1
        lam = min(POPULATION_MAX, old.base * 2**doublings)
        return CmaRestarts(LARGE, doublings, old.base, large, small), lam, 1.0
    ratio = 0.5 * min(POPULATION_MAX, old.base * 2**old.doublings) / old.base
    lam = max(4, int(old.base * ratio ** (u * u)))
    limit = max(0.5 * (old.spent if old.regime == LARGE else large), 10.0 * lam)
    return CmaRestarts(SMALL, old.doublings, old.base, large, small, limit=limit), lam, 10.0 ** (-2.0 * v)
