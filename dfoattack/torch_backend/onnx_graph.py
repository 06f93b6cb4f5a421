"""An ONNX graph as torch operations, for its gradients. Values come from onnxruntime."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch

from dfoattack._typing import FloatArray
from dfoattack.errors import ProblemError
from dfoattack.torch_backend.onnx_operators import OPERATORS
from dfoattack.torch_backend.tensors import to_array

__all__ = ["OnnxGraph"]

_OPSET = 13  # since then axes are inputs and Softmax works along one axis


class OnnxGraph:
    """The part of an ONNX graph that one output depends on.

    Parameters
    ----------
    content : bytes     a serialised onnx.ModelProto with one input
    output : str        name of the output

    Raises
    ------
    ImportError         onnx cannot be imported
    ProblemError        the graph holds an operator that is not known, or is older than opset 13
    """

    def __init__(self, content: bytes, output: str) -> None:
        onnx = importlib.import_module("onnx")
        model = onnx.load_model_from_string(content)
        opset = max((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=0)
        if opset < _OPSET:
            raise ProblemError(f"`gradient` = 'torch' needs opset >= {_OPSET}, got {opset}.")
        self.output = output
        read = onnx.numpy_helper.to_array
        self._constants = {entry.name: torch.tensor(read(entry)) for entry in model.graph.initializer}
        (self._input,) = [entry.name for entry in model.graph.input if entry.name not in self._constants]
        self._nodes: list[tuple[Any, tuple[str, ...], tuple[str, ...], dict[str, Any]]] = []
        unknown = set()
        for node in _needed(model.graph.node, output):
            attributes = {entry.name: _attribute(onnx, entry) for entry in node.attribute}
            if node.op_type == "Constant":
                self._constants[node.output[0]] = _constant(attributes, node.name)
            elif node.domain not in ("", "ai.onnx") or node.op_type not in OPERATORS:
                unknown.add(node.op_type)
            else:
                self._nodes.append((OPERATORS[node.op_type], tuple(node.input), tuple(node.output), attributes))
        if unknown:
            raise ProblemError(f"`gradient` = 'torch' knows no operator {', '.join(sorted(unknown))}.")

    def vjp(self, block: Any, V: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return outputs (k, m) and rows J(x_i)^T v_i in the shape of the input.

        block : array (k, ...)      in the type of the model's input
        V : float64 (k, m)
        """
        with torch.enable_grad():
            leaf = torch.tensor(np.ascontiguousarray(block)).requires_grad_(True)
            Y = self._value(leaf).reshape(leaf.shape[0], -1)
            if not Y.requires_grad:
                return to_array(Y), np.zeros(block.shape)
            weights = torch.tensor(V, dtype=Y.dtype)
            (back,) = torch.autograd.grad(Y, leaf, grad_outputs=weights, allow_unused=True)
        return to_array(Y), np.zeros(block.shape) if back is None else to_array(back)

    def _value(self, x: torch.Tensor) -> torch.Tensor:
        known: dict[str, Any] = {**self._constants, self._input: x, "": None}
        for call, inputs, outputs, attributes in self._nodes:
            result = call(attributes, *[known[name] for name in inputs])
            results = result if isinstance(result, tuple) else (result,)
            known.update(zip(outputs, results, strict=False))
        value: torch.Tensor = known[self.output]
        return value


def _needed(nodes: Any, output: str) -> list[Any]:
    """The nodes on which the output depends, in order."""
    wanted, kept = {output}, []
    for node in reversed(nodes):  # ONNX keeps nodes in topological order
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]


def _attribute(onnx: Any, entry: Any) -> Any:
    value = onnx.helper.get_attribute_value(entry)
    return value.decode() if isinstance(value, bytes) else value


def _constant(attributes: dict[str, Any], name: str) -> torch.Tensor:
    for key in ("value", "value_float", "value_int", "value_floats", "value_ints"):
        if key in attributes:
            value = attributes[key]
            if key == "value":
                return torch.tensor(importlib.import_module("onnx").numpy_helper.to_array(value))
            # ONNX floats are single precision, torch's default may be anything
            return torch.tensor(value, dtype=torch.float32 if "float" in key else torch.int64)
    raise ProblemError(f"The constant {name!r} of the ONNX graph holds neither numbers nor a tensor.")
