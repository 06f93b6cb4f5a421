"""Torch modules as surrogates, torch-written objectives and constraints, and what must stay as it was."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dfoattack.errors import EvaluationFailed, ProblemError  # noqa: E402
from dfoattack.problem import Constraint, Problem  # noqa: E402
from dfoattack.surrogate import as_surrogate, fingerprint_of  # noqa: E402
from dfoattack.testing.surrogates import SurrogateContract  # noqa: E402
from dfoattack.torch_backend import TorchSurrogate  # noqa: E402
from dfoattack.torch_backend.tensors import exact_arithmetic  # noqa: E402

UNIT = [(0.0, 1.0)] * 3


def network(dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return net.to(dtype)


def points(k=5):
    return np.random.default_rng(0).random((k, 3))


class TestDouble(SurrogateContract):
    @pytest.fixture
    def surrogate(self):
        return TorchSurrogate(network())

    @pytest.fixture
    def points(self):
        return points()


class TestSingle(TestDouble):
    row_tol, vjp_tol, difference_step = 1e-5, 1e-2, 1e-2

    @pytest.fixture
    def surrogate(self):
        return TorchSurrogate(network(torch.float32))


class Caching(torch.nn.Module):
    """Keeps a tensor that it makes at its first call."""

    def __init__(self):
        super().__init__()
        self.basis = None

    def forward(self, x):
        if self.basis is None:
            self.basis = torch.linspace(1.0, 2.0, 3, dtype=x.dtype)
        return (x * self.basis).square()


class TestCaching(TestDouble):
    @pytest.fixture
    def surrogate(self):
        return TorchSurrogate(Caching())


class TestTensorFunction(TestDouble):
    @pytest.fixture
    def surrogate(self):
        return TorchSurrogate(lambda x: torch.stack((x.sum(1), (x**2).sum(1)), 1))


class TestSurrogate:
    def test_modules_are_wrapped(self):
        phi = as_surrogate(network(torch.float32))
        assert isinstance(phi, TorchSurrogate)
        assert (phi.device.type, phi.dtype) == ("cpu", torch.float32)
        assert "Sequential" in repr(phi)

    def test_flat_outputs_become_a_column(self):
        phi = TorchSurrogate(torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Flatten(0)))
        assert phi.predict(points()).shape == (5, 1)
        assert phi.vjp(points(), np.ones((5, 1))).shape == (5, 3)

    def test_no_rows(self):
        assert TorchSurrogate(network()).predict(np.empty((0, 3))).shape == (0, 2)

    @pytest.mark.parametrize(
        ("fn", "message"),
        [
            (lambda x: (x, x), r"`surrogate` must return one tensor \(k, m\), got tuple"),
            (lambda x: x[None], r"`surrogate` returned shape \(1, 5, 3\) for a block of 5 points; expected \(k, m\)"),
            (lambda x: x.sum(), r"`surrogate` returned shape \(\)"),
        ],
    )
    def test_wrong_outputs(self, fn, message):
        with pytest.raises(ProblemError, match=message):
            TorchSurrogate(fn).predict(points())

    def test_wrong_arguments(self):
        with pytest.raises(ProblemError, match=r"`module` must be a torch.nn.Module or a callable"):
            TorchSurrogate(torch.nn.Linear)
        with pytest.raises(ProblemError, match=r"`dtype` must be a floating torch dtype or None, got torch.int64"):
            TorchSurrogate(network(), dtype=torch.int64)
        with pytest.raises(ProblemError, match=r"`V` must have shape \(k, m\) = \(5, 2\), got \(5, 3\)"):
            TorchSurrogate(network()).vjp(points(), np.ones((5, 3)))

    def test_another_dtype_works_on_a_copy(self):
        net = network(torch.float32)
        phi = TorchSurrogate(net, dtype=torch.float64)
        assert phi.dtype == torch.float64
        assert next(net.parameters()).dtype == torch.float32
        assert np.allclose(phi.predict(points()), TorchSurrogate(net).predict(points()), atol=1e-5)

    def test_nothing_is_changed(self):
        net = network()
        net.insert(1, torch.nn.LayerNorm(8).double())
        net[0].weight.requires_grad_(False)
        net.register_buffer("shift", torch.ones(2, dtype=torch.float64))
        net.train()
        net[2].training = False
        state = copy.deepcopy(net.state_dict())
        flags = [part.training for part in net.modules()]
        wanted = [parameter.requires_grad for parameter in net.parameters()]
        phi = TorchSurrogate(net)
        phi.predict(points())
        phi.vjp(points(), np.ones((5, 2)))
        assert [part.training for part in net.modules()] == flags
        assert [parameter.requires_grad for parameter in net.parameters()] == wanted
        assert all(parameter.grad is None for parameter in net.parameters())
        assert all(torch.equal(value, net.state_dict()[name]) for name, value in state.items())
        assert torch.is_grad_enabled()

    def test_flags_are_put_back_after_an_error(self):
        class Fails(torch.nn.Module):
            def forward(self, x):
                raise KeyError("no")

        net = Fails()
        for call in (lambda phi: phi.predict(points()), lambda phi: phi.vjp(points(), np.ones((5, 1)))):
            with pytest.raises(KeyError):
                call(TorchSurrogate(net))
            assert net.training

    @pytest.mark.parametrize(
        "layer", [torch.nn.Dropout(0.5), torch.nn.BatchNorm1d(8), torch.nn.AlphaDropout(0.1), torch.nn.RReLU()]
    )
    def test_training_mode_is_refused(self, layer):
        net = network()
        net.insert(1, layer.double())
        with pytest.raises(ProblemError, match=rf"must be in eval mode.*layer `1` \({type(layer).__name__}\)"):
            as_surrogate(net)
        phi = TorchSurrogate(net.eval())
        before = phi.predict(points())
        assert np.array_equal(phi.predict(points()), before)
        net.train()
        with pytest.raises(ProblemError, match="must be in eval mode"):
            phi.predict(points())

    def test_training_mode_without_such_layers_is_fine(self):
        net = network()
        net.insert(1, torch.nn.Dropout(0.0))
        assert TorchSurrogate(net.train()).predict(points()).shape == (5, 2)

    def test_in_place_modules(self):
        phi = TorchSurrogate(torch.nn.Sequential(torch.nn.ReLU(inplace=True), network()))
        X = points() - 0.5
        kept = X.copy()
        assert phi.vjp(X, np.ones((5, 2))).shape == (5, 3)
        phi.predict(X)
        assert np.array_equal(X, kept)

    def test_constant_and_stepwise_modules_have_zero_gradient(self):
        for fn in (lambda x: torch.ones(len(x), 2), lambda x: torch.floor(x), lambda x: (x > 0.5).double()):
            phi = TorchSurrogate(fn)
            assert not phi.vjp(points(), np.ones(phi.predict(points()).shape)).any()

    def test_modules_that_differentiate_inside(self):
        class Slope(torch.nn.Module):
            def forward(self, x):
                with torch.enable_grad():
                    x = x.clone().requires_grad_(True) if not x.requires_grad else x
                    return torch.autograd.grad((x**3).sum(), x, create_graph=True)[0]

        phi = TorchSurrogate(Slope())
        assert np.allclose(phi.predict(points()), 3 * points() ** 2)
        assert np.allclose(phi.predict(points()), 3 * points() ** 2)
        assert np.allclose(phi.vjp(points(), np.ones((5, 3))), 6 * points())

    def test_blocks_that_do_not_fit_are_halved(self):
        seen = []

        def fn(x):
            if len(x) > 3:
                raise torch.OutOfMemoryError("too many rows")
            seen.append(len(x))
            return x[:, :2] ** 2

        phi = TorchSurrogate(fn)
        X = points(10)
        assert np.array_equal(phi.predict(X), X[:, :2] ** 2)
        assert seen == [3, 3, 3, 1]
        assert np.allclose(phi.vjp(X, np.ones((10, 2)))[:, :2], 2 * X[:, :2])
        assert seen[4:] == [3, 3, 3, 1]

    def test_one_row_that_does_not_fit_is_an_error(self):
        def fn(x):
            raise torch.OutOfMemoryError("never")

        with pytest.raises(torch.OutOfMemoryError):
            TorchSurrogate(fn).predict(points())

    def test_pickle(self):
        phi = pickle.loads(pickle.dumps(TorchSurrogate(network())))
        assert np.array_equal(phi.predict(points()), TorchSurrogate(network()).predict(points()))

    def test_cuda_settings_are_put_back(self):
        cudnn = torch.backends.cudnn
        before = (cudnn.deterministic, cudnn.benchmark)
        # the switches exist without a device
        with exact_arithmetic(torch.device("cuda")):
            assert cudnn.deterministic
            assert not cudnn.benchmark
        assert (cudnn.deterministic, cudnn.benchmark) == before


class TestFingerprint:
    def test_state_structure_and_dtype(self):
        base = TorchSurrogate(network()).fingerprint()
        assert TorchSurrogate(network()).fingerprint() == base
        assert TorchSurrogate(network(seed=1)).fingerprint() != base
        assert TorchSurrogate(network(torch.float32)).fingerprint() != base
        relu = network()
        relu[1] = torch.nn.ReLU()
        assert TorchSurrogate(relu).fingerprint() != base

    def test_own_classes_by_code_and_plain_attributes(self):
        class Scaled(torch.nn.Module):
            def __init__(self, factor):
                super().__init__()
                self.factor = factor
                self.table = torch.ones(2) * factor
                self.calls = 0

            def forward(self, x):
                self.calls += 1
                return x * self.factor

        phi = TorchSurrogate(Scaled(2.0))
        before = phi.fingerprint()
        phi.predict(points())
        assert phi.fingerprint() == before
        assert TorchSurrogate(Scaled(3.0)).fingerprint() != before

    def test_bfloat16_and_tensors_in_closures(self):
        assert TorchSurrogate(network(torch.bfloat16)).fingerprint()
        make = lambda w: lambda y: y @ w  # noqa: E731
        assert fingerprint_of(make(torch.ones(2))) == fingerprint_of(make(torch.ones(2)))
        assert fingerprint_of(make(torch.ones(2))) != fingerprint_of(make(torch.zeros(2)))


class TestOuter:
    X = points()

    def flavours(self, p):
        f, C = p.outer(self.X, p.forward(self.X))
        return p._objective.flavour, [c.flavour for c in p._constraint_functions], f, C

    def test_flavours_are_found(self):
        p = Problem(
            objective=lambda y: torch.sin(y[:, 0]),
            space=UNIT,
            surrogate=network(),
            constraints=[
                lambda y: np.exp(y[:, 1]),  # NumPy functions accept plain tensors: must not pass for torch
                lambda x, y: x[:, 0] + y[:, 1],  # either; tensors give the gradient
                lambda y: y.clamp(min=0.0),
                lambda y: y.detach().numpy().sum(axis=1),  # tensors in, array out
                lambda y: torch.from_numpy(np.exp(y.detach().numpy())),  # tensors in and out, without a graph
            ],
        )
        objective, constraints, f, C = self.flavours(p)
        assert (objective.kind, objective.autograd) == ("torch", True)
        kinds = ["numpy", "torch", "torch", "torch", "torch"]
        assert [(c.kind, c.autograd) for c in constraints] == list(
            zip(kinds, [False, True, True, False, False], strict=True)
        )
        Y = p.forward(self.X)
        assert np.allclose(f, np.sin(Y[:, 0]))
        expected = [np.exp(Y[:, 1]), self.X[:, 0] + Y[:, 1], *np.maximum(Y, 0).T, Y.sum(axis=1), *np.exp(Y).T]
        assert np.allclose(C, np.column_stack(expected))

    def test_float32_parts(self):
        weight = torch.ones(2, dtype=torch.float32)
        p = Problem(objective=lambda y: y @ weight, space=UNIT, surrogate=network(torch.float32))
        flavour, _, f, _ = self.flavours(p)
        assert flavour == ("torch", "float32", True)
        assert f.dtype == np.float64

    def test_modules_as_objective(self):
        head = torch.nn.Linear(2, 1).double()
        p = Problem(objective=head, space=UNIT, surrogate=network())
        f = self.flavours(p)[2]
        assert f.shape == (5,)
        p.vjp(self.X, p.forward(self.X), np.ones(5))
        assert all(parameter.grad is None for parameter in head.parameters())
        with pytest.raises(ProblemError, match="`objective` must be in eval mode"):
            Problem(objective=torch.nn.Sequential(head, torch.nn.Dropout()), space=UNIT, surrogate=network())

    def test_torch_without_a_torch_surrogate(self):
        p = Problem(objective=lambda y: torch.sin(y).sum(1), space=UNIT, constraints=lambda y: y.clamp(max=0.5))
        assert p.gradient_source == "jac"
        flavour, constraints, f, _ = self.flavours(p)
        assert (flavour.kind, constraints[0].kind) == ("torch", "torch")
        assert np.allclose(f, np.sin(self.X).sum(axis=1))
        assert np.allclose(p.vjp(self.X, self.X, np.ones(5)), np.cos(self.X))

    def test_backend_forces(self):
        p = Problem(objective=lambda y: (y**2).sum(1), space=UNIT, backend="torch")
        assert p.gradient_source == "jac"
        assert np.allclose(p.vjp(self.X, self.X, np.ones(5)), 2 * self.X)
        p = Problem(objective=lambda y: torch.sin(y[:, 0]), space=UNIT, surrogate=network(), backend="numpy")
        with pytest.raises(TypeError):
            p.outer(self.X, p.forward(self.X))

    def test_both_flavours_fail(self):
        def wrong(y):
            return y.no_such_thing

        p = Problem(objective=wrong, space=UNIT, surrogate=network())
        with pytest.raises(AttributeError, match="ndarray") as caught:
            p.outer(self.X, p.forward(self.X))
        assert "Tensor" in str(caught.value.__cause__)

    def test_declared_failures_do_not_decide_the_flavour(self):
        fail = [True]

        def objective(y):
            total = torch.sin(y[:, 0])
            if fail[0]:
                raise ValueError("declared")
            return total

        p = Problem(objective=objective, space=UNIT, surrogate=network(), failures=ValueError)
        for _ in range(2):
            with pytest.raises(ValueError, match="declared"):
                p.outer(self.X, p.forward(self.X))
        fail[0] = False
        assert self.flavours(p)[0].kind == "torch"
        fail[0] = True
        with pytest.raises(ValueError, match="declared"):
            p.outer(self.X, p.forward(self.X))

    def test_evaluation_failed_is_not_tried_again(self):
        calls = []

        def objective(y):
            calls.append(type(y))
            raise EvaluationFailed("here")

        p = Problem(objective=objective, space=UNIT, surrogate=network())
        with pytest.raises(EvaluationFailed):
            p.outer(self.X, p.forward(self.X))
        assert len(calls) == 1

    @pytest.mark.parametrize("error", [ValueError, ZeroDivisionError, TypeError])
    def test_array_code_that_fails_is_called_once(self, error):
        seen = []

        def objective(y):
            seen.append(type(y))
            raise error("here")

        p = Problem(objective=objective, space=UNIT, failures=TypeError)
        with pytest.raises(error, match="here"):
            p.outer(self.X, self.X)
        assert seen == [np.ndarray]

    def test_in_place_code_is_harmless(self):
        def objective(y):
            y[:, 0] = 0.0
            return y.sum(1)

        p = Problem(objective=objective, space=UNIT, surrogate=network())
        Y = p.forward(self.X)
        kept = Y.copy()
        p.outer(self.X, Y)
        p.vjp(self.X, Y, np.ones(5))
        assert np.array_equal(Y, kept)


class TestGradients:
    X = points()

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    def test_composition_against_differences(self, dtype):
        net = network(dtype)

        def of_outputs(X, Y, W):
            return None, np.column_stack((2 * Y[:, :1] * W, 0 * W))

        p = Problem(
            objective=lambda x, y: torch.sin(y[:, 0]) * x[:, 1],
            space=UNIT,
            surrogate=net,
            constraints=[
                lambda y: np.exp(y[:, 1]),
                lambda x, y: x[:, :2] * y,
                lambda x, y: x[:, 0] ** 2,
                Constraint(
                    lambda y: y[:, 0] ** 2, grad=lambda X, Y, W: (None, np.column_stack((2 * Y[:, :1] * W, 0 * W)))
                ),
            ],
        )
        exact = Problem(
            objective=p.objective, space=UNIT, surrogate=network(torch.float64), constraints=list(p.constraints)
        )
        if dtype == torch.float32:  # the same weights, so that differences can be taken in float64
            exact.surrogate.module.load_state_dict(net.double().state_dict())
            net.float()
        Y = p.forward(self.X)
        p.outer(self.X, Y)
        rng = np.random.default_rng(3)
        wf, W = rng.standard_normal(5), rng.standard_normal((5, 5))
        G = p.vjp(self.X, Y, wf, W)
        expected = np.empty_like(self.X)
        for j in range(3):
            shift = np.zeros_like(self.X)
            shift[:, j] = 1e-6
            high, low = (exact.outer(Z, exact.forward(Z)) for Z in (self.X + shift, self.X - shift))
            expected[:, j] = (wf * (high[0] - low[0]) + (W * (high[1] - low[1])).sum(axis=1)) / 2e-6
        tol = 1e-6 if dtype == torch.float64 else 1e-3
        assert np.allclose(G, expected, rtol=tol, atol=tol * np.abs(expected).max())
        J, count = p.constraint_jacobian(self.X[0], Y[0], np.arange(5))
        assert count == 2  # m = 2 is cheaper than the four rows that depend on y
        single = [p.vjp(self.X[:1], Y[:1], np.zeros(1), row[None])[0] for row in np.eye(5)]
        assert np.allclose(J, single, rtol=tol, atol=tol)

    def test_exact_direction_of_an_affine_net(self):
        # m = 1 and u = all ones, where a centred direction vanishes
        for m in (1, 4):
            net = torch.nn.Linear(3, m).double()
            p = Problem(objective=lambda y: y.sum(1), space=UNIT, surrogate=net)
            G = p.vjp(self.X, p.forward(self.X), np.ones(5))
            assert np.allclose(G, net.weight.detach().numpy().sum(axis=0))


def test_core_without_torch_names_the_extra():
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from dfoattack.problem import Problem\n"
        "from dfoattack.errors import MissingExtraError\n"
        "import importlib\n"
        "try:\n"
        "    importlib.import_module('dfoattack.torch_backend')\n"
        "except MissingExtraError as error:\n"
        "    assert 'dfoattack[torch]' in str(error)\n"
        "else:\n"
        "    raise SystemExit('torch was found')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
