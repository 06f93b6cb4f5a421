"""Recorded trajectories are walked again. A change that is meant is recorded by `python -m tests.golden.update --write`."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.golden.cases import CASES, FOLDER, recorded, versions


@pytest.mark.parametrize("name", CASES)
def test_the_trajectory_is_the_recorded_one(name: str) -> None:
    stored: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    here = versions()
    others = [
        f"{key} {value} there, {here[key]} here" for key, value in stored["versions"].items() if here[key] != value
    ]
    if others:
        pytest.skip(f"recorded elsewhere: {'; '.join(others)}")
    old, new = stored["run"], recorded(CASES[name]())
    assert new["step"] == old["step"]
    np.testing.assert_allclose(np.array(new["x"]), np.array(old["x"]), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(np.array(new["fun"], float), np.array(old["fun"], float), rtol=1e-12, atol=1e-15)
    assert new["counters"] == old["counters"]
    assert new["best"] == pytest.approx(old["best"], rel=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_the_recorded_trajectory_is_worth_recording(name: str) -> None:
    """It improves, in more than one way."""
    run = json.loads((FOLDER / f"{name}.json").read_text())["run"]
    assert len(run["x"]) > 15 and {"start", "poll"} <= set(run["step"]) and len(set(run["step"])) >= 3
    assert run["best"] != run["fun"][0]
