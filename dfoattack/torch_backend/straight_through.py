"""Straight-through gradients: rounding layers count as the identity on the way back.

After Bengio, Leonard & Courville (2013), "Estimating or propagating gradients through stochastic neurons for conditional computation",
and the backward pass differentiable approximation of Athalye, Carlini & Wagner (2018).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["StraightThrough"]

_Function = Callable[..., Any]


def _identity(x: torch.Tensor) -> torch.Tensor:
    return x


def _clipped(x: torch.Tensor) -> torch.Tensor:
    """The hard tanh: what the sign of a number looks like from afar (Hubara et al. 2016)."""
    return torch.clamp(x, -1.0, 1.0)


# what each piecewise constant function is on the way back
_STAND_INS: Mapping[str, Callable[[torch.Tensor], torch.Tensor]] = {
    **dict.fromkeys(("round", "floor", "ceil", "trunc", "fix"), _identity),
    **dict.fromkeys(("sign", "sgn"), _clipped),
}
_NAMES = {f"{name}{suffix}": (name, suffix) for name in _STAND_INS for suffix in ("", "_")}


class StraightThrough(TorchFunctionMode):
    """While active, round, floor, ceil, trunc and sign have the gradient of a smooth stand-in; their values are what they are.

    Sees functions and methods of tensors that the module calls in Python; scripted and exported graphs run past it.
    """

    def __torch_function__(
        self,
        func: _Function,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name, suffix = _NAMES.get(getattr(func, "__name__", ""), ("", ""))
        given = dict(kwargs or {})
        if not name or not args or not isinstance(args[0], torch.Tensor) or not args[0].requires_grad:
            return func(*args, **given)
        x = args[0]
        value = getattr(torch, name)(x.detach(), *args[1:], **given)
        smooth = _STAND_INS[name](x)
        through = value + (smooth - smooth.detach())  # in this order: the value keeps its bits
        return x.copy_(through) if suffix else through
