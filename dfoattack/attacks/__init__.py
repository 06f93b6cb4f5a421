"""Attack operators: candidate generators that use gradients. ``by_name`` makes one; the modules are imported when asked for."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from dfoattack import registry
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
        "polish": ("dfoattack.attacks.polish", "Polish"),
        "lbfgsb": ("dfoattack.attacks.lbfgsb", "LBFGSB"),
        "al": ("dfoattack.attacks.al", "AL"),
        "l1": ("dfoattack.attacks.l1", "L1Ladder"),
        "topk": ("dfoattack.attacks.topk", "TopK"),
        "momentum": ("dfoattack.attacks.momentum", "Momentum"),
        "apgd": ("dfoattack.attacks.apgd", "APGD"),
        "adam": ("dfoattack.attacks.adam", "Adam"),
        "perturbed": ("dfoattack.attacks.perturbed", "Perturbed"),
        "sampling": ("dfoattack.attacks.sampling", "GradientSampling"),
        "smallest": ("dfoattack.attacks.smallest", "SmallestRadius"),
        "tangent": ("dfoattack.attacks.tangent", "Tangent"),
        "flips": ("dfoattack.attacks.flips", "Flips"),
        "simba": ("dfoattack.attacks.simba", "SimBA"),
        "ipopt": ("dfoattack.attacks.ipopt", "Ipopt"),
        "none": ("dfoattack.attacks.none", "NoAttack"),
    }
)


def by_name(name: str, options: Mapping[str, Any] | None = None) -> AttackOperator:
    """Make an operator: a built-in one, or a plug-in's (entry point group ``dfoattack.attacks``).

    Parameters
    ----------
    name : str                  one of ``BUILTIN``, or the name of an installed plug-in
    options : mapping, optional keyword arguments of its constructor

    Raises
    ------
    OptionError                 unknown name; a constructor refuses the options
    """
    if name in BUILTIN:
        module, attribute = BUILTIN[name]
        factory = getattr(import_module(module), attribute)
    elif name in registry.names(registry.ATTACKS):
        factory = registry.load(registry.ATTACKS, name)
    else:
        known = sorted({*BUILTIN, *registry.names(registry.ATTACKS)})
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise OptionError(f"Unknown attack {name!r}.{hint} Attacks: {', '.join(map(repr, known))}.")
    try:
        operator: AttackOperator = factory(**dict(options or {}))
    except TypeError as error:
        raise OptionError(f"Attack {name!r} does not take these options: {error}.") from error
    return operator
