"""Rotations themselves: uniform (Haar) samples, distance, turns about an axis, random loops."""

from __future__ import annotations

import math

import numpy as np
import roma
import torch
from torch import Tensor

__all__ = ["along", "geodesic", "haar", "loops", "off_target", "special_orthogonal_samples"]


def haar(count: int, rng: np.random.Generator, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return `count` uniform rotations (count, 3, 3): normalised Gaussian quaternions (drawing angles is not uniform)."""
    quaternions = torch.from_numpy(rng.standard_normal((count, 4))).to(dtype)
    return roma.unitquat_to_rotmat(torch.nn.functional.normalize(quaternions, dim=-1))


def special_orthogonal_samples(count: int, n: int, rng: np.random.Generator) -> Tensor:
    """Return `count` uniform matrices of SO(n), float64 (count, n, n): QR with a positive diagonal, then a column flip."""
    q, r = torch.linalg.qr(torch.from_numpy(rng.standard_normal((count, n, n))))
    q = q * torch.sign(torch.diagonal(r, dim1=-2, dim2=-1))[..., None, :]
    flip = torch.ones(count, 1, n, dtype=torch.float64)
    flip[:, 0, -1] = torch.sign(torch.linalg.det(q))
    return q * flip


def geodesic(a: Tensor, b: Tensor) -> Tensor:
    """Return the angle in radians, [0, pi], between rotations (..., 3, 3).

    atan2(sin, cos) of the relative rotation: exact at both ends, and its slope is bounded, where acos of the trace
    (and asin of the Frobenius distance at pi) has an infinite one.
    """
    relative = a.transpose(-1, -2) @ b
    off = torch.stack(
        [
            relative[..., 2, 1] - relative[..., 1, 2],
            relative[..., 0, 2] - relative[..., 2, 0],
            relative[..., 1, 0] - relative[..., 0, 1],
        ],
        -1,
    )
    trace = relative[..., 0, 0] + relative[..., 1, 1] + relative[..., 2, 2]
    return torch.atan2(0.5 * torch.linalg.vector_norm(off, dim=-1), 0.5 * (trace - 1.0))


def off_target(a: Tensor, b: Tensor) -> Tensor:
    """Return `geodesic` in degrees."""
    return geodesic(a, b) * (180.0 / math.pi)


def loops(count: int, n: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return what `along` needs for `count` random closed loops in SO(n): three matrices and two winding numbers.

    R(t) = A turn(w1 t) B turn(w2 t) C, t in [0, 1]; turn(s) turns the first two coordinates by 2 pi s. Winding numbers
    are 1 or 2 and -2 .. 2: loops that can and that cannot be contracted. Half of them pass, at t = 0, through a random
    turn of the coordinate axes onto each other: singularities that a random loop misses (gimbal lock) lie there.
    """
    frames = special_orthogonal_samples(3 * count, n, rng).reshape(3, count, n, n)
    first = torch.from_numpy(rng.integers(1, 3, count).astype(np.float64))
    second = torch.from_numpy(rng.integers(-2, 3, count).astype(np.float64))
    half = count // 2
    order = rng.permuted(np.tile(np.arange(n), (half, 1)), axis=1)
    through = torch.from_numpy(np.eye(n)[order] * rng.choice([-1.0, 1.0], (half, n, 1)))
    through[:, 0] *= torch.sign(torch.linalg.det(through))[:, None]
    frames[2, :half] = (frames[0, :half] @ frames[1, :half]).transpose(-1, -2) @ through
    return frames, first, second


def along(loop: tuple[Tensor, Tensor, Tensor], t: Tensor) -> Tensor:
    """Return the points of `loops` at t (count, k): (count, k, n, n)."""
    frames, first, second = loop
    n = frames.shape[-1]
    left, middle, right = (frame[:, None] for frame in frames)
    return left @ _turn(first[:, None] * t, n) @ middle @ _turn(second[:, None] * t, n) @ right


def _turn(s: Tensor, n: int) -> Tensor:
    """Turn of the first two of n coordinates by 2 pi s: (...,) -> (..., n, n)."""
    angle = 2.0 * math.pi * s
    out = torch.eye(n, dtype=s.dtype).expand(*s.shape, n, n).clone()
    out[..., 0, 0] = out[..., 1, 1] = torch.cos(angle)
    out[..., 1, 0] = torch.sin(angle)
    out[..., 0, 1] = -torch.sin(angle)
    return out
