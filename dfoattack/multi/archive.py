"""The archive: nondominated feasible points, undominated infeasible ones below the barrier, each with a mesh of its own.

Objectives are minimised here. An infeasible point is compared in the objectives and the violation h together, and is of no use once a
feasible point is as good in every objective (progressive barrier for several objectives, after Bigeon, Le Digabel & Salomon 2024).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack._values import evolve
from dfoattack.cache import History
from dfoattack.mesh import Mesh

INFEASIBLE_MAX = 200  # infeasible points kept, those with the least violation


def frame(mesh: Mesh) -> float:
    """Largest frame size in units of the first one: of the continuous variables, else of those that can shrink, 1 if none can."""
    if np.any(mesh.granularity == 0.0):
        return mesh.size
    shrinking = mesh.scale > mesh.granularity
    return float(np.max(mesh.frame_size / mesh.scale, where=shrinking, initial=0.0)) if shrinking.any() else 1.0


@dataclass(frozen=True)
class Element:
    """A point of the archive.

    Attributes
    ----------
    row : int                       its history row
    mesh : Mesh                     its own mesh and frame
    frame : float                   `frame(mesh)`, kept because it is asked for so often
    move : float64 (n,) or None     the displacement that led to it; orders its polls and feeds the speculative step
    polled : float                  smallest frame size (units of the first) at which a complete poll round it found nothing better; inf: none
    checked : bool                  the model search has looked for a point that dominates it
    done : bool                     its smallest frame has failed: no centre any more
    """

    row: int
    mesh: Mesh
    frame: float
    move: FloatArray | None = None
    polled: float = math.inf
    checked: bool = False
    done: bool = False

    def refined(self, x: FloatArray) -> Element:
        """One notch smaller; x (n,) is the point itself."""
        mesh = self.mesh.refined(x)
        return evolve(self, mesh=mesh, frame=frame(mesh))


@dataclass(frozen=True)
class Archive:
    """Feasible and infeasible elements in the order of their rows, and the largest violation h an infeasible one may have."""

    feas: tuple[Element, ...] = ()
    inf: tuple[Element, ...] = ()
    h_max: float = math.inf

    def find(self, row: int) -> Element | None:
        """The element of that history row, None if it is not (or no longer) here."""
        return next((e for e in (*self.feas, *self.inf) if e.row == row), None)

    def replaced(self, element: Element) -> Archive:
        """The archive with another element for the same row; unchanged where the row is not here."""
        return evolve(
            self,
            feas=tuple(element if e.row == element.row else e for e in self.feas),
            inf=tuple(element if e.row == element.row else e for e in self.inf),
        )


@dataclass(frozen=True)
class Verdict:
    """What a block of points did to the archive.

    Attributes
    ----------
    best : int          0 nothing, 1 the front was extended (or the violation fell), 2 a point dominates members
    row : int           history row of the first point that entered with that verdict, -1 if none did
    small : bool        only off-mesh points entered, none by enough: counts as no success
    """

    best: int = 0
    row: int = -1
    small: bool = False


def rows_of(elements: tuple[Element, ...]) -> IntArray:
    return np.array([e.row for e in elements], dtype=np.int64)


def values(history: History, rows: IntArray, q: int) -> FloatArray:
    """Minimised objectives of history rows, (k, q): the first is `f`, the others are the first constraint columns."""
    return np.column_stack([history.f[rows], history.C[rows, : q - 1]])


def ranges(G: FloatArray) -> FloatArray:
    """Range of every objective over the rows of G (k, q), 1 where it is zero: what objectives of different scale are divided by."""
    if not G.shape[0]:
        return np.ones(G.shape[1])
    with np.errstate(over="ignore"):
        span = np.ptp(G, axis=0)
    return np.where((span > 0.0) & np.isfinite(span), span, 1.0)


def front_values(history: History, archive: Archive, q: int) -> FloatArray:
    """Objectives of the feasible elements, (N, q)."""
    return values(history, rows_of(archive.feas), q) if archive.feas else np.empty((0, q))


def progress(g: FloatArray, G: FloatArray) -> float:
    """How far g (q,) must be moved up, in ranges of the front G (N, q), until a member is as good everywhere; > 0 iff g enters.

    The additive epsilon indicator of one point; +inf for an empty front.
    """
    if not G.shape[0]:
        return math.inf
    with np.errstate(over="ignore", invalid="ignore"):
        return float(np.min(np.max((G - g) / ranges(G), axis=1)))


@dataclass(frozen=True)
class Seen:
    """The archive as numbers: objectives G (N, q) of the feasible elements, W (M, q) and violations H (M,) of the infeasible ones."""

    G: FloatArray
    W: FloatArray
    H: FloatArray
    h_max: float

    @classmethod
    def of(cls, archive: Archive, history: History, q: int) -> Seen:
        rows = rows_of(archive.inf)
        W = values(history, rows, q) if archive.inf else np.empty((0, q))
        return cls(front_values(history, archive, q), W, history.H[rows], archive.h_max)

    def enters(self, g: FloatArray, h: float) -> bool:
        """Whether a usable point with objectives g (q,) and violation h becomes an element."""
        if np.any(np.all(self.G <= g, axis=1)):
            return False
        return h == 0.0 or (h <= self.h_max and not np.any(np.all(self.W <= g, axis=1) & (self.H <= h)))

    def verdict(self, g: FloatArray, h: float) -> int:
        """0, 1 or 2 as in `Verdict`: an infeasible point must dominate an infeasible element, or have the least violation of all."""
        if not self.enters(g, h):
            return 0
        if h == 0.0:
            return 2 if not self.G.shape[0] or np.any(np.all(g <= self.G, axis=1)) else 1
        if not self.W.shape[0] or np.any(np.all(g <= self.W, axis=1) & (h <= self.H)):
            return 2
        return 1 if h < self.H.min() else 0


def added(
    archive: Archive,
    history: History,
    q: int,
    first: int,
    meshes: Sequence[Mesh],
    moves: FloatArray,
    span: FloatArray,
    grow: bool,
) -> tuple[Archive, IntArray]:
    """The archive after history rows first.. were evaluated, and what each of them did, (k,): 0, 1 or 2 as in `Verdict`.

    New elements inherit their parent's mesh, one of `meshes` a row; with `grow` those that dominate a member enlarge it along their step,
    `moves` (k, n), up to the frame `span` (n,).
    """
    types = np.zeros(history.size - first, dtype=np.int64)
    seen = Seen.of(archive, history, q)
    feas, inf = list(archive.feas), list(archive.inf)
    for i, row in enumerate(range(first, history.size)):
        if not math.isfinite(history.buffer.F[row]):
            continue
        g, h = values(history, np.array([row]), q)[0], float(history.buffer.H[row])
        types[i] = seen.verdict(g, h)
        if not seen.enters(g, h):
            continue
        element = _born(history, row, meshes[i], moves[i], span, grow and types[i] == 2)
        if h == 0.0:
            stay, useful = ~np.all(g <= seen.G, axis=1), ~np.all(g <= seen.W, axis=1)
            feas = [e for e, keep in zip(feas, stay, strict=True) if keep] + [element]
            inf = [e for e, keep in zip(inf, useful, strict=True) if keep]
            seen = Seen(np.vstack([seen.G[stay], g]), seen.W[useful], seen.H[useful], seen.h_max)
        else:
            stay = ~(np.all(g <= seen.W, axis=1) & (h <= seen.H))
            inf = [e for e, keep in zip(inf, stay, strict=True) if keep] + [element]
            seen = Seen(seen.G, np.vstack([seen.W[stay], g]), np.append(seen.H[stay], h), seen.h_max)
    if len(inf) > INFEASIBLE_MAX:
        order = np.argsort(history.H[rows_of(tuple(inf))], kind="stable")[:INFEASIBLE_MAX]
        inf = [inf[j] for j in np.sort(order)]
    return evolve(archive, feas=tuple(feas), inf=tuple(inf)), types


def _born(history: History, row: int, mesh: Mesh, move: FloatArray, span: FloatArray, grow: bool) -> Element:
    x, move = history.X[row].copy(), move.copy()
    own = mesh.enlarged(move, x, span) if grow else mesh.moved(x)
    return Element(row, own, frame(own), move if move.any() else None)


def with_threshold(archive: Archive, history: History) -> Archive:
    """h_max at the end of an iteration: the largest violation left among the infeasible elements, never larger than before.

    Milder than the rule for one objective, which goes below the violation of the centre: on a front the way between two feasible pieces
    may lead through points less feasible than those beside either of them.
    """
    if not archive.inf:
        return archive
    return evolve(archive, h_max=min(archive.h_max, float(history.H[rows_of(archive.inf)].max())))
