"""Registered problems as they are."""

from __future__ import annotations

from typing import Any

from dfoattack import Problem, registry


def shipped(title: str, name: str, options: tuple[tuple[str, Any], ...]) -> Problem:
    """The plug-in of that name with these options; it keeps its own name, sense and start."""
    problem: Problem = registry.load(registry.PROBLEMS, name)(**dict(options))
    return problem
