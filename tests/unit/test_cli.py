"""The command line: what it prints, what it returns, and that wrong usage is one sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import dfoattack as da
from dfoattack import named_problems, registry
from dfoattack.cli import main
from dfoattack.named_problems import parse_value
from dfoattack.run_record import RunRecord

TOY = '''
from __future__ import annotations

from pathlib import Path
from typing import Literal

import dfoattack as da


def make_problem(
    n: int = 2, *, limit: float = 1.0, kind: Literal["disc", "free"] = "disc", top: float | None = None, mark: str = ""
) -> da.Problem:
    """Return the largest sum in a disc.

    Parameters
    ----------
    n : int     variables
    """

    calls = []

    def objective(y):
        calls.append(len(y))
        if mark and len(calls) == 15 and not Path(mark).exists():
            raise KeyboardInterrupt
        return y.sum(1)

    disc = [da.Constraint(lambda x, y: (x**2).sum(1) - limit, name="disc")]
    disc.append(da.Constraint(lambda x, y: x - 5.0, name="box"))
    return da.Problem(
        name="toy",
        objective=objective,
        constraints=disc if kind == "disc" else [],
        space=da.Box([-2] * n, [top or 2] * n, names=[f"v{i}" for i in range(n)]),
        x0=[0.0] * n,
        known=da.Known((n * limit) ** 0.5, kind="exact"),
        verify=lambda x: float(x.sum()),
    )


def impossible() -> da.Problem:
    return da.Problem(objective=lambda y: y[:, 0], constraints=lambda y: y[:, 0] ** 2 + 1.0, space=[(-1, 1)], x0=[0.5])


def breaks() -> da.Problem:
    def objective(y):
        if y[0, 0] > 0.1:
            raise KeyError("lost")  # the line that the message names
        return y[:, 0]

    return da.Problem(objective=objective, space=[(-1, 1)], x0=[0.0])


def unverifiable() -> da.Problem:
    def verify(x):
        raise OSError("no simulator here")

    return da.Problem(objective=lambda y: y[:, 0], space=[(-1, 1)], x0=[0.0], verify=verify)


def refuses(size: int = 0) -> da.Problem:
    raise LookupError(f"no size {size}")


def needs(size: int) -> da.Problem:
    return make_problem(size)


def no_problem() -> int:
    return 3


finished = make_problem(3)
number = 3
'''


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with `toy.py` in it, to work in; what loading it leaves behind is undone."""
    (tmp_path / "toy.py").write_text(TOY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    for name in ("toy", "broken"):  # other tests of this process have modules of these names too
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield tmp_path
    for name in ("toy", "broken"):
        sys.modules.pop(name, None)


@pytest.fixture
def installed(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The toy as an installed plug-in, beside one that is broken and one that needs torch."""
    (place / "broken.py").write_text("import nothing_of_this_name\n", encoding="utf-8")
    (place / "networked.py").write_text(
        "raise ModuleNotFoundError('No module named torch', name='torch')\n", encoding="utf-8"
    )
    sys.path.insert(0, str(place))
    entries = [
        EntryPoint("toy", "toy:make_problem", registry.PROBLEMS),
        EntryPoint("broken", "broken:make_problem", registry.PROBLEMS),
        EntryPoint("networked", "networked:make_problem", registry.PROBLEMS),
    ]
    monkeypatch.setattr(registry, "entry_points", lambda group: [e for e in entries if e.group == group])
    return place


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    code = main(argv)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


# ---------------------------------------------------------------- list, help


def test_list_names_every_problem_and_a_broken_one_hides_nothing(
    installed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(capsys, "list")
    lines = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    assert code == 0
    assert "the largest sum in a disc." in lines["toy"]
    assert "cannot be loaded" in lines["broken"] and "nothing_of_this_name" in lines["broken"]
    assert "dfoattack[torch]" in lines["networked"]


def test_list_of_one_problem_tells_its_parameters(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list", "toy")
    rows = {line.split()[0]: line.split() for line in out.splitlines() if line.strip()}
    assert code == 0 and "Return the largest sum in a disc." in out
    assert rows["limit"] == ["limit", "1.0", "a", "number"]
    assert " ".join(rows["kind"]) == "kind 'disc' 'disc' or 'free'"
    assert " ".join(rows["top"]) == "top None a number or none"
    assert run(capsys, "list", "toy.py:finished")[1].strip().endswith("no parameters")
    assert "required" in run(capsys, "list", "toy.py:needs")[1]


@pytest.mark.parametrize("command", [[], ["list"], ["solve"], ["resume"], ["show"]])
def test_help_teaches_by_examples(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, *command, "--help")
    assert code == 0 and "examples:" in out and "dfoattack " in out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "--version")[:2] == (0, f"dfoattack {da.__version__}\n")


# ---------------------------------------------------------------- solve


def test_solve_prints_result_steps_constraints_and_truth(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "solve", "toy.py", "--budget", "80", "--seed", "3", "--set", "limit=4")
    assert code == 0
    assert out.splitlines()[0].endswith(
        "(limit=4.0): maximize, 2 variables, 2 constraints, gradients: forward (forward differences); budget 80, seed 3"
    )
    assert "Budget of 80 evaluations used" in out and "v0=" in out
    for word in ("share of the gain", "poll", "disc", "box (worst of 2:", "tolerance", "satisfied", "certificate"):
        assert word in out
    assert "known: 2.8284271 (exact); this result is" in out and "verified: f = " in out
    assert "80/80" in err


def test_starts_are_an_option_of_the_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(capsys, "solve", "toy.py", "--budget", "40", "--starts", "20", "--store", "run.dfo")[0]
    assert code == 0
    assert RunRecord.read(place / "run.dfo").meta["options"]["starts"] == 20
    assert run(capsys, "solve", "toy.py", "--starts", "0")[0] == 2


def test_quiet_prints_the_result_only(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "solve", "toy.py", "--budget", "20", "--quiet")
    assert code == 0 and err == "" and out.startswith("     message:")


def test_an_installed_problem_by_name(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "solve", "toy", "--set", "n=3", "--budget", "20")
    assert code == 0 and out.startswith("toy (n=3): maximize, 3 variables")


@pytest.mark.parametrize("name", ["toy:make_problem", "toy:finished", "toy.py:finished", "./toy.py"])
def test_names_of_own_problems(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert run(capsys, "solve", name, "--budget", "5")[0] == 0


def test_the_default_budget_and_none(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Budget of 400 evaluations" in run(capsys, "solve", "toy.py:unverifiable")[1]
    argv = ["--budget", "none", "--options", "frame_size_min=0.01", "--options", "covering_quota=5"]
    assert "Converged" in run(capsys, "solve", "toy.py:unverifiable", *argv)[1]


def test_target_and_time(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Target 0.5 reached" in run(capsys, "solve", "toy.py", "--target", "0.5")[1]
    assert "Time limit reached" in run(capsys, "solve", "toy.py", "--max-time", "1e-9")[1]


def test_options_are_typed(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, Any] = {}
    monkeypatch.setattr("dfoattack.api.Solver", lambda problem, options, **rest: seen.update(options=options) or 1 / 0)
    texts = {
        "poll": "2n", "opportunistic": "no", "block_size": "4", "frame_size_init": "0.5,0.25", "frame_size_min": "1e-3",
        "covering_quota": "none", "attacks": "sign, l2", "timeout": "2.5", "h_max_init": "inf",
    }  # fmt: skip
    flags = [part for key, text in texts.items() for part in ("--options", f"{key}={text}")]
    run(capsys, "solve", "toy.py", *flags)
    o = seen["options"]
    assert (o.poll, o.opportunistic, o.block_size, o.frame_size_init, o.frame_size_min) == (
        "2n",
        False,
        4,
        (0.5, 0.25),
        1e-3,
    )
    assert (o.covering_quota, o.attacks, o.timeout, o.h_max_init) == (None, ("sign", "l2"), 2.5, np.inf)
    run(capsys, "solve", "toy.py", "--options", "attacks=", "--options", "frame-size-init=0.5")
    assert seen["options"].attacks == () and seen["options"].frame_size_init == 0.5


def test_no_feasible_point_is_code_1(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "solve", "toy.py:impossible", "--budget", "30")
    assert code == 1 and "NO FEASIBLE POINT" in out and "violated" in out


def test_a_check_that_fails_does_not_hide_the_result(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "solve", "toy.py:unverifiable", "--budget", "10")
    assert code == 0 and "verified: not possible: OSError: no simulator here" in out


# ---------------------------------------------------------------- store, show, resume


def test_store_show_resume(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "solve", "toy.py", "--set", "limit=2", "--budget", "40", "--store", "run.dfo", "--quiet")[0] == 0
    before = Path("run.dfo").read_bytes()
    code, out, _ = run(capsys, "show", "run.dfo")
    assert code == 0 and Path("run.dfo").read_bytes() == before
    assert "toy.py:make_problem (limit=2.0): maximize, 2 variables" in out
    for word in (
        "seed 0, budget 40",
        "1 session",
        "nfev 40",
        "progress",
        "share of the gain",
        "disc",
        "certificate",
        "v1 = ",
    ):
        assert word in out
    code, out, _ = run(capsys, "resume", "run.dfo", "--budget", "70")
    assert code == 0 and "budget 70" in out and "Budget of 70 evaluations used" in out
    _, shown, _ = run(capsys, "show", "run.dfo")
    assert "budget 70" in shown and "nfev 70" in shown and "2 sessions" in shown
    whole = da.solve(_toy(limit=2.0), budget=40)
    assert f"f = {whole.fun:.10g}" in out or whole.fun < _shown_best(shown)


def _toy(**params: Any) -> da.Problem:
    return named_problems.find("toy.py").make(params)


def _shown_best(text: str) -> float:
    line = next(line for line in text.splitlines() if line.startswith("best"))
    return float(line.split()[3])


def test_the_picture_of_a_finished_run_evaluates_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    run(capsys, "solve", "toy.py", "--budget", "30", "--store", "run.dfo")
    code, out, err = run(capsys, "resume", "run.dfo", "--plot", "run.png")
    assert code == 0 and Path("run.png").read_bytes().startswith(b"\x89PNG") and "picture: run.png" in out
    assert "nfev 30" in out and "30/30" not in err


def test_a_picture_that_cannot_be_written_hides_no_result(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, result: da.Result, problem: da.Problem) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("dfoattack.plots.check_target", lambda path: None)
    monkeypatch.setattr("dfoattack.plots.save", full)
    code, out, err = run(capsys, "solve", "toy.py", "--budget", "5", "--plot", "run.png")
    assert code == 2 and "Budget of 5 evaluations used" in out and "disk full" in err


def test_show_while_the_run_goes_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts: list[str] = []

    def look(event: da.Event) -> None:
        if event.nfev >= 20 and not texts:
            texts.extend([run(capsys, "show", "run.dfo")[1], f"nfev {event.nfev}"])

    da.solve(_toy(), budget=30, store="run.dfo", callback=look)
    assert "going on, or was killed; last answer 0 s ago" in texts[0] and texts[1] in texts[0]
    assert "none yet" in texts[0]


def test_show_a_run_without_any_usable_point(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problem = da.Problem(objective=lambda y: y[:, 0] * np.nan, space=[(0, 1)], x0=[0.5], constraints=lambda y: y[:, 0])
    da.solve(problem, budget=5, store="run.dfo")
    code, out, _ = run(capsys, "show", "run.dfo")
    assert code == 0 and "no point could be evaluated (5 failed)" in out


def test_a_run_of_another_origin_needs_the_problem(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    da.solve(_toy(n=3), budget=30, store="run.dfo")
    code, _, err = run(capsys, "resume", "run.dfo")
    assert code == 2 and "does not tell which problem" in err and "--problem" in err
    code, out, _ = run(capsys, "resume", "run.dfo", "--problem", "toy.py", "--set", "n=3", "--budget", "40")
    assert code == 0 and "nfev 40" in out
    code, _, err = run(capsys, "resume", "run.dfo", "--problem", "toy.py", "--set", "n=2")
    assert code == 2 and "belongs to another run" in err


def test_a_run_is_resumed_from_another_folder(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(capsys, "solve", "toy.py", "--budget", "20", "--store", "run.dfo")
    (place / "below").mkdir()
    monkeypatch.chdir(place / "below")
    assert run(capsys, "resume", "../run.dfo", "--budget", "25")[0] == 0


# ---------------------------------------------------------------- interruptions and errors


def test_ctrl_c_prints_the_best_and_how_to_go_on(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["solve", "toy.py", "--set", "mark=go", "--budget", "60", "--store", "a run.dfo"]
    code, out, err = run(capsys, *argv)
    assert code == 130 and "Interrupted from the keyboard; best feasible f" in out
    assert err.splitlines()[-1] == "Interrupted. Go on with: dfoattack resume 'a run.dfo'"
    Path("go").touch()
    code, out, _ = run(capsys, "resume", "a run.dfo")
    assert code == 0 and "Budget of 60 evaluations used" in out
    whole = da.solve(_toy(mark="go"), budget=60)
    assert f"{whole.fun:.10g}" in out


def test_ctrl_c_without_a_store(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "solve", "toy.py", "--set", "mark=go", "--quiet")
    assert code == 130 and err == "Interrupted. Nothing was stored; give --store FILE next time, to be able to go on.\n"


def test_ctrl_c_before_the_run(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(name: str) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(named_problems, "find", interrupted)
    assert run(capsys, "solve", "toy.py") == (130, "", "\nInterrupted.\n")


def test_an_exception_of_user_code_names_its_line_and_keeps_the_best(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "solve", "toy.py:breaks", "--store", "run.dfo", "--quiet")
    line = TOY.splitlines().index('            raise KeyError("lost")  # the line that the message names') + 1
    assert code == 2 and "raised an undeclared exception" in out
    assert err.splitlines()[0] == "What was evaluated is kept: dfoattack resume run.dfo"
    assert "User code raised KeyError: 'lost' at x = " in err and err.rstrip().endswith(f"toy.py, line {line}]")
    assert "Traceback" not in err
    assert "Traceback" in run(capsys, "solve", "toy.py:breaks", "--traceback")[2]


def test_what_should_not_happen_says_where(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(named_problems, "find", lambda name: 1 / 0)
    code, _, err = run(capsys, "solve", "toy.py")
    assert code == 2 and "ZeroDivisionError" in err and "should not have happened" in err


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "required: COMMAND"),
        (["slove"], "invalid choice: 'slove'"),
        (["solve"], "required: NAME"),
        (["solve", "toy.py", "--sed", "3"], "unknown argument '--sed'. Did you mean `--seed`?"),
        (["solve", "toy.py", "--budget", "many"], "argument --budget: invalid"),
        (["solve", "toy.py", "--budget", "-1"], "`budget` must be at least 1 evaluation, got -1"),
        (["solve", "toy.py", "--seed", "-1"], "`seed` must be an integer >= 0, got -1"),
        (["solve", "toy.py", "--max-time", "0"], "`max_time` must be positive seconds or None, got 0"),
        (["solve", "tyo"], "No problem 'tyo'. Did you mean `toy`? Installed: broken, networked, toy."),
        (["solve", "broken"], "No module named 'nothing_of_this_name'"),
        (["solve", "networked"], "Problem networked needs torch. Install `dfoattack[torch]`."),
        (["solve", "toi.py"], "toi.py'. Give an installed problem"),
        (["solve", "toy.py:mak_problem"], "'toy.py' has no 'mak_problem'. Did you mean `make_problem`?"),
        (["solve", "no.such.module:f"], "'no.such.module' could not be imported: ModuleNotFoundError"),
        (["solve", "broken.py"], "could not be imported: ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        (["solve", "toy.py:number"], "must be a function that makes a Problem, or a Problem, got 3"),
        (["solve", "toy.py:no_problem"], "must give a `dfoattack.Problem`, got 3"),
        (["solve", "toy.py:refuses", "--set", "size=7"], "could not be made with size=7: LookupError: no size 7"),
        (["solve", "toy.py:needs"], "needs the parameter `size`. Give `--set size=...`."),
        (
            ["solve", "toy.py", "--set", "limt=2"],
            "has no parameter `limt`. Did you mean `limit`? Parameters: n, limit,",
        ),
        (["solve", "toy.py:finished", "--set", "n=2"], "has no parameter `n`. It has no parameters."),
        (["solve", "toy.py", "--set", "n=2.5"], "Parameter `n` of"),
        (["solve", "toy.py", "--set", "n=2.5"], "must be an integer, got '2.5'"),
        (["solve", "toy.py", "--set", "kind=ring"], "must be 'disc' or 'free', got 'ring'"),
        (["solve", "toy.py", "--set", "n"], "`--set` must be followed by key=value, got 'n'"),
        (["solve", "toy.py", "--set", "n=2", "--set", "n=3"], "`--set` must give `n` once, got '2' and '3'"),
        (["solve", "toy.py", "--options", "pol=2n"], "Unknown option `pol`. Did you mean `poll`?"),
        (["solve", "toy.py", "--options", "poll=3n"], "`poll` must be 'n+1' or '2n', got '3n'"),
        (["solve", "toy.py", "--options", "block_size=two"], "Option `block_size` must be an integer, got 'two'"),
        (["solve", "toy.py", "--options", "attacks=sing"], "Unknown attack 'sing'. Did you mean 'sign'?"),
        (["solve", "toy.py", "--store", "toy.py"], "exists. Go on with it: dfoattack resume toy.py"),
        (["solve", "toy.py", "--store", "no/run.dfo"], "must lie in an existing folder"),
        (["solve", "toy.py", "--plot", "x.gif"], "must be a file ending in .png, .pdf, .svg, got 'x.gif'"),
        (["solve", "toy.py", "--plot", "no/x.png"], "must lie in an existing folder, got 'no/x.png'"),
        (["show", "nothing.dfo"], "must name an existing run file, got 'nothing.dfo'"),
        (["show", "toy.py"], "which is no SQLite file"),
        (["resume", "toy.py"], "which is no SQLite file"),
        (["resume"], "required: FILE"),
    ],
)
def test_wrong_usage_is_one_sentence_and_code_2(
    installed: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    if "--plot" in argv:
        pytest.importorskip("matplotlib")
    code, _, err = run(capsys, *argv)
    assert code == 2 and message in err and "Traceback" not in err
    assert len(err.strip().splitlines()) == 1 and err.startswith("dfoattack")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere, and Windows is not asked"
)
def test_a_run_file_on_read_only_media_is_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "solve", "toy.py", "--budget", "10", "--store", "run.dfo")
    shutil.copytree(place, place / "media")
    (place / "media").chmod(0o555)
    try:
        assert run(capsys, "show", "media/run.dfo")[0] == 0
    finally:
        (place / "media").chmod(0o755)


# ---------------------------------------------------------------- values from text


@pytest.mark.parametrize(
    ("text", "annotation", "default", "value"),
    [
        ("3", int, 0, 3),
        ("-3", int | None, None, -3),
        ("none", int | None, 4, None),
        ("1e-3", float, 0.0, 1e-3),
        ("3", float, 0.0, 3.0),
        ("inf", float, 0.0, np.inf),
        ("yes", bool, False, True),
        ("False", bool, True, False),
        ("off", bool, True, False),
        ("3", str, "", "3"),
        ("none", str | None, "", None),
        ("3", str | int, "", 3),
        ("b", Literal["a", "b"], "a", "b"),
        ("30", Literal[10, 30], 10, 30),
        ("1, 2", tuple[int, ...], (), (1, 2)),
        ("1,x", list[str], [], ["1", "x"]),
        ("", tuple[int, ...], (1,), ()),
        ("0.5,2", float | tuple[float, ...] | None, None, (0.5, 2.0)),
        ("7", Any, 3, 7),
        ("7", Any, None, 7),
        ("7.5", Any, None, 7.5),
        ("true", Any, None, True),
        ("word", Any, None, "word"),
    ],
)
def test_values_from_text(text: str, annotation: Any, default: Any, value: Any) -> None:
    found = parse_value(text, annotation, default, "It")
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "annotation", "rule"),
    [
        ("x", int, "an integer"),
        ("nan", float, "a number"),
        ("maybe", bool, "true or false"),
        ("c", Literal["a", "b"], "'a' or 'b'"),
        ("x", int | None, "an integer or none"),
        ("1,x", tuple[int, ...], "values separated by commas"),
        ("x", dict, "a dict (which cannot be given as text)"),
    ],
)
def test_values_that_are_none(text: str, annotation: Any, rule: str) -> None:
    with pytest.raises(da.OptionError) as caught:
        parse_value(text, annotation, 0, "It")
    assert str(caught.value) == f"It must be {rule}, got {text!r}."


# ---------------------------------------------------------------- another process


def test_as_a_process_without_torch_and_matplotlib(place: Path) -> None:
    code = (
        "import sys\nfrom dfoattack.cli import main\n"
        "code = main(['solve', 'toy.py', '--budget', '20', '--store', 'run.dfo'])\n"
        "code = code or main(['show', 'run.dfo'])\n"
        "print('heavy:', [name for name in ('torch', 'matplotlib') if name in sys.modules])\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert "heavy: []" in done.stdout and "nfev 20" in done.stdout
    help_text = subprocess.run(
        [sys.executable, "-m", "dfoattack", "--help"], capture_output=True, text=True, timeout=120, check=True
    ).stdout
    assert "exit codes" in help_text
