"""Merging as `dfoattack.Problem`: coefficients of task vectors as decision variables, logits of edited models as Phi."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dfoattack.errors import ProblemError
from dfoattack.problem import Constraint, Problem
from dfoattack.space import Box

from .arithmetic import CONTROL_SHARE, sets_of, single
from .bank import MODES, Bank, Mode, load_bank, shipped_bank
from .best_known import look_up
from .data import Family, Split, TaskFamily, load_family, load_files
from .editing import EditedLogits, Grouping
from .picture import draw_coefficients
from .scores import Blocks, Disagreement, Kind, Score
from .surrogates import AffineLogits, MergedLogits, PairLogits

__all__ = [
    "MergeProblem",
    "make_global",
    "make_layer",
    "make_linear",
    "make_negate",
    "make_negate_multi",
    "make_task",
    "make_xi_max",
    "over",
]

FloatArray = npt.NDArray[np.float64]
Objective = Literal["accuracy", "loss", "entropy"]
LOSS_SHARE = 1.05  # of the control's cross-entropy at theta_0, in `linear-merge`


class MergeProblem(Problem):
    """A problem that knows its key in the table of best known values (`best_known.py`).

    case : str          the key; "" where the samples are not the usual ones: nothing is declared
    digest : str        fingerprint of the bank
    """

    def __init__(self, *, case: str, digest: str, **arguments: Any) -> None:
        super().__init__(known=look_up(case, digest), sense="maximize", backend="torch", **arguments)
        self.case = case


def make_global(
    bank: str = "digits", mode: Mode = "standard", *, control: bool = False, samples: int | None = None
) -> MergeProblem:
    """Return the merge with one coefficient for all tasks, n = 1: theta = theta_0 + x sum_t tau_t.

    x in [0, 1], start 0.3; f = mean over tasks of validation accuracy / single-task accuracy of the same mode.

    Parameters
    ----------
    bank : str              a shipped bank ("digits", "real", "real-vit"), or an ``.npz`` file written by ``train.py``
    mode : "standard" | "post-hoc" | "linear"
    control : bool          keep 95 % of the control task's accuracy
    samples : int, optional validation samples of every task; None: all

    Raises
    ------
    ProblemError            a parameter outside its range
    """
    loaded, family = _load(bank, mode)
    tasks = len(family.tasks)
    return over(
        loaded,
        family,
        mode,
        name="merge-global",
        layout=np.ones((tasks, 1)),
        bounds=(0.0, 1.0),
        weights=[1.0 / (tasks * s) for s in single(loaded, family, mode, "val")],
        control=control,
        samples=samples,
        names=["alpha"],
    )


def make_task(
    bank: str = "digits",
    mode: Mode = "standard",
    objective: Objective = "accuracy",
    *,
    control: bool = True,
    samples: int | None = None,
) -> MergeProblem:
    """Return the merge with one coefficient a task, n = T.

    x in [-0.5, 1.5]^T, start 0.3; f = mean over tasks of validation accuracy ("accuracy", discontinuous), or minus the
    mean cross-entropy ("loss", smooth) or entropy ("entropy", without labels). Others as in `make_global`.
    """
    return make_layer(bank, mode, objective, grouping="all", control=control, samples=samples)


def make_layer(
    bank: str = "digits",
    mode: Mode = "standard",
    objective: Objective = "accuracy",
    *,
    grouping: Grouping = "layer",
    control: bool = True,
    samples: int | None = None,
) -> MergeProblem:
    """Return the merge with one coefficient a task and layer ("layer"), or a task and tensor ("tensor").

    n = 20 or 40 with the perceptron (4 tasks, 5 layers, 10 tensors), 52 or 112 with the vision transformer. Others as
    in `make_task`.
    """
    loaded, family = _load(bank, mode)
    _choose("objective", objective, get_args(Objective))
    _choose("grouping", grouping, get_args(Grouping))
    tasks = len(family.tasks)
    return over(
        loaded,
        family,
        mode,
        name="merge-task" if grouping == "all" else "merge-layer",
        grouping=grouping,
        kind=objective,
        bounds=(-0.5, 1.5),
        weights=[1.0 / tasks] * tasks,
        control=control,
        samples=samples,
    )


def make_negate(
    bank: str = "digits",
    mode: Mode = "standard",
    *,
    target: int = 0,
    per_tensor: bool = False,
    samples: int | None = None,
) -> MergeProblem:
    """Return the problem to forget one task and keep the control: theta = theta_0 - x tau_target.

    x in [0, 1], start 0 (feasible); f = - validation accuracy of the target; the control keeps 95 % of its accuracy.

    Parameters
    ----------
    target : int            task to forget, 0 .. T-1
    per_tensor : bool       one coefficient a tensor (n = 10 with the perceptron) instead of one
    """
    loaded, family = _load(bank, mode)
    _in_range("target", target, len(family.tasks))
    tasks = len(family.tasks)
    weights = [0.0] * tasks
    weights[target] = -1.0
    return over(
        loaded,
        family,
        mode,
        name="negate",
        vectors=[target],
        grouping="tensor" if per_tensor else "all",
        sign=-1.0,
        bounds=(0.0, 1.0),
        start=0.0,
        weights=weights,
        control=True,
        samples=samples,
    )


def make_negate_multi(
    bank: str = "digits", mode: Mode = "standard", *, forget: Sequence[int] = (0,), samples: int | None = None
) -> MergeProblem:
    """Return the problem to forget some tasks and keep the others, n = T.

    x in [-1.5, 1.5]^T, start 0; f = mean accuracy of the kept tasks - mean accuracy of the forgotten ones;
    the control and every kept task keep 95 % of the accuracy that theta_0 has.

    forget : sequence of int        tasks to forget, at least one and not all
    """
    loaded, family = _load(bank, mode)
    tasks = len(family.tasks)
    lost = sorted(set(forget))
    for t in lost:
        _in_range("forget", t, tasks)
    if not 0 < len(lost) < tasks:
        raise ProblemError(f"`forget` must hold at least one and at most {tasks - 1} tasks, got {list(forget)}.")
    kept = [t for t in range(tasks) if t not in lost]
    weights = [-1.0 / len(lost) if t in lost else 1.0 / len(kept) for t in range(tasks)]
    return over(
        loaded,
        family,
        mode,
        name="negate-multi",
        bounds=(-1.5, 1.5),
        start=0.0,
        weights=weights,
        control=True,
        keep=kept,
        samples=samples,
    )


def make_xi_max(
    bank: str = "digits",
    mode: Mode = "standard",
    *,
    pair: tuple[int, int] = (0, 1),
    goal: Literal["worst", "best"] = "worst",
    samples: int | None = None,
) -> MergeProblem:
    """Return the search for the worst (or best) disentanglement error xi of two tasks, n = 2.

    x = (a1, a2) in [-2, 2]^2 with |a1| + |a2| >= 1, start (1, 1); f = xi or -xi on validation samples, piecewise
    constant.

    pair : two different tasks;  goal : "worst" | "best"
    """
    loaded, family = _load(bank, mode)
    _choose("goal", goal, ("worst", "best"))
    for t in pair:
        _in_range("pair", t, len(family.tasks))
    if len(pair) != 2 or pair[0] == pair[1]:
        raise ProblemError(f"`pair` must be two different tasks, got {tuple(pair)}.")
    first, second = pair
    splits = [_some(family.tasks[t].val, samples) for t in pair]
    sizes, classes = (len(splits[0]), len(splits[1])), (len(loaded.heads[first]), len(loaded.heads[second]))
    score = Disagreement(1.0 if goal == "worst" else -1.0, classes, sizes)
    case = f"xi-max/{bank}/{mode}/{first}-{second}/{goal}"
    return MergeProblem(
        name="xi-max",
        surrogate=PairLogits(loaded, (first, second), splits, mode).eval(),
        objective=score,
        f_soft=score.soft,
        constraints=[Constraint(_away_from_zero, name="size")],
        space=Box([-2.0, -2.0], [2.0, 2.0], names=["a1", "a2"]),
        x0=np.ones(2),
        case=case if samples is None else "",
        digest=loaded.fingerprint(),
        picture=draw_coefficients,
    )


def make_linear(bank: str = "digits", *, per_tensor: bool = False, control: bool = False) -> MergeProblem:
    """Return the convex merge: the network linearised at theta_0, heads included, so that logits are affine in x.

    x in [-0.5, 1.5]^n, start 0; f = - mean cross-entropy over tasks (nats); float64.

    Parameters
    ----------
    per_tensor : bool       n = T times the number of tensors (40) instead of T (4)
    control : bool          the control's cross-entropy may grow by 5 % (a convex constraint)
    """
    loaded, family = _load(bank, "linear")
    sets = sets_of(family, "val")
    tasks = len(family.tasks)
    module = AffineLogits(loaded, sets, per_tensor).eval()
    blocks = Blocks.of(sets, loaded.heads)
    score = Score(blocks, (*[1.0 / tasks] * tasks, 0.0), "loss")
    constraints = []
    if control:
        own = (0.0,) * tasks + (-1.0,)
        start = -float(Score(blocks, own, "loss")(module.value[None])[0])
        limit = Score(blocks, own, "loss", -LOSS_SHARE * -start)
        constraints = [Constraint(limit, name="control")]
    n = len(module.slopes)
    case = f"linear-merge/{bank}/{n}" + ("/control" if control else "")
    return MergeProblem(
        name="linear-merge",
        surrogate=module,
        objective=score,
        f_soft=score.soft,
        constraints=constraints,
        space=Box(np.full(n, -0.5), np.full(n, 1.5)),
        x0=np.zeros(n),
        case=case,
        digest=loaded.fingerprint(),
        picture=draw_coefficients,
    )


def over(
    bank: Bank,
    family: TaskFamily,
    mode: Mode,
    *,
    weights: Sequence[float],
    name: str = "merge",
    layout: FloatArray | None = None,
    vectors: Sequence[int] | None = None,
    grouping: Grouping = "all",
    kind: Kind = "accuracy",
    bounds: tuple[float, float] = (-0.5, 1.5),
    start: float = 0.3,
    sign: float = 1.0,
    control: bool = True,
    keep: Sequence[int] = (),
    samples: int | None = None,
    sets: Sequence[tuple[int, Split]] | None = None,
    names: list[str] | None = None,
) -> MergeProblem:
    """Return a merging problem over any bank and family: what all `make_...` but two are made of.

    Parameters
    ----------
    weights : T floats              f = sum_t weight_t * score of task t on its validation samples
    layout : float64 (T * G, n), optional
                                    from decision variables to coefficients; None: `sign` times the identity
    vectors : tasks whose task vectors are used, optional; None: all
    kind : "accuracy" | "loss" | "entropy"
    bounds, start : of every variable
    control : bool                  constraint `control`: control accuracy >= 0.95 of what theta_0 has
    keep : tasks that keep 95 % of the accuracy that theta_0 has (constraints `task 0`, ...)
    samples : int, optional         validation samples a task
    sets : sequence of (task, Split), optional
                                    what to evaluate instead of the validation samples of tasks and control

    Notes
    -----
    `verify(x)` is f on the test samples.
    """
    if samples is not None and not 1 <= samples <= len(family.tasks[0].val):
        raise ProblemError(f"`samples` must lie in [1, {len(family.tasks[0].val)}], got {samples}.")
    taus = None if vectors is None else [bank.vectors_of(mode)[t] for t in vectors]
    tasks = len(family.tasks)
    used = [t for t in range(tasks + 1) if t == tasks or weights[t] or t in keep]
    if sets is None:
        sets = [(t, _some(family.all[t].val, samples)) for t in used]
    logits = EditedLogits(bank, sets, mode, grouping, taus)
    plan = sign * torch.eye(logits.coefficients, dtype=torch.float64) if layout is None else torch.from_numpy(layout)
    module = MergedLogits(logits, plan).eval()
    n = plan.shape[1]
    score = Score(logits.blocks, tuple(weights[t] if t < tasks else 0.0 for t in used), kind)
    with torch.no_grad():
        untouched = logits(torch.zeros(1, logits.coefficients, dtype=torch.float64)).double()
    limits = [*([tasks] if control else []), *keep]
    constraints = [_keeps(logits.blocks, used.index(t), untouched, _label(t, tasks)) for t in limits]
    case = "/".join(
        [name, bank.name, mode, kind, grouping, "control" if control else "free", repr(vectors), repr(keep)]
    )
    return MergeProblem(
        name=name,
        surrogate=module,
        objective=score,
        f_soft=score.soft,
        constraints=constraints,
        space=Box(
            np.full(n, bounds[0]), np.full(n, bounds[1]), names=names or _names(vectors, tasks, logits, grouping)
        ),
        x0=np.full(n, start),
        case=case if all(split is family.all[t].val for t, split in sets) else "",
        digest=bank.fingerprint(),
        verify=_Held(bank, family, mode, tuple(used), score, plan, grouping, taus),
        picture=draw_coefficients,
    )


class _Held:
    """f on test samples; the model of these is built at the first call."""

    def __init__(self, bank: Bank, family: TaskFamily, *rest: Any) -> None:
        self._parts = (bank, family, *rest)
        self._test: Callable[[Tensor], Tensor] | None = None

    def __call__(self, x: FloatArray) -> float:
        if self._test is None:
            bank, family, mode, used, score, plan, grouping, taus = self._parts
            sets = [(t, family.all[t].test) for t in used]
            logits = EditedLogits(bank, sets, mode, grouping, taus)
            held = Score(logits.blocks, score.weights, score.kind, score.offset)
            module = MergedLogits(logits, plan)
            self._test = lambda X: held(module(X))
        with torch.no_grad():
            return float(self._test(torch.from_numpy(np.array(x, dtype=np.float64))[None])[0])


def _keeps(blocks: Blocks, place: int, untouched: Tensor, name: str) -> Constraint:
    """0.95 * accuracy at theta_0 - accuracy <= 0 for the set at `place`; outputs at theta_0 are `untouched` (1, m).

    Attacks see its own values, with slopes of the expected accuracy: a stand-in's values would let them stop where
    the stand-in holds and the limit does not.
    """
    own = Score(blocks, tuple(-1.0 if s == place else 0.0 for s in range(len(blocks.labels))))
    limit = replace(own, offset=-CONTROL_SHARE * float(own(untouched)[0]))
    return Constraint(limit, name=name, grad=limit.soft_gradient)


def _away_from_zero(x: Tensor, y: Tensor) -> Tensor:
    return 1.0 - x.abs().sum(1)


def _load(bank: str, mode: str) -> tuple[Bank, TaskFamily]:
    _choose("mode", mode, MODES)
    loaded = load_bank(bank) if bank.endswith(".npz") else shipped_bank(bank)
    return loaded, _family(**loaded.data)


@lru_cache(maxsize=2)
def _family(family: Family = "digits", seed: int = 0, folder: str | None = None) -> TaskFamily:
    return load_family(family, seed) if folder is None else load_files(folder)


def _some(split: Split, samples: int | None) -> Split:
    return split if samples is None else split.first(samples)


def _label(t: int, tasks: int) -> str:
    return "control" if t == tasks else f"task {t}"


def _names(vectors: Sequence[int] | None, tasks: int, logits: EditedLogits, grouping: Grouping) -> list[str]:
    groups = logits.features.groups
    labels = (
        [""]
        if grouping == "all"
        else [f" {g[0] if grouping == 'tensor' else g[0].rpartition('.')[0] or g[0]}" for g in groups]
    )
    return [f"task {t}{label}" for t in (range(tasks) if vectors is None else vectors) for label in labels]


def _choose(name: str, value: str, legal: Sequence[str]) -> None:
    if value not in legal:
        raise ProblemError(f"`{name}` must be one of {', '.join(map(repr, legal))}, got {value!r}.")


def _in_range(name: str, value: int, tasks: int) -> None:
    if not 0 <= value < tasks:
        raise ProblemError(f"`{name}` must lie in [0, {tasks - 1}], got {value}.")
