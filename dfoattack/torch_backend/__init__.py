"""The only part of the package that imports torch: torch modules as surrogates, torch-written objectives and
constraints, their gradients.

Reached by name at call time, and only when a torch object has been passed, so that the core works and imports without
torch.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401  # the import error must name the cure, whatever submodule is reached first
except ImportError as cause:
    from dfoattack.errors import MissingExtraError

    raise MissingExtraError("TorchSurrogate needs torch. Install `dfoattack[torch]`.") from cause

from dfoattack.torch_backend.fingerprints import fingerprint
from dfoattack.torch_backend.surrogate_torch import TorchSurrogate, refuse_training

__all__ = ["TorchSurrogate", "fingerprint", "refuse_training"]
