"""Train the networks of the three experiments: `python -m dfoattack_problems.rotation.train --seed 0`.

    --kind sanity,cloud,ik      which experiments (default: all)
    --rep 6d,quaternion         which representations (default: those that are shipped)
    --out FOLDER                where the weights go (default: the current folder)

The shipped weights are made by the defaults (4 CPU minutes, one thread); they are replaced only if their own folder is
named.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import roma
import torch
from torch import Tensor, nn

from .clouds import POINTS, shipped_clouds
from .groups import geodesic, haar
from .networks import Autoencoder, CloudNet, PoseNet, save_weights
from .representations import NAMES
from .skeleton import Skeleton, shipped_motion

__all__ = [
    "SHIPPED",
    "cloud_pair",
    "object_clouds",
    "split_motion",
    "train_cloud",
    "train_pose",
    "train_sanity",
    "turn_roots",
]

Log = Callable[[str], None]
SHIPPED: dict[str, tuple[str, ...]] = {
    "sanity": NAMES,
    "cloud": ("6d", "svd", "quaternion", "euler"),
    "ik": ("6d",),
}
STEPS = {"sanity": 2000, "cloud": 4000, "ik": 3000}
BATCH = 64
ROOT_WEIGHT = 10.0
"""Of the children of the root in the loss of inverse kinematics."""


def _fit(net: nn.Module, loss: Callable[[], Tensor], steps: int, rate: float, log: Log | None) -> None:
    """Adam, its rate falling to 0 as a cosine."""
    optimiser = torch.optim.Adam(net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    start = time.perf_counter()
    for step in range(1, steps + 1):
        value = loss()
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        schedule.step()
        if log is not None and step % 500 == 0:
            log(f"step {step} loss {value.item():.3e} {time.perf_counter() - start:.0f} s")
    net.eval()


def _seeded(make: Callable[[], nn.Module], seed: int) -> tuple[nn.Module, np.random.Generator]:
    """A network initialised from `seed`, and the generator of its data; the global state of torch is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = make()
    return net, np.random.default_rng(seed)


def train_sanity(
    rep: str, seed: int = 0, steps: int = STEPS["sanity"], loss: str = "squared", log: Log | None = None
) -> Autoencoder:
    """Autoencode uniform rotations, batch 64, Adam 1e-3.

    Parameters
    ----------
    loss : "squared" or "geodesic"      mean squared matrix error, or mean angle
    """
    if loss not in ("squared", "geodesic"):
        raise ValueError(f"`loss` must be 'squared' or 'geodesic', got {loss!r}.")
    net, rng = _seeded(lambda: Autoencoder(rep), seed)
    assert isinstance(net, Autoencoder)
    decode = net.rep.training_decode

    def error() -> Tensor:
        rotation = haar(BATCH, rng, torch.float32)
        answer = decode(net(rotation))
        return (answer - rotation).square().mean() if loss == "squared" else geodesic(answer, rotation).mean()

    _fit(net, error, steps, 1e-3, log)
    return net


def cloud_pair(clouds: Tensor, count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Return `count` clouds (count, q, 3), these turned, and the uniform rotations (count, 3, 3); clouds (objects, q, 3)."""
    rotation = haar(count, rng, clouds.dtype)
    chosen = clouds[torch.from_numpy(rng.integers(0, len(clouds), count))]
    return chosen, chosen @ rotation.transpose(-1, -2), rotation


def object_clouds(objects: tuple[int, ...] = (0,), points: int = POINTS, dtype: torch.dtype = torch.float32) -> Tensor:
    """Return the first `points` points of shipped objects, (objects, points, 3)."""
    return torch.from_numpy(shipped_clouds()[list(objects), :points]).to(dtype)


def train_cloud(
    rep: str, seed: int = 0, steps: int = STEPS["cloud"], clouds: Tensor | None = None, log: Log | None = None
) -> CloudNet:
    """Estimate the rotation between a cloud and the cloud turned; squared matrix error, batch 64, Adam 2e-3.

    clouds (objects, points, 3) float32; None: the first shipped object.
    """
    net, rng = _seeded(lambda: CloudNet(rep), seed)
    assert isinstance(net, CloudNet)
    decode = net.rep.training_decode
    objects = object_clouds() if clouds is None else clouds

    def error() -> Tensor:
        cloud, turned, rotation = cloud_pair(objects, BATCH, rng)
        return (decode(net(cloud, turned)) - rotation).square().mean()

    _fit(net, error, steps, 2e-3, log)
    return net


def split_motion(motion: Tensor) -> tuple[Tensor, Tensor]:
    """First 80 % of the frames for training, the last 20 % for the test."""
    cut = int(0.8 * len(motion))
    return motion[:cut], motion[cut:]


def turn_roots(rotations: Tensor, rng: np.random.Generator) -> Tensor:
    """Turn the roots of poses (k, J, 3, 3) about the vertical by uniform angles."""
    angles = torch.from_numpy(rng.uniform(-np.pi, np.pi, len(rotations))).to(rotations.dtype)
    vertical = roma.rotvec_to_rotmat(torch.stack([0.0 * angles, angles, 0.0 * angles], -1))
    return torch.cat([(vertical @ rotations[:, 0])[:, None], rotations[:, 1:]], 1)


def train_pose(
    rep: str,
    seed: int = 0,
    steps: int = STEPS["ik"],
    body: tuple[Skeleton, Tensor] | None = None,
    width: int = 512,
    log: Log | None = None,
) -> PoseNet:
    """Inverse kinematics of a body: squared joint error after forward kinematics, the root's children ten times, Adam 1e-3.

    body : skeleton and motion (frames, J, 3, 3); None: the shipped clip. Positions enter in units of the mean bone.
    """
    skeleton, motion = shipped_motion() if body is None else body
    net, rng = _seeded(lambda: PoseNet(rep, skeleton.joints, width), seed)
    assert isinstance(net, PoseNet)
    unit = skeleton.scaled(1.0)
    frames = split_motion(motion)[0].float()
    weight = torch.ones(skeleton.joints, 1)
    weight[[j for j, parent in enumerate(skeleton.parents) if parent == 0]] = ROOT_WEIGHT

    def error() -> Tensor:
        pose = turn_roots(frames[torch.from_numpy(rng.integers(0, len(frames), BATCH))], rng)
        goal = unit.positions(pose)
        answer = unit.positions(net.rep.training_decode(net(goal)))
        return (weight * (answer - goal).square()).sum((-1, -2)).mean()

    _fit(net, error, steps, 1e-3, log)
    return net


TRAINERS: dict[str, Callable[..., nn.Module]] = {"sanity": train_sanity, "cloud": train_cloud, "ik": train_pose}


def main(argv: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", default=",".join(TRAINERS), help="comma-separated, of sanity, cloud, ik")
    parser.add_argument("--rep", default="", help="comma-separated representations; default: the shipped ones")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(), help="folder, default the current one")
    arguments = parser.parse_args(argv)
    arguments.out.mkdir(parents=True, exist_ok=True)
    for kind in arguments.kind.split(","):
        for rep in arguments.rep.split(",") if arguments.rep else SHIPPED[kind]:
            net = TRAINERS[kind](
                rep, seed=arguments.seed, log=lambda text, k=kind, r=rep: print(k, r, text, flush=True)
            )
            save_weights(net, arguments.out / f"{kind}_{rep}.npz")
    return 0


if __name__ == "__main__":
    sys.exit(main())
