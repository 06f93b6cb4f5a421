"""Task vectors: differences of weights that can be added, negated, scaled and applied.

A task vector of a linearised model is the same object: the tangent theta - theta_0 of its parameters. Only what it is
applied to (`linearize.py`) differs.

Source: Ilharco et al., "Editing models with task arithmetic", ICLR 2023.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

__all__ = ["TaskVector"]


class TaskVector(Mapping[str, Tensor]):
    """tau = theta - theta_0, name by name; floating-point tensors only, integer buffers are skipped.

    Parameters
    ----------
    entries : mapping of name to tensor

    Examples
    --------
    >>> a = TaskVector({"w": torch.tensor([3.0, 4.0])})
    >>> a.norm(), (2 * a - a).cosine(a), sum([a, a])["w"].tolist()
    (5.0, 1.0, [6.0, 8.0])
    """

    def __init__(self, entries: Mapping[str, Tensor]) -> None:
        self._entries = {name: value.detach() for name, value in entries.items() if value.is_floating_point()}

    @classmethod
    def between(cls, before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> TaskVector:
        """Return after - before.

        Raises
        ------
        ValueError      the two have different names or shapes
        """
        _same({k: v for k, v in before.items() if v.is_floating_point()}, after)
        return cls({name: after[name] - value for name, value in before.items() if value.is_floating_point()})

    def __getitem__(self, name: str) -> Tensor:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __add__(self, other: TaskVector) -> TaskVector:
        if not isinstance(other, TaskVector):
            return NotImplemented
        _same(self._entries, other)
        return TaskVector({name: value + other[name] for name, value in self._entries.items()})

    def __radd__(self, other: int) -> TaskVector:
        """0 + tau, so that `sum` works."""
        return self if other == 0 else NotImplemented

    def __neg__(self) -> TaskVector:
        return TaskVector({name: -value for name, value in self._entries.items()})

    def __sub__(self, other: TaskVector) -> TaskVector:
        if not isinstance(other, TaskVector):
            return NotImplemented
        return self + -other

    def __mul__(self, scale: float) -> TaskVector:
        return TaskVector({name: scale * value for name, value in self._entries.items()})

    __rmul__ = __mul__

    def __truediv__(self, scale: float) -> TaskVector:
        return self * (1.0 / scale)

    def dot(self, other: TaskVector) -> float:
        """Inner product over all entries, in float64."""
        _same(self._entries, other)
        return float(sum((value.double() * other[name].double()).sum() for name, value in self._entries.items()))

    def norm(self) -> float:
        """Euclidean norm over all entries."""
        return math.sqrt(self.dot(self))

    def cosine(self, other: TaskVector) -> float:
        """Cosine of the angle between the two.

        Raises
        ------
        ValueError      one of them is zero
        """
        size = self.norm() * other.norm()
        if size == 0.0:
            raise ValueError("The cosine of a zero task vector is not defined.")
        return self.dot(other) / size

    def apply(self, theta: Mapping[str, Tensor], scale: float = 1.0) -> dict[str, Tensor]:
        """Return theta + scale tau; entries of theta without a counterpart (integer buffers) are passed on.

        Raises
        ------
        ValueError      tau has names that theta lacks, or other shapes
        """
        _same(self._entries, {name: value for name, value in theta.items() if name in self._entries})
        return {
            name: value + scale * self._entries[name] if name in self._entries else value
            for name, value in theta.items()
        }

    def __repr__(self) -> str:
        return f"TaskVector({len(self)} tensors, norm {self.norm():.4g})"

    @staticmethod
    def stack(vectors: Iterable[TaskVector]) -> dict[str, Tensor]:
        """Return name -> (T, ...): one tensor per name, vectors along the first axis."""
        rows = list(vectors)
        for row in rows[1:]:
            _same(rows[0], row)
        return {name: torch.stack([row[name] for row in rows]) for name in rows[0]}


def _same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    shapes = [{name: tuple(v.shape) for name, v in each.items() if v.is_floating_point()} for each in (one, other)]
    if shapes[0] != shapes[1]:
        differing = sorted(set(shapes[0].items()) ^ set(shapes[1].items()))
        raise ValueError(f"Both must have the same names and shapes; they differ in {differing[:3]}.")
