"""Inverse kinematics as optimisation: over joint rotations (`ik-fk`), and over the inputs of a trained network (`ik-net`)."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import roma
import torch
from torch import Tensor, nn

from dfoattack.errors import ProblemError
from dfoattack.problem import Constraint, Known, Problem
from dfoattack.space import Box

from .fit import chart, chosen_representation, column_norms, instance_generator
from .groups import geodesic
from .networks import PoseNet, load_weights, weights_path
from .pictures import FloatArray, draw_tree
from .representations import Representation
from .skeleton import Skeleton, chain, shipped_motion
from .train import split_motion

__all__ = ["JOINT_LIMIT", "ROOT_LIMIT", "make_ik_fk", "make_ik_net"]

JointRep = Literal["rodriguez", "euler", "quaternion", "6d"]
JOINT_LIMIT, ROOT_LIMIT = 60.0, 120.0
"""Degrees that a joint of the chain, or its first one, may turn away from straight."""


class Forward(nn.Module):
    """Phi of `ik-fk`: coordinates of J local rotations (k, J d) -> positions of the J bones' ends, (k, 3 J)."""

    def __init__(self, rep: Representation, skeleton: Skeleton) -> None:
        super().__init__()
        self.rep, self.skeleton = rep, skeleton
        self.name, self.offsets = rep.name, skeleton.offsets  # what the fingerprint sees

    def rotations(self, x: Tensor) -> Tensor:
        """Local rotations (k, J, 3, 3)."""
        return self.rep.decode(x.unflatten(1, (-1, self.rep.dim)))

    def forward(self, x: Tensor) -> Tensor:
        local = self.rotations(x)
        end = torch.eye(3, dtype=x.dtype).expand(len(x), 1, 3, 3)  # the end of the last bone turns nothing
        return self.skeleton.positions(torch.cat([local, end], 1))[:, 1:].flatten(1)


def make_ik_fk(joints: int = 4, rep: JointRep = "rodriguez", instance: int = 0, *, prior: float = 0.0) -> Problem:
    """Return inverse kinematics of a chain of ball joints: bring its end to a target within the joint limits.

    n = joints * d (12 for 4 joints and Rodriguez vectors, 60 for 10 joints and 6D), bones of length 1, start straight.
    f = -(distance of the end to the target)^2 - prior * (mean squared angle of the joints, rad^2). Constraints `limits`: the
    first joint turns by at most 120 degrees, the others by at most 60 each. The target is where a random pose within the
    limits has its end, so f = 0 can be reached.

    Parameters
    ----------
    joints : int        >= 2
    rep : str           rodriguez, euler, quaternion or 6d
    instance : int      >= 0, chooses the target
    prior : float       >= 0, weight of the pose prior; the optimum is known for 0 only

    Raises
    ------
    ProblemError        a parameter outside its range
    """
    if joints < 2:
        raise ProblemError(f"`joints` must be at least 2, got {joints}.")
    if not 0.0 <= prior < math.inf:
        raise ProblemError(f"`prior` must be >= 0 and finite, got {prior}.")
    chosen = chosen_representation(rep)
    phi = Forward(chosen, chain(joints))
    limit = torch.full((joints,), math.radians(JOINT_LIMIT), dtype=torch.float64)
    limit[0] = math.radians(ROOT_LIMIT)
    pose = _random_pose(limit, instance_generator(instance))
    solution = chosen.encode(pose).flatten()
    target = phi(solution[None])[0, -3:]
    straight = torch.eye(3, dtype=torch.float64)

    def angles(x: Tensor) -> Tensor:
        return geodesic(phi.rotations(x), straight)

    def reach(x: Tensor, y: Tensor) -> Tensor:
        error = -(y[:, -3:] - target).square().sum(1)
        return error - prior * angles(x).square().mean(1) if prior > 0.0 else error

    def limits(x: Tensor, y: Tensor) -> Tensor:
        return angles(x) - limit

    return Problem(
        name="ik-fk",
        sense="maximize",
        surrogate=phi,
        objective=reach,
        constraints=[Constraint(limits, name="limits"), *_norms(chosen, joints)],
        space=_boxes(chosen, joints),
        x0=chosen.encode(straight).repeat(joints).numpy(),
        known=Known(0.0, x=solution.numpy(), kind="exact", tol=1e-12, how="the pose that the target was made of")
        if prior == 0.0
        else None,
        picture=_picture(phi, joints + 1, chosen.encode(straight).repeat(joints), target[None]),
        backend="torch",
    )


def _picture(phi: Forward | Body, joints: int, start: Tensor, targets: Tensor) -> Callable[[Any, Any], None]:
    """Chain or body with its targets; a chain's outputs begin with the first bone's end, a body's with the root."""

    def places(X: FloatArray) -> FloatArray:
        with torch.inference_mode():
            found = phi(torch.from_numpy(X))[0, : 3 * joints].reshape(-1, 3).numpy()
        return np.concatenate([np.zeros((joints - len(found), 3)), found])

    parents = phi.skeleton.parents
    return partial(draw_tree, places=places, parents=parents, targets=targets.numpy(), start=start.numpy())


def _random_pose(limit: Tensor, rng: np.random.Generator) -> Tensor:
    """Rotations (J, 3, 3) about uniform axes by angles uniform up to the limits (J,)."""
    axes = torch.nn.functional.normalize(torch.from_numpy(rng.standard_normal((len(limit), 3))), dim=1)
    return roma.rotvec_to_rotmat(axes * (torch.from_numpy(rng.random(len(limit))) * limit)[:, None])


def _boxes(rep: Representation, joints: int) -> Box:
    space, _ = chart(rep)
    names = [f"{name}{j}" for j in range(joints) for name in space.names]
    return Box(np.tile(space.lower, joints), np.tile(space.upper, joints), names=names)


def _norms(rep: Representation, joints: int) -> list[Constraint]:
    """Rodriguez vectors need no ball: the joint limits are tighter."""
    return [column_norms(3, 2 * joints)] if rep.name == "6d" else []


class Body(nn.Module):
    """Phi of `ik-net`: where some joints should be (k, 3 h), cm -> what the network makes of it, (k, 12 J).

    The network sees the joint positions of a reference pose with these joints moved, and answers with local rotations;
    outputs are the joint positions after forward kinematics (3 J, cm) and the rotations (9 J).
    """

    def __init__(self, net: PoseNet, skeleton: Skeleton, reference: Tensor, moved: tuple[int, ...]) -> None:
        super().__init__()
        self.net, self.skeleton, self.moved = net, skeleton, moved
        self.offsets = skeleton.offsets
        self.unit = float(np.linalg.norm(skeleton.offsets[1:], axis=1).mean())  # the network works in mean bones
        self.register_buffer("reference", skeleton.positions(reference))
        self.register_buffer("which", torch.tensor(moved))

    def forward(self, x: Tensor) -> Tensor:
        goal = self.reference.expand(len(x), -1, -1).index_copy(1, self.which, x.unflatten(1, (-1, 3)))
        rotations = self.net.rep.decode(self.net(goal / self.unit))
        return torch.cat([self.skeleton.positions(rotations).flatten(1), rotations.flatten(1)], 1)


HANDS = (("LeftHand", "LeftArm"), ("RightHand", "RightArm"))
"""The joint that is moved, and the one that its reach is measured from."""
SLACK = math.radians(5.0)
"""Joint limits beyond what the training clip holds."""
SHIFT = 12.0
"""cm: how far the inputs that the target is made of lie from the reference."""


def make_ik_net(n: int = 3, instance: int = 0, *, weights: str | None = None) -> Problem:
    """Return the search for the inputs of an inverse-kinematics network that bring the hands exactly where they should be.

    x is the position asked for the left hand (n = 3) or both hands (n = 6), cm from the hips; the network (22 joints, 6D)
    answers with a pose, whose hands are elsewhere by a few cm. f = -(distance of the hands to their targets)^2, cm^2.
    Constraints: `limits`, the angle between every bone and the one before it within 5 degrees of the range that the training
    clip holds (the rotations themselves say little: twists that the positions do not show are free in the answer);
    `root`, the hips turned by at most 60 degrees from the reference; `reach`, x no farther from the shoulders of the reference
    than an arm's length. The targets are what the network makes of random inputs, so f = 0 can be reached.

    Parameters
    ----------
    n : int                     3 or 6
    instance : int              >= 0, chooses the reference pose (a frame of the test part) and the targets
    weights : str, optional     an `.npz` file written by `train.py`, instead of the shipped one

    Raises
    ------
    ProblemError        a parameter outside its range
    ValueError          arrays in `weights` of other names or shapes
    """
    if n not in (3, 6):
        raise ProblemError(f"`n` must be 3 or 6, got {n}.")
    rng = instance_generator(instance)
    skeleton, motion = shipped_motion()
    trained, test = split_motion(motion)
    net = PoseNet("6d", skeleton.joints)
    digest = load_weights(net, weights_path("ik", "6d") if weights is None else Path(weights))
    hands, upper = ([skeleton.names.index(pair[i]) for pair in HANDS[: n // 3]] for i in (0, 1))
    reference = test[int(rng.integers(len(test)))]
    phi = Body(net, skeleton, reference, tuple(hands))
    shoulders = phi.reference[upper]
    arm = float(np.linalg.norm(skeleton.offsets[[hands[0], hands[0] - 1]], axis=1).sum())
    constraints = _body_constraints(phi, trained, reference, shoulders, arm)
    space = Box((shoulders - arm).flatten().numpy(), (shoulders + arm).flatten().numpy(), units=["cm"] * n)
    asked = phi.reference[hands]
    x0, solution = 0.5 * (shoulders + asked).flatten(), _feasible_inputs(phi, constraints, asked.flatten(), rng)
    target = _hands(phi, phi(solution[None]))[0]

    def error(y: Tensor) -> Tensor:
        return -(_hands(phi, y) - target).square().sum(1)

    return Problem(
        name="ik-net",
        sense="maximize",
        surrogate=phi,
        objective=error,
        constraints=constraints,
        space=space,
        x0=x0.numpy(),
        known=Known(
            0.0,
            x=solution.numpy(),
            kind="exact",
            tol=1e-9,
            how="the inputs that the targets were made of",
            fingerprint=digest,
        ),
        picture=_picture(phi, skeleton.joints, x0, target.unflatten(0, (-1, 3))),
        backend="torch",
    )


def _hands(phi: Body, y: Tensor) -> Tensor:
    """Positions (k, 3 h) of the moved joints in the answer."""
    return y[:, : 3 * phi.skeleton.joints].unflatten(1, (-1, 3))[:, list(phi.moved)].flatten(1)


def _bends(positions: Tensor, skeleton: Skeleton) -> Tensor:
    """Angles between each bone and the one before it, rad: positions (..., J, 3) -> (..., bones)."""
    child = [j for j, p in enumerate(skeleton.parents) if p > 0]
    middle = [skeleton.parents[j] for j in child]
    first = positions[..., middle, :] - positions[..., [skeleton.parents[j] for j in middle], :]
    second = positions[..., child, :] - positions[..., middle, :]
    sine = torch.linalg.vector_norm(torch.linalg.cross(first, second), dim=-1)
    return torch.atan2(sine, (first * second).sum(-1))


def _body_constraints(phi: Body, trained: Tensor, reference: Tensor, shoulders: Tensor, arm: float) -> list[Constraint]:
    skeleton, joints = phi.skeleton, phi.skeleton.joints
    seen = _bends(skeleton.positions(trained), skeleton)
    low, high = seen.amin(0) - SLACK, seen.amax(0) + SLACK

    def limits(x: Tensor, y: Tensor) -> Tensor:
        bends = _bends(y[:, : 3 * joints].unflatten(1, (joints, 3)), skeleton)
        return torch.cat([low - bends, bends - high], 1)

    def root(x: Tensor, y: Tensor) -> Tensor:
        hips = y[:, 3 * joints : 3 * joints + 9].unflatten(1, (3, 3))
        return geodesic(hips, reference[0]) - math.pi / 3.0

    def reach(x: Tensor, y: Tensor) -> Tensor:
        return torch.linalg.vector_norm(x.unflatten(1, (-1, 3)) - shoulders, dim=2) - arm

    return [Constraint(limits, name="limits"), Constraint(root, name="root"), Constraint(reach, name="reach")]


def _feasible_inputs(phi: Body, constraints: list[Constraint], around: Tensor, rng: np.random.Generator) -> Tensor:
    """Random inputs near the reference whose answer keeps all constraints."""
    for _ in range(1000):
        x = around + SHIFT * torch.from_numpy(rng.uniform(-1.0, 1.0, len(around)))
        y = phi(x[None])
        if all(bool((c.fn(x[None], y) <= 0.0).all()) for c in constraints):
            return x
    raise ProblemError("`instance` must have inputs near its reference that keep all constraints, got one without.")
