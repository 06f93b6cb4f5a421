"""Representations of 3-D rotations: decode f: R^d -> SO(3), encode g: SO(3) -> R^d, f(g(R)) = R.

All maps take any leading batch shape, any floating dtype, and are differentiable where they are smooth. A
representation is called continuous when g can be chosen continuous; SO(3) has none with d <= 4. Definitions: Zhou,
Barnes, Lu, Yang, Li, "On the continuity of rotation representations in neural networks" (CVPR 2019).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import roma
import torch
from torch import Tensor
from torch.nn.functional import normalize

from .orthogonal import (
    decode_columns,
    decode_projected,
    decode_similarity,
    encode_columns,
    encode_projected,
    encode_similarity,
    lift,
    project,
)

__all__ = [
    "NAMES",
    "REPRESENTATIONS",
    "Representation",
    "orthogonal",
    "representation",
    "similarity",
    "special_orthogonal",
    "stiefel",
]

Map = Callable[[Tensor], Tensor]
CONVENTION = "XYZ"
"""Intrinsic turns: R = Rx(a) Ry(b) Rz(c), b in [-pi/2, pi/2]."""


@dataclass(frozen=True)
class Representation:
    """One way to write a group element as d numbers.

    Attributes
    ----------
    name, label : str           for the command line, for tables
    dim : int                   d
    decode : (..., d) -> (..., rows, columns)
    encode : (..., rows, columns) -> (..., d)
    continuous : bool           whether encode is continuous
    group : str                 "SO(3)", "V_2(R^5)", ...
    trained : callable          what a network is trained through, where it is not `decode` (raw matrices)
    """

    name: str
    label: str
    dim: int
    decode: Map
    encode: Map
    continuous: bool
    group: str = "SO(3)"
    trained: Map | None = None

    def retract(self, x: Tensor) -> Tensor:
        """Return encode(decode(x)): the standard coordinates of the element that x (..., d) stands for."""
        return self.encode(self.decode(x))

    @property
    def training_decode(self) -> Map:
        """The map that the training loss sees."""
        return self.decode if self.trained is None else self.trained


# ---------------------------------------------------------------- continuous


def _decode_6d(x: Tensor) -> Tensor:
    return roma.special_gramschmidt(_columns(x, 2))


def _columns(x: Tensor, count: int) -> Tensor:
    """(..., 3 count), column after column -> (..., 3, count)."""
    return x.unflatten(-1, (count, 3)).transpose(-1, -2)


# Largest absolute value of each component of the projected vector, so that the coordinates fill [-1, 1]: a_2 is
# [sqrt(2)-1, sqrt(2)+1] long, and its last component meets the bound only where the third of the first column is small.
SCALE_5D = (math.sqrt(2.0) + 1.0, math.sqrt(2.0) + 1.0, math.sqrt(2.0))


def _decode_5d(x: Tensor) -> Tensor:
    return _decode_6d(torch.cat([x[..., :2], lift(x[..., 2:] * x.new_tensor(SCALE_5D))], -1))


def _encode_5d(rotation: Tensor) -> Tensor:
    x = encode_columns(rotation, 2)
    return torch.cat([x[..., :2], project(x[..., 2:]) / x.new_tensor(SCALE_5D)], -1)


def _decode_svd(x: Tensor) -> Tensor:
    # Not roma's default method: that caches a tensor at its first use, which later cannot be differentiated through if
    # the first use was in inference mode.
    return roma.special_procrustes(_columns(x, 3), method="svd")


# ---------------------------------------------------------------- not continuous


def _decode_quaternion(x: Tensor) -> Tensor:
    return roma.unitquat_to_rotmat(normalize(x, dim=-1, eps=0.0))


def _decode_hemisphere(x: Tensor) -> Tensor:
    return _decode_quaternion(torch.cat([x[..., :3], x[..., 3:].abs()], -1))


def _encode_hemisphere(rotation: Tensor) -> Tensor:
    q = roma.rotmat_to_unitquat(rotation)
    return torch.where(q[..., 3:] < 0.0, -q, q)


def _decode_axis_angle(x: Tensor) -> Tensor:
    half = 0.5 * math.pi * torch.tanh(x[..., :1])
    axis = normalize(x[..., 1:], dim=-1, eps=0.0)
    return roma.unitquat_to_rotmat(torch.cat([torch.sin(half) * axis, torch.cos(half)], -1))


def _encode_axis_angle(rotation: Tensor) -> Tensor:
    """The axis of the unit matrix is (1, 0, 0); half a turn, where a0 would be infinite, is cut at 1 - eps."""
    q = _encode_hemisphere(rotation)
    sine = torch.linalg.vector_norm(q[..., :3], dim=-1, keepdim=True)
    share = torch.atan2(sine, q[..., 3:]) * (2.0 / math.pi)
    first = torch.zeros_like(q[..., :3])
    first[..., 0] = 1.0
    axis = torch.where(sine > 0.0, q[..., :3] / torch.where(sine > 0.0, sine, 1.0), first)
    return torch.cat([torch.atanh(share.clamp(max=1.0 - torch.finfo(q.dtype).eps)), axis], -1)


def _decode_euler(x: Tensor) -> Tensor:
    return roma.euler_to_rotmat(CONVENTION, x)


def _encode_euler(rotation: Tensor) -> Tensor:
    return roma.rotmat_to_euler(CONVENTION, rotation)


def _decode_sincos(x: Tensor) -> Tensor:
    pairs = x.unflatten(-1, (3, 2))
    return _decode_euler(torch.atan2(pairs[..., 0], pairs[..., 1]))


def _encode_sincos(rotation: Tensor) -> Tensor:
    angles = _encode_euler(rotation)
    return torch.stack([torch.sin(angles), torch.cos(angles)], -1).flatten(-2)


REPRESENTATIONS: dict[str, Representation] = {
    r.name: r
    for r in (
        Representation("6d", "6D", 6, _decode_6d, partial(encode_columns, k=2), True),
        Representation("5d", "5D", 5, _decode_5d, _encode_5d, True),
        Representation("svd", "9D + SVD", 9, _decode_svd, partial(encode_columns, k=3), True),
        Representation(
            "matrix", "9D raw", 9, _decode_svd, partial(encode_columns, k=3), True, trained=partial(_columns, count=3)
        ),
        Representation("quaternion", "quaternion", 4, _decode_quaternion, roma.rotmat_to_unitquat, False),
        Representation("hemisphere", "hemisphere quaternion", 4, _decode_hemisphere, _encode_hemisphere, False),
        Representation("axis-angle", "axis-angle", 4, _decode_axis_angle, _encode_axis_angle, False),
        Representation("rodriguez", "Rodriguez vector", 3, roma.rotvec_to_rotmat, roma.rotmat_to_rotvec, False),
        Representation("euler", "Euler angles", 3, _decode_euler, _encode_euler, False),
        Representation("sincos-euler", "sin-cos Euler", 6, _decode_sincos, _encode_sincos, False),
    )
}
NAMES = tuple(REPRESENTATIONS)


def representation(name: str) -> Representation:
    """Return the representation of that name; ValueError for an unknown one."""
    if name not in REPRESENTATIONS:
        raise ValueError(f"`rep` must be one of {', '.join(NAMES)}, got {name!r}.")
    return REPRESENTATIONS[name]


# ---------------------------------------------------------------- n dimensions


def special_orthogonal(n: int, lifts: int = 0) -> Representation:
    """SO(n), n >= 2, in n^2 - n - lifts coordinates, 0 <= lifts <= n - 2; the fewest are n^2 - 2n + 2."""
    if n < 2:
        raise ValueError(f"`n` must be at least 2, got {n}.")
    if not 0 <= lifts <= n - 2:
        raise ValueError(f"`lifts` must lie in [0, n - 2] = [0, {n - 2}], got {lifts}.")
    if lifts == 0:
        decode, encode = partial(decode_columns, n=n, k=n - 1, special=True), partial(encode_columns, k=n - 1)
    else:
        decode, encode = partial(decode_projected, n=n, k=lifts), partial(encode_projected, n=n, k=lifts)
    dim = n * n - n - lifts
    return Representation(f"so-{n}-{lifts}", f"{dim}D", dim, decode, encode, True, group=f"SO({n})")


def stiefel(n: int, k: int) -> Representation:
    """k orthonormal columns in R^n, 1 <= k < n, by Gram-Schmidt; nk coordinates."""
    if not 1 <= k < n:
        raise ValueError(f"`k` must lie in [1, n) = [1, {n}), got {k}.")
    return Representation(
        f"stiefel-{n}-{k}",
        f"{n * k}D",
        n * k,
        partial(decode_columns, n=n, k=k),
        partial(encode_columns, k=k),
        True,
        group=f"V_{k}(R^{n})",
    )


def orthogonal(n: int) -> Representation:
    """O(n), n >= 1: Gram-Schmidt of n columns, both components; n^2 coordinates."""
    if n < 1:
        raise ValueError(f"`n` must be at least 1, got {n}.")
    decode, encode = partial(decode_columns, n=n, k=n), partial(encode_columns, k=n)
    return Representation(f"o-{n}", f"{n * n}D", n * n, decode, encode, True, group=f"O({n})")


def similarity(n: int = 3) -> Representation:
    """Similarities x -> s R x + t of R^n as [s R | t]: log s, n^2 - n coordinates of R, t."""
    dim = 1 + n * (n - 1) + n
    decode, encode = partial(decode_similarity, n=n), partial(encode_similarity, n=n)
    return Representation(f"similarity-{n}", f"{dim}D", dim, decode, encode, True, group=f"Sim({n})")
