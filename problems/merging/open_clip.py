"""Checkpoints of open_clip, given as local files: the setting of the paper with its own encoders.

    python -m dfoattack_problems.merging.train --checkpoint ViT-B-32.pt --tasks FOLDER --out bank.npz

FOLDER as in `data.load_files`; every task's file holds also `head` (C, d): the text features of its class names, which
open_clip's text tower gives and which stay frozen. Nothing is downloaded, open_clip itself is not needed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dfoattack.errors import ProblemError

from .bank import Bank, fine_tune_all
from .data import load_files
from .model import Spec, VisionTransformer
from .task_vectors import TaskVector
from .training import FineTuning, parameters_of

__all__ = ["PUBLISHED", "bank_from_checkpoints", "fine_tuned_bank", "load_visual", "read_heads"]

PUBLISHED = FineTuning(steps=2000, batch=128, rate=1e-5, warm_up=500, decay=0.1)
"""AdamW as in the paper: rate 1e-5, weight decay 0.1 towards 0, 500 steps of warm-up, batches of 128, clipped at 1."""
SCALE = 100.0  # exp of CLIP's trained logit scale, which training caps there


def load_visual(path: Path | str, *, quick: bool = False) -> tuple[Spec, VisionTransformer]:
    """Read the image tower of a checkpoint, whatever its size; return its description and the network, in eval mode.

    Parameters
    ----------
    path : file written by `torch.save`
        a state dict of open_clip's whole model (names begin with "visual."), of its image tower alone, or a training
        checkpoint with an entry "state_dict"; read with `weights_only=True`
    quick : bool
        QuickGELU, which OpenAI's weights were trained with; the state dict does not tell

    Raises
    ------
    ProblemError        not the state dict of a vision transformer of open_clip
    """
    state = _visual(torch.load(path, map_location="cpu", weights_only=True))
    needed = ("conv1.weight", "positional_embedding", "proj")
    if any(name not in state for name in needed):
        raise ProblemError(f"{path} must hold a vision transformer of open_clip; {', '.join(needed)} expected.")
    width, channels, patch, _ = state["conv1.weight"].shape
    side = patch * round((len(state["positional_embedding"]) - 1) ** 0.5)
    depth = len({name.split(".")[2] for name in state if name.startswith("transformer.resblocks.")})
    spec: Spec = {
        "kind": "vit",
        "picture": [channels, side, side],
        "patch": patch,
        "width": width,
        "depth": depth,
        "heads": max(1, width // 64),
        "features": state["proj"].shape[1],
        "quick": quick,
    }
    network = VisionTransformer(**{name: value for name, value in spec.items() if name != "kind"})
    try:
        network.load_state_dict(state)
    except RuntimeError as cause:
        raise ProblemError(f"{path} must hold a vision transformer of open_clip: {cause}") from cause
    return spec, network.eval()


def bank_from_checkpoints(
    pretrained: Path | str, fine_tuned: list[Path | str], folder: Path | str, *, quick: bool = False
) -> Bank:
    """Return a bank whose standard task vectors are differences of checkpoints, one a task of `folder`, in its order.

    Raises
    ------
    ProblemError        another number of checkpoints than of tasks, or one of another architecture
    """
    spec, network = load_visual(pretrained, quick=quick)
    heads = read_heads(folder)
    if len(fine_tuned) != len(heads) - 1:
        raise ProblemError(f"`fine_tuned` must hold one file a task, {len(heads) - 1}, got {len(fine_tuned)}.")
    theta = parameters_of(network)
    taus = []
    for path in fine_tuned:
        other, edited = load_visual(path, quick=quick)
        if other != spec:
            raise ProblemError(f"{path} must have the architecture of {pretrained}: {spec}, got {other}.")
        taus.append(TaskVector.between(theta, parameters_of(edited)))
    data = {"folder": str(folder)}
    return Bank(Path(pretrained).stem, data, spec, network, theta, heads, {"standard": tuple(taus)}, SCALE).rounded()


def fine_tuned_bank(
    pretrained: Path | str,
    folder: Path | str,
    settings: FineTuning = PUBLISHED,
    *,
    quick: bool = False,
    seed: int = 0,
    progress: Any = None,
) -> Bank:
    """Fine-tune a checkpoint on every task of `folder`, standard and linearised."""
    spec, network = load_visual(pretrained, quick=quick)
    heads, theta = read_heads(folder), parameters_of(network)
    tell = progress or (lambda _: None)
    vectors = fine_tune_all(network, theta, heads, load_files(folder), settings, seed, tell, SCALE)
    return Bank(Path(pretrained).stem, {"folder": str(folder)}, spec, network, theta, heads, vectors, SCALE).rounded()


def read_heads(folder: Path | str) -> tuple[Tensor, ...]:
    """The arrays `head` (C, d) of all tasks and the control.

    Raises
    ------
    ProblemError        a task's file has none
    """
    heads = []
    for task in load_files(folder).all:
        with np.load(Path(folder) / f"{task.name}.npz", allow_pickle=False) as file:
            if "head" not in file.files:
                raise ProblemError(
                    f"{task.name}.npz must hold the array `head` (C, d), the text features of its classes."
                )
            heads.append(torch.from_numpy(file["head"].astype(np.float32)))
    return tuple(heads)


def _visual(loaded: Any) -> dict[str, Tensor]:
    state = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else {}
    state = {name.removeprefix("module."): value for name, value in state.items()}
    towers = {name.removeprefix("visual."): v for name, v in state.items() if name.startswith("visual.")}
    return {name: value.float() for name, value in (towers or state).items()}
