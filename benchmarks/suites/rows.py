"""Products with a fixed vector or matrix whose rows do not depend, in the last bit, on how many there are.

`X @ w` goes to a different BLAS routine for one row than for many and rounds differently. A solver that evaluates
blocks would then see other functions than one that goes point by point.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

    from dfoattack._typing import FloatArray


def weighted(X: FloatArray, weights: npt.ArrayLike) -> FloatArray:
    """X (k, n), weights (n,) -> (k,); weights (m, n) -> (k, m)."""
    w = np.asarray(weights, dtype=np.float64)
    return np.asarray(np.sum(X * w, axis=1) if w.ndim == 1 else np.sum(X[:, None, :] * w, axis=2))
