"""Problem without torch: shapes, messages, flavours, gradients, fingerprints."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time

import numpy as np
import pytest

from dfoattack.errors import EvaluationError, EvaluationFailed, MissingExtraError, ProblemError
from dfoattack.problem import Constraint, Known, Problem
from dfoattack.space import Box
from dfoattack.surrogate import CallableSurrogate

A = np.array([[1.0, 2.0, 0.5], [-1.0, 0.5, 3.0]])
UNIT = Box([0, 0], [1, 1])


def first(y):
    return y[:, 0]


def affine():
    return CallableSurrogate(lambda X: X @ A, vjp=lambda X, V: V @ A.T)


def problem(**options):
    return Problem(**{"objective": first, "space": UNIT, **options})


class TestDefinition:
    def test_attributes(self):
        p = problem(x0=[0.5, 0.5], name="toy", constraints=[Constraint(first, tol=1e-3, name="t")])
        assert (p.n, p.m, p.p, p.name, p.sense, p.sign) == (2, 2, None, "toy", "maximize", -1.0)
        assert p.x0.tolist() == [[0.5, 0.5]]
        assert problem(sense="minimize").sign == 1.0
        assert problem().p == 0
        assert problem(constraints=()).columns == ()
        assert "toy" in repr(p)

    def test_space_spellings(self):
        assert problem(space=([0, 0], [1, 1])).space == UNIT
        assert problem(space=[(0, 1), (0, 1)]).space == UNIT

    def test_constraint_spellings(self):
        assert [c.name for c in problem(constraints=first).constraints] == ["c0"]
        assert [c.name for c in problem(constraints=Constraint(first)).constraints] == ["c0"]
        assert [c.name for c in problem(constraints=[first, Constraint(first, name="t"), first]).constraints] == [
            "c0",
            "t",
            "c2",
        ]
        assert problem(constraints=None).constraints == ()

    def test_failures(self):
        p = problem(failures=KeyError)
        assert {EvaluationFailed, ArithmeticError, np.linalg.LinAlgError, KeyError} <= set(p.failures)

    def test_pickle(self):
        p = pickle.loads(pickle.dumps(problem(x0=[0.5, 0.5], constraints=[first])))
        X = np.array([[0.25, 0.5]])
        assert p.outer(X, p.forward(X))[0].tolist() == [0.25]

    def test_known(self):
        known = Known(1.0, x=[1, 1], kind="exact", tol=1e-9)
        assert known.x.tolist() == [1.0, 1.0]
        assert not known.x.flags.writeable
        assert np.isnan(Known(np.nan, kind="none").value)


class TestErrors:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"sense": "maximise"},
                r"`sense` must be 'maximize' or 'minimize', got 'maximise'. Did you mean",
            ),
            ({"backend": "jax"}, r"`backend` must be 'auto' or 'numpy' or 'torch', got 'jax'"),
            ({"objective": 3}, r"`objective` must be callable, got 3"),
            ({"objective": lambda a, b, c: a}, r"`objective` must be callable as \(y\) or \(x, y\), got the signature"),
            ({"objective": lambda: 0}, r"`objective` must be callable as \(y\) or \(x, y\)"),
            ({"objective": lambda y, *, tau: y}, r"`objective` must be callable as \(y\) or \(x, y\)"),
            ({"constraints": 3}, r"`constraints` must be a Constraint, a callable, or a sequence"),
            ({"constraints": [3]}, r"`constraints\[0\]` must be a Constraint or a callable, got 3"),
            (
                {"constraints": [Constraint(first, name="c1"), first]},
                r"`name` must differ between constraints",
            ),
            ({"failures": 3}, r"`failures` must be an exception type or a sequence of these, got 3"),
            ({"failures": [int]}, r"`failures` must hold subclasses of Exception, got <class 'int'>"),
            ({"failures": KeyboardInterrupt}, r"`failures` must hold subclasses of Exception"),
            ({"known": 3.0}, r"`known` must be a Known or None, got 3.0"),
            ({"known": Known(1.0, x=[1.0])}, r"`known.x` must have shape \(n,\) with n = 2, got \(1,\)"),
            ({"verify": 3}, r"`verify` must be callable or None, got 3"),
            ({"objective_grad": 3}, r"`objective_grad` must be callable or None, got 3"),
            ({"objective": lambda x, y: y[:, 0], "objective_grad": first}, r"`objective_grad` must take \(x, y\)"),
            ({"surrogate": "net"}, r"`surrogate` given as a path must end in"),
            ({"surrogate": 3}, r"`surrogate` must be a torch.nn.Module"),
            ({"space": 3}, r"`space` must be a Box"),
        ],
    )
    def test_definition(self, options, message):
        with pytest.raises(ProblemError, match=message):
            problem(**options)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                {"kind": "progresive"},
                r"`kind` must be 'progressive' or 'extreme' or 'progressive-to-extreme', got 'progresive'. Did you mean",
            ),
            ({"tol": -1}, r"`tol` must be a finite number in \[0, inf\), got -1"),
            ({"tol": "x"}, r"`tol` must be a real number, got 'x'"),
            ({"name": 3}, r"`name` of a constraint must be a str, got 3"),
            ({"grad": 3}, r"`grad` of constraint `` must be callable or None, got 3"),
        ],
    )
    def test_constraint(self, options, message):
        with pytest.raises(ProblemError, match=message):
            Constraint(first, **options)

    def test_known_needs_a_value(self):
        with pytest.raises(ProblemError, match=r"`value` must be a finite number"):
            Known(np.nan)
        with pytest.raises(ProblemError, match=r"`kind` must be"):
            Known(1.0, kind="guess")

    @pytest.mark.parametrize(
        ("x0", "message"),
        [
            ([0.5] * 3, r"`x0` must have shape \(n,\) or \(s, n\) with n = 2 \(from `space`\), got \(3,\)"),
            (0.5, r"got \(\)"),
            (np.empty((0, 2)), r"got \(0, 2\)"),
            (np.zeros((1, 1, 2)), r"got \(1, 1, 2\)"),
            ([0.5, np.nan], r"`x0` must be finite, got nan for variable `x1`"),
            ([[0, 0], [0, np.inf]], r"`x0` must be finite, got inf for variable `x1` in row 1"),
            ([0.5, 1.5], r"`x0` must lie in \[0, 1\] for variable `x1`, got 1.5"),
            ([-1e-12, 0.5], r"`x0` must lie in \[0, 1\] for variable `x0`, got -1e-12"),
            (["a", "b"], r"`x0` must be an array of real numbers"),
        ],
    )
    def test_start(self, x0, message):
        with pytest.raises(ProblemError, match=message):
            problem(x0=x0)

    def test_start_off_the_lattice_or_the_fixed_value(self):
        box = Box([0, 0, 0], [5, 5, 5], integer=[0], granularity={1: 0.25}, fixed={2: 3})
        with pytest.raises(ProblemError, match=r"`x0` must be an integer for variable `x0`, got 1.5"):
            problem(space=box, x0=[1.5, 0, 3])
        with pytest.raises(ProblemError, match=r"`x0` must be a multiple of 0.25 for variable `x1`, got 0.3"):
            problem(space=box, x0=[1, 0.3, 3])
        with pytest.raises(ProblemError, match=r"`x0` must be 3 \(fixed\) for variable `x2`, got 2"):
            problem(space=box, x0=[1, 0.25, 2])
        assert problem(space=box, x0=[1, 0.25, 3]).x0.tolist() == [[1, 0.25, 3]]


class TestStart:
    def test_a_few_ulp_are_clipped(self):
        p = problem(space=Box([0.3, 0], [1, 0.3]), x0=[np.nextafter(0.3, 0), 0.1 + 0.2])
        assert p.x0.tolist() == [[0.3, 0.3]]

    def test_a_few_ulp_off_the_lattice_are_snapped(self):
        assert problem(space=Box([0, 0], [1, 1], granularity=0.1), x0=[0.1 * 3, 0.7]).x0.tolist() == [[0.3, 0.7]]

    def test_several_starts_and_a_scalar(self):
        assert problem(x0=[[0, 0], [1, 1]]).x0.shape == (2, 2)
        assert problem(space=Box([0], [1]), x0=0.5).x0.tolist() == [[0.5]]

    def test_infinite_bounds(self):
        assert problem(space=Box([-np.inf] * 2, [np.inf] * 2), x0=[1e9, -3]).x0.tolist() == [[1e9, -3]]

    def test_negative_zero(self):
        assert not np.signbit(problem(x0=[-0.0, 0.0]).x0).any()

    def test_all_fixed(self):
        p = problem(space=Box([1, 2], [1, 2]), x0=[1, 2])
        assert p.space.n_free == 0
        assert p.outer(p.x0, p.forward(p.x0))[0].tolist() == [1.0]


class TestValues:
    X = np.array([[0.25, 1.0], [1.0, 0.5], [0.0, 0.0]])

    def test_with_surrogate(self):
        p = problem(
            surrogate=affine(), constraints=[Constraint(lambda x, y: y[:, :2] + x, name="b"), lambda x, y: x[:, 0]]
        )
        assert p.m is None
        Y = p.forward(self.X)
        f, C = p.outer(self.X, Y)
        assert (p.m, p.p, p.widths) == (3, 3, (2, 1))
        assert np.array_equal(Y, self.X @ A)
        assert np.array_equal(f, Y[:, 0])
        assert np.array_equal(C, np.column_stack((Y[:, :2] + self.X, self.X[:, 0])))
        assert [name for name, _, _ in p.columns] == ["b[0]", "b[1]", "c1"]

    def test_one_output_may_be_flat(self):
        p = problem(surrogate=lambda X: X.sum(axis=1))
        assert p.forward(self.X).shape == (3, 1)

    def test_lists_integers_and_columns_are_numbers(self):
        for answer in (lambda y: [1, 2, 3], lambda y: y[:, :1], lambda y: y[:, 0] > 0, lambda y: y[:, 0].astype("f4")):
            f, _ = problem(objective=answer).outer(self.X, self.X)
            assert f.shape == (3,)
            assert f.dtype == np.float64

    def test_no_rows(self):
        p = problem(surrogate=affine(), constraints=first)
        Y = p.forward(np.empty((0, 2)))
        f, C = p.outer(np.empty((0, 2)), Y)
        assert f.shape == (0,)
        assert C.shape == (0, 0)

    def test_nan_and_inf_pass_through(self):
        f, _ = problem(objective=lambda y: np.array([np.nan, np.inf, 1.0])).outer(self.X, self.X)
        assert np.isnan(f[0])
        assert f[1] == np.inf

    def test_user_code_may_scribble(self):
        def scribble(x, y):
            x[:], y[:] = 7.0, 7.0
            return np.zeros(len(x))

        X = self.X.copy()
        p = problem(
            surrogate=lambda X: np.multiply(X, 2.0, out=X),
            objective=scribble,
            constraints=[scribble, lambda y: y[:, 0]],
        )
        Y = p.forward(X)
        _, C = p.outer(X, Y)
        assert np.array_equal(X, self.X)
        assert np.array_equal(C[:, 1], 2.0 * self.X[:, 0])

    def test_user_code_may_reuse_its_buffer(self):
        buffer = np.zeros(3)

        def objective(y):
            buffer[:] = y[:, 0]
            return buffer

        p = problem(objective=objective)
        f, _ = p.outer(self.X, self.X)
        kept = f.copy()
        p.outer(self.X + 1, self.X + 1)
        assert np.array_equal(f, kept)

    @pytest.mark.parametrize(
        ("objective", "message"),
        [
            (
                lambda y: y[:-1, 0],
                r"`objective` returned shape \(2,\) for a block of 3 points; expected \(k,\) with k = 3",
            ),
            (
                lambda y: y,
                r"`objective` returned shape \(3, 2\) for a block of 3 points; one objective expected.*got 2",
            ),
            (lambda y: 1.0, r"`objective` returned shape \(\) for a block of 3 points"),
            (lambda y: y[None], r"`objective` returned shape \(1, 3, 2\)"),
            (lambda y: None, r"`objective` returned None"),
            (lambda y: y[:, 0] + 1j, r"`objective` must return real numbers"),
            (lambda y: ["a", "b", "c"], r"`objective` must return real numbers, got \['a', 'b', 'c'\]"),
            (lambda y: [[1], [1, 2], [3]], r"`objective` must return real numbers"),
        ],
    )
    def test_wrong_objective(self, objective, message):
        with pytest.raises(ProblemError, match=message):
            problem(objective=objective, backend="numpy").outer(self.X, self.X)

    def test_wrong_constraint(self):
        p = problem(constraints=[Constraint(lambda y: y[:-1, 0], name="temperature")])
        with pytest.raises(ProblemError, match=r"Constraint `temperature` returned shape \(2,\) for a block"):
            p.outer(self.X, self.X)

    def test_number_of_columns_is_fixed(self):
        p = problem(constraints=lambda y: y[:, : 1 + (len(y) == 1)])
        p.outer(self.X, self.X)
        with pytest.raises(ProblemError, match=r"must have a fixed number of columns \(\(1,\) as before\), got \(2,\)"):
            p.outer(self.X[:1], self.X[:1])

    def test_widths_can_be_restored(self):
        p = problem(constraints=[Constraint(lambda y: y, name="b", kind="extreme", tol=0.5)])
        p.learn_widths((2,))
        assert p.p == 2
        assert p.columns == (("b[0]", "extreme", 0.5), ("b[1]", "extreme", 0.5))
        with pytest.raises(ProblemError, match="fixed number of columns"):
            problem(constraints=first).learn_widths((1, 1))

    @pytest.mark.parametrize("surrogate", [lambda X: X[:-1], lambda X: X[None], lambda X: 1.0, lambda X: None])
    def test_wrong_surrogate(self, surrogate):
        with pytest.raises(ProblemError, match=r"`surrogate` (returned shape|must return real numbers)"):
            problem(surrogate=surrogate).forward(self.X)

    def test_number_of_outputs_is_fixed(self):
        p = problem(surrogate=lambda X: X[:, : len(X)])
        p.forward(self.X)
        with pytest.raises(ProblemError, match=r"`surrogate` returned 1 outputs a point; expected m = 2 as before"):
            p.forward(self.X[:1])

    def test_wrong_points(self):
        with pytest.raises(ProblemError, match=r"`X` must have shape \(k, n\) with n = 2, got \(3,\)"):
            problem().forward(np.zeros(3))

    def test_exceptions_pass_through_unchanged(self):
        for kind in (EvaluationFailed, ZeroDivisionError, KeyError):

            def raises(y, kind=kind):
                raise kind("here")

            with pytest.raises(kind, match="here"):
                problem(objective=raises).outer(self.X, self.X)


class TestGradients:
    X = np.array([[0.25, 0.75], [0.5, 0.125]])

    def check(self, p, tol=1e-7):
        Y = p.forward(self.X)
        _, C = p.outer(self.X, Y)
        rng = np.random.default_rng(0)
        wf, W = rng.standard_normal(2), rng.standard_normal(C.shape)
        G = p.vjp(self.X, Y, wf, W)
        expected = np.empty_like(self.X)
        for j in range(2):
            shift = np.zeros_like(self.X)
            shift[:, j] = 1e-5
            high, low = (p.outer(Z, p.forward(Z)) for Z in (self.X + shift, self.X - shift))
            expected[:, j] = (wf * (high[0] - low[0]) + (W * (high[1] - low[1])).sum(axis=1)) / 2e-5
        assert np.allclose(G, expected, rtol=tol, atol=tol)
        for i in range(2):
            J, count = p.constraint_jacobian(self.X[i], Y[i], np.arange(p.p))
            assert count <= min(p.p, Y.shape[1])
            single = [p.vjp(self.X[i : i + 1], Y[i : i + 1], np.zeros(1), row[None])[0] for row in np.eye(p.p)]
            assert np.allclose(J, single, rtol=1e-9, atol=1e-12)

    def test_sources(self):
        assert problem().gradient_source == "none"
        assert not problem().has_gradient
        assert problem(objective_grad=lambda y: y).gradient_source == "jac"
        assert problem(backend="torch").gradient_source == "jac"
        assert problem(surrogate=affine()).gradient_source == "vjp"
        assert problem(surrogate=lambda X: X, objective_grad=lambda y: y).gradient_source == "none"

    def test_none(self):
        with pytest.raises(ProblemError, match=r"surrogate CallableSurrogate\(<lambda>\) has no `vjp`"):
            problem(surrogate=lambda X: X).vjp(self.X, self.X, np.ones(2))

    def test_differences_of_outer_functions(self):
        self.check(
            problem(
                surrogate=affine(),
                objective=lambda x, y: y[:, 0] * y[:, 1] + np.sin(x[:, 0]),
                constraints=[lambda y: y**2, lambda x, y: x[:, 0] * x[:, 1], lambda x, y: y[:, 2:] * x],
            )
        )

    def test_users_gradients(self):
        def objective_grad(x, y):
            return np.column_stack((y[:, 0], 0 * y[:, 0])), np.column_stack((x[:, 0], 0 * y[:, 1:]))

        def of_outputs(X, Y, W):
            return None, np.column_stack((2 * Y[:, :2] * W, 0 * W[:, :1]))

        def of_points(X, Y, W):
            return np.column_stack((2 * X[:, 0] * W[:, 0], 0 * W[:, 0])), None

        self.check(
            problem(
                surrogate=affine(),
                objective=lambda x, y: y[:, 0] * x[:, 0],
                objective_grad=objective_grad,
                constraints=[
                    Constraint(lambda y: y[:, :2] ** 2, grad=of_outputs),
                    Constraint(lambda x, y: x[:, 0] ** 2, grad=of_points),
                ],
            )
        )

    def test_identity_with_users_gradients(self):
        p = problem(
            objective=lambda y: (y**2).sum(axis=1),
            objective_grad=lambda y: 2 * y,
            constraints=[Constraint(lambda y: y[:, 0] * y[:, 1], grad=lambda X, Y, W: (None, W * Y[:, ::-1]))],
        )
        self.check(p)
        assert p.constraint_jacobian(self.X[0], self.X[0], [0])[1] == 0

    def test_identity_without_gradient_is_blind_not_costly(self):
        calls = []

        def constraint(y):
            calls.append(len(y))
            return y[:, 0]

        p = problem(objective_grad=lambda y: 0 * y + [1.0, 0.0], constraints=constraint)
        p.outer(self.X, self.X)
        calls.clear()
        assert p.vjp(self.X, self.X, np.ones(2), np.ones((2, 1))).tolist() == [[1.0, 0.0]] * 2
        assert not calls

    def test_differences_stay_inside_the_box(self):
        seen = []

        def constraint(x, y):
            seen.append(x.copy())
            return np.sqrt(x[:, 0]) + y[:, 0]

        p = problem(surrogate=affine(), constraints=constraint)
        X = np.array([[0.0, 1.0]])
        Y = p.forward(X)
        p.outer(X, Y)
        assert np.isfinite(p.vjp(X, Y, np.zeros(1), np.ones((1, 1)))).all()
        assert np.concatenate(seen).min() >= 0.0
        assert np.concatenate(seen).max() <= 1.0

    def test_phi_is_asked_only_where_needed(self):
        asked = []

        def vjp(X, V):
            asked.append(len(X))
            return V @ A.T

        p = problem(
            surrogate=CallableSurrogate(lambda X: X @ A, vjp=vjp),
            constraints=[lambda x, y: x[:, 0] - 1, lambda y: np.column_stack([y, y**2])],
        )
        Y = p.forward(self.X)
        p.outer(self.X, Y)
        assert p.constraint_jacobian(self.X[0], Y[0], [0])[1] == 0
        assert not asked
        J, count = p.constraint_jacobian(self.X[0], Y[0], [0, 1, 2])
        assert (count, asked, J.shape) == (2, [2], (3, 2))
        _, count = p.constraint_jacobian(self.X[0], Y[0], np.arange(7))
        assert (count, asked) == (3, [2, 3])  # six rows depend on y, m = 3 is cheaper
        assert p.constraint_jacobian(self.X[0], Y[0], [])[0].shape == (0, 2)

    def test_wrong_gradients(self):
        Y = self.X @ A
        p = problem(surrogate=affine(), objective_grad=lambda y: y[:, :1])
        with pytest.raises(ProblemError, match=r"`objective_grad` returned shape \(2, 1\) for a block of 2 points"):
            p.vjp(self.X, Y, np.ones(2))
        p = problem(surrogate=affine(), objective_grad=lambda x, y: y)
        with pytest.raises(ProblemError, match=r"`objective_grad` must return the pair"):
            p.vjp(self.X, Y, np.ones(2))
        p = problem(surrogate=CallableSurrogate(lambda X: X @ A, vjp=lambda X, V: V))
        with pytest.raises(ProblemError, match=r"`surrogate.vjp` returned shape \(2, 3\) for a block of 2 points"):
            p.vjp(self.X, Y, np.ones(2))
        p = problem(surrogate=affine(), constraints=Constraint(first, grad=lambda X, Y, W: (Y, None)))
        with pytest.raises(ProblemError, match="must have been evaluated once"):
            p.vjp(self.X, Y, np.ones(2), np.ones((2, 1)))
        p.outer(self.X, Y)
        with pytest.raises(ProblemError, match=r"gradient of Constraint `c0` returned gX of shape \(2, 3\)"):
            p.vjp(self.X, Y, np.ones(2), np.ones((2, 1)))


class TestFingerprint:
    def test_texts(self):
        prints = problem(constraints=[first]).fingerprint()
        assert set(prints) == {"name", "sense", "space", "surrogate", "objective", "constraints"}
        assert all(isinstance(text, str) for text in prints.values())

    def test_what_changes_it(self):
        base = problem(constraints=[Constraint(first)]).fingerprint()
        assert problem(constraints=[Constraint(first)]).fingerprint() == base
        changes = {
            "sense": {"sense": "minimize"},
            "space": {"space": Box([0, 0], [1, 2])},
            "surrogate": {"surrogate": affine()},
            "objective": {"objective": lambda y: y[:, 1]},
            "constraints": {"constraints": [Constraint(first, tol=0.1)]},
        }
        for part, change in changes.items():
            other = problem(**{"constraints": [Constraint(first)], **change}).fingerprint()
            assert [key for key in base if base[key] != other[key]] == [part]

    def test_names_and_units_do_not(self):
        assert problem(space=Box([0, 0], [1, 1], names=["a", "b"])).fingerprint() == problem().fingerprint()


class TestErrorsModule:
    def test_evaluation_error_pickles(self):
        error = pickle.loads(pickle.dumps(EvaluationError("broken", np.ones(2), {"nfev": 3})))
        assert str(error) == "broken"
        assert error.x.tolist() == [1.0, 1.0]
        assert error.result == {"nfev": 3}
        assert EvaluationError("m").x is None

    def test_builtin_bases(self):
        assert issubclass(ProblemError, ValueError)
        assert issubclass(EvaluationFailed, RuntimeError)
        assert issubclass(MissingExtraError, ImportError)


def test_no_torch_is_imported():
    code = (
        "import sys, numpy as np\n"
        "from dfoattack.problem import Problem\n"
        "p = Problem(objective=lambda y: y[:, 0], space=[(0, 1)], constraints=lambda y: y)\n"
        "X = np.ones((1, 1)); p.outer(X, p.forward(X)); p.fingerprint()\n"
        "assert not any(m == 'torch' or m.startswith('torch.') for m in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_overhead_of_one_row_is_small():
    p = Problem(objective=lambda y: y[:, 0], space=Box(np.zeros(10), np.ones(10)), constraints=lambda y: y[:, 1])
    x = np.full((1, 10), 0.5)
    best = np.inf
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(200):
            p.outer(x, p.forward(x))
        best = min(best, (time.perf_counter() - start) / 200)
    assert best < 50e-6  # about 6 microseconds on an idle machine; the rest is head-room for a busy one
