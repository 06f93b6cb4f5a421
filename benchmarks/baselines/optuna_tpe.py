"""Optuna's tree-structured Parzen estimator: what is used for hyperparameters."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import optuna

from benchmarks.baselines._common import UnitBox, number, one_sided
from benchmarks.baselines.restarts import run_restarted
from benchmarks.counting import Counter
from benchmarks.log import Log

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray
    from dfoattack.problem import Problem

CONFIGURATION = (
    "optuna.samplers.TPESampler, defaults (independent Parzen estimators, 10 random points first), variables scaled to "
    "the unit box, the start enqueued first; constraints through its constraints_func; failed points told as failed"
)
_KEY = "c"


def run(problem: Problem, budget: float, seed: int, gradient_cost: float = 2.0) -> Log:
    """See `benchmarks.baselines`."""
    counter = Counter(problem, budget, gradient_cost)
    box = UnitBox.of(counter)
    names = [f"x{i}" for i in range(counter.n)]
    space: dict[str, optuna.distributions.BaseDistribution] = {
        name: optuna.distributions.FloatDistribution(0.0, 1.0) for name in names
    }
    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def violations(trial: optuna.trial.FrozenTrial) -> Sequence[float]:
        found: Sequence[float] = trial.user_attrs[_KEY]
        return found

    def local(z: FloatArray, k: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            bound = bool(counter.problem.p)
            sampler = optuna.samplers.TPESampler(
                seed=number(counter, seed, k), constraints_func=violations if bound else None
            )
            study = optuna.create_study(sampler=sampler)
            study.enqueue_trial(dict(zip(names, map(float, box.unit(z)), strict=True)))
            # Points asked again are free; on a lattice whose points are all known it must end all the same.
            for _ in range(4 * max(1, int(counter.remaining))):
                trial = study.ask(space)
                F, c = counter.value(box.point([trial.params[name] for name in names]))
                if not np.isfinite(F):
                    study.tell(trial, state=optuna.trial.TrialState.FAIL)
                    continue
                trial.set_user_attr(_KEY, [float(v) for v in one_sided(counter, c)])
                study.tell(trial, F)

    return run_restarted(counter, seed, local)
