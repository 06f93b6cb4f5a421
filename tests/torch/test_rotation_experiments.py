"""The three experiments: data, training, errors, and the study that `dfoattack study rotation` runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dfoattack import registry
from dfoattack_problems.rotation import study
from dfoattack_problems.rotation.clouds import mesh_of_obj, procedural_cloud, sample_surface
from dfoattack_problems.rotation.experiments import Errors, cloud_errors, pose_errors, sanity_errors
from dfoattack_problems.rotation.groups import haar, off_target
from dfoattack_problems.rotation.networks import (
    Autoencoder,
    CloudNet,
    PoseNet,
    load_weights,
    save_weights,
    weights_path,
)
from dfoattack_problems.rotation.representations import NAMES, REPRESENTATIONS
from dfoattack_problems.rotation.skeleton import (
    Skeleton,
    chain,
    parse_bvh,
    procedural_motion,
    procedural_skeleton,
    shipped_motion,
)
from dfoattack_problems.rotation.train import (
    SHIPPED,
    cloud_pair,
    object_clouds,
    split_motion,
    train_cloud,
    train_pose,
    train_sanity,
    turn_roots,
)

BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 1.0 2.0 3.0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Yrotation Xrotation
  JOINT Arm
  {
    OFFSET 2.0 0.0 0.0
    CHANNELS 3 Zrotation Xrotation Yrotation
    End Site
    {
      OFFSET 0.0 1.0 0.0
    }
  }
  JOINT Leg
  {
    OFFSET 0.0 -3.0 0.0
    CHANNELS 3 Zrotation Xrotation Yrotation
  }
}
MOTION
Frames: 2
Frame Time: 0.033
9 9 9 90 0 0 0 0 0 0 0 0
9 9 9 10 20 30 40 50 60 0 90 0
"""


def turn(axis: str, degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    i, j = {"X": (1, 2), "Y": (2, 0), "Z": (0, 1)}[axis]
    out = np.eye(3)
    out[i, i] = out[j, j] = c
    out[j, i], out[i, j] = s, -s
    return out


# ---------------------------------------------------------------- skeletons and clouds


def test_bvh_is_read_with_its_channels_in_order() -> None:
    skeleton, motion = parse_bvh(BVH)
    assert skeleton.names == ("Hips", "Arm", "Leg") and skeleton.parents == (-1, 0, 0)
    assert skeleton.offsets.tolist() == [[1.0, 2.0, 3.0], [2.0, 0.0, 0.0], [0.0, -3.0, 0.0]]
    assert motion.shape == (2, 3, 3, 3)
    assert np.allclose(motion[1, 0], turn("Z", 10) @ turn("Y", 20) @ turn("X", 30))
    assert np.allclose(motion[1, 1], turn("Z", 40) @ turn("X", 50) @ turn("Y", 60))
    places = skeleton.positions(torch.from_numpy(motion))
    assert np.allclose(places[0], [[0, 0, 0], [0, 2, 0], [3, 0, 0]])  # a quarter turn about z


@pytest.mark.parametrize(
    ("text", "message"),
    [("nothing", "must hold HIERARCHY and MOTION"), (BVH.replace("9 9 9 ", ""), r"must hold 12 values, got the shape")],
)
def test_what_is_no_bvh_is_refused(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_bvh(text)


def test_children_before_parents_are_refused() -> None:
    with pytest.raises(ValueError, match="`parents` must be -1 first and then earlier joints"):
        Skeleton(("a", "b"), (-1, 1), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="`joints` must be at least 1, got 0"):
        chain(0)


def test_shipped_and_procedural_bodies_keep_their_bones() -> None:
    skeleton, motion = shipped_motion()
    assert motion.shape == (3592, 22, 3, 3) and skeleton.joints == 22
    made = procedural_skeleton()
    moved = procedural_motion(made, 50, np.random.default_rng(0))
    for body, frames in ((skeleton, motion[:50]), (made, moved)):
        places = body.positions(frames)
        bones = torch.linalg.vector_norm(places[:, 1:] - places[:, list(body.parents[1:])], dim=-1)
        assert np.allclose(bones, np.linalg.norm(body.offsets[1:], axis=1), atol=1e-9)
        assert np.isclose(np.linalg.norm(body.offsets[1:], axis=1).mean(), 12.0)
    speed = off_target(moved[1:], moved[:-1])
    assert 0.1 < float(speed.mean()) < 30.0  # it moves, smoothly


def test_roots_are_turned_about_the_vertical_and_nothing_else_is() -> None:
    _, motion = shipped_motion()
    turned = turn_roots(motion[:200], np.random.default_rng(0))
    assert torch.equal(turned[:, 1:], motion[:200, 1:])
    relative = turned[:, 0] @ motion[:200, 0].transpose(1, 2)
    assert torch.allclose(relative[:, 1, 1], torch.ones(200, dtype=motion.dtype))


def test_obj_faces_become_triangles_and_samples_are_uniform() -> None:
    text = "v 0 0 0\nv 3 0 0\nv 3 1 0\nv 0 1 0\nf 1/1 2/2 3/3 4/4\nf -4 -3 -2\n"
    vertices, triangles = mesh_of_obj(text)
    assert triangles.tolist() == [[0, 1, 2], [0, 2, 3], [0, 1, 2]]
    points = sample_surface(vertices, triangles[:2], 40_000, np.random.default_rng(0))
    assert np.allclose(points.mean(0), 0.0) and np.isclose(np.abs(points).max(), 1.5)
    assert np.allclose(
        points.std(0)[:2] / points[:, :2].max(0), 1.0 / np.sqrt(3.0), atol=0.02
    )  # uniform on the rectangle


def test_procedural_clouds_have_no_symmetry() -> None:
    """Three different principal moments: no turn maps the cloud onto itself."""
    for seed in range(5):
        cloud = procedural_cloud(2000, np.random.default_rng(seed))
        moments = np.linalg.eigvalsh(cloud.T @ cloud)
        assert np.all(np.diff(moments) > 0.03 * moments[-1])
        assert np.isclose(np.abs(cloud).max(), 1.5)


def test_cloud_pairs_are_turned_by_the_rotation() -> None:
    cloud, turned, rotation = cloud_pair(object_clouds((0, 1, 2)), 10, np.random.default_rng(0))
    assert torch.allclose(turned[4], (rotation[4] @ cloud[4].T).T, atol=1e-6)


# ---------------------------------------------------------------- networks


@pytest.mark.parametrize("kind", list(SHIPPED))
def test_shipped_weights_fit_their_networks(kind: str) -> None:
    make = {"sanity": Autoencoder, "cloud": CloudNet, "ik": lambda rep: PoseNet(rep, 22)}[kind]
    digests = {load_weights(make(rep), weights_path(kind, rep)) for rep in SHIPPED[kind]}
    assert len(digests) == len(SHIPPED[kind])


def test_shipped_weights_are_small() -> None:
    folder = weights_path("ik", "6d").parent
    files = [*folder.glob("*.npz"), *folder.parent.glob("*.npz")]
    assert sum(file.stat().st_size for file in files) < 5e6


def assert_sanity_order(found: dict[str, Errors]) -> None:
    """Without a jump: a few degrees everywhere. With one: somewhere almost half a turn, and worse in the mean."""
    for rep, errors in found.items():
        if REPRESENTATIONS[rep].continuous:
            assert errors.mean < 2.0 and errors.largest < 10.0, rep
        else:
            assert errors.largest > 150.0, rep
    assert found["quaternion"].mean > 2.0 * found["6d"].mean


def test_shipped_autoencoders_have_the_errors_of_their_representation() -> None:
    """Seed 0 of the sanity test."""
    found = {}
    for rep in NAMES:
        net = Autoencoder(rep)
        load_weights(net, weights_path("sanity", rep))
        found[rep] = sanity_errors(net, 100_000)
    assert_sanity_order(found)


def test_shipped_pose_estimators_differ_in_their_worst_case() -> None:
    for rep in SHIPPED["cloud"]:
        net = CloudNet(rep)
        load_weights(net, weights_path("cloud", rep))
        largest = cloud_errors(net.float(), object_clouds(), 4_000).largest
        assert largest < 20.0 if REPRESENTATIONS[rep].continuous else largest > 120.0


def test_shipped_pose_network_is_a_few_cm_wrong() -> None:
    body = shipped_motion()
    net = PoseNet("6d", 22)
    load_weights(net, weights_path("ik", "6d"))
    errors = pose_errors(net.float(), body)
    assert 1.0 < errors.mean < 5.0 and errors.largest < 10.0


def test_weights_come_back_as_they_were_rounded(tmp_path: Path) -> None:
    net = Autoencoder("5d")
    save_weights(net, tmp_path / "w.npz")
    again = Autoencoder("5d")
    assert load_weights(again, tmp_path / "w.npz") == load_weights(Autoencoder("5d"), tmp_path / "w.npz")
    assert torch.equal(again.layers[0].weight, net.layers[0].weight.half().double())
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_training_repeats_with_its_seed_and_leaves_torch_alone() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (train_sanity("6d", seed, 3) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first.layers[0].weight, again.layers[0].weight)
    assert not torch.equal(first.layers[0].weight, other.layers[0].weight)
    with pytest.raises(ValueError, match="`loss` must be 'squared' or 'geodesic', got 'l1'"):
        train_sanity("6d", loss="l1")


@pytest.mark.parametrize("loss", ["squared", "geodesic"])
def test_a_short_training_learns(loss: str) -> None:
    untrained = sanity_errors(train_sanity("6d", 0, 1, loss), 500).mean
    assert sanity_errors(train_sanity("6d", 0, 150, loss), 500).mean < 0.3 * untrained


def test_clouds_and_poses_learn() -> None:
    skeleton = procedural_skeleton()
    body = (skeleton, procedural_motion(skeleton, 300, np.random.default_rng(0)))
    poses = [pose_errors(train_pose("6d", 0, steps, body, width=64), body).mean for steps in (1, 150)]
    assert poses[1] < 0.7 * poses[0]
    clouds = torch.from_numpy(np.array([procedural_cloud(32, np.random.default_rng(1))])).float()
    errors = [cloud_errors(train_cloud("svd", 0, steps, clouds), clouds, 500).mean for steps in (1, 60)]
    assert errors[1] < 0.9 * errors[0]


def test_test_frames_are_not_trained_on() -> None:
    train, test = split_motion(torch.arange(10.0))
    assert train.tolist() == list(range(8)) and test.tolist() == [8.0, 9.0]


@pytest.mark.slow
def test_another_seed_has_the_errors_of_its_representation() -> None:
    """Seed 1 of the sanity test for two without a jump and two with one; seed 0 of each is shipped."""
    reps = ("6d", "svd", "quaternion", "euler")
    assert_sanity_order({rep: sanity_errors(train_sanity(rep, 1, 2000), 100_000) for rep in reps})


# ---------------------------------------------------------------- errors and study


def test_errors_hold_the_worst_cases_and_come_back(tmp_path: Path) -> None:
    truth = haar(1000, np.random.default_rng(0))
    answer = haar(1000, np.random.default_rng(1))
    values = off_target(truth, answer)
    errors = Errors.of(values, truth, answer)
    assert np.isclose(errors.largest, float(values.max())) and np.isclose(
        errors.at(0.5), float(values.median()), atol=0.5
    )
    worst = off_target(torch.from_numpy(errors.truth), torch.from_numpy(errors.answer))
    assert torch.allclose(worst, values.sort(descending=True).values[:4])
    errors.save(tmp_path / "e.npz")
    back = Errors.load(tmp_path / "e.npz")
    assert back.mean == errors.mean and np.array_equal(back.quantiles, errors.quantiles)


def test_parts_of_quick_and_full_studies_have_different_files() -> None:
    quick, full = study.parts_of(study.Plan.of(True, 1)), study.parts_of(study.Plan.of(False, 5))
    names = [part.path(Path("x")).name for part in (*quick, *full)]
    assert len(set(names)) == len(names)
    seeds = {kind: {part.run for part in full if part.kind == kind} for kind in ("sanity", "cloud", "ik")}
    assert seeds == {"sanity": {0, 1, 2, 3, 4}, "cloud": {0}, "ik": {0}}


def test_fits_report_error_and_cost() -> None:
    for space in ("6d", "6d-retraction", "euler-periodic"):
        for error, cost in study.fits(space, "no gradients", 2, 300):
            assert 0.0 <= error <= 1.0 and 0.0 < cost <= 300.0


def test_a_small_study_writes_tables_and_pictures_and_repeats_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = study.Plan((("6d", "quaternion"), 1, 5), (("6d",), 1, 2), (("6d",), 1, 2), 500, {"no gradients": 1}, 30)
    monkeypatch.setattr(study.Plan, "of", lambda quick, seeds: plan)
    monkeypatch.setattr(study, "FITS", {"6d": study.FITS["6d"]})
    monkeypatch.setattr(study, "SOLVERS", {"no gradients": {"attacks": ()}})
    monkeypatch.setattr(study, "CUT_SEEDS", 1)
    monkeypatch.setattr(study, "_made", lambda parts, folder: [part for part in parts if part.make(folder) is None])
    calls: list[tuple[int, int, str]] = []
    run = registry.load(registry.STUDIES, "rotation")
    for _ in range(2):
        run(tmp_path, quick=True, seeds=1, progress=lambda *call: calls.append(call))
    assert [call[:2] for call in calls] == [(i, 5) for i in range(1, 6)]  # the second call had nothing to do
    text = (tmp_path / "rotation.md").read_text(encoding="utf-8")
    for head in (
        "## Sanity test",
        "## Pose of a point cloud",
        "## Inverse kinematics",
        "## Continuity",
        "## Search for one",
        "## The smallest cut",
    ):
        assert head in text
    assert len((tmp_path / "rotation.csv").read_text(encoding="utf-8").splitlines()) == 5
    for name in ("percentiles.png", "failures.png"):
        assert (tmp_path / name).stat().st_size > 10_000


def test_the_table_of_the_cut_shows_the_trap_and_the_ways_out() -> None:
    rows = [line.split(" | ") for line in study._cut_table()[2:]]
    success = {row[0].removeprefix("| "): row[1] for row in rows}
    assert success.pop("angle, poll alone") == "0 %"
    assert set(success.values()) == {"100 %"}


@pytest.mark.slow
def test_the_quick_study_shows_the_gap(tmp_path: Path) -> None:
    """Made in other processes, as a user does; a minute's worth."""
    study.run(tmp_path, quick=True, seeds=1, progress=lambda done, total, text: None)
    rows = (tmp_path / "rotation.csv").read_text(encoding="utf-8").splitlines()
    largest = {tuple(row.split(",")[:2]): float(row.split(",")[-1]) for row in rows[1:]}
    assert all(largest["sanity", rep] < 25.0 for rep in ("6d", "5d", "svd"))
    assert all(largest["sanity", rep] > 120.0 for rep in ("quaternion", "euler"))
    assert "| 6D, free, with retraction | 100 % |" in (tmp_path / "rotation.md").read_text(encoding="utf-8")
