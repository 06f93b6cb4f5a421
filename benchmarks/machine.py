"""What a table of measurements must say about where it was made."""

from __future__ import annotations

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    *("dfoattack", "numpy", "scipy", "numba", "torch", "cma", "PyNomadBBO", "cobyqa", "Py-BOBYQA", "nlopt"),
    *("directsearch", "cyipopt", "nevergrad", "optuna", "OMADS", "coco-experiment", "optiprofiler"),
)


def processor() -> str:
    """The processor's name, as the system tells it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def commit() -> str:
    """Short commit hash, with a plus sign where files differ from it; `unknown` outside a repository."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=True, cwd=ROOT)
        return done.stdout.strip()

    try:
        head = git("rev-parse", "--short", "HEAD")
        changed = git("status", "--porcelain", "dfoattack", "problems", "benchmarks/*.py")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def versions() -> dict[str, str]:
    """Versions of the packages that matter, those that are installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe() -> dict[str, str]:
    """Date, machine, versions and commit, as text."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "threads": os.environ.get("OMP_NUM_THREADS", "not limited"),
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
        "commit": commit(),
    }


def paragraph() -> str:
    """`describe` as one paragraph of Markdown."""
    d = describe()
    place = f"{d['machine']}; OMP_NUM_THREADS {d['threads']}"
    return f"Measured {d['date']} on {place}; {d['versions']}; commit {d['commit']}."
