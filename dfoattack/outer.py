"""Outer functions: the objective and the constraints as the user wrote them, in NumPy or in torch, with or without x.

Three things are settled here so that nothing above has to ask: how many arguments the function takes (once, at
construction), whether it is written for arrays or for tensors (once, at the first call), and where its gradient comes
from (the user, autograd, or central differences of known outputs, which need no pass through Phi).
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from dfoattack._fingerprint import is_torch_module
from dfoattack._typing import FloatArray
from dfoattack._validation import shown
from dfoattack.errors import EvaluationFailed, ProblemError

__all__ = [
    "Flavour",
    "ObjectiveGradient",
    "OuterFunction",
    "TensorPlace",
    "columns_of",
    "objective_gradient",
    "takes_x",
]

_DIFFERENCE_DOUBLES = 2**21  # 16 MiB of perturbed rows at a time
_CUBE_ROOT_EPS = float(np.finfo(np.float64).eps) ** (1.0 / 3.0)


class Flavour(NamedTuple):
    """How a function wants its arguments: kind "numpy" or "torch"; for torch the dtype name and whether its output
    carries a graph."""

    kind: str
    dtype: str = "float64"
    autograd: bool = False


class TensorPlace(NamedTuple):
    """Where the surrogate lives, for tensors handed to torch-written functions; `native` is its dtype ("float32"),
    tried if float64 does not fit."""

    device: Any
    native: str


_FLOAT64 = np.dtype(np.float64)  # one object for all native float64 arrays, so `is` is a cheap first test
_NUMPY = Flavour("numpy")


def takes_x(fn: Any, label: str) -> bool:
    """Return True for fn(x, y), False for fn(y); decided by the number of required positional parameters.

    Raises ProblemError for more than two, and for required keyword-only parameters. What cannot be inspected counts as
    fn(y).
    """
    if not callable(fn):
        raise ProblemError(f"{label} must be callable, got {shown(fn)}.")
    try:
        signature = inspect.signature(fn.forward if is_torch_module(fn) else fn)
    except (TypeError, ValueError):  # some builtins and ufuncs have no signature
        return False
    required = [p for p in signature.parameters.values() if p.default is p.empty]
    positional = [p for p in required if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    keyword = [p.name for p in required if p.kind is p.KEYWORD_ONLY]
    accepts_one = any(
        p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL) for p in signature.parameters.values()
    )
    if keyword or len(positional) > 2 or not accepts_one:
        raise ProblemError(f"{label} must be callable as (y) or (x, y), got the signature {signature}.")
    return len(positional) == 2


class OuterFunction:
    """One user function of (y) or (x, y), batched, with its flavour and its gradient.

    Parameters
    ----------
    fn : callable
    label : str
        how messages name it: "`objective`" or "Constraint `name`"
    grad : callable or None
        (X, Y, W (k, q)) -> (gX (k, n) or None, gY (k, m) or None); None as a part means zero
    failures : tuple of exception types
        which mean "this point failed"; never taken for a sign of the wrong flavour if another can be blamed
    backend : {"auto", "numpy", "torch"}
    place : TensorPlace or None
        None: no torch surrogate
    torch_first : bool
        whether to try tensors before arrays
    """

    def __init__(
        self,
        fn: Callable[..., Any],
        label: str,
        grad: Callable[..., Any] | None,
        failures: tuple[type[Exception], ...],
        backend: str,
        place: TensorPlace | None,
        torch_first: bool,
    ) -> None:
        self.fn = fn
        self.label = label
        self.grad = grad
        self.takes_x = takes_x(fn, label)
        self.place = place
        self._failures = failures
        self._backend = backend
        self._torch_first = torch_first
        self.flavour: Flavour | None = _NUMPY if backend == "numpy" else None

    def __call__(self, X: FloatArray, Y: FloatArray) -> Any:
        """Return what the function returns for the block, as an array not yet checked. The function gets copies and may
        scribble on them."""
        flavour = self.flavour
        if flavour is None:
            return self._resolve(X, Y)
        return self._call(flavour, X, Y)

    def gradient(
        self, X: FloatArray, Y: FloatArray, W: FloatArray, lower: FloatArray, upper: FloatArray, differences: bool
    ) -> tuple[FloatArray | None, FloatArray | None]:
        """Return (gX (k, n), gY (k, m)), the gradient of sum_q W[:, q] c_q at known outputs; None stands for zeros.

        lower, upper (n,) keep difference steps inside the box. With `differences` False a function without its own
        gradient and without autograd gives (None, None): it is invisible to attacks rather than evaluated behind the
        budget's back.
        """
        if self.grad is not None:
            return self._user_gradient(self.grad(X.copy(), Y.copy(), W.copy()), X, Y)
        if self.flavour is None and (differences or self._torch_first or self._backend == "torch"):
            self._resolve(X, Y)
        if self.flavour is not None and self.flavour.autograd:
            back: tuple[FloatArray | None, FloatArray] = _torch_outer().gradient(
                self.fn, X if self.takes_x else None, Y, W, *self._tensor_options(self.flavour)
            )
            return back
        return self._difference_gradient(X, Y, W, lower, upper) if differences else (None, None)

    @property
    def may_trace(self) -> bool:
        """Whether autograd is asked for gradients, should the function be written in torch; known at construction."""
        return self.grad is None and (self._torch_first or self._backend == "torch")

    def traced(self, X: FloatArray, Y: FloatArray) -> str | None:
        """The dtype in which the function carries a graph, None where it does not; finds out at X (k, n), Y (k, m) if need be."""
        if self.flavour is None:
            self._resolve(X, Y)
        flavour = self.flavour
        return flavour.dtype if flavour is not None and flavour.autograd else None

    # ---------------------------------------------------------------- flavours

    def _candidates(self) -> list[Flavour]:
        torch_flavours = [Flavour("torch", "float64", True)]
        if self.place is not None and self.place.native != "float64":
            torch_flavours.append(Flavour("torch", self.place.native, True))
        # last resort for tensor code that leaves the graph (detach, numpy) on its way: values yes, autograd no
        last = Flavour("torch", "float64", False)
        if self._backend == "torch":
            return [*torch_flavours, last]
        if self._torch_first:
            return [*torch_flavours, _NUMPY, last]
        return [_NUMPY, *torch_flavours, last] if "torch" in sys.modules else [_NUMPY]

    def _resolve(self, X: FloatArray, Y: FloatArray) -> Any:
        """Try the flavours in turn, keep the first that works, and return its answer."""
        raised: dict[str, Exception] = {}
        candidates = self._candidates()
        for flavour in candidates:
            try:
                result = self._call(flavour, X, Y)
            except EvaluationFailed:
                raise  # the user's own word that the point failed says nothing about the flavour
            except Exception as error:
                if flavour is candidates[0] is _NUMPY and not self._may_want_tensors(error):
                    raise
                raised.setdefault(flavour.kind, error)
                continue
            if result is not None:
                self.flavour = flavour
                return result
        raise self._blame(raised)

    def _may_want_tensors(self, error: Exception) -> bool:
        """Tensor code given an array lacks a method or refuses the type; after other errors it is not called again."""
        return isinstance(error, (TypeError, AttributeError)) and not isinstance(error, self._failures)

    def _blame(self, raised: dict[str, Exception]) -> Exception:
        """Choose which of several errors to show: a declared failure if there is one, else NumPy's, chained to
        torch's."""
        for error in raised.values():
            if isinstance(error, self._failures):
                return error
        if "numpy" in raised:
            raised["numpy"].__cause__ = raised["numpy"].__cause__ or raised.get("torch")
            return raised["numpy"]
        return raised.get("torch") or ProblemError(
            f"{self.label} must return a tensor or an array of numbers, got something else."
        )

    def _call(self, flavour: Flavour, X: FloatArray, Y: FloatArray) -> Any:
        if flavour.kind == "numpy":
            result = self.fn(X.copy(), Y.copy()) if self.takes_x else self.fn(Y.copy())
            if result is None:
                raise ProblemError(
                    f"{self.label} returned None; expected one number a row, shape (k,). Is a `return` missing?"
                )
            return result
        # None: no tensor with a graph came back, so autograd is not the flavour
        return _torch_outer().call(
            self.fn,
            X if self.takes_x else None,
            Y,
            *self._tensor_options(flavour),
            flavour.autograd and self.flavour is None,
        )

    def _tensor_options(self, flavour: Flavour) -> tuple[Any, str]:
        return (self.place.device if self.place is not None else "cpu", flavour.dtype)

    # ---------------------------------------------------------------- gradients

    def _user_gradient(self, parts: Any, X: FloatArray, Y: FloatArray) -> tuple[FloatArray | None, FloatArray | None]:
        """Check what the user's gradient returned."""
        if not isinstance(parts, (tuple, list)) or len(parts) != 2:
            raise ProblemError(
                f"The gradient of {self.label} must return the pair (gX (k, n), gY (k, m)), got {shown(parts)}."
            )
        checked: list[FloatArray | None] = []
        for name, part, like in (("gX", parts[0], X), ("gY", parts[1], Y)):
            array = None if part is None else np.asarray(_detached(part), dtype=np.float64)
            if array is not None and array.shape != like.shape:
                raise ProblemError(
                    f"The gradient of {self.label} returned {name} of shape {array.shape} "
                    f"for a block of {len(like)} points; expected {like.shape}."
                )
            checked.append(array)
        return checked[0], checked[1]

    def _difference_gradient(
        self, X: FloatArray, Y: FloatArray, W: FloatArray, lower: FloatArray, upper: FloatArray
    ) -> tuple[FloatArray | None, FloatArray | None]:
        """Central differences over the columns of Y and, for fn(x, y), of X; error O(h^2). Many rows a call, no pass
        through Phi."""
        gY = self._differences(X, Y, W, None)
        gX = self._differences(X, Y, W, (lower, upper)) if self.takes_x else None
        return gX, gY

    def _differences(
        self, X: FloatArray, Y: FloatArray, W: FloatArray, box: tuple[FloatArray, FloatArray] | None
    ) -> FloatArray:
        """Differences over X inside `box`, or over Y where box is None."""
        moved = Y if box is None else X
        size = np.abs(moved)
        floor = 1e-3 * np.max(size, axis=1, keepdims=True, initial=0.0)
        step = _CUBE_ROOT_EPS * np.maximum(size, np.where(floor > 0, floor, 1.0))
        plus, minus = moved + step, moved - step
        if box is not None:
            # one-sided at a bound: the function may not exist outside
            plus, minus = np.minimum(plus, box[1]), np.maximum(minus, box[0])
        gap = plus - minus
        gradient = np.zeros_like(moved)
        pairs = np.argwhere(gap > 0)
        chunk = max(1, _DIFFERENCE_DOUBLES // (2 * (X.shape[1] + Y.shape[1])))
        for start in range(0, len(pairs), chunk):
            rows, columns = pairs[start : start + chunk].T
            count = len(rows)
            both = np.concatenate((rows, rows))
            X2, Y2 = X[both], Y[both]
            target = Y2 if box is None else X2
            index = np.arange(count)
            target[index, columns] = plus[rows, columns]
            target[count + index, columns] = minus[rows, columns]
            values = columns_of(self(X2, Y2), 2 * count, self.label)
            if values.shape[1] != W.shape[1]:
                raise ProblemError(f"{self.label} returned {values.shape[1]} columns; expected {W.shape[1]} as before.")
            weights = W[rows]
            with np.errstate(invalid="ignore", over="ignore"):
                change = np.where(weights == 0.0, 0.0, weights * (values[:count] - values[count:])).sum(axis=1)
                gradient[rows, columns] = change / gap[rows, columns]
        return gradient


@dataclass(frozen=True)
class ObjectiveGradient:
    """The user's `objective_grad` in the form of `Constraint.grad`."""

    fn: Callable[..., Any]
    takes_x: bool

    def __call__(self, X: FloatArray, Y: FloatArray, W: FloatArray) -> tuple[FloatArray | None, FloatArray | None]:
        if not self.takes_x:
            return None, self._weighted(self.fn(Y), W, Y.shape)
        parts = self.fn(X, Y)
        if not isinstance(parts, (tuple, list)) or len(parts) != 2:
            raise ProblemError(f"`objective_grad` must return the pair (gX (k, n), gY (k, m)), got {shown(parts)}.")
        gX, gY = (
            None if part is None else self._weighted(part, W, like.shape)
            for part, like in zip(parts, (X, Y), strict=True)
        )
        return gX, gY

    def _weighted(self, part: Any, W: FloatArray, shape: tuple[int, ...]) -> FloatArray:
        gradient = np.asarray(_detached(part), dtype=np.float64)
        if gradient.shape != shape:
            raise ProblemError(
                f"`objective_grad` returned shape {gradient.shape} for a block of {shape[0]} points; expected {shape}."
            )
        return W * gradient


def objective_gradient(objective: Callable[..., Any], grad: Callable[..., Any] | None) -> ObjectiveGradient | None:
    """Check the user's `objective_grad` against the objective's signature and wrap it; None stays None."""
    with_x = takes_x(objective, "`objective`")
    if grad is None:
        return None
    grad_with_x = takes_x(grad, "`objective_grad`")
    if with_x and not grad_with_x:
        raise ProblemError(
            "`objective_grad` must take (x, y), because `objective` does; got a function of (y), "
            "by which the direct part in x would be lost."
        )
    return ObjectiveGradient(grad, grad_with_x)


def columns_of(result: Any, k: int, label: str) -> FloatArray:
    """Return what a user function gave for k points as float64 (k, q); (k,) is (k, 1). Anything else raises
    ProblemError."""
    if type(result) is np.ndarray and result.dtype is _FLOAT64:
        array = result
    else:
        array = _numbers(_detached(result), label)
    shape = array.shape
    if len(shape) == 1 and shape[0] == k:
        return array.reshape(k, 1)
    if len(shape) == 2 and shape[0] == k:
        return array
    points = "1 point" if k == 1 else f"{k} points"
    raise ProblemError(f"{label} returned shape {array.shape} for a block of {points}; expected (k,) with k = {k}.")


def _numbers(result: Any, label: str) -> FloatArray:
    """Return `result` as float64; complex numbers, texts, ragged lists and the like raise ProblemError."""
    try:
        array = np.asarray(result)
        if array.dtype.kind == "c":
            raise TypeError("complex numbers")
        return array.astype(np.float64)
    except (TypeError, ValueError) as cause:
        raise ProblemError(f"{label} must return real numbers, got {shown(result)} ({cause}).") from None


def _detached(result: Any) -> Any:
    """Return a tensor as an array, anything else unchanged."""
    if (type(result).__module__ or "").partition(".")[0] == "torch":
        return _torch_outer().to_numpy(result)
    return result


def _torch_outer() -> Any:
    return importlib.import_module("dfoattack.torch_backend.outer_torch")
