"""Errors of trained networks: what the tables, percentile curves and pictures of the study are made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .groups import haar, off_target
from .networks import Autoencoder, CloudNet, PoseNet
from .skeleton import Skeleton
from .train import cloud_pair, split_motion, turn_roots

__all__ = ["Errors", "cloud_errors", "pose_errors", "sanity_errors"]

FloatArray = npt.NDArray[np.float64]
SHARES = np.concatenate([np.linspace(0.0, 0.99, 100), 1.0 - np.logspace(-2, -5, 61), [1.0]])
"""Shares at which percentile curves are kept; fine near the largest error."""
BLOCK = 10_000
SAMPLE = 1000
"""Test rotations of which angle and error are kept: the first of them, and as many of the worst."""


@dataclass(frozen=True)
class Errors:
    """Summary of one network's errors.

    Attributes
    ----------
    mean, std : float
    quantiles : float64 (s,)        at `SHARES`; the last is the largest error
    truth, answer : float64         the 4 worst cases: rotations (4, 3, 3), or joint positions (4, J, 3)
    sample : float64 (r, 2)         angle of the true rotation in degrees, error: of the first `SAMPLE` cases, then of as many
                                    of the worst; empty for poses
    """

    mean: float
    std: float
    quantiles: FloatArray
    truth: FloatArray
    answer: FloatArray
    sample: FloatArray

    @classmethod
    def of(cls, errors: Tensor, truth: Tensor, answer: Tensor, sample: FloatArray | None = None) -> Errors:
        """From all errors (k,), true elements and answers (k, ...)."""
        worst = errors.argsort(descending=True)[:4]
        values = errors.double().numpy()
        kept = [part[worst].double().numpy() for part in (truth, answer)]
        quantiles = np.quantile(values, SHARES)
        return cls(
            float(values.mean()), float(values.std()), quantiles, *kept, np.zeros((0, 2)) if sample is None else sample
        )

    def at(self, share: float) -> float:
        """The quantile at `share` in [0, 1]."""
        return float(np.interp(share, SHARES, self.quantiles))

    @property
    def largest(self) -> float:
        """The largest error."""
        return float(self.quantiles[-1])

    def save(self, path: Path) -> None:
        """Write an `.npz` file."""
        np.savez_compressed(path, **{name: np.asarray(value) for name, value in vars(self).items()})

    @classmethod
    def load(cls, path: Path) -> Errors:
        """Inverse of `save`."""
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return cls(**{name: value if value.ndim else float(value) for name, value in arrays.items()})


@torch.inference_mode()
def sanity_errors(net: Autoencoder, count: int = 100_000, seed: int = 1_000_000) -> Errors:
    """Angles in degrees between uniform rotations and what the autoencoder makes of them."""
    net.double()
    truth = haar(count, np.random.default_rng(seed))
    answer = torch.cat([net.rep.decode(net(block)) for block in truth.split(BLOCK)])
    return _of_rotations(truth, answer)


@torch.inference_mode()
def cloud_errors(net: CloudNet, clouds: Tensor, count: int = 20_000, seed: int = 1_000_000) -> Errors:
    """Angles in degrees between the rotations of clouds and the estimates; clouds (objects, q, 3) float32."""
    rng = np.random.default_rng(seed)
    truth, answer = [], []
    for start in range(0, count, 1000):
        cloud, turned, rotation = cloud_pair(clouds, min(1000, count - start), rng)
        truth.append(rotation)
        answer.append(net.rep.decode(net(cloud, turned).double()))
    return _of_rotations(torch.cat(truth).double(), torch.cat(answer))


@torch.inference_mode()
def pose_errors(net: PoseNet, body: tuple[Skeleton, Tensor], seed: int = 1_000_000) -> Errors:
    """Mean distance of the joints in cm, frame by frame of the test part, roots turned about the vertical."""
    skeleton, motion = body
    frames = turn_roots(split_motion(motion)[1].float(), np.random.default_rng(seed))
    unit, size = skeleton.scaled(1.0), float(np.linalg.norm(skeleton.offsets[1:], axis=1).mean())
    goal = unit.positions(frames)
    answer = unit.positions(net.rep.decode(net(goal)))
    errors = size * torch.linalg.vector_norm(answer - goal, dim=-1).mean(-1)
    return Errors.of(errors, size * goal, size * answer)


def _of_rotations(truth: Tensor, answer: Tensor) -> Errors:
    errors = off_target(truth, answer)
    angle = off_target(truth, torch.eye(3, dtype=truth.dtype))
    shown = torch.cat([torch.arange(min(SAMPLE, len(errors))), errors.argsort(descending=True)[:SAMPLE]])
    return Errors.of(errors, truth, answer, torch.stack([angle, errors], 1)[shown].numpy())
