"""`solve` and `resume`: the one loop that connects solver, evaluator, run file, callback and clock."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from time import perf_counter
from typing import Any, Protocol, TypeVar

from dfoattack import __version__
from dfoattack._validation import check_seed
from dfoattack.errors import EvaluationError, OptionError, StoreError
from dfoattack.evaluator import Evaluator
from dfoattack.gradient_sources.choice import chosen
from dfoattack.options import Options
from dfoattack.problem import Problem
from dfoattack.progress import Event, FrontEvent, ProgressLine
from dfoattack.reasons import StopReason
from dfoattack.result import Result
from dfoattack.solver import Solver
from dfoattack.source_names import described
from dfoattack.storage import RunFile
from dfoattack.trials import Evaluations, Trials
from dfoattack.workers import Workers

Callback = Callable[[Event], object]
Path = str | os.PathLike[str]


class Outcome(Protocol):
    """What the loop needs of a result."""

    @property
    def reason(self) -> StopReason: ...
    @property
    def message(self) -> str: ...
    @property
    def certificate(self) -> Any: ...


E = TypeVar("E", bound=Event | FrontEvent)
R = TypeVar("R", bound=Outcome)
E_co = TypeVar("E_co", bound=Event | FrontEvent, covariant=True)
R_co = TypeVar("R_co", bound=Outcome, covariant=True)


class Engine(Protocol[R_co, E_co]):
    """What the loop needs of a solver: the one for one objective, or the one for several."""

    evaluator: Evaluator

    @property
    def stop(self) -> StopReason | None: ...
    @property
    def step_name(self) -> str: ...
    @property
    def iteration(self) -> int: ...
    @property
    def pending(self) -> Trials | None: ...
    def ask(self) -> Trials: ...
    def evaluate(self) -> Evaluations: ...
    def tell(self, evaluations: Evaluations) -> StopReason | None: ...
    def event(self, step: str, seconds: float) -> E_co: ...
    def result(self, reason: StopReason | None, seconds: Mapping[str, float] | None, store: str | None) -> R_co: ...


def solve(
    problem: Problem,
    *,
    budget: float | None = None,
    seed: int = 0,
    starts: int | None = None,
    options: Options | Mapping[str, Any] | None = None,
    f_target: float | None = None,
    max_time: float | None = None,
    callback: Callback | None = None,
    store: Path | None = None,
    progress: bool | Callable[[Event], object] | None = None,
    meta: Mapping[str, Any] | None = None,
    workers: Workers = None,
) -> Result:
    """Solve a problem: maximise (or minimise) f(Phi(x)) subject to c(x, Phi(x)) <= 0 in a box.

    Parameters
    ----------
    problem : Problem
    budget : float, optional        evaluations; every gradient is charged `gradient_cost` evaluations at every point, every forward
                                    pass of an attack one. None: until convergence, without restarts
    seed : int, default 0           same seed, same run on the same machine
    starts : int, optional          the option `starts`: so many start points (x0 first, then a design) descend in lockstep, all in one forward
                                    and one backward pass an iteration, before the run goes on from the best
    options : Options or mapping    see `Options.help()`; unknown names are errors
    f_target : float, optional      stop once a feasible value at least this good (in the problem's sense) is known
    max_time : float, optional      seconds, > 0; checked after every step (at most 2n points), earlier sessions of the run count
    callback : callable, optional   called with an `Event` after every step; returning True or raising StopIteration stops the run
    store : path, optional          run file to be written; the file must not exist. `resume` goes on from it at any moment
    progress : bool or callable     True: a live line on standard error; a callable gets every `Event`; None or False: silence
    meta : mapping, optional        JSON values kept in the run file under "user"; never compared, see `RunFile.meta`
    workers : int or callable       processes that evaluate the points of a block side by side, at most `block_size` are busy: the problem
                                    must be picklable, scripts guarded by `if __name__ == "__main__":`. Or a function like `map`:
                                    workers(task, points) -> results in order. The run is the same as without

    Returns
    -------
    Result                          x is the best feasible point, or the least infeasible one (`feasible` is False then).
                                    Reasons to stop: `StopReason` TARGET, FRAME (converged), LATTICE, BUDGET, TIME, CALLBACK,
                                    INTERRUPTED (Ctrl-C: the best so far; the store can be resumed), START_FAILED

    Raises
    ------
    ProblemError, OptionError       bad input, before anything is evaluated
    EvaluationError                 the user's code raised something undeclared; carries the point and the partial result, the run
                                    file keeps everything paid for
    StoreError                      `store` exists already or cannot be written

    Examples
    --------
    >>> import dfoattack as da
    >>> problem = da.Problem(
    ...     objective=lambda y: y[:, 0] + y[:, 1],
    ...     constraints=[da.Constraint(lambda x, y: (x**2).sum(1) - 1.0, name="disc")],
    ...     space=da.Box([-2, -2], [2, 2]), x0=[0.0, 0.0], sense="maximize",
    ... )
    >>> r = da.solve(problem, budget=400)
    >>> r.success, r.maxcv, bool(abs(r.fun - 2**0.5) < 1e-2)
    (True, 0.0, True)
    """
    options = Options.make(options)
    if starts is not None:
        options = replace(options, starts=starts)
    seed = check_seed(seed)
    limit = check_time(max_time)
    _check_workers(workers, options)
    solver = Solver(problem, options, budget=budget, seed=seed, f_target=f_target, workers=workers, may_ask=True)
    if store is None:
        return run_loop(solver, None, callback, progress, limit)
    identity = _meta(problem, options, seed, budget, f_target, max_time)
    with RunFile.create(store, {**identity, "user": dict(meta or {})}) as run:
        solver.evaluator.journal = run
        return run_loop(solver, run, callback, progress, limit)


def resume(
    path: Path,
    problem: Problem,
    *,
    budget: float | None = None,
    options: Options | Mapping[str, Any] | None = None,
    max_time: float | None = None,
    callback: Callback | None = None,
    progress: bool | Callable[[Event], object] | None = None,
    workers: Workers = None,
) -> Result:
    """Go on with a stored run: nothing stored is evaluated again, and the end is that of an uninterrupted run.

    Parameters
    ----------
    path : path                     the run file
    problem : Problem               the problem of that run
    budget : float, optional        a larger budget than the stored one: the run first comes to its stored end, then goes on
    options : Options or mapping    only to compare: the stored options are used; needed where operators were passed as objects
    max_time : float, optional      replaces the stored limit; time spent in earlier sessions counts
    callback, progress :            as in `solve`; they see new evaluations only
    workers : int or callable       as in `solve`; may differ from session to session

    Raises
    ------
    StoreError                      no run file, or written for another problem, version or set of options; the message says what differs
    OptionError                     `budget` is smaller than the stored one
    """
    with RunFile.open(path) as run:
        meta = run.meta()
        if meta.get("kind") == "front":
            raise StoreError(
                f"The run file {str(path)!r} belongs to a run with several objectives. Use `resume_multi`."
            )
        stored = Options.from_dict(meta["options"]) if options is None else Options.make(options)
        seed, first, target = int(meta["seed"]), meta["budget"], meta["f_target"]
        limit = check_time(meta["max_time"] if max_time is None else max_time)
        run.expect(_meta(problem, stored, seed, first, target, meta["max_time"]))
        budgets = run.extensions if budget is None or budget in (first, *run.extensions) else (*run.extensions, budget)
        largest = max((b for b in (first, *run.extensions) if b is not None), default=0.0)
        if budget is not None and budget < largest:
            raise OptionError(f"`budget` must be at least the stored one, {largest:g}, got {budget:g}.")
        _check_workers(workers, stored)
        solver = Solver(
            problem, stored, budget=first, seed=seed, f_target=target, journal=run, workers=workers, may_ask=True
        )
        result = run_loop(solver, run, callback, progress, limit)
        for larger in budgets:
            # The run must come to the end of every earlier budget first: what is asked near an end depends on it.
            if result.reason != StopReason.BUDGET:
                break
            run.extend(larger)
            solver.extend(larger)
            result = run_loop(solver, run, callback, progress, limit)
        return result


def _meta(
    problem: Problem, options: Options, seed: int, budget: float | None, f_target: float | None, max_time: float | None
) -> dict[str, Any]:
    """What a run file must agree with on resume."""
    return {
        "version": __version__,
        "problem": problem.fingerprint(),
        "options": options.to_dict(),
        "seed": seed,
        "budget": budget,
        "f_target": f_target,
        "max_time": max_time,
        "sense": problem.sense,
        "names": list(problem.space.names),
        "gradients": described(chosen(options, problem, True), problem.softened),
        "x0": None if problem.x0 is None else problem.x0.tolist(),
    }


def _check_workers(workers: Workers, options: Options) -> None:
    if workers is not None and not callable(workers) and workers != 1 and options.block_size == 1:
        raise OptionError(
            f"`workers` = {workers!r} would be idle: set the option `block_size`, now 1, to at least as many points."
        )


def check_time(max_time: float | None) -> float:
    """Seconds a run may take, inf for no limit; raises `OptionError` for anything else."""
    if max_time is None:
        return math.inf
    if not (isinstance(max_time, (int, float)) and max_time > 0.0):
        raise OptionError(f"`max_time` must be positive seconds or None, got {max_time!r}.")
    return float(max_time)


def run_loop(
    solver: Engine[R, E],
    run: RunFile | None,
    callback: Callable[[E], object] | None,
    progress: bool | Callable[[E], object] | None,
    max_time: float,
) -> R:
    """Ask, evaluate, tell, until something stops the run; every way out goes through one result."""
    started, earlier = perf_counter(), 0.0 if run is None else run.elapsed()
    seconds: dict[str, float] = {}
    show = ProgressLine() if progress is True else progress or None
    path = None if run is None else str(run.path)
    reason: StopReason | None = None
    error: EvaluationError | None = None

    def finish(why: StopReason | None) -> R:
        total = earlier + perf_counter() - started
        solve_time = max(0.0, perf_counter() - started - seconds.get("evaluate", 0.0))
        times = {**seconds, **solver.evaluator.seconds, "solver": solve_time, "total": total}
        result = solver.result(why, times, path)
        if run is not None:
            run.finish(
                {"reason": result.reason.name, "message": result.message, "certificate": result.certificate.text}
            )
        return result

    try:
        while reason is None:
            clock = perf_counter()
            if run is not None:
                run.set_step(solver.step_name, solver.iteration)
            solver.ask()
            asked = perf_counter()
            name = solver.step_name
            seconds[name] = seconds.get(name, 0.0) + asked - clock
            reason = solver.stop
            if reason is not None:
                break
            if run is not None:
                run.set_step(name, solver.iteration)
            replaying = solver.evaluator.replaying
            evaluations = solver.evaluate()
            evaluated = perf_counter()
            seconds["evaluate"] = seconds.get("evaluate", 0.0) + evaluated - asked
            solver.tell(evaluations)
            seconds[name] += perf_counter() - evaluated
            if replaying:
                continue
            event = solver.event(name, earlier + perf_counter() - started)
            if show is not None:
                show(event)
            if callback is not None and _asks_to_stop(callback, event):
                reason = StopReason.CALLBACK
            elif event.seconds > max_time:
                reason = StopReason.TIME
    except KeyboardInterrupt:
        reason = StopReason.INTERRUPTED
    except EvaluationError as raised:
        reason, error = StopReason.ERROR, raised
    finally:
        solver.evaluator.close()
    if (
        reason in (StopReason.INTERRUPTED, StopReason.ERROR)
        and solver.pending is not None
        and solver.evaluator.partial is not None
    ):
        solver.tell(solver.evaluator.partial)  # what was answered before the exception is paid for: it counts
    result = finish(reason)
    if progress is True and isinstance(show, ProgressLine):
        show.close()
    if error is not None:
        error.result = result
        raise error
    return result


def _asks_to_stop(callback: Callable[[E], object], event: E) -> bool:
    try:
        return callback(event) is True
    except StopIteration:
        return True
