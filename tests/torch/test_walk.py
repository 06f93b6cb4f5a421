"""Attacks that make all their steps where the network lives: against the NumPy operator, call by call."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import dfoattack as da  # noqa: E402
from dfoattack.attacks.base import Target  # noqa: E402
from dfoattack.attacks.pgd import PGD  # noqa: E402
from dfoattack.attacks.projection import two_goal_linf  # noqa: E402
from dfoattack.attacks.sign import SignLadder  # noqa: E402
from dfoattack.evaluator import Evaluator  # noqa: E402
from dfoattack.surrogate import CallableSurrogate  # noqa: E402
from dfoattack.torch_backend import TorchSurrogate  # noqa: E402
from dfoattack.torch_backend import steps as torch_steps  # noqa: E402
from tests.integration.cases import digest, drive  # noqa: E402

N, M = 6, 3
DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here"))]


def network(dtype=torch.float64, device="cpu", seed=0):
    generator = torch.Generator().manual_seed(seed)
    net = torch.nn.Sequential(torch.nn.Linear(N, 16), torch.nn.Tanh(), torch.nn.Linear(16, M))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return net.to(dtype=dtype, device=device).eval()


def value(y):
    return y[:, 0] - 0.1 * y[:, 1] ** 2


def walls():
    return [
        da.Constraint(lambda y: y[:, 1] - 0.5, name="wall"),
        da.Constraint(lambda x, y: (x**2).sum(dim=1) - 2.0, name="ball"),
    ]


def problem(surrogate, constrained, **more):
    settings = {
        "surrogate": surrogate,
        "objective": value,
        "constraints": walls() if constrained else (),
        "space": da.Box([-1.0] * N, [1.0] * N, fixed={2: 0.3}),
    }
    return da.Problem(**{**settings, **more})


def stepwise(surrogate):
    """The same surrogate without the offer to walk."""
    del surrogate.walk
    return surrogate


def attacked(surrogate, constrained, operator, seed=0, b=3, budget=None, **more):
    """Displacements from b centres, what was counted, and what an evaluation of the trials costs after that."""
    evaluator = Evaluator(problem(surrogate, constrained, **more), budget=budget)
    rng = np.random.default_rng(seed)
    X = rng.uniform(-0.8, 0.8, (b, evaluator.problem.space.n_free))
    known = evaluator.evaluate(X)
    p = known.C.shape[1]
    target = Target(
        X=X,
        F=known.F,
        C=known.C,
        lower=np.full(X.shape[1], -1.0),
        upper=np.full(X.shape[1], 1.0),
        weights=np.linspace(0.4, 1.0, X.shape[1]),
        tol=np.zeros(p),
        scale=np.ones(p),
        extreme=np.zeros(p, dtype=bool),
    )
    view = evaluator.view()
    found = operator(target, np.array([0.5, 0.1, 0.02]), view, np.random.default_rng(1))
    before = evaluator.counters
    evaluator.evaluate(np.clip(X[found.centre] + found.D, -1.0, 1.0))
    return found, before, evaluator.counters


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("constrained", [False, True])
@pytest.mark.parametrize("restarts", [1, 2])
@pytest.mark.parametrize("seed", range(4))
def test_it_walks_where_the_numpy_operator_walks_and_counts_the_same(device, dtype, constrained, restarts, seed):
    tol = 1e-10 if dtype is torch.float64 else 1e-5
    operator = PGD(restarts=restarts)
    ours = attacked(TorchSurrogate(network(dtype, device, seed)), constrained, operator, seed)
    other = attacked(stepwise(TorchSurrogate(network(dtype, device, seed))), constrained, operator, seed)
    assert len(ours[0]) == len(other[0]) > 3
    np.testing.assert_allclose(ours[0].D, other[0].D, rtol=tol, atol=tol)
    np.testing.assert_allclose(ours[0].gradient, other[0].gradient, rtol=10 * tol, atol=10 * tol)
    assert ours[0].centre.tolist() == other[0].centre.tolist()
    assert ours[1:] == other[1:]


def test_its_trials_are_known_to_the_evaluator():
    _, before, after = attacked(TorchSurrogate(network()), True, PGD())
    assert after.nphi == before.nphi
    assert after.nfev > before.nfev
    assert after.passes < before.passes


def test_all_steps_are_one_call_of_the_surrogate():
    surrogate = TorchSurrogate(network())
    calls = []
    whole, predict, vjp = surrogate.walk, surrogate.predict, surrogate.vjp
    surrogate.walk = lambda *args: calls.append("walk") or whole(*args)
    surrogate.predict = lambda X: calls.append("predict") or predict(X)
    surrogate.vjp = lambda X, V: calls.append("vjp") or vjp(X, V)
    attacked(surrogate, True, PGD())
    assert calls == ["predict", "walk"]  # the centres before it; the trials after it are known


@pytest.mark.parametrize(
    "more",
    [
        {"objective": lambda y: np.asarray(y)[:, 0], "constraints": (), "backend": "numpy"},
        {"objective": lambda y: torch.as_tensor(y.detach().numpy()[:, 0]), "constraints": ()},
        {
            "objective_grad": lambda y: np.eye(M)[:1].repeat(len(y), axis=0),
            "objective": lambda y: y[:, 0],
            "constraints": (),
        },
    ],
    ids=["numpy", "off the graph", "own gradient"],
)
def test_functions_that_are_not_torch_are_walked_by_the_operator(more):
    surrogate = TorchSurrogate(network())
    surrogate.walk = lambda *args: pytest.fail("not for these functions")
    attacked(surrogate, False, PGD(), **more)


def test_a_budget_that_may_not_suffice_is_left_to_the_operator():
    for budget in (3, 10, 30, 60, 100, 200):
        _, _, ours = attacked(TorchSurrogate(network()), True, PGD(), budget=budget)
        _, _, other = attacked(stepwise(TorchSurrogate(network())), True, PGD(), budget=budget)
        assert ours == other
        assert ours.cost(2.0) <= budget


class Bad(torch.nn.Module):
    """NaN where the first variable exceeds 0.7; counts rows; from call `last` on it declares a failure."""

    def __init__(self, last=10**9):
        super().__init__()
        self.inner, self.last, self.sent = network(), last, 0

    def forward(self, x):
        self.sent += len(x)
        self.last -= 1
        if self.last < 0:
            raise da.EvaluationFailed("there")
        return torch.where(x[:, :1] > 0.7, torch.full((1, 1), torch.nan, dtype=x.dtype), self.inner(x))


def test_points_without_a_value_are_no_obstacle():
    ours = attacked(TorchSurrogate(Bad()), True, PGD(), seed=5)
    other = attacked(stepwise(TorchSurrogate(Bad())), True, PGD(), seed=5)
    np.testing.assert_allclose(ours[0].D, other[0].D, atol=1e-10)
    assert ours[1:] == other[1:]
    points = np.random.default_rng(5).uniform(-0.8, 0.8, (3, N - 1))[ours[0].centre] + ours[0].D
    assert (points[:, 0] <= 0.7).all()


def test_a_declared_failure_ends_the_walk_and_what_was_sent_counts():
    bad = Bad(last=4)  # the centres, then three steps
    found, before, _ = attacked(TorchSurrogate(bad), False, PGD())
    assert len(found) == 0
    assert before.nphi == bad.sent
    assert before.ngev == 3 + 9 + 9


class Counted(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.rows, self.calls = network(), 0, 0

    def forward(self, x):
        self.rows += len(x)
        self.calls += 1
        return self.inner(x)


class TestMemory:
    """A device that holds few rows at a time."""

    class Small(torch.nn.Module):
        def __init__(self, rows, graph_rows):
            super().__init__()
            self.inner, self.rows, self.graph_rows, self.refused = network(), rows, graph_rows, 0

        def forward(self, x):
            if len(x) > (self.graph_rows if torch.is_grad_enabled() else self.rows):
                self.refused += 1
                raise torch.OutOfMemoryError("CUDA out of memory.")
            return self.inner(x)

    @pytest.mark.parametrize("rows", [1, 2, 5])
    def test_walks_are_cut_until_they_fit_and_agree(self, rows):
        small = self.Small(100, rows)
        phi = TorchSurrogate(small)
        ours = attacked(phi, True, PGD())
        other = attacked(TorchSurrogate(network()), True, PGD())
        np.testing.assert_allclose(ours[0].D, other[0].D, atol=1e-10)
        assert ours[1:] == other[1:]
        assert small.refused > 0
        before = small.refused
        attacked(phi, True, PGD())
        assert small.refused == before  # the size that fitted is remembered

    def test_blocks_and_products_are_cut_too(self):
        small = self.Small(4, 2)
        phi = TorchSurrogate(small)
        X, V = np.random.default_rng(0).uniform(-1, 1, (11, N)), np.ones((11, M))
        np.testing.assert_allclose(phi.predict(X), TorchSurrogate(network()).predict(X), rtol=1e-12)
        np.testing.assert_allclose(phi.vjp(X, V), TorchSurrogate(network()).vjp(X, V), rtol=1e-12)

    def test_a_multistart_does_not_depend_on_what_fits(self):
        """The last digits may; each start ends where it ends with all memory in the world."""
        ends = []
        for module in (network(), self.Small(7, 5)):
            solver = da.Solver(problem(module, True), {"starts": 24}, budget=10**5, seed=1)
            while solver.state.lockstep is None or solver.state.lockstep.rows.size:
                solver.ask()
                solver.tell(solver.evaluate())
            state = solver.state
            ends.append((state.history.X[state.lockstep.ends], state.history.f[state.lockstep.ends]))
        np.testing.assert_allclose(ends[0][1], ends[1][1], rtol=1e-6)
        np.testing.assert_allclose(ends[0][0], ends[1][0], atol=1e-3)

    def test_one_row_that_does_not_fit_is_an_error(self):
        with pytest.raises(torch.OutOfMemoryError):
            TorchSurrogate(self.Small(0, 0)).predict(np.zeros((3, N)))


class TestScreening:
    """Steps in low precision, values in full."""

    @pytest.mark.parametrize(("screen", "tol"), [(torch.float32, 1e-4), (torch.bfloat16, 0.3)])
    def test_winners_are_evaluated_in_full_precision(self, screen, tol):
        module = Counted()
        phi = TorchSurrogate(module, screen=screen)
        full = attacked(TorchSurrogate(network()), False, PGD())
        found, before, after = attacked(phi, False, PGD())
        assert len(found) == len(full[0])
        assert np.abs(found.D - full[0].D).mean() < tol
        assert after.nphi == before.nphi + len(found)  # the outputs of the screening are not used again
        assert module.rows == 3 + len(found)  # the centres and the winners

    def test_no_screened_value_enters_a_run(self):
        phi = TorchSurrogate(network(), screen=torch.bfloat16)
        result = da.solve(problem(phi, True), budget=200, options={"attacks": ("pgd",)})
        assert "attack" in result.records.step
        exact = problem(TorchSurrogate(network()), True)
        f, _ = exact.outer(result.records.x, exact.forward(result.records.x))
        np.testing.assert_allclose(result.records.fun, f, rtol=1e-12)

    def test_another_precision_is_another_run(self):
        texts = {
            TorchSurrogate(network(), screen=screen).fingerprint() for screen in (None, torch.float32, torch.bfloat16)
        }
        assert len(texts) == 3

    def test_wrong_screens(self):
        with pytest.raises(da.ProblemError, match="`screen` must be a floating torch dtype"):
            TorchSurrogate(network(), screen=torch.int8)
        with pytest.raises(da.ProblemError, match=r"beside a torch.nn.Module, or None, got torch.float32"):
            TorchSurrogate(lambda x: x, screen=torch.float32)


class TestSteps:
    @pytest.mark.parametrize("n", [1, 2, 3, 10, 65])
    @pytest.mark.parametrize("seed", range(5))
    def test_two_goals_row_by_row(self, n, seed):
        rng = np.random.default_rng(seed)
        k = 40
        g_1, g_2 = rng.standard_normal((k, n)), rng.standard_normal((k, n))
        g_2[::4] = -g_1[::4] * rng.uniform(0.5, 2.0, g_1[::4].shape)
        g_2[1::8], g_1[2::8] = 0.0, 0.0
        g_1[3::8, 0] = 0.0
        lo, hi = -rng.uniform(0.0, 1.0, (k, n)), rng.uniform(0.0, 1.0, (k, n))
        lo[5::8], hi[6::8] = 0.0, 0.0
        found = torch_steps.two_goal_linf(*(torch.tensor(array) for array in (g_1, g_2, lo, hi))).numpy()
        expected = np.stack([two_goal_linf(*rows) for rows in zip(g_1, g_2, lo, hi, strict=True)])
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_ladder_is_one_product_and_one_pass_of_its_trials():
    module = Counted()
    evaluator = Evaluator(problem(module, False))
    x = np.full((1, N - 1), 0.1)
    known = evaluator.evaluate(x)
    empty, n = np.empty(0), N - 1
    box = (np.full(n, -1.0), np.full(n, 1.0), np.ones(n), empty, empty, np.empty(0, dtype=bool))
    calls = module.calls
    found = SignLadder()(
        Target(x, known.F, known.C, *box), 0.5 ** np.arange(16.0), evaluator.view(), np.random.default_rng(0)
    )
    assert (module.calls, module.rows) == (calls + 1, 2)
    told = evaluator.evaluate(np.clip(x[found.centre] + found.D, -1.0, 1.0))
    assert (module.calls, module.rows) == (calls + 2, 18)
    assert told.F.min() < known.F[0]


class TestRuns:
    def test_the_run_is_the_same_with_and_without(self):
        options = {"attacks": ("pgd",)}
        ours = da.solve(problem(TorchSurrogate(network()), True), budget=300, seed=1, options=options)
        other = da.solve(problem(stepwise(TorchSurrogate(network())), True), budget=300, seed=1, options=options)
        assert ours.ngev > 0
        early = slice(0, 25)  # later the models have made much of the last digits
        np.testing.assert_allclose(ours.records.x[early], other.records.x[early], atol=1e-7)
        assert ours.fun == pytest.approx(other.fun, abs=1e-3)

    def test_saving_and_loading_at_every_call_changes_nothing(self):
        def fresh():
            return da.Solver(problem(TorchSurrogate(network()), True), {"attacks": ("pgd",)}, budget=200, seed=3)

        plain = drive(fresh())
        solver = fresh()
        while len(solver.ask()):
            data = solver.to_bytes()
            solver = fresh()
            solver.restore(data)
            solver.tell(solver.evaluate())
        assert digest(plain) == digest(solver.result())

    def test_a_run_file_is_resumed_without_asking_again(self, tmp_path):
        options = {"attacks": ("pgd",)}
        plain = da.solve(problem(TorchSurrogate(network()), True), budget=250, seed=3, options=options)
        store = tmp_path / "run.db"
        events = []
        stop = lambda event: events.append(event) or len(events) == 12  # noqa: E731
        da.solve(
            problem(TorchSurrogate(network()), True), budget=250, seed=3, options=options, store=store, callback=stop
        )
        again = da.resume(store, problem(TorchSurrogate(network()), True))
        assert digest(plain) == digest(again)

    def test_other_surrogates_do_not_walk(self):
        net = network()
        plain = CallableSurrogate(lambda X: net(torch.tensor(X)).detach().numpy(), vjp=TorchSurrogate(net).vjp)
        assert not da.Problem(surrogate=plain, objective=lambda y: y[:, 0], space=[(-1, 1)] * N).may_walk
        assert da.Problem(surrogate=net, objective=lambda y: y[:, 0], space=[(-1, 1)] * N).may_walk


class TestTrace:
    """Gradients at points just passed spare the second forward pass."""

    def test_the_products_are_the_same_and_the_pass_is_spared(self):
        module = Counted()
        phi = TorchSurrogate(module)
        rng = np.random.default_rng(0)
        X, V = rng.uniform(-1, 1, (8, N)), rng.standard_normal((8, M))
        expected = phi.vjp(X, V)
        assert np.array_equal(phi.trace(X), phi.predict(X))
        before = module.rows
        np.testing.assert_allclose(phi.vjp(X, V), expected, rtol=1e-12)
        np.testing.assert_allclose(phi.vjp(X, V), expected, rtol=1e-12)
        twice, W = np.vstack([X, X[:3]]), rng.standard_normal((11, M))
        np.testing.assert_allclose(phi.vjp(twice, W)[8:], TorchSurrogate(network()).vjp(X[:3], W[8:]), rtol=1e-12)
        before += 3
        order = [5, 2, 7, 1, 0, 3]
        np.testing.assert_allclose(phi.vjp(X[order], V[order]), expected[order], rtol=1e-12)
        assert module.rows == before

    def test_other_rows_or_few_of_them_are_passed_again(self):
        module = Counted()
        phi = TorchSurrogate(module)
        X, V = np.random.default_rng(0).uniform(-1, 1, (8, N)), np.ones((8, M))
        phi.trace(X)
        for rows, passed in ((X[:2], 2), (X + 1e-9, 8), (np.vstack([X, X[:1] + 1.0]), 1)):
            before = module.rows
            phi.vjp(rows, np.ones((len(rows), M)))
            assert module.rows == before + passed
        phi.forget()
        before = module.rows
        phi.vjp(X, V)
        assert module.rows == before + 8

    def test_copies_know_nothing_of_it(self):
        phi = TorchSurrogate(network())
        X = np.zeros((2, N))
        Y = phi.trace(X)
        again = pickle.loads(pickle.dumps(copy.deepcopy(phi)))
        assert np.array_equal(again.predict(X), Y)
        assert np.array_equal(again.vjp(X, np.ones((2, M))), phi.vjp(X, np.ones((2, M))))

    def test_wrong_weights_are_refused(self):
        phi = TorchSurrogate(network())
        phi.trace(np.zeros((2, N)))
        with pytest.raises(da.ProblemError, match=r"`V` must have shape \(k, m\) = \(2, 3\), got \(2, 2\)"):
            phi.vjp(np.zeros((2, N)), np.ones((2, 2)))

    def test_a_trace_that_does_not_fit_is_a_prediction(self):
        phi = TorchSurrogate(TestMemory.Small(4, 2))
        X = np.random.default_rng(0).uniform(-1, 1, (11, N))
        np.testing.assert_allclose(phi.trace(X), TorchSurrogate(network()).predict(X), rtol=1e-12)
        np.testing.assert_allclose(phi.vjp(X, np.ones((11, M))), TorchSurrogate(network()).vjp(X, np.ones((11, M))))

    def test_descents_send_each_row_once_and_count_as_ever(self):
        module = Counted()
        solver = da.Solver(problem(module, False), {"starts": 40}, budget=10**5)
        solver.ask()
        solver.tell(solver.evaluate())
        solver.ask()
        counters = solver.evaluator.counters
        assert counters.ngev > 200
        assert module.rows < counters.nphi + 0.5 * counters.ngev  # it was nphi + ngev

    def test_saving_and_loading_descents_changes_nothing(self):
        def fresh():
            return da.Solver(problem(TorchSurrogate(network()), True), {"starts": 12}, budget=500, seed=3)

        plain = drive(fresh())
        solver = fresh()
        while len(solver.ask()):
            data = solver.to_bytes()
            solver = fresh()
            solver.restore(data)
            solver.tell(solver.evaluate())
        assert digest(plain) == digest(solver.result())
