"""The families of tasks: four tasks and a control on one canvas, made from small caches; and tasks given as files."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from dfoattack.errors import ProblemError

Family = Literal["digits", "digits-overlap", "shared", "real"]
FAMILIES: tuple[Family, ...] = ("digits", "digits-overlap", "shared", "real")
CLASSES = 10
BLOCKS = 5  # one per task, the last one for the control
FOLDER = Path(__file__).resolve().parent

Bytes = npt.NDArray[np.uint8]
Images = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Split:
    """Inputs X (N, ...) float32 and labels y (N,) int64."""

    X: Tensor
    y: Tensor

    def __len__(self) -> int:
        return len(self.y)

    def first(self, count: int) -> Split:
        """The first `count` samples (samples are in random order)."""
        return Split(self.X[:count], self.y[:count])

    def rest(self, count: int) -> Split:
        """All but the first `count` samples."""
        return Split(self.X[count:], self.y[count:])

    def per_class(self, count: int) -> Split:
        """The first `count` samples of every class."""
        rows = torch.cat([torch.nonzero(self.y == label)[:count, 0] for label in self.y.unique()])
        return Split(self.X[rows], self.y[rows])


@dataclass(frozen=True)
class Task:
    """One classification task with disjoint samples for training, validation and test."""

    name: str
    train: Split
    val: Split
    test: Split


@dataclass(frozen=True)
class TaskFamily:
    """Tasks t = 0..T-1 that are merged, and a control task whose accuracy has to be kept."""

    name: str
    seed: int
    tasks: tuple[Task, ...]
    control: Task

    @property
    def all(self) -> tuple[Task, ...]:
        """Tasks, then the control."""
        return (*self.tasks, self.control)

    def limited(self, val: int, test: int) -> TaskFamily:
        """The same with at most so many samples for validation and test."""
        cut = [Task(t.name, t.train, t.val.first(val), t.test.first(test)) for t in self.all]
        return TaskFamily(self.name, self.seed, tuple(cut[:-1]), cut[-1])


@lru_cache(maxsize=3)
def _images(name: str) -> tuple[Bytes, Bytes]:
    with np.load(FOLDER / "images" / f"{name}.npz", allow_pickle=False) as file:
        return file["images"], file["labels"]


def _identity(images: Images) -> Images:
    return images


def _turned(images: Images) -> Images:
    return np.rot90(images, axes=(1, 2))


def _mirrored(images: Images) -> Images:
    return images[:, :, ::-1]


def _scattered(images: Images) -> Images:
    """A permutation of the pixels that belongs to the task: the same for every seed."""
    side = images.shape[1]
    order = np.random.default_rng(7).permutation(side * side)
    return images.reshape(len(images), -1)[:, order].reshape(images.shape)


def load_family(name: Family = "digits", seed: int = 0) -> TaskFamily:
    """Make a family of four tasks and a control.

    Parameters
    ----------
    name : {"digits", "digits-overlap", "shared", "real"}
        "digits": scikit-learn's 1797 digits of 8x8 on a canvas of five blocks of 64 pixels. Task t draws the digit
        (as it is, turned, with scattered pixels, mirrored) into block t, the control draws it into block 4; noise of
        deviation 0.15 everywhere; labels are permuted in every task; 1000, 300, 497 samples.
        "digits-overlap": the same, and the next block shows the mirrored picture at half strength.
        "shared": all tasks in one block of 64 pixels (the control is upside down).
        "real": five blocks of 14x14; MNIST, Fashion-MNIST, MNIST turned, Fashion-MNIST mirrored, control Fashion-MNIST
        turned; no picture occurs twice; noise 0.05; 3000, 1000, 1000 samples.
    seed : int
        of order, label permutations and noise

    Raises
    ------
    ProblemError        another name
    """
    if name not in FAMILIES:
        raise ProblemError(f"`family` must be one of {', '.join(map(repr, FAMILIES))}, got {name!r}.")
    rng = np.random.default_rng([seed, FAMILIES.index(name)])
    tasks = _real(rng) if name == "real" else _digits(name, rng)
    return TaskFamily(name, seed, tasks[:-1], tasks[-1])


def _digits(name: Family, rng: np.random.Generator) -> tuple[Task, ...]:
    images, labels = _images("digits")
    pictures = images / 16.0
    changes: list[tuple[str, Callable[[Images], Images]]] = [
        ("digits", _identity),
        ("digits turned", _turned),
        ("digits scattered", _scattered),
        ("digits mirrored", _mirrored),
        ("control", (lambda images: images[:, ::-1]) if name == "shared" else _identity),
    ]
    tasks = []
    for block, (title, change) in enumerate(changes):
        order = rng.permutation(len(labels))
        drawn = change(pictures[order])
        place, blocks = (0, 1) if name == "shared" else (block, BLOCKS)
        canvas = _canvas(drawn, place, blocks)
        if name == "digits-overlap":
            canvas += _canvas(0.5 * _mirrored(drawn), (block + 1) % BLOCKS, BLOCKS)
        tasks.append(_task(title, canvas, rng.permutation(CLASSES)[labels[order]], (1000, 300, 497), 0.15, rng))
    return tuple(tasks)


def _real(rng: np.random.Generator) -> tuple[Task, ...]:
    plan: list[tuple[str, str, Callable[[Images], Images]]] = [
        ("MNIST", "mnist", _identity),
        ("Fashion-MNIST", "fashion", _identity),
        ("MNIST turned", "mnist", _turned),
        ("Fashion-MNIST mirrored", "fashion", _mirrored),
        ("control", "fashion", _turned),
    ]
    orders = {source: rng.permutation(len(_images(source)[1])) for source in ("mnist", "fashion")}
    used = dict.fromkeys(orders, 0)
    tasks = []
    for block, (title, source, change) in enumerate(plan):
        images, labels = _images(source)
        rows = orders[source][used[source] : used[source] + 5000]
        used[source] += 5000
        canvas = _canvas(change(images[rows] / 255.0), block, BLOCKS)
        tasks.append(_task(title, canvas, rng.permutation(CLASSES)[labels[rows]], (3000, 1000, 1000), 0.05, rng))
    return tuple(tasks)


def _canvas(pictures: Images, block: int, blocks: int) -> Images:
    flat = pictures.reshape(len(pictures), -1)
    canvas = np.zeros((len(flat), blocks * flat.shape[1]))
    canvas[:, block * flat.shape[1] : (block + 1) * flat.shape[1]] = flat
    return canvas


def _task(
    title: str,
    canvas: Images,
    labels: npt.NDArray[np.integer],
    sizes: tuple[int, int, int],
    noise: float,
    rng: np.random.Generator,
) -> Task:
    X = torch.from_numpy((canvas + noise * rng.standard_normal(canvas.shape)).astype(np.float32))
    y = torch.from_numpy(labels.astype(np.int64))
    ends = np.cumsum((0, *sizes))
    return Task(title, *(Split(X[a:b].clone(), y[a:b].clone()) for a, b in itertools.pairwise(ends)))


def load_files(folder: Path | str) -> TaskFamily:
    """Read a family from a folder: ``tasks.json`` lists names, control last; ``NAME.npz`` holds the arrays.

    Each ``.npz`` holds X_train, y_train, X_val, y_val, X_test, y_test; X as the encoder takes it (pictures: N, 3, H, W),
    y integers 0..C-1. What else it holds (the task's head, `open_clip.py`) is not read here.

    Raises
    ------
    ProblemError        a file or an array is missing
    """
    folder = Path(folder)
    listing = folder / "tasks.json"
    if not listing.exists():
        raise ProblemError(f"`tasks` must be a folder with a file tasks.json, got {str(folder)!r}.")
    names = json.loads(listing.read_text(encoding="utf-8"))
    if len(names) < 2:
        raise ProblemError(f"tasks.json must list at least one task and the control, got {names!r}.")
    tasks = tuple(_read(folder / f"{name}.npz", name) for name in names)
    return TaskFamily(f"files:{folder}", 0, tasks[:-1], tasks[-1])


def _read(path: Path, name: str) -> Task:
    wanted = [f"{kind}_{split}" for split in ("train", "val", "test") for kind in ("X", "y")]
    if not path.exists():
        raise ProblemError(f"tasks.json names the task {name!r}, but {path.name} does not exist.")
    with np.load(path, allow_pickle=False) as file:
        missing = [key for key in wanted if key not in file.files]
        if missing:
            raise ProblemError(f"{path.name} must hold the arrays {', '.join(wanted)}; {', '.join(missing)} missing.")
        arrays = {key: file[key] for key in wanted}
    splits = [
        Split(
            torch.from_numpy(arrays[f"X_{s}"].astype(np.float32)), torch.from_numpy(arrays[f"y_{s}"].astype(np.int64))
        )
        for s in ("train", "val", "test")
    ]
    return Task(name, *splits)
