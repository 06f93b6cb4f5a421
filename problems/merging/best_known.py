"""Best known values of the shipped banks, and how they were found."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dfoattack.problem import Known

TABLE = Path(__file__).resolve().parent / "known.npz"


@lru_cache(maxsize=1)
def _table() -> dict[str, Any]:
    if not TABLE.exists():
        return {}
    with np.load(TABLE, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def look_up(case: str, digest: str) -> Known | None:
    """Return what is known of a case with the weights of this digest, if anything."""
    table = _table()
    if f"{case}:x" not in table or str(table[f"{case}:weights"]) != digest:
        return None
    return Known(
        float(table[f"{case}:value"]),
        x=table[f"{case}:x"],
        kind=str(table[f"{case}:kind"]),
        tol=float(table[f"{case}:tol"]),
        how=str(table[f"{case}:how"]),
        fingerprint=digest,
    )
