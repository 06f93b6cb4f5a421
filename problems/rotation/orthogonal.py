"""n dimensions: SO(n) by Gram-Schmidt and with stereographic lifts, Stiefel manifolds, O(n), similarities.

Coordinates are matrix entries column after column. Source of the SO(n) maps: Zhou et al. (CVPR 2019), section 4.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = [
    "complete",
    "decode_columns",
    "decode_projected",
    "decode_similarity",
    "encode_columns",
    "encode_projected",
    "encode_similarity",
    "gram_schmidt",
    "lift",
    "project",
]


def gram_schmidt(columns: Tensor) -> Tensor:
    """Return orthonormal columns that span, in turn, the same spaces: (..., n, k) -> (..., n, k), k <= n.

    QR with the signs of a positive diagonal is Gram-Schmidt, computed stably. Dependent columns give no error but an
    arbitrary completion.
    """
    q, r = torch.linalg.qr(columns)
    sign = torch.where(torch.diagonal(r, dim1=-2, dim2=-1) < 0.0, -1.0, 1.0)
    return q * sign[..., None, :]


def complete(q: Tensor) -> Tensor:
    """Return n - 1 orthonormal columns with the last one, of determinant +1: (..., n, n-1) -> (..., n, n).

    The generalised cross product of orthonormal columns. The unit vector with the largest residual is projected onto
    what is left, n^2 operations instead of n determinants; which unit vector it is does not matter for value or slope.
    """
    n = q.shape[-2]
    residual = 1.0 - q.detach().square().sum(-1)
    index = residual.argmax(-1)
    unit = torch.nn.functional.one_hot(index, n).to(q.dtype)
    rest = unit - (q @ (q.transpose(-1, -2) @ unit[..., None]))[..., 0]
    last = rest / torch.linalg.vector_norm(rest, dim=-1, keepdim=True)
    full = torch.cat([q, last[..., None]], -1)
    sign = torch.sign(torch.linalg.det(full.detach()))
    return torch.cat([q, (sign[..., None] * last)[..., None]], -1)


def decode_columns(x: Tensor, n: int, k: int, special: bool = False) -> Tensor:
    """Gram-Schmidt of k columns: (..., n k) -> (..., n, k); with `special` (k = n - 1) completed to SO(n)."""
    q = gram_schmidt(x.unflatten(-1, (k, n)).transpose(-1, -2))
    return complete(q) if special else q


def encode_columns(matrix: Tensor, k: int) -> Tensor:
    """First k columns, one after the other: (..., n, m) -> (..., n k)."""
    return matrix[..., :k].transpose(-1, -2).flatten(-2)


def lift(u: Tensor) -> Tensor:
    """Inverse stereographic projection: (..., m) -> (..., m+1), ((r^2 - 1)/2, u)/r with r = |u|; undefined at 0.

    The last m components are a unit vector; the first may be any number.
    """
    r = torch.linalg.vector_norm(u, dim=-1, keepdim=True)
    return torch.cat([0.5 * (r - 1.0 / r), u / r], -1)


def project(v: Tensor) -> Tensor:
    """Inverse of `lift` on (h, c) with |c| = 1: (..., m+1) -> (..., m), u = c (h + sqrt(1 + h^2)).

    For h < 0 as 1/(sqrt(1 + h^2) - h), which does not cancel.
    """
    h, c = v[..., :1], v[..., 1:]
    root = torch.sqrt(1.0 + h * h)
    return c * torch.where(h < 0.0, 1.0 / (root - h), h + root)


def decode_projected(x: Tensor, n: int, k: int) -> Tensor:
    """SO(n) from n^2 - n - k numbers, 1 <= k <= n - 2: k lifts from the end, then Gram-Schmidt.

    Each lift turns the last n numbers not yet used into n + 1: a unit column, and the number that closes the block
    before it.
    """
    head, tail = x[..., :-n], x[..., -n:]
    columns: list[Tensor] = []
    for step in range(k):
        lifted = lift(tail)
        columns.insert(0, lifted[..., 1:])
        if step < k - 1:
            head, tail = head[..., : 1 - n], torch.cat([head[..., 1 - n :], lifted[..., :1]], -1)
        else:
            columns.insert(0, lifted[..., :1])
    return decode_columns(torch.cat([head, *columns], -1), n, n - 1, special=True)


def encode_projected(matrix: Tensor, n: int, k: int) -> Tensor:
    """Inverse of `decode_projected`: (..., n, n) -> (..., n^2 - n - k)."""
    flat = encode_columns(matrix, n - 1)
    first = n * (n - 1 - k)  # the columns from here on are projected
    blocks = [flat[..., : first - 1]]
    carried = flat[..., first - 1 : first]
    for j in range(k):
        projected = project(torch.cat([carried, flat[..., first + j * n : first + (j + 1) * n]], -1))
        carried = projected[..., -1:]
        blocks.append(projected if j == k - 1 else projected[..., :-1])
    return torch.cat(blocks, -1)


def decode_similarity(x: Tensor, n: int = 3) -> Tensor:
    """[s R | t] (..., n, n+1) from (log s, n^2 - n numbers of R, t)."""
    rotation = decode_columns(x[..., 1 : 1 + n * (n - 1)], n, n - 1, special=True)
    return torch.cat([torch.exp(x[..., :1])[..., None] * rotation, x[..., -n:, None]], -1)


def encode_similarity(matrix: Tensor, n: int = 3) -> Tensor:
    """Inverse of `decode_similarity`; the scale is the norm of the first column."""
    linear = matrix[..., :n]
    scale = torch.linalg.vector_norm(linear[..., 0], dim=-1, keepdim=True)
    return torch.cat([torch.log(scale), encode_columns(linear / scale[..., None], n - 1), matrix[..., n]], -1)
