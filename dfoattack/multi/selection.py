"""Which member of the archive the next iteration works on: the one beside the largest gap in objective space.

After Bigeon, Le Digabel & Salomon (2021), section 3: only members whose frame is not much smaller than the largest one are eligible, so
that all frames of the front shrink together.
"""

from __future__ import annotations

import numpy as np

from dfoattack._typing import FloatArray, IntArray
from dfoattack.cache import History
from dfoattack.multi.archive import Archive, Element, front_values, ranges, rows_of, values
from dfoattack.multi.state import Focus, MultiSetup, MultiState

FRAME_SHARE = 0.1  # of the largest frame: smaller ones wait
DIRECTIONS = 64  # an objective: directions among which the emptiest is looked for, with three and four objectives
FOLLOW_MAX = 5  # iterations in a row that go on from the point just found


def eligible(elements: tuple[Element, ...]) -> list[int]:
    """Indices of the elements that may be a centre."""
    frames = np.array([-1.0 if e.done else e.frame for e in elements])
    if not (frames >= 0.0).any():
        return []
    return np.flatnonzero(frames >= FRAME_SHARE * frames.max()).tolist()


def gaps(G: FloatArray) -> tuple[FloatArray, IntArray]:
    """How lonely each row of G (N, q), scaled objectives, is, (N,), and its neighbours in order of preference, (N, k).

    Two objectives: the distance to both neighbours along the front, twice the one distance at its ends; first the farther neighbour.
    More: the mean distance to the q nearest rows; first the farthest of those.
    """
    N, q = G.shape
    if N == 1:
        return np.ones(1), np.empty((1, 0), dtype=np.int64)
    if q == 2:
        order = np.lexsort((-G[:, 1], G[:, 0]))
        step = np.sqrt((np.diff(G[order], axis=0) ** 2).sum(axis=1))
        left, right = np.concatenate([step[:1], step]), np.concatenate([step, step[-1:]])
        size, near = np.empty(N), np.empty((N, 2), dtype=np.int64)
        size[order] = left + right
        before, after = np.roll(order, 1), np.roll(order, -1)
        before[0], after[-1] = order[1], order[-2]
        near[order] = np.where(
            (left > right)[:, None], np.column_stack([before, after]), np.column_stack([after, before])
        )
        return size, near
    D = np.sqrt(np.maximum(((G[:, None, :] - G[None, :, :]) ** 2).sum(axis=2), 0.0))
    np.fill_diagonal(D, np.inf)
    k = min(q, N - 1)
    near = np.argsort(D, axis=1, kind="stable")[:, :k]
    size = np.take_along_axis(D, near, axis=1).mean(axis=1)
    return size, near[:, ::-1]


def chosen(setup: MultiSetup, state: MultiState, rng: np.random.Generator) -> Focus | None:
    """The centre of the next iteration, None when every frame of the archive is at its end.

    Draws DIRECTIONS * q exponentials with three and four objectives, nothing with two.
    """
    archive, history, q = state.archive, state.history, setup.q
    draws = rng.standard_exponential((DIRECTIONS * q, q)) if q > 2 else np.empty((0, q))
    follow = archive.find(state.follow) if 0 <= state.follow and state.streak <= FOLLOW_MAX else None
    if not archive.feas:
        return _without_feasible(archive, history, follow)
    index = eligible(archive.feas)
    G = front_values(history, archive, q)
    span = ranges(G)
    if follow is not None and not follow.done and follow in archive.feas:
        i, other, aim = archive.feas.index(follow), -1, None
    elif not index:
        return None
    elif q == 2 or len(archive.feas) == 1:
        size, near = gaps(G / span)
        patience = np.array([min(1.0, archive.feas[j].frame) for j in index])
        i = index[int(np.argmax(size[index] * patience))]
        other, aim, follow = archive.feas[int(near[i, 0])].row if near.shape[1] else -1, None, None
    else:
        i, second, aim = emptiest((G - G.min(axis=0)) / span, index, draws)
        other, follow = archive.feas[second].row, None
    primary = archive.feas[i].row
    corner = G[i] if other < 0 else np.maximum(G[i], values(history, np.array([other]), q)[0])
    beside = _second(archive, history, q, corner)
    infeasible = -1 if beside is None else beside.row
    if beside is not None:
        g = values(history, np.array([infeasible]), q)[0]
        ahead = np.all((G[i] - g) / span > setup.base.options.infeasible_margin)
        within = other >= 0 and np.all(g < corner) and beside.frame >= archive.feas[i].frame
        if ahead or within:
            primary, infeasible = infeasible, primary
    return Focus(primary, other, aim, infeasible, follow is not None)


def emptiest(G: FloatArray, index: list[int], draws: FloatArray) -> tuple[int, int, FloatArray]:
    """Of many directions from the ideal point that with the largest angle to all members.

    Parameters
    ----------
    G : float64 (N, q)          objectives above the ideal point, scaled, N >= 2
    index : list of int         rows that may be the centre
    draws : float64 (k, q)      > 0, the directions up to their lengths

    Returns
    -------
    (i, j, aim)                 the row nearest to that direction, which is in `index`; the next nearest; weights (q,), their sum 1
    """
    aims = draws / draws.sum(axis=1)[:, None]
    length = np.sqrt((G**2).sum(axis=1))
    U = G / np.where(length > 0.0, length, 1.0)[:, None]
    cosine = (aims / np.sqrt((aims**2).sum(axis=1))[:, None]) @ U.T
    nearest = np.argmax(cosine, axis=1)
    allowed = np.isin(nearest, index)
    if not allowed.any():
        restricted = cosine[:, index]
        best = int(np.argmin(restricted.max(axis=1)))
        i = index[int(np.argmax(restricted[best]))]
    else:
        best = int(np.argmin(np.where(allowed, cosine.max(axis=1), np.inf)))
        i = int(nearest[best])
    rest = cosine[best].copy()
    rest[i] = -np.inf
    return i, int(np.argmax(rest)), aims[best]


def _without_feasible(archive: Archive, history: History, follow: Element | None) -> Focus | None:
    if follow is not None and not follow.done:
        return Focus(follow.row, follows=True)
    index = eligible(archive.inf)
    if not index:
        return None
    H = history.H[rows_of(archive.inf)]
    return Focus(archive.inf[index[int(np.argmin(H[index]))]].row)


def _second(archive: Archive, history: History, q: int, corner: FloatArray) -> Element | None:
    """The infeasible element to poll beside a feasible centre: of those better than `corner` (q,), the worst values on the sides of the
    gap, the least infeasible, else the least infeasible of all."""
    index = eligible(archive.inf)
    if not index:
        return None
    rows = rows_of(archive.inf)[index]
    better = np.all(values(history, rows, q) < corner, axis=1)
    return archive.inf[index[int(np.lexsort((history.H[rows], ~better))[0])]]


def is_extreme(G: FloatArray, i: int) -> list[int]:
    """Objectives in which row i of G (N, q) is the best of all."""
    return np.flatnonzero(G[i] <= G.min(axis=0)).tolist()
