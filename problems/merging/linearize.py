"""The linearised model f_lin(x; theta) = f(x; theta_0) + J(x; theta_0) (theta - theta_0), by one forward-mode pass.

Source: Ortiz-Jimenez, Favero, Frossard, "Task arithmetic in the tangent space", NeurIPS 2023, equation 5.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import Tensor, nn
from torch.func import functional_call, jvp
from torch.nn.attention import SDPBackend, sdpa_kernel

__all__ = ["Linearized", "differentiable_attention", "linear_forward", "standard_forward"]


@contextmanager
def differentiable_attention() -> Iterator[None]:
    """Attention by plain products: the fused kernels know neither forward mode nor, in part, `vmap`."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def standard_forward(module: nn.Module, theta: Mapping[str, Tensor], X: Tensor) -> Tensor:
    """f(X; theta); buffers are the module's own."""
    with differentiable_attention():
        return functional_call(module, dict(theta), (X,))


def linear_forward(
    module: nn.Module, theta_0: Mapping[str, Tensor], tangent: Mapping[str, Tensor], X: Tensor
) -> tuple[Tensor, Tensor]:
    """Return f(X; theta_0) and J(X; theta_0) tangent, both from one pass.

    Names that `tangent` lacks do not move. Buffers are the module's own, frozen at theta_0 (layers whose buffers change
    with the data, such as batch norm in training mode, have no meaningful linearisation).
    """
    moving = {name: theta_0[name] for name in tangent}
    fixed = {name: value for name, value in theta_0.items() if name not in tangent}

    def forward(part: dict[str, Tensor]) -> Tensor:
        return functional_call(module, {**fixed, **part}, (X,))

    _load_forward_mode()
    with differentiable_attention():
        value, slope = jvp(forward, (moving,), (dict(tangent),))
    return value, slope


@lru_cache(maxsize=1)
def _load_forward_mode() -> None:
    """The first use of forward mode makes torch load rules that it writes with its own deprecated compiler."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="`torch.jit.script` is (deprecated|not supported)")
        jvp(torch.sin, (torch.zeros(1),), (torch.ones(1),))


class Linearized(nn.Module):
    """Any module, linearised at the parameters it has now (theta_0).

    The copy in the attribute `module` holds theta, which is trained; its names are the original's, so a `TaskVector` of
    the one fits the other.

    Raises
    ------
    ValueError      batch norm in training mode

    Examples
    --------
    >>> net = torch.nn.Linear(2, 1)
    >>> lin = Linearized(net)
    >>> bool(torch.equal(lin(torch.ones(1, 2)), net(torch.ones(1, 2))))
    True
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        if module.training and any(isinstance(part, nn.modules.batchnorm._BatchNorm) for part in module.modules()):
            raise ValueError("`module` must be in eval mode: in training mode batch norm depends on the other samples.")
        self.module = copy.deepcopy(module)
        self.theta_0 = {name: value.detach().clone() for name, value in module.named_parameters()}

    def forward(self, X: Tensor) -> Tensor:
        """f_lin(X; theta)."""
        tangent = {name: value - self.theta_0[name] for name, value in self.module.named_parameters()}
        value, slope = linear_forward(self.module, self.theta_0, tangent, X)
        return value + slope
