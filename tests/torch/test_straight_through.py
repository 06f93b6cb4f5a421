"""Straight-through gradients of networks with rounding layers."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import dfoattack as da  # noqa: E402


class Rounded(torch.nn.Module):
    """Weights, a rounding layer with 8 levels, weights: a quantised network; gradient zero almost everywhere."""

    def __init__(self, how, rounds: bool = True) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.A = torch.randn(5, 5, generator=generator, dtype=torch.float64)
        self.B = torch.randn(5, 2, generator=generator, dtype=torch.float64)
        self.how, self.rounds = how, rounds

    def forward(self, x):
        z = 4.0 * x @ self.A
        return (self.how(z) if self.rounds else z) @ self.B


HOW = [torch.round, torch.floor, torch.Tensor.ceil, lambda z: z.trunc(), lambda z: (z * 1.0).round_(), torch.fix]
X = np.random.default_rng(0).uniform(-1.0, 1.0, (4, 5))
V = np.random.default_rng(1).standard_normal((4, 2))


@pytest.mark.parametrize("how", HOW)
def test_rounding_layers_pass_gradients_and_keep_values(how) -> None:
    plain, through = da.TorchSurrogate(Rounded(how)), da.TorchSurrogate(Rounded(how), straight_through=True)
    smooth = da.TorchSurrogate(Rounded(how, rounds=False))
    assert np.all(plain.vjp(X, V) == 0.0)
    np.testing.assert_array_equal(through.predict(X), plain.predict(X))
    np.testing.assert_allclose(through.vjp(X, V), smooth.vjp(X, V), rtol=1e-12)
    assert plain.fingerprint() != through.fingerprint()


def test_decimals_and_other_arguments_are_kept() -> None:
    through = da.TorchSurrogate(lambda x: torch.round(x, decimals=1).sum(1), straight_through=True)
    np.testing.assert_allclose(through.predict(X)[:, 0], np.round(X, 1).sum(axis=1))
    np.testing.assert_array_equal(through.vjp(X, np.ones((4, 1))), np.ones((4, 5)))


def test_sign_looks_like_a_hard_tanh() -> None:
    through = da.TorchSurrogate(lambda x: torch.sign(2.0 * x), straight_through=True)
    G = through.vjp(X, np.ones((4, 5)))
    np.testing.assert_array_equal(G, np.where(np.abs(2.0 * X) <= 1.0, 2.0, 0.0))


def test_values_in_the_forward_pass_of_a_gradient_keep_their_bits() -> None:
    seen = []

    def phi(x):
        z = torch.round(7.3 * x)
        seen.append(z.detach().numpy().copy())
        return z.sum(1)

    da.TorchSurrogate(phi, straight_through=True).vjp(X, np.ones((4, 1)))
    np.testing.assert_array_equal(seen[-1], np.rint(7.3 * X))


def test_attacks_move_on_a_rounding_network() -> None:
    def run(through: bool) -> da.Result:
        phi = da.TorchSurrogate(Rounded(torch.round), straight_through=through)
        problem = da.Problem(
            surrogate=phi, objective=lambda y: ((y - 20.0) ** 2).sum(1), space=da.Box([-2] * 5, [2] * 5), x0=np.zeros(5),
            sense="minimize",
        )  # fmt: skip
        return da.solve(problem, budget=120)

    with_it, without = run(True), run(False)
    attacks = [np.array(r.records.step) == "attack" for r in (with_it, without)]
    assert with_it.records.fun[attacks[0]].min() < 0.2 * with_it.records.fun[0]
    assert not attacks[1].any() or without.records.fun[attacks[1]].min() == without.records.fun[0]
