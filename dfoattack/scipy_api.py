"""`minimize` and `scipy_method`: the engine behind SciPy's signature."""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import OptimizeResult

from dfoattack._validation import check_finite_scalar, check_seed, float_array, shown, suggestion
from dfoattack.api import Path, solve
from dfoattack.errors import OptionError, ProblemError
from dfoattack.options import Options
from dfoattack.pointwise import PointObjective
from dfoattack.problem import Problem
from dfoattack.progress import Event
from dfoattack.result import Result
from dfoattack.scipy_constraints import as_box, as_constraints

__all__ = ["EQ_TOL", "as_problem", "minimize", "scipy_method"]

EQ_TOL = 1e-6
POINTS_A_VARIABLE = 200

# Names that SciPy's solvers use for what is an argument here.
_ALIASES = {"maxfev": "budget", "maxfun": "budget", "disp": "progress", "tol": "frame_size_min"}
_ARGUMENTS = ("budget", "seed", "f_target", "max_time", "eq_tol", "integrality", "failures", "store", "progress")
_NO_COUNTERPART = {
    "maxiter": "an iteration has no fixed price here; limit evaluations with `maxfev`, or stop from the callback",
    "ftol": "convergence is decided by the frame size; see `tol`",
    "gtol": "convergence is decided by the frame size; see `tol`",
    "xtol": "distances are relative to the first frame size; see `tol`",
}


def minimize(
    fun: Callable[..., Any],
    x0: npt.ArrayLike,
    args: Any = (),
    jac: Callable[..., Any] | bool | None = None,
    bounds: Any = None,
    constraints: Any = (),
    integrality: Any = None,
    callback: Callable[..., object] | None = None,
    budget: float | None = None,
    seed: int | np.random.Generator | None = None,
    options: Options | Mapping[str, Any] | None = None,
    *,
    f_target: float | None = None,
    eq_tol: float | None = None,
    max_time: float | None = None,
    failures: type[Exception] | Sequence[type[Exception]] = (),
    store: Path | None = None,
    progress: bool | Callable[[Event], object] | None = None,
) -> Result:
    """Minimise a function of n variables, with or without derivatives, subject to bounds and constraints.

    Parameters
    ----------
    fun : callable x (n,), *args -> float
        the objective, called point by point; NaN, an infinity, or a declared exception (see `failures`) make a point a
        failed one, and the run goes on
    x0 : array_like (n,) or (s, n)
        one start or s starts, inside the bounds (an excess of a few ulp is clipped)
    args : tuple
        further arguments of `fun` and `jac`
    jac : callable x (n,), *args -> (n,), or True, or None
        exact gradient, for the attack steps; each one is charged `gradient_cost` (default 2) evaluations. True: `fun`
        returns (f, gradient). Names of difference schemes are refused: their evaluations would not be counted
    bounds : scipy.optimize.Bounds or sequence of n pairs (low, high), or dfoattack.Box, optional
        None or an infinity: no bound; never violated, equal ones fix the variable. A Box may hold variables of kinds that
        SciPy has no words for: granular, periodic, categorical, groups
    constraints : LinearConstraint, NonlinearConstraint, dict {'type', 'fun', 'jac', 'args'}, or a sequence of these
        two-sided where both sides are finite; inequalities are met exactly. A LinearConstraint is known geometry: `fun`
        is never called outside, and a start outside is replaced by the nearest point inside. Other **equalities**
        (lb == ub, or type 'eq') are a band |g(x) - b| <= eq_tol; they are named "c0 (equality within 1e-06)". A
        callable `jac` gives attacks its gradient; attacks do not see a constraint without.
        `keep_feasible=True` puts a constraint behind the extreme barrier. `hess` and difference options are not used
    integrality : array_like (n,) or number, optional
        1 or True: the variable is an integer; its start must be one
    callback : callable (xk) or (*, intermediate_result), optional
        called with the best point after the start and after every iteration; which of the two is decided by the
        parameter's name, as in SciPy. Returning True or raising StopIteration ends the run
    budget : int, optional
        evaluations of `fun` (failed ones count, repeated points are free); default 200 (n + 1)
    seed : int, numpy.random.Generator or None
        None stands for 0: the same call gives the same answer. A Generator is asked for one integer
    options : dfoattack.Options or mapping, optional
        see `Options.help()`. SciPy's `maxfev` (or `maxfun`: the budget), `disp` (progress), `tol` (frame_size_min: the
        smallest frame size relative to the first) are understood, and so are the arguments from `f_target` on
    f_target : float, optional
        stop at a feasible value <= f_target
    eq_tol : float, default 1e-6
        half width of the band of every equality that is not linear, in the units of its constraint, >= 0
    max_time : float, optional
        seconds
    failures : exception type or sequence of these
        raised by `fun` or a constraint to say "no value here"; EvaluationFailed, ArithmeticError and
        numpy.linalg.LinAlgError always count
    store, progress :
        run file and progress line, as in `dfoattack.solve`. To resume: `dfoattack.resume(store, as_problem(...))`

    Returns
    -------
    Result
        SciPy's names; x is the best feasible point, or the least infeasible one if there is none: see `feasible`

    Raises
    ------
    ProblemError, OptionError       bad input (both are ValueErrors), before `fun` is called
    EvaluationError                 `fun` or a constraint raised something undeclared, which is its `__cause__`; carries
                                    the point `x` and the partial `result`

    Examples
    --------
    >>> from scipy.optimize import LinearConstraint, rosen, rosen_der
    >>> line = LinearConstraint([1, 1], ub=1)
    >>> r = minimize(rosen, [-1.0, 1.0], jac=rosen_der, bounds=[(-2, 2)] * 2, constraints=line)
    >>> r.success, r.x.round(2).tolist()
    (True, [0.62, 0.38])
    """
    given = {
        "budget": budget,
        "seed": seed,
        "f_target": f_target,
        "max_time": max_time,
        "eq_tol": eq_tol,
        "integrality": integrality,
        "failures": None if isinstance(failures, tuple) and not failures else failures,
        "store": store,
        "progress": progress,
    }
    run, rest = _sorted_options(given, options)
    tolerance = EQ_TOL if run["eq_tol"] is None else run["eq_tol"]
    problem = as_problem(
        fun,
        x0,
        args,
        jac,
        bounds,
        constraints,
        run["integrality"],
        eq_tol=tolerance,
        failures=() if run["failures"] is None else run["failures"],
    )
    result = solve(
        problem,
        budget=POINTS_A_VARIABLE * (problem.n + 1) if run["budget"] is None else run["budget"],
        seed=_seed(run["seed"]),
        options=Options.make(rest),
        f_target=run["f_target"],
        max_time=run["max_time"],
        callback=None if callback is None else _Callback(callback),
        store=run["store"],
        progress=run["progress"],
    )
    if any(constraint.equality for constraint in problem.constraints):
        result = dataclasses.replace(result, message=f"{result.message} Equalities count as met within {tolerance:g}.")
    return result


def scipy_method(
    fun: Callable[..., Any],
    x0: npt.ArrayLike,
    args: Any = (),
    jac: Callable[..., Any] | bool | None = None,
    hess: Any = None,
    hessp: Any = None,
    bounds: Any = None,
    constraints: Any = (),
    callback: Callable[..., object] | None = None,
    **options: Any,
) -> OptimizeResult:
    """The same as a method of SciPy: `scipy.optimize.minimize(fun, x0, method=dfoattack.scipy_method, ...)`.

    Parameters
    ----------
    fun, x0, args, jac, bounds, constraints, callback :
        as in `minimize`
    hess, hessp :
        not used; a RuntimeWarning says so
    **options :
        SciPy's `options=` (and `tol=`) arrive here: every option of `minimize`, and its arguments `integrality`,
        `budget`, `seed`, `f_target`, `eq_tol`, `max_time`, `failures`, `store`, `progress`. Unknown names are errors

    Returns
    -------
    scipy.optimize.OptimizeResult

    Examples
    --------
    >>> from scipy import optimize
    >>> r = optimize.minimize(optimize.rosen, [0.5, 0.5], method=scipy_method, options={"maxfev": 500, "seed": 1})
    >>> bool(r.success), bool(r.nfev <= 500)
    (True, True)
    """
    unused = " and ".join(f"`{name}`" for name, value in (("hess", hess), ("hessp", hessp)) if value is not None)
    if unused:
        warnings.warn(f"dfoattack does not use second derivatives: {unused} is ignored.", RuntimeWarning, stacklevel=3)
    result = minimize(fun, x0, args, jac, bounds, constraints, callback=callback, options=options)
    converted: OptimizeResult = result.to_scipy()
    return converted


def as_problem(
    fun: Callable[..., Any],
    x0: npt.ArrayLike,
    args: Any = (),
    jac: Callable[..., Any] | bool | None = None,
    bounds: Any = None,
    constraints: Any = (),
    integrality: Any = None,
    *,
    eq_tol: float = EQ_TOL,
    failures: type[Exception] | Sequence[type[Exception]] = (),
) -> Problem:
    """Return what `minimize` solves, for `dfoattack.resume` and `dfoattack.Solver`; arguments as in `minimize`."""
    if not callable(fun):
        raise ProblemError(f"`fun` must be callable, got {shown(fun)}.")
    if not (jac is None or isinstance(jac, (bool, np.bool_)) or callable(jac)):
        raise ProblemError(
            f"`jac` must be callable, True or None, got {shown(jac)}. Differences would spend evaluations behind the "
            "budget's back; leave it out."
        )
    arguments = args if isinstance(args, tuple) else (args,)
    starts = float_array("x0", x0)
    starts = starts.reshape(1) if starts.ndim == 0 else starts
    if starts.ndim > 2 or starts.size == 0:
        raise ProblemError(f"`x0` must have shape (n,) or (s, n), n and s >= 1, got {starts.shape}.")
    n = starts.shape[-1]
    tolerance = check_finite_scalar("eq_tol", eq_tol, low=0.0, error=OptionError)
    box = as_box(bounds, n, integrality)
    evaluated, linear = as_constraints(constraints, box, tolerance)
    objective = PointObjective(fun, arguments, jac if callable(jac) else None, not callable(jac) and bool(jac))
    return Problem(
        objective=objective,
        objective_grad=objective.gradient if jac is not None and jac is not False else None,
        space=box,
        constraints=evaluated,
        linear=linear,
        x0=starts,
        sense="minimize",
        failures=failures,
        name=str(getattr(fun, "__name__", type(fun).__name__)),
        backend="numpy",
    )


def _sorted_options(
    given: Mapping[str, Any], options: Options | Mapping[str, Any] | None
) -> tuple[dict[str, Any], Options | dict[str, Any]]:
    """Arguments of the run, those given by name and those found in `options`; and what is left for `Options`."""
    run = dict(given)
    if options is None:
        return run, {}
    if isinstance(options, Options):
        return run, options
    if not isinstance(options, Mapping):
        raise OptionError(f"`options` must be a mapping or `dfoattack.Options`, got {type(options).__name__}.")
    known = [f.name for f in dataclasses.fields(Options)]
    rest: dict[str, Any] = {}
    for key, value in options.items():
        name = _ALIASES.get(key, key)
        if name in _ARGUMENTS:
            if run[name] is not None:
                raise OptionError(
                    f"`{name}` must be given once, got {shown(run[name])} and, as option `{key}`, {shown(value)}."
                )
            run[name] = value
        elif name in known:
            if name in rest:
                raise OptionError(
                    f"`{name}` must be given once, got {shown(rest[name])} and, as option `{key}`, {shown(value)}."
                )
            rest[name] = value
        elif key in _NO_COUNTERPART:
            raise OptionError(f"SciPy's option `{key}` has no counterpart: {_NO_COUNTERPART[key]}.")
        else:
            near = suggestion(str(key), [*known, *_ALIASES, *_ARGUMENTS])
            raise OptionError(f"Unknown option `{key}`.{near} All options: `dfoattack.Options.help()`.")
    return run, rest


def _seed(seed: Any) -> int:
    if seed is None:
        return 0
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(2**32))
    return check_seed(seed)


class _Callback:
    """SciPy's callback, called once an iteration; True asks the loop to stop."""

    def __init__(self, callback: Callable[..., object]) -> None:
        if not callable(callback):
            raise OptionError(f"`callback` must be callable or None, got {shown(callback)}.")
        self._callback = callback
        self._last = -1
        try:
            names = set(inspect.signature(callback).parameters)
        except (TypeError, ValueError):  # some builtins have no signature
            names = set()
        self._wants_result = names == {"intermediate_result"}

    def __call__(self, event: Event) -> bool:
        if event.x is None or event.iteration == self._last:
            return False
        self._last = event.iteration
        if self._wants_result:
            intermediate = OptimizeResult()
            intermediate.update(x=event.x.copy(), nit=event.iteration)
            intermediate.update({name: getattr(event, name) for name in ("fun", "maxcv", "nfev", "ngev")})
            answer = self._callback(intermediate_result=intermediate)
        else:
            answer = self._callback(event.x.copy())
        return isinstance(answer, (bool, np.bool_)) and bool(answer)
