"""Plug-ins by name, through entry points; nothing is imported before it is asked for."""

from __future__ import annotations

import difflib
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from dfoattack.errors import OptionError

PROBLEMS = "dfoattack.problems"
ATTACKS = "dfoattack.attacks"
STUDIES = "dfoattack.studies"


def names(group: str) -> list[str]:
    """Sorted names of the installed plug-ins of a group; a plug-in that is broken is listed too."""
    return sorted({entry.name for entry in entry_points(group=group)})


def load(group: str, name: str) -> Any:
    """The object behind a plug-in's name.

    Raises `OptionError` when there is no such name (the nearest is proposed) or when importing it fails (the message says why and
    from which package it comes; other plug-ins are not touched by it).
    """
    found: list[EntryPoint] = [entry for entry in entry_points(group=group) if entry.name == name]
    if not found:
        known = names(group)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise OptionError(f"No plug-in {name!r} in {group!r}.{hint} Installed: {', '.join(known) or 'none'}.")
    try:
        return found[0].load()
    except Exception as error:
        package = found[0].dist.name if found[0].dist is not None else "unknown package"
        raise OptionError(
            f"Plug-in {name!r} of {package!r} could not be imported from {found[0].value!r}: {type(error).__name__}: {error}"
        ) from error
