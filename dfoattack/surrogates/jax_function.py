"""A function written in JAX as a surrogate, with vector-Jacobian products by `jax.vjp`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from dfoattack._fingerprint import fingerprint_of
from dfoattack._typing import FloatArray
from dfoattack._validation import shown
from dfoattack.errors import MissingExtraError, ProblemError
from dfoattack.surrogates._batches import padded, padded_size

__all__ = ["JaxSurrogate"]


class JaxSurrogate:
    """fn: X (k, n) -> (k, m) or (k,), made of JAX operations, compiled here.

    Parameters
    ----------
    fn : callable
        jitted or not; row i of its result must depend on row i alone
    dtype : {"float64", "float32"}, optional
        working precision; default: JAX's own at construction (float32 unless `jax_enable_x64` is on). "float64" needs
        that switch on whenever the surrogate is used

    Notes
    -----
    XLA compiles a program for every block size; blocks are therefore filled up to the next power of two.

    Raises
    ------
    MissingExtraError       JAX cannot be imported
    ProblemError            float64 without `jax_enable_x64`, or a result of the wrong shape
    """

    def __init__(self, fn: Callable[..., Any], dtype: str | None = None) -> None:
        if not callable(fn) or isinstance(fn, type):
            raise ProblemError(f"`fn` must be a function of JAX arrays, got {shown(fn)}.")
        self._jax = _imported()
        wide = bool(self._jax.config.jax_enable_x64)
        self.dtype = dtype or ("float64" if wide else "float32")
        if self.dtype not in ("float64", "float32"):
            raise ProblemError(f'`dtype` must be "float64", "float32" or None, got {dtype!r}.')
        if self.dtype == "float64" and not wide:
            raise ProblemError('`dtype` = "float64" needs `jax.config.update("jax_enable_x64", True)` before it.')
        self.fn = fn
        self._compile()

    def predict(self, X: FloatArray) -> FloatArray:
        """Return fn(X), float64 (k, m)."""
        X = np.asarray(X)
        k = X.shape[0]
        return self._array(self._forward(self._tensor(X, k)), k)

    def vjp(self, X: FloatArray, V: FloatArray) -> FloatArray:
        """Return rows J(x_i)^T v_i, (k, n)."""
        X, V = np.asarray(X), np.asarray(V)
        k = X.shape[0]
        return self._array(self._backward(self._tensor(X, k), self._tensor(V, k)), k)

    def fingerprint(self) -> str:
        """Return the fingerprint of the function, its precision and the kind of device."""
        inner = getattr(self.fn, "__wrapped__", self.fn)
        return f"jax-{fingerprint_of(inner)}-{self.dtype}-{self._jax.default_backend()}"

    def __repr__(self) -> str:
        return f"JaxSurrogate({getattr(self.fn, '__name__', shown(self.fn))}, dtype={self.dtype})"

    def __getstate__(self) -> dict[str, Any]:
        return {"fn": self.fn, "dtype": self.dtype}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._jax = _imported()
        self._compile()

    def _compile(self) -> None:
        jax = self._jax

        def forward(X: Any) -> Any:
            Y = self.fn(X)
            shape = np.shape(Y)
            if shape == X.shape[:1]:
                return Y.reshape(-1, 1)
            if len(shape) != 2 or shape[0] != X.shape[0]:
                raise ProblemError(
                    f"`surrogate` returned shape {shape} for a block of {X.shape[0]} points; expected (k, m)."
                )
            return Y

        def backward(X: Any, V: Any) -> Any:
            Y, pull = jax.vjp(forward, X)
            return pull(V.astype(Y.dtype))[0]

        self._forward, self._backward = jax.jit(forward), jax.jit(backward)

    def _tensor(self, array: FloatArray, k: int) -> Any:
        return self._jax.numpy.asarray(padded(array, padded_size(k)), dtype=self.dtype)

    @staticmethod
    def _array(result: Any, k: int) -> FloatArray:
        return np.array(result, dtype=np.float64)[:k]


def _imported() -> Any:
    try:
        return importlib.import_module("jax")
    except ModuleNotFoundError as cause:
        raise MissingExtraError("JaxSurrogate needs JAX. Install `dfoattack[jax]`.") from cause
