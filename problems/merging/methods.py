"""Every way to merge the task vectors of one bank, at equal evaluations: searched on validation, judged on test.

One evaluation is one edited model on all validation samples; a vector-Jacobian product counts as two more. CMA-ES and
dfoattack begin at the grid's point and pay for the grid.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

import dfoattack as da
from dfoattack.errors import MissingExtraError
from dfoattack.problem import Problem

from .arithmetic import CONTROL_SHARE, GRID, sets_of, single
from .bank import Bank
from .baselines import adamerging, best_of_grid, dare, greedy_soup, ties, uniform_soup
from .data import Split, TaskFamily
from .editing import EditedLogits, Grouping
from .problem import over
from .scores import Kind
from .task_vectors import TaskVector

__all__ = ["Merge", "Merging", "cma"]

FloatArray = npt.NDArray[np.float64]
BOUNDS = (-0.5, 1.5)
START = 0.3  # of AdaMerging, as published
STEP_COST = 3  # of a step with a gradient: a value and a vector-Jacobian product
SCOPES: dict[str, Grouping] = {"task": "all", "layer": "layer"}


class Merge(NamedTuple):
    """One method's answer.

    method : str
    evaluations : float         what it was allowed or what it used, whichever is less
    validation, test : float    mean accuracy over tasks
    normalised : float          mean over tasks of test accuracy / single-task test accuracy
    control_validation, control : float     the control's accuracy on validation and test / that of theta_0
    """

    method: str
    evaluations: float
    validation: float
    test: float
    normalised: float
    control_validation: float
    control: float


class Merging:
    """All methods over one bank (standard mode).

    Parameters
    ----------
    bank, family
    budget : int            evaluations of every method that searches
    seed : int              of the searches
    control : bool          95 % of the control's validation accuracy has to be kept
    samples : int, optional validation samples a task; None: all
    """

    def __init__(
        self, bank: Bank, family: TaskFamily, budget: int, seed: int, *, control: bool, samples: int | None = None
    ) -> None:
        self.bank, self.family, self.budget, self.seed, self.control = bank, family, budget, seed, control
        self.tasks = len(family.tasks)
        self.validation = [(t, s if samples is None else s.first(samples)) for t, s in sets_of(family, "val")]
        self.test = sets_of(family, "test")
        self.single = torch.tensor(single(bank, family, "standard", "test"), dtype=torch.float64)
        untouched = torch.zeros(1, self.tasks, dtype=torch.float64)
        self.before = {
            split: float(EditedLogits(bank, sets).measure(untouched)[0, -1])
            for split, sets in (("validation", self.validation), ("test", self.test))
        }
        self._grid: Tensor | None = None

    def run(self) -> Iterator[Callable[[], Merge]]:
        """The methods, each as a function that runs it."""
        yield lambda: self._judge("zero-shot", 0, torch.zeros(self.tasks, dtype=torch.float64))
        yield lambda: self._judge("uniform soup", 1, uniform_soup(self.tasks))
        yield self.greedy
        yield self.grid
        yield lambda: self._scaled("TIES", [ties(self.bank.vectors["standard"])], 2.0)
        yield self.dare
        for scope in SCOPES:
            yield lambda scope=scope: self.adamerging(scope)
        for scope in SCOPES:
            for kind in ("accuracy", "loss"):
                yield lambda scope=scope, kind=kind: self.cma(scope, kind)
        for scope in SCOPES:
            for kind in ("accuracy", "loss"):
                yield lambda scope=scope, kind=kind: self.dfoattack(scope, kind)
        for scope in SCOPES:
            yield lambda scope=scope: self.checked(scope)

    # ---------------------------------------------------------------- methods

    def greedy(self) -> Merge:
        """Greedy soup by mean validation accuracy."""
        logits = EditedLogits(self.bank, self.validation)
        found, used = greedy_soup(lambda row: float(logits.measure(row[None])[0, :-1].mean()), self.tasks)
        return self._judge("greedy soup", used, found)

    def grid(self) -> Merge:
        """One coefficient from 21 points in [0, 1]."""
        found = self.global_point()
        return self._judge("grid", len(GRID), found)

    def global_point(self) -> Tensor:
        """Coefficients (T,) of the best point of the grid that keeps the control."""
        if self._grid is None:
            A = GRID[:, None].expand(-1, self.tasks)
            logits = EditedLogits(self.bank, self.validation)
            self._grid = A[self._best(logits.measure(A))].clone()
        return self._grid

    def dare(self) -> Merge:
        """DARE with half of the entries dropped, then the grid."""
        draw = torch.Generator().manual_seed(self.seed)
        thinned = dare(self.bank.vectors["standard"], 0.5, draw)
        return self._scaled("DARE", [sum(thinned[1:], thinned[0])], 1.0)

    def adamerging(self, scope: str) -> Merge:
        """Entropy of the validation inputs, without labels; where the control counts, scaled back until it is kept."""
        logits = EditedLogits(self.bank, self.validation, "standard", SCOPES[scope])
        weights = [1.0 / self.tasks] * self.tasks + [0.0]
        back = len(GRID) if self.control else 0
        steps = (self.budget - back) // STEP_COST
        found = adamerging(logits, weights, steps, start=START, bounds=BOUNDS).coefficients
        if self.control:
            scaled = GRID[:, None] * found
            found = scaled[self._best(logits.measure(scaled))]
        return self._judge(f"AdaMerging, {scope}", STEP_COST * steps + back, found, SCOPES[scope])

    def cma(self, scope: str, kind: Kind) -> Merge:
        """CMA-ES from the grid's point, with the control as a penalty."""
        problem = self.problem(scope, kind)
        x, used = cma(problem, self.budget - len(GRID), self.seed)
        return self._judge(f"CMA-ES, {scope}, {kind}", len(GRID) + used, torch.from_numpy(x), SCOPES[scope])

    def dfoattack(self, scope: str, kind: Kind) -> Merge:
        """This package's solver from the grid's point."""
        result = da.solve(self.problem(scope, kind), budget=self.budget - len(GRID), seed=self.seed)
        x = torch.from_numpy(np.array(result.x))
        return self._judge(f"dfoattack, {scope}, {kind}", self.budget, x, SCOPES[scope])

    def checked(self, scope: str) -> Merge:
        """A counter to over-fitting: search on two thirds of the validation samples, step back on the other third.

        The search maximises accuracy on the first two thirds. On the way from the best point of the grid to what it
        found, 11 points are judged on the last third, and the best that keeps the control on all samples is taken.
        """
        grouping, points = SCOPES[scope], 11
        cut = [(2 * len(split)) // 3 for _, split in self.validation]
        searched = [(t, split.first(k)) for (t, split), k in zip(self.validation, cut, strict=True)]
        kept_back = [(t, split.rest(k)) for (t, split), k in zip(self.validation, cut, strict=True)]
        budget = self.budget - len(GRID) - points
        result = da.solve(self.problem(scope, "accuracy", searched), budget=budget, seed=self.seed)
        groups = len(result.x) // self.tasks
        near = self.global_point().repeat_interleave(groups)
        way = torch.linspace(0.0, 1.0, points, dtype=torch.float64)[:, None]
        A = near + way * (torch.from_numpy(np.array(result.x)) - near)
        found = EditedLogits(self.bank, kept_back, "standard", grouping).measure(A)
        found[:, -1] = EditedLogits(self.bank, self.validation[-1:], "standard", grouping).measure(A)[:, 0]
        best = A[self._best(found)]
        return self._judge(f"dfoattack, {scope}, checked", self.budget, best, grouping)

    # ---------------------------------------------------------------- parts

    def problem(self, scope: str, kind: Kind, sets: Sequence[tuple[int, Split]] | None = None) -> Problem:
        """The solver's problem on validation samples; the start is the best point of the grid on all of them."""
        return over(
            self.bank,
            self.family,
            "standard",
            weights=[1.0 / self.tasks] * self.tasks,
            grouping=SCOPES[scope],
            kind=kind,
            bounds=BOUNDS,
            start=float(self.global_point()[0]),
            control=self.control,
            sets=self.validation if sets is None else sets,
        )

    def _scaled(self, name: str, vectors: list[TaskVector], top: float) -> Merge:
        """One merged vector, scaled by the best of 21 points in [0, top]."""
        A = top * GRID[:, None]
        logits = EditedLogits(self.bank, self.validation, vectors=vectors)
        best = A[self._best(logits.measure(A))]
        return self._judge(name, len(A), best, vectors=vectors)

    def _best(self, accuracies: Tensor) -> int:
        """Row with the best mean over tasks among those that keep the control (last column) where it counts."""
        short = CONTROL_SHARE * self.before["validation"] - accuracies[:, -1]
        if not self.control:
            short = torch.zeros_like(short)
        return best_of_grid(accuracies[:, :-1].mean(1).numpy(), short.numpy())

    def _judge(
        self,
        name: str,
        evaluations: float,
        coefficients: Tensor,
        grouping: Grouping = "all",
        vectors: Sequence[TaskVector] | None = None,
    ) -> Merge:
        found = {
            split: EditedLogits(self.bank, sets, "standard", grouping, vectors).measure(coefficients[None])[0]
            for split, sets in (("validation", self.validation), ("test", self.test))
        }
        tasks = {split: values[:-1] for split, values in found.items()}
        kept = {split: float(values[-1]) / self.before[split] for split, values in found.items()}
        return Merge(
            name,
            float(evaluations),
            float(tasks["validation"].mean()),
            float(tasks["test"].mean()),
            float((tasks["test"] / self.single).mean()),
            kept["validation"],
            kept["test"],
        )


def cma(problem: Problem, budget: int, seed: int, spread: float = 0.2, penalty: float = 10.0) -> tuple[FloatArray, int]:
    """CMA-ES of the package `cma`, whole generations in one batch, penalty times the violations; best point and cost.

    The best point is the best feasible one that was evaluated, or the least infeasible one.

    Raises
    ------
    MissingExtraError       the package is not installed
    """
    try:
        library: Any = importlib.import_module("cma")
    except ModuleNotFoundError as cause:
        raise MissingExtraError("CMA-ES needs the package cma. Install `dfoattack[bench]`.") from cause
    assert problem.x0 is not None
    box = [float(problem.space.lower[0]), float(problem.space.upper[0])]
    settings = {"bounds": box, "seed": seed + 1, "verbose": -9, "maxfevals": budget}
    search = library.CMAEvolutionStrategy(problem.x0[0], spread, settings)
    best: tuple[float, float, FloatArray] | None = None
    used = 0
    while used < budget and not search.stop():
        X = np.array(search.ask())[: budget - used]
        f, C = problem.outer(X, problem.forward(X))
        violation = np.maximum(C, 0.0).sum(1)
        used += len(X)
        for x, value, excess in zip(X, f, violation, strict=True):
            if best is None or (excess, -value) < best[:2]:
                best = (float(excess), -float(value), x)
        if len(X) == search.popsize:
            search.tell(list(X), (-f + penalty * violation).tolist())
    assert best is not None
    return best[2], used
