"""The only part of the package that imports torch: modules as surrogates, torch-written outer functions, gradients.

Reached by name at call time, and only when a torch object has been passed, so that the core works and imports without
torch.
"""

from __future__ import annotations

from dfoattack.errors import MissingExtraError

try:
    from dfoattack.torch_backend.fingerprints import fingerprint
    from dfoattack.torch_backend.programs import load_program
    from dfoattack.torch_backend.surrogate_torch import TorchSurrogate, refuse_training
except ModuleNotFoundError as cause:
    if cause.name != "torch":
        raise
    raise MissingExtraError("TorchSurrogate needs torch. Install `dfoattack[torch]`.") from cause

__all__ = ["TorchSurrogate", "fingerprint", "load_program", "refuse_training"]
