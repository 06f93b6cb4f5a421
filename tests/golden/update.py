"""Record the trajectories anew, and show what changed: python -m tests.golden.update [--write].

Nothing is written without --write: a changed trajectory is a decision, to be named in the change log.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.golden.cases import CASES, FOLDER, recorded, versions


def difference(old: dict[str, Any] | None, new: dict[str, Any]) -> str:
    """One line that says what changed."""
    if old is None:
        return "new"
    if old == new:
        return "unchanged"
    rows = [i for i, (a, b) in enumerate(zip(old["x"], new["x"], strict=False)) if a != b]
    where = f"first other point: evaluation {rows[0] + 1} ({new['step'][rows[0]]})" if rows else "same points"
    return f"{where}; best {old['best']!r} -> {new['best']!r}; counters {old['counters']} -> {new['counters']}"


def main(write: bool) -> int:
    for name, run in CASES.items():
        path = FOLDER / f"{name}.json"
        old = json.loads(path.read_text()) if path.exists() else None
        new = recorded(run())
        print(f"{name}: {difference(None if old is None else old['run'], new)}")
        if write:
            path.write_text(json.dumps({"versions": versions(), "run": new}, indent=1) + "\n")
    if not write:
        print("Nothing was written; add --write to keep these.")
    return 0


if __name__ == "__main__":
    sys.exit(main("--write" in sys.argv[1:]))
