"""Train a bank: ``python -m dfoattack_problems.merging.train --seed 0`` rebuilds what is shipped."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from .arithmetic import addition, single
from .bank import BANKS, FOLDER, build
from .open_clip import PUBLISHED, fine_tuned_bank

SHIPPED = ("digits", "real", "real-vit")


def main(arguments: list[str] | None = None) -> int:
    """Train the banks that are asked for and write them."""
    parser = argparse.ArgumentParser(
        description="Pre-train an encoder, fine-tune it on every task, standard and linearised, and write the bank.",
        epilog="Ten seconds for digits, fifteen for real, 75 for real-vit, on one core. The setting of the paper: "
        "--checkpoint ViT-B-32.pt --tasks FOLDER (see open_clip.py).",
    )
    parser.add_argument("--bank", choices=[*BANKS, "all"], default="all", help="which one; all: what is shipped")
    parser.add_argument("--seed", type=int, default=0, help="of data, initialisation and batches")
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder for NAME.npz")
    parser.add_argument("--no-pre-training", action="store_true", help="fine-tune from the random initialisation")
    parser.add_argument("--checkpoint", type=Path, help="image tower of open_clip, a local file, instead of --bank")
    parser.add_argument("--tasks", type=Path, help="folder of tasks and heads for --checkpoint")
    parser.add_argument("--quick-gelu", action="store_true", help="the checkpoint is one of OpenAI's")
    parser.add_argument("--steps", type=int, default=PUBLISHED.steps, help="of fine-tuning, with --checkpoint")
    options = parser.parse_args(arguments)
    if (options.checkpoint is None) != (options.tasks is None):
        parser.error("--checkpoint and --tasks belong together")
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    if options.checkpoint is not None:
        settings = replace(PUBLISHED, steps=options.steps, warm_up=min(PUBLISHED.warm_up, options.steps // 4))
        say = lambda text: print(text, file=sys.stderr)  # noqa: E731
        bank = fine_tuned_bank(
            options.checkpoint, options.tasks, settings, quick=options.quick_gelu, seed=options.seed, progress=say
        )
        bank.save(options.out / f"{bank.name}.npz")
        print(f"{options.out / bank.name}.npz: SHA-256 {bank.fingerprint()}")
        return 0
    for name in SHIPPED if options.bank == "all" else (options.bank,):
        start = time.perf_counter()
        bank, family = build(
            name,
            options.seed,
            pre_trained=not options.no_pre_training,
            progress=lambda text, name=name: print(f"{name}: {text}", file=sys.stderr),
        )
        bank.save(options.out / f"{name}.npz")
        for mode in ("standard", "linear"):
            alone = single(bank, family, mode, "test")
            together = addition(bank, family, mode)
            print(
                f"{name} {mode}: single-task accuracy {sum(alone) / len(alone):.3f}, "
                f"merged {together.absolute:.3f} (normalised {together.normalised:.3f}) at alpha {together.alpha:.2f}"
            )
        print(f"{name}: {time.perf_counter() - start:.0f} s, SHA-256 {bank.fingerprint()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
