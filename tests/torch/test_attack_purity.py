"""No operator changes the network: parameters, buffers, flags; and none needs more of it than values and products."""

from __future__ import annotations

import numpy as np
import pytest

import dfoattack as da
from dfoattack.attacks import BUILTIN

torch = pytest.importorskip("torch")


def network():
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Linear(3, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Dropout(0.5), torch.nn.Linear(8, 2)
    ).double()
    net[1].running_mean += 0.1
    net[0].weight.requires_grad_(False)
    return net.eval()


@pytest.mark.parametrize("name", BUILTIN)
def test_the_network_is_left_as_it_was(name):
    if name == "ipopt":
        pytest.importorskip("cyipopt")
    net = network()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    flags = [(p.requires_grad, p.grad is None) for p in net.parameters()]
    problem = da.Problem(
        surrogate=net,
        objective=lambda y: y[:, 0],
        space=([-1.0] * 3, [1.0] * 3),
        constraints=[da.Constraint(lambda x, y: y[:, 1] - 0.2, name="second")],
        sense="minimize",
    )
    result = da.solve(problem, budget=60, seed=0, options={"attacks": (name,), "searches": ()})
    # Nothing is active here, nothing is granular, and the last one asks for values only.
    assert result.ngev > 0 or name in ("none", "tangent", "flips", "simba")
    assert all(torch.equal(value, net.state_dict()[key]) for key, value in before.items())
    assert [(p.requires_grad, p.grad is None) for p in net.parameters()] == flags
    assert not any(module.training for module in net.modules())
    assert np.isfinite(result.fun)
