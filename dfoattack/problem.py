"""Problem: what is optimised, where, and subject to what; nothing about how."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dfoattack._fingerprint import is_torch_module, mentions_torch
from dfoattack._typing import BoolArray, FloatArray
from dfoattack._validation import check_choice, check_finite_scalar, float_array, shown, suggestion
from dfoattack.constraint import Constraint, as_constraints
from dfoattack.errors import EvaluationFailed, ProblemError
from dfoattack.linear import Linear, as_linear
from dfoattack.native import Functions
from dfoattack.outer import OuterFunction, TensorPlace, columns_of, objective_gradient
from dfoattack.polyhedron import Polyhedron
from dfoattack.space import Box, as_box
from dfoattack.surrogate import Identity, as_surrogate, fingerprint_of, has_vjp

__all__ = ["Constraint", "Known", "Linear", "Problem"]

_KNOWN_KINDS = ("exact", "convex", "grid", "truth", "best_known", "none")
_ALWAYS_FAILURES: tuple[type[Exception], ...] = (EvaluationFailed, ArithmeticError, np.linalg.LinAlgError)


@dataclass(frozen=True, eq=False)
class Known:
    """What is known about the optimum, for tests and benchmarks; never read by the solver.

    value : float                       objective, user sense (NaN only with kind "none")
    x : float64 (n,) or None            where, if known
    kind : {"exact", "convex", "grid", "truth", "best_known", "none"}
    tol : float >= 0                    to which `value` holds, units of the objective
    how : str                           one sentence: how it was obtained
    fingerprint : str                   of the weights it belongs to
    """

    value: float
    x: FloatArray | None = None
    kind: str = "best_known"
    tol: float = 0.0
    how: str = ""
    fingerprint: str = ""

    def __post_init__(self) -> None:
        check_choice("kind", self.kind, _KNOWN_KINDS)
        if self.kind == "none":
            object.__setattr__(self, "value", float(self.value))
        else:
            object.__setattr__(self, "value", check_finite_scalar("value", self.value))
        object.__setattr__(self, "tol", check_finite_scalar("tol", self.tol, low=0.0))
        if self.x is not None:
            x = float_array("x", self.x)
            x.flags.writeable = False
            object.__setattr__(self, "x", x)


class Problem:
    """Maximise or minimise f(x, Phi(x)) subject to c(x, Phi(x)) <= 0 in a box.

    Parameters
    ----------
    objective : callable (y) or (x, y)
        batched: Y (k, m), X (k, n) -> (k,); NumPy or torch. Row i must depend on row i alone
    space : Box, pair (lower, upper), or list of n pairs
    surrogate : torch.nn.Module, object with `predict`, or callable X (k, n) -> Y (k, m), optional
        Phi; None: y = x
    constraints : Constraint, callable, or sequence of these
    linear : Linear, or sequence of these
        known linear constraints on x; never violated by an evaluated point (a start outside is replaced by the nearest
        point inside), never paid for
    x0 : array_like (n,) or (s, n), optional
        one or s starts, all user variables; an excess of a few ulp over a bound is clipped
    sense : {"maximize", "minimize"}
    objective_grad : callable, optional (Y) -> (k, m), or (X, Y) -> ((k, n), (k, m)); None as a part means zero
    f_soft : callable (y) or (x, y), optional
        a smooth stand-in for an objective that is piecewise constant (an accuracy, a count, an argmax): attacks aim at it,
        in the same sense; every point is judged by `objective` alone. `objective_grad` is then the gradient of `f_soft`
    failures : exception type or sequence of these
        raised by user code to say "this point has no value"; EvaluationFailed, ArithmeticError and
        numpy.linalg.LinAlgError always count
    name : str
    known : Known, optional
    verify : callable, optional
        x (n,) -> f, or (f, violation): the true simulator behind the surrogate; violation is the largest true constraint value,
        <= 0 where x is truly feasible
    support : array_like (N, n), or object with `distance`, optional
        the inputs on which the surrogate was trained, all variables; results then tell how far from them x is, and `trust.DataSupport`
        makes a constraint of them. Never read by the solver. An object is a measure of its own: `trust.Moments`, or anything with its
        methods
    picture : callable, optional
    backend : {"auto", "numpy", "torch"}
        what objective and constraints are written in; "auto" finds out at the first call. With neither a torch
        surrogate nor the word torch in its code an objective is taken for NumPy until that fails

    Attributes
    ----------
    n : int;  sign : -1.0 for "maximize", +1.0 for "minimize" (inside, sign*f is minimised)
    x0 : float64 (s, n) or None;  constraints : tuple of Constraint;  failures : tuple of exception types
    m : int or None
        number of outputs of Phi, known after the first forward pass
    p : int or None
        number of constraint columns, known after the first outer call (0 at once without constraints)
    columns : tuple of (name, kind, tol), one a constraint column; empty until p is known
    softened : tuple of str
        what attacks aim at a stand-in of: "objective", names of constraints
    equality : bool (p,)
        the columns that are two-sided, |c| <= tol; empty until p is known

    Raises
    ------
    ProblemError
        before any user function is called

    Examples
    --------
    >>> box = Box([0, 0], [1, 1])
    >>> p = Problem(objective=lambda y: y[:, 0] + y[:, 1], space=box, constraints=lambda y: y[:, 0] - 0.5)
    >>> X = np.array([[0.25, 1.0], [1.0, 1.0]])
    >>> f, C = p.outer(X, p.forward(X))
    >>> f.tolist(), C.tolist(), p.columns
    ([1.25, 2.0], [[-0.25], [0.5]], (('c0', 'progressive', 0.0),))
    """

    inner_cost: tuple[int, int] = (0, 0)
    """Forward passes and vector-Jacobian products that every row sent through `forward` takes beyond its own pass."""

    def __init__(
        self,
        *,
        objective: Callable[..., Any],
        space: Any,
        surrogate: Any = None,
        constraints: Constraint | Callable[..., Any] | Sequence[Constraint | Callable[..., Any]] = (),
        linear: Linear | Sequence[Linear] = (),
        x0: npt.ArrayLike | None = None,
        sense: str = "maximize",
        objective_grad: Callable[..., Any] | None = None,
        failures: type[Exception] | Sequence[type[Exception]] = (),
        name: str = "",
        known: Known | None = None,
        verify: Callable[..., Any] | None = None,
        support: Any = None,
        picture: Callable[..., Any] | None = None,
        backend: str = "auto",
        f_soft: Callable[..., Any] | None = None,
    ) -> None:
        self._arguments = {name: value for name, value in locals().items() if name not in ("self", "__class__")}
        self.space: Box = as_box(space)
        self.n: int = self.space.n
        self.name = str(name)
        self.sense: str = check_choice("sense", sense, ("maximize", "minimize"))
        self.sign: float = -1.0 if self.sense == "maximize" else 1.0
        self.backend: str = check_choice("backend", backend, ("auto", "numpy", "torch"))
        self.surrogate = as_surrogate(surrogate)
        self.failures: tuple[type[Exception], ...] = _failures(failures, self.surrogate)
        self.constraints: tuple[Constraint, ...] = as_constraints(constraints)
        self.linear: tuple[Linear, ...] = as_linear(linear, self.n)
        self.polyhedron: Polyhedron | None = Polyhedron.of(self.linear, self.space)
        self.x0: FloatArray | None = None if x0 is None else self._starts(x0)
        if known is not None and not isinstance(known, Known):
            raise ProblemError(f"`known` must be a Known or None, got {shown(known)}.")
        callables = {"verify": verify, "picture": picture, "objective_grad": objective_grad, "f_soft": f_soft}
        for argument, value in callables.items():
            if value is not None and not callable(value):
                raise ProblemError(f"`{argument}` must be callable or None, got {shown(value)}.")
        if known is not None and known.x is not None and known.x.shape != (self.n,):
            raise ProblemError(f"`known.x` must have shape (n,) with n = {self.n}, got {known.x.shape}.")
        self.known = known
        self.verify = verify
        self.support = self._training_inputs(support)
        self.picture = picture
        self.objective = objective
        self._identity = isinstance(self.surrogate, Identity)
        self.m: int | None = self.n if self._identity else None

        self._objective, self._goal = self._pair(
            objective, "`objective`", f_soft, "`f_soft`", objective_gradient(f_soft or objective, objective_grad)
        )
        pairs = [
            self._pair(c.fn, f"Constraint `{c.name}`", c.soft, f"`soft` of constraint `{c.name}`", c.grad, c.backend)
            for c in self.constraints
        ]
        self._constraint_functions = tuple(fn for fn, _ in pairs)
        self._constraint_goals = tuple(goal for _, goal in pairs)
        self.softened: tuple[str, ...] = (
            *(["objective"] if f_soft is not None else []),
            *(c.name for c in self.constraints if c.soft is not None),
        )
        self._widths: tuple[int, ...] | None = None
        self.columns: tuple[tuple[str, str, float], ...] = ()
        self.equality: BoolArray = np.zeros(0, dtype=bool)
        if not self.constraints:
            self.learn_widths(())
        self.gradient_source: str = self._gradient_source()

    # ---------------------------------------------------------------- values

    @property
    def p(self) -> int | None:
        """Number of constraint columns; None until the constraints have been called once (or their widths restored)."""
        return None if self._widths is None else len(self.columns)

    @property
    def widths(self) -> tuple[int, ...] | None:
        """Columns of each constraint; what a run file keeps so that a resumed run knows p without calling user code."""
        return self._widths

    def learn_widths(self, widths: Sequence[int]) -> None:
        """Record how many columns each constraint has, and name them; a later disagreement is a ProblemError."""
        new = tuple(int(q) for q in widths)
        if new == self._widths:
            return
        if self._widths is not None or len(new) != len(self.constraints):
            before = "one a constraint" if self._widths is None else f"{self._widths} as before"
            names = [c.name for c in self.constraints]
            raise ProblemError(f"The constraints {names} must have a fixed number of columns ({before}), got {new}.")
        self.columns = tuple(
            (c.name if q == 1 else f"{c.name}[{j}]", c.kind, c.tol)
            for c, q in zip(self.constraints, new, strict=True)
            for j in range(q)
        )
        self.equality = np.repeat(np.array([c.equality for c in self.constraints], dtype=bool), new)
        self.equality.flags.writeable = False
        self._widths = new

    def excess(self, C: FloatArray) -> FloatArray:
        """Return c - tol, of equalities |c| - tol, for constraint values C (k, p): a point is feasible iff none is positive."""
        tol = np.array([column[2] for column in self.columns])
        excess: FloatArray = np.where(self.equality, np.abs(C), C) - tol
        return excess

    def forward(self, X: FloatArray, traced: bool = False) -> FloatArray:
        """Return Y = Phi(X): full points (k, n) -> a new float64 array (k, m).

        traced: gradients at these points are likely to follow; a surrogate with `trace` and `forget` may keep what they need.

        Raises
        ------
        ProblemError
            the surrogate returned another shape than (k, m) or (k,); anything else is what the user's code raised
        """
        X = np.array(X, dtype=np.float64)  # a copy: user code may scribble on it
        if X.ndim != 2 or X.shape[1] != self.n:
            raise ProblemError(f"`X` must have shape (k, n) with n = {self.n}, got {X.shape}.")
        if self._identity:
            return X
        k = X.shape[0]
        if k == 0:
            return np.empty((0, self.m or 0))
        predict: Any = getattr(self.surrogate, "trace", self.surrogate.predict) if traced else self.surrogate.predict
        Y = np.array(columns_of(predict(X), k, "`surrogate`"), order="C")
        if Y.shape[1] != self.m:
            if self.m is not None:
                raise ProblemError(
                    f"`surrogate` returned {Y.shape[1]} outputs a point; expected m = {self.m} as before."
                )
            self.m = Y.shape[1]
        return Y

    def forget(self) -> None:
        """Tell the surrogate that no gradient of its last traced points follows any more."""
        forget = getattr(self.surrogate, "forget", None)
        if callable(forget):
            forget()

    def outer(self, X: FloatArray, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return (f (k,), C (k, p)) in the user's sense from points X (k, n) and outputs Y (k, m).

        Raises
        ------
        ProblemError
            wrong shapes from objective or constraints; anything else is what the user's code raised
        """
        if X.shape[0] == 0:
            return np.empty(0), np.empty((0, self.p or 0))
        f, C = self._values(X, Y, 1)
        return f[:, 0].copy(), C  # copies, in case the user's function hands out its own buffer

    def attacked(self, X: FloatArray, Y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return (f (k,), C (k, p)) as attacks see them: `outer` with the stand-ins `f_soft` and `soft` where they were declared.

        Raises
        ------
        ProblemError
            a stand-in has other columns than what it stands for; else as `outer`
        """
        if not self.softened:
            return self.outer(X, Y)
        k = X.shape[0]
        table = [columns_of(goal(X, Y), k, goal.label) for goal in (self._goal, *self._constraint_goals)]
        for part, goal, q in zip(
            table, (self._goal, *self._constraint_goals), (1, *(self._widths or ())), strict=False
        ):
            if part.shape[1] != q:
                raise ProblemError(
                    f"{goal.label} must have as many columns as what it stands for, {q}, got {part.shape[1]}."
                )
        f, *C = table
        return f[:, 0].copy(), np.concatenate(C, axis=1) if C else np.empty((k, 0))

    def _values(self, X: FloatArray, Y: FloatArray, q: int) -> tuple[FloatArray, FloatArray]:
        """Objectives (k, q) and constraint columns (k, p), k >= 1, as the user's functions return them; q is insisted on."""
        k = X.shape[0]
        f = columns_of(self._objective(X, Y), k, "`objective`")
        if f.shape[1] != q:
            wanted, shape = ("one objective", "(k,)") if q == 1 else (f"q = {q} objectives", "(k, q)")
            raise ProblemError(
                f"`objective` returned shape {f.shape} for a block of {k} points; "
                f"{wanted} expected, shape {shape}, got {f.shape[1]}."
            )
        parts = [columns_of(c(X, Y), k, c.label) for c in self._constraint_functions]
        widths = tuple([part.shape[1] for part in parts])
        if widths != self._widths:
            self.learn_widths(widths)
        return f, np.concatenate(parts, axis=1) if parts else np.empty((k, 0))

    # ---------------------------------------------------------------- gradients

    @property
    def has_gradient(self) -> bool:
        """True iff attacks can have gradients.

        Known at construction and never changes, so that a resumed run takes the same decisions.
        """
        return self.gradient_source != "none"

    def vjp(self, X: FloatArray, Y: FloatArray, wf: FloatArray, W: FloatArray | None = None) -> FloatArray:
        """Return the gradients (k, n) of wf*f + sum_j W_j c_j (user sense) at X (k, n) with known outputs Y (k, m).

        One vector-Jacobian product of Phi a point, none where the outer functions do not depend on y there.
        wf (k,), W (k, p) or None.

        Raises
        ------
        ProblemError
            there is no gradient source
        """
        self._require_gradient()
        D, V = self._outer_gradient(X, Y, wf, W)
        return self._through_phi(X, V, D)[0]

    def products(self, wf: FloatArray, W: FloatArray | None) -> int:
        """Vector-Jacobian products that `vjp` takes for rows with these weights, none of them all zero."""
        return int(wf.shape[0])

    def constraint_jacobian(self, x: FloatArray, y: FloatArray, rows: npt.ArrayLike) -> tuple[FloatArray, int]:
        """Return (J (q, n), n_vjp): gradients of the constraint columns `rows` (q,) at one full point x (n,), y (m,).

        n_vjp <= min(q, m) vector-Jacobian products of Phi were used: one a row, or, if m < q, the m rows of Phi's
        Jacobian; none without a surrogate, and none for constraints that do not depend on y.
        """
        self._require_gradient()
        index = np.atleast_1d(np.asarray(rows, dtype=np.int64))
        q, p = index.shape[0], self.p or 0
        if q == 0:
            return np.empty((0, self.n)), 0
        W = np.zeros((q, p))
        W[np.arange(q), index] = 1.0
        X, Y = np.tile(x, (q, 1)), np.tile(y, (q, 1))
        D, V = self._outer_gradient(X, Y, np.zeros(q), W)
        m = Y.shape[1]
        if m < q and not self._identity and np.count_nonzero(np.any(V != 0.0, axis=1)) > m:
            jacobian, count = self._through_phi(X[:m], np.eye(m), np.zeros((m, self.n)))
            return V @ jacobian + D, count
        return self._through_phi(X, V, D)

    @property
    def may_walk(self) -> bool:
        """Whether the surrogate can make all steps of an attack by itself, should the outer functions be written in torch.

        Known at construction and never changes, so that a resumed run takes the same decisions.
        """
        outer = (self._goal, *self._constraint_goals)
        return callable(getattr(self.surrogate, "walk", None)) and all(function.may_trace for function in outer)

    def walking_functions(self, x: FloatArray, y: FloatArray) -> Functions | None:
        """What `surrogate.walk` needs besides its request; None where an outer function carries no graph (tried at x (n,), y (m,))."""
        outer = []
        for function in (self._goal, *self._constraint_goals):
            dtype = function.traced(x[None, :], y[None, :])
            if dtype is None:
                return None
            outer.append((function.fn, function.takes_x, dtype))
        free = np.flatnonzero(~self.space.fixed_mask)
        return Functions(self.sign, tuple(outer), x.copy(), free)

    def _outer_gradient(
        self, X: FloatArray, Y: FloatArray, wf: FloatArray, W: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        """Return (D (k, n), V (k, m)): gradients of the weighted outer functions by x, directly, and by y."""
        D, V = np.zeros((X.shape[0], self.n)), np.zeros((Y.shape[0], Y.shape[1]))
        work = [(self._goal, np.asarray(wf, dtype=np.float64).reshape(-1, 1))]
        if W is not None and self._constraint_functions:
            if self._widths is None:
                raise ProblemError(
                    "The constraints must have been evaluated once before their gradients are asked for."
                )
            ends = np.cumsum((0, *self._widths))
            work += [(c, W[:, a:b]) for c, a, b in zip(self._constraint_goals, ends[:-1], ends[1:], strict=True)]
        differences = not self._identity
        for function, weights in work:
            rows = np.flatnonzero(np.any(weights != 0.0, axis=1))
            if rows.size:
                gX, gY = function.gradient(
                    X[rows], Y[rows], weights[rows], self.space.lower, self.space.upper, differences
                )
                if gX is not None:
                    D[rows] += gX
                if gY is not None:
                    V[rows] += gY
        return D, V

    def _through_phi(self, X: FloatArray, V: FloatArray, D: FloatArray) -> tuple[FloatArray, int]:
        """Return (J(x_i)^T v_i + d_i, number of products used); rows with v_i = 0 need none."""
        if self._identity:
            return V + D, 0
        rows = np.flatnonzero(np.any(V != 0.0, axis=1))
        if rows.size:
            back: Any = self.surrogate.vjp(X[rows], V[rows])  # type: ignore[attr-defined]  # has_gradient has seen it
            part = np.asarray(back, dtype=np.float64)
            if part.shape != (rows.size, self.n):
                raise ProblemError(
                    f"`surrogate.vjp` returned shape {part.shape} for a block of {rows.size} points; "
                    f"expected {(rows.size, self.n)}."
                )
            D[rows] += part
        return D, int(rows.size)

    def _require_gradient(self) -> None:
        if not self.has_gradient:
            raise ProblemError(
                f"Gradients were asked for, but surrogate {self.surrogate!r} has no `vjp`. "
                "Give the surrogate one, or, without a surrogate, `objective_grad`."
            )

    def _gradient_source(self) -> str:
        if not self._identity:
            return "vjp" if has_vjp(self.surrogate) else "none"
        declared = self._goal.grad is not None or self.backend == "torch"
        return "jac" if declared or (self.backend == "auto" and mentions_torch(self._goal.fn)) else "none"

    # ---------------------------------------------------------------- construction, identity

    def replace(self, **changes: Any) -> Problem:
        """Return a new problem from the arguments of this one, some of them changed.

        What is declared about the old one is dropped where it would be untrue: `known` unless it is given again.

        Raises
        ------
        ProblemError        as the constructor, and for a name that it does not know
        """
        for name in changes:
            if name not in self._arguments:
                raise ProblemError(f"Problem has no argument `{name}`.{suggestion(name, self._arguments)}")
        return Problem(**{**self._arguments, "known": None, **changes})

    def fingerprint(self) -> dict[str, str]:
        """Return texts that are equal iff the problem is the same: what a run file compares before it resumes."""
        space = {key: value for key, value in self.space.describe().items() if key not in ("names", "units")}
        constraints = [
            [c.name, c.kind, repr(c.tol), fingerprint_of(c.fn), *(["equality"] if c.equality else [])]
            for c in self.constraints
        ]
        linear = [[c.name, fingerprint_of((c.A, c.lower, c.upper))] for c in self.linear]
        return {
            **({"linear": json.dumps(linear)} if linear else {}),
            "name": self.name,
            "sense": self.sense,
            "space": json.dumps(space),
            "surrogate": fingerprint_of(self.surrogate),
            "objective": fingerprint_of(self.objective),
            "constraints": json.dumps(constraints),
            **({"soft": json.dumps(self._soft_fingerprints())} if self.softened else {}),
        }

    def _soft_fingerprints(self) -> list[str]:
        return [fingerprint_of(goal.fn) for goal in (self._goal, *self._constraint_goals)]

    def __repr__(self) -> str:
        title = f"{self.name!r}, " if self.name else ""
        names = [c.name for c in self.constraints]
        return f"Problem({title}n={self.n}, sense={self.sense!r}, surrogate={self.surrogate!r}, constraints={names})"

    def _outer(
        self, fn: Callable[..., Any], label: str, grad: Callable[..., Any] | None, own: str | None = None
    ) -> OuterFunction:
        if is_torch_module(fn):
            importlib.import_module("dfoattack.torch_backend").refuse_training(fn, label)
        backend = own or self.backend
        place: TensorPlace | None = getattr(self.surrogate, "tensor_place", None)
        torch_first = backend == "torch" or (backend == "auto" and (place is not None or mentions_torch(fn)))
        return OuterFunction(fn, label, grad, self.failures, backend, place, torch_first)

    def _training_inputs(self, support: Any) -> Any:
        """Checked training inputs (N, n), read-only; a measure of its own is kept as it is."""
        if support is None or callable(getattr(support, "distance", None)):
            return support
        inputs = float_array("support", support)
        if inputs.ndim != 2 or inputs.shape[1] != self.n or inputs.shape[0] < 1:
            raise ProblemError(
                f"`support` must be training inputs of shape (N, n), N >= 1 and n = {self.n} (from `space`), got {inputs.shape}."
            )
        if not np.isfinite(inputs).all():
            row = int(np.flatnonzero(~np.isfinite(inputs).all(axis=1))[0])
            raise ProblemError(f"`support` must be finite, got {inputs[row]} in row {row}.")
        inputs.flags.writeable = False
        return inputs

    def _pair(
        self,
        fn: Callable[..., Any],
        label: str,
        soft: Callable[..., Any] | None,
        soft_label: str,
        grad: Callable[..., Any] | None,
        own: str | None = None,
    ) -> tuple[OuterFunction, OuterFunction]:
        """What is evaluated and what is attacked: the same function unless it has a stand-in, which then has the gradient."""
        if soft is None:
            function = self._outer(fn, label, grad, own)
            return function, function
        return self._outer(fn, label, None, own), self._outer(soft, soft_label, grad, own)

    def _starts(self, x0: npt.ArrayLike) -> FloatArray:
        array = float_array("x0", x0)
        if array.ndim == 0 and self.n == 1:
            array = array.reshape(1)
        starts = np.atleast_2d(array)
        if array.ndim not in (1, 2) or starts.shape[1] != self.n or starts.shape[0] == 0:
            raise ProblemError(
                f"`x0` must have shape (n,) or (s, n) with n = {self.n} (from `space`), got {array.shape}."
            )
        admitted = self.space.admit("x0", starts)
        admitted.flags.writeable = False
        return admitted


def _failures(given: Any, surrogate: Any) -> tuple[type[Exception], ...]:
    if not isinstance(given, (type, list, tuple)):
        raise ProblemError(f"`failures` must be an exception type or a sequence of these, got {shown(given)}.")
    entries = (given,) if isinstance(given, type) else tuple(given)
    for entry in entries:
        if not (isinstance(entry, type) and issubclass(entry, Exception)):
            raise ProblemError(f"`failures` must hold subclasses of Exception, got {shown(entry)}.")
    return (*_ALWAYS_FAILURES, *tuple(getattr(surrogate, "failures", ())), *entries)
