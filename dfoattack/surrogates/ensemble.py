"""Several surrogates of the same thing as one: their outputs side by side, or mean and spread."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dfoattack._fingerprint import fingerprint_of
from dfoattack._typing import FloatArray
from dfoattack._validation import check_choice
from dfoattack.errors import ProblemError
from dfoattack.surrogate import as_surrogate, has_vjp

__all__ = ["Ensemble"]


class Ensemble:
    """M surrogates R^n -> R^m as one. One point costs one pass (and one vjp) of the ensemble, that is of all members.

    Parameters
    ----------
    members : sequence of whatever `as_surrogate` takes, at least one
    output : {"stack", "mean_std", "mean"}
        "stack": Phi_1(x), ..., Phi_M(x) side by side, (k, M m). "mean_std": the m means, then the m standard deviations
        over the members (divided by M, not M - 1), (k, 2 m). "mean": (k, m)

    Notes
    -----
    `vjp` exists iff every member has one. Where the members agree exactly the standard deviation has no gradient; zero is
    taken.

    Raises
    ------
    ProblemError        no member, or members with different numbers of outputs
    """

    def __init__(self, members: Sequence[Any], output: str = "stack") -> None:
        if not isinstance(members, (list, tuple)) or not members:
            raise ProblemError(f"`members` must be a list of at least one surrogate, got {members!r}.")
        self.members = tuple(as_surrogate(member) for member in members)
        self.output = check_choice("output", output, ("stack", "mean_std", "mean"))
        kinds = [kind for member in self.members for kind in getattr(member, "failures", ())]
        self.failures: tuple[type[Exception], ...] = tuple(dict.fromkeys(kinds))
        places = {getattr(member, "tensor_place", None) for member in self.members}
        self.tensor_place = places.pop() if len(places) == 1 else None
        if all(has_vjp(member) for member in self.members):
            self.vjp = self._vjp

    def predict(self, X: FloatArray) -> FloatArray:
        """Return the outputs of the ensemble, (k, q)."""
        Y = self._outputs(X)
        if self.output == "stack":
            return np.concatenate(list(Y), axis=1)
        mean = Y.mean(axis=0)
        return mean if self.output == "mean" else np.concatenate([mean, Y.std(axis=0)], axis=1)

    def fingerprint(self) -> str:
        """Return the fingerprint of the members and of what is made of them."""
        return fingerprint_of([self.output, *[fingerprint_of(member) for member in self.members]])

    def __repr__(self) -> str:
        return f"Ensemble({list(self.members)}, output={self.output!r})"

    def _outputs(self, X: FloatArray) -> FloatArray:
        """Outputs of every member, (M, k, m)."""
        parts = []
        for member in self.members:
            Y = np.asarray(member.predict(np.array(X)), dtype=np.float64)
            parts.append(Y.reshape(len(X), 1) if Y.ndim == 1 else Y)
        if len({part.shape for part in parts}) > 1:
            raise ProblemError(f"`members` must have the same outputs, got shapes {[part.shape for part in parts]}.")
        return np.stack(parts)

    def _vjp(self, X: FloatArray, V: FloatArray) -> FloatArray:
        """Return rows J(x_i)^T v_i, (k, n); one vjp of every member (and a forward pass for "mean_std")."""
        count = len(self.members)
        if self.output == "stack":
            parts = np.split(V, count, axis=1)
        elif self.output == "mean":
            parts = [V / count] * count
        else:
            parts = list(self._spread_weights(X, V))
        total = np.zeros(np.shape(X))
        for member, part in zip(self.members, parts, strict=True):
            total += np.asarray(member.vjp(np.array(X), part), dtype=np.float64)  # type: ignore[attr-defined]  # seen
        return total

    def _spread_weights(self, X: FloatArray, V: FloatArray) -> FloatArray:
        """Weights (M, k, m) by which the members' gradients make that of mean and standard deviation."""
        Y = self._outputs(X)
        m = Y.shape[2]
        std = Y.std(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            direction = np.where(std > 0.0, (Y - Y.mean(axis=0)) / std, 0.0)
        weights: FloatArray = (V[:, :m] + direction * V[:, m:]) / len(self.members)
        return weights
