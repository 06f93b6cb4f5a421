"""Task arithmetic: task vectors, linearisation, data, training, editing, and the laws they have to obey."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from dfoattack.errors import ProblemError  # noqa: E402
from dfoattack_problems.merging import arithmetic, data  # noqa: E402
from dfoattack_problems.merging.bank import load_bank, shipped_bank  # noqa: E402
from dfoattack_problems.merging.editing import EditedFeatures, EditedLogits, groups_of  # noqa: E402
from dfoattack_problems.merging.linearize import Linearized, linear_forward, standard_forward  # noqa: E402
from dfoattack_problems.merging.model import MLPEncoder, VisionTransformer, cosine_logits  # noqa: E402
from dfoattack_problems.merging.task_vectors import TaskVector  # noqa: E402
from dfoattack_problems.merging.training import FineTuning, PreTraining, fine_tune, parameters_of, pre_train  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def family() -> data.TaskFamily:
    return data.load_family("digits", 0)


def random_vector(module: nn.Module, seed: int, size: float = 0.1) -> TaskVector:
    draw = torch.Generator().manual_seed(seed)
    return TaskVector(
        {k: size * torch.randn(v.shape, generator=draw, dtype=v.dtype) for k, v in module.named_parameters()}
    )


# ------------------------------------------------------------------ task vectors


def test_task_vectors_are_a_vector_space() -> None:
    net = MLPEncoder(6)
    a, b = random_vector(net, 1), random_vector(net, 2)
    flat = lambda tau: torch.cat([v.flatten() for v in tau.values()])  # noqa: E731
    assert torch.allclose(flat(a + b), flat(a) + flat(b))
    assert torch.equal(flat(a - a), torch.zeros_like(flat(a)))
    assert torch.equal(flat(2 * a), flat(a * 2)) and torch.allclose(flat(a / 4), flat(a) / 4)
    assert torch.allclose(flat(sum([a, b, -b])), flat(a), atol=1e-7)
    assert a.norm() == pytest.approx(float(flat(a).double().norm()))
    assert a.dot(b) == pytest.approx(float(flat(a).double() @ flat(b).double()))
    assert a.cosine(-3 * a) == pytest.approx(-1.0)
    with pytest.raises(ValueError, match="zero task vector"):
        a.cosine(0 * a)


def test_a_task_vector_leads_from_one_state_to_the_other_and_skips_integers() -> None:
    before = {"w": torch.zeros(2), "count": torch.tensor(3)}
    after = {"w": torch.ones(2), "count": torch.tensor(9)}
    tau = TaskVector.between(before, after)
    assert list(tau) == ["w"]
    moved = tau.apply(before, 0.5)
    assert moved["w"].tolist() == [0.5, 0.5] and int(moved["count"]) == 3
    with pytest.raises(ValueError, match="same names and shapes"):
        tau.apply({"v": torch.zeros(2)})
    with pytest.raises(ValueError, match="same names and shapes"):
        tau + TaskVector({"w": torch.zeros(3)})


# ------------------------------------------------------------------ linearisation


@pytest.mark.parametrize(
    "net",
    [
        lambda: MLPEncoder(12),
        lambda: VisionTransformer((1, 4, 4), 2, width=8, depth=2, heads=2, features=5),
        lambda: nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0, batch_first=True),
    ],
    ids=["mlp", "vit", "torch-transformer"],
)
def test_linearisation_is_the_first_order_expansion(net: Any) -> None:
    torch.manual_seed(0)
    module = net().double().eval()
    X = torch.randn(*((3, 4, 6) if isinstance(module, nn.TransformerEncoderLayer) else (3, 16)), dtype=torch.float64)
    X = X[:, :12] if isinstance(module, MLPEncoder) else X
    theta, tau = parameters_of(module), random_vector(module, 3, 0.2)
    value, slope = linear_forward(module, theta, tau, X)
    assert torch.allclose(value, standard_forward(module, theta, X), atol=1e-12)
    h = 1e-5
    ahead, behind = (standard_forward(module, tau.apply(theta, s), X) for s in (h, -h))
    assert torch.allclose(slope, (ahead - behind) / (2 * h), rtol=1e-6, atol=1e-8)
    # second order: halving the step divides the error of the linear model by four
    errors = [
        (standard_forward(module, tau.apply(theta, s), X) - value - s * slope).norm().item() for s in (1e-2, 5e-3)
    ]
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.1)


def test_linearized_module_is_affine_in_its_parameters_and_trains() -> None:
    torch.manual_seed(0)
    net = MLPEncoder(5).double()
    lin, X = Linearized(net), torch.randn(4, 5, dtype=torch.float64)
    assert torch.equal(lin(X), net(X))
    tau = random_vector(net, 4)

    def at(scale: float) -> torch.Tensor:
        moved = tau.apply(parameters_of(net), scale)
        lin.module.load_state_dict(moved)
        return lin(X).detach()

    start, one, two = at(0.0), at(1.0), at(2.0)
    assert torch.allclose(two - start, 2 * (one - start), atol=1e-10)
    lin(X).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in lin.parameters())
    with pytest.raises(ValueError, match="eval mode"):
        Linearized(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))


def test_names_that_do_not_move_stay_where_they_are() -> None:
    net = MLPEncoder(5).double()
    theta, tau, X = parameters_of(net), random_vector(net, 5), torch.randn(4, 5, dtype=torch.float64)
    parts = [linear_forward(net, theta, {name: tau[name]}, X)[1] for name in tau]
    assert torch.allclose(torch.stack(parts).sum(0), linear_forward(net, theta, tau, X)[1], atol=1e-12)


def test_vision_transformer_is_attention_written_out() -> None:
    """The whole network once more, with plain matrix products."""
    torch.manual_seed(1)
    net = VisionTransformer((1, 4, 4), 2, width=8, depth=1, heads=2, features=3, quick=True).double()
    X = torch.randn(2, 16, dtype=torch.float64)
    patches = X.reshape(2, 2, 2, 2, 2).permute(0, 1, 3, 2, 4).reshape(2, 4, 4)  # (N, patch, pixels)
    tokens = patches @ net.conv1.weight.reshape(8, 4).T
    x = torch.cat([net.class_embedding.expand(2, 1, 8), tokens], 1) + net.positional_embedding
    x, block = net.ln_pre(x), net.transformer.resblocks[0]
    q, k, v = (block.ln_1(x) @ block.attn.in_proj_weight.T + block.attn.in_proj_bias).chunk(3, -1)
    split = lambda t: t.reshape(2, 5, 2, 4).transpose(1, 2)  # noqa: E731
    weights = (split(q) @ split(k).transpose(-1, -2) / 2.0).softmax(-1)
    x = x + block.attn.out_proj((weights @ split(v)).transpose(1, 2).reshape(2, 5, 8))
    hidden = block.mlp.c_fc(block.ln_2(x))
    x = x + block.mlp.c_proj(hidden * torch.sigmoid(1.702 * hidden))
    assert torch.allclose(net(X), net.ln_post(x[:, 0]) @ net.proj, atol=1e-12)


# ------------------------------------------------------------------ data


def test_families_have_the_agreed_shapes_and_no_sample_twice() -> None:
    for name, sizes in (("digits", (1000, 300, 497)), ("real", (3000, 1000, 1000))):
        family = data.load_family(name, 1)
        assert len(family.tasks) == 4
        for task in family.all:
            assert tuple(len(s) for s in (task.train, task.val, task.test)) == sizes
            assert task.train.X.shape[1] == (320 if name == "digits" else 980)
            assert set(task.train.y.tolist()) == set(range(10))
    rows = torch.cat([s.X[:, 588:784] for s in (family.tasks[3].train, family.tasks[3].val, family.tasks[3].test)])
    assert len(torch.unique(rows, dim=0)) == 5000
    again, other = data.load_family("digits", 1), data.load_family("digits", 2)
    first = data.load_family("digits", 1).tasks[0].train
    assert torch.equal(again.tasks[0].train.X, first.X) and not torch.equal(other.tasks[0].train.y, first.y)


def test_pictures_stand_in_their_own_blocks() -> None:
    family = data.load_family("digits", 0)
    for t, task in enumerate(family.all):
        energy = task.train.X.reshape(-1, 5, 64).square().mean((0, 2))
        assert energy.argmax() == t and energy[t] > 5 * energy[(t + 1) % 5]
        assert energy[(t + 1) % 5] == pytest.approx(0.15**2, rel=0.05)
    overlap = data.load_family("digits-overlap", 0).tasks[1].train.X.reshape(-1, 5, 8, 8)
    corr = np.corrcoef(overlap[:, 1].flatten(), overlap[:, 2].flip(-1).flatten())[0, 1]
    assert corr > 0.7
    with pytest.raises(ProblemError, match="`family` must be one of 'digits'"):
        data.load_family("cifar")  # type: ignore[arg-type]


def test_turned_and_mirrored_tasks_show_the_same_mean_picture() -> None:
    mean = lambda t: data.load_family("digits", 0).tasks[t].train.X.mean(0).reshape(5, 8, 8)[t]  # noqa: E731
    plain, turned, mirrored = mean(0), mean(1), mean(3)
    assert torch.allclose(torch.rot90(plain), turned, atol=0.06)
    assert torch.allclose(plain.flip(1), mirrored, atol=0.06)
    assert not torch.allclose(plain, mirrored, atol=0.1)


def test_tasks_can_be_given_as_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("cars", "control"):
        arrays = {f"X_{s}": rng.random((4, 3, 8, 8)) for s in ("train", "val", "test")}
        arrays |= {f"y_{s}": np.arange(4) for s in ("train", "val", "test")}
        np.savez(tmp_path / f"{name}.npz", **arrays)
    with pytest.raises(ProblemError, match=r"tasks\.json"):
        data.load_files(tmp_path)
    (tmp_path / "tasks.json").write_text(json.dumps(["cars", "control"]))
    family = data.load_files(tmp_path)
    assert [t.name for t in family.all] == ["cars", "control"] and family.tasks[0].val.X.shape == (4, 3, 8, 8)
    np.savez(tmp_path / "cars.npz", X_train=np.zeros(1))
    with pytest.raises(ProblemError, match="y_train"):
        data.load_files(tmp_path)


# ------------------------------------------------------------------ training


def test_training_learns_behind_frozen_heads_and_is_repeatable(family: data.TaskFamily) -> None:
    torch.manual_seed(0)
    net = MLPEncoder(320)
    theta, heads = pre_train(net, family, PreTraining(steps=60), 0)
    task = family.tasks[0]
    settings = FineTuning(steps=60, warm_up=10)
    for linear in (False, True):
        tau = fine_tune(net, theta, heads[0], task.train, settings, 5, linear=linear)
        again = fine_tune(net, theta, heads[0], task.train, settings, 5, linear=linear)
        assert all(torch.equal(tau[name], again[name]) for name in tau)
        bare = fine_tune(net, theta, heads[0], task.train, FineTuning(steps=0), 5, linear=linear)
        assert bare.norm() == 0.0
        value, slope = linear_forward(net, theta, tau, task.test.X)
        features = value + slope if linear else standard_forward(net, tau.apply(theta), task.test.X)
        before = (cosine_logits(value, heads[0]).argmax(1) == task.test.y).double().mean()
        after = (cosine_logits(features, heads[0]).argmax(1) == task.test.y).double().mean()
        assert after > before + 0.1


def test_weight_decay_pulls_to_zero_or_to_the_start(family: data.TaskFamily) -> None:
    torch.manual_seed(0)
    net = MLPEncoder(320)
    theta, head = parameters_of(net), torch.randn(10, 64)
    flat = lambda decay, towards: fine_tune(  # noqa: E731
        net, theta, head, family.tasks[0].train, FineTuning(steps=20, warm_up=5, decay=decay, towards=towards), 0
    )
    free, zero, start = flat(0.0, "zero"), flat(20.0, "zero"), flat(20.0, "start")
    assert start.norm() < 0.9 * free.norm()
    name = "0.weight"
    assert (theta[name] + zero[name]).norm() < 0.7 * theta[name].norm()
    assert (theta[name] + start[name]).norm() > 0.9 * theta[name].norm()


# ------------------------------------------------------------------ editing


@pytest.mark.parametrize("grouping", ["all", "layer", "tensor"])
@pytest.mark.parametrize("mode", ["standard", "post-hoc", "linear"])
def test_a_batch_of_edited_models_is_the_models_one_by_one(grouping: Any, mode: Any, family: data.TaskFamily) -> None:
    bank = shipped_bank("digits")
    X = family.tasks[0].val.X[:7]
    edited = EditedFeatures(bank, X, mode, grouping)
    A = 0.5 * torch.randn(11, edited.coefficients, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    groups = groups_of(list(bank.theta_0), grouping)
    assert edited.coefficients == 4 * len(groups)
    for a, features in zip(A, edited(A), strict=True):
        table = a.reshape(4, -1)
        tau = {
            name: sum(float(table[t, g]) * vector[name] for t, vector in enumerate(bank.vectors_of(mode)))
            for g, group in enumerate(groups)
            for name in group
        }
        if mode == "standard":
            expected = standard_forward(bank.encoder, {k: v + tau[k] for k, v in bank.theta_0.items()}, X)
        else:
            expected = sum(linear_forward(bank.encoder, bank.theta_0, tau, X))
        assert torch.allclose(features, expected, atol=2e-4)


def test_blocks_take_outputs_apart_again(family: data.TaskFamily) -> None:
    bank = shipped_bank("digits")
    sets = [(t, family.all[t].val.first(5 + t)) for t in (0, 4)]
    logits = EditedLogits(bank, sets)
    Y = logits(torch.zeros(2, 4, dtype=torch.float64))
    assert Y.shape == (2, (5 + 9) * 10)
    for part, (number, split) in zip(logits.blocks.parts(Y), sets, strict=True):
        direct = cosine_logits(standard_forward(bank.encoder, bank.theta_0, split.X), bank.heads[number])
        assert torch.allclose(part[1], direct, atol=1e-4)
        hits = (direct.argmax(1) == split.y).double().mean()
        place = [n for n, _ in sets].index(number)
        assert float(logits.blocks.accuracies(Y)[1, place]) == pytest.approx(float(hits))


def test_negation_falls_back_to_the_untouched_model() -> None:
    target = torch.tensor([0.6, 0.5, 0.1], dtype=torch.float64)
    assert arithmetic.choose_negation(target, torch.tensor([0.8, 0.5, 0.4])) == 0
    assert arithmetic.choose_negation(target, torch.tensor([0.8, 0.77, 0.4])) == 1
    assert arithmetic.choose_negation(target, torch.tensor([0.8, 0.8, 0.76])) == 2


def test_disentanglement_error_is_zero_at_the_origin_and_bounded(family: data.TaskFamily) -> None:
    bank = shipped_bank("digits")
    axis = torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
    xi = arithmetic.disentanglement(bank, family, "standard", (0, 1), axis, samples=60)
    assert xi[1, 1] == 0.0 and xi.min() >= 0.0 and xi.max() <= 2.0
    # by hand at (1, -1)
    taus, expected = bank.vectors_of("standard"), 0.0
    both = (taus[0] - taus[1]).apply(bank.theta_0)
    for t, alone in ((0, taus[0].apply(bank.theta_0)), (1, (-taus[1]).apply(bank.theta_0))):
        X = family.tasks[t].test.X[:60]
        classes = [
            cosine_logits(standard_forward(bank.encoder, theta, X), bank.heads[t]).argmax(1) for theta in (alone, both)
        ]
        expected += float((classes[0] != classes[1]).double().mean())
    assert float(xi[2, 0]) == pytest.approx(expected, abs=0.04)


def test_nonlinear_advantage_is_zero_for_equals_and_one_for_all() -> None:
    assert arithmetic.nonlinear_advantage([0.9], [0.9], 10) == [0.0]
    assert arithmetic.nonlinear_advantage([0.1], [1.0], 10)[0] == pytest.approx(1.0)


# ------------------------------------------------------------------ banks


def test_a_bank_comes_back_from_its_file(tmp_path: Path) -> None:
    bank = shipped_bank("digits")
    bank.save(tmp_path / "mine.npz")
    again = load_bank(tmp_path / "mine.npz")
    assert again.fingerprint() == bank.fingerprint() and again.data == bank.data
    with pytest.raises(ProblemError, match="`bank` must be one of 'digits'"):
        shipped_bank("nothing")


def test_shipped_bank_shows_the_effect_and_is_small() -> None:
    bank = shipped_bank("digits")
    family = data.load_family("digits", 0)
    found = {mode: arithmetic.addition(bank, family, mode) for mode in ("standard", "linear")}
    assert found["linear"].normalised > found["standard"].normalised
    assert all(0.8 < s < 0.95 for addition in found.values() for s in addition.single)
    folder = Path(data.FOLDER)
    assert sum(path.stat().st_size for path in (folder / "weights").glob("*.npz")) < 5e6
    assert sum(path.stat().st_size for path in (folder / "images").glob("*.npz")) < 5e6
