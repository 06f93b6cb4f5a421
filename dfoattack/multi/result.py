"""What a run with several objectives returns."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dfoattack._typing import BoolArray, FloatArray, IntArray, StatusArray
from dfoattack._validation import float_array
from dfoattack.errors import OptionError
from dfoattack.kernels import hypervolume as kernels
from dfoattack.multi.archive import rows_of, values
from dfoattack.multi.problem import MultiProblem
from dfoattack.multi.state import MultiSetup, MultiState, constraint_part
from dfoattack.reasons import StopReason

REFERENCE_MARGIN = 0.1  # of the range of the front: how far beyond its worst values the default reference point lies


@dataclass(frozen=True)
class FrontRecords:
    """The log of a run: every evaluated point in order, in the user's variables and senses.

    Attributes
    ----------
    x : float64 (N, n)         full points
    fun : float64 (N, q)       objectives, NaN for failed points
    constraints : (N, p)       constraint values, NaN for failed points
    maxcv : float64 (N,)       max_j max(c_j - tol_j, 0); 0 means feasible; +inf for failed points
    status : int8 (N,)         `Status` codes
    step : tuple of str (N,)   the step that proposed the point; "single" for a single-objective leg
    iteration : int64 (N,)     iteration of the proposal, 0 for start points and legs
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


@dataclass(frozen=True)
class FrontCertificate:
    """What was shown of the points of a front: each by itself, nothing about points never evaluated.

    Attributes
    ----------
    frame_size : float64 (N,)     present frame size of every point, in units of the first
    polled : float64 (N,)         smallest frame size, same units, at which a complete poll round the point was evaluated and none of its
                                  points dominated it; +inf where none was completed
    converged : bool (N,)         the smallest frame has failed
    """

    frame_size: FloatArray
    polled: FloatArray
    converged: BoolArray

    @property
    def text(self) -> str:
        """The statements as sentences."""
        total, done = self.polled.shape[0], self.polled[np.isfinite(self.polled)]
        if not total:
            return "not certified: no feasible point"
        if not done.size:
            return f"no evaluated point dominates any of the {total}; no complete poll round one of them has failed yet"
        return (
            f"no evaluated point dominates any of the {total}; mesh-local: round {done.size} of them a complete poll was evaluated in vain, "
            f"at frame sizes {done.min():.1e} to {done.max():.1e}; {int(self.converged.sum())} converged"
        )

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class FrontResult:
    """Outcome of a run with several objectives, with SciPy's names where SciPy has one.

    Attributes
    ----------
    X : float64 (N, n)                feasible points that no evaluated feasible point dominates, sorted by the first objective; N may be 0
    F : float64 (N, q)                their objectives, user's senses
    success : bool                    a feasible point was found and the run did not end by an error
    status, message : int, str        code and text of `reason`
    reason : StopReason               why the run ended
    hypervolume : float               volume dominated by F within `reference`, in the units of the objectives multiplied; 0 for N = 0
    reference : float64 (q,)          the point it belongs to: as given, else the worst values of F and a tenth of their range beyond (NaN
                                      for N = 0). Volumes of two runs compare only with the same reference: see `hypervolume_at`
    nfev, nphi : int                  evaluated points, failed ones included; rows sent through Phi
    nit : int                         iterations on the front (after the single-objective legs)
    cost : float                      budget spent
    seconds : dict                    wall-clock seconds by stage, as in `Result`
    x_infeasible, fun_infeasible, maxcv_infeasible :     the least infeasible point, None (NaN, NaN) if every evaluated point was feasible
    certificate : FrontCertificate    what may be said about the points
    records : FrontRecords            the log
    rows : int64 (N,)                 rows of X in the log
    sense, objective_names, names :   of the problem
    store : str or None               path of the run file
    """

    X: FloatArray
    F: FloatArray
    success: bool
    message: str
    reason: StopReason
    hypervolume: float
    reference: FloatArray
    nfev: int
    nphi: int
    nit: int
    cost: float
    seconds: Mapping[str, float]
    x_infeasible: FloatArray | None
    fun_infeasible: FloatArray
    maxcv_infeasible: float
    certificate: FrontCertificate
    records: FrontRecords = field(repr=False)
    rows: IntArray = field(repr=False)
    sense: tuple[str, ...]
    objective_names: tuple[str, ...]
    names: tuple[str, ...] = field(repr=False)
    store: str | None = None

    @property
    def status(self) -> int:
        return self.reason.code

    def __len__(self) -> int:
        return int(self.F.shape[0])

    def hypervolume_at(self, reference: npt.ArrayLike) -> float:
        """Volume dominated by F within another reference point (q,), user's senses. Raises `OptionError` for another shape or NaN."""
        return hypervolume(self.F, reference, self.sense)

    def plot(self, path: str | os.PathLike[str]) -> None:
        """Write a picture of the front (2 or 3 objectives) to a PNG, PDF or SVG file; see `dfoattack.multi.plots`."""
        importlib.import_module("dfoattack.multi.plots").save_front(path, self)

    def __str__(self) -> str:
        rows = [("message", self.message), ("success", str(self.success)), ("front", f"{len(self)} points")]
        for j, name in enumerate(self.objective_names):
            if len(self):
                low, high = self.F[:, j].min(), self.F[:, j].max()
                rows.append((name, f"{low:.8g} to {high:.8g}  ({self.sense[j]})"))
        point = ", ".join(f"{v:.6g}" for v in self.reference)
        rows.append(("hypervolume", f"{self.hypervolume:.8g} within ({point})"))
        if self.x_infeasible is not None:
            rows.append(("infeasible", f"least violation {self.maxcv_infeasible:.3g}"))
        rows += [
            ("counted", f"nfev {self.nfev}, nphi {self.nphi}, cost {self.cost:g}, nit {self.nit}"),
            ("seconds", ", ".join(f"{k} {v:.3g}" for k, v in self.seconds.items() if v >= 5e-4) or "0"),
            ("certificate", self.certificate.text),
        ]
        return "\n".join(f"{name:>12s}: {text}" for name, text in rows)


def hypervolume(F: npt.ArrayLike, reference: npt.ArrayLike, sense: tuple[str, ...]) -> float:
    """Exact volume dominated by the rows of F within a reference point.

    Parameters
    ----------
    F : array_like (N, q)               objective values, q = 2, 3 or 4
    reference : array_like (q,)         rows that are not better than it in every objective add nothing
    sense : sequence of q str           "minimize" or "maximize"

    Raises
    ------
    OptionError                         `reference` has another shape or is not finite

    Examples
    --------
    >>> hypervolume([[0.0, 0.5], [0.5, 0.0]], [1.0, 1.0], ("minimize", "minimize"))
    0.75
    """
    signs = np.array([1.0 if s == "minimize" else -1.0 for s in sense])
    point = checked_reference(reference, len(sense))
    G = np.ascontiguousarray(signs * np.asarray(F, dtype=np.float64).reshape(-1, len(sense)))
    return float(kernels.hypervolume(G, signs * point))


def checked_reference(reference: npt.ArrayLike, q: int) -> FloatArray:
    """The reference point as an array; raises `OptionError` unless it holds q finite numbers."""
    point = float_array("reference", reference, OptionError)
    if point.shape != (q,) or not np.isfinite(point).all():
        raise OptionError(f"`reference` must be q = {q} finite numbers (one an objective), got {reference!r}.")
    return point


def build_result(
    problem: MultiProblem,
    setup: MultiSetup,
    state: MultiState,
    step_names: tuple[str, ...],
    *,
    reason: StopReason,
    reference: FloatArray | None,
    seconds: Mapping[str, float],
    store: str | None,
) -> FrontResult:
    """The result of `state`; everything in it follows from the state and can be recomputed from the log."""
    history, space, q, signs = state.history, problem.space, setup.q, setup.signs
    known = history.p is not None
    C = history.C if known else np.full((history.size, q - 1), np.nan)
    fun = np.column_stack([history.f, C[:, : q - 1]]) * signs + 0.0
    fun[history.status != 0] = np.nan
    records = FrontRecords(
        x=space.expand(history.X.copy()),
        fun=fun,
        constraints=constraint_part(C, q).copy(),
        maxcv=np.maximum(history.V, 0.0),
        status=history.status.copy(),
        step=tuple(step_names[i] for i in history.step),
        iteration=history.iteration.copy(),
    )
    elements = state.archive.feas
    if elements:
        order = np.lexsort(values(history, rows_of(elements), q).T[::-1])
        elements = tuple(elements[i] for i in order)
    rows = rows_of(elements)
    F = fun[rows]
    point = reference if reference is not None else _reference(F, signs)
    volume = float(kernels.hypervolume(np.ascontiguousarray(F * signs), signs * point)) if elements else 0.0
    inf = state.best_inf
    return FrontResult(
        X=records.x[rows],
        F=F,
        success=bool(elements) and reason not in (StopReason.ERROR, StopReason.START_FAILED),
        message=_message(setup, state, reason, len(elements)),
        reason=reason,
        hypervolume=volume,
        reference=point,
        nfev=state.counters.nfev,
        nphi=state.counters.nphi,
        nit=state.iteration,
        cost=state.counters.cost(setup.base.options.gradient_cost),
        seconds=dict(seconds),
        x_infeasible=records.x[inf].copy() if inf >= 0 else None,
        fun_infeasible=fun[inf].copy() if inf >= 0 else np.full(q, np.nan),
        maxcv_infeasible=float(records.maxcv[inf]) if inf >= 0 else math.nan,
        certificate=FrontCertificate(
            np.array([e.frame for e in elements]),
            np.array([e.polled for e in elements]),
            np.array([e.done for e in elements], dtype=bool),
        ),
        records=records,
        rows=rows,
        sense=problem.sense,
        objective_names=problem.objective_names,
        names=space.names,
        store=store,
    )


def _reference(F: FloatArray, signs: FloatArray) -> FloatArray:
    """A tenth of the front's range beyond its worst values."""
    if not F.shape[0]:
        return np.full(F.shape[1], np.nan)
    G = F * signs
    span = np.ptp(G, axis=0)
    margin = np.where(span > 0.0, REFERENCE_MARGIN * span, np.maximum(1.0, np.abs(G[0])))
    point: FloatArray = signs * (G.max(axis=0) + margin)
    return point


def _message(setup: MultiSetup, state: MultiState, reason: StopReason, size: int) -> str:
    cost = state.counters.cost(setup.base.options.gradient_cost)
    if reason == StopReason.BUDGET:
        head = f"Budget of {setup.base.budget:g} evaluations used (cost {cost:g})"
    elif reason == StopReason.FRAME:
        head = f"Converged: all frames at their smallest size, covering quota of {setup.base.quota} done"
    else:
        head = reason.text
    if size:
        return f"{head}; {size} nondominated points."
    if state.best_inf >= 0:
        return f"{head}; NO FEASIBLE POINT found, least violation {state.history.V[state.best_inf]:.3g} at evaluation {state.best_inf + 1}."
    return f"{head}; no point could be evaluated ({state.history.size} failed)."
