"""Skeletons: BVH files, forward kinematics, chains, a shipped motion clip, a skeleton and motion by procedure."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import roma
import torch
from torch import Tensor

__all__ = ["Skeleton", "chain", "parse_bvh", "procedural_motion", "procedural_skeleton", "shipped_motion"]

FloatArray = npt.NDArray[np.float64]
MEAN_BONE = 12.0
"""cm; skeletons are scaled to this mean length of the bones."""


@dataclass(frozen=True, eq=False)
class Skeleton:
    """A tree of ball joints.

    Attributes
    ----------
    names : tuple of J str
    parents : tuple of J int        -1 for the root, which comes first; parents come before their children
    offsets : float64 (J, 3)        from the parent, in the parent's frame; the root's is ignored
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: FloatArray

    def __post_init__(self) -> None:
        if self.parents[0] != -1 or any(not 0 <= p < j for j, p in enumerate(self.parents) if j > 0):
            raise ValueError(f"`parents` must be -1 first and then earlier joints, got {self.parents}.")

    @property
    def joints(self) -> int:
        """J."""
        return len(self.parents)

    def scaled(self, mean_bone: float = MEAN_BONE) -> Skeleton:
        """The same skeleton with this mean length of its bones."""
        length = np.linalg.norm(self.offsets[1:], axis=1).mean()
        return Skeleton(self.names, self.parents, self.offsets * (mean_bone / length))

    def positions(self, rotations: Tensor) -> Tensor:
        """Forward kinematics: local rotations (..., J, 3, 3) -> joint positions (..., J, 3), the root at the origin."""
        offsets = torch.as_tensor(self.offsets, dtype=rotations.dtype)
        turned = [rotations[..., 0, :, :]]  # global rotations
        placed = [torch.zeros_like(rotations[..., 0, :, 0])]
        inner = set(self.parents)
        for j, parent in enumerate(self.parents[1:], start=1):
            placed.append(placed[parent] + turned[parent] @ offsets[j])
            # what only turns itself need not be multiplied out
            turned.append(turned[parent] @ rotations[..., j, :, :] if j in inner else rotations[..., j, :, :])
        return torch.stack(placed, -2)


def chain(joints: int, bone: float = 1.0) -> Skeleton:
    """A straight chain along x of `joints` ball joints with a bone each: J = joints + 1 places, the last is the end."""
    if joints < 1:
        raise ValueError(f"`joints` must be at least 1, got {joints}.")
    offsets = np.zeros((joints + 1, 3))
    offsets[1:, 0] = bone
    return Skeleton((*(f"joint{j}" for j in range(joints)), "end"), tuple(range(-1, joints)), offsets)


def parse_bvh(text: str) -> tuple[Skeleton, FloatArray]:
    """Return the skeleton (end sites left out) and the motion, local rotations (frames, J, 3, 3), of a BVH text.

    Positions in the motion are ignored. Rotation channels are intrinsic turns in the order of the file.

    Raises
    ------
    ValueError      the text is not a BVH file, or a frame has the wrong number of values
    """
    head, marker, motion = text.partition("MOTION")
    if not marker or "HIERARCHY" not in head:
        raise ValueError("A BVH file must hold HIERARCHY and MOTION.")
    names: list[str] = []
    parents: list[int] = []
    offsets: list[list[float]] = []
    channels: list[list[str]] = []
    stack: list[int] = []  # open blocks; -2 for an end site
    current = -1
    for line in head.splitlines():
        words = line.split()
        if not words:
            continue
        if words[0] in ("ROOT", "JOINT"):
            parents.append(stack[-1] if stack else -1)
            names.append(words[1])
            current = len(names) - 1
        elif words[0] == "End":
            current = -2
        elif words[0] == "{":
            stack.append(current)
        elif words[0] == "}":
            stack.pop()
        elif words[0] == "OFFSET" and stack[-1] >= 0:
            offsets.append([float(word) for word in words[1:4]])
        elif words[0] == "CHANNELS":
            channels.append(words[2:])
    lines = motion.strip().splitlines()
    values = np.array([[float(word) for word in line.split()] for line in lines[2:] if line.strip()])
    width = sum(len(c) for c in channels)
    if values.ndim != 2 or values.shape[1] != width:
        raise ValueError(f"Every frame of the BVH file must hold {width} values, got the shape {values.shape}.")
    rotations = np.empty((len(values), len(names), 3, 3))
    start = 0
    for j, names_of in enumerate(channels):
        turns = [(i, name[0]) for i, name in enumerate(names_of) if name.endswith("rotation")]
        angles = torch.from_numpy(values[:, [start + i for i, _ in turns]])
        rotations[:, j] = roma.euler_to_rotmat("".join(axis for _, axis in turns), angles, degrees=True).numpy()
        start += len(names_of)
    return Skeleton(tuple(names), tuple(parents), np.array(offsets)), rotations


@functools.cache
def shipped_motion() -> tuple[Skeleton, Tensor]:
    """Return the shipped clip: 22 joints, mean bone 12 cm, local rotations (3592, 22, 3, 3) float64 at 15 Hz.

    Rotation vectors are stored with 16 bits, 1e-4 rad a step.
    """
    with np.load(Path(__file__).with_name("motion.npz"), allow_pickle=False) as file:
        skeleton = Skeleton(tuple(file["names"].tolist()), tuple(file["parents"].tolist()), file["offsets"])
        vectors = torch.from_numpy(file["vectors"].astype(np.float64) * 1e-4)
    return skeleton.scaled(), roma.rotvec_to_rotmat(vectors)


def procedural_skeleton() -> Skeleton:
    """A body of 18 joints made of five chains (spine and head, two arms, two legs), mean bone 12 cm."""
    names, parents, offsets = ["hips"], [-1], [[0.0, 0.0, 0.0]]

    def add(label: str, parent: int, steps: list[list[float]]) -> int:
        for i, step in enumerate(steps):
            names.append(f"{label}{i}")
            parents.append(parent)
            offsets.append(step)
            parent = len(names) - 1
        return parent

    chest = add("spine", 0, [[0.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.2, 0.1]])
    add("head", chest, [[0.0, 1.0, 0.1], [0.0, 1.0, 0.0]])
    for side, sign in (("left", 1.0), ("right", -1.0)):
        add(side + "-arm", chest, [[0.9 * sign, 0.6, 0.0], [1.4 * sign, 0.0, 0.0], [1.3 * sign, 0.0, 0.0]])
        add(side + "-leg", 0, [[0.6 * sign, -0.3, 0.0], [0.0, -2.0, 0.0], [0.0, -2.0, 0.1]])
    return Skeleton(tuple(names), tuple(parents), np.array(offsets)).scaled()


def procedural_motion(skeleton: Skeleton, frames: int, rng: np.random.Generator) -> Tensor:
    """Return smooth random motion, local rotations (frames, J, 3, 3): each rotation vector a sum of four slow sines."""
    t = np.arange(frames)[:, None, None, None] / 15.0
    amplitude = rng.uniform(0.05, 0.35, (4, skeleton.joints, 3))
    frequency, phase = (
        rng.uniform(0.1, 1.0, (4, skeleton.joints, 1)),
        rng.uniform(0.0, 2.0 * np.pi, (4, skeleton.joints, 3)),
    )
    vectors = (amplitude * np.sin(2.0 * np.pi * frequency * t + phase)).sum(axis=1)
    return roma.rotvec_to_rotmat(torch.from_numpy(vectors))
