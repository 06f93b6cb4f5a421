"""Representations: both maps, their continuity, their gradients, against SciPy, roma and closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import roma
import torch
from scipy.spatial.transform import Rotation

from dfoattack_problems.rotation.continuity import largest_jump
from dfoattack_problems.rotation.groups import along, geodesic, haar, loops, special_orthogonal_samples
from dfoattack_problems.rotation.orthogonal import complete, gram_schmidt, lift, project
from dfoattack_problems.rotation.representations import (
    NAMES,
    REPRESENTATIONS,
    SCALE_5D,
    Representation,
    orthogonal,
    representation,
    similarity,
    special_orthogonal,
    stiefel,
)

CONTINUOUS = ("6d", "5d", "svd", "matrix")
GROUPS = [
    (special_orthogonal(2), 2),
    (special_orthogonal(3), 3),
    (special_orthogonal(3, 1), 3),
    *[(special_orthogonal(5, k), 5) for k in range(4)],
    (special_orthogonal(8, 6), 8),
    (stiefel(5, 2), 5),
    (stiefel(6, 5), 6),
    (orthogonal(4), 4),
]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def elements(rep: Representation, n: int, count: int) -> torch.Tensor:
    """Random elements of the group of `rep`."""
    matrices = special_orthogonal_samples(count, n, rng(1))
    if rep.group.startswith("V_"):
        return matrices[..., : rep.dim // n]
    if rep.group.startswith("O("):
        matrices[::2, :, 0] *= -1.0  # the other component
    return matrices


# ---------------------------------------------------------------- the group


def test_haar_rotations_have_the_angles_of_haar() -> None:
    """The density of the angle is (1 - cos t)/pi: mean pi/2 + 2/pi. Uniform angles would give pi/2."""
    R = haar(20_000, rng())
    angles = geodesic(R, torch.eye(3, dtype=R.dtype))
    assert abs(float(angles.mean()) - (np.pi / 2 + 2 / np.pi)) < 0.02
    assert torch.allclose(R @ R.transpose(1, 2), torch.eye(3, dtype=R.dtype).expand_as(R), atol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 6])
def test_special_orthogonal_samples(n: int) -> None:
    Q = special_orthogonal_samples(2000, n, rng())
    assert torch.allclose(Q @ Q.transpose(1, 2), torch.eye(n, dtype=Q.dtype).expand_as(Q), atol=1e-12)
    assert torch.allclose(torch.linalg.det(Q), torch.ones(2000, dtype=Q.dtype))
    assert float(Q.mean(0).abs().max()) < 0.06  # Haar has mean 0


def test_geodesic_equals_scipy_roma_and_keeps_its_digits_at_both_ends() -> None:
    A, B = haar(200, rng(1)), haar(200, rng(2))
    exact = (Rotation.from_matrix(A.numpy()).inv() * Rotation.from_matrix(B.numpy())).magnitude()
    assert np.allclose(geodesic(A, B), exact, atol=1e-12)
    assert torch.allclose(geodesic(A, B), roma.rotmat_geodesic_distance(A, B), atol=1e-7)
    for angle in (0.0, 1e-9, 1e-5, np.pi - 1e-9):
        turn = roma.rotvec_to_rotmat(torch.tensor([[0.0, 0.0, angle]], dtype=torch.float64))
        assert torch.all((geodesic(A, A @ turn) - angle).abs() < 1e-14)


def test_geodesic_has_bounded_slope_near_both_ends() -> None:
    A = torch.eye(3, dtype=torch.float64)
    for angle in (1e-7, np.pi - 1e-7):
        v = torch.tensor([0.0, 0.0, angle], dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(geodesic(A, roma.rotvec_to_rotmat(v)), v)
        assert abs(float(slope[2]) - 1.0) < 1e-6


def test_loops_are_closed_rotations() -> None:
    loop = loops(16, 4, rng())
    R = along(loop, torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64).expand(16, -1))
    assert torch.allclose(R[:, 0], R[:, 2], atol=1e-12)
    assert torch.allclose(torch.linalg.det(R), torch.ones(16, 3, dtype=R.dtype))
    axes = R[:8, 0]  # the first half starts at a turn of the axes onto each other
    assert torch.allclose(axes.abs().sort(dim=-1).values[..., -1], torch.ones(8, 4, dtype=R.dtype))
    assert torch.allclose(axes.abs().sum(-1), torch.ones(8, 4, dtype=R.dtype), atol=1e-12)


# ---------------------------------------------------------------- both maps


@pytest.mark.parametrize("name", NAMES)
def test_decode_inverts_encode(name: str) -> None:
    rep, R = REPRESENTATIONS[name], haar(500, rng())
    x = rep.encode(R)
    assert x.shape == (500, rep.dim)
    assert torch.allclose(rep.decode(x), R, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_decode_gives_rotations_for_any_coordinates_and_any_batch_shape(name: str) -> None:
    rep = REPRESENTATIONS[name]
    x = torch.from_numpy(rng(3).standard_normal((4, 5, rep.dim)))
    R = rep.decode(x)
    assert R.shape == (4, 5, 3, 3)
    assert torch.allclose(R @ R.transpose(-1, -2), torch.eye(3, dtype=R.dtype).expand_as(R), atol=1e-12)
    assert torch.allclose(torch.linalg.det(R), torch.ones(4, 5, dtype=R.dtype))
    assert torch.allclose(R[2, 3], rep.decode(x[2, 3]), atol=1e-14)
    assert rep.encode(R).shape == x.shape


@pytest.mark.parametrize("name", NAMES)
def test_retraction_keeps_the_rotation_and_is_idempotent(name: str) -> None:
    rep = REPRESENTATIONS[name]
    x = torch.from_numpy(rng(4).standard_normal((50, rep.dim)))
    home = rep.retract(x)
    assert torch.allclose(rep.decode(home), rep.decode(x), atol=1e-9)
    assert torch.allclose(rep.decode(rep.retract(home)), rep.decode(x), atol=1e-9)
    if rep.continuous:
        assert torch.allclose(rep.retract(home), home, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_decode_agree_with_differences(name: str) -> None:
    rep = REPRESENTATIONS[name]
    x = torch.from_numpy(rng(5).standard_normal((3, rep.dim))).requires_grad_()
    assert torch.autograd.gradcheck(rep.decode, (x,), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_float32_stays_float32(name: str) -> None:
    rep, R = REPRESENTATIONS[name], haar(200, rng(), torch.float32)
    x = rep.encode(R)
    assert x.dtype == torch.float32
    assert float((rep.decode(x) - R).abs().max()) < 1e-4 and rep.decode(x).dtype == torch.float32


def test_maps_agree_with_scipy() -> None:
    R = haar(300, rng(6))
    truth = Rotation.from_matrix(R.numpy())
    assert np.allclose(REPRESENTATIONS["rodriguez"].encode(R), truth.as_rotvec(), atol=1e-9)
    assert np.allclose(REPRESENTATIONS["euler"].encode(R), truth.as_euler("XYZ"), atol=1e-9)
    q = truth.as_quat(canonical=True)  # x, y, z, w with w >= 0
    assert np.allclose(REPRESENTATIONS["hemisphere"].encode(R), q, atol=1e-9)
    quaternion = REPRESENTATIONS["quaternion"].encode(R).numpy()
    assert np.allclose(np.abs((quaternion * q).sum(1)), 1.0)  # the same up to the sign
    M = rng(7).standard_normal((50, 3, 3))
    nearest = REPRESENTATIONS["svd"].decode(torch.from_numpy(M.transpose(0, 2, 1).reshape(50, 9)))
    u, _, vt = np.linalg.svd(M)
    d = np.linalg.det(u @ vt)
    assert np.allclose(nearest, u @ (np.stack([0 * d + 1, 0 * d + 1, d], 1)[..., None] * vt))


def test_axis_angle_is_half_the_angle_through_tanh() -> None:
    """x = (a, axis): the rotation by pi tanh(a) about the axis."""
    x = torch.tensor([[0.7, 0.0, 0.0, 3.0]], dtype=torch.float64)
    expected = Rotation.from_rotvec([0.0, 0.0, np.pi * np.tanh(0.7)]).as_matrix()
    assert np.allclose(REPRESENTATIONS["axis-angle"].decode(x)[0], expected)
    identity = REPRESENTATIONS["axis-angle"].encode(torch.eye(3, dtype=torch.float64))
    assert identity.tolist() == [0.0, 1.0, 0.0, 0.0]


def test_the_negative_quaternion_is_the_same_rotation_but_not_on_the_hemisphere() -> None:
    q = torch.tensor([0.1, 0.2, 0.3, -0.9], dtype=torch.float64)
    quaternion, hemisphere = REPRESENTATIONS["quaternion"].decode, REPRESENTATIONS["hemisphere"].decode
    assert torch.allclose(quaternion(q), quaternion(-q))
    assert not torch.allclose(hemisphere(q), quaternion(q), atol=0.1)
    assert torch.allclose(hemisphere(-q), quaternion(q))


def test_raw_matrices_are_trained_as_they_are_and_projected_afterwards() -> None:
    x = torch.arange(9.0)
    assert torch.equal(REPRESENTATIONS["matrix"].training_decode(x), x.reshape(3, 3).T)
    assert REPRESENTATIONS["6d"].training_decode is REPRESENTATIONS["6d"].decode


def test_unknown_representation_is_named() -> None:
    with pytest.raises(ValueError, match=r"`rep` must be one of 6d, 5d, .*, got '7d'"):
        representation("7d")


# ---------------------------------------------------------------- continuity


@pytest.mark.parametrize("name", NAMES)
def test_the_encoding_jumps_exactly_where_it_is_called_discontinuous(name: str) -> None:
    jump = largest_jump(REPRESENTATIONS[name])
    assert REPRESENTATIONS[name].continuous == (name in CONTINUOUS)
    assert jump < 1e-3 if name in CONTINUOUS else jump > 1.0


@pytest.mark.parametrize(("rep", "n"), [(rep, n) for rep, n in GROUPS if rep.group.startswith("SO")])
def test_the_encodings_of_so_n_do_not_jump(rep: Representation, n: int) -> None:
    assert largest_jump(rep, n, count=16) < 1e-3


# ---------------------------------------------------------------- n dimensions


@pytest.mark.parametrize(("rep", "n"), GROUPS, ids=lambda value: getattr(value, "name", str(value)))
def test_groups_decode_inverts_encode(rep: Representation, n: int) -> None:
    M = elements(rep, n, 40)
    x = rep.encode(M)
    assert x.shape == (40, rep.dim)
    assert torch.allclose(rep.decode(x), M, atol=1e-11)


@pytest.mark.parametrize(("rep", "n"), GROUPS, ids=lambda value: getattr(value, "name", str(value)))
def test_groups_decode_gives_elements_and_right_gradients(rep: Representation, n: int) -> None:
    x = torch.from_numpy(rng(8).standard_normal((2, rep.dim)))
    M = rep.decode(x)
    k = M.shape[-1]
    assert torch.allclose(M.transpose(1, 2) @ M, torch.eye(k, dtype=M.dtype).expand(2, k, k), atol=1e-12)
    if rep.group.startswith("SO"):
        assert torch.allclose(torch.linalg.det(M), torch.ones(2, dtype=M.dtype))
    if n <= 5:
        assert torch.autograd.gradcheck(rep.decode, (x.requires_grad_(),), eps=1e-6, atol=1e-6)


def test_dimensions_are_those_of_the_paper() -> None:
    for n in (3, 4, 7):
        assert special_orthogonal(n).dim == n * n - n
        assert special_orthogonal(n, n - 2).dim == n * n - 2 * n + 2
        assert orthogonal(n).dim == n * n
    assert stiefel(7, 3).dim == 21
    assert similarity().dim == 10


def test_so_3_is_6d_and_with_a_lift_5d() -> None:
    x = torch.from_numpy(rng(9).standard_normal((20, 6)))
    assert torch.allclose(special_orthogonal(3).decode(x), REPRESENTATIONS["6d"].decode(x), atol=1e-12)
    y = torch.from_numpy(rng(10).standard_normal((20, 5)))
    scaled = torch.cat([y[:, :2], y[:, 2:] * torch.tensor(SCALE_5D, dtype=y.dtype)], 1)
    assert torch.allclose(special_orthogonal(3, 1).decode(scaled), REPRESENTATIONS["5d"].decode(y), atol=1e-12)


def test_both_components_of_o_n_are_reached() -> None:
    x = torch.from_numpy(rng(11).standard_normal((200, 16)))
    assert set(torch.linalg.det(orthogonal(4).decode(x)).round().tolist()) == {-1.0, 1.0}


def test_gram_schmidt_equals_the_textbook() -> None:
    A = rng(12).standard_normal((5, 3))
    Q = np.zeros((5, 3))
    for j in range(3):
        v = A[:, j] - Q[:, :j] @ (Q[:, :j].T @ A[:, j])
        Q[:, j] = v / np.linalg.norm(v)
    assert np.allclose(gram_schmidt(torch.from_numpy(A)), Q)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_complete_is_the_generalised_cross_product(n: int) -> None:
    """Component i is the cofactor of entry (i, n): a determinant each."""
    Q = special_orthogonal_samples(10, n, rng(13))[..., :-1]
    Q[..., 0] *= -1.0
    last = complete(Q)[..., -1].numpy()
    for i in range(n):
        unit = np.zeros((10, n, 1))
        unit[:, i] = 1.0
        assert np.allclose(last[:, i], np.linalg.det(np.concatenate([Q.numpy(), unit], -1)), atol=1e-12)


def test_lift_and_project_are_inverse_also_far_out() -> None:
    c = torch.nn.functional.normalize(torch.from_numpy(rng(14).standard_normal((50, 4))), dim=1)
    h = torch.from_numpy(np.concatenate([rng(15).standard_normal(40), [1e4, -1e4, 1e2, -1e2, 0, 0, 0, 1, -1, 3]]))
    v = torch.cat([h[:, None], c], 1)
    assert torch.allclose(lift(project(v)), v, rtol=1e-9, atol=1e-9)


def test_similarity_round_trip_and_its_action() -> None:
    rep = similarity()
    x = torch.from_numpy(rng(16).standard_normal((30, 10)))
    M = rep.decode(x)
    assert torch.allclose(rep.decode(rep.encode(M)), M, atol=1e-12)
    assert torch.allclose(torch.linalg.det(M[..., :3]), torch.exp(3.0 * x[:, 0]))
    assert torch.equal(M[..., 3], x[:, 7:])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: special_orthogonal(1), r"`n` must be at least 2, got 1"),
        (lambda: special_orthogonal(4, 3), r"`lifts` must lie in \[0, n - 2\] = \[0, 2\], got 3"),
        (lambda: stiefel(3, 3), r"`k` must lie in \[1, n\) = \[1, 3\), got 3"),
        (lambda: orthogonal(0), r"`n` must be at least 1, got 0"),
    ],
)
def test_wrong_sizes_are_named(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
