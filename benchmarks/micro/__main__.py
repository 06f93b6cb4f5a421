"""`python -m benchmarks.micro [--only attack_cost,throughput] [--out FILE]`"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

# Before NumPy and torch are imported by what is measured: one thread, as stated in the table.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

PARTS = (
    "overhead",
    "doors",
    "kernels",
    "compile_time",
    "attack_cost",
    "throughput",
    "attack_libraries",
    "storage_cost",
)


def main() -> int:
    """Run the parts asked for and write the file (only if all were)."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.micro")
    parser.add_argument("--only", default=",".join(PARTS), help=f"comma-separated, of {', '.join(PARTS)}")
    parser.add_argument("--out", help="file to write; default benchmarks/results/micro.md when every part is measured")
    arguments = parser.parse_args()
    chosen = [part for part in PARTS if part in arguments.only.split(",")]

    from benchmarks import machine

    sections = [import_module(f"benchmarks.micro.{part}").section(_say) for part in chosen]
    text = "\n\n".join(["# What dfoattack itself costs", machine.paragraph(), *sections]) + "\n"
    print(text)
    out = arguments.out or ("benchmarks/results/micro.md" if len(chosen) == len(PARTS) else None)
    if out is not None:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        Path(out).write_text(text, encoding="utf-8")
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
