"""TorchSurrogate: a torch module as Phi, NumPy at the border."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch

from dfoattack._fingerprint import fingerprint_of
from dfoattack._typing import FloatArray, IntArray
from dfoattack.errors import ProblemError
from dfoattack.native import Functions, Tally, WalkRecord, WalkRequest
from dfoattack.outer import TensorPlace
from dfoattack.surrogates._batches import in_batches
from dfoattack.torch_backend.fingerprints import module_fingerprint
from dfoattack.torch_backend.programs import exported
from dfoattack.torch_backend.straight_through import StraightThrough
from dfoattack.torch_backend.tensors import exact_arithmetic, float64_device, to_array, to_tensor
from dfoattack.torch_backend.walk import walk

__all__ = ["TorchSurrogate", "refuse_training"]

_LINALG_ERROR: type[Exception] = vars(torch.linalg)["LinAlgError"]  # torch's annotations do not know the name


TRACE_SHARE = 0.67  # of a trace that must be asked for: a backward pass of all of it costs two thirds of both passes
_Trace = tuple[FloatArray, torch.Tensor, torch.Tensor]  # X, leaf, Y


class TorchSurrogate:
    """A torch module (k, n) -> (k, m) or (k,) as a surrogate with vector-Jacobian products.

    Parameters
    ----------
    module : torch.nn.Module, or callable tensor -> tensor
        TorchScript modules are modules; a `torch.export.ExportedProgram` works where it was exported for, and with a
        fixed batch size in blocks of that size
    device : torch device or str, optional
        default: where the module is (a callable: CPU). Another device works on a copy of the module
    dtype : torch.dtype, optional
        default: the module's floating dtype (a callable: float64). Another dtype works on a copy
    allow_tf32 : bool
        on CUDA, allow rounded float32 products; off, so that values can be compared
    straight_through : bool
        gradients pass rounding layers (round, floor, ceil, trunc) as if these were the identity, sign as if it were a hard
        tanh; values stay what they are. For Python modules, not for scripted or exported graphs
    batch_size : int, optional
        the module gets blocks of exactly this many rows, the last one filled up; default: of any size
    screen : torch.dtype, optional
        attacks that make all their steps on the device (`pgd`) make them in this lower precision, on a copy of the module;
        what they propose is then evaluated in full precision, at the price of a pass. Default: no screening

    Notes
    -----
    The module is evaluated in eval mode; training flags, buffers, `requires_grad` and `.grad` of its parameters are
    what they were before. A block that does not fit into the device's memory is halved until it does, and the size that
    fitted is kept.

    Raises
    ------
    ProblemError
        the module is in training mode and has layers that behave differently there (dropout, batch norm): its author
        has to say which of the two functions is meant, by calling `.eval()`
    """

    failures: tuple[type[Exception], ...] = (_LINALG_ERROR,)

    def __init__(
        self,
        module: torch.nn.Module | torch.export.ExportedProgram | Callable[[torch.Tensor], torch.Tensor],
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        allow_tf32: bool = False,
        straight_through: bool = False,
        batch_size: int | None = None,
        screen: torch.dtype | None = None,
    ) -> None:
        if isinstance(module, torch.export.ExportedProgram):
            module, exported_dtype, fixed = exported(module)
            dtype, batch_size = dtype or exported_dtype, batch_size or fixed
        if not callable(module) or isinstance(module, type):
            raise ProblemError(f"`module` must be a torch.nn.Module or a callable tensor -> tensor, got {module!r}.")
        if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
            raise ProblemError(f"`dtype` must be a floating torch dtype or None, got {dtype!r}.")
        if screen is not None and not (
            isinstance(screen, torch.dtype) and screen.is_floating_point and isinstance(module, torch.nn.Module)
        ):
            raise ProblemError(
                f"`screen` must be a floating torch dtype, beside a torch.nn.Module, or None, got {screen!r}."
            )
        if batch_size is not None and not (isinstance(batch_size, int) and batch_size >= 1):
            raise ProblemError(f"`batch_size` must be an integer >= 1 or None, got {batch_size!r}.")
        own_device, own_dtype = _home(module)
        self.device: torch.device = own_device if device is None else torch.device(device)
        self.dtype: torch.dtype = own_dtype if dtype is None else dtype
        if isinstance(module, torch.nn.Module):
            refuse_training(module, "`surrogate`")
            if (self.device, self.dtype) != (own_device, own_dtype):
                module = copy.deepcopy(module).to(device=self.device, dtype=self.dtype)
        self.module = module
        self.allow_tf32 = bool(allow_tf32)
        self.straight_through = bool(straight_through)
        self.batch_size = batch_size
        self.screen = screen
        self._screening = module
        if screen is not None and isinstance(module, torch.nn.Module):
            self._screening = copy.deepcopy(module).to(dtype=screen)
        self._max_rows: int | None = None  # rows that fit into memory, once a block did not
        self._traced: _Trace | None = None  # the last `trace`
        self._max_walks: int | None = None  # the same for rows of a walk, which keeps its graph
        if batch_size is None and self.device.type != "mps":  # which has no float64
            self.walk = self._walk

    @property
    def tensor_place(self) -> TensorPlace:
        """Where torch-written objectives and constraints get their tensors."""
        return TensorPlace(self.device, str(self.dtype).removeprefix("torch."))

    def predict(self, X: FloatArray) -> FloatArray:
        """Return Phi(X): float64 (k, n) -> (k, m); (k,) from the module becomes (k, 1)."""
        return self._in_blocks(self._predict, np.asarray(X, dtype=np.float64))

    def vjp(self, X: FloatArray, V: FloatArray) -> FloatArray:
        """Return rows J(x_i)^T v_i: X (k, n), V (k, m) -> (k, n). One forward and one backward pass of the block.

        Rows of the last `trace` are spared the forward pass if most of it is asked for.
        """
        X, V = np.asarray(X, dtype=np.float64), np.asarray(V, dtype=np.float64)
        places = self._places_in_trace(X)
        known = places >= 0
        if self._traced is None or not known.any():
            return self._in_blocks(self._vjp, X, V)
        out = np.empty(X.shape)
        try:
            out[known] = self._vjp_of_trace(self._traced, places[known], V[known])
        except torch.OutOfMemoryError:
            self.forget()
            return self._in_blocks(self._vjp, X, V)
        if not known.all():
            out[~known] = self._in_blocks(self._vjp, X[~known], V[~known])
        return out

    def trace(self, X: FloatArray) -> FloatArray:
        """Return Phi(X) as `predict` does, and keep the graph until `forget` or the next trace: gradients there are likely to follow."""
        self.forget()
        X = np.array(X, dtype=np.float64)
        if (
            not X.shape[0]
            or self.batch_size is not None
            or (self._max_rows is not None and X.shape[0] > self._max_rows)
        ):
            return self.predict(X)
        try:
            with _eval_mode(self.module), exact_arithmetic(self.device, self.allow_tf32), torch.enable_grad():
                leaf = to_tensor(X, self.device, self.dtype).requires_grad_(True)
                Y = self._output(leaf.clone())
        except torch.OutOfMemoryError:
            self._free()
            return self.predict(X)
        if Y.requires_grad:
            self._traced = (X, leaf, Y)
        return to_array(Y)

    def forget(self) -> None:
        """Drop the graph of the last `trace`."""
        self._traced = None

    def in_other_precision(self) -> TorchSurrogate:
        """Return the same module in float32, or in float64 where it is not: how much of an answer is rounding."""
        other = torch.float32 if self.dtype == torch.float64 else torch.float64
        return TorchSurrogate(self.module, float64_device(self.device), other, allow_tf32=self.allow_tf32)

    def fingerprint(self) -> str:
        """Return a digest of structure, state, dtype and kind of device: another precision is another Phi."""
        body = (
            module_fingerprint(self.module) if isinstance(self.module, torch.nn.Module) else fingerprint_of(self.module)
        )
        marks = {
            "tf32": self.allow_tf32,
            str(self.screen): self.screens,
            "through": self.straight_through,
        }
        return "-".join([body, self.tensor_place.native, self.device.type, *(mark for mark, on in marks.items() if on)])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_traced": None}  # graphs cannot be copied

    def __repr__(self) -> str:
        name = (
            type(self.module).__name__
            if isinstance(self.module, torch.nn.Module)
            else getattr(self.module, "__name__", "callable")
        )
        return f"TorchSurrogate({name}, device='{self.device}', dtype={self.dtype})"

    def _walk(self, request: WalkRequest, functions: Functions, tally: Tally) -> WalkRecord:
        """Make all steps of an attack where the module is; rows that do not fit into memory together go one block after the other."""
        k = request.X.shape[0]
        parts: list[WalkRecord] = []
        start = 0
        while start < k:
            rows = k if self._max_walks is None else self._max_walks
            part, sent = request.part(slice(start, start + rows)), Tally()
            try:
                with _eval_mode(self._screening), exact_arithmetic(self.device, self.allow_tf32):
                    parts.append(walk(self._screened, self.device, self.screen or self.dtype, part, functions, sent))
            except torch.OutOfMemoryError:
                rows = min(rows, k - start)
                if rows <= 1:
                    raise
                self._max_walks = (rows + 1) // 2
                self._free()
                continue
            finally:
                tally.passes += sent.passes
                tally.products += sent.products
            start += rows
        return WalkRecord.joined(parts)

    # ---------------------------------------------------------------- one block

    def _predict(self, X: FloatArray) -> FloatArray:
        # Not inference mode: what a module keeps from it (a cached basis, a buffer made at first use) no backward pass could use later.
        with _eval_mode(self.module), exact_arithmetic(self.device, self.allow_tf32), torch.no_grad():
            return to_array(self._output(to_tensor(X, self.device, self.dtype)))

    def _vjp(self, X: FloatArray, V: FloatArray) -> FloatArray:
        with _eval_mode(self.module), exact_arithmetic(self.device, self.allow_tf32), torch.enable_grad():
            leaf = to_tensor(X, self.device, self.dtype).requires_grad_(True)
            # a copy goes in: a module that changes its input in place may not do so to a leaf
            Y = self._output(leaf.clone())
            if V.shape != tuple(Y.shape):
                raise ProblemError(f"`V` must have shape (k, m) = {tuple(Y.shape)}, got {V.shape}.")
            if not Y.requires_grad:  # piecewise constant network
                return np.zeros(X.shape)
            # only the input is differentiated: nothing is accumulated in the parameters
            (back,) = torch.autograd.grad(Y, leaf, grad_outputs=to_tensor(V, Y.device, Y.dtype), allow_unused=True)
            return np.zeros(X.shape) if back is None else to_array(back)

    def _places_in_trace(self, X: FloatArray) -> IntArray:
        """Place of each row of X in the last trace, -1 where it is not there; all -1 if so few are that both passes of them cost less."""
        if self._traced is None:
            return np.full(X.shape[0], -1)
        traced = self._traced[0]
        places = {row.tobytes(): i for i, row in enumerate(traced)}
        # each place once: two products of one point need two backward passes
        found = np.array([places.pop(row.tobytes(), -1) for row in np.ascontiguousarray(X)], dtype=np.int64)
        return found if np.count_nonzero(found >= 0) >= TRACE_SHARE * traced.shape[0] else np.full(X.shape[0], -1)

    def _vjp_of_trace(self, trace: _Trace, rows: IntArray, V: FloatArray) -> FloatArray:
        """One backward pass of the whole trace, of which `rows` are wanted."""
        X, leaf, Y = trace
        if V.shape != (rows.size, Y.shape[1]):
            raise ProblemError(f"`V` must have shape (k, m) = {(rows.size, Y.shape[1])}, got {V.shape}.")
        weights = np.zeros(tuple(Y.shape))
        weights[rows] = V
        with _eval_mode(self.module), exact_arithmetic(self.device, self.allow_tf32):
            (back,) = torch.autograd.grad(
                Y, leaf, to_tensor(weights, Y.device, Y.dtype), retain_graph=True, allow_unused=True
            )
        return np.zeros((rows.size, X.shape[1])) if back is None else to_array(back)[rows]

    @property
    def screens(self) -> bool:
        """Whether `walk` works in another precision than `predict`, so that its outputs are not to be mixed with those."""
        return self.screen is not None

    def _screened(self, tensor: torch.Tensor) -> torch.Tensor:
        return self._output(tensor, self._screening)

    def _output(self, tensor: torch.Tensor, module: Callable[..., Any] | None = None) -> torch.Tensor:
        module = self.module if module is None else module
        with StraightThrough() if self.straight_through and torch.is_grad_enabled() else nullcontext():
            Y = module(tensor)
        k = tensor.shape[0]
        if not isinstance(Y, torch.Tensor):
            raise ProblemError(
                f"`surrogate` must return one tensor (k, m), got {type(Y).__name__}. Wrap the module so that it does."
            )
        if Y.ndim == 1 and Y.shape[0] == k:
            Y = Y.reshape(k, 1)
        if Y.ndim != 2 or Y.shape[0] != k:
            raise ProblemError(
                f"`surrogate` returned shape {tuple(Y.shape)} for a block of {k} points; expected (k, m) with k = {k}. "
                "torch.nn.Flatten() may be missing."
            )
        return Y

    def _in_blocks(self, work: Callable[..., FloatArray], *arrays: FloatArray) -> FloatArray:
        if self.batch_size is not None:
            return in_batches(work, self.batch_size, *arrays)
        k = arrays[0].shape[0]
        rows = k if self._max_rows is None else min(k, self._max_rows)
        parts: list[FloatArray] = []
        start = 0
        while start < k or not parts:
            try:
                parts.append(work(*(array[start : start + rows] for array in arrays)))
            except torch.OutOfMemoryError:
                if rows <= 1:
                    raise
                self._max_rows = rows = (rows + 1) // 2
                self._free()
                continue
            start += max(rows, 1)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _free(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def _home(module: Any) -> tuple[torch.device, torch.dtype]:
    """Return device and floating dtype of the module's first parameter, else of its first buffer, else CPU and
    float64."""
    tensors: list[torch.Tensor] = (
        [*module.parameters(), *module.buffers()] if isinstance(module, torch.nn.Module) else []
    )
    device = tensors[0].device if tensors else torch.device("cpu")
    floating = [tensor.dtype for tensor in tensors if tensor.is_floating_point()]
    return device, floating[0] if floating else torch.float64


@contextmanager
def _eval_mode(module: Any) -> Iterator[None]:
    """Evaluate the module in eval mode and put every training flag back."""
    flipped = [part for part in module.modules() if part.training] if isinstance(module, torch.nn.Module) else []
    if flipped:
        refuse_training(module, "`surrogate`")
    try:
        for part in flipped:
            part.training = False  # the flag alone: `.eval()` may be overridden and do more
        yield
    finally:
        for part in flipped:
            part.training = True


def refuse_training(module: torch.nn.Module, what: str) -> None:
    """Raise ProblemError if a layer that behaves differently in training is in training mode."""
    for name, part in module.named_modules():
        if part.training and _mode_dependent(part):
            where = f"layer `{name}` ({type(part).__name__})" if name else type(part).__name__
            raise ProblemError(
                f"{what} must be in eval mode, got {type(module).__name__} with {where} in training mode, "
                "where its output is random or depends on the batch. Call `.eval()` on it first."
            )


def _mode_dependent(part: torch.nn.Module) -> bool:
    if isinstance(part, torch.nn.modules.dropout._DropoutNd):
        return part.p > 0
    if isinstance(part, torch.nn.modules.batchnorm._NormBase):  # batch and instance norm
        return part.track_running_stats
    if isinstance(part, (torch.nn.RNNBase, torch.nn.MultiheadAttention)):
        return part.dropout > 0
    return isinstance(part, torch.nn.RReLU)
