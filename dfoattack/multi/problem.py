"""MultiProblem: two to four objectives in a box, subject to constraints."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dfoattack._typing import FloatArray
from dfoattack._validation import check_choice, shown
from dfoattack.constraint import Constraint
from dfoattack.errors import ProblemError
from dfoattack.linear import Linear
from dfoattack.problem import Problem
from dfoattack.space import Box

__all__ = ["MultiProblem"]

OBJECTIVES_MIN, OBJECTIVES_MAX = 2, 4
_SENSES = ("minimize", "maximize")


class MultiProblem:
    """Several objectives f(x, Phi(x)), each minimised or maximised, subject to c(x, Phi(x)) <= 0 in a box.

    Parameters
    ----------
    objective : callable (y) or (x, y)
        batched: Y (k, m), X (k, n) -> (k, q); NumPy or torch. Row i must depend on row i alone
    sense : sequence of q of {"minimize", "maximize"}
        one an objective; its length, 2 to 4, is the number of objectives
    space, surrogate, constraints, linear, x0, failures, name, backend
        as for `Problem`
    objective_names : sequence of q str, optional
        default "f0", "f1", ...

    Attributes
    ----------
    n, q : int                  variables, objectives
    signs : float64 (q,)        +1.0 for "minimize", -1.0 for "maximize"; inside, signs * f is minimised
    carrier : Problem           what the evaluator sees: f is the first objective, the first q - 1 constraint columns are the others

    Raises
    ------
    ProblemError
        before any user function is called

    Examples
    --------
    >>> import numpy as np
    >>> p = MultiProblem(
    ...     objective=lambda y: np.stack([y[:, 0] ** 2, (y[:, 0] - 2) ** 2], axis=1),
    ...     sense=("minimize", "minimize"), space=[(-5, 5)],
    ... )
    >>> p.values(np.array([[0.5]]))[0].tolist()
    [[0.25, 2.25]]
    """

    def __init__(
        self,
        *,
        objective: Callable[..., Any],
        sense: Sequence[str],
        space: Any,
        surrogate: Any = None,
        constraints: Constraint | Callable[..., Any] | Sequence[Constraint | Callable[..., Any]] = (),
        linear: Linear | Sequence[Linear] = (),
        x0: npt.ArrayLike | None = None,
        objective_names: Sequence[str] | None = None,
        failures: type[Exception] | Sequence[type[Exception]] = (),
        name: str = "",
        backend: str = "auto",
    ) -> None:
        self.sense = _senses(sense)
        self.q = len(self.sense)
        self.signs: FloatArray = np.array([1.0 if s == "minimize" else -1.0 for s in self.sense])
        self.signs.flags.writeable = False
        self.objective_names = _names(objective_names, self.q)
        self.carrier: Problem = _Carrier(
            self.q,
            objective=objective,
            space=space,
            surrogate=surrogate,
            constraints=constraints,
            linear=linear,
            x0=x0,
            sense="minimize",  # the signs are applied where the answers are told: one column each
            failures=failures,
            name=name,
            backend=backend,
        )
        self.name = self.carrier.name
        self.space: Box = self.carrier.space
        self.n: int = self.carrier.n
        self.x0 = self.carrier.x0
        self.constraints = self.carrier.constraints
        self.linear = self.carrier.linear

    def values(self, X: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Objectives (k, q) and constraints (k, p) at full points X (k, n), user's senses. Errors as those of `Problem.outer`."""
        f, C = self.carrier.outer(X, self.carrier.forward(X))
        return np.column_stack([f, C[:, : self.q - 1]]), C[:, self.q - 1 :]

    def fingerprint(self) -> dict[str, str]:
        """Texts that are equal iff the problem is the same: what a run file compares before it resumes."""
        return {**self.carrier.fingerprint(), "sense": ", ".join(self.sense)}

    def __repr__(self) -> str:
        title = f"{self.name!r}, " if self.name else ""
        return f"MultiProblem({title}n={self.n}, q={self.q}, sense={self.sense!r}, constraints={[c.name for c in self.constraints]})"


class _Carrier(Problem):
    """q objectives in the clothes of one: the others travel as the first constraint columns through evaluator and run file."""

    def __init__(self, q: int, **arguments: Any) -> None:
        self._q = q
        super().__init__(**arguments)
        self.gradient_source = "none"  # steps without gradients only: no outputs of Phi need to be kept

    @property
    def p(self) -> int | None:
        own = super().p
        return None if own is None else self._q - 1 + own

    def outer(self, X: FloatArray, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
        if X.shape[0] == 0:
            return np.empty(0), np.empty((0, self.p or 0))
        f, C = self._values(X, Y, self._q)
        return f[:, 0].copy(), np.hstack([f[:, 1:], C])


def _senses(sense: Any) -> tuple[str, ...]:
    if isinstance(sense, str) or not isinstance(sense, Sequence):
        raise ProblemError(
            f"`sense` must be a sequence with 'minimize' or 'maximize' for every objective, got {shown(sense)}. "
            "For one objective use `dfoattack.Problem`."
        )
    if not OBJECTIVES_MIN <= len(sense) <= OBJECTIVES_MAX:
        raise ProblemError(f"`sense` must name {OBJECTIVES_MIN} to {OBJECTIVES_MAX} objectives, got {len(sense)}.")
    return tuple(check_choice(f"sense[{j}]", s, _SENSES) for j, s in enumerate(sense))


def _names(names: Sequence[str] | None, q: int) -> tuple[str, ...]:
    if names is None:
        return tuple(f"f{j}" for j in range(q))
    ok = not isinstance(names, str) and len(names) == q and all(isinstance(name, str) and name for name in names)
    if not ok or len(set(names)) != q:
        raise ProblemError(f"`objective_names` must be q = {q} different names (from `sense`), got {shown(names)}.")
    return tuple(names)
