"""The study of trust: its table, and that what was run is not run again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from benchmarks import trust_study


def row(way: str, seed: int, true: float) -> dict[str, Any]:
    return {
        "head": "soft", "support": "narrow", "way": way, "seed": seed, "x": [0.5, 0.3], "predicted": 2.0, "true": true,
        "violation": 0.1 * seed, "verdict": "edge", "percentile": 97.0, "cost": 100.0, "calls": seed,
    }  # fmt: skip


def test_the_table_shows_the_seed_with_the_median_truth() -> None:
    text = trust_study.table([row("knn", 0, 1.0), row("knn", 1, 1.9), row("knn", 2, 1.5)])
    (line,) = [line for line in text.splitlines() if line.startswith("| soft narrow")]
    assert "| knn | 60.00, 6.000 | 2.0000 | 1.5000 | +0.5000 | 0.2 | edge | 97 | 100 | 2 |" in line


def test_runs_on_file_are_not_run_again(tmp_path: Path, monkeypatch: Any) -> None:
    file, played = tmp_path / "trust.jsonl", []
    file.write_text(json.dumps(row("knn", 0, 1.0)) + "\n")

    def run(head: str, support: str, way: str, seed: int, budget: float) -> dict[str, Any]:
        played.append(way)
        return row(way, seed, 1.0)

    monkeypatch.setattr(trust_study, "run", run)
    told: list[int] = []
    trust_study.play(file, 1, 10.0, "soft-narrow", lambda done, total, text: told.append(done))
    assert "knn" not in played and len(played) == len(trust_study.WAYS) - 1 and told[-1] == len(trust_study.WAYS)
    trust_study.play(file, 1, 10.0, "soft-narrow", lambda done, total, text: None)
    assert len(played) == len(trust_study.WAYS) - 1
