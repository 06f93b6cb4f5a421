"""A simplex gradient from points that were evaluated anyway: no pass, no product.

After Custodio & Vicente (2007), "Using sampling and simplex derivatives in pattern search methods": regression of (F, c) on the latest
points near the centre.
"""

from __future__ import annotations

import numpy as np

from dfoattack._typing import BoolArray, FloatArray
from dfoattack.gradient_sources.base import least_squares

REACH = 2.0  # farthest point used, in units of the present frame, every variable by itself


def poll_jacobian(
    X: FloatArray, T: FloatArray, usable: BoolArray, row: int, frame: FloatArray, moving: BoolArray
) -> FloatArray | None:
    """Jacobian (r, n) of T at X[row], by regression on the latest 2n usable points within two frames of it.

    Parameters
    ----------
    X : (N, n)          evaluated points in the order of evaluation
    T : (N, r)          their values
    usable : (N,) bool  points whose values count; failed ones do not
    row : int           the centre
    frame : (n,)        > 0, present frame size
    moving : (n,) bool  variables of the regression; points that differ in another one do not count

    Returns
    -------
    (r, n) or None      None unless the points determine all of it: n + 1 of them, in general position
    """
    n = int(np.count_nonzero(moving))
    if len(X) <= n or n == 0 or not usable[row]:
        return None
    D = X - X[row]
    near = usable & np.all(np.abs(D) <= REACH * frame, axis=1) & ~np.any(D[:, ~moving] != 0.0, axis=1)
    near[row] = False
    rows = np.flatnonzero(near)[-2 * n :]
    if rows.size < n:
        return None
    J, rank = least_squares(D[np.ix_(rows, moving)], T[rows] - T[row], frame[moving])
    if rank < n or not np.all(np.isfinite(J)):
        return None
    full = np.zeros((T.shape[1], X.shape[1]))
    full[:, moving] = J
    return full
