"""Models of other libraries, and ensembles, pass the contract of surrogates."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap

import numpy as np
import pytest

import dfoattack as da
from dfoattack.errors import ProblemError
from dfoattack.surrogate import CallableSurrogate, as_surrogate, has_vjp
from dfoattack.surrogates.ensemble import Ensemble
from dfoattack.testing.surrogates import SurrogateContract

N = 3


class Points:
    @pytest.fixture
    def points(self):
        return np.random.default_rng(2).standard_normal((6, N))


def member(seed):
    rng = np.random.default_rng(seed)
    W1, W2 = rng.standard_normal((N, 5)), rng.standard_normal((5, 2))

    def network(X):
        return np.einsum("kh,hm->km", np.tanh(np.einsum("kn,nh->kh", X, W1)), W2)

    def vjp(X, V):
        hidden = np.tanh(np.einsum("kn,nh->kh", X, W1))
        return np.einsum("kh,nh->kn", np.einsum("km,hm->kh", V, W2) * (1 - hidden**2), W1)

    return CallableSurrogate(network, vjp=vjp)


class TestStacked(Points, SurrogateContract):
    @pytest.fixture
    def surrogate(self):
        return Ensemble([member(0), member(1), member(2)])


class TestMeanAndSpread(Points, SurrogateContract):
    @pytest.fixture
    def surrogate(self):
        return Ensemble([member(0), member(1), member(2)], output="mean_std")


class TestMean(Points, SurrogateContract):
    @pytest.fixture
    def surrogate(self):
        return Ensemble([member(0), member(1)], output="mean")


class TestEnsemble:
    def test_the_outputs_are_those_of_the_members(self):
        X = np.random.default_rng(0).standard_normal((4, N))
        parts = np.stack([member(seed).predict(X) for seed in range(3)])
        members = [member(seed) for seed in range(3)]
        assert np.array_equal(Ensemble(members).predict(X), np.concatenate(parts, axis=1))
        spread = Ensemble(members, output="mean_std").predict(X)
        assert np.allclose(spread, np.concatenate([parts.mean(axis=0), parts.std(axis=0)], axis=1), rtol=1e-14)

    def test_one_black_box_makes_the_ensemble_one(self):
        black = CallableSurrogate(lambda X: X[:, :2])
        assert not has_vjp(Ensemble([member(0), black]))

    def test_members_that_agree_have_no_gradient_of_their_spread(self):
        same = Ensemble([member(0), member(0)], output="mean_std")
        X, V = np.ones((1, N)), np.array([[0.0, 0.0, 1.0, 1.0]])
        assert not np.any(same.vjp(X, V))

    def test_wrong_members(self):
        with pytest.raises(ProblemError, match="`members` must be a list of at least one surrogate"):
            Ensemble([])
        with pytest.raises(
            ProblemError, match=r"`members` must have the same outputs, got shapes \[\(2, 1\), \(2, 2\)\]"
        ):
            Ensemble([lambda X: X[:, :1], lambda X: X[:, :2]]).predict(np.ones((2, N)))

    def test_the_fingerprint_tells_members_and_output(self):
        texts = {Ensemble([member(0), member(1)]).fingerprint(), Ensemble([member(0), member(2)]).fingerprint()}
        texts.add(Ensemble([member(0), member(1)], output="mean").fingerprint())
        assert len(texts) == 3


# ---------------------------------------------------------------------------------------------------------- scikit-learn


def data(k=60, m=2, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((k, N)) * [1.0, 2.0, 0.5] + [0.0, 1.0, 0.0]
    return X, np.tanh(X @ rng.standard_normal((N, m))) + 0.1 * X[:, :1]


def fitted(build):
    pytest.importorskip("sklearn")
    return as_surrogate(build())


def mlp(activation="tanh", m=2, **options):
    from sklearn.neural_network import MLPRegressor

    X, Y = data(m=m)
    # a few steps will do: what is tested is the gradient, not the fit
    network = MLPRegressor(
        hidden_layer_sizes=(6, 5),
        activation=activation,
        solver="lbfgs",
        max_iter=5000,
        tol=1.0,
        random_state=0,
        **options,
    )
    return network.fit(X, Y if m > 1 else Y[:, 0])


def classifier(classes):
    from sklearn.neural_network import MLPClassifier

    X, Y = data()
    labels = np.array(["a", "b", "c"])[np.digitize(Y[:, 0], [0.0] if classes == 2 else [-0.3, 0.3])]
    return MLPClassifier(hidden_layer_sizes=(6,), solver="lbfgs", tol=1.0, max_iter=5000, random_state=0).fit(X, labels)


def pipeline():
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.neural_network import MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    network = MLPRegressor(
        hidden_layer_sizes=(6,), activation="logistic", solver="lbfgs", tol=1.0, max_iter=5000, random_state=0
    )
    scaled = make_pipeline(StandardScaler(), "passthrough", MinMaxScaler((-1, 1)), network)
    return TransformedTargetRegressor(scaled, transformer=StandardScaler()).fit(*data())


def forest():
    from sklearn.ensemble import RandomForestRegressor

    return RandomForestRegressor(5, random_state=0).fit(*data())


def forest_of_classes():
    from sklearn.ensemble import RandomForestClassifier

    X, Y = data()
    return RandomForestClassifier(5, random_state=0).fit(X, Y[:, 0] > 0)


BUILDS = {
    "tanh": mlp,
    "relu": lambda: mlp("relu"),
    "logistic-one-output": lambda: mlp("logistic", m=1),
    "identity": lambda: mlp("identity"),
    "two-classes": lambda: classifier(2),
    "three-classes": lambda: classifier(3),
    "pipeline": pipeline,
}
TREES = {"forest": forest, "forest-classifier": forest_of_classes}


class TestNetworkOfSklearn(Points, SurrogateContract):
    @pytest.fixture(params=list(BUILDS))
    def surrogate(self, request):
        return fitted(BUILDS[request.param])


class TestTreesOfSklearn(Points, SurrogateContract):
    @pytest.fixture(params=list(TREES))
    def surrogate(self, request):
        return fitted(TREES[request.param])


class TestSklearn:
    @pytest.mark.parametrize("name", [*BUILDS, *TREES])
    def test_the_outputs_are_the_estimators(self, name):
        phi = fitted((BUILDS | TREES)[name])
        X = data(seed=1)[0]
        call = getattr(phi.estimator, "predict_proba" if hasattr(phi.estimator, "classes_") else "predict")
        expected = call(X).reshape(len(X), -1)
        assert np.allclose(phi.predict(X).reshape(len(X), -1), expected, rtol=1e-9, atol=1e-12)

    @pytest.mark.parametrize("name", [*BUILDS, *TREES])
    def test_exactly_the_networks_have_gradients(self, name):
        assert has_vjp(fitted((BUILDS | TREES)[name])) == (name in BUILDS)

    def test_a_scaler_that_clips_makes_a_black_box(self):
        pytest.importorskip("sklearn")
        from sklearn.linear_model import LinearRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import MinMaxScaler

        X, Y = data()
        clipped = make_pipeline(MinMaxScaler(clip=True), mlp()).fit(X, Y)
        assert not has_vjp(as_surrogate(clipped))
        assert not has_vjp(as_surrogate(LinearRegression().fit(X, Y)))

    def test_one_that_is_not_fitted_is_refused(self):
        pytest.importorskip("sklearn")
        from sklearn.neural_network import MLPRegressor

        with pytest.raises(ProblemError, match="`estimator` must be fitted, got MLPRegressor before `fit`"):
            as_surrogate(MLPRegressor())

    def test_fingerprints_tell_forests_apart(self):
        pytest.importorskip("sklearn")
        from sklearn.ensemble import RandomForestRegressor

        X, Y = data()
        texts = [as_surrogate(RandomForestRegressor(3, random_state=s).fit(X, Y)).fingerprint() for s in (0, 0, 1)]
        assert texts[0] == texts[1] != texts[2]

    def test_a_network_is_optimised_along_its_gradient(self):
        phi = fitted(mlp)
        problem = da.Problem(objective=lambda y: y[:, 0], space=[(-1, 1)] * N, surrogate=phi)
        result = da.solve(problem, budget=150, seed=0)
        grid = np.stack(np.meshgrid(*[np.linspace(-1, 1, 15)] * N), axis=-1).reshape(-1, N)
        assert result.ngev > 0
        assert result.fun >= phi.predict(grid)[:, 0].max() - 1e-6


# ---------------------------------------------------------------------------------------------------------- JAX


def jax_network(seed=0):
    jnp = pytest.importorskip("jax.numpy")
    rng = np.random.default_rng(seed)
    W1, W2 = jnp.asarray(rng.standard_normal((N, 5))), jnp.asarray(rng.standard_normal((5, 2)))
    return lambda X: jnp.tanh(X @ W1) @ W2


class TestJaxFunction(Points, SurrogateContract):
    row_tol, vjp_tol, difference_step = 1e-5, 1e-2, 1e-2

    @pytest.fixture
    def surrogate(self):
        return da.JaxSurrogate(jax_network())


class TestJax:
    def test_a_compiled_function_is_recognised(self):
        jax = pytest.importorskip("jax")
        phi = as_surrogate(jax.jit(lambda X: (X**2).sum(axis=1)))
        assert isinstance(phi, da.JaxSurrogate)
        assert np.allclose(phi.predict(np.ones((3, N))), 3.0)
        assert np.allclose(phi.vjp(np.ones((3, N)), np.ones((3, 1))), 2.0)
        assert phi.predict(np.empty((0, N))).shape == (0, 1)

    def test_the_fingerprint_tells_weights_and_function(self):
        jax = pytest.importorskip("jax")
        texts = {da.JaxSurrogate(jax_network(seed)).fingerprint() for seed in (0, 0, 1)}
        texts |= {da.JaxSurrogate(jax.jit(fn)).fingerprint() for fn in (jax.numpy.tanh, jax.numpy.sin)}
        assert len(texts) == 4

    def test_wrong_arguments(self):
        pytest.importorskip("jax")
        with pytest.raises(ProblemError, match=r'`dtype` must be "float64", "float32" or None'):
            da.JaxSurrogate(jax_network(), dtype="int8")
        with pytest.raises(ProblemError, match=r'`dtype` = "float64" needs'):
            da.JaxSurrogate(jax_network(), dtype="float64")
        with pytest.raises(ProblemError, match=r"`surrogate` returned shape \(2, 3, 1\)"):
            da.JaxSurrogate(lambda X: X[:, :, None]).predict(np.ones((2, N)))

    def test_double_precision_in_a_process_that_has_it(self):
        pytest.importorskip("jax")
        code = """
        import jax, numpy as np
        jax.config.update("jax_enable_x64", True)
        from dfoattack import JaxSurrogate
        from dfoattack.testing.surrogates import SurrogateContract
        phi = JaxSurrogate(lambda X: jax.numpy.sin(X) * X[:, :1])
        points = np.random.default_rng(0).standard_normal((5, 3))
        SurrogateContract().test_vjp_agrees_with_differences(phi, points)
        SurrogateContract().test_rows_do_not_depend_on_each_other(phi, points)
        print(phi.dtype)
        """
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "float64"


# ---------------------------------------------------------------------------------------------------------- files


def onnx_model(batch="k", outputs=1):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(0)
    weights = {"W1": (N, 5), "b1": (5,), "W2": (5, 2)}
    make = onnx.helper
    nodes = [
        make.make_node("Gemm", ["x", "W1", "b1"], ["z"]),
        make.make_node("Tanh", ["z"], ["h"]),
        make.make_node("MatMul", ["h", "W2"], ["y"]),
    ]
    found = [make.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [batch, 2])]
    if outputs == 2:
        found.append(make.make_tensor_value_info("h", onnx.TensorProto.FLOAT, [batch, 5]))
    graph = make.make_graph(
        nodes,
        "network",
        [make.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [batch, N])],
        found,
        [onnx.numpy_helper.from_array(rng.standard_normal(s).astype(np.float32), n) for n, s in weights.items()],
    )
    return make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)


class TestOnnxBlackBox(Points, SurrogateContract):
    row_tol = 1e-5

    @pytest.fixture(params=["k", 1, 4])
    def surrogate(self, request):
        return da.OnnxSurrogate(onnx_model(request.param), gradient="none")


class TestFiles:
    def test_an_onnx_file_is_recognised(self, tmp_path):
        model = onnx_model()
        path = tmp_path / "network.onnx"
        path.write_bytes(model.SerializeToString())
        X = np.random.default_rng(0).standard_normal((5, N))
        from_file, from_model = as_surrogate(path), as_surrogate(model)
        assert isinstance(from_file, da.OnnxSurrogate)
        assert np.array_equal(from_file.predict(X), from_model.predict(X))
        assert from_file.fingerprint() == from_model.fingerprint()
        assert "network.onnx" in repr(from_file)
        assert from_file.predict(np.empty((0, N))).shape == (0, 2)
        again = pickle.loads(pickle.dumps(from_file))
        assert np.array_equal(again.predict(X), from_file.predict(X))
        assert again.fingerprint() == from_file.fingerprint()

    def test_one_of_several_outputs(self):
        with pytest.raises(ProblemError, match=r"`output` must name one of \['y', 'h'\], the outputs of network"):
            da.OnnxSurrogate(onnx_model(outputs=2))
        assert da.OnnxSurrogate(onnx_model(outputs=2), output="h").predict(np.ones((2, N))).shape == (2, 5)
        with pytest.raises(ProblemError, match="`output` must be 'y' or 'h', got 'z'"):
            da.OnnxSurrogate(onnx_model(outputs=2), output="z")

    def test_files_that_are_none(self, tmp_path):
        with pytest.raises(ProblemError, match=r"must end in .onnx, .pt2, .ts, got 'network.h5'"):
            as_surrogate("network.h5")
        pytest.importorskip("onnxruntime")
        with pytest.raises(ProblemError, match=r"`model` must be a file, got '.*network.onnx', which is none"):
            as_surrogate(tmp_path / "network.onnx")
        with pytest.raises(ProblemError, match="`model` must be a valid ONNX model"):
            da.OnnxSurrogate(b"nothing")

    def test_a_wrong_number_of_variables(self):
        with pytest.raises(ProblemError, match=r"network takes inputs \(k, 3\), got 4 variables"):
            da.OnnxSurrogate(onnx_model()).predict(np.ones((2, 4)))
