"""The command line: `dfoattack list | solve | resume | show | study | analyse`."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
import sys
import traceback
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from dfoattack import __version__, registry
from dfoattack._validation import suggestion
from dfoattack.errors import DfoattackError, EvaluationError, OptionError

__all__ = ["main"]

FOUND, NOT_FEASIBLE, WRONG, INTERRUPTED = 0, 1, 2, 130
POINTS_A_VARIABLE = 200
_DEFAULT = object()  # "not given", where None has a meaning

_TOP = """\
examples:
  dfoattack list                                   installed problems
  dfoattack solve biodiesel                        solve one, with a live line and a summary
  dfoattack solve airfoil --budget 1000 --store run.dfo --plot airfoil.png
  dfoattack show run.dfo                           what the run has done so far, also while it goes on
  dfoattack resume run.dfo --budget 3000           go on after Ctrl-C, a crash, or with a larger budget
  dfoattack study                                  installed studies: comparisons with tables and pictures
  dfoattack analyse biodiesel --plot attacks.png   which attack operators improve which points, at which radius

exit codes: 0 feasible point found, 1 no feasible point, 2 wrong usage or an error, 130 interrupted (Ctrl-C)
"""
_LIST = """\
examples:
  dfoattack list               every installed problem in one line
  dfoattack list airfoil       what one of them is, and the parameters that `solve --set` takes
"""
_SOLVE = """\
NAME is an installed problem (`dfoattack list`), or your own:
  pump.py                      the function `make_problem` in that file
  pump.py:make_small           another function there (or a finished `dfoattack.Problem`)
  mypackage.pumps:make_problem

examples:
  dfoattack solve biodiesel --seed 3 --budget 200 --plot biodiesel.png
  dfoattack solve airfoil --set goal=ld --set size=medium --store run.dfo
  dfoattack solve pump.py --options poll=2n --options attacks=sign,l2 --max-time 600

With --store every evaluation is on disk before the next one begins: `dfoattack resume run.dfo` goes on after Ctrl-C
or a crash and repeats none of them.

exit codes: 0 feasible point found, 1 no feasible point, 2 wrong usage or an error, 130 interrupted (Ctrl-C)
"""
_RESUME = """\
examples:
  dfoattack resume run.dfo                     go on to the end of the run
  dfoattack resume run.dfo --budget 2000       then on to a larger budget
  dfoattack resume run.dfo --plot run.png      of a finished run: nothing is evaluated, the picture is drawn
"""
_SHOW = """\
examples:
  dfoattack show run.dfo                       progress, steps, constraints, certificate
  watch -n 5 dfoattack show run.dfo            follow a run that is going on
"""
_ANALYSE = """\
Points are drawn uniformly in the box, and taken from the way of one run. From each of them every installed attack
operator is asked for proposals at every radius, the proposals are evaluated, and it is counted how often the best of
them improves the point: an infeasible point by less violation, a feasible one by a better feasible value. The tables
show the share by radius, by how good the point is already (worst, middle and best third), and what an attack costs.
Points on a constraint are shown apart: plain descent steps leave the feasible set there.

Gradients are those of the network. Where there are none they can be estimated: --gradient-source forward (differences),
spsa, nes, subspace.

examples:
  dfoattack analyse biodiesel                                      every operator; a minute or two
  dfoattack analyse biodiesel --plot attacks.png                   with the picture
  dfoattack analyse airfoil --operators sign,l2,pgd --points 20    three operators, fewer points
  dfoattack analyse pump.py --radii 1e-4,1e-2 --gradient-source forward

exit codes: 0 done, 2 wrong usage or an error, 130 interrupted (Ctrl-C)
"""
_STUDY = """\
A study runs a comparison or an experiment that a plug-in brings along, and writes tables and pictures into a folder.
Stopped, it goes on where it was when it is called again with the same folder.

examples:
  dfoattack study                              every installed study in one line
  dfoattack study biodiesel                    into the folder study-biodiesel
  dfoattack study biodiesel --quick --seeds 1 --out look      a first look
"""


class _Parser(argparse.ArgumentParser):
    """Errors are one sentence and where to read on."""

    def error(self, message: str) -> NoReturn:
        stop = "" if message.endswith((".", "?")) else "."
        self.exit(WRONG, f"{self.prog}: {message}{stop} See `{self.prog} --help`.\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional        without the program's name; None: those of the process

    Returns
    -------
    int     0 a feasible point was found (or none was looked for), 1 none was, 2 wrong usage or an error, 130 Ctrl-C
    """
    try:
        arguments, unknown = _parser().parse_known_args(argv)
        if unknown:
            flags = [flag for action in arguments.parser._actions for flag in action.option_strings]
            arguments.parser.error(f"unknown argument {unknown[0]!r}.{suggestion(unknown[0], flags)}")
    except SystemExit as stop:  # argparse has printed the help, or what is wrong
        return int(stop.code or 0)
    try:
        code: int = arguments.command(arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader has seen enough: `dfoattack show run.dfo | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FOUND
    except DfoattackError as error:
        if arguments.traceback:
            traceback.print_exc()
        print(f"dfoattack: {_sentence(error)}", file=sys.stderr)
        return WRONG
    except Exception:  # nobody's input: where it comes from is all that helps
        traceback.print_exc()
        print("dfoattack: this should not have happened. A run file, if there is one, can be resumed.", file=sys.stderr)
        return WRONG


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="dfoattack",
        description="Optimise over trained networks, and without them: constrained, derivative-free, resumable.",
        epilog=_TOP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"dfoattack {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Any, help_text: str, epilog: str) -> argparse.ArgumentParser:
        sub: argparse.ArgumentParser = commands.add_parser(
            name,
            help=help_text,
            description=help_text[0].upper() + help_text[1:] + ".",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.set_defaults(command=run, parser=sub)
        sub.add_argument("--traceback", action="store_true", help="show where an error comes from")
        return sub

    sub = command("list", _list, "list the installed problems, or describe one", _LIST)
    sub.add_argument("name", nargs="?", metavar="NAME", help="describe this one, with its parameters")

    sub = command("solve", _solve, "solve a problem", _SOLVE)
    sub.add_argument(
        "name", metavar="NAME", help="an installed problem, or file.py:function, or package.module:function"
    )
    sub.add_argument(
        "--budget",
        type=_budget,
        default=_DEFAULT,
        metavar="N",
        help=f"evaluations, gradients charged; default {POINTS_A_VARIABLE} (n + 1); none: until the run has converged",
    )
    sub.add_argument("--seed", type=int, default=0, metavar="S", help="of the random generator, default 0")
    sub.add_argument(
        "--starts", type=int, metavar="N", help="start points that descend in lockstep first; needs gradients"
    )
    _add_set(sub)
    sub.add_argument(
        "--options", action="append", default=[], metavar="KEY=VALUE", help="an option of the solver; may be repeated"
    )
    sub.add_argument("--store", type=Path, metavar="FILE", help="write a run file: `resume` and `show` read it")
    sub.add_argument("--target", type=float, metavar="F", help="stop at a feasible value at least this good")
    _add_common(sub)

    sub = command("resume", _resume, "go on with a stored run", _RESUME)
    sub.add_argument("file", type=Path, metavar="FILE", help="the run file")
    sub.add_argument("--budget", type=float, metavar="N", help="a larger budget than the stored one")
    sub.add_argument("--problem", metavar="NAME", help="where the problem is now, if it is not where it was")
    _add_set(sub)
    _add_common(sub)

    _add_analyse(command("analyse", _analyse, "count which attacks improve which points", _ANALYSE))

    sub = command("study", _study, "run an installed study, or list them", _STUDY)
    sub.add_argument("name", nargs="?", metavar="NAME", help="which; none: list them")
    sub.add_argument("--out", type=Path, metavar="FOLDER", help="where to write, default study-NAME; made if missing")
    sub.add_argument("--seeds", type=int, default=5, metavar="N", help="repetitions, seeds 0 to N - 1; default 5")
    sub.add_argument("--quick", action="store_true", help="a minute's worth, to see that it works")
    sub.add_argument("--quiet", action="store_true", help="no live line")

    sub = command("show", _show, "show what a run file holds", _SHOW)
    sub.add_argument("file", type=Path, metavar="FILE", help="the run file; it is not changed")
    return parser


def _add_analyse(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("name", metavar="NAME", help="a problem, as for `solve`")
    sub.add_argument(
        "--points", type=int, default=40, metavar="N", help="uniform points, and at most as many of the run; default 40"
    )
    sub.add_argument("--operators", metavar="A,B,...", help="attack operators by name; default: all that are installed")
    sub.add_argument("--radii", metavar="R,S,...", help="shares of the box, in (0, 1]; default 1e-6 to 1e-1")
    sub.add_argument("--budget", type=float, metavar="N", help="of the run whose points are taken; default 100 (n + 1)")
    sub.add_argument("--seed", type=int, default=0, metavar="S", help="of points, run and operators, default 0")
    sub.add_argument(
        "--gradient-source", default="auto", metavar="SOURCE", help="where gradients come from; default: exact ones"
    )
    _add_set(sub)
    sub.add_argument("--plot", type=Path, metavar="FILE.png", help="write the picture (.png, .pdf, .svg)")
    sub.add_argument("--quiet", action="store_true", help="no live line, only the tables")


def _add_set(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a parameter of the problem; may be repeated"
    )


def _add_common(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--max-time", type=float, metavar="SECONDS", help="stop after this time, all sessions together")
    sub.add_argument("--plot", type=Path, metavar="FILE.png", help="write a picture of the run (.png, .pdf, .svg)")
    sub.add_argument("--quiet", action="store_true", help="no live line and no headline, only the result")


def _budget(text: str) -> float | None:
    return None if text.lower() == "none" else float(text)


# ---------------------------------------------------------------- commands


def _list(arguments: argparse.Namespace) -> int:
    from dfoattack.named_problems import find
    from dfoattack.reports import described, table

    if arguments.name is not None:
        print(described(find(arguments.name)))
        return FOUND
    rows = []
    for name in registry.names(registry.PROBLEMS):
        try:
            target = find(name).target
            text = (getattr(target, "__doc__", None) or "").strip().partition("\n")[0].removeprefix("Return ")
        except DfoattackError as error:  # a broken plug-in is named, and hides nothing else
            text = f"cannot be loaded: {error}"
        rows.append((name, text))
    print(table(("problem", ""), rows, left=2) if rows else "No problems are installed.")
    print("\nOne of them in detail: dfoattack list NAME. Your own: dfoattack solve file.py:function")
    return FOUND


def _solve(arguments: argparse.Namespace) -> int:
    from dfoattack.api import solve
    from dfoattack.gradient_sources.choice import chosen
    from dfoattack.named_problems import find, pairs
    from dfoattack.options import Options
    from dfoattack.source_names import described

    named = find(arguments.name)
    params = named.typed(pairs(arguments.set, "--set"))
    options = Options.make(_options(pairs(arguments.options, "--options")))
    _check_plot(arguments.plot)
    if arguments.store is not None and arguments.store.exists():
        file = shlex.quote(str(arguments.store))
        raise OptionError(f"`--store` must name a new file, but {file} exists. Go on with it: dfoattack resume {file}")
    problem = named.make(params)
    budget = POINTS_A_VARIABLE * (problem.n + 1) if arguments.budget is _DEFAULT else arguments.budget
    if not arguments.quiet:
        gradients = described(chosen(options, problem, True), problem.softened)
        _headline(named.name, params, problem, gradients, budget, arguments.seed)
    result = _guarded(
        lambda: solve(
            problem,
            budget=budget,
            seed=arguments.seed,
            starts=arguments.starts,
            options=options,
            f_target=arguments.target,
            max_time=arguments.max_time,
            store=arguments.store,
            progress=not arguments.quiet,
            meta={"problem": named.name, "params": params},
        ),
        problem,
        arguments.store,
    )
    return _finish(result, problem, arguments.store, arguments.plot)


def _resume(arguments: argparse.Namespace) -> int:
    from dfoattack.api import resume
    from dfoattack.named_problems import find, pairs
    from dfoattack.run_record import RunRecord

    _check_plot(arguments.plot)
    meta = RunRecord.read(arguments.file).meta
    user = meta.get("user") or {}
    name = arguments.problem or user.get("problem")
    if name is None:
        raise OptionError(
            f"{str(arguments.file)!r} does not tell which problem it belongs to, because it was not written by "
            "`dfoattack solve`. Name it with `--problem file.py:function`, or use `dfoattack.resume` in Python."
        )
    named = find(name)
    params = {**(user.get("params") or {}), **named.typed(pairs(arguments.set, "--set"))}
    problem = named.make(params)
    if not arguments.quiet:
        stored = (meta.get("extensions") or [meta.get("budget")])[-1]
        _headline(named.name, params, problem, meta["gradients"], arguments.budget or stored, meta.get("seed"))
    result = _guarded(
        lambda: resume(
            arguments.file,
            problem,
            budget=arguments.budget,
            max_time=arguments.max_time,
            progress=not arguments.quiet,
        ),
        problem,
        arguments.file,
    )
    return _finish(result, problem, arguments.file, arguments.plot)


def _show(arguments: argparse.Namespace) -> int:
    from dfoattack.reports import run_file_text

    print(run_file_text(arguments.file))
    return FOUND


def _study(arguments: argparse.Namespace) -> int:
    from dfoattack.studies import StudyLine, find

    if arguments.name is None:
        print(_described_studies())
        return FOUND
    if arguments.seeds < 1:
        raise OptionError(f"`--seeds` must be at least 1, got {arguments.seeds}.")
    run = find(arguments.name)
    out = arguments.out or Path(f"study-{arguments.name}")
    if out.exists() and not out.is_dir():
        raise OptionError(f"`--out` must be a folder, but {shlex.quote(str(out))} is a file.")
    out.mkdir(parents=True, exist_ok=True)
    line = StudyLine()
    try:
        run(out, quick=arguments.quick, seeds=arguments.seeds, progress=_nothing if arguments.quiet else line)
    except KeyboardInterrupt:
        line.close()
        print(f"Interrupted. What is done is kept in {out}; call again to go on.", file=sys.stderr)
        return INTERRUPTED
    line.close()
    print(f"Written to {out}")
    return FOUND


def _analyse(arguments: argparse.Namespace) -> int:
    from dfoattack.analysis import RADII, analyse, draw
    from dfoattack.analysis.text import rates_text
    from dfoattack.named_problems import find, pairs
    from dfoattack.studies import StudyLine

    _check_plot(arguments.plot)
    named = find(arguments.name)
    radii = RADII if arguments.radii is None else _numbers(arguments.radii, "--radii")
    problem = named.make(named.typed(pairs(arguments.set, "--set")))
    points = draw(problem, arguments.points, budget=arguments.budget, seed=arguments.seed)
    line = StudyLine()
    try:
        rates = analyse(
            problem,
            points,
            operators=None if arguments.operators is None else _names(arguments.operators),
            radii=radii,
            gradient_source=arguments.gradient_source,
            seed=arguments.seed,
            progress=_nothing if arguments.quiet else line,
        )
    finally:
        line.close()
    if arguments.plot is not None:
        from dfoattack.analysis.picture import save

        save(arguments.plot, rates, named.name)
    print(f"{named.name}, seed {arguments.seed}\n\n{rates_text(rates)}")
    if arguments.plot is not None:
        print(f"\npicture: {arguments.plot}")
    return FOUND


# ---------------------------------------------------------------- parts


def _numbers(text: str, flag: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in _names(text))
    except ValueError:
        raise OptionError(f"`{flag}` must be numbers separated by commas, got {text!r}.") from None


def _nothing(done: int, total: int, text: str) -> None:
    """The progress of a quiet study."""


def _described_studies() -> str:
    from dfoattack.reports import table
    from dfoattack.studies import find

    rows = []
    for name in registry.names(registry.STUDIES):
        try:
            text = (getattr(find(name), "__doc__", None) or "").strip().partition("\n")[0]
        except DfoattackError as error:  # a broken plug-in is named, and hides nothing else
            text = f"cannot be loaded: {error}"
        rows.append((name, text))
    return table(("study", ""), rows, left=2) if rows else "No studies are installed."


def _options(texts: dict[str, str]) -> dict[str, Any]:
    """Solver options from text, typed by the fields of `Options`; unknown names are left for its own error."""
    from dfoattack.named_problems import parse_value
    from dfoattack.options import Options

    hints = typing.get_type_hints(Options)
    defaults = {field.name: field.default for field in dataclasses.fields(Options)}
    Options.make({key: defaults[key] if key in defaults else text for key, text in texts.items()})
    return {
        key: parse_value(text, hints[key], defaults[key], f"Option `{key}`") if key != "attacks" else _names(text)
        for key, text in texts.items()
    }


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.strip("()").split(",") if part.strip())


def _check_plot(path: Path | None) -> None:
    if path is not None:
        from dfoattack.plots import check_target

        check_target(path)


def _headline(name: str, params: dict[str, Any], problem: Any, gradients: str, budget: float | None, seed: Any) -> None:
    given = f" ({', '.join(f'{key}={value}' for key, value in params.items())})" if params else ""
    gradients = "no gradients" if gradients == "none" else f"gradients: {gradients}"
    limit = "no budget" if budget is None else f"budget {budget:g}"
    count = len(problem.constraints)
    constraints = f"{count or 'no'} constraint{'' if count == 1 else 's'}"
    print(
        f"{name}{given}: {problem.sense}, {_variables(problem.space)}, {constraints}, {gradients}; {limit}, seed {seed}",
        flush=True,
    )


def _variables(space: Any) -> str:
    """'5 variables (1 integer, 1 periodic)'."""
    granular = int((space.granularity > 0.0).sum()) - len(space.categories)
    kinds = (
        (granular, "granular"),
        (int((space.period > 0.0).sum()), "periodic"),
        (len(space.categories), "categorical"),
        (int(space.fixed_mask.sum()), "fixed"),
    )
    shown = ", ".join(f"{count} {kind}" for count, kind in kinds if count)
    return f"{space.n} variables{f' ({shown})' if shown else ''}"


def _guarded(run: Any, problem: Any, store: Path | None) -> Any:
    """The result of a run; where the user's code has ended it, the best so far is printed before the error."""
    try:
        return run()
    except EvaluationError as error:
        if error.result is not None and error.result.best_index >= 0:
            from dfoattack.reports import result_text

            print(result_text(error.result, problem))
        if store is not None:
            print(f"What was evaluated is kept: dfoattack resume {shlex.quote(str(store))}", file=sys.stderr)
        raise


def _finish(result: Any, problem: Any, store: Path | None, plot: Path | None) -> int:
    """Draw the picture, print the result, and choose the exit code."""
    from dfoattack.reasons import StopReason
    from dfoattack.reports import result_text

    interrupted = result.reason is StopReason.INTERRUPTED
    try:
        if plot is not None:
            from dfoattack.plots import save

            save(plot, result, problem)
    finally:  # whatever becomes of the picture, the run is paid for; the text last, for its reader may have left
        print(result_text(result, problem))
    if plot is not None:
        print(f"\npicture: {plot}")
    if interrupted:
        cure = (
            "Nothing was stored; give --store FILE next time, to be able to go on."
            if store is None
            else f"Go on with: dfoattack resume {shlex.quote(str(store))}"
        )
        print(f"Interrupted. {cure}", file=sys.stderr)
        return INTERRUPTED
    return FOUND if result.feasible else NOT_FEASIBLE


def _sentence(error: BaseException) -> str:
    """The message, with the place in the user's code where it knows one."""
    cause = error.__cause__
    if cause is None or not isinstance(error, (EvaluationError, OptionError)):
        return str(error)
    frames = traceback.extract_tb(cause.__traceback__)
    own = os.path.dirname(os.path.abspath(__file__))
    outside = [frame for frame in frames if not os.path.abspath(frame.filename).startswith(own)]
    if not outside or outside[-1].filename.startswith("<"):
        return str(error)
    return f"{error} [{outside[-1].filename}, line {outside[-1].lineno}]"
