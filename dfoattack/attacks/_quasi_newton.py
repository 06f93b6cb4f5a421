"""Projected limited-memory BFGS for many rows in lockstep: one forward pass and one product an iteration for all that still run.

Two-loop recursion of Nocedal 1980 on the free variables, two-metric projection of Bertsekas 1982 (variables next to a bound that holds
them take a scaled gradient step), Armijo search along the projected path. Rows never look at each other: what a row does depends on
its own numbers alone. What a row minimises is its *merit* of F and c, which may change when the row comes to rest.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from dfoattack._typing import BoolArray, FloatArray, IntArray
from dfoattack.attacks.base import Displacements, Target, View, realise, violation

_WEIGHT_MIN = 1e-3  # frame sizes differ more than that only by accident of the run; the scaling should not
_REACH = 0.1  # largest coordinate of a step without curvature, in units of the scaling
_ARMIJO = 1e-4
_CUTS = 10  # shorter steps in a row before a search has failed
_LINEAR = 0.9  # decrease over prediction above which a step is tried longer: a pass costs less than a gradient
_EXPANSIONS = 4
_NEAR = 1e-4  # largest distance to a bound, in units of the scaling, that counts as next to it
_CURVED = 1e-10  # least cosine between step and change of the gradient that is used as curvature


class Merit(Protocol):
    """What each row minimises. Rows are indices of the block; F (k,) and C (k, p) are their values at the points in question."""

    def values(self, rows: IntArray, F: FloatArray, C: FloatArray) -> FloatArray:
        """Merit (k,); +inf where a point must not be taken."""

    def weights(self, rows: IntArray, F: FloatArray, C: FloatArray) -> tuple[FloatArray, FloatArray]:
        """wf (k,) and W (k, p) with grad merit = wf grad F + sum_j W[:, j] grad c_j."""

    def at_rest(self, rows: IntArray, F: FloatArray, C: FloatArray) -> BoolArray:
        """The rows have minimised their merit; True where it has changed now and the row goes on."""

    def steps(self, row: int) -> int:
        """Steps after which the row counts as at rest."""

    def accuracy(self, row: int) -> float:
        """Relative gain of the merit below which the row is at rest."""


class Descent:
    """Rows on their way down.

    Parameters
    ----------
    target, view : Target, View
    rows : (k,) int             centres, finite values
    radius : float              trust box abs(d) <= radius weights round every centre, +inf legal
    memory : int                pairs kept a row

    Attributes
    ----------
    D, F, C : (k, n), (k,), (k, p)      where the rows stand
    found : (k,) bool, best : (k, n)    whether a row has seen anything, and its best point: least violation, then F
    running : (q,) int                  rows that the end of `run` has stopped
    """

    def __init__(self, target: Target, rows: IntArray, radius: float, view: View, memory: int) -> None:
        self.target, self.view = target, view
        self.X = target.X[rows]
        self.F, self.C = target.F[rows].copy(), target.C[rows].copy()
        self.a = np.maximum(target.lower - self.X, -radius * target.weights)
        self.b = np.minimum(target.upper - self.X, radius * target.weights)
        width = target.upper - target.lower
        frame = np.maximum(target.weights, _WEIGHT_MIN) * np.maximum(1.0, np.max(np.abs(self.X), axis=1))[:, None]
        self.scale = np.where(np.isfinite(width) & (width > 0.0), width, frame)
        k, n = self.X.shape
        self.D = np.zeros((k, n))
        self.G = np.zeros((k, n))  # gradient of the merit, scaled
        self._known = (np.full((k, n), np.nan), np.zeros((k, 1 + target.tol.size)))  # where and with which weights
        self.phi = np.zeros(k)
        self.best = np.zeros((k, n))
        self.found = np.zeros(k, dtype=np.bool_)
        self._best_h, self._best_f = np.full(k, np.inf), np.full(k, np.inf)
        self._S, self._Y = np.zeros((memory, k, n)), np.zeros((memory, k, n))
        self._pairs = np.zeros(k, dtype=np.int64)
        self._since = np.zeros(k, dtype=np.int64)  # steps since the merit changed
        self._idle = np.zeros(k, dtype=np.int64)  # steps in a row that gained next to nothing
        self._path = np.zeros((k, n))  # search direction, scaled
        self._t = np.ones(k)
        self._cuts, self._grown = np.zeros(k, dtype=np.int64), np.zeros(k, dtype=np.int64)
        self.running = np.empty(0, dtype=np.int64)
        self._held = np.zeros(k, dtype=np.bool_)  # a shorter step that would do, while a longer one is tried
        self._held_at = (np.zeros((k, n)), np.zeros(k), np.zeros_like(self.C), np.zeros(k))

    @np.errstate(over="ignore", invalid="ignore")
    def run(self, merit: Merit, gradient: FloatArray, iterations: int) -> None:
        """Advance until every row is at rest, the budget is spent, or after so many passes a row; gradient (k, n) of F at the centres."""
        running = self._start(merit, gradient)
        for _ in range(iterations):
            running = self._affordable(running)
            if running.size == 0:
                break
            running = self._advance(merit, running)
        self.running = running

    # ------------------------------------------------------------------ one iteration

    def _start(self, merit: Merit, gradient: FloatArray) -> IntArray:
        rows = np.arange(len(self.X))
        wf, W = merit.weights(rows, self.F, self.C)
        plain = ~np.any(W != 0.0, axis=1)
        self.phi = merit.values(rows, self.F, self.C)
        self.G = wf[:, None] * gradient * self.scale
        self._known[0][plain], self._known[1][plain, 0] = 0.0, wf[plain]
        mixed = self._affordable(rows[~plain])
        if mixed.size:
            self._differentiate(merit, mixed)
        rows = np.sort(np.concatenate([rows[plain], mixed]))
        return rows[self._aim(rows)]

    def _affordable(self, rows: IntArray) -> IntArray:
        """As many of the rows as the budget covers for one more pass and product each, those with the least merit."""
        count = covered(self.view, int(rows.size))
        return rows if count == rows.size else np.sort(rows[np.argsort(self.phi[rows], kind="stable")][:count])

    def _advance(self, merit: Merit, rows: IntArray) -> IntArray:
        """One trial a row; a new gradient and direction where it is taken. Returns the rows that go on."""
        D = np.clip(
            self.D[rows] + (self._t[rows, None] * self._path[rows]) * self.scale[rows], self.a[rows], self.b[rows]
        )
        Z = realise(self.X[rows], D, self.target.lower, self.target.upper)
        F, C = self.view.values(Z, self.view.outputs(Z))
        self._remember(rows, D, F, C)
        phi = merit.values(rows, F, C)
        step = (D - self.D[rows]) / self.scale[rows]
        taken, ended = self._judge(rows, D, F, C, phi, np.sum(self.G[rows] * step, axis=1))
        # A search that fails along curvature from elsewhere is tried once more along the gradient.
        again = rows[ended & (self._pairs[rows] > 0)]
        stuck = rows[ended & (self._pairs[rows] == 0)]
        self._pairs[again] = 0
        stuck = np.concatenate([stuck, again[~self._aim(again)]])
        waiting = np.setdiff1d(rows[~taken], stuck, assume_unique=True)
        return np.sort(np.concatenate([waiting, self._arrive(merit, rows[taken], stuck)]))

    def _judge(
        self, rows: IntArray, D: FloatArray, F: FloatArray, C: FloatArray, phi: FloatArray, slope: FloatArray
    ) -> tuple[BoolArray, BoolArray]:
        """Take, lengthen or shorten each trial; which rows have a point to go to (put into the held place), which have failed."""
        noise = 1e-14 * np.abs(self.phi[rows])
        enough = np.isfinite(phi) & (slope < 0.0) & (phi <= self.phi[rows] + _ARMIJO * slope + noise)
        held_D, held_F, held_C, held_phi = self._held_at
        taken = self._held[rows] & ~(enough & (phi < held_phi[rows]))  # longer was not better
        short, good = ~taken & ~enough, ~taken & enough
        self._shorten(rows[short], phi[short], slope[short])
        ended: BoolArray = short & (self._cuts[rows] > _CUTS)
        at = rows[good]
        held_D[at], held_F[at], held_C[at], held_phi[at] = D[good], F[good], C[good], phi[good]
        self._held[at] = self._lengthen(at, phi[good], slope[good])
        taken[good] = ~self._held[at]
        return taken, ended

    def _lengthen(self, rows: IntArray, phi: FloatArray, slope: FloatArray) -> BoolArray:
        """Try further along paths that are still linear; which of the rows do."""
        ratio, top = (phi - self.phi[rows]) / slope, self._top(rows)
        longer: BoolArray = (ratio >= _LINEAR) & (self._cuts[rows] == 0) & (self._grown[rows] < _EXPANSIONS)
        longer &= top > 1.5 * self._t[rows]
        at = rows[longer]
        self._grown[at] += 1
        factor = np.minimum(5.0, 0.5 / np.maximum(1.0 - ratio[longer], 1e-3))
        self._t[at] = np.minimum(self._t[at] * factor, top[longer])
        return longer

    def _top(self, rows: IntArray) -> FloatArray:
        """Lengths of the paths after which nothing moves any more."""
        path = self._path[rows] * self.scale[rows]
        moving = path != 0.0
        room = np.where(path > 0.0, self.b[rows], self.a[rows]) - self.D[rows]
        top: FloatArray = np.max(np.where(moving, room / np.where(moving, path, 1.0), 0.0), axis=1, initial=0.0)
        return top

    def _shorten(self, rows: IntArray, phi: FloatArray, slope: FloatArray) -> None:
        self._cuts[rows] += 1
        rise = phi - self.phi[rows] - slope
        known = np.isfinite(rise) & (rise > 0.0) & (slope < 0.0)
        share = np.where(known, -0.5 * slope / np.where(known, rise, 1.0), 0.25)
        self._t[rows] *= np.clip(share, 0.1, 0.5)

    def _arrive(self, merit: Merit, rows: IntArray, stuck: IntArray) -> IntArray:
        """Move rows to their held points and give them their next direction: one product each. Returns those that go on.

        Rows at rest (stuck ones among them) go on where their merit changes.
        """
        old_G, old_D = self.G[rows].copy(), self.D[rows].copy()
        tired = self._move(merit, rows)
        changed = self._renewed(merit, np.concatenate([rows[tired], stuck]))
        learning = self._affordable(rows[~tired])
        changed = changed if learning.size == np.sum(~tired) else changed[:0]
        self._differentiate(merit, np.concatenate([learning, changed]))
        known = np.isin(rows, learning)
        self._learn(learning, (self.D[learning] - old_D[known]) / self.scale[learning], self.G[learning] - old_G[known])
        going: list[IntArray] = []
        fresh = np.concatenate([learning, changed])
        while fresh.size:
            alive = self._aim(fresh)
            going.append(fresh[alive])
            fresh = self._renewed(merit, fresh[~alive])
            self._differentiate(merit, fresh)
        return np.concatenate([np.empty(0, dtype=np.int64), *going])

    def _move(self, merit: Merit, rows: IntArray) -> BoolArray:
        """Take the held points; which rows are at rest, because they gain too little or have made all their steps."""
        held_D, held_F, held_C, held_phi = self._held_at
        gain = self.phi[rows] - held_phi[rows]
        self.D[rows], self.F[rows], self.C[rows] = held_D[rows], held_F[rows], held_C[rows]
        self.phi[rows] = held_phi[rows]
        self._held[rows] = False
        self._since[rows] += 1
        least = np.array([merit.accuracy(int(row)) for row in rows]) * np.maximum(np.abs(held_phi[rows]), 1e-300)
        self._idle[rows] = np.where(gain <= least, self._idle[rows] + 1, 0)
        steps = np.array([merit.steps(int(row)) for row in rows], dtype=np.int64)
        tired: BoolArray = (self._idle[rows] >= 2) | (self._since[rows] >= steps)
        return tired

    def _renewed(self, merit: Merit, rows: IntArray) -> IntArray:
        """Rows at rest whose merit changes and which the budget lets go on."""
        changed = self._affordable(rows[merit.at_rest(rows, self.F[rows], self.C[rows])])
        self._since[changed] = 0
        self._idle[changed] = 0
        return changed

    def _differentiate(self, merit: Merit, rows: IntArray) -> None:
        """Merit and scaled gradient where the rows stand: one product each, none where it is known or all weights are zero."""
        wf, W = merit.weights(rows, self.F[rows], self.C[rows])
        self.phi[rows] = merit.values(rows, self.F[rows], self.C[rows])
        at, weights = self._known
        known = np.all(at[rows] == self.D[rows], axis=1) & np.all(weights[rows] == np.column_stack([wf, W]), axis=1)
        rows, wf, W = rows[~known], wf[~known], W[~known]
        at[rows], weights[rows] = self.D[rows], np.column_stack([wf, W])
        self.G[rows] = 0.0
        sloped = (wf != 0.0) | np.any(W != 0.0, axis=1)
        asked = rows[sloped]
        if asked.size:
            Z = realise(self.X[asked], self.D[asked], self.target.lower, self.target.upper)
            G = self.view.grad_mix(Z, wf[sloped], W[sloped]) * self.scale[asked]
            self.G[asked] = np.where(np.all(np.isfinite(G), axis=1, keepdims=True), G, 0.0)

    # ------------------------------------------------------------------ directions

    def _learn(self, rows: IntArray, S: FloatArray, Y: FloatArray) -> None:
        sy, ss, yy = np.sum(S * Y, axis=1), np.sum(S * S, axis=1), np.sum(Y * Y, axis=1)
        curved = np.isfinite(yy) & (sy > _CURVED * np.sqrt(ss) * np.sqrt(yy)) & (ss > 0.0)
        good = rows[curved]
        self._pairs[good] = np.minimum(self._pairs[good] + 1, len(self._S))
        oldest = len(self._S) - int(np.max(self._pairs[good], initial=1))
        for pairs, new in ((self._S, S), (self._Y, Y)):
            pairs[oldest:-1, good] = pairs[oldest + 1 :, good]
            pairs[-1, good] = new[curved]

    def _aim(self, rows: IntArray) -> BoolArray:
        """A new direction for the rows; False where the projected gradient is zero."""
        G, D = self.G[rows], self.D[rows]
        scale = self.scale[rows]
        down, up = (D - self.a[rows]) / scale, (self.b[rows] - D) / scale
        projected = np.clip(-G, -down, up)
        size = np.max(np.abs(projected), axis=1)
        near = np.minimum(_NEAR, size)[:, None]
        free = ~(((down <= near) & (G > 0.0)) | ((up <= near) & (G < 0.0)))
        path = -self._two_loop(rows, np.where(free, G, 0.0), free, G)
        # Not a direction of descent: the pairs belong to another region.
        lost = ~(np.sum(path * G, axis=1) < 0.0) | ~np.all(np.isfinite(path), axis=1)
        self._pairs[rows[lost]] = 0
        path = np.where(lost[:, None], -G, path)
        longest = np.max(np.abs(path), axis=1)
        blind = self._pairs[rows] == 0
        with np.errstate(divide="ignore"):
            factor = np.where(blind, _REACH / longest, np.minimum(1.0, 1.0 / longest))
        self._path[rows] = np.where(longest[:, None] > 0.0, path * factor[:, None], 0.0)
        self._t[rows], self._cuts[rows], self._grown[rows] = 1.0, 0, 0
        alive: BoolArray = np.isfinite(self.phi[rows]) & (size > 0.0)
        return alive

    def _two_loop(self, rows: IntArray, Q: FloatArray, free: BoolArray, G: FloatArray) -> FloatArray:
        """Inverse Hessian times gradient on the free variables, gamma times gradient on the others, (k, n)."""
        m, k = int(np.max(self._pairs[rows], initial=0)), rows.size  # older places hold nothing yet
        S, Y = (np.where(free, pairs[len(pairs) - m :, rows], 0.0) for pairs in (self._S, self._Y))
        sy, yy = np.sum(S * Y, axis=2), np.sum(Y * Y, axis=2)
        age = np.arange(m)[:, None] >= m - self._pairs[rows]
        use = age & (sy > _CURVED * np.sqrt(yy) * np.sqrt(np.sum(S * S, axis=2))) & (yy > 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            rho = np.where(use, 1.0 / sy, 0.0)
            ratio = np.where(use, sy / yy, np.nan)
        gamma, alpha = np.ones(k), np.zeros((m, k))
        for i in range(m):
            gamma = np.where(use[i], ratio[i], gamma)
        for i in range(m - 1, -1, -1):
            alpha[i] = rho[i] * np.sum(S[i] * Q, axis=1)
            Q = Q - alpha[i][:, None] * Y[i]
        R = gamma[:, None] * Q
        for i in range(m):
            beta = rho[i] * np.sum(Y[i] * R, axis=1)
            R = R + (alpha[i] - beta)[:, None] * S[i]
        return np.where(free, R, gamma[:, None] * G)

    def _remember(self, rows: IntArray, D: FloatArray, F: FloatArray, C: FloatArray) -> None:
        """Best point of each row: violation first, then F."""
        h = violation(C, self.target.tol, self.target.scale)
        less = (h < self._best_h[rows]) | ((h == self._best_h[rows]) & (F < self._best_f[rows]))
        less &= np.isfinite(F)
        better = rows[less]
        self.best[better], self._best_h[better], self._best_f[better] = D[less], h[less], F[less]
        self.found[better] = True


def polish_rows(
    target: Target,
    radii: FloatArray,
    view: View,
    memory: int,
    descend: Callable[[Descent, IntArray, FloatArray], None],
) -> Displacements:
    """What the polishes in lockstep share: gradients of the usable centres, then `descend(descent, rows, gradient)`, then a row a centre.

    Where the budget does not cover the gradient and one pass of every centre, those with the least violation, then the least F, go first.
    """
    b, n = target.X.shape
    usable = np.flatnonzero(np.isfinite(target.F) & np.all(np.isfinite(target.C), axis=1))
    order = usable[np.lexsort((target.F[usable], target.violation[usable]))]
    rows = np.sort(order[: covered(view, int(order.size))])
    if not view.has_gradient or rows.size == 0:
        return Displacements.none(n)
    gradient = np.zeros((b, n))
    gradient[rows] = view.grad(target.X[rows])
    radius = float(np.max(radii))
    descent = Descent(target, rows, radius, view, memory)
    descend(descent, rows, gradient[rows])
    found = rows[descent.found]
    unfinished = np.zeros(b, dtype=np.bool_)
    unfinished[rows[descent.running]] = True
    D = descent.best[descent.found]
    return Displacements(D, found, np.full(found.size, radius), gradient, unfinished=unfinished)


def covered(view: View, count: int) -> int:
    """The largest number <= count of rows for which the budget covers one pass and one product each."""
    if count == 0 or view.affords(count, count):
        return count
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if view.affords(middle, middle) else (low, middle)
    return low
