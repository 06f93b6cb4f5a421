"""Compiled programs of torch: exported ones and TorchScript, from objects and from files."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from dfoattack.errors import ProblemError

if TYPE_CHECKING:
    from dfoattack.torch_backend.surrogate_torch import TorchSurrogate

__all__ = ["exported", "load_program"]


def exported(program: torch.export.ExportedProgram) -> tuple[torch.nn.Module, torch.dtype, int | None]:
    """Return the program as a module, the dtype of its input, and its batch size if that is fixed.

    Raises ProblemError unless the program takes one tensor of real numbers.
    """
    names = program.graph_signature.user_inputs
    inputs: list[Any] = [node.meta.get("val") for node in program.graph.nodes if node.name in names]
    if len(inputs) != 1 or not isinstance(inputs[0], torch.Tensor) or not inputs[0].dtype.is_floating_point:
        raise ProblemError(f"`module` must be a program of one tensor of real numbers, got the inputs {names}.")
    batch = inputs[0].shape[0] if inputs[0].ndim else 1
    return program.module(), inputs[0].dtype, batch if isinstance(batch, int) else None


def load_program(path: str) -> TorchSurrogate:
    """Return the surrogate in a file of `torch.export.save` (.pt2) or `torch.jit.save` (.ts); TorchScript on the CPU."""
    from dfoattack.torch_backend.surrogate_torch import TorchSurrogate

    if not Path(path).is_file():
        raise ProblemError(f"`surrogate` must be a file, got {path!r}, which is none.")
    if path.lower().endswith(".pt2"):
        return TorchSurrogate(torch.export.load(path))
    with warnings.catch_warnings():
        # torch advises export instead; the file is there, and its user knows
        warnings.filterwarnings("ignore", ".*torch.jit.load.* is deprecated", DeprecationWarning)
        module: torch.nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]  # torch's
    return TorchSurrogate(module)
