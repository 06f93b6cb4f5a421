"""`dfoattack study merging`: train, merge with every method, and write tables and heat maps.

One part is one bank with one seed; it ends in a file ``parts/NAME-SEED.json`` and is not repeated where that exists.
Parts run in as many processes as there are cores, each with one thread, so results do not depend on the number of cores.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dfoattack.studies import Progress

from .arithmetic import (
    addition,
    disentanglement,
    mean_disentanglement,
    negation,
    nonlinear_advantage,
    sets_of,
    single,
)
from .bank import BANKS, MODES, Bank, build
from .data import TaskFamily
from .editing import EditedLogits
from .kernel import local_energy, output_gradients
from .methods import Merging
from .study_pictures import draw_heat_maps, draw_overfitting
from .study_report import write_report

__all__ = ["Part", "Scale", "measure", "run"]


@dataclass(frozen=True)
class Scale:
    """How much is done in a part.

    Attributes
    ----------
    val, test : int         samples of every task at most
    budget : int            evaluations of every searching method
    points : int            per side of the disentanglement grids that are averaged
    map_points : int        per side of the heat map; 0: none
    kernel : int            samples of the kernel study; 0: none
    random_start : bool     repeat everything but the merging without pre-training
    merge : bool            compare the merging methods
    sizes : tuple of int    fewer validation samples a task, to see over-fitting; none where methods are not compared
    """

    val: int = 1000
    test: int = 1000
    budget: int = 300
    points: int = 5
    map_points: int = 21
    kernel: int = 300
    random_start: bool = False
    merge: bool = True
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Part:
    """One bank with one seed."""

    bank: str
    seed: int
    scale: Scale

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"{self.bank}-{self.seed}"


def parts_of(quick: bool, seeds: int) -> list[Part]:
    """Digits and real pictures for every seed, longest first; the vision transformer once, with fewer samples."""
    if quick:
        small = Scale(val=150, test=300, budget=60, points=3, map_points=5, kernel=60, sizes=(50,))
        return [Part("digits", seed, small) for seed in range(seeds)]
    vit = Scale(val=200, test=400, points=3, map_points=11, kernel=0, merge=False)
    real, digits = Scale(sizes=(50, 200)), Scale(random_start=True, sizes=(50, 100))
    others = [Part(bank, seed, scale) for bank, scale in (("real", real), ("digits", digits)) for seed in range(seeds)]
    return [Part("real-vit", 0, vit), *others]


def run(out: Path, *, quick: bool, seeds: int, progress: Progress) -> None:
    """Do every part that is not there yet, then write ``report.md``, ``results.json`` and the pictures.

    Parameters
    ----------
    out : Path          existing folder
    quick : bool        digits alone, with few samples and evaluations: about a minute
    seeds : int         of data, initialisation, batches and searches: 0 .. seeds - 1
    progress : callable (done, total, text)
    """
    parts = parts_of(quick, seeds)
    folder = out / "parts"
    folder.mkdir(exist_ok=True)
    waiting = [part for part in parts if not (folder / f"{part.name}.json").exists()]
    done = len(parts) - len(waiting)
    progress(done, len(parts), f"{done} parts were there")
    workers = min(len(waiting), os.cpu_count() or 1)
    if workers > 1:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, mp_context=context) as pool:
            running = {pool.submit(measure, part, folder): part for part in waiting}
            for future in as_completed(running):
                future.result()
                done += 1
                progress(done, len(parts), running[future].name)
    else:
        for part in waiting:
            measure(part, folder)
            done += 1
            progress(done, len(parts), part.name)
    parts.sort(key=lambda part: list(BANKS).index(part.bank))
    results = [json.loads((folder / f"{part.name}.json").read_text(encoding="utf-8")) for part in parts]
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    mapped = list(dict.fromkeys(part.bank for part in parts if part.scale.map_points))
    for bank in mapped:
        maps = [_read_maps(folder / f"{part.name}.npz") for part in parts if part.bank == bank]
        draw_heat_maps(maps, out / f"xi-{bank}.png")
    if any(result["merging"] for result in results):
        draw_overfitting(results, out / "validation-test.png")
    write_report(results, out, mapped)


def measure(part: Part, folder: Path) -> None:
    """Train and measure one part, and write its files."""
    torch.set_num_threads(1)
    began = time.process_time()
    scale = part.scale
    bank, whole = build(part.bank, part.seed)
    trained = time.process_time() - began
    family = whole.limited(scale.val, scale.test)
    result: dict[str, Any] = {
        "bank": part.bank,
        "seed": part.seed,
        "samples": [len(family.control.val), len(family.control.test)],
        "budget": scale.budget,
        "untouched": _untouched(bank, family),
        "modes": _modes(bank, family, scale),
        "kernel": _kernel(bank, family, scale.kernel) if scale.kernel else None,
        "random": None,
        "merging": _merging(bank, family, part) if scale.merge else [],
        "sizes": _sizes(bank, family, part),
    }
    if scale.random_start:
        random, _ = build(part.bank, part.seed, pre_trained=False)
        result["random"] = _modes(random, family, scale)
    if scale.map_points:
        _heat_maps(bank, family, scale.map_points, folder / f"{part.name}.npz")
    result["seconds"] = {"training": trained, "all": time.process_time() - began}
    text = json.dumps(result, indent=1)
    (folder / f"{part.name}.json.new").write_text(text, encoding="utf-8")
    (folder / f"{part.name}.json.new").rename(folder / f"{part.name}.json")


def _untouched(bank: Bank, family: TaskFamily) -> dict[str, float]:
    zero = torch.zeros(1, len(family.tasks), dtype=torch.float64)
    found = EditedLogits(bank, sets_of(family, "test")).measure(zero)[0]
    return {"tasks": float(found[:-1].mean()), "control": float(found[-1])}


def _modes(bank: Bank, family: TaskFamily, scale: Scale) -> dict[str, dict[str, float]]:
    """Addition, negation, disentanglement and non-linear advantage of the three modes."""
    table = {}
    for mode in MODES:
        added, negated = addition(bank, family, mode), negation(bank, family, mode)
        table[mode] = {
            "single": float(np.mean(added.single)),
            "alpha": added.alpha,
            "absolute": added.absolute,
            "normalised": added.normalised,
            "target": negated.target,
            "control": negated.control,
            "xi unit": mean_disentanglement(bank, family, mode, 0.0, 1.0, scale.points),
            "xi wide": mean_disentanglement(bank, family, mode, -2.0, 2.0, scale.points),
        }
    alone = {mode: single(bank, family, mode, "test") for mode in ("standard", "linear")}
    advantage = nonlinear_advantage(alone["linear"], alone["standard"], 10)
    table["standard"]["advantage"] = float(np.mean(advantage))
    return table


def _heat_maps(bank: Bank, family: TaskFamily, points: int, path: Path) -> None:
    axis = torch.linspace(-2.0, 2.0, points, dtype=torch.float64)
    small = family.limited(1, 200)
    maps = {mode: disentanglement(bank, small, mode, (0, 1), axis).numpy() for mode in MODES}
    np.savez_compressed(path, axis=axis.numpy(), **maps)


def _read_maps(path: Path) -> dict[str, Any]:
    with np.load(path, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


def _kernel(bank: Bank, family: TaskFamily, count: int) -> dict[str, float]:
    """Local energy of the first 20 eigenfunctions, mean over the first two tasks."""
    found: dict[str, list[float]] = {"own task": [], "other task": [], "control": []}
    for t in (0, 1):
        gradients = _gradients_of(bank, t, family.tasks[t].train.X[:count])
        places = {"own task": family.tasks[t], "other task": family.tasks[t + 1], "control": family.control}
        for name, task in places.items():
            rows = _gradients_of(bank, t, task.test.X[: count // 2])
            found[name].append(float(local_energy(gradients, rows, min(20, count)).mean()))
    return {name: float(np.mean(values)) for name, values in found.items()}


def _gradients_of(bank: Bank, t: int, X: Tensor) -> Tensor:
    return output_gradients(bank.encoder, bank.theta_0, bank.heads[t], X)


def _merging(bank: Bank, family: TaskFamily, part: Part) -> list[dict[str, Any]]:
    rows = []
    for control in (False, True):
        merging = Merging(bank, family, part.scale.budget, part.seed, control=control)
        for method in merging.run():
            began = time.process_time()
            row = method()
            rows.append({"control kept": control, **row._asdict(), "seconds": time.process_time() - began})
    return rows


def _sizes(bank: Bank, family: TaskFamily, part: Part) -> list[dict[str, Any]]:
    """Merging by layer with fewer validation samples, control not looked at."""
    rows = []
    for samples in part.scale.sizes:
        merging = Merging(bank, family, part.scale.budget, part.seed, control=False, samples=samples)
        found = [merging.grid(), *(merging.dfoattack("layer", kind) for kind in ("accuracy", "loss"))]
        rows += [{"samples": samples, **row._asdict()} for row in (*found, merging.checked("layer"))]
    return rows
