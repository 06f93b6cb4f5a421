"""The examples of README.md and CONTRIBUTING.md run as they stand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dfoattack as da

ROOT = Path(__file__).parents[2]


def blocks(name: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(encoding="utf-8"), re.DOTALL)


def run(code: str) -> dict[str, Any]:
    scope: dict[str, Any] = {}
    exec(compile(code, "README.md", "exec"), scope)
    return scope


def test_own_network(capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = [b for b in blocks("README.md") if "torch.nn" in b]
    assert len(code.strip().splitlines()) <= 13
    result = run(code)["result"]
    assert result.success and result.maxcv == 0.0 and result.gradient_source == "vjp" and result.cost <= 300
    assert "certificate" in capsys.readouterr().out


def test_black_box() -> None:
    (code,) = [b for b in blocks("README.md") if "integrality" in b]
    assert len(code.strip().splitlines()) <= 10
    result = run(code)["result"]
    assert result.feasible and result.x[1] == np.rint(result.x[1]) and result.x.sum() <= 4.0
    assert result.fun < 0.05  # the best is 0.04: x = (1, 3) on the constraint


def test_ask_and_tell() -> None:
    (code,) = [b for b in blocks("README.md") if "solver.ask" in b]
    assert np.abs(run(code)["solver"].result().x).max() < 1e-2


def test_attack_recipe() -> None:
    (code,) = [b for b in blocks("CONTRIBUTING.md") if "AttackOperator" in b]
    operator = run(code)["Coordinate"]()
    matrix = np.array([[3.0, 1.0], [1.0, 2.0]])

    class Phi:
        def predict(self, X: np.ndarray) -> np.ndarray:
            return X @ matrix.T

        def vjp(self, X: np.ndarray, V: np.ndarray) -> np.ndarray:
            return V @ matrix

    problem = da.Problem(
        surrogate=Phi(),
        objective=lambda y: -(y**2).sum(1),
        space=da.Box([-4, -4], [4, 4]),
        x0=[3.0, -2.0],
        sense="maximize",
    )
    result = da.solve(problem, budget=150, options={"attacks": (operator,)})
    assert result.ngev > 0 and "attack" in result.records.step and result.fun > -1e-3
