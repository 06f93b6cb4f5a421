"""The networks of the three experiments, and weights as plain arrays (no pickle)."""

from __future__ import annotations

import hashlib
import itertools
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .representations import Representation, representation

__all__ = ["Autoencoder", "CloudNet", "PoseNet", "load_weights", "save_weights", "weights_path"]

FOLDER = Path(__file__).resolve().parent


def _layers(*sizes: int) -> nn.Sequential:
    """Linear layers with LeakyReLU between them."""
    parts: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        parts += [nn.Linear(a, b), nn.LeakyReLU()]
    return nn.Sequential(*parts[:-1])


class Autoencoder(nn.Module):
    """Sanity test: a rotation (..., 3, 3) -> d numbers, 9-128-128-128-d."""

    def __init__(self, rep: str, width: int = 128) -> None:
        super().__init__()
        self.rep: Representation = representation(rep)
        self.layers = _layers(9, width, width, width, self.rep.dim)

    def forward(self, rotation: Tensor) -> Tensor:
        """Return the coordinates (..., d); `rep.decode` makes a rotation of them."""
        out: Tensor = self.layers(rotation.flatten(-2))
        return out


class CloudNet(nn.Module):
    """Pose of a point cloud: (P (..., q, 3), R P (..., q, 3)) -> d numbers; row i of both is the same point, turned.

    One network 3-64-128-128 for every point of both clouds, the largest value over the points, head 256-128-128-d.
    """

    def __init__(self, rep: str) -> None:
        super().__init__()
        self.rep: Representation = representation(rep)
        self.points = _layers(3, 64, 128, 128)
        self.head = _layers(256, 128, 128, self.rep.dim)

    def forward(self, cloud: Tensor, turned: Tensor) -> Tensor:
        """Return the coordinates (..., d)."""
        features = torch.cat(
            [self.points(cloud).amax(-2).expand(*turned.shape[:-2], -1), self.points(turned).amax(-2)], -1
        )
        out: Tensor = self.head(features)
        return out


class PoseNet(nn.Module):
    """Inverse kinematics: joint positions (..., J, 3) -> local rotations as (..., J, d), width-width-width between.

    The last layer starts near zero around the identity, so that training begins at the rest pose.
    """

    def __init__(self, rep: str, joints: int, width: int = 512) -> None:
        super().__init__()
        self.rep: Representation = representation(rep)
        self.joints = joints
        self.layers = _layers(3 * joints, width, width, width, self.rep.dim * joints)
        last = self.layers[-1]
        assert isinstance(last, nn.Linear)
        identity = self.rep.encode(torch.eye(3))
        with torch.no_grad():
            last.weight *= 0.1
            last.bias.copy_(identity.repeat(joints))

    def forward(self, positions: Tensor) -> Tensor:
        """Return the coordinates (..., J, d)."""
        return self.layers(positions.flatten(-2)).unflatten(-1, (self.joints, self.rep.dim))


def weights_path(kind: str, rep: str) -> Path:
    """Shipped file of one network: kind is "sanity", "cloud" or "ik"."""
    return FOLDER / "weights" / f"{kind}_{rep}.npz"


def save_weights(module: nn.Module, path: Path | str) -> None:
    """Write the parameters as float16 arrays under their own names; a network is judged as it is shipped."""
    np.savez_compressed(
        path, **{name: value.cpu().numpy().astype(np.float16) for name, value in module.state_dict().items()}
    )


def load_weights(module: nn.Module, path: Path | str) -> str:
    """Fill `module` from an `.npz` file, make it float64, freeze it, and return the SHA-256 of names and numbers.

    Raises
    ------
    ValueError
        when a name or a shape in the file is not the module's
    """
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: np.ascontiguousarray(file[name]) for name in file.files}
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    found = {name: value.shape for name, value in arrays.items()}
    if shapes != found:
        raise ValueError(f"`weights` must hold arrays {shapes}, got {found} in {path}.")
    module.double().load_state_dict({name: torch.from_numpy(a.astype(np.float64)) for name, a in arrays.items()})
    module.eval().requires_grad_(False)
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(name.encode())
        digest.update(arrays[name].tobytes())
    return digest.hexdigest()
