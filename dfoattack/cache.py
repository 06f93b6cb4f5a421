"""Every evaluated point of a run, as an append-only value.

A `History` is immutable for whoever holds it: `extended` returns a longer one. The arrays behind it are shared and grow in
place as long as only the newest history is extended (the usual case, amortised O(1) a point); extending an older one copies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dfoattack._typing import FloatArray, IntArray, StatusArray

_FIRST_CAPACITY = 256


def point_key(x: FloatArray) -> bytes:
    """Exact key of a point: its float64 bytes, -0.0 mapped to 0.0."""
    return (x + 0.0).tobytes()


def point_keys(X: FloatArray) -> list[bytes]:
    """Exact keys of many points X (k, n)."""
    data, width = (X + 0.0).tobytes(), 8 * X.shape[1]
    return [data[i : i + width] for i in range(0, X.shape[0] * width, width)] if width else [b""] * X.shape[0]


class _Buffer:
    """Growing arrays; row i is written once. `used` tells how many rows belong to the newest history."""

    __slots__ = (
        "C",
        "F",
        "H",
        "HE",
        "V",
        "X",
        "capacity",
        "f",
        "index",
        "iteration",
        "n",
        "p",
        "status",
        "step",
        "used",
    )

    def __init__(self, n: int, p: int | None, capacity: int) -> None:
        self.n, self.p, self.capacity, self.used = n, p, capacity, 0
        self.X = np.empty((capacity, n))
        self.f = np.full(capacity, np.inf)
        self.F = np.full(capacity, np.inf)
        self.H = np.full(capacity, np.inf)
        self.HE = np.full(capacity, np.inf)
        self.V = np.full(capacity, np.inf)
        self.C = np.full((capacity, p or 0), np.nan)
        self.status = np.zeros(capacity, dtype=np.int8)
        self.step = np.zeros(capacity, dtype=np.int64)
        self.iteration = np.zeros(capacity, dtype=np.int64)
        self.index: dict[bytes, int] = {}

    def copy(self, size: int, capacity: int, p: int | None) -> _Buffer:
        new = _Buffer(self.n, p, capacity)
        for name in ("X", "f", "F", "H", "HE", "V", "status", "step", "iteration"):
            getattr(new, name)[:size] = getattr(self, name)[:size]
        if p is not None and self.p == p:
            new.C[:size] = self.C[:size]
        new.index = {key: row for key, row in self.index.items() if row < size}
        new.used = size
        return new


@dataclass(frozen=True)
class History:
    """All evaluated points, in the order in which they were told.

    Attributes
    ----------
    size : int                 number of points N
    X : float64 (N, n)         points, free variables, user units
    f : float64 (N,)           minimised objective as evaluated, +inf for failed points
    F : float64 (N,)           the same, +inf also where an extreme constraint is violated
    H : float64 (N,)           violation h of the progressive constraints (+inf for failed points)
    HE : float64 (N,)          violation of the extreme constraints (+inf for failed points)
    V : float64 (N,)           max_j (c_j - tol_j), -inf without constraints, +inf for failed points
    C : float64 (N, p)         constraints, NaN for failed points
    status : int8 (N,)         `Status` codes
    step : int64 (N,)          index of the step that proposed the point (see `steps.STEP_NAMES`)
    iteration : int64 (N,)     iteration in which it was proposed
    """

    buffer: _Buffer
    size: int

    @classmethod
    def empty(cls, n: int) -> History:
        return cls(_Buffer(n, None, _FIRST_CAPACITY), 0)

    @property
    def n(self) -> int:
        return self.buffer.n

    @property
    def p(self) -> int | None:
        """Number of constraint columns; None until a point has been evaluated."""
        return self.buffer.p

    @property
    def X(self) -> FloatArray:
        return self.buffer.X[: self.size]

    @property
    def f(self) -> FloatArray:
        return self.buffer.f[: self.size]

    @property
    def F(self) -> FloatArray:
        return self.buffer.F[: self.size]

    @property
    def H(self) -> FloatArray:
        return self.buffer.H[: self.size]

    @property
    def HE(self) -> FloatArray:
        return self.buffer.HE[: self.size]

    @property
    def V(self) -> FloatArray:
        return self.buffer.V[: self.size]

    @property
    def C(self) -> FloatArray:
        return self.buffer.C[: self.size]

    @property
    def status(self) -> StatusArray:
        return self.buffer.status[: self.size]

    @property
    def step(self) -> IntArray:
        return self.buffer.step[: self.size]

    @property
    def iteration(self) -> IntArray:
        return self.buffer.iteration[: self.size]

    def find(self, x: FloatArray) -> int:
        """Row of the point x (n,), or -1."""
        return self.find_key(point_key(x))

    def find_key(self, key: bytes) -> int:
        """Row of the point with this `point_key`, or -1."""
        row = self.buffer.index.get(key, -1)
        return row if row < self.size else -1

    def judged(self, F: FloatArray, H: FloatArray, HE: FloatArray) -> History:
        """The same points with other measures F, H, HE (N,): what a change of the barrier makes of them."""
        buffer = self.buffer.copy(self.size, self.buffer.capacity, self.buffer.p)
        buffer.F[: self.size], buffer.H[: self.size], buffer.HE[: self.size] = F, H, HE
        return History(buffer, self.size)

    def extended(
        self,
        X: FloatArray,
        f: FloatArray,
        F: FloatArray,
        H: FloatArray,
        HE: FloatArray,
        V: FloatArray,
        C: FloatArray,
        status: StatusArray,
        step: int,
        iteration: int,
    ) -> History:
        """The history with k more points (C of shape (k, p); p = 0 columns are legal while p is unknown)."""
        k = X.shape[0]
        if k == 0:
            return self
        buffer, size = self.buffer, self.size
        p = buffer.p if (C.shape[1] == 0 and buffer.p is not None) or not np.any(status == 0) else C.shape[1]
        need = size + k
        if buffer.used != size or need > buffer.capacity or p != buffer.p:
            capacity = max(
                _FIRST_CAPACITY, buffer.capacity if need <= buffer.capacity else 2 * max(need, buffer.capacity)
            )
            buffer = buffer.copy(size, capacity, p)
        rows = slice(size, need)
        buffer.X[rows], buffer.f[rows], buffer.F[rows] = X, f, F
        buffer.H[rows], buffer.HE[rows], buffer.V[rows] = H, HE, V
        if buffer.C.shape[1] == C.shape[1]:
            buffer.C[rows] = C
        buffer.status[rows], buffer.step[rows], buffer.iteration[rows] = status, step, iteration
        for i, key in enumerate(point_keys(X)):
            buffer.index.setdefault(key, size + i)
        buffer.used = need
        return History(buffer, need)

    def revised(
        self, f: FloatArray, F: FloatArray, H: FloatArray, HE: FloatArray, V: FloatArray, C: FloatArray
    ) -> History:
        """The same points with other values, all rows given: estimates that repeated evaluations have changed."""
        size = self.size
        buffer = self.buffer.copy(size, self.buffer.capacity, self.buffer.p)
        for name, values in (("f", f), ("F", F), ("H", H), ("HE", HE), ("V", V), ("C", C)):
            getattr(buffer, name)[:size] = values
        return History(buffer, size)
