"""NeuralFoil's networks (Sharpe 2023, MIT) rebuilt in torch, float64, with the six outputs an airfoil design needs.

A SiLU network maps 25 scaled inputs to confidence (as a logit), CL, ln CD, CM and two transition points. As in the
package it is evaluated at the airfoil and at its mirror image and the two answers are averaged, and the logit loses
d^2 / 50 with d the Mahalanobis distance to the training inputs.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from dfoattack.errors import MissingExtraError, ProblemError

from .extract import SHIPPED_SIZES, network_arrays, package_folder

__all__ = ["CD", "CL", "CM", "CONFIDENCE", "N_OUTPUTS", "SIZES", "AirfoilNet", "weights_digest"]

SIZES = (*SHIPPED_SIZES, "xxxlarge")
WEIGHTS = Path(__file__).parent / "weights"

N_OUTPUTS = 6
CONFIDENCE, CL, CD, CM = range(4)
"""Columns of one network's answer; 4 and 5 are the transition points x/c of the upper and the lower surface."""

# Mirror image: swap and negate the surfaces, negate leading edge and sin 2 alpha, swap the two trip positions.
_MIRROR_FROM = [*range(8, 16), *range(8), 16, 17, 18, 19, 20, 21, 22, 24, 23]
_MIRROR_SIGN = [-1.0] * 17 + [1.0, -1.0] + [1.0] * 6
# The mirrored answer read back: CL and CM change sign, the transition points change places.
_BACK_FROM = [0, 1, 2, 3, 5, 4]
_BACK_SIGN = [1.0, -1.0, 1.0, -1.0, 1.0, 1.0]


@lru_cache(maxsize=16)
def _arrays(size: str) -> dict[str, npt.NDArray[np.floating]]:
    """Arrays of one network in the shipped precision; `xxxlarge` comes from an installed NeuralFoil."""
    if size not in SIZES:
        raise ProblemError(f"`size` must be one of {', '.join(SIZES)}, got {size!r}.")
    if size in SHIPPED_SIZES:
        with np.load(WEIGHTS / f"{size}.npz", allow_pickle=False) as stored:
            return {key: stored[key] for key in sorted(stored.files)}
    folder = package_folder()
    if folder is None:
        raise MissingExtraError(
            f"Size {size!r} is read from the NeuralFoil package. "
            "Install it with `pip install --no-deps neuralfoil==0.3.3`."
        )
    return dict(sorted(network_arrays(folder, size).items()))


def weights_digest(size: str) -> str:
    """Return 32 digits of the SHA-256 of one network's arrays, to which a declared optimum belongs."""
    digest = hashlib.sha256()
    for name, array in _arrays(size).items():
        digest.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:32]


class AirfoilNet(torch.nn.Module):
    """Designs (k, 18) -> (k, 6 q): confidence, CL, CD, CM, two transition points for each of q networks.

    Parameters
    ----------
    sizes : sequence of q names from `SIZES`
    reynolds : float > 0        chord Reynolds number
    ncrit : float               critical amplification factor of the e^N transition criterion

    Notes
    -----
    A design is (u_1..u_8, l_1..l_8, LE, alpha in degrees). The trailing edge is sharp, transition is free (trips at 1).
    """

    def __init__(self, sizes: Sequence[str] = ("large",), reynolds: float = 2e6, ncrit: float = 9.0) -> None:
        super().__init__()
        self.sizes = tuple(sizes)
        self.networks = torch.nn.ModuleList(_network(size) for size in self.sizes)
        with np.load(WEIGHTS / "inputs.npz", allow_pickle=False) as stored:
            self._constant("mean", stored["mean"])
            self._constant("inverse_covariance", stored["inverse_covariance"])
        flow = [(math.log(reynolds) - 12.5) / 3.5, (ncrit - 9.0) / 4.5, 1.0, 1.0]
        self._constant("flow", np.array(flow))
        self._constant("mirror_sign", np.array(_MIRROR_SIGN))
        self._constant("back_sign", np.array(_BACK_SIGN))

    def _constant(self, name: str, value: npt.NDArray[np.floating]) -> None:
        self.register_buffer(name, torch.as_tensor(value.astype(np.float64)))

    def scaled_inputs(self, design: torch.Tensor) -> torch.Tensor:
        """Inputs of the networks (k, 25) from designs (k, 18)."""
        alpha = torch.deg2rad(design[:, 17:18])
        cosine = torch.cos(alpha)
        sharp = torch.zeros_like(alpha)
        flow = self.get_buffer("flow").expand(len(design), -1)
        return torch.cat([design[:, :17], sharp, torch.sin(2.0 * alpha), cosine, 1.0 - cosine**2, flow], dim=1)

    def forward(self, design: torch.Tensor) -> torch.Tensor:
        """Evaluate (k, 18) -> (k, 6 q)."""
        k = len(design)
        inputs = self.scaled_inputs(design)
        mirrored = inputs[:, _MIRROR_FROM] * self.get_buffer("mirror_sign")
        both = torch.cat([inputs, mirrored])
        offset = both - self.get_buffer("mean")
        distance2 = ((offset @ self.get_buffer("inverse_covariance")) * offset).sum(dim=1)
        answers = []
        for network in self.networks:
            raw = network(both)
            fused = (raw[:k] + raw[k:, _BACK_FROM] * self.get_buffer("back_sign")) / 2.0
            logit = fused[:, 0] - (distance2[:k] + distance2[k:]) / (4.0 * both.shape[1])
            answers += [
                torch.sigmoid(logit)[:, None],
                fused[:, 1:2] / 2.0,
                torch.exp(2.0 * (fused[:, 2:3] - 2.0)),
                fused[:, 3:4] / 20.0,
                fused[:, 4:6].clamp(0.0, 1.0),
            ]
        return torch.cat(answers, dim=1)


def _network(size: str) -> torch.nn.Sequential:
    """Build one SiLU network, float64, without parameter gradients."""
    arrays = _arrays(size)
    n_layers = len(arrays) // 2
    layers: list[torch.nn.Module] = []
    for number in range(n_layers):
        weight = torch.as_tensor(arrays[f"weight{number}"].astype(np.float64))
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64, device="meta")
        layer.weight = torch.nn.Parameter(weight, requires_grad=False)
        layer.bias = torch.nn.Parameter(
            torch.as_tensor(arrays[f"bias{number}"].astype(np.float64)), requires_grad=False
        )
        layers += [layer, torch.nn.SiLU()]
    return torch.nn.Sequential(*layers[:-1])
