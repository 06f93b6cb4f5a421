"""The Surrogate contract: what dfoattack needs of Phi, and how the things users have become one."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from dfoattack._fingerprint import fingerprint_of, is_torch_module
from dfoattack._typing import FloatArray
from dfoattack._validation import shown
from dfoattack.errors import ProblemError

__all__ = ["CallableSurrogate", "Identity", "Surrogate", "as_surrogate", "fingerprint_of", "has_vjp"]


@runtime_checkable
class Surrogate(Protocol):
    """Phi: R^n -> R^m, batched, float64 at the border, deterministic; whatever it changes while it works it restores.

    Besides `predict` these methods are used where they exist:

    - ``vjp(X (k, n), V (k, m)) -> (k, n)``: rows J(x_i)^T v_i, J the Jacobian of Phi. Without it Phi counts as a black
      box.
    - ``trace(X)`` and ``forget()``: `predict` for points whose vjp is likely to follow, which may keep what that needs until
      `forget`; `dfoattack.native` tells of `walk`.
    - ``fingerprint() -> str``: equal iff Phi computes the same numbers; compared when a run is resumed.
    """

    def predict(self, X: FloatArray, /) -> FloatArray:
        """Return Phi(X): float64 (k, n) -> (k, m), row i from row i alone; (k,) is read as (k, 1)."""
        ...


class Identity:
    """Phi(x) = x: the problem has no network."""

    def predict(self, X: FloatArray) -> FloatArray:
        """Return a copy of X (k, n)."""
        return np.array(X, dtype=np.float64)

    def vjp(self, X: FloatArray, V: FloatArray) -> FloatArray:
        """Return a copy of V (k, n)."""
        return np.array(V, dtype=np.float64)

    def fingerprint(self) -> str:
        """Return 'identity'."""
        return "identity"

    def __repr__(self) -> str:
        return "Identity()"


class CallableSurrogate:
    """A plain function X (k, n) -> Y (k, m) as a surrogate, optionally with its vector-Jacobian product.

    Parameters
    ----------
    fn : callable, X (k, n) -> (k, m) or (k,)
    vjp : callable, X (k, n), V (k, m) -> (k, n), optional
    """

    def __init__(
        self, fn: Callable[[FloatArray], Any], vjp: Callable[[FloatArray, FloatArray], Any] | None = None
    ) -> None:
        self.fn = fn
        if vjp is not None:
            self.vjp = vjp

    def predict(self, X: FloatArray) -> FloatArray:
        """Return fn(X) as it comes; the Problem checks shape and type."""
        return self.fn(X)  # type: ignore[no-any-return]  # Problem.forward checks what came

    def fingerprint(self) -> str:
        """Return the fingerprint of the function."""
        return fingerprint_of(self.fn)

    def __repr__(self) -> str:
        return f"CallableSurrogate({getattr(self.fn, '__name__', shown(self.fn))})"


def has_vjp(surrogate: Any) -> bool:
    """True iff the surrogate offers vector-Jacobian products."""
    return callable(getattr(surrogate, "vjp", None))


def as_surrogate(obj: Any) -> Surrogate:
    """Turn what users have into a Surrogate; what it is, is told by its type, without importing its library.

    =============================================  ==================================================================
    None                                           Identity
    torch.nn.Module, TorchScript, ExportedProgram  TorchSurrogate, on the module's own device and dtype
    scikit-learn estimator                         SklearnSurrogate; exact gradients of its neural networks
    function compiled by jax.jit                   JaxSurrogate (functions not compiled: JaxSurrogate(fn))
    onnx.ModelProto                                OnnxSurrogate
    path ending in .onnx, .pt2, .ts                OnnxSurrogate; exported program; TorchScript
    object with `predict` (and `vjp`)              taken as it is
    other callable X (k, n) -> (k, m), NumPy in    CallableSurrogate
    =============================================  ==================================================================

    Raises
    ------
    ProblemError        none of these, or a class instead of an object, or a torch module in training mode
    MissingExtraError   the library that is needed cannot be imported
    """
    if obj is None:
        return Identity()
    if isinstance(obj, type):
        raise ProblemError(f"`surrogate` must be an object, got the class `{obj.__name__}`. Give an instance.")
    if isinstance(obj, (str, os.PathLike)):
        return _from_file(os.fspath(obj))
    if not (callable(getattr(obj, "predict", None)) and has_vjp(obj)):
        home = _home_of(obj)
        if home is not None:
            return _made(home, obj)
    if callable(getattr(obj, "predict", None)):
        return obj  # type: ignore[no-any-return]  # duck typing: predict is all the contract asks for
    if callable(obj):
        return CallableSurrogate(obj)
    raise ProblemError(
        "`surrogate` must be a torch.nn.Module, an object with `predict`, or a callable X (k, n) -> Y (k, m), "
        f"got {shown(obj)}."
    )


_TORCH = ("dfoattack.torch_backend", "TorchSurrogate")
_PROGRAM = ("dfoattack.torch_backend", "load_program")
_SKLEARN = ("dfoattack.surrogates.sklearn_model", "SklearnSurrogate")
_JAX = ("dfoattack.surrogates.jax_function", "JaxSurrogate")
_ONNX = ("dfoattack.surrogates.onnx_file", "OnnxSurrogate")
_FILES = {".onnx": _ONNX, ".pt2": _PROGRAM, ".ts": _PROGRAM}
_BASES = {  # (top package, class name) among the ancestors of an object's class
    ("torch", "ExportedProgram"): _TORCH,
    ("sklearn", "BaseEstimator"): _SKLEARN,
    ("jaxlib", "PjitFunction"): _JAX,
    ("onnx", "ModelProto"): _ONNX,
}


def _home_of(obj: Any) -> tuple[str, str] | None:
    """Module and name of what makes a surrogate of an object of a known library."""
    if is_torch_module(obj):
        return _TORCH
    for base in type(obj).__mro__:
        home = _BASES.get(((base.__module__ or "").partition(".")[0], base.__name__))
        if home is not None:
            return home
    return None


def _from_file(path: str) -> Surrogate:
    suffix = os.path.splitext(path)[1].lower()
    if suffix not in _FILES:
        raise ProblemError(f"`surrogate` given as a path must end in {', '.join(_FILES)}, got {path!r}.")
    return _made(_FILES[suffix], path)


def _made(home: tuple[str, str], obj: Any) -> Surrogate:
    module, name = home
    surrogate: Surrogate = getattr(importlib.import_module(module), name)(obj)
    return surrogate
