"""Remake ``weights/*.npz`` from an installed NeuralFoil package.

    python -m dfoattack_problems.airfoil.extract [--package DIRECTORY] [--out DIRECTORY]

Only the files of the package are read, its code is not imported: that would need AeroSandbox and CasADi. Kept are, in
the package's own precision, all layers of each network except the 192 boundary-layer outputs of the last one, and of
the input distribution the mean and the inverse covariance. The files written are always the same.
"""

from __future__ import annotations

import argparse
import importlib.util
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["SHIPPED_SIZES", "distribution_arrays", "main", "network_arrays", "package_folder"]

N_OUTPUTS = 6
"""confidence, CL, CD, CM and two transition points; the other 192 outputs describe the boundary layer."""

SHIPPED_SIZES = ("xxsmall", "xsmall", "small", "medium", "large", "xlarge", "xxlarge")
"""``xxxlarge`` alone would be 5 MB: it is read from the installed package on demand."""


def package_folder() -> Path | None:
    """Return the folder with the npz files of an installed NeuralFoil, or None. The package is not imported."""
    spec = importlib.util.find_spec("neuralfoil")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations))) / "nn_weights_and_biases"


def network_arrays(folder: Path, size: str) -> dict[str, npt.NDArray[np.float32]]:
    """Read one network from the package's files: ``weight0`` (h, 25), ``bias0`` (h,), ..., the last one with 6 rows."""
    with np.load(folder / f"nn-{size}.npz", allow_pickle=False) as source:
        layers = sorted({int(key.split(".")[1]) for key in source.files})
        arrays = {}
        for number, layer in enumerate(layers):
            rows = N_OUTPUTS if layer == layers[-1] else None
            arrays[f"weight{number}"] = np.ascontiguousarray(source[f"net.{layer}.weight"][:rows])
            arrays[f"bias{number}"] = np.ascontiguousarray(source[f"net.{layer}.bias"][:rows])
    return arrays


def distribution_arrays(folder: Path) -> dict[str, npt.NDArray[np.floating]]:
    """Read ``mean`` (25,) and ``inverse_covariance`` (25, 25) of the scaled training inputs."""
    with np.load(folder / "scaled_input_distribution.npz", allow_pickle=False) as source:
        return {"mean": source["mean_inputs_scaled"], "inverse_covariance": source["inv_cov_inputs_scaled"]}


def main(arguments: list[str] | None = None) -> None:
    """Write ``<size>.npz`` for every shipped size and ``inputs.npz``."""
    parser = argparse.ArgumentParser(description="Extract the arrays this problem needs from NeuralFoil.")
    parser.add_argument("--package", type=Path, default=package_folder(), help="folder with nn-*.npz")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "weights")
    options = parser.parse_args(arguments)
    if options.package is None:
        parser.error("NeuralFoil is not installed; `pip install --no-deps neuralfoil==0.3.3`, or give --package.")
    options.out.mkdir(parents=True, exist_ok=True)
    for size in SHIPPED_SIZES:
        np.savez_compressed(options.out / f"{size}.npz", **network_arrays(options.package, size))
    np.savez_compressed(options.out / "inputs.npz", **distribution_arrays(options.package))


if __name__ == "__main__":
    main()
