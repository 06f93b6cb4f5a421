"""`solve_multi` and `resume_multi`: the loop of `solve` and `resume`, for several objectives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy.typing as npt

from dfoattack import __version__
from dfoattack._validation import check_seed
from dfoattack.api import Path, check_time, run_loop
from dfoattack.errors import OptionError
from dfoattack.multi.problem import MultiProblem
from dfoattack.multi.result import FrontResult
from dfoattack.multi.solver import MultiSolver
from dfoattack.options import Options
from dfoattack.progress import FrontEvent
from dfoattack.reasons import StopReason
from dfoattack.storage import RunFile


def solve_multi(
    problem: MultiProblem,
    *,
    budget: float | None = None,
    seed: int = 0,
    options: Options | Mapping[str, Any] | None = None,
    reference: npt.ArrayLike | None = None,
    max_time: float | None = None,
    callback: Callable[[FrontEvent], object] | None = None,
    store: Path | None = None,
    progress: bool | Callable[[FrontEvent], object] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> FrontResult:
    """Approximate the front of two to four objectives subject to constraints in a box.

    First the solver for one objective looks for the end of each objective, with three tenths of the budget in all; then an archive of
    nondominated points, each with its own frame, is filled where its gaps are largest and improved everywhere. No gradients are used.

    Parameters
    ----------
    problem : MultiProblem
    budget : float, optional              evaluations of a point; None: until every frame has converged
    seed : int, default 0                 same seed, same run on the same machine
    options : Options or mapping          as for `solve`; those of attacks and restarts have no effect on the front
    reference : array_like (q,), optional reference point of the hypervolume in the result, user's senses; the search does not depend on it
    max_time, callback, store, progress, meta :     as for `solve`; events are `FrontEvent`

    Returns
    -------
    FrontResult                           points and objectives of the front, hypervolume, log. Reasons to stop as for `solve`, but TARGET

    Raises
    ------
    ProblemError, OptionError             bad input, before anything is evaluated
    EvaluationError                       the user's code raised something undeclared; carries the point and the partial result
    StoreError                            `store` exists already or cannot be written

    Examples
    --------
    A beam of height h and width b: as light as possible, as stiff as possible, not too tall for its width.

    >>> import numpy as np
    >>> import dfoattack as da
    >>> problem = da.MultiProblem(
    ...     objective=lambda x: np.stack([x[:, 0] * x[:, 1], x[:, 0] ** 3 * x[:, 1]], axis=1),
    ...     sense=("minimize", "maximize"), objective_names=("area", "stiffness"),
    ...     space=da.Box([1, 1], [4, 2], names=["h", "b"]),
    ...     constraints=[da.Constraint(lambda x, y: x[:, 0] - 3 * x[:, 1], name="slender")],
    ... )
    >>> r = da.solve_multi(problem, budget=200, reference=[9.0, 0.0])
    >>> r.success, r.F.shape[1], bool(r.hypervolume > 0.95 * 1152 / 4)
    (True, 2, True)
    >>> bool(np.all(r.X[:, 0] <= 3 * r.X[:, 1]))
    True
    """
    options = Options.make(options)
    seed = check_seed(seed)
    limit = check_time(max_time)
    solver = MultiSolver(problem, options, budget=budget, seed=seed, reference=reference)
    if store is None:
        return run_loop(solver, None, callback, progress, limit)
    identity = _meta(solver, budget, max_time)
    with RunFile.create(store, {**identity, "user": dict(meta or {})}) as run:
        solver.evaluator.journal = run
        return run_loop(solver, run, callback, progress, limit)


def resume_multi(
    path: Path,
    problem: MultiProblem,
    *,
    budget: float | None = None,
    max_time: float | None = None,
    callback: Callable[[FrontEvent], object] | None = None,
    progress: bool | Callable[[FrontEvent], object] | None = None,
) -> FrontResult:
    """Go on with a stored run: nothing stored is evaluated again, and the end is that of an uninterrupted run.

    Parameters
    ----------
    path, problem, budget, max_time, callback, progress :    as for `resume`; options and reference point are the stored ones

    Raises
    ------
    StoreError      no run file, or written for another problem or version; the message says what differs
    OptionError     `budget` is smaller than the stored one
    """
    with RunFile.open(path) as run:
        meta = run.meta()
        first = meta["budget"]
        solver = MultiSolver(
            problem,
            Options.from_dict(meta["options"]),
            budget=first,
            seed=int(meta["seed"]),
            reference=meta.get("reference"),
        )
        limit = check_time(meta["max_time"] if max_time is None else max_time)
        run.expect(_meta(solver, first, meta["max_time"]))
        budgets = run.extensions if budget is None or budget in (first, *run.extensions) else (*run.extensions, budget)
        largest = max((b for b in (first, *run.extensions) if b is not None), default=0.0)
        if budget is not None and budget < largest:
            raise OptionError(f"`budget` must be at least the stored one, {largest:g}, got {budget:g}.")
        solver.evaluator.journal = run
        result = run_loop(solver, run, callback, progress, limit)
        for larger in budgets:
            # The run must come to the end of every earlier budget first: what is asked near an end depends on it.
            if result.reason != StopReason.BUDGET:
                break
            run.extend(larger)
            solver.extend(larger)
            result = run_loop(solver, run, callback, progress, limit)
        return result


def _meta(solver: MultiSolver, budget: float | None, max_time: float | None) -> dict[str, Any]:
    """What a run file must agree with on resume."""
    problem = solver.problem
    return {
        "version": __version__,
        "kind": "front",
        "problem": problem.fingerprint(),
        "options": solver.options.to_dict(),
        "seed": solver.seed,
        "budget": budget,
        "max_time": max_time,
        "reference": None if solver.reference is None else solver.reference.tolist(),
        "sense": list(problem.sense),
        "names": list(problem.space.names),
        "x0": None if problem.x0 is None else problem.x0.tolist(),
    }
