"""The surrogates of the package, and a problem with a known optimum, pass the contracts given to plug-in authors."""

from __future__ import annotations

import numpy as np
import pytest

from dfoattack.problem import Constraint, Known, Problem
from dfoattack.space import Box
from dfoattack.surrogate import CallableSurrogate, Identity
from dfoattack.testing.problems import ProblemContract
from dfoattack.testing.surrogates import SurrogateContract

W1 = np.random.default_rng(0).standard_normal((3, 5))
W2 = np.random.default_rng(1).standard_normal((5, 2))


def network(X):
    # einsum without optimisation sums each row on its own, so that a row does not depend on the batch it is in
    return np.einsum("kh,hm->km", np.tanh(np.einsum("kn,nh->kh", X, W1)), W2)


def network_vjp(X, V):
    hidden = np.tanh(np.einsum("kn,nh->kh", X, W1))
    return np.einsum("kh,nh->kn", np.einsum("km,hm->kh", V, W2) * (1 - hidden**2), W1)


class Points:
    @pytest.fixture
    def points(self):
        return np.random.default_rng(2).standard_normal((6, 3))


class TestIdentity(Points, SurrogateContract):
    @pytest.fixture
    def surrogate(self):
        return Identity()


class TestCallable(Points, SurrogateContract):
    @pytest.fixture
    def surrogate(self):
        return CallableSurrogate(network)


class TestCallableWithVjp(Points, SurrogateContract):
    @pytest.fixture
    def surrogate(self):
        return CallableSurrogate(network, vjp=network_vjp)


class TestQuadraticProblem(ProblemContract):
    """Maximise -|y|^2 with y = x - (2, 0), x_1 <= 1 as a constraint: optimum -1 at (1, 0)."""

    @pytest.fixture
    def problem(self):
        shift = np.array([2.0, 0.0])
        return Problem(
            objective=lambda y: -(y**2).sum(axis=1),
            space=Box([-3, -3], [3, 3]),
            surrogate=CallableSurrogate(lambda X: X - shift, vjp=lambda X, V: V),
            constraints=[Constraint(lambda x, y: x[:, 0] - 1.0, name="wall")],
            known=Known(-1.0, x=[1.0, 0.0], kind="exact", tol=1e-9, how="by hand"),
        )


class TestMixedProblem(ProblemContract):
    """Identity, one integer, one fixed variable, no gradient; minimum 0.25 + 4 at (0.5, 1, 2)."""

    @pytest.fixture
    def problem(self):
        return Problem(
            objective=lambda y: (y[:, 0] - 0.5) ** 2 + (y[:, 1] - 1.5) ** 2 + y[:, 2] ** 2,
            space=Box([-1, -4, 0], [1, 4, 2], integer=[1], fixed={2: 2.0}),
            sense="minimize",
            known=Known(4.25, x=[0.5, 1, 2], kind="exact", tol=1e-12),
        )


def test_the_contract_notices_a_wrong_declaration():
    wrong = Problem(
        objective=lambda y: -(y[:, 0] ** 2), space=[(-1, 1)], known=Known(-0.5, kind="best_known", tol=1e-3)
    )
    with pytest.raises(AssertionError, match="declaration wrong"):
        ProblemContract().test_nothing_simple_beats_the_declared_optimum(wrong)


def test_the_contract_notices_a_wrong_vjp():
    broken = CallableSurrogate(network, vjp=lambda X, V: -network_vjp(X, V))
    with pytest.raises(AssertionError):
        SurrogateContract().test_vjp_agrees_with_differences(broken, np.ones((2, 3)))


def test_the_contract_notices_rows_that_depend_on_the_batch():
    centred = CallableSurrogate(lambda X: X - X.mean(axis=0))
    with pytest.raises(AssertionError):
        SurrogateContract().test_rows_do_not_depend_on_each_other(centred, np.arange(6.0).reshape(3, 2))
