"""The study behind `dfoattack study rotation`: three experiments, the continuity test, and the solver in every space."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import dfoattack as da

from .continuity import largest_jump
from .experiments import Errors, cloud_errors, pose_errors, sanity_errors
from .fit import make_cut, make_fit
from .representations import NAMES, REPRESENTATIONS, representation
from .retraction import retraction_of, solve_with_retraction
from .skeleton import shipped_motion
from .study_pictures import Results, failures, percentiles
from .train import object_clouds, train_cloud, train_pose, train_sanity

__all__ = ["run"]

CLOUD, POSE = ("6d", "svd", "quaternion", "euler"), ("6d", "quaternion", "euler")
"""Representations of the two expensive experiments."""
SUCCESS = 1.0
"""Degrees below which a fit has succeeded."""


@dataclass(frozen=True)
class Plan:
    """How much is done.

    sanity, cloud, pose : representations, repetitions and steps of each experiment;  tests : rotations that errors are
    measured on;  starts : fits in every space, by solver;  budget : of a fit
    """

    sanity: tuple[tuple[str, ...], int, int]
    cloud: tuple[tuple[str, ...], int, int]
    pose: tuple[tuple[str, ...], int, int]
    tests: int
    starts: dict[str, int]
    budget: int

    @classmethod
    def of(cls, quick: bool, seeds: int) -> Plan:
        """Quick: a minute. Full: the expensive experiments are repeated once for every five seeds of the cheap one."""
        if quick:
            few = ("6d", "quaternion")
            sanity = (("6d", "5d", "svd", "quaternion", "euler"), 1, 400)
            return cls(sanity, (few, 1, 150), (few, 1, 100), 10_000, {"default": 4, "no gradients": 4}, 300)
        few_seeds = max(1, seeds // 5)
        starts = {"default": 25, "no gradients": 100}  # the default misses next to none, and a fit takes longer
        return cls((NAMES, seeds, 2000), (CLOUD, few_seeds, 2000), (POSE, few_seeds, 2000), 100_000, starts, 600)

    def fit_size(self, solver: str) -> tuple[int, int]:
        """Starts and budget of the fits by this solver."""
        return self.starts[solver], self.budget


# ---------------------------------------------------------------- fits


FITS: dict[str, tuple[str, dict[str, Any], bool]] = {
    **{name: (name, {}, False) for name in NAMES if name != "matrix"},
    "6d-free": ("6d", {"limits": False}, False),
    "6d-retraction": ("6d", {"limits": False}, True),
    "euler-periodic": ("euler", {"periodic": True}, False),
}
"""Decision space -> representation, parameters of the problem, whether retraction is used."""
FIT_LABELS = {
    "6d": "6D, column norms limited",
    "6d-free": "6D, free",
    "6d-retraction": "6D, free, with retraction",
    "euler-periodic": "Euler angles, two of them periodic",
}
SOLVERS: dict[str, dict[str, Any]] = {
    "default": {},
    "no gradients": {"attacks": ()},
}


def fits(space: str, solver: str, starts: int, budget: int) -> list[list[float]]:
    """Final error in degrees and cost in evaluations of `starts` fits, each stopped below `SUCCESS`."""
    rep, parameters, with_retraction = FITS[space]
    found = []
    for instance in range(starts):
        problem = make_fit(rep, instance, **parameters)  # type: ignore[arg-type]
        common: dict[str, Any] = {"budget": budget, "seed": instance, "f_target": -SUCCESS, "options": SOLVERS[solver]}
        if with_retraction:
            result, cost = solve_with_retraction(problem, retraction_of(representation(rep)), **common)
        else:
            result = da.solve(problem, **common)
            cost = result.cost
        found.append([-result.fun, cost])
    return found


POLL: dict[str, Any] = {"attacks": (), "searches": (), "restarts": False, "speculative": False}
CUTS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "angle, poll alone": ({}, {**POLL, "covering": False}),
    "angle, poll and covering with a radius of the box": ({}, {**POLL, "covering_radius": 8.0}),
    "angle, default": ({}, {}),
    "periodic angle, poll alone": ({"periodic": True}, {**POLL, "covering": False}),
    "vector, poll alone": ({"n": 2}, {**POLL, "covering": False}),
}
"""Row of the table -> parameters of `rot-cut-1d`, options of the solver."""
CUT_SEEDS, CUT_BUDGET = 10, 150


# ---------------------------------------------------------------- parts


@dataclass(frozen=True)
class Part:
    """One file of the study: a network with its errors, or the fits in one space by one solver.

    kind : "sanity", "cloud", "ik" or "fit";  name : representation, or decision space of a fit;  run : seed, or solver of a
    fit;  size : steps and test cases, or starts and budget: quick parts are not taken for full ones
    """

    kind: str
    name: str
    run: int | str
    size: tuple[int, int]

    @property
    def text(self) -> str:
        """What it is, for the live line."""
        return f"fit {self.name}, {self.run}" if self.kind == "fit" else f"{self.kind} {self.name} seed {self.run}"

    def path(self, folder: Path) -> Path:
        """Its file."""
        words = (self.kind, self.name, self.run, *self.size)
        end = "json" if self.kind == "fit" else "npz"
        return folder / ("-".join(str(word).replace(" ", "-") for word in words) + f".{end}")

    def make(self, folder: Path) -> None:
        """Do the work and write the file; it appears complete or not at all."""
        path = self.path(folder)
        unfinished = path.with_name(f"unfinished-{path.name}")
        if self.kind == "fit":
            unfinished.write_text(json.dumps(fits(self.name, str(self.run), *self.size)), encoding="utf-8")
        else:
            self._errors().save(unfinished)
        unfinished.replace(path)

    def _errors(self) -> Errors:
        (steps, tests), seed = self.size, int(self.run)
        if self.kind == "sanity":
            return sanity_errors(train_sanity(self.name, seed, steps), tests)
        if self.kind == "cloud":
            return cloud_errors(train_cloud(self.name, seed, steps), object_clouds(), tests)
        return pose_errors(train_pose(self.name, seed, steps), shipped_motion())


def parts_of(plan: Plan) -> list[Part]:
    """All parts, in the order of the tables."""
    parts = []
    for kind, (reps, seeds, steps), tests in (
        ("sanity", plan.sanity, plan.tests),
        ("cloud", plan.cloud, plan.tests // 5),
        ("ik", plan.pose, 0),
    ):
        parts += [Part(kind, rep, seed, (steps, tests)) for rep in reps for seed in range(seeds)]
    return parts + [Part("fit", space, solver, plan.fit_size(solver)) for solver in SOLVERS for space in FITS]


def run(out: Path, *, quick: bool, seeds: int, progress: Callable[[int, int, str], None]) -> None:
    """Rotation representations: what networks learn with them, where they fail, and how a solver fares in each.

    Writes `rotation.md`, `rotation.csv`, `percentiles.png` and `failures.png` into `out`, raw parts into `out/parts`.
    Parameters as in `dfoattack.studies.Study`; `seeds` repeats the sanity test, every five seeds the other two. Two processes,
    one thread each, where there are two processors.
    """
    plan = Plan.of(quick, seeds)
    folder = out / "parts"
    folder.mkdir(exist_ok=True)
    parts = parts_of(plan)
    missing = [part for part in parts if not part.path(folder).exists()]
    for count, part in enumerate(_made(missing, folder), start=len(parts) - len(missing) + 1):
        progress(count, len(parts), part.text)
    results: Results = {}
    for part in parts:
        if part.kind != "fit":
            results.setdefault(part.kind, {}).setdefault(part.name, []).append(Errors.load(part.path(folder)))
    _write_csv(out / "rotation.csv", results)
    (out / "rotation.md").write_text(_document(plan, folder, results), encoding="utf-8")
    percentiles(results, out / "percentiles.png")
    failures(results, out / "failures.png", object_clouds()[0].numpy(), shipped_motion()[0].parents)


def _made(parts: list[Part], folder: Path) -> Iterator[Part]:
    """Make the parts; yields each when it is done."""
    # New processes instead of copies of this one, whose threads may hold locks.
    context = multiprocessing.get_context("spawn")
    workers = max(1, min(2, len(os.sched_getaffinity(0)), len(parts)))
    with ProcessPoolExecutor(workers, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        futures = {pool.submit(part.make, folder): part for part in parts}
        try:
            for future in as_completed(futures):
                future.result()
                yield futures[future]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


# ---------------------------------------------------------------- tables


def _write_csv(path: Path, results: Results) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["experiment", "representation", "seed", "mean", "std", "median", "p99", "p99.9", "max"])
        for kind, reps in results.items():
            for rep, runs in reps.items():
                for seed, e in enumerate(runs):
                    numbers = (e.mean, e.std, e.at(0.5), e.at(0.99), e.at(0.999), e.largest)
                    writer.writerow([kind, rep, seed, *(f"{v:.6g}" for v in numbers)])


def _document(plan: Plan, folder: Path, results: Results) -> str:
    lines = ["# Rotation representations", "", "Written by `dfoattack study rotation`.", ""]
    heads = {
        "sanity": f"Sanity test: autoencode uniform rotations, {plan.sanity[2]} steps; degrees, {plan.tests} test rotations",
        "cloud": f"Pose of a point cloud, one object, {plan.cloud[2]} steps; degrees, {plan.tests // 5} test rotations",
        "ik": f"Inverse kinematics, 22 joints, {plan.pose[2]} steps; mean joint error in cm, frame by frame of the test part",
    }
    for kind, reps in results.items():
        lines += [f"## {heads[kind]}", "", *_error_table(reps), ""]
    lines += ["![percentiles](percentiles.png)", "", "![failures](failures.png)", ""]
    lines += ["## Continuity: largest jump of the encoding along random loops", "", *_jump_table(), ""]
    lines += [
        f"## Search for one rotation, at most {plan.budget} evaluations",
        "",
        f"Success: less than {SUCCESS:g} degree left. Mean and largest error over all starts, degrees; median cost of the "
        "successes, evaluations (a gradient counts as two).",
        "",
        *_fit_table(plan, folder),
        "",
        f"## The smallest cut: `rot-cut-1d`, {CUT_SEEDS} seeds, at most {CUT_BUDGET} evaluations",
        "",
        "The trap is the end of the angle's interval, 85.9 degrees from the target.",
        "",
        *_cut_table(),
        "",
    ]
    return "\n".join(lines)


def _error_table(reps: dict[str, list[Errors]]) -> list[str]:
    """One row a representation; means over the seeds, the largest error of all."""
    lines = [
        "| | seeds | mean | std | median | 99 % | 99.9 % | max |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for rep, runs in reps.items():
        k = len(runs)
        averages = [sum(e.mean for e in runs) / k, sum(e.std for e in runs) / k]
        averages += [sum(e.at(share) for e in runs) / k for share in (0.5, 0.99, 0.999)]
        numbers = [*averages, max(e.largest for e in runs)]
        lines.append(f"| {REPRESENTATIONS[rep].label} | {k} | " + " | ".join(f"{v:.3g}" for v in numbers) + " |")
    return lines


def _jump_table() -> list[str]:
    lines = ["| | numbers | largest jump | continuous |", "| --- | ---: | ---: | --- |"]
    for rep in REPRESENTATIONS.values():
        lines.append(f"| {rep.label} | {rep.dim} | {largest_jump(rep):.1g} | {'yes' if rep.continuous else 'no'} |")
    return lines


def _fit_table(plan: Plan, folder: Path) -> list[str]:
    head = "".join(f" {solver}, {plan.starts[solver]} starts: success | mean / max | cost |" for solver in SOLVERS)
    lines = [f"| |{head}", "| --- |" + " ---: | ---: | ---: |" * len(SOLVERS)]
    for space, (rep, _, _) in FITS.items():
        cells = []
        for solver in SOLVERS:
            runs = json.loads(
                Part("fit", space, solver, plan.fit_size(solver)).path(folder).read_text(encoding="utf-8")
            )
            good = sorted(cost for error, cost in runs if error <= SUCCESS)
            median = f"{good[len(good) // 2]:.0f}" if good else "-"
            mean, largest = sum(error for error, _ in runs) / len(runs), max(error for error, _ in runs)
            cells += [f"{100 * len(good) / len(runs):.0f} %", f"{mean:.2f} / {largest:.1f}", median]
        lines.append(f"| {FIT_LABELS.get(space, REPRESENTATIONS[rep].label)} | " + " | ".join(cells) + " |")
    return lines


def _cut_table() -> list[str]:
    """What leads out of the trap at the cut; small enough to be run whenever the document is written."""
    lines = ["| | success | largest error | median cost |", "| --- | ---: | ---: | ---: |"]
    for label, (parameters, options) in CUTS.items():
        runs = [
            da.solve(make_cut(**parameters), budget=CUT_BUDGET, seed=seed, f_target=-SUCCESS, options=options)
            for seed in range(CUT_SEEDS)
        ]
        good = sorted(run.cost for run in runs if run.fun >= -SUCCESS)
        median = f"{good[len(good) // 2]:.0f}" if good else "-"
        largest = max(-run.fun for run in runs)
        lines.append(f"| {label} | {100 * len(good) / len(runs):.0f} % | {largest:.1f} | {median} |")
    return lines
