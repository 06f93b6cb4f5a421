"""ONNX operators (opset 13 and later) in torch: what dense, convolutional and normalising networks are made of.

Each takes the node's attributes and its inputs (None where an optional one is left out) and returns one tensor, or a tuple of
them. Semantics: the operator specification of ONNX, https://onnx.ai/onnx/operators/.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from dfoattack.errors import ProblemError

__all__ = ["OPERATORS"]

Attributes = dict[str, Any]
_TYPES = {1: torch.float32, 6: torch.int32, 7: torch.int64, 9: torch.bool, 10: torch.float16, 11: torch.float64}


def _plain(fn: Callable[..., Any]) -> Callable[..., Any]:
    """An operator without attributes."""
    return lambda attributes, *inputs: fn(*inputs)


def _folded(fn: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """An operator of any number of inputs, two by two."""
    return lambda attributes, *inputs: functools.reduce(fn, inputs)


def _ints(tensor: torch.Tensor) -> list[int]:
    return [int(value) for value in tensor.reshape(-1).tolist()]


def _gemm(at: Attributes, A: torch.Tensor, B: torch.Tensor, C: torch.Tensor | None = None) -> torch.Tensor:
    A = A.T if at.get("transA", 0) else A
    B = B.T if at.get("transB", 0) else B
    Y: torch.Tensor = at.get("alpha", 1.0) * (A @ B)
    return Y if C is None else Y + at.get("beta", 1.0) * C


def _clip(at: Attributes, x: torch.Tensor, low: Any = None, high: Any = None) -> torch.Tensor:
    return x if low is None and high is None else torch.clamp(x, low, high)


def _cast(at: Attributes, x: torch.Tensor) -> torch.Tensor:
    if at["to"] not in _TYPES:
        raise ProblemError(f"The operator Cast to the ONNX type {at['to']} is not known.")
    return x.to(_TYPES[at["to"]])


def _axes(at: Attributes, axes: torch.Tensor | None, rank: int) -> list[int]:
    """Axes given as an attribute (before opset 18) or as an input, all of them where neither is."""
    found = at.get("axes") if axes is None else _ints(axes)
    return list(range(rank)) if not found else list(found)


def _reduce(fn: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    def reduced(at: Attributes, x: torch.Tensor, axes: torch.Tensor | None = None) -> torch.Tensor:
        if at.get("noop_with_empty_axes", 0) and not (at.get("axes") or axes is not None):
            return x
        return fn(x, dim=_axes(at, axes, x.ndim), keepdim=bool(at.get("keepdims", 1)))

    return reduced


def _squeeze(at: Attributes, x: torch.Tensor, axes: torch.Tensor | None = None) -> torch.Tensor:
    return x.squeeze() if axes is None else x.squeeze(tuple(_ints(axes)))


def _unsqueeze(at: Attributes, x: torch.Tensor, axes: torch.Tensor) -> torch.Tensor:
    rank = x.ndim + axes.numel()
    for axis in sorted(a % rank for a in _ints(axes)):
        x = x.unsqueeze(axis)
    return x


def _reshape(at: Attributes, x: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
    sizes = _ints(shape)
    if not at.get("allowzero", 0):
        sizes = [x.shape[i] if size == 0 else size for i, size in enumerate(sizes)]
    return x.reshape(sizes)


def _flatten(at: Attributes, x: torch.Tensor) -> torch.Tensor:
    axis = at.get("axis", 1) % (x.ndim + 1)
    rows = 1
    for size in x.shape[:axis]:
        rows *= size
    return x.reshape(rows, -1)


def _transpose(at: Attributes, x: torch.Tensor) -> torch.Tensor:
    return x.permute(at.get("perm", list(reversed(range(x.ndim)))))


def _slice(
    at: Attributes, x: torch.Tensor, starts: torch.Tensor, ends: torch.Tensor, axes: Any = None, steps: Any = None
) -> torch.Tensor:
    index: list[Any] = [slice(None)] * x.ndim
    where = list(range(starts.numel())) if axes is None else _ints(axes)
    strides = [1] * len(where) if steps is None else _ints(steps)
    for axis, first, last, stride in zip(where, _ints(starts), _ints(ends), strides, strict=True):
        if stride < 1:
            raise ProblemError(f"The operator Slice with the step {stride} is not known.")
        index[axis] = slice(first, last, stride)
    return x[tuple(index)]


def _gather(at: Attributes, x: torch.Tensor, indices: torch.Tensor) -> torch.Tensor:
    axis = at.get("axis", 0) % x.ndim
    flat = indices.reshape(-1).long() % x.shape[axis]
    return x.index_select(axis, flat).reshape(*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])


def _split(at: Attributes, x: torch.Tensor, sizes: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
    axis = at.get("axis", 0)
    if sizes is not None:
        return torch.split(x, _ints(sizes), dim=axis)
    if "num_outputs" not in at:
        raise ProblemError("The operator Split without sizes and num_outputs is not known.")
    return torch.split(x, -(-x.shape[axis] // at["num_outputs"]), dim=axis)


def _window(at: Attributes, rank: int) -> tuple[list[int], list[int], list[int]]:
    """Strides, dilations and symmetric padding of a convolution or pooling over `rank` axes."""
    pads = list(at.get("pads", [0] * 2 * rank))
    if at.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID") or pads[:rank] != pads[rank:] or at.get("ceil_mode", 0):
        raise ProblemError("Asymmetric or automatic padding of convolutions and poolings is not known.")
    return list(at.get("strides", [1] * rank)), list(at.get("dilations", [1] * rank)), pads[:rank]


def _conv(at: Attributes, x: torch.Tensor, W: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
    rank = x.ndim - 2
    strides, dilations, pads = _window(at, rank)
    call: Any = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
    return call(x, W, b, stride=strides, padding=pads, dilation=dilations, groups=at.get("group", 1))  # type: ignore[no-any-return]  # torch's stubs of the three differ


def _conv_transpose(at: Attributes, x: torch.Tensor, W: torch.Tensor, b: torch.Tensor | None = None) -> torch.Tensor:
    rank = x.ndim - 2
    strides, dilations, pads = _window(at, rank)
    if "output_shape" in at:
        raise ProblemError("The operator ConvTranspose with an output_shape is not known.")
    call: Any = (functional.conv_transpose1d, functional.conv_transpose2d, functional.conv_transpose3d)[rank - 1]
    extra = list(at.get("output_padding", [0] * rank))
    return call(x, W, b, strides, pads, extra, at.get("group", 1), dilations)  # type: ignore[no-any-return]  # as above


def _max_pool(at: Attributes, x: torch.Tensor) -> torch.Tensor:
    rank = x.ndim - 2
    strides, dilations, pads = _window(at, rank)
    call: Any = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[rank - 1]
    return call(x, at["kernel_shape"], strides, pads, dilations)  # type: ignore[no-any-return]  # as above


def _average_pool(at: Attributes, x: torch.Tensor) -> torch.Tensor:
    rank = x.ndim - 2
    strides, _, pads = _window(at, rank)
    call: Any = (functional.avg_pool1d, functional.avg_pool2d, functional.avg_pool3d)[rank - 1]
    inside = bool(at.get("count_include_pad", 0))
    return call(x, at["kernel_shape"], strides, pads, count_include_pad=inside)  # type: ignore[no-any-return]  # as above


def _global_average(at: Attributes, x: torch.Tensor) -> torch.Tensor:
    return x.mean(dim=list(range(2, x.ndim)), keepdim=True)


def _batch_norm(at: Attributes, x: torch.Tensor, *parts: torch.Tensor) -> torch.Tensor:
    scale, bias, mean, variance = parts
    if at.get("training_mode", 0):
        raise ProblemError("The operator BatchNormalization in training mode is not known.")
    return functional.batch_norm(x, mean, variance, scale, bias, False, 0.0, at.get("epsilon", 1e-5))


def _layer_norm(at: Attributes, x: torch.Tensor, scale: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    return functional.layer_norm(x, x.shape[at.get("axis", -1) :], scale, bias, at.get("epsilon", 1e-5))


def _gelu(at: Attributes, x: torch.Tensor) -> torch.Tensor:
    return functional.gelu(x, approximate=at.get("approximate", "none"))


def _selu(at: Attributes, x: torch.Tensor) -> torch.Tensor:
    alpha, gamma = at.get("alpha", 1.67326319217681884765625), at.get("gamma", 1.05070102214813232421875)
    return gamma * functional.elu(x, alpha)  # type: ignore[no-any-return]  # attributes are of any type


def _hard_sigmoid(at: Attributes, x: torch.Tensor) -> torch.Tensor:
    return torch.clamp(at.get("alpha", 0.2) * x + at.get("beta", 0.5), 0.0, 1.0)


OPERATORS: dict[str, Callable[..., Any]] = {
    "Abs": _plain(torch.abs),
    "Add": _plain(operator.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "Clip": _clip,
    "Concat": lambda at, *inputs: torch.cat(inputs, dim=at["axis"]),
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Cos": _plain(torch.cos),
    "Div": _plain(operator.truediv),
    "Dropout": lambda at, x, *rest: x,
    "Elu": lambda at, x: functional.elu(x, at.get("alpha", 1.0)),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Expand": lambda at, x, shape: x * torch.ones(_ints(shape), dtype=x.dtype),  # broadcasts both ways, as ONNX does
    "Flatten": _flatten,
    "Gather": _gather,
    "Gelu": _gelu,
    "Gemm": _gemm,
    "GlobalAveragePool": _global_average,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda at, x: functional.hardswish(x),
    "Identity": _plain(lambda x: x),
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda at, x: functional.leaky_relu(x, at.get("alpha", 0.01)),
    "Log": _plain(torch.log),
    "LogSoftmax": lambda at, x: functional.log_softmax(x, dim=at.get("axis", -1)),
    "MatMul": _plain(torch.matmul),
    "Max": _folded(torch.maximum),
    "MaxPool": _max_pool,
    "Mean": lambda at, *inputs: functools.reduce(operator.add, inputs) / len(inputs),
    "Min": _folded(torch.minimum),
    "Mish": lambda at, x: functional.mish(x),
    "Mul": _plain(operator.mul),
    "Neg": _plain(torch.neg),
    "PRelu": _plain(lambda x, slope: torch.where(x < 0, slope * x, x)),
    "Pow": _plain(torch.pow),
    "Reciprocal": _plain(torch.reciprocal),
    "ReduceL2": _reduce(lambda x, dim, keepdim: torch.linalg.vector_norm(x, dim=dim, keepdim=keepdim)),
    "ReduceMax": _reduce(torch.amax),
    "ReduceMean": _reduce(torch.mean),
    "ReduceMin": _reduce(torch.amin),
    "ReduceSum": _reduce(torch.sum),
    "Relu": _plain(torch.relu),
    "Reshape": _reshape,
    "Selu": _selu,
    "Shape": lambda at, x: torch.tensor(x.shape[at.get("start", 0) : at.get("end", x.ndim)]),
    "Sigmoid": _plain(torch.sigmoid),
    "Sin": _plain(torch.sin),
    "Slice": _slice,
    "Softmax": lambda at, x: functional.softmax(x, dim=at.get("axis", -1)),
    "Softplus": lambda at, x: functional.softplus(x, threshold=1e9),
    "Softsign": lambda at, x: functional.softsign(x),
    "Split": _split,
    "Sqrt": _plain(torch.sqrt),
    "Squeeze": _squeeze,
    "Sub": _plain(operator.sub),
    "Sum": _folded(operator.add),
    "Tanh": _plain(torch.tanh),
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
    "Where": _plain(torch.where),
}
