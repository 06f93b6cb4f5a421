"""Points for the idle places of a block: minimisers of several models at several radii, and clouds that the next models need.

A block is a round trip to user code, and what is not used of it is lost. Regression models of different reach (the nearest points, more
of them, random weights) are minimised in a ladder of trust regions at once, where a sequential method would try one model at one radius and
wait; around the places these steps lead to, further points are spread, so that whichever of them is the next centre, its models
have points to be made of. Merit is what the first of the models predicts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._threads import single_thread
from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.attacks.base import View
from dfoattack.barrier import poll_centres
from dfoattack.kernels.trust_region import constrained_step, trust_step
from dfoattack.regression import DIMENSION_MAX, Quadratics, coefficients, quadratic_fit
from dfoattack.search_states import FillState
from dfoattack.state import Setup, SolverState
from dfoattack.steps._model_frame import Frame
from dfoattack.steps.base import Outcome, Proposal, Step

LADDER = (1.0, 0.5, 2.0, 0.25)  # radii of the steps, in units of the radius; the first ones matter most
REACHES = (1.2, 2.0, 3.5)  # points a model is made of, in numbers of coefficients
STEPS_SHARE = 0.4  # of the places at most: steps of models; the rest is for clouds
FOCUS = 0.5  # share of the cloud round the first step
LEAST = 0.1  # factor by which a radius may fall after a success
SPREAD = 0.5  # of a cloud, in units of the length of the step to its centre
POINTS_MAX = 1200  # of one model
DUAL_POINTS_MAX = 400  # the same where the models are made in as many unknowns as there are points
SHAPE = 0.25  # power of the curvatures that shapes the trust region; 1/2 makes them equal
CONDITION = 1e-4  # smallest curvature, relative to the largest, that shapes the trust region
VALUE_MAX = 1e100  # larger values are kept out of the models
RADIUS_MIN = 1e-10  # in units of the scale
COLUMNS_MAX = 30  # constraint columns modelled, those nearest to being active
MARGIN = 0.02  # kept from the constraints by every other model, in units of their change over the trust region
TRIES = 8  # wider and wider clouds until the block is full


@dataclass(frozen=True)
class FillMemo:
    """The state of the filler at the proposal and the history row it was made round."""

    state: FillState
    row: int


class Fill(Step):
    """Propose as many points as a block has places, best first; the caller takes what it has places for.

    Draws depend on the state alone. The step that leads the block is charged for these points, and none earns credit by them.
    """

    name = "fill"

    def propose(self, setup: Setup, state: SolverState, rng: np.random.Generator, view: View | None) -> Proposal:
        row, _ = poll_centres(state.barrier, state.history, setup.options.infeasible_margin)
        if state.mesh is None or row < 0 or not setup.geometry.moving.shape[0]:
            return Proposal.nothing(setup.n)
        with single_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            X, known = _Round(setup, state, row, rng).points()
        return Proposal.around(X, state.history.X[row], False, memo=FillMemo(known, row), opportunistic=False)

    def update(self, setup: Setup, state: SolverState, outcome: Outcome) -> SolverState:
        memo: FillMemo | None = outcome.memo
        if memo is None or outcome.last == outcome.first:
            return state
        return evolve(state, searches=evolve(state.searches, fill=_learnt(setup, state, memo)))


def _learnt(setup: Setup, state: SolverState, memo: FillMemo) -> FillState:
    """The radius follows the length of the step the whole block has led to; at the smallest one it begins anew at the frame."""
    known, row = memo.state, state.centre
    assert state.mesh is not None
    if row == memo.row or row < 0:
        radius, fails = 0.25 * known.radius, known.fails + 1
    else:
        place = _places(Frame(setup, state, memo.row), state.history.X[row])
        length = float(np.linalg.norm(known.shrink(place.shape[0]) @ place))
        radius, fails = min(max(length, LEAST * known.radius), 4.0 * known.radius), 0
    return evolve(known, radius=radius if radius > RADIUS_MIN else state.mesh.size or 1.0, fails=fails)


def _places(frame: Frame, X: FloatArray) -> FloatArray:
    """Free points X (..., n_free) from the centre of a frame, in units of the scale, (..., k)."""
    D: FloatArray = (frame.seen(X) - frame.x) / frame.scale
    return D if frame.span is None else D @ frame.span


def merit(setup: Setup, state: SolverState, X: FloatArray) -> FloatArray:
    """Predicted merit of points X (k, n), smaller is better: the objective, beyond all of them the violation. Zeros without a model."""
    known = state.searches.fill
    row, _ = poll_centres(state.barrier, state.history, setup.options.infeasible_margin)
    if known is None or state.mesh is None or row < 0 or not X.shape[0]:
        return np.zeros(X.shape[0])
    with single_thread(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        round_ = _Round(setup, state, row, None)
        model = round_.model(REACHES[0])
        return np.zeros(X.shape[0]) if model is None else round_.predicted(model, X)


class _Round:
    """What can be seen from the centre of this round, in coordinates s with x = centre + scale * (stretch s)."""

    def __init__(self, setup: Setup, state: SolverState, row: int, rng: np.random.Generator | None) -> None:
        assert state.mesh is not None
        self.setup, self.state, self.row, self.rng = setup, state, row, rng
        self.frame = Frame(setup, state, row)
        self.n = self.frame.k
        self.known = state.searches.fill or FillState(1.0)
        if self.known.begun < state.barrier.start:
            self.known = FillState(1.0, begun=state.barrier.start)
        self.columns = self._columns()
        self.rows = self._usable()
        self._measure()

    def _measure(self) -> None:
        """Places and distances of the usable points in the present basis, the centre first."""
        self.stretch, self.back = self.known.stretch(self.n), self.known.shrink(self.n)
        S = _places(self.frame, self.state.history.X[self.rows]) @ self.back.T
        distance = np.sqrt((S * S).sum(axis=1))
        order = np.lexsort((self.rows, distance))
        self.rows, self.S, self.distance = self.rows[order], S[order], distance[order]

    def _columns(self) -> IntArray:
        columns = self.state.barrier.columns
        if columns is None or not columns.tol.shape[0]:
            return np.empty(0, dtype=np.int64)
        C = self.state.history.C[self.row]
        worst = np.where(columns.equality, np.inf, (C - columns.tol) / columns.scale)
        nearest: IntArray = np.argsort(-worst, kind="stable")[:COLUMNS_MAX]
        return nearest

    def _usable(self) -> IntArray:
        history = self.state.history
        usable = (history.status == 0) & (np.abs(history.f) <= VALUE_MAX)
        rows: IntArray = np.flatnonzero(usable & self.frame.beside(history.X))
        return rows

    def _values(self, rows: IntArray) -> FloatArray:
        history, columns = self.state.history, self.state.barrier.columns
        if not self.columns.shape[0] or columns is None:
            return history.f[rows][:, None].copy()
        slack = np.where(columns.equality, 0.0, columns.tol)[self.columns]
        return np.column_stack([history.f[rows], history.C[np.ix_(rows, self.columns)] - slack])

    # ------------------------------------------------------------------ models

    def model(self, reach: float, random: bool = False) -> Quadratics | None:
        """A model of the nearest points, `reach` times as many as a quadratic has coefficients; None where there are too few."""
        n, most = self.n, POINTS_MAX if self.n <= DIMENSION_MAX else DUAL_POINTS_MAX
        wanted = int(min(max(reach * coefficients(n), n + 2), most))
        p = min(wanted, self.rows.shape[0])
        if p < n + 2 or self.rows[0] != self.row or self.state.barrier.phase == 1:
            return None
        unit = max(float(self.distance[p - 1]), 1e-300)
        inner = max(float(np.median(self.distance[1:p])), 1e-3 * unit)
        weights = 1.0 / (1.0 + (self.distance[:p] / inner) ** 2)
        if random:
            assert self.rng is not None
            weights = weights * self.rng.exponential(size=p).clip(1e-3)
        values = self._values(self.rows[:p])
        prior = self._prior(values.shape[1], unit) if p < 1.2 * coefficients(n) or n > DIMENSION_MAX else None
        found = quadratic_fit(self.S[:p] / unit, values, weights, prior)
        found = Quadratics(found.c, found.g / unit, found.H / unit**2)
        return found if np.isfinite(found.H).all() and np.isfinite(found.g).all() else None

    def _prior(self, m: int, unit: float) -> FloatArray | None:
        """Hessian of the objective from the last round, in the coordinates s / unit."""
        if self.known.H is None:
            return None
        H = np.zeros((m, self.n, self.n))
        H[0] = self.stretch.T @ self.known.H @ self.stretch * unit**2
        return H

    def predicted(self, model: Quadratics, X: FloatArray) -> FloatArray:
        values = model.values(_places(self.frame, X) @ self.back.T)
        merit: FloatArray = values[:, 0]
        if values.shape[1] > 1:
            columns = self.state.barrier.columns
            assert columns is not None
            C, tol = values[:, 1:], columns.tol[self.columns]
            excess = np.where(columns.equality[self.columns], np.abs(C) - tol, C)
            violation = (np.maximum(excess, 0.0) / columns.scale[self.columns]).sum(axis=1)
            bad = violation > 0.0
            top = float(np.max(merit, initial=0.0))
            merit = np.where(bad, abs(top) + top + 1.0 + violation, merit)
        return merit

    # ------------------------------------------------------------------ points

    def points(self) -> tuple[FloatArray, FillState]:
        """Points of this round, best first, distinct from each other and from all evaluated ones, and the state they belong to."""
        assert self.rng is not None
        places = self.setup.options.block_size
        steps: list[FloatArray] = []
        model = self.model(REACHES[0]) if "model" in self.setup.options.searches else None
        if model is not None:
            shape = self.back.T @ model.H[0] @ self.back
            self.known = evolve(self.known, H=shape)
            self._reshaped(shape)
            model = self.model(REACHES[0])
        radius = self.known.radius
        if model is not None:
            count = max(1, int(STEPS_SHARE * places))
            models = [model, *(self.model(reach) for reach in REACHES[1:])]
            while len(models) * len(LADDER) < count:
                models.append(self.model(REACHES[len(models) % len(REACHES)], random=True))
            for k, one in enumerate(m for m in models if m is not None):
                steps += [self._step(one, factor * radius, margin=k % 2) for factor in LADDER]
        move = self.state.move
        here = self.state.history.X[self.row]
        along = [] if move is None else [self.back @ _places(self.frame, here + t * move) for t in (1.0, 2.0)]
        chosen = self._distinct(np.array([*steps, *along]).reshape(-1, self.n), int(STEPS_SHARE * places) or 1)
        S = [s for s in chosen]
        X = self._snapped(np.array(S).reshape(-1, self.n))
        spread = SPREAD
        for _ in range(TRIES):
            if X.shape[0] >= places:
                break
            X = self._fresh(np.vstack([X, self._cloud(S, places - X.shape[0], radius, spread)]))
            spread *= 2.0
        return X[:places], self.known

    def _reshaped(self, H: FloatArray) -> None:
        """A basis of determinant one in which the curvatures H of the objective are equal, as far as they can be trusted."""
        if self.n == 1:
            return
        curvature, axes = np.linalg.eigh(H)
        size = np.abs(curvature)
        if not (np.isfinite(size).all() and size.max() > 0.0):
            return
        factor = np.maximum(size, CONDITION * size.max()) ** -SHAPE
        factor /= np.exp(np.mean(np.log(factor)))
        self.known = evolve(self.known, axes=axes, factor=factor)
        self._measure()

    def _step(self, model: Quadratics, radius: float, margin: int) -> FloatArray:
        """Minimiser (n,) of a model in the ball of a radius, its constraints and roughly the bounds."""
        n, nothing = self.n, np.zeros(self.n)
        free = np.full(n, np.inf)
        s = np.empty(n)
        if model.c.shape[0] == 1:
            g, H = model.g[0] * radius, model.H[0] * radius**2
            size = float(np.abs(g).max() + np.abs(H).max()) or 1.0
            trust_step(g / size, np.ascontiguousarray(H / size), nothing, -free, free, 1.0, s)
        else:
            change = (
                np.sqrt((model.g**2).sum(axis=1)) * radius + 0.5 * np.sqrt((model.H**2).sum(axis=(1, 2))) * radius**2
            )
            change[~(change > 0.0)] = 1.0
            c = model.c / change + MARGIN * margin
            c[0] = 0.0
            m = c.shape[0]
            g, H = model.g * (radius / change)[:, None], model.H * (radius**2 / change)[:, None, None]
            columns = self.state.barrier.columns
            assert columns is not None
            equality = np.concatenate([[False], columns.equality[self.columns]])
            c[equality] = model.c[equality] / change[equality]
            constrained_step(c, g, np.ascontiguousarray(H), equality, -free, free, 1.0, np.zeros(m), s)
        return radius * s if np.isfinite(s).all() else nothing

    def _cloud(self, S: list[FloatArray], count: int, radius: float, spread: float) -> FloatArray:
        """`count` points (count, n) round the places S and the centre, the wider the farther the place is from the centre."""
        assert self.rng is not None
        D = self.rng.standard_normal((count, self.n))
        D /= np.sqrt((D * D).sum(axis=1))[:, None]
        D *= self.rng.random(count)[:, None] ** (1.0 / self.n)
        pick = self.rng.integers(len(S) + 1, size=count) if S else np.zeros(count, dtype=np.int64)
        if S:  # half of them round the first step
            pick[: int(FOCUS * count)] = 1
        centres = np.vstack([np.zeros(self.n), *S])[pick]
        lengths = np.sqrt((centres**2).sum(axis=1))
        lengths[lengths == 0.0] = radius
        return self._snapped(centres + spread * lengths[:, None] * D)

    def _snapped(self, S: FloatArray) -> FloatArray:
        frame = self.frame
        D = S @ self.stretch.T
        D = D if frame.span is None else D @ frame.span.T
        return frame.snapped(frame.x + frame.scale * D)

    def _distinct(self, S: FloatArray, count: int) -> FloatArray:
        """At most `count` places of S (k, n) in order, no two nearer to each other than a tenth of their length."""
        kept: list[FloatArray] = []
        for s in S:
            length = float(np.sqrt(s @ s))
            if len(kept) >= count or not (0.0 < length < np.inf):
                continue
            if all(float(((s - t) ** 2).sum()) > (0.05 * length) ** 2 for t in kept):
                kept.append(s)
        return np.array(kept).reshape(-1, self.n)

    def _fresh(self, X: FloatArray) -> FloatArray:
        """Rows of X that differ from each other and from all evaluated points, in order."""
        seen: set[bytes] = set()
        keep: BoolArray = np.zeros(X.shape[0], dtype=bool)
        for i, x in enumerate(X):
            key = (x + 0.0).tobytes()
            keep[i] = key not in seen and self.state.history.find(x) < 0
            seen.add(key)
        return X[keep]
