"""An ONNX model as a surrogate: values by onnxruntime, gradients by torch where the graph can be written in it."""

from __future__ import annotations

import hashlib
import importlib
import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from dfoattack._typing import FloatArray
from dfoattack._validation import check_choice, shown
from dfoattack.errors import MissingExtraError, ProblemError
from dfoattack.surrogates._batches import in_batches

__all__ = ["OnnxSurrogate"]

_DTYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16}
NEEDS = "OnnxSurrogate needs onnx and onnxruntime. Install `dfoattack[onnx]`."
AGREEMENT = 1e-3  # largest difference of the torch graph from onnxruntime, relative to the largest output


class OnnxSurrogate:
    """An ONNX file (k, n) -> (k, m), or with inputs of more dimensions (k, ...) of n numbers in all.

    Parameters
    ----------
    model : path, bytes, or onnx.ModelProto
        with one input whose first dimension is the batch; a fixed batch size is kept by padding
    output : str, optional
        which output is Phi, where the model has several; more dimensions than two are flattened
    gradient : {"auto", "torch", "none"}
        "torch": vjp by a torch module with the operations of the graph, checked against onnxruntime at the first
        gradient; ProblemError if an operation is not known. "none": a black box. "auto": "torch" where torch and onnx
        can be imported and every operation is known, else "none"; `gradient` then says which
    threads : int, optional
        of onnxruntime; default: its own choice

    Raises
    ------
    MissingExtraError       onnxruntime cannot be imported
    ProblemError            no such file, not one input of real numbers, several outputs and no `output`
    """

    def __init__(
        self, model: Any, output: str | None = None, gradient: str = "auto", threads: int | None = None
    ) -> None:
        self.name, self._bytes = _content(model)
        self.threads = threads
        self._asked = check_choice("gradient", gradient, ("auto", "torch", "none"))
        self._open(output)
        self._graph: Any = None
        self._checked = False  # whether the graph was seen to agree with onnxruntime
        self.gradient = "none" if gradient == "none" else self._with_graph(insist=gradient == "torch")
        if self.gradient == "torch":
            self.vjp = self._vjp

    def predict(self, X: FloatArray) -> FloatArray:
        """Return the outputs, float64 (k, m)."""
        return in_batches(self._run, self._batch, np.asarray(X, dtype=np.float64))

    def fingerprint(self) -> str:
        """Return a digest of the file, and how values and gradients come from it."""
        return f"onnx-{hashlib.sha256(self._bytes).hexdigest()[:32]}-{self.output}-{self.gradient}"

    def __repr__(self) -> str:
        return f"OnnxSurrogate({self.name!r}, gradient={self.gradient!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.name, self._bytes, self.output, self._asked, self.threads)

    # ---------------------------------------------------------------- values

    def _open(self, output: str | None) -> None:
        runtime = _imported("onnxruntime", NEEDS)
        options = runtime.SessionOptions()
        options.use_deterministic_compute = True
        if self.threads is not None:
            options.intra_op_num_threads = self.threads
        try:
            self._session = runtime.InferenceSession(self._bytes, options, providers=["CPUExecutionProvider"])
        except Exception as cause:  # onnxruntime raises classes of its own that share no base but Exception
            raise ProblemError(f"`model` must be a valid ONNX model, got {self.name}: {cause}") from cause
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in _DTYPES:
            got = [f"{entry.name}: {entry.type}" for entry in inputs]
            raise ProblemError(f"`model` must have one input of real numbers, got {got} in {self.name}.")
        (entry,) = inputs
        self._input, self._dtype = entry.name, _DTYPES[entry.type]
        batch, *rest = entry.shape or [None]
        self._batch = batch if isinstance(batch, int) and batch > 0 else None
        self._shape = tuple(size if isinstance(size, int) else -1 for size in rest)
        names = [out.name for out in self._session.get_outputs()]
        if output is None and len(names) > 1:
            raise ProblemError(f"`output` must name one of {names}, the outputs of {self.name}.")
        self.output = check_choice("output", names[0] if output is None else output, names)

    def _run(self, X: FloatArray) -> FloatArray:
        (Y,) = self._session.run([self.output], {self._input: self._block(X)})
        if not isinstance(Y, np.ndarray) or Y.ndim == 0 or Y.shape[0] != X.shape[0]:
            raise ProblemError(
                f"`surrogate` must return an array (k, m) for a block of {X.shape[0]} points, got {shown(Y)} "
                f"as {self.output!r} of {self.name}."
            )
        return np.array(Y, dtype=np.float64).reshape(X.shape[0], -1)

    def _block(self, X: FloatArray) -> Any:
        """X in the type and shape of the model's input."""
        k, n = X.shape
        try:
            return X.astype(self._dtype).reshape((k, *self._shape))
        except ValueError:
            shape = ", ".join("?" if size < 0 else str(size) for size in self._shape)
            raise ProblemError(f"`surrogate` {self.name} takes inputs (k, {shape}), got {n} variables.") from None

    # ---------------------------------------------------------------- gradients

    def _with_graph(self, insist: bool) -> str:
        try:
            backend = importlib.import_module("dfoattack.torch_backend.onnx_graph")
            self._graph = backend.OnnxGraph(self._bytes, self.output)
            if all(size > 0 for size in self._shape):  # else at the first gradient
                self._try_graph(math.prod(self._shape))
        except (ImportError, ProblemError):
            if insist:
                raise
            return "none"
        return "torch"

    def _try_graph(self, n: int) -> None:
        X = np.random.default_rng(0).standard_normal((self._batch or 2, n))
        Y = self._run(X)
        self._compare(Y, self._graph.vjp(self._block(X), np.zeros_like(Y))[0])

    def _vjp(self, X: FloatArray, V: FloatArray) -> FloatArray:
        """Return rows J(x_i)^T v_i, (k, n): one forward and one backward pass of the torch graph."""
        return in_batches(self._back, self._batch, np.asarray(X, dtype=np.float64), np.asarray(V, dtype=np.float64))

    def _back(self, X: FloatArray, V: FloatArray) -> FloatArray:
        Y, G = self._graph.vjp(self._block(X), V)
        if not self._checked:
            self._compare(self._run(X), Y)
        return np.array(G, dtype=np.float64).reshape(X.shape)

    def _compare(self, expected: FloatArray, Y: FloatArray) -> None:
        """Raise ProblemError unless the torch graph computes what onnxruntime computes."""
        rows = np.isfinite(expected).all(axis=1)
        gap = float(np.max(np.abs(Y - expected)[rows], initial=0.0))
        if not gap <= AGREEMENT * max(1.0, float(np.max(np.abs(expected[rows]), initial=0.0))):
            raise ProblemError(
                f"`gradient` must be 'none' for {self.name}: torch and onnxruntime differ by {gap:.3g} in its outputs."
            )
        self._checked = True


def _restored(name: str, content: bytes, output: str, gradient: str, threads: int | None) -> OnnxSurrogate:
    surrogate = OnnxSurrogate(content, output, gradient, threads)
    surrogate.name = name
    return surrogate


def _content(model: Any) -> tuple[str, bytes]:
    """What messages call the model, and its bytes."""
    if isinstance(model, bytes):
        return "the ONNX model", model
    if callable(getattr(model, "SerializeToString", None)):
        return getattr(model.graph, "name", "") or "the ONNX model", model.SerializeToString()
    if not isinstance(model, (str, os.PathLike)):
        raise ProblemError(f"`model` must be a path, bytes or an onnx.ModelProto, got {shown(model)}.")
    path = Path(model)
    if not path.is_file():
        raise ProblemError(f"`model` must be a file, got {str(path)!r}, which is none.")
    # by onnx, not as bytes: weights may lie in files beside it
    return path.name, _imported("onnx", NEEDS).load(str(path)).SerializeToString()


def _imported(module: str, sentence: str) -> Any:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as cause:
        raise MissingExtraError(sentence) from cause
