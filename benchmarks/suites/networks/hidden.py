"""A problem without its gradients: the network answers, and says nothing about its inside."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfoattack import Problem
    from dfoattack._typing import FloatArray


class BlackBox:
    """Another surrogate's values alone.

    Parameters
    ----------
    surrogate : object with `predict`
    """

    def __init__(self, surrogate: Any) -> None:
        self._surrogate = surrogate
        self.failures: tuple[type[Exception], ...] = tuple(getattr(surrogate, "failures", ()))
        # Objectives and constraints written in torch are evaluated where, and as precisely as, they would be otherwise.
        self.tensor_place = getattr(surrogate, "tensor_place", None)

    def predict(self, X: FloatArray) -> FloatArray:
        """X (k, n) -> (k, m)."""
        values: FloatArray = self._surrogate.predict(X)
        return values

    def fingerprint(self) -> str:
        """That of the surrogate: the values are the same."""
        return f"blackbox-{self._surrogate.fingerprint()}"

    def __repr__(self) -> str:
        return f"BlackBox({self._surrogate!r})"


def hide(problem: Problem) -> Problem:
    """The same problem, same values to the last bit, with `has_gradient` False."""
    surrogate = BlackBox(problem.surrogate)
    return problem.replace(
        surrogate=surrogate, backend=problem.backend, objective_grad=None, f_soft=None, known=problem.known
    )
