"""Every built-in attack passes the contract given to plug-in authors."""

from __future__ import annotations

import numpy as np
import pytest

from dfoattack.attacks import BUILTIN, by_name
from dfoattack.testing.attacks import AttackContract

RANDOM = [
    ("simba", {}),
    ("simba", {"basis": "random"}),
    ("simba", {"basis": "dct"}),
    ("pgd", {"restarts": 3}),
    ("perturbed", {}),
    ("sampling", {}),
    ("sampling", {"samples": 3, "steps": 9}),
]
OPERATORS = [(name, {}) for name in BUILTIN if name not in ("perturbed", "sampling", "simba")] + [
    ("momentum", {"nesterov": True}),
    ("topk", {"counts": [1, 2]}),
    ("apgd", {"norm": "l2", "steps": 9}),
    ("lbfgsb", {"memory": 1, "iterations": 4}),
    ("al", {"rounds": 1}),
    ("smallest", {"gain": 1e-6}),
    ("tangent", {"active": 10.0, "corrections": 3}),
    ("pgd", {"norm": "l2", "steps": 3}),
    ("sqp", {"iterations": 3}),
    ("sign", {"active": 0.0}),
]


def made(name, options):
    if name == "ipopt":
        pytest.importorskip("cyipopt")
    return by_name(name, options)


@pytest.mark.parametrize(("name", "options"), OPERATORS, ids=lambda value: str(value))
class TestBuiltin(AttackContract):
    @pytest.fixture
    def operator(self, name, options):
        return made(name, options)


@pytest.mark.parametrize(("name", "options"), RANDOM, ids=lambda value: str(value))
class TestRandom(AttackContract):
    random = True

    @pytest.fixture
    def operator(self, name, options):
        return made(name, options)


@pytest.mark.parametrize("name", ["sqp", "lbfgsb", "al", "ipopt"])
class TestPolishOfTheWholeBox(AttackContract):
    radii = np.array([np.inf])

    @pytest.fixture
    def operator(self, name):
        return made(name, {})
