"""The neural tangent kernel at theta_0, and where its eigenfunctions have their energy.

A task that can be changed without the others is one whose kernel eigenfunctions live on its own inputs.

Source: Ortiz-Jimenez, Favero, Frossard, "Task arithmetic in the tangent space", NeurIPS 2023, section 5 and figure 4.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap

from .linearize import differentiable_attention
from .model import SCALE, cosine_logits
from .training import Parameters

__all__ = ["kernel_rows", "local_energy", "output_gradients"]


def output_gradients(encoder: nn.Module, theta: Parameters, head: Tensor, X: Tensor, scale: float = SCALE) -> Tensor:
    """Gradients by theta of one scalar output of every input: (N, ...) -> (N, parameters).

    The scalar is the logit of class 0 minus the mean logit.
    """

    def output(part: Parameters, x: Tensor) -> Tensor:
        logits = cosine_logits(functional_call(encoder, part, (x[None],)), head, scale)[0]
        return logits[0] - logits.mean()

    with differentiable_attention():
        slopes = vmap(grad(output), (None, 0))(theta, X)
    return torch.cat([slope.flatten(1) for slope in slopes.values()], 1)


def kernel_rows(one: Tensor, other: Tensor) -> Tensor:
    """k(x, x') = <grad f(x), grad f(x')> from gradients (N, p) and (M, p): (N, M), float64."""
    return (one @ other.T).double()


def local_energy(train: Tensor, elsewhere: Tensor, count: int = 20) -> Tensor:
    """E_loc(x) = sum over the first `count` eigenfunctions of phi(x)^2 at other inputs: (M,).

    Parameters
    ----------
    train : Tensor (N, p)       gradients at the samples of the task, where eigenfunctions are normalised:
                                mean of phi^2 = 1, so the mean of E_loc over them is `count`
    elsewhere : Tensor (M, p)   gradients at the inputs in question

    Notes
    -----
    Nystroem extension: phi_r(x) = sqrt(N) / lambda_r sum_i k(x, x_i) v_ir with eigenpairs of the kernel matrix.
    """
    n = len(train)
    if not 0 < count <= n:
        raise ValueError(f"`count` must lie in [1, {n}], got {count}.")
    values, vectors = torch.linalg.eigh(kernel_rows(train, train))
    first, modes = values[-count:], vectors[:, -count:]
    phi = n**0.5 * kernel_rows(elsewhere, train) @ modes / first
    return phi.square().sum(1)
