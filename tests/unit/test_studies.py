"""`dfoattack study`: listed, run into a folder, resumed, and what is said when something is wrong."""

from __future__ import annotations

import io
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from dfoattack import registry
from dfoattack.cli import main
from dfoattack.studies import StudyLine

STUDY = '''
def run(out, *, quick, seeds, progress):
    """Count to the number of seeds."""
    for seed in range(seeds):
        file = out / f"{seed}.txt"
        if not file.exists():
            if seed == 2 and not (out / "seen").exists():
                (out / "seen").touch()
                raise KeyboardInterrupt
            file.write_text(f"quick {quick}")
        progress(seed + 1, seeds, f"seed {seed}")

number = 3
'''


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "counting_study.py").write_text(STUDY, encoding="utf-8")
    (tmp_path / "netted_study.py").write_text(
        "raise ModuleNotFoundError('No module named torch', name='torch')\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    entries = [
        EntryPoint("counting", "counting_study:run", registry.STUDIES),
        EntryPoint("number", "counting_study:number", registry.STUDIES),
        EntryPoint("netted", "netted_study:run", registry.STUDIES),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: [e for e in entries if e.group == group])
    for name in ("counting_study", "netted_study"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def test_studies_are_listed_with_their_first_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study"]) == 0
    out = capsys.readouterr().out
    assert "Count to the number of seeds." in out
    assert "cannot be loaded: Study netted needs torch" in out


def test_a_study_writes_into_its_folder_and_goes_on_after_an_interruption(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["study", "counting", "--seeds", "3", "--quick"]) == 130
    folder = place / "study-counting"
    assert sorted(p.name for p in folder.glob("*.txt")) == ["0.txt", "1.txt"]
    (folder / "0.txt").write_text("kept")
    assert main(["study", "counting", "--seeds", "3"]) == 0
    assert [(folder / f"{i}.txt").read_text() for i in range(3)] == ["kept", "quick True", "quick False"]
    assert "3/3  seed 2" in capsys.readouterr().err
    assert main(["study", "counting", "--quiet", "--out", "elsewhere/deep"]) == 130
    assert main(["study", "counting", "--quiet", "--out", "elsewhere/deep"]) == 0
    assert len(list((place / "elsewhere" / "deep").glob("*.txt"))) == 5
    assert "5/5" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["countin"], "No study 'countin'. Did you mean `counting`? Installed: counting, netted, number."),
        (["number"], "Study 'number' must be a function run(out, *, quick, seeds, progress), got 3."),
        (["netted"], "Study netted needs torch. Install `dfoattack[torch]`."),
        (["counting", "--seeds", "0"], "`--seeds` must be at least 1, got 0."),
        (["counting", "--out", "counting_study.py"], "`--out` must be a folder, but counting_study.py is a file."),
    ],
)
def test_wrong_usage_is_one_sentence(
    place: Path, capsys: pytest.CaptureFixture[str], argv: list[str], said: str
) -> None:
    assert main(["study", *argv]) == 2
    assert capsys.readouterr().err.strip() == f"dfoattack: {said}"


def test_the_line_tells_how_much_is_left_not_counting_what_was_there_before() -> None:
    stream = io.StringIO()
    line = StudyLine(stream)
    line(3, 4, "first seen")
    line(4, 4, "last")
    line.close()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "[###############.....] 3/4  first seen"
    assert lines[-1] == "[####################] 4/4  last"
