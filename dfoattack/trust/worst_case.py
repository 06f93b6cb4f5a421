"""Robust problems: f is the worst value in a ball round the design."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dfoattack._typing import FloatArray
from dfoattack._validation import check_finite_scalar
from dfoattack.cache import point_key
from dfoattack.errors import OptionError, ProblemError
from dfoattack.evaluator import Evaluator
from dfoattack.outer import columns_of
from dfoattack.problem import Problem
from dfoattack.surrogate import Identity
from dfoattack.trust.balls import Adversary, adverse, reach_of
from dfoattack.trust.support import training_inputs

__all__ = ["robust"]


def robust(problem: Problem, rho: float, *, steps: int = 5) -> Problem:
    """Return the problem whose f is the worst one within `rho` of the design; the constraints stay those of the design itself.

    The worst point of {z in the box : abs(z_i - x_i) <= rho reach_i} is sought by `steps` projected gradient steps against the design
    (reach: the width of the box, where it is infinite that of the training inputs). Exact where f is affine in the ball, else an
    underestimate of the loss. Its gradient is that of f at the worst point (Danskin 1967), so that attacks work as before.

    Every evaluation is charged for what it takes: `steps` + 1 forward passes and `steps` vector-Jacobian products beyond its own pass, in the
    budget and in `Result.nphi` and `ngev`, as if none of them could be spared.

    Parameters
    ----------
    problem : Problem       with a surrogate that has gradients, and without stand-ins
    rho : float             > 0, share of the box
    steps : int             >= 2

    Raises
    ------
    OptionError, ProblemError

    Examples
    --------
    >>> from dfoattack.space import Box
    >>> from dfoattack.surrogate import CallableSurrogate
    >>> plane = CallableSurrogate(lambda X: X @ np.array([[3.0], [-1.0]]), lambda X, V: V @ np.array([[3.0, -1.0]]))
    >>> flat = Problem(objective=lambda y: y[:, 0], surrogate=plane, space=Box([0, 0], [1, 1]), backend="numpy")
    >>> cautious = robust(flat, 0.1)
    >>> X = np.array([[0.5, 0.5]])
    >>> bool(np.isclose(cautious.outer(X, cautious.forward(X))[0][0], (3.0 - 1.0) * 0.5 - 0.1 * (3.0 + 1.0)))
    True
    """
    if not check_finite_scalar("rho", rho, error=OptionError) > 0.0:
        raise OptionError(f"`rho` must be > 0, got {rho!r}.")
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 2:
        raise OptionError(f"`steps` must be an integer >= 2, got {steps!r}.")
    if isinstance(problem.surrogate, Identity) or not problem.has_gradient:
        raise ProblemError("A robust problem needs a surrogate with `vjp`: the worst point is found by its gradients.")
    if problem.softened:
        raise ProblemError(f"A robust problem must have no stand-ins, got some for {', '.join(problem.softened)}.")
    return _Robust(problem, float(rho), int(steps))


class _Robust(Problem):
    """See `robust`. Outputs are (Phi(x), z, Phi(z)) side by side, z the worst point: all that values and gradients need."""

    def __init__(self, problem: Problem, rho: float, steps: int) -> None:
        super().__init__(**{**problem._arguments, "surrogate": problem.surrogate})
        self._rho, self._steps = rho, steps
        self._adverse = adverse(self)
        self._reach = reach_of(self, training_inputs(self))
        self._adversary = Adversary(self._adverse, self.space.reduce(self._reach[None])[0], steps)
        self.inner_cost = (steps + 1, steps)

    @property
    def may_walk(self) -> bool:
        """No: a walk where the network lives would see f itself."""
        return False

    def replace(self, **changes: Any) -> Problem:
        """As `Problem.replace`, and robust again."""
        return robust(super().replace(**changes), self._rho, steps=self._steps)

    def fingerprint(self) -> dict[str, str]:
        return {**super().fingerprint(), "robust": f"{self._rho!r} in {self._steps} steps"}

    def forward(self, X: FloatArray, traced: bool = False) -> FloatArray:
        Y = super().forward(X)
        if not X.shape[0]:
            return np.empty((0, 2 * Y.shape[1] + self.n))
        door, Z = Evaluator(self._adverse), self.space.reduce(np.asarray(X, dtype=np.float64))
        for z, y in zip(Z, Y, strict=True):
            door.store.put(point_key(z), y, pending=False)  # the adversary need not ask again
        view = door.view()
        # One start, so nothing is drawn: the same design has the same worst point, whatever it is evaluated beside.
        rng = np.random.Generator(np.random.PCG64(0))
        worst = self._adversary.worst(Z, np.array([self._rho]), view, rng).Z[:, 0]
        return np.hstack([Y, self.space.expand(worst), view.outputs(worst)])

    def vjp(self, X: FloatArray, Y: FloatArray, wf: FloatArray, W: FloatArray | None = None) -> FloatArray:
        own, Z, there = self._parts(Y)
        G = np.zeros_like(X)
        rows = np.flatnonzero(wf != 0.0)
        if rows.size:
            slope = super().vjp(Z[rows], there[rows], wf[rows], None)
            # Where the box, not the ball, holds the worst point, it does not move with the design.
            bounded = (Z[rows] <= self.space.lower) | (Z[rows] >= self.space.upper)
            inside = np.abs(Z[rows] - X[rows]) < self._rho * self._reach * (1.0 - 1e-9)
            G[rows] = np.where(bounded & inside, 0.0, slope)
        rows = np.empty(0, dtype=np.int64) if W is None else np.flatnonzero(np.any(W != 0.0, axis=1))
        if rows.size and W is not None:
            G[rows] += super().vjp(X[rows], own[rows], np.zeros(rows.size), W[rows])
        return G

    def products(self, wf: FloatArray, W: FloatArray | None) -> int:
        """f and c have their gradients at different points."""
        return int(np.count_nonzero(wf)) + (0 if W is None else int(np.count_nonzero(np.any(W != 0.0, axis=1))))

    def constraint_jacobian(self, x: FloatArray, y: FloatArray, rows: npt.ArrayLike) -> tuple[FloatArray, int]:
        return super().constraint_jacobian(x, self._parts(y[None])[0][0], rows)

    def _values(self, X: FloatArray, Y: FloatArray, q: int) -> tuple[FloatArray, FloatArray]:
        own, Z, there = self._parts(Y)
        _, C = super()._values(X, own, q)
        return columns_of(self._objective(Z, there), X.shape[0], "`objective`"), C

    def _parts(self, Y: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Outputs at the designs (k, m), worst points (k, n), outputs there (k, m)."""
        m = (Y.shape[1] - self.n) // 2
        return Y[:, :m], Y[:, m : m + self.n], Y[:, m + self.n :]
