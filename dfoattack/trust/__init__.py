"""Trust: how far an answer over a learned model can be believed, and how to keep the optimiser where it can.

The better an optimiser, the better it finds the errors of a model that flatter it. `DataSupport` and `supported` keep designs where the
model has seen data; `Caution` asks several models; `robust` optimises the worst case of a ball; `dfoattack.solve_verified` asks the true
simulator now and then; `report` says what is known about an answer, and what is not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfoattack.trust.caution import Caution
    from dfoattack.trust.mahalanobis import Moments
    from dfoattack.trust.reporting import TrustReport, report
    from dfoattack.trust.support import DataSupport, supported
    from dfoattack.trust.worst_case import robust

_HOMES = {
    "DataSupport": "support",
    "Caution": "caution",
    "Moments": "mahalanobis",
    "TrustReport": "reporting",
    "report": "reporting",
    "robust": "worst_case",
    "supported": "support",
}

__all__ = ["Caution", "DataSupport", "Moments", "TrustReport", "report", "robust", "supported"]


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: SciPy's trees and distributions are not needed by every run."""
    if name not in _HOMES:
        raise AttributeError(f"module 'dfoattack.trust' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"dfoattack.trust.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
