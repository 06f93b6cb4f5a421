"""What a run gives back."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from dfoattack._typing import FloatArray, IntArray, StatusArray
from dfoattack.certificate import Certificate, certify
from dfoattack.constraint_status import ConstraintRow, constraint_rows, groups_of, linear_rows
from dfoattack.problem import Problem
from dfoattack.reasons import StopReason
from dfoattack.source_names import described
from dfoattack.state import Setup, SolverState

if TYPE_CHECKING:
    from dfoattack.trust.reporting import TrustReport

__all__ = ["Records", "Result", "StopReason", "build_result"]


_SCIPY_NAMES = (
    *("x", "fun", "success", "status", "message", "nfev", "njev", "nit", "maxcv"),
    *("ngev", "nphi", "feasible", "certificate"),
)


@dataclass(frozen=True)
class Records:
    """The log of a run: every evaluated point in order, in the user's variables and sense.

    Attributes
    ----------
    x : float64 (N, n)         full points
    fun : float64 (N,)         objective, NaN for failed points
    constraints : (N, p)       constraint values, NaN for failed points
    maxcv : float64 (N,)       max_j max(c_j - tol_j, 0), of equalities |c_j| - tol_j; 0 means feasible; +inf for failed points
    status : int8 (N,)         `Status` codes
    step : tuple of str (N,)   the step that proposed the point
    iteration : int64 (N,)     iteration of the proposal
    """

    x: FloatArray
    fun: FloatArray
    constraints: FloatArray
    maxcv: FloatArray
    status: StatusArray
    step: tuple[str, ...]
    iteration: IntArray

    def __len__(self) -> int:
        return int(self.fun.shape[0])

    def best_so_far(self, sense: str) -> FloatArray:
        """Best feasible objective after each evaluation, NaN before the first feasible point, (N,)."""
        values = np.where(self.maxcv <= 0.0, self.fun, np.nan)
        best: FloatArray = np.fmax.accumulate(values) if sense == "maximize" else np.fmin.accumulate(values)
        return best


@dataclass(frozen=True)
class Result:
    """Outcome of a run, with SciPy's names where SciPy has one.

    Attributes
    ----------
    x : float64 (n,)                  the best feasible point; the least infeasible one if no feasible point was found (`feasible` tells)
    fun : float                       objective there, user's sense; NaN if nothing could be evaluated
    maxcv : float                     largest constraint violation there beyond its tolerance; 0 means feasible
    success : bool                    a feasible point was found and the run did not end by an error
    feasible : bool                   whether x is feasible
    status, message : int, str        code and text of `reason`, with quantity, limit and place
    reason : StopReason               why the run ended
    nfev : int                        evaluated points, failed ones included
    nphi : int                        rows sent through Phi forwards
    ngev, njev : int                  vector-Jacobian products, in points (two names for one number)
    nit : int                         iterations
    cost : float                      budget spent: evaluations + passes + gradient_cost * ngev
    seconds : dict                    wall-clock seconds by stage: every step, "evaluate", "solver", "total"; "forward", "outer" and
                                      "vjp" say what of it was spent in user code
    constraints : tuple of ConstraintRow   of every constraint the worst column at x: name, kind, value, tolerance, and whether it is
                                      satisfied, active or violated
    x_infeasible, fun_infeasible, maxcv_infeasible :   the least infeasible point, None if every evaluated point was feasible
    certificate : Certificate         what may be said about x
    gradient_source : str             where attacks got gradients: "vjp" or "jac" (exact), "forward", "central", "subspace", "spsa", "nes",
                                      "poll" (estimates) or "none"
    softened : tuple of str           what attacks aimed at a stand-in of (`f_soft`, `Constraint.soft`): "objective", names of constraints
    records : Records                 the log
    best_index : int                  row of x in the log, -1 if there is none
    local_runs : int                  local runs begun, restarts included
    frame_size : float                last largest frame size, in units of the first
    store : str or None               path of the run file
    levels : dict                     labels of the categorical variables at x, by name; x itself holds their codes
    fun_std : float                   with the option `noise`: standard error of `fun`, which is then the mean of the evaluations of x,
                                      like `maxcv` of the means of the constraints plus one standard error; NaN without
    replicates : int                  evaluations of x that were averaged
    noise_std : float                 with the option `noise`: standard deviation of one evaluation at x, estimated or given; NaN without
    trust : TrustReport or None       how far `fun` can be believed (option `trust`); None where there is no model to be doubted
    """

    x: FloatArray
    fun: float
    maxcv: float
    success: bool
    feasible: bool
    message: str
    reason: StopReason
    nfev: int
    nphi: int
    ngev: int
    nit: int
    cost: float
    seconds: Mapping[str, float]
    x_infeasible: FloatArray | None
    fun_infeasible: float
    maxcv_infeasible: float
    certificate: Certificate
    gradient_source: str
    softened: tuple[str, ...]
    records: Records = field(repr=False)
    best_index: int
    local_runs: int
    frame_size: float
    names: tuple[str, ...] = field(repr=False)
    sense: str
    store: str | None = None
    levels: Mapping[str, Any] = field(default_factory=dict)
    constraints: tuple[ConstraintRow, ...] = ()
    fun_std: float = math.nan
    replicates: int = 1
    noise_std: float = math.nan
    trust: TrustReport | None = field(default=None, repr=False)

    @property
    def status(self) -> int:
        return self.reason.code

    @property
    def njev(self) -> int:
        return self.ngev

    def __str__(self) -> str:
        state = "feasible" if self.feasible else f"INFEASIBLE, violation {self.maxcv:.3g}"
        rows: list[tuple[str, str]] = [
            ("message", self.message),
            ("success", str(self.success)),
            ("fun", f"{self.fun:.10g}{self._spread}  ({state})"),
            ("x", _values(self.x, self.names, self.levels)),
        ]
        if self.feasible and self.x_infeasible is not None:
            rows.append(
                (
                    "infeasible",
                    f"fun {self.fun_infeasible:.6g} at violation {self.maxcv_infeasible:.3g} (least infeasible)",
                )
            )
        rows += _constraint_lines(self.constraints)
        rows += [
            ("counted", f"nfev {self.nfev}, nphi {self.nphi}, ngev {self.ngev}, cost {self.cost:g}, nit {self.nit}"),
            ("gradients", described(self.gradient_source, self.softened)),
            ("local runs", str(self.local_runs)),
            ("seconds", ", ".join(f"{k} {v:.3g}" for k, v in self.seconds.items() if v >= 5e-4) or "0"),
        ]
        if self.trust is not None:
            rows += [("trust" if i == 0 else "", line) for i, line in enumerate(self.trust.brief.splitlines())]
        rows += [("certificate" if i == 0 else "", line) for i, line in enumerate(self.certificate.text.splitlines())]
        return "\n".join(f"{name:>12s}{':' if name else ' '} {text}" for name, text in rows)

    @property
    def _spread(self) -> str:
        known = f", {self.replicates} evaluation{'s' if self.replicates > 1 else ''}"
        return "" if math.isnan(self.fun_std) else f" +- {self.fun_std:.2g}{known}"

    def to_scipy(self) -> Any:
        """The same as a `scipy.optimize.OptimizeResult`."""
        from scipy.optimize import OptimizeResult

        result: Any = OptimizeResult()
        for name in _SCIPY_NAMES:
            result[name] = getattr(self, name)
        return result


def _constraint_lines(found: tuple[ConstraintRow, ...], most: int = 8) -> list[tuple[str, str]]:
    """Name, value, rule and state of the constraints; where they are many, of those that matter most."""
    order = {"violated": 0, "active": 1, "satisfied": 2}
    shown = sorted(found, key=lambda row: order[row.state])[:most]
    lines = [f"{row.label}: {row.value:.4g}  ({row.rule}, {row.group.kind}, {row.state})" for row in shown]
    if len(found) > most:
        lines.append(f"... ({len(found)} constraints, {sum(row.state == 'violated' for row in found)} violated)")
    equal = [row for row in found if row.group.equality and row.group.kind != "linear"]
    if equal:
        lines.append("equalities count as met within their tolerances")
    return [("constraints" if i == 0 else "", line) for i, line in enumerate(lines)]


def _values(x: FloatArray, names: tuple[str, ...], levels: Mapping[str, Any], most: int = 12) -> str:
    shown = [
        f"{name}={levels[name] if name in levels else format(value, '.6g')}"
        for name, value in zip(names[:most], x[:most], strict=False)
    ]
    return ", ".join(shown) + (f", ... ({x.shape[0]} values)" if x.shape[0] > most else "")


def build_result(
    problem: Problem,
    setup: Setup,
    state: SolverState,
    step_names: tuple[str, ...],
    *,
    reason: StopReason,
    seed: int,
    seconds: Mapping[str, float],
    store: str | None = None,
) -> Result:
    """The result of `state`; everything in it follows from the state and can be recomputed from the log."""
    noise, space = state.noise, problem.space
    history = state.history if noise is None else noise.raw
    sign = problem.sign
    f = np.where(np.isfinite(history.f), sign * history.f + 0.0, np.nan)  # never -0.0
    C = history.C if history.p is not None else np.empty((history.size, 0))
    records = Records(
        x=space.expand(history.X.copy()),
        fun=f,
        constraints=C.copy(),
        maxcv=np.maximum(history.V, 0.0),
        status=history.status.copy(),
        step=tuple(step_names[i] for i in history.step),
        iteration=history.iteration.copy(),
    )
    lead = state.best_feas if state.best_feas >= 0 else state.best_inf
    best, inf = _logged(state, lead), _logged(state, state.best_inf)
    feasible = state.best_feas >= 0
    cost = state.counters.cost(setup.options.gradient_cost)
    x = records.x[best].copy() if best >= 0 else space.expand(np.full(space.n_free, np.nan))
    frame = state.mesh.size if state.mesh is not None else math.nan
    reached = {StopReason.ERROR, StopReason.START_FAILED}
    return Result(
        x=x,
        fun=_value(problem, state, lead),
        maxcv=_violation(state, lead, math.inf),
        success=feasible and reason not in reached,
        feasible=feasible,
        message=_message(problem, state, reason, cost, setup, lead, best, frame),
        reason=reason,
        nfev=state.counters.nfev,
        nphi=state.counters.nphi,
        ngev=state.counters.ngev,
        nit=state.iteration,
        cost=cost,
        seconds=dict(seconds),
        x_infeasible=records.x[inf].copy() if inf >= 0 else None,
        fun_infeasible=_value(problem, state, state.best_inf),
        maxcv_infeasible=_violation(state, state.best_inf, math.nan),
        certificate=certify(setup, state, seed, step_names.index("covering")),
        gradient_source="none" if state.attack.noisy else setup.gradient_source,
        softened=setup.softened,
        records=records,
        best_index=best,
        local_runs=len(state.runs) + (1 if state.mesh is not None and reason != StopReason.FRAME else 0),
        frame_size=frame,
        names=space.names,
        sense=problem.sense,
        store=store,
        levels={space.names[i]: space.levels(x)[i] for i in space.categories} if best >= 0 else {},
        constraints=_constraint_rows(problem, C, best, x),
        fun_std=math.nan if noise is None or lead < 0 else noise.error(state.history, lead),
        replicates=1 if noise is None else noise.count(lead),
        noise_std=math.nan if noise is None or lead < 0 else float(noise.sigma(state.history.f[lead : lead + 1])[0]),
    )


def _constraint_rows(problem: Problem, C: FloatArray, best: int, x: FloatArray) -> tuple[ConstraintRow, ...]:
    if best < 0:
        return ()
    return (*constraint_rows(groups_of(problem), C, best), *linear_rows(problem.linear, x))


def _logged(state: SolverState, row: int) -> int:
    """Row of the log at which the point of history row `row` was evaluated first, -1 for -1."""
    return row if state.noise is None or row < 0 else state.noise.raw.find(state.history.X[row])


def _value(problem: Problem, state: SolverState, row: int) -> float:
    """Objective of a history row in the user's sense, NaN where there is none."""
    f = float(state.history.f[row]) if row >= 0 else math.nan
    return problem.sign * f + 0.0 if math.isfinite(f) else math.nan


def _violation(state: SolverState, row: int, nothing: float) -> float:
    return max(float(state.history.V[row]), 0.0) if row >= 0 else nothing


def _message(
    problem: Problem,
    state: SolverState,
    reason: StopReason,
    cost: float,
    setup: Setup,
    lead: int,
    best: int,
    frame: float,
) -> str:
    if reason == StopReason.BUDGET:
        head = f"Budget of {setup.budget:g} evaluations used (cost {cost:g})"
    elif reason == StopReason.TARGET:
        head = f"Target {problem.sign * setup.f_target:g} reached"
    elif reason == StopReason.FRAME:
        head = f"Converged: frame size {frame:.1e} (limit {setup.options.frame_size_min:.1e}), covering quota of {setup.quota} done"
    else:
        head = reason.text
    if best < 0:
        return f"{head}; no point could be evaluated ({state.counters.nfev} failed)."
    if state.best_feas >= 0:
        return f"{head}; best feasible f = {_value(problem, state, lead):.8g} at evaluation {best + 1}; frame size {frame:.1e}."
    violation = state.history.V[lead]
    return f"{head}; NO FEASIBLE POINT found, least violation {violation:.3g} at evaluation {best + 1}."
