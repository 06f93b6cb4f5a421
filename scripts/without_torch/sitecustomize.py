"""Hides torch from every Python process whose PYTHONPATH begins with this folder.

`PYTHONPATH=scripts/without_torch python -m pytest ...` runs the core's tests as on a machine without torch, in the
test process and in the processes it starts. The import system then finds no torch at all, so that code which asks
`importlib.util.find_spec("torch")` sees what it would see there.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType


class PathFinderWithoutTorch(PathFinder):
    """The usual search along `sys.path`, blind to one package."""

    @classmethod
    def find_spec(
        cls, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] == "torch":
            return None
        return super().find_spec(fullname, path, target)


sys.meta_path[:] = [PathFinderWithoutTorch if finder is PathFinder else finder for finder in sys.meta_path]
