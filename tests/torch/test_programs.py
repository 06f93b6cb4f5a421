"""TorchScript, exported programs and ONNX graphs: values, gradients, files."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from dfoattack.errors import ProblemError  # noqa: E402
from dfoattack.surrogate import as_surrogate, has_vjp  # noqa: E402
from dfoattack.surrogates.onnx_file import OnnxSurrogate  # noqa: E402
from dfoattack.testing.surrogates import SurrogateContract  # noqa: E402
from dfoattack.torch_backend import TorchSurrogate  # noqa: E402

N = 3


def network(last=None, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(N, 8), last or torch.nn.Tanh(), torch.nn.Linear(8, 2))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return net.to(dtype).eval()


def scripted(net):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch advises export instead
        return torch.jit.script(net)


def exported(net, rows=None):
    example = torch.zeros(rows or 2, N, dtype=torch.float64)
    dynamic = ({0: torch.export.Dim("k")},) if rows is None else None
    return torch.export.export(net, (example,), dynamic_shapes=dynamic)


def random_points(k=6):
    return np.random.default_rng(2).standard_normal((k, N))


class Points:
    @pytest.fixture
    def points(self):
        return random_points()


class TestScript(Points, SurrogateContract):
    @pytest.fixture
    def surrogate(self):
        return as_surrogate(scripted(network()))


class TestExported(Points, SurrogateContract):
    """With any number of rows, with one, and with four at a time."""

    @pytest.fixture(params=[None, 1, 4])
    def surrogate(self, request):
        return as_surrogate(exported(network(), request.param))


class TestPrograms:
    def test_they_compute_what_the_module_computes(self):
        X, V = random_points(7), np.ones((7, 2))
        plain = TorchSurrogate(network())
        for program in (scripted(network()), exported(network()), exported(network(), 3)):
            phi = as_surrogate(program)
            assert isinstance(phi, TorchSurrogate)
            assert phi.dtype == torch.float64
            assert np.allclose(phi.predict(X), plain.predict(X), rtol=1e-12)
            assert np.allclose(phi.vjp(X, V), plain.vjp(X, V), rtol=1e-12)
            assert phi.predict(X[:0]).shape == (0, 2)

    def test_files(self, tmp_path):
        torch.export.save(exported(network()), tmp_path / "net.pt2")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            torch.jit.save(scripted(network()), tmp_path / "net.ts")
        X = random_points()
        expected = TorchSurrogate(network()).predict(X)
        for name in ("net.pt2", "net.ts"):
            assert np.allclose(as_surrogate(tmp_path / name).predict(X), expected, rtol=1e-12)
        with pytest.raises(ProblemError, match="which is none"):
            as_surrogate(tmp_path / "other.ts")

    @pytest.mark.parametrize("make", [scripted, exported])
    def test_fingerprints_tell_programs_of_the_same_weights_apart(self, make):
        texts = [as_surrogate(make(network(last))).fingerprint() for last in (None, None, torch.nn.ReLU())]
        assert texts[0] == texts[1] != texts[2]

    def test_a_program_of_two_inputs_is_refused(self):
        class Two(torch.nn.Module):
            def forward(self, x, y):
                return x + y

        program = torch.export.export(Two(), (torch.zeros(2, N), torch.zeros(2, N)))
        with pytest.raises(ProblemError, match="must be a program of one tensor of real numbers"):
            as_surrogate(program)

    def test_wrong_batch_sizes(self):
        with pytest.raises(ProblemError, match="`batch_size` must be an integer >= 1 or None, got 0"):
            TorchSurrogate(network(), batch_size=0)


# ---------------------------------------------------------------------------------------------------------- ONNX

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

RNG = np.random.default_rng(0)
W = RNG.standard_normal((N, 4))
BROAD = np.abs(RNG.standard_normal((1, 4))) + 0.5


def model(nodes, weights=None, shape=("k", N), opset=20, dtype=np.float64, output="y"):
    """A model x -> y of the nodes (operator, inputs, output, attributes)."""
    make = onnx.helper
    kind = make.np_dtype_to_tensor_dtype(np.dtype(dtype))
    made = [make.make_node(op, ins, outs if isinstance(outs, list) else [outs], **at) for op, ins, outs, at in nodes]
    constants = []
    for name, value in (weights or {}).items():
        array = np.asarray(value)
        constants.append(onnx.numpy_helper.from_array(array.astype(dtype) if array.dtype.kind == "f" else array, name))
    inputs = [make.make_tensor_value_info("x", kind, shape)]
    graph = make.make_graph(made, "graph", inputs, [make.make_tensor_value_info(output, kind, None)], constants)
    return make.make_model(graph, opset_imports=[make.make_opsetid("", opset)], ir_version=8)


def elementwise(op, dtype=np.float64, **attributes):
    """x W, then positive numbers where the operator needs them, then the operator."""
    positive = [("Exp", ["z"], "p", {})] if op in ("Log", "Sqrt", "Reciprocal") else []
    source = "p" if positive else "z"
    return model([("MatMul", ["x", "W"], "z", {}), *positive, (op, [source], "y", attributes)], {"W": W}, dtype=dtype)


def two(op, dtype=np.float64):
    return model([("MatMul", ["x", "W"], "z", {}), (op, ["z", "B"], "y", {})], {"W": W, "B": BROAD}, dtype=dtype)


UNARY = ["Abs", "Cos", "Exp", "Identity", "Log", "Neg", "Reciprocal", "Relu", "Sigmoid", "Sin", "Sqrt", "Tanh"]
UNARY += ["Softmax", "LogSoftmax", "Dropout"]
# onnxruntime has these in single precision only
SINGLE = ["Elu", "Erf", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Mish", "Selu", "Softplus", "Softsign"]
BINARY = ["Add", "Sub", "Mul", "Div", "Max", "Min", "Sum"]
SHAPES = {
    "gemm": model([("Gemm", ["x", "A", "b"], "y", {"transB": 1, "alpha": 0.5, "beta": 2.0})], {"A": W.T, "b": W[0]}),
    "pow": model([("Mul", ["x", "x"], "q", {}), ("Pow", ["q", "e"], "y", {})], {"e": np.array(1.5)}),
    "clip": model([("Clip", ["x", "low", "high"], "y", {})], {"low": np.array(-0.5), "high": np.array(0.7)}),
    "cast": model([("Cast", ["x"], "f", {"to": 1}), ("Cast", ["f"], "y", {"to": 11})]),
    "concat": model([("Sin", ["x"], "s", {}), ("Concat", ["x", "s"], "y", {"axis": 1})]),
    "slice": model(
        [("Slice", ["x", "a", "b", "c"], "y", {})], {"a": np.array([1]), "b": np.array([3]), "c": np.array([1])}
    ),
    "gather": model([("Gather", ["x", "i"], "y", {"axis": 1})], {"i": np.array([2, 0, -1])}),
    "split": model(
        [("Split", ["x", "s"], ["a", "b"], {"axis": 1}), ("Mul", ["a", "b"], "y", {})], {"s": np.array([1, 2])}
    ),
    "split-even": model(
        [
            ("MatMul", ["x", "W"], "z", {}),
            ("Split", ["z"], ["a", "b"], {"axis": 1, "num_outputs": 2}),
            ("Mul", ["a", "b"], "y", {}),
        ],
        {"W": W},
    ),
    "transpose": model(
        [("Transpose", ["x"], "t", {}), ("Transpose", ["t"], "u", {"perm": [1, 0]}), ("Sin", ["u"], "y", {})]
    ),
    "unsqueeze": model(
        [("Unsqueeze", ["x", "a"], "u", {}), ("Sin", ["u"], "s", {}), ("Squeeze", ["s", "a"], "y", {})],
        {"a": np.array([1])},
    ),
    "reshape": model([("Reshape", ["x", "s"], "r", {}), ("Flatten", ["r"], "y", {})], {"s": np.array([0, N, 1])}),
    "expand": model([("Expand", ["x", "s"], "y", {})], {"s": np.array([1, 1])}),
    "shape": model([("Shape", ["x"], "s", {}), ("Reshape", ["x", "s"], "y", {})]),
    "where": model([("Where", ["c", "x", "b"], "y", {})], {"c": np.array([[True, False, True]]), "b": np.ones((1, N))}),
    "constant": model(
        [
            ("Constant", [], "c", {"value": onnx.numpy_helper.from_array(np.full((1, N), 2.0))}),
            ("Mul", ["x", "c"], "y", {}),
        ]
    ),
    "layer-norm": model([("LayerNormalization", ["x", "g", "b"], "y", {})], {"g": W[:, 0], "b": W[:, 1]}),
    **{
        name: model([(name, ["x", "a"], "y", {"keepdims": keep})], {"a": np.array([1])})
        for name, keep in {"ReduceMean": 1, "ReduceSum": 0, "ReduceMax": 1, "ReduceMin": 1, "ReduceL2": 0}.items()
    },
}
KERNEL = RNG.standard_normal((2, 1, 2, 2))
IMAGES = {
    "conv": [("Conv", ["x", "K", "k2"], "y", {"strides": [1, 1], "pads": [1, 1, 1, 1]})],
    "conv-transpose": [("ConvTranspose", ["x", "T"], "y", {"strides": [2, 2]})],
    "max-pool": [("MaxPool", ["x"], "y", {"kernel_shape": [2, 2], "strides": [2, 2]})],
    "average-pool": [("AveragePool", ["x"], "y", {"kernel_shape": [2, 2]})],
    "global": [("Conv", ["x", "K"], "z", {}), ("GlobalAveragePool", ["z"], "y", {})],
    "batch-norm": [("Conv", ["x", "K"], "z", {}), ("BatchNormalization", ["z", "k2", "k2", "k2", "v2"], "y", {})],
}


def image_model(name):
    weights = {"K": KERNEL, "T": KERNEL.transpose(1, 0, 2, 3), "k2": np.array([0.3, -0.2]), "v2": np.array([0.8, 1.2])}
    used = {key: value for key, value in weights.items() if any(key in node[1] for node in IMAGES[name])}
    return model(IMAGES[name], used, shape=("k", 1, 4, 4), dtype=np.float32)


CASES = {
    **{op: elementwise(op) for op in UNARY},
    **{op: elementwise(op, dtype=np.float32) for op in SINGLE},
    **{op: two(op) for op in BINARY},
    **{op: two(op, dtype=np.float32) for op in ("Mean", "PRelu")},
    **SHAPES,
    **{name: image_model(name) for name in IMAGES},
}


def graph_of(name):
    phi = OnnxSurrogate(CASES[name], gradient="torch")
    X = np.random.default_rng(3).standard_normal((5, 16 if name in IMAGES else N))
    return phi, X


class TestOnnxGraph:
    @pytest.mark.parametrize("name", list(CASES))
    def test_values_and_gradients_of_every_operator(self, name):
        """Against onnxruntime, and against differences of what onnxruntime computes."""
        phi, X = graph_of(name)
        Y = phi.predict(X)
        single = phi._dtype == np.float32 or name == "cast"
        graph_values = phi._graph.vjp(phi._block(X), np.zeros_like(Y))[0]
        assert np.allclose(graph_values, Y, rtol=1e-5 if single else 1e-10, atol=1e-6 if single else 1e-12)
        contract = SurrogateContract()
        contract.vjp_tol, contract.difference_step = (2e-2, 1e-2) if single else (1e-5, 1e-6)
        contract.test_vjp_agrees_with_differences(phi, X)
        contract.test_vjp_rows_do_not_depend_on_each_other(phi, X)

    def test_every_operator_has_a_case(self):
        from dfoattack.torch_backend.onnx_operators import OPERATORS

        used = {node.op_type for case in CASES.values() for node in case.graph.node}
        assert set(OPERATORS) <= used

    def test_a_graph_that_computes_something_else_gives_no_gradient(self, monkeypatch):
        from dfoattack.torch_backend import onnx_operators

        monkeypatch.setitem(onnx_operators.OPERATORS, "Tanh", lambda at, x: torch.sigmoid(x))
        assert not has_vjp(OnnxSurrogate(CASES["Tanh"]))
        with pytest.raises(ProblemError, match="torch and onnxruntime differ by"):
            OnnxSurrogate(CASES["Tanh"], gradient="torch")

    def test_old_graphs_are_black_boxes(self):
        old = model([("Tanh", ["x"], "y", {})], opset=11)
        assert OnnxSurrogate(old).gradient == "none"
        with pytest.raises(ProblemError, match="`gradient` = 'torch' needs opset >= 13, got 11"):
            OnnxSurrogate(old, gradient="torch")

    def test_no_gradient_is_insisted_on_in_vain(self):
        stairs = model([("MatMul", ["x", "W"], "z", {}), ("Round", ["z"], "y", {})], {"W": W}, dtype=np.float32)
        assert not has_vjp(OnnxSurrogate(stairs))
        with pytest.raises(ProblemError, match="`gradient` = 'torch' knows no operator Round"):
            OnnxSurrogate(stairs, gradient="torch")


class TestOnnxWithGradient(Points, SurrogateContract):
    @pytest.fixture(params=["k", 1, 4])
    def surrogate(self, request):
        nodes = [("MatMul", ["x", "W"], "z", {}), ("Tanh", ["z"], "y", {})]
        return OnnxSurrogate(model(nodes, {"W": W}, shape=(request.param, N)))
