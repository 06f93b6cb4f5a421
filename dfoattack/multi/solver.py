"""The solver for several objectives by hand: ask for trial points, evaluate them anywhere, tell the answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dfoattack import codec
from dfoattack._typing import FloatArray
from dfoattack._validation import check_seed, shown
from dfoattack.errors import AskTellError, ProblemError, StoreError
from dfoattack.evaluator import Evaluator, Journal
from dfoattack.multi.archive import front_values, rows_of
from dfoattack.multi.problem import MultiProblem
from dfoattack.multi.result import FrontResult, build_result, checked_reference
from dfoattack.multi.state import MultiState
from dfoattack.multi.steps import SINGLE, START
from dfoattack.multi.transitions import Steps, ask, improves, initial_state, make_setup, tell
from dfoattack.options import Options
from dfoattack.progress import FrontEvent
from dfoattack.reasons import StopReason
from dfoattack.trials import Evaluations, Status, Trials


class MultiSolver:
    """Ask/tell interface; `dfoattack.solve_multi` is a loop over it.

    Parameters
    ----------
    problem : MultiProblem
    options : Options or mapping, optional
    budget : float, optional           evaluations in all; None: until convergence
    seed : int, optional               seed of the one random generator, >= 0
    reference : array_like (q,), optional    reference point of the hypervolume, user's senses; the search does not depend on it
    journal : Journal, optional        memory of what user code answered, see `storage.RunFile`

    Raises
    ------
    ProblemError, OptionError          no `MultiProblem`; an option, the budget or the reference is out of range

    Examples
    --------
    >>> import numpy as np
    >>> import dfoattack as da
    >>> problem = da.MultiProblem(
    ...     objective=lambda y: np.stack([(y**2).sum(1), ((y - 1) ** 2).sum(1)], axis=1),
    ...     sense=("minimize", "minimize"), space=[(-2, 2), (-2, 2)],
    ... )
    >>> solver = da.MultiSolver(problem, budget=100)
    >>> while (trials := solver.ask()):
    ...     _ = solver.tell(np.stack([(trials.X**2).sum(1), ((trials.X - 1) ** 2).sum(1)], axis=1))
    >>> bool(solver.result().hypervolume_at([2.0, 2.0]) > 3.0)
    True
    """

    def __init__(
        self,
        problem: MultiProblem,
        options: Options | Mapping[str, Any] | None = None,
        *,
        budget: float | None = None,
        seed: int = 0,
        reference: npt.ArrayLike | None = None,
        journal: Journal | None = None,
    ) -> None:
        if not isinstance(problem, MultiProblem):
            raise ProblemError(
                f"`problem` must be a MultiProblem, got {shown(problem)}. For one objective use `dfoattack.solve`."
            )
        self.problem = problem
        self.options = Options.make(options)
        self.seed = check_seed(seed)
        self.reference = None if reference is None else checked_reference(reference, problem.q)
        self.setup = make_setup(problem, self.options, budget)
        self.steps = Steps.default(self.options, self.setup.base.geometry)
        self.state = initial_state(self.setup, self.seed)
        self.evaluator = Evaluator(
            problem.carrier,
            budget=budget,
            gradient_cost=self.options.gradient_cost,
            timeout=self.options.timeout,
            journal=journal,
        )
        self._rng = self.state.rng.generator()

    @property
    def stop(self) -> StopReason | None:
        """Why the run has ended, None while it goes on."""
        return self.state.stop

    @property
    def iteration(self) -> int:
        """Iterations on the front begun so far."""
        return self.state.iteration

    @property
    def step_name(self) -> str:
        """Name of the step that proposed the pending trials, or would be asked next."""
        state = self.state
        if state.pending is not None:
            return state.pending.trials.step
        if state.queue.shape[0]:
            return START
        if state.leg is not None or state.legs < self.setup.q:
            return SINGLE
        steps = self.steps.front.steps
        return steps[min(state.stage, len(steps) - 1)].name

    @property
    def pending(self) -> Trials | None:
        """The trials asked and not yet told, None if there are none."""
        return None if self.state.pending is None else self._full(self.state.pending.trials)

    def ask(self) -> Trials:
        """The next trial points, X of shape (k, n) in all n variables; k = 0 once the run has ended.

        Raises `AskTellError` when the last trials were not told yet.
        """
        self.state, trials = ask(self.setup, self.steps, self.state, self._rng)
        return self._full(trials)

    def _full(self, trials: Trials) -> Trials:
        space = self.problem.space
        if space.n_free == space.n:
            return trials
        return replace(trials, X=space.expand(trials.X), centre=space.expand(trials.centre[None, :])[0])

    def evaluate(self) -> Evaluations:
        """Evaluate the pending trials with the problem's own functions (in blocks, opportunistically where the trials say so).

        F holds the first objective, the first q - 1 columns of C the others, all in the user's senses.
        """
        if self.state.pending is None:
            raise AskTellError("`evaluate` was called although no trials are pending; call `ask` first.")
        trials = self.state.pending.trials
        return self.evaluator.run(trials, lambda block: improves(self.setup, self.steps, self.state, block))

    def tell(
        self, evaluations: Evaluations | npt.ArrayLike, constraints: npt.ArrayLike | None = None
    ) -> StopReason | None:
        """Tell the answers to the pending trials.

        Parameters
        ----------
        evaluations : Evaluations, or array_like (k, q)   what `evaluate` returned, or objectives in the user's senses, one row a trial in
                                                          order; NaN or an infinity marks a failed point
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
        columns = self._columns(evaluations.C.shape[1] - self.problem.q + 1)
        self.state = tell(self.setup, self.steps, self.state, evaluations, columns)
        return self.state.stop

    def _from_values(self, f: npt.ArrayLike, constraints: npt.ArrayLike | None) -> Evaluations:
        pending = self.state.pending
        if pending is None:
            raise AskTellError("`tell` was called although no trials are pending; call `ask` first.")
        X, q = pending.trials.X, self.problem.q
        k = X.shape[0]
        values = np.asarray(f, dtype=np.float64)
        if values.shape != (k, q):
            raise AskTellError(
                f"`evaluations` must have shape (k, q) = ({k}, {q}) (the pending trials), got {values.shape}."
            )
        C = np.empty((k, 0)) if constraints is None else np.asarray(constraints, dtype=np.float64)
        C = C[:, None] if C.ndim == 1 else C
        if C.ndim != 2 or C.shape[0] != k:
            raise AskTellError(
                f"`constraints` must have shape (k, p) with k = {k} (the pending trials), got {C.shape}."
            )
        if C.shape[1] != len(self._columns(C.shape[1])):
            raise AskTellError(
                f"`constraints` must have a column for each of {len(self.problem.constraints)} constraints, got {C.shape}."
            )
        bad = np.logical_not(np.isfinite(np.hstack([values, C])).all(axis=1))
        status = np.where(bad, Status.NONFINITE, Status.OK).astype(np.int8)
        F = np.where(bad, np.nan, values[:, 0])
        joined = np.where(bad[:, None], np.nan, np.hstack([values[:, 1:], C]))
        self.evaluator.ledger.nfev += k
        return Evaluations(X, F, joined, status, self.evaluator.counters)

    def _columns(self, p: int) -> tuple[tuple[str, str, float, bool], ...]:
        """Name, kind, tolerance and "two-sided" of the constraint columns; where values come from outside, one a constraint or all of the
        only one."""
        carrier = self.problem.carrier
        if carrier.widths is not None:
            return tuple((*c, e) for c, e in zip(carrier.columns, carrier.equality.tolist(), strict=True))
        constraints = self.problem.constraints
        if len(constraints) == 1:
            only = constraints[0]
            return tuple((f"{only.name}[{j}]", only.kind, only.tol, only.equality) for j in range(max(1, p)))
        return tuple((c.name, c.kind, c.tol, c.equality) for c in constraints)

    def event(self, step: str, seconds: float) -> FrontEvent:
        """What a callback gets after `step`, `seconds` after the run began."""
        state, counters = self.state, self.state.counters
        elements, history = state.archive.feas, state.history
        if elements:
            maxcv = 0.0
        else:
            maxcv = float(history.V[state.best_inf]) if state.best_inf >= 0 else math.inf
        X: FloatArray = self.problem.space.expand(history.X[rows_of(elements)].copy())
        return FrontEvent(
            step=step,
            iteration=state.iteration,
            nfev=counters.nfev,
            ngev=counters.ngev,
            cost=counters.cost(self.options.gradient_cost),
            budget=self.setup.base.budget,
            X=X,
            F=front_values(history, state.archive, self.problem.q) * self.problem.signs + 0.0,
            maxcv=maxcv,
            frame_size=max((e.frame for e in elements), default=math.nan),
            seconds=seconds,
        )

    def result(
        self, reason: StopReason | None = None, seconds: Mapping[str, float] | None = None, store: str | None = None
    ) -> FrontResult:
        """The front so far, with hypervolume, counters, certificate and log."""
        return build_result(
            self.problem,
            self.setup,
            self.state,
            self.steps.front.names,
            reason=reason or self.state.stop or StopReason.RUNNING,
            reference=self.reference,
            seconds=seconds or {},
            store=store,
        )

    def extend(self, budget: float) -> None:
        """Raise the budget of a run that has used its first one, and go on; the share of the legs stays that of the first budget."""
        base = replace(self.setup.base, budget=float(budget))
        self.setup = replace(self.setup, base=base)
        self.evaluator.ledger.budget = float(budget)
        self.state = replace(self.state, stop=None)

    def to_bytes(self) -> bytes:
        """The state of the run; `restore` goes on from it bit for bit."""
        carrier = self.problem.carrier
        return codec.to_bytes((self.state, self.evaluator.counters, carrier.m, carrier.widths))

    def restore(self, data: bytes) -> None:
        """Go on from what `to_bytes` of a solver with the same problem and options gave. Raises `StoreError` for anything else."""
        value = codec.from_bytes(data)
        if not (isinstance(value, tuple) and len(value) == 4 and isinstance(value[0], MultiState)):
            raise StoreError("The bytes are not a saved solver for several objectives.")
        self.state, counters, outputs, widths = value
        self.evaluator.ledger.adopt(counters)
        self.problem.carrier.m = outputs
        if widths is not None:
            self.problem.carrier.learn_widths(widths)
