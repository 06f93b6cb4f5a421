"""Journal: the contract between the evaluator and whatever remembers the answers of user code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from dfoattack._typing import BoolArray, FloatArray


class Journal(Protocol):
    """Memory of what user code answered, in the order of the calls; `storage.RunFile` is the one that survives a crash.

    For every call the evaluator first asks `replay`. None means: nothing recorded any more; the call is noted as asked,
    user code runs, and `record` takes the answer. Answers are tuples of float64 arrays, the last one the account of the
    ledger. An answer to "evaluate" may cover fewer rows than were asked; the evaluator asks again for the others.
    """

    @property
    def replaying(self) -> bool:
        """True while the next call is answered from memory."""

    def replay(self, kind: str, Z: FloatArray) -> tuple[FloatArray, ...] | None:
        """Return the recorded answer to the next call, or None.

        Raises
        ------
        StoreError      another call is recorded there
        """

    def record(
        self,
        kind: str,
        Z: FloatArray,
        answer: tuple[FloatArray, ...],
        *,
        X: FloatArray | None = None,
        on_mesh: BoolArray | None = None,
        notes: Mapping[int, str] | None = None,
    ) -> None:
        """Keep the answer to the call for which `replay` returned None.

        For "evaluate" only: X (q, n) the answered points in full space, on_mesh (q,) flags, notes remarks by row.
        """

    def trait(self, key: str) -> Any:
        """Return the JSON value kept under this name, None if there is none."""

    def set_trait(self, key: str, value: Any) -> None:
        """Keep a fact about the problem that is known only once user code has run."""
