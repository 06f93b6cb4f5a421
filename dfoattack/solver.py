"""The solver by hand: ask for trial points, evaluate them anywhere, tell the answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dfoattack import codec
from dfoattack._typing import FloatArray
from dfoattack._validation import check_seed
from dfoattack.cache import point_key
from dfoattack.errors import AskTellError, StoreError
from dfoattack.evaluator import Evaluator, Journal
from dfoattack.options import Options
from dfoattack.problem import Problem
from dfoattack.progress import Event
from dfoattack.reasons import StopReason
from dfoattack.result import Result, build_result
from dfoattack.schedule import Schedule
from dfoattack.source_names import POLL
from dfoattack.state import SolverState
from dfoattack.transitions import ask, improves, initial_state, make_setup, tell
from dfoattack.trials import Evaluations, Status, Trials
from dfoattack.trust.reporting import report as trust_report
from dfoattack.workers import Workers


class Solver:
    """Ask/tell interface; `dfoattack.solve` is a loop over it.

    Parameters
    ----------
    problem : Problem
    options : Options or mapping, optional
    budget : float, optional       evaluations in all, gradients charged at `gradient_cost`; None: until convergence
    seed : int, optional           seed of the one random generator, >= 0
    f_target : float, optional     stop once a feasible objective value at least this good is known
    journal : Journal, optional    memory of what user code answered, see `storage.RunFile`
    may_ask : bool                 `ask` may call the functions of a black box for gradients that nobody asked for, as `solve` lets it; False:
                                   it calls user code only for exact gradients, and for what the option `gradient_source` or `f_soft` demand
    workers : int or callable      processes for `evaluate`, or a function like `map`, see `dfoattack.solve`

    Raises
    ------
    OptionError                    an option, the budget or the target is out of range

    Notes
    -----
    The order is `ask`, evaluate, `tell`, and so on; an empty list of trials means that the run has ended (`stop` says why). Points may
    be evaluated anywhere: hand their values to `tell`. `evaluate` does it with the problem's own functions. Gradients that an attack
    needs are taken inside `ask`, counted and charged.

    Examples
    --------
    >>> import dfoattack as da
    >>> problem = da.Problem(objective=lambda y: (y**2).sum(1), space=da.Box([-2, -2], [2, 2]), x0=[1.0, 1.5], sense="minimize")
    >>> solver = da.Solver(problem, budget=150)
    >>> while (trials := solver.ask()):
    ...     _ = solver.tell((trials.X**2).sum(1))
    >>> bool(solver.result().fun < 1e-6)
    True
    """

    def __init__(
        self,
        problem: Problem,
        options: Options | Mapping[str, Any] | None = None,
        *,
        budget: float | None = None,
        seed: int = 0,
        f_target: float | None = None,
        journal: Journal | None = None,
        workers: Workers = None,
        may_ask: bool = False,
    ) -> None:
        self.problem = problem
        self.options = Options.make(options)
        self.seed = check_seed(seed)
        self.setup = make_setup(problem, self.options, budget, f_target, may_ask)
        self.schedule = Schedule.default(self.options, self.setup.geometry)
        self.state = initial_state(self.setup, self.seed)
        self.evaluator = Evaluator(
            problem,
            budget=budget,
            gradient_cost=self.options.gradient_cost,
            timeout=self.options.timeout,
            journal=journal,
            noisy=self.options.noise is not None,
            keeps=self.setup.gradient_source not in ("none", POLL),
            workers=workers,
        )
        self._view = self.evaluator.view()
        self._rng = self.state.rng.generator()

    @property
    def stop(self) -> StopReason | None:
        """Why the run has ended, None while it goes on."""
        return self.state.stop

    @property
    def step_name(self) -> str:
        """Name of the step that proposed the pending trials, or would be asked next."""
        if self.state.pending is not None:
            return self.state.pending.trials.step
        steps = self.schedule.steps
        return steps[min(self.state.stage, len(steps) - 1)].name

    @property
    def iteration(self) -> int:
        """Iterations begun so far."""
        return self.state.iteration

    def ask(self, block_size: int | None = None) -> Trials:
        """The next trial points, X of shape (k, n) in all n variables; k = 0 once the run has ended.

        Parameters
        ----------
        block_size : int, optional     places of this block, >= 1, instead of the option `block_size`: as many processors as are free now

        Raises
        ------
        AskTellError                   the last trials were not told yet
        OptionError                    `block_size` is out of range
        """
        setup = self.setup
        if block_size is not None:
            setup = replace(setup, options=replace(setup.options, block_size=block_size))
        try:
            self.state, trials = ask(setup, self.schedule, self.state, self._view, self._rng)
        finally:
            self.problem.forget()  # a run that is saved and loaded between two calls must see the same
        return self._full(trials)

    @property
    def pending(self) -> Trials | None:
        """The trials asked and not yet told, None if there are none."""
        return None if self.state.pending is None else self._full(self.state.pending.trials)

    def _full(self, trials: Trials) -> Trials:
        space = self.problem.space
        if space.n_free == space.n:
            return trials
        centre = space.expand(trials.centre[None, :])[0]
        return replace(trials, X=space.expand(trials.X), centre=centre)

    def evaluate(self) -> Evaluations:
        """Evaluate the pending trials with the problem's own functions (in blocks, opportunistically where the trials say so)."""
        if self.state.pending is None:
            raise AskTellError("`evaluate` was called although no trials are pending; call `ask` first.")
        return self.evaluator.run(self.state.pending.trials, lambda block: improves(self.state, block))

    def tell(
        self, evaluations: Evaluations | npt.ArrayLike, constraints: npt.ArrayLike | None = None
    ) -> StopReason | None:
        """Tell the answers to the pending trials.

        Parameters
        ----------
        evaluations : Evaluations, or array_like (k,)     what `evaluate` returned, or objective values in the user's sense, one a
                                                          trial in order; NaN or an infinity marks a failed point
        constraints : array_like (k, p), optional         constraint values, required with values where the problem has constraints

        Returns
        -------
        StopReason or None                                set once the run has ended

        Raises
        ------
        AskTellError                                      nothing is pending, or the number of rows or columns is wrong
        """
        if not isinstance(evaluations, Evaluations):
            evaluations = self._from_values(evaluations, constraints)
        columns = None  # read once, with the first point that could be evaluated
        if self.state.barrier.columns is None:
            columns = self._plain_columns(evaluations.C) if self.problem.p is None else self._known_columns()
        self.state = tell(self.setup, self.schedule, self.state, evaluations, columns)
        return self.state.stop

    def _from_values(self, f: npt.ArrayLike, constraints: npt.ArrayLike | None) -> Evaluations:
        pending = self.state.pending
        if pending is None:
            raise AskTellError("`tell` was called although no trials are pending; call `ask` first.")
        X = pending.trials.X
        k = X.shape[0]
        values = np.asarray(f, dtype=np.float64)
        if values.shape != (k,):
            raise AskTellError(
                f"`evaluations` must have shape (k,) with k = {k} (the pending trials), got {values.shape}."
            )
        C = np.empty((k, 0)) if constraints is None else np.asarray(constraints, dtype=np.float64)
        C = C[:, None] if C.ndim == 1 else C
        if C.ndim != 2 or C.shape[0] != k:
            raise AskTellError(
                f"`constraints` must have shape (k, p) with k = {k} (the pending trials), got {C.shape}."
            )
        if bool(C.shape[1]) != bool(self.problem.constraints):
            raise AskTellError(
                f"`constraints` must have a column for each of {len(self.problem.constraints)} constraints, got {C.shape}."
            )
        bad = ~(np.isfinite(values) & np.isfinite(C).all(axis=1))
        status = np.where(bad, Status.NONFINITE, Status.OK).astype(np.int8)
        F = np.where(bad, np.inf, self.problem.sign * values)
        C = np.where(bad[:, None], np.nan, C)
        known = self.problem.p if self.problem.p is not None else len(self._plain_columns(C) or ())
        if C.shape[1] != known:
            raise AskTellError(
                f"`constraints` must have {known or len(self.problem.constraints)} columns, got {C.shape}."
            )
        self.evaluator.ledger.nfev += k
        return Evaluations(X, F, C, status, self.evaluator.counters)

    def _known_columns(self) -> tuple[tuple[str, str, float, bool], ...]:
        return tuple((*c, bool(e)) for c, e in zip(self.problem.columns, self.problem.equality, strict=True))

    def _plain_columns(self, C: FloatArray) -> tuple[tuple[str, str, float, bool], ...] | None:
        """Columns when values came from outside: one a constraint, or all of them of the only constraint."""
        p, constraints = C.shape[1], self.problem.constraints
        if p == len(constraints):
            return tuple((c.name, c.kind, c.tol, c.equality) for c in constraints)
        if len(constraints) == 1:
            only = constraints[0]
            return tuple((f"{only.name}[{j}]", only.kind, only.tol, only.equality) for j in range(p))
        return None

    def result(
        self, reason: StopReason | None = None, seconds: Mapping[str, float] | None = None, store: str | None = None
    ) -> Result:
        """The best so far, with counters, certificate, trust report and log.

        The trust report is full (option `trust`) only once the run has come to an end of its own: a run that was interrupted, or
        whose user code raised, calls none of it again.
        """
        reason = reason or self.state.stop or StopReason.RUNNING
        result = build_result(
            self.problem,
            self.setup,
            self.state,
            self.schedule.names,
            reason=reason,
            seed=self.seed,
            seconds=seconds or {},
            store=store,
        )
        level = self.options.trust
        if level == "full" and reason in (StopReason.RUNNING, StopReason.INTERRUPTED, StopReason.ERROR):
            level = "cheap"
        return replace(
            result, trust=trust_report(self.problem, result, level, output=self._output(result), seed=self.seed)
        )

    def _output(self, result: Result) -> FloatArray | None:
        """Phi at the best point where it is still at hand, so that the trust report need not ask for it."""
        if self.evaluator.identity or result.best_index < 0:
            return None
        return self.evaluator.store.get(point_key(self.problem.space.reduce(result.x[None])[0]))

    def event(self, step: str, seconds: float) -> Event:
        """What a callback gets after `step`, `seconds` after the run began."""
        state, space = self.state, self.problem.space
        row = state.best_feas if state.best_feas >= 0 else state.best_inf
        known = row >= 0
        history, counters = state.history.buffer, state.counters
        return Event(
            step=step,
            iteration=state.iteration,
            nfev=counters.nfev,
            ngev=counters.ngev,
            cost=counters.cost(self.options.gradient_cost),
            budget=self.setup.budget,
            x=space.expand(history.X[row : row + 1].copy())[0] if known else None,
            fun=float(self.problem.sign * history.f[row] + 0.0) if known else math.nan,
            maxcv=float(max(history.V[row], 0.0)) if known else math.inf,
            frame_size=state.mesh.size if state.mesh is not None else math.nan,
            seconds=seconds,
        )

    def extend(self, budget: float) -> None:
        """Raise the budget of a run that has used its first one, and go on."""
        self.setup = replace(self.setup, budget=float(budget))
        self.evaluator.ledger.budget = float(budget)
        self.state = replace(self.state, stop=None)

    def to_bytes(self) -> bytes:
        """The state of the run with the outputs of Phi it may still need; `restore` goes on from it bit for bit."""
        evaluator, problem = self.evaluator, self.problem
        return codec.to_bytes((self.state, evaluator.counters, evaluator.store.snapshot(), problem.m, problem.widths))

    def restore(self, data: bytes) -> None:
        """Go on from what `to_bytes` of a solver with the same problem and options gave. Raises `StoreError` for anything else."""
        value = codec.from_bytes(data)
        if not (isinstance(value, tuple) and len(value) == 5 and isinstance(value[0], SolverState)):
            raise StoreError("The bytes are not a saved solver.")
        self.state, counters, rows, outputs, widths = value
        self.evaluator.ledger.adopt(counters)
        self.evaluator.store.adopt(rows)
        self.problem.m = outputs
        if widths is not None:
            self.problem.learn_widths(widths)
