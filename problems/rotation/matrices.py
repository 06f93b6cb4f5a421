"""Optimisation over matrix groups with known optima: `so-n`, `stiefel`, `similarity-fit`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from dfoattack.errors import ProblemError
from dfoattack.problem import Constraint, Known, Problem
from dfoattack.space import Box

from .fit import BOUND, Decoder, column_norms, instance_generator
from .groups import special_orthogonal_samples
from .orthogonal import decode_similarity, encode_similarity
from .representations import Representation, special_orthogonal, stiefel

__all__ = ["make_similarity_fit", "make_so_n", "make_stiefel", "umeyama"]

FloatArray = npt.NDArray[np.float64]


def make_so_n(n: int = 4, lifts: int = 0, instance: int = 0) -> Problem:
    """Return max tr(R^T M) over SO(n), M Gaussian, in n^2 - n - lifts coordinates.

    The optimum is the sum of the singular values of M, the last times the sign of det M (Kabsch).

    Parameters
    ----------
    n : int             >= 2
    lifts : int         stereographic lifts, in [0, n - 2]; without them 0.25 <= column norms <= 2
    instance : int      >= 0, chooses M and the start

    Raises
    ------
    ProblemError        a parameter outside its range
    """
    rep = _made(special_orthogonal, n, lifts)
    rng = instance_generator(instance)
    M = rng.standard_normal((n, n))
    u, s, vt = np.linalg.svd(M)
    s[-1] *= np.sign(np.linalg.det(M))
    best = u @ np.diag([*([1.0] * (n - 1)), np.linalg.det(u @ vt)]) @ vt
    start = special_orthogonal_samples(1, n, rng)[0]
    weight = torch.from_numpy(M.reshape(-1))

    def trace(y: Tensor) -> Tensor:
        return y @ weight

    return _over_matrices(
        "so-n", rep, trace, start, float(s.sum()), best, [column_norms(n, n - 1)] if lifts == 0 else []
    )


def make_stiefel(n: int = 5, k: int = 2, instance: int = 0) -> Problem:
    """Return max sum_i mu_i x_i^T A x_i over k orthonormal columns in R^n, mu = k, ..., 1, A symmetric Gaussian.

    The optimum is the sum of mu_i lambda_i, lambda descending (Brockett); its columns are eigenvectors.

    Parameters
    ----------
    n, k : int          1 <= k < n; nk variables
    instance : int      >= 0, chooses A and the start

    Raises
    ------
    ProblemError        a parameter outside its range
    """
    rep = _made(stiefel, n, k)
    rng = instance_generator(instance)
    half = rng.standard_normal((n, n))
    A = (half + half.T) / 2.0
    values, vectors = np.linalg.eigh(A)
    mu = np.arange(k, 0, -1.0)
    start = special_orthogonal_samples(1, n, rng)[0, :, :k]
    matrix, weights = torch.from_numpy(A), torch.from_numpy(mu)

    def brockett(y: Tensor) -> Tensor:
        X = y.unflatten(1, (n, k))
        return (weights * (X * (matrix @ X)).sum(1)).sum(1)

    best = vectors[:, ::-1][:, :k].copy()
    value = float(mu @ values[::-1][:k])
    return _over_matrices("stiefel", rep, brockett, start, value, best, [column_norms(n, k)])


class Moved(nn.Module):
    """Phi of `similarity-fit`: (log s, two columns of R, t) (k, 10) -> the points s R p + t, (k, 3 q)."""

    def __init__(self, points: FloatArray) -> None:
        super().__init__()
        self.register_buffer("points", torch.from_numpy(points))

    def forward(self, x: Tensor) -> Tensor:
        matrix = decode_similarity(x)
        return (self.points @ matrix[..., :3].transpose(-1, -2) + matrix[:, None, :, 3]).flatten(1)


def make_similarity_fit(points: int = 32, noise: float = 0.05, instance: int = 0) -> Problem:
    """Return the fit of a similarity to noisy pairs of points, n = 10: (log s, 6D of R, t), start at the identity.

    f = -mean squared distance. The optimum is Umeyama's closed form (IEEE PAMI 13(4), 1991).

    Parameters
    ----------
    points : int        >= 4
    noise : float       >= 0, standard deviation of a coordinate
    instance : int      >= 0, chooses the points and the similarity

    Raises
    ------
    ProblemError        a parameter outside its range
    """
    if points < 4:
        raise ProblemError(f"`points` must be at least 4, got {points}.")
    if not 0.0 <= noise < np.inf:
        raise ProblemError(f"`noise` must be >= 0 and finite, got {noise}.")
    rng = instance_generator(instance)
    P = rng.standard_normal((points, 3))
    scale, R, t = (
        np.exp(rng.uniform(-1.0, 1.0)),
        special_orthogonal_samples(1, 3, rng)[0].numpy(),
        rng.uniform(-1, 1, 3),
    )
    Q = scale * P @ R.T + t + noise * rng.standard_normal((points, 3))
    best = umeyama(P, Q)
    goal = torch.from_numpy(Q.reshape(-1))

    def fit(y: Tensor) -> Tensor:
        return -(y - goal).square().sum(1) / points

    value = -float(((P @ best[:, :3].T + best[:, 3] - Q) ** 2).sum() / points)
    bound = np.array([3.0, *([BOUND] * 6), 4.0, 4.0, 4.0])
    return Problem(
        name="similarity-fit",
        sense="maximize",
        surrogate=Moved(P),
        objective=fit,
        constraints=[column_norms(3, 2, start=1)],
        space=Box(-bound, bound, names=["log s", *(f"a{i}" for i in range(6)), "tx", "ty", "tz"]),
        x0=encode_similarity(torch.eye(3, 4, dtype=torch.float64)).numpy(),
        known=Known(
            value,
            x=encode_similarity(torch.from_numpy(best)).numpy(),
            kind="exact",
            tol=1e-9,
            how="Umeyama's closed form",
        ),
        backend="torch",
    )


def umeyama(P: FloatArray, Q: FloatArray) -> FloatArray:
    """Return the similarity [s R | t] (3, 4) with the least squared distance from s R p + t to q; P, Q (points, 3)."""
    p, q = P.mean(0), Q.mean(0)
    covariance = (Q - q).T @ (P - p) / len(P)
    u, s, vt = np.linalg.svd(covariance)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    R = (u * sign) @ vt
    scale = float(s @ sign) / float(((P - p) ** 2).sum() / len(P))
    return np.concatenate([scale * R, (q - scale * R @ p)[:, None]], axis=1)


def _made(factory: Callable[..., Representation], *arguments: int) -> Representation:
    try:
        return factory(*arguments)
    except ValueError as error:
        raise ProblemError(str(error)) from None


def _over_matrices(
    name: str,
    rep: Representation,
    objective: Callable[[Tensor], Tensor],
    start: Tensor,
    value: float,
    best: FloatArray,
    constraints: list[Constraint],
) -> Problem:
    """A problem whose variables are the coordinates of `rep` in a box of [-2, 2]."""
    solution = rep.encode(torch.from_numpy(best)).numpy()
    bound = np.maximum(BOUND, 1.5 * np.abs(solution))  # projected columns may be longer than 2
    return Problem(
        name=name,
        sense="maximize",
        surrogate=Decoder(rep),
        objective=objective,
        constraints=constraints,
        space=Box(-bound, bound),
        x0=np.clip(rep.encode(start).numpy(), -bound, bound),
        known=Known(value, x=solution, kind="exact", tol=1e-9 * max(1.0, abs(value)), how="closed form"),
        backend="torch",
    )
