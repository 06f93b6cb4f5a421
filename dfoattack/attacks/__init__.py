"""Attack operators: candidate generators that use gradients. ``by_name`` makes one; the modules are imported when asked for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dfoattack.errors import OptionError

if TYPE_CHECKING:
    from dfoattack.attacks.base import AttackOperator

__all__ = ["BUILTIN", "by_name"]

BUILTIN: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "sign": ("dfoattack.attacks.sign", "SignLadder"),
        "l2": ("dfoattack.attacks.l2", "L2Ladder"),
        "pgd": ("dfoattack.attacks.pgd", "PGD"),
        "sqp": ("dfoattack.attacks.sqp", "SQP"),
        "none": ("dfoattack.attacks.none", "NoAttack"),
    }
)


def by_name(name: str, options: Mapping[str, Any] | None = None) -> AttackOperator:
    """Make a built-in operator.

    Parameters
    ----------
    name : str                  one of ``BUILTIN``
    options : mapping, optional keyword arguments of its constructor

    Raises
    ------
    OptionError                 unknown name; a constructor refuses the options
    """
    if name not in BUILTIN:
        near = difflib.get_close_matches(name, BUILTIN, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise OptionError(f"Unknown attack {name!r}.{hint} Built-in attacks: {', '.join(map(repr, BUILTIN))}.")
    module, attribute = BUILTIN[name]
    factory = getattr(import_module(module), attribute)
    try:
        operator: AttackOperator = factory(**dict(options or {}))
    except TypeError as error:
        raise OptionError(f"Attack {name!r} does not take these options: {error}.") from error
    return operator
