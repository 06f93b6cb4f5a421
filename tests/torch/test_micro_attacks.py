"""The micro benchmarks of attacks on small settings: they measure what they say, and leave out what is not installed."""

from __future__ import annotations

import sys

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from benchmarks.micro import attack_libraries, throughput  # noqa: E402


def quiet(text: str) -> None:
    pass


def test_throughput_has_a_row_for_every_operation_and_size(monkeypatch):
    monkeypatch.setattr(throughput, "WIDTHS", (8, 16, 16))
    monkeypatch.setattr(throughput, "POINTS", (1, 3))
    monkeypatch.setattr(throughput, "BUDGET_ROWS", 10)
    table = throughput.section(quiet).splitlines()[-6:]
    assert [line.split(" | ")[0] for line in table] == ["| poll", "| pgd", "| lbfgsb"] * 2
    assert all(float(line.split(" | ")[4].strip(" |%")) > 0.0 for line in table)


def by_hand(module, X):
    """Projected sign steps in torch, the last point."""
    shape, reach = (-1, 1, attack_libraries.SIDE, attack_libraries.SIDE), attack_libraries.RADIUS
    start = torch.tensor(X.reshape(shape), dtype=torch.float32)
    z = start.clone()
    for _ in range(attack_libraries.STEPS):
        z = z.detach().requires_grad_(True)
        loss = -torch.log_softmax(module(z), dim=1)[:, attack_libraries.WANTED].sum()
        (g,) = torch.autograd.grad(loss, z)
        step = attack_libraries.REACH * reach / attack_libraries.STEPS
        z = torch.clamp(start + torch.clamp(z - step * g.sign() - start, -reach, reach), 0.0, 1.0)
    return z.detach().numpy().reshape(len(X), -1)


def test_ours_is_as_good_as_the_loop_by_hand():
    module = attack_libraries.classifier()
    X = np.random.default_rng(0).uniform(0.0, 1.0, (16, attack_libraries.SIDE**2)).astype(np.float32).astype(np.float64)
    before = attack_libraries._entropy(module, X)
    ours = attack_libraries._entropy(module, attack_libraries.ours(module, X, np.random.default_rng(0)))
    loop = attack_libraries._entropy(module, by_hand(module, X))
    assert (before - ours).mean() > 1.0
    assert (before - ours).mean() >= (before - loop).mean() - 1e-3


def test_a_library_that_is_not_there_is_left_out_and_said(monkeypatch):
    for name in ("foolbox", "torchattacks"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(attack_libraries, "REPEATS", 1)
    monkeypatch.setattr(attack_libraries, "POINTS", 4)
    table = attack_libraries.section(quiet)
    assert "| foolbox | not measured" in table and "| torchattacks | not measured" in table
    assert "| dfoattack | " in table
