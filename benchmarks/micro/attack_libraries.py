"""Our PGD beside those of foolbox and torchattacks, at equal work: as many gradient steps over the same points with the same step size.

Both are optional and not installed with the benchmarks: `pip install --no-deps foolbox eagerpy torchattacks` and what foolbox imports besides
(GitPython, requests). A library that cannot be imported is left out of the table, and the table says so.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from statistics import median
from time import process_time
from typing import TYPE_CHECKING, Any

import numpy as np

import dfoattack as da
from dfoattack.attacks.base import Target
from dfoattack.attacks.pgd import PGD
from dfoattack.evaluator import Evaluator

if TYPE_CHECKING:
    from dfoattack._typing import FloatArray

SIDE, CLASSES, WANTED = 16, 10, 3
POINTS, STEPS, RADIUS, REACH, REPEATS = 64, 10, 0.1, 2.5, 5


def classifier() -> Any:
    """Images (k, 1, SIDE, SIDE) -> logits (k, CLASSES): two convolutions and a dense layer, fixed random weights, float32."""
    import torch

    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 16, 3, stride=2, padding=1),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * (SIDE // 2) ** 2, CLASSES),
    ).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(3.0)  # else the logits hardly differ
    return module


def ours(module: Any, X: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Minimise the cross-entropy of the wanted class from all points in lockstep."""
    import torch

    flat = torch.nn.Sequential(torch.nn.Unflatten(1, (1, SIDE, SIDE)), module)
    n = X.shape[1]
    problem = da.Problem(
        surrogate=flat.eval(),
        objective=lambda y: torch.nn.functional.log_softmax(y, dim=1)[:, WANTED],
        space=da.Box([0.0] * n, [1.0] * n),
    )
    evaluator = Evaluator(problem)
    known = evaluator.evaluate(X)
    empty = np.empty(0)
    sides = (np.zeros(n), np.ones(n), np.ones(n), empty, empty, np.empty(0, dtype=np.bool_))
    target = Target(X, known.F, known.C, *sides)
    found = PGD(steps=STEPS, reach=REACH)(target, np.array([RADIUS]), evaluator.view(), rng)
    out = X.copy()
    out[found.centre] = np.clip(X[found.centre] + found.D, 0.0, 1.0)
    return out


def foolbox(module: Any, X: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Linf PGD towards the wanted class, from the point itself."""
    import torch

    library: Any = import_module("foolbox")
    model = library.PyTorchModel(module, bounds=(0, 1), device="cpu")
    attack = library.attacks.LinfPGD(rel_stepsize=REACH / STEPS, steps=STEPS, random_start=False)
    images = torch.tensor(X.reshape(-1, 1, SIDE, SIDE), dtype=torch.float32)
    criterion = library.criteria.TargetedMisclassification(torch.full((len(X),), WANTED))
    _, moved, _ = attack(model, images, criterion, epsilons=RADIUS)
    return np.asarray(moved.numpy().reshape(len(X), -1), dtype=np.float64)


def torchattacks(module: Any, X: FloatArray, rng: np.random.Generator) -> FloatArray:
    """The same with torchattacks."""
    import torch

    library: Any = import_module("torchattacks")
    attack = library.PGD(module, eps=RADIUS, alpha=REACH * RADIUS / STEPS, steps=STEPS, random_start=False)
    attack.set_mode_targeted_by_label(quiet=True)
    images = torch.tensor(X.reshape(-1, 1, SIDE, SIDE), dtype=torch.float32)
    moved = attack(images, torch.full((len(X),), WANTED))
    return np.asarray(moved.numpy().reshape(len(X), -1), dtype=np.float64)


def section(say: Callable[[str], None]) -> str:
    """Markdown of this measurement."""
    lines = [
        "## Attack libraries at equal work",
        "",
        f"{POINTS} images of {SIDE} x {SIDE} in [0, 1], a convolutional classifier of {CLASSES} classes with random weights in float32, {STEPS} "
        f"gradient steps towards class {WANTED} in the l_inf ball of radius {RADIUS}, step {REACH / STEPS:g} radii, no random start. Mean fall of the "
        "cross-entropy of that class (more is better), largest displacement over the radius, CPU milliseconds (all of the "
        f"library's own work included), medians of {REPEATS}.",
        "",
        "| | fall of the cross-entropy | displacement / radius | ms |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, attack in {"dfoattack": ours, "foolbox": foolbox, "torchattacks": torchattacks}.items():
        try:
            if name != "dfoattack":
                import_module(name)
        except ImportError as error:
            lines.append(f"| {name} | not measured: {error} | | |")
            continue
        fall, size, seconds = measured(attack)
        say(f"{name}: fall {fall:.4f}, {1e3 * seconds:.1f} ms")
        lines.append(f"| {name} | {fall:.4f} | {size:.3f} | {1e3 * seconds:.1f} |")
    return "\n".join(lines)


def measured(attack: Callable[[Any, FloatArray, np.random.Generator], FloatArray]) -> tuple[float, float, float]:
    """Mean fall of the cross-entropy, largest displacement over the radius, median CPU seconds."""
    module, rng = classifier(), np.random.default_rng(0)
    falls: list[float] = []
    sizes: list[float] = []
    seconds: list[float] = []
    for _ in range(REPEATS + 1):
        X = rng.uniform(0.0, 1.0, (POINTS, SIDE * SIDE)).astype(np.float32).astype(np.float64)
        start = process_time()
        moved = attack(module, X, np.random.default_rng(1))
        seconds.append(process_time() - start)
        falls.append(float(np.mean(_entropy(module, X) - _entropy(module, moved))))
        sizes.append(float(np.max(np.abs(moved - X))) / RADIUS)
    return float(np.mean(falls)), max(sizes), median(seconds[1:])


def _entropy(module: Any, X: FloatArray) -> FloatArray:
    import torch

    with torch.no_grad():
        logits = module(torch.tensor(X.reshape(-1, 1, SIDE, SIDE), dtype=torch.float32)).double()
        return np.asarray(-torch.log_softmax(logits, dim=1)[:, WANTED].numpy())
