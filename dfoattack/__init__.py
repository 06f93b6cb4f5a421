"""dfoattack: optimisation over trained networks, and derivative-free optimisation without them.

`solve(problem)` maximises f(Phi(x)) subject to c(x, Phi(x)) <= 0 over a box; `minimize(fun, x0)` is the same engine behind SciPy's
signature; `Solver` gives it by hand (ask and tell); `resume` goes on with a stored run.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dfoattack.api import resume, solve
    from dfoattack.certificate import Certificate
    from dfoattack.errors import (
        AskTellError,
        DfoattackError,
        EvaluationError,
        EvaluationFailed,
        MissingExtraError,
        OptionError,
        ProblemError,
        StoreError,
    )
    from dfoattack.multi.api import resume_multi, solve_multi
    from dfoattack.multi.problem import MultiProblem
    from dfoattack.multi.result import FrontCertificate, FrontRecords, FrontResult, hypervolume
    from dfoattack.multi.solver import MultiSolver
    from dfoattack.options import Options
    from dfoattack.problem import Constraint, Known, Linear, Problem
    from dfoattack.progress import Event, FrontEvent
    from dfoattack.result import Records, Result, StopReason
    from dfoattack.scipy_api import minimize, scipy_method
    from dfoattack.solver import Solver
    from dfoattack.space import Box
    from dfoattack.surrogate import CallableSurrogate
    from dfoattack.surrogates.ensemble import Ensemble
    from dfoattack.surrogates.jax_function import JaxSurrogate
    from dfoattack.surrogates.onnx_file import OnnxSurrogate
    from dfoattack.surrogates.sklearn_model import SklearnSurrogate
    from dfoattack.torch_backend.surrogate_torch import TorchSurrogate
    from dfoattack.trials import Evaluations, Status, Trials
    from dfoattack.verified import VerifiedResult, solve_verified

__version__ = "0.1.0"

_HOMES = {
    "api": ("resume", "solve"),
    "certificate": ("Certificate",),
    "errors": (
        "AskTellError",
        "DfoattackError",
        "EvaluationError",
        "EvaluationFailed",
        "MissingExtraError",
        "OptionError",
        "ProblemError",
        "StoreError",
    ),
    "multi.api": ("resume_multi", "solve_multi"),
    "multi.problem": ("MultiProblem",),
    "multi.result": ("FrontCertificate", "FrontRecords", "FrontResult", "hypervolume"),
    "multi.solver": ("MultiSolver",),
    "options": ("Options",),
    "problem": ("Constraint", "Known", "Linear", "Problem"),
    "progress": ("Event", "FrontEvent"),
    "result": ("Records", "Result", "StopReason"),
    "scipy_api": ("minimize", "scipy_method"),
    "solver": ("Solver",),
    "space": ("Box",),
    "surrogate": ("CallableSurrogate",),
    "surrogates.ensemble": ("Ensemble",),
    "surrogates.jax_function": ("JaxSurrogate",),
    "surrogates.onnx_file": ("OnnxSurrogate",),
    "surrogates.sklearn_model": ("SklearnSurrogate",),
    "torch_backend": ("TorchSurrogate",),
    "trials": ("Evaluations", "Status", "Trials"),
    "verified": ("VerifiedResult", "solve_verified"),
}
_MODULE_OF = {name: module for module, group in _HOMES.items() for name in group}

__all__ = [
    "AskTellError",
    "Box",
    "CallableSurrogate",
    "Certificate",
    "Constraint",
    "DfoattackError",
    "Ensemble",
    "EvaluationError",
    "EvaluationFailed",
    "Evaluations",
    "Event",
    "FrontCertificate",
    "FrontEvent",
    "FrontRecords",
    "FrontResult",
    "JaxSurrogate",
    "Known",
    "Linear",
    "MissingExtraError",
    "MultiProblem",
    "MultiSolver",
    "OnnxSurrogate",
    "OptionError",
    "Options",
    "Problem",
    "ProblemError",
    "Records",
    "Result",
    "SklearnSurrogate",
    "Solver",
    "Status",
    "StopReason",
    "StoreError",
    "TorchSurrogate",
    "Trials",
    "VerifiedResult",
    "hypervolume",
    "minimize",
    "resume",
    "resume_multi",
    "scipy_method",
    "solve",
    "solve_multi",
    "solve_verified",
]

logging.getLogger(__name__).addHandler(logging.NullHandler())


def __getattr__(name: str) -> Any:
    """Import public names when they are first used: `import dfoattack` alone stays cheap."""
    if name == "trust":
        return importlib.import_module("dfoattack.trust")
    module = _MODULE_OF.get(name)
    if module is None:
        raise AttributeError(f"module 'dfoattack' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"dfoattack.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
