"""Rotation representations: both maps of each, what networks learn with them, and what a solver does with them."""

from dfoattack.errors import MissingExtraError

try:
    import roma  # noqa: F401  # the check; the modules below import what they use
except ModuleNotFoundError as cause:
    raise MissingExtraError("The rotation problems need roma. Install `dfoattack[rotation]`.") from cause
