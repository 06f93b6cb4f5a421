"""Weaknesses of trained networks: the rotation on which an autoencoder errs most (`rot-worst`), and the pose near a given
one on which a pose estimator does (`pose-attack`)."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from dfoattack.errors import ProblemError
from dfoattack.problem import Constraint, Known, Problem

from .fit import Rep, chart, chosen_representation, instance_generator
from .groups import haar, off_target
from .networks import Autoencoder, CloudNet, load_weights, weights_path
from .optima import WORST
from .pictures import FloatArray, draw_answer
from .representations import REPRESENTATIONS, Representation
from .train import object_clouds

__all__ = ["make_pose_attack", "make_worst"]

SIX = REPRESENTATIONS["6d"]


class Answers(nn.Module):
    """Phi: 6D coordinates (k, 6) -> (answer of the network, rotation), (k, 18)."""

    def __init__(self, net: Autoencoder) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        rotation = SIX.decode(x)
        return torch.cat([self.net.rep.decode(self.net(rotation)).flatten(1), rotation.flatten(1)], 1)


class CloudAnswers(nn.Module):
    """The same for a network that sees a cloud and the cloud turned."""

    def __init__(self, net: CloudNet, cloud: Tensor) -> None:
        super().__init__()
        self.net = net
        self.register_buffer("cloud", cloud)

    def forward(self, x: Tensor) -> Tensor:
        rotation = SIX.decode(x)
        turned = self.cloud @ rotation.transpose(-1, -2)
        answer = self.net.rep.decode(self.net(self.cloud, turned))
        return torch.cat([answer.flatten(1), rotation.flatten(1)], 1)


def _error(y: Tensor) -> Tensor:
    """Angle in degrees between the answer and the rotation; y (k, 18)."""
    return off_target(y[:, :9].unflatten(1, (3, 3)), y[:, 9:].unflatten(1, (3, 3)))


def make_worst(rep: Rep = "quaternion", instance: int = 0, *, weights: str | None = None) -> Problem:
    """Return the search for the rotation on which a trained autoencoder errs most, n = 6, f in degrees.

    x are 6D coordinates of R; the network (9-128-128-128-d) answers in the representation `rep`. Where `rep` is not
    continuous the network is steep somewhere, and 180 degrees are reached; where it is, a few degrees.

    Parameters
    ----------
    rep : str                   representation that the network answers in
    instance : int              >= 0, chooses the start, a uniform rotation
    weights : str, optional     an `.npz` file written by `train.py`, instead of the shipped one

    Raises
    ------
    ProblemError        a parameter outside its range
    ValueError          arrays in `weights` of other names or shapes
    """
    chosen = chosen_representation(rep)
    net = Autoencoder(chosen.name)
    digest = load_weights(net, weights_path("sanity", rep) if weights is None else Path(weights))
    return _attack(
        "rot-worst", Answers(net), haar(1, instance_generator(instance))[0], [], _known_worst(chosen, digest)
    )


def _known_worst(rep: Representation, digest: str) -> Known | None:
    """Half a turn is the largest error there is; what the continuous ones reach was searched for."""
    if not rep.continuous:
        return Known(180.0, kind="exact", tol=0.0, how="no two rotations are farther apart", fingerprint=digest)
    found = WORST.get((rep.name, digest[:16]))
    how = "gradient ascent from the 512 worst of 100 000 uniform rotations"
    return None if found is None else Known(found, kind="best_known", tol=1e-2, how=how, fingerprint=digest)


def make_pose_attack(
    rep: Rep = "6d", instance: int = 0, radius: float = 30.0, *, weights: str | None = None
) -> Problem:
    """Return the search for the pose, within `radius` degrees of a given one, that a pose estimator misses most.

    x are 6D coordinates of R, n = 6; the network sees 48 points of one object and the same points turned by R.

    Parameters
    ----------
    rep : str                   6d, svd, quaternion or euler
    instance : int              >= 0, chooses the given pose R0, which is the start
    radius : float              degrees, in (0, 180]
    weights : str, optional     an `.npz` file written by `train.py`, instead of the shipped one

    Raises
    ------
    ProblemError        a parameter outside its range
    ValueError          arrays in `weights` of other names or shapes
    """
    if not 0.0 < radius <= 180.0:
        raise ProblemError(f"`radius` must lie in (0, 180], got {radius}.")
    chosen = chosen_representation(rep)
    path = weights_path("cloud", rep) if weights is None else Path(weights)
    if not path.exists():
        raise ProblemError(f"`rep` must be a representation with shipped weights, or `weights` given, got {rep!r}.")
    net = CloudNet(chosen.name)
    load_weights(net, path)
    centre = haar(1, instance_generator(instance))[0]

    def near(y: Tensor) -> Tensor:
        return off_target(y[:, 9:].unflatten(1, (3, 3)), centre) - radius

    cloud = object_clouds(dtype=torch.float64)[0]
    return _attack("pose-attack", CloudAnswers(net, cloud), centre, [Constraint(near, name="near")], None)


def _attack(name: str, phi: nn.Module, start: Tensor, constraints: list[Constraint], known: Known | None) -> Problem:
    space, norms = chart(SIX)

    def answers(X: FloatArray) -> FloatArray:
        with torch.inference_mode():
            return phi(torch.from_numpy(X)).numpy()

    picture = partial(draw_answer, answers=answers, cloud=object_clouds(dtype=torch.float64)[0].numpy())
    return Problem(
        name=name,
        sense="maximize",
        surrogate=phi,
        objective=_error,
        constraints=[*norms, *constraints],
        space=space,
        x0=SIX.encode(start).numpy(),
        known=known,
        picture=picture,
        backend="torch",
    )
