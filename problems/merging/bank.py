"""A bank: one pre-trained encoder, its frozen heads, and the task vectors of a family, in one ``.npz`` file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from dfoattack.errors import ProblemError

from .data import Family, TaskFamily, load_family
from .model import SCALE, Spec, make_encoder
from .task_vectors import TaskVector
from .training import FineTuning, Parameters, PreTraining, fine_tune, pre_train

__all__ = ["BANKS", "MODES", "Bank", "Mode", "Recipe", "build", "fine_tune_all", "load_bank", "shipped_bank"]

Mode = Literal["standard", "post-hoc", "linear"]
MODES: tuple[Mode, ...] = ("standard", "post-hoc", "linear")
FOLDER = Path(__file__).resolve().parent / "weights"


@dataclass(frozen=True)
class Recipe:
    """What a bank is made from: a family of `data.py`, an encoder (`model.make_encoder`), and how both are trained."""

    family: Family
    encoder: Spec
    fine_tuning: FineTuning = field(default_factory=FineTuning)
    pre_training: PreTraining = field(default_factory=PreTraining)


_REAL = FineTuning(steps=400)
# The canvas holds its five 14x14 blocks one after the other: a strip of 70 by 14 pixels.
_VIT: Spec = {"kind": "vit", "picture": [1, 70, 14], "patch": 7, "width": 32, "depth": 2, "heads": 4}
BANKS: dict[str, Recipe] = {
    "digits": Recipe("digits", {"kind": "mlp", "inputs": 320}),
    "digits-overlap": Recipe("digits-overlap", {"kind": "mlp", "inputs": 320}),
    "shared": Recipe("shared", {"kind": "mlp", "inputs": 64}, FineTuning(rate=5e-3)),
    "real": Recipe("real", {"kind": "mlp", "inputs": 980}, _REAL),
    "real-vit": Recipe("real", _VIT, _REAL),
}
"""Named recipes: the families of `data.py`, and the real one with a small vision transformer."""


@dataclass(frozen=True)
class Bank:
    """Everything that merging needs besides data.

    Attributes
    ----------
    name : str
    data : dict                             {"family": name, "seed": number}, or {"folder": path} (`load_files`)
    spec : dict                             of the encoder (`model.make_encoder`)
    encoder : torch.nn.Module               the arithmetic; its parameters are not used
    theta_0 : dict of name to tensor        pre-trained parameters
    heads : tuple of (C, d) tensors         frozen; tasks, then the control
    vectors : {"standard": ..., "linear": ...}, each a tuple of T task vectors
    scale : float                           of the cosine heads
    pre_trained : bool                      False: theta_0 is a random initialisation
    """

    name: str
    data: dict[str, Any]
    spec: Spec
    encoder: nn.Module
    theta_0: Parameters
    heads: tuple[Tensor, ...]
    vectors: dict[str, tuple[TaskVector, ...]]
    scale: float = SCALE
    pre_trained: bool = True

    def vectors_of(self, mode: Mode) -> tuple[TaskVector, ...]:
        """Task vectors that a mode edits with: post-hoc linearisation takes the standard ones."""
        return self.vectors["linear" if mode == "linear" else "standard"]

    def rounded(self) -> Bank:
        """The bank as it comes back from a file: task vectors in float16."""
        vectors = {
            kind: tuple(TaskVector({k: v.half().float() for k, v in tau.items()}) for tau in taus)
            for kind, taus in self.vectors.items()
        }
        return replace(self, vectors=vectors)

    def fingerprint(self) -> str:
        """SHA-256 of all names and numbers."""
        digest = hashlib.sha256()
        for name, array in sorted(self._arrays().items()):
            digest.update(f"{name}:{array.dtype}:{array.shape};".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def save(self, path: Path | str) -> None:
        """Write the bank; task vectors in float16."""
        names = ("name", "data", "spec", "scale", "pre_trained")
        header = json.dumps({name: getattr(self, name) for name in names})
        np.savez_compressed(path, header=np.array(header), **self._arrays())

    def _arrays(self) -> dict[str, Any]:
        arrays: dict[str, Any] = {f"theta/{name}": value.numpy() for name, value in self.theta_0.items()}
        arrays |= {f"head/{t}": head.numpy() for t, head in enumerate(self.heads)}
        for kind, taus in self.vectors.items():
            for t, tau in enumerate(taus):
                arrays |= {f"tau/{kind}/{t}/{name}": value.half().numpy() for name, value in tau.items()}
        return arrays


def load_bank(path: Path | str) -> Bank:
    """Read a bank written by `Bank.save`.

    Raises
    ------
    ProblemError        names or shapes in the file are not those of its encoder
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(str(arrays.pop("header")))
    encoder = make_encoder(header["spec"]).eval()
    own = dict(encoder.named_parameters())
    wrong = [k for k, v in own.items() if arrays.get(f"theta/{k}", np.empty(0)).shape != tuple(v.shape)]
    if wrong:
        raise ProblemError(f"{path} must hold the parameters of its encoder; other shapes: {', '.join(wrong)}.")
    theta = {name: _float32(arrays[f"theta/{name}"]) for name in own}
    count = sum(name.startswith("head/") for name in arrays)
    vectors = {
        kind: tuple(
            TaskVector({name: _float32(arrays[f"tau/{kind}/{t}/{name}"]) for name in theta}) for t in range(count - 1)
        )
        for kind in ("standard", "linear")
        if any(name.startswith(f"tau/{kind}/") for name in arrays)
    }
    heads = tuple(_float32(arrays[f"head/{t}"]) for t in range(count))
    return Bank(encoder=encoder, theta_0=theta, heads=heads, vectors=vectors, **header)


@lru_cache(maxsize=4)
def shipped_bank(name: str) -> Bank:
    """Read the bank that comes with the package.

    Raises
    ------
    ProblemError        no such bank
    """
    path = FOLDER / f"{name}.npz"
    if not path.exists():
        present = sorted(p.stem for p in FOLDER.glob("*.npz"))
        raise ProblemError(f"`bank` must be one of {', '.join(map(repr, present))}, or a file, got {name!r}.")
    return load_bank(path)


def build(
    name: str,
    seed: int = 0,
    *,
    pre_trained: bool = True,
    progress: Callable[[str], None] | None = None,
) -> tuple[Bank, TaskFamily]:
    """Train a bank from nothing: encoder, heads, and both kinds of task vectors for every task.

    Parameters
    ----------
    name : str                          a key of `BANKS`
    seed : int                          of data, initialisation and batches
    pre_trained : bool                  False: fine-tune from the random initialisation (heads as with pre-training)
    progress : callable, optional       called with a sentence after each part
    """
    recipe = BANKS[name]
    family = load_family(recipe.family, seed)
    tell = progress or (lambda _: None)
    encoder = make_encoder(recipe.encoder, seed).eval()
    start = {key: value.detach().clone() for key, value in encoder.named_parameters()}
    theta, heads = pre_train(encoder, family, recipe.pre_training, seed)
    tell("pre-trained")
    theta = theta if pre_trained else start
    vectors = fine_tune_all(encoder, theta, heads, family, recipe.fine_tuning, seed, tell)
    data = {"family": recipe.family, "seed": seed}
    bank = Bank(name, data, recipe.encoder, encoder, theta, heads, vectors, pre_trained=pre_trained)
    return bank.rounded(), family


def fine_tune_all(
    encoder: nn.Module,
    theta: Parameters,
    heads: Sequence[Tensor],
    family: TaskFamily,
    settings: FineTuning,
    seed: int,
    tell: Callable[[str], None],
    scale: float = SCALE,
) -> dict[str, tuple[TaskVector, ...]]:
    """Both kinds of task vectors of every task."""
    vectors: dict[str, tuple[TaskVector, ...]] = {}
    for kind in ("standard", "linear"):
        taus = []
        for t, task in enumerate(family.tasks):
            linear = kind == "linear"
            taus.append(
                fine_tune(encoder, theta, heads[t], task.train, settings, 1000 * seed + t, linear=linear, scale=scale)
            )
            tell(f"{kind} fine-tuning on {task.name}")
        vectors[kind] = tuple(taus)
    return vectors


def _float32(array: Any) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
