"""Every built-in attack passes the contract given to plug-in authors."""

from __future__ import annotations

import numpy as np
import pytest

from dfoattack.attacks import BUILTIN, by_name
from dfoattack.testing.attacks import AttackContract

OPERATORS = [(name, {}) for name in BUILTIN] + [
    ("pgd", {"momentum": 0.9}),
    ("pgd", {"norm": "l2", "steps": 3}),
    ("sqp", {"iterations": 3}),
    ("sign", {"active": 0.0}),
]


@pytest.mark.parametrize(("name", "options"), OPERATORS, ids=lambda value: str(value))
class TestBuiltin(AttackContract):
    @pytest.fixture
    def operator(self, name, options):
        return by_name(name, options)


class TestRandomRestarts(AttackContract):
    random = True

    @pytest.fixture
    def operator(self):
        return by_name("pgd", {"restarts": 3})


class TestPolishOfTheWholeBox(AttackContract):
    radii = np.array([np.inf])

    @pytest.fixture
    def operator(self):
        return by_name("sqp")
