"""Problems by name, with parameters given as text: what the command line needs to get from words to a `Problem`."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import math
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Union

from dfoattack import registry
from dfoattack._validation import shown, suggestion
from dfoattack.errors import DfoattackError, MissingExtraError, OptionError
from dfoattack.problem import Problem

__all__ = ["NamedProblem", "find", "pairs", "parse_value", "type_text"]

_DEFAULT_ATTRIBUTE = "make_problem"
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_ABSENT = inspect.Parameter.empty


@dataclass(frozen=True)
class NamedProblem:
    """What a name stands for: a function that makes the problem, or the problem itself.

    Attributes
    ----------
    name : str          as it can be found again from any folder
    target : object     callable (**params) -> Problem, or a Problem
    """

    name: str
    target: Any

    @property
    def parameters(self) -> dict[str, inspect.Parameter]:
        """Parameters that can be given by name."""
        if isinstance(self.target, Problem):
            return {}
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return {name: p for name, p in inspect.signature(self.target).parameters.items() if p.kind in kinds}

    @property
    def hints(self) -> dict[str, Any]:
        """Annotations of the parameters, evaluated; empty where they name what is not there at run time."""
        if isinstance(self.target, Problem):
            return {}
        try:
            return typing.get_type_hints(self.target)
        except (NameError, TypeError, AttributeError):
            return {}

    def typed(self, texts: Mapping[str, str]) -> dict[str, Any]:
        """Values of parameters given as text, by the annotations of the function.

        Raises
        ------
        OptionError     an unknown name (the nearest is proposed), or a text that is no such value
        """
        parameters = self.parameters
        self._check_names(texts, parameters)
        hints = self.hints
        return {
            name: parse_value(
                text, hints.get(name, _ABSENT), parameters[name].default, f"Parameter `{name}` of {self.name}"
            )
            for name, text in texts.items()
        }

    def make(self, params: Mapping[str, Any]) -> Problem:
        """The problem for these parameter values.

        Raises
        ------
        OptionError         unknown or missing parameters, or the function gave no Problem, or raised
        DfoattackError      what the function raised of this kind, unchanged
        """
        if isinstance(self.target, Problem):
            self._check_names(params, {})
            return self.target
        parameters = self.parameters
        self._check_names(params, parameters)
        for name, parameter in parameters.items():
            if parameter.default is _ABSENT and name not in params:
                raise OptionError(f"Problem {self.name} needs the parameter `{name}`. Give `--set {name}=...`.")
        try:
            problem = self.target(**params)
        except DfoattackError:
            raise
        except Exception as error:
            given = ", ".join(f"{key}={value!r}" for key, value in params.items()) or "its default parameters"
            raise OptionError(
                f"Problem {self.name} could not be made with {given}: {type(error).__name__}: {error}"
            ) from error
        if not isinstance(problem, Problem):
            raise OptionError(f"{self.name} must give a `dfoattack.Problem`, got {shown(problem)}.")
        return problem

    def _check_names(self, given: Iterable[str], known: Mapping[str, Any]) -> None:
        for name in given:
            if name not in known:
                listed = f"Parameters: {', '.join(known)}." if known else "It has no parameters."
                raise OptionError(f"Problem {self.name} has no parameter `{name}`.{suggestion(name, known)} {listed}")


def find(name: str) -> NamedProblem:
    """What `name` stands for: an installed problem, "module.py:function", or "package.module:function".

    The function may be left out after a file (it is `make_problem` then), and may be a Problem.

    Raises
    ------
    OptionError             no such name, file or attribute; what lies there cannot be imported
    MissingExtraError       an installed problem needs torch
    """
    head, colon, attribute = name.partition(":")
    if len(head) == 1 and colon and attribute[:1] in ("\\", "/"):  # a drive letter
        second, colon, attribute = attribute.partition(":")
        head = f"{head}:{second}"
    if head.endswith(".py"):
        path = Path(head).resolve()
        module = _module_of_file(path)
        name = f"{path}:{attribute or _DEFAULT_ATTRIBUTE}"
    elif colon:
        module = _module(head)
    else:
        return NamedProblem(name, _installed(name))
    target = _attribute(module, attribute or _DEFAULT_ATTRIBUTE, head)
    if not callable(target) and not isinstance(target, Problem):
        raise OptionError(f"{name} must be a function that makes a Problem, or a Problem, got {shown(target)}.")
    return NamedProblem(name, target)


def pairs(entries: Iterable[str], flag: str) -> dict[str, str]:
    """Texts "key=value" as a dict. Raises `OptionError` for one without "=" and for a key given twice."""
    out: dict[str, str] = {}
    for entry in entries:
        key, equals, value = entry.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            raise OptionError(f"`{flag}` must be followed by key=value, got {entry!r}.")
        if key in out:
            raise OptionError(f"`{flag}` must give `{key}` once, got {out[key]!r} and {value!r}.")
        out[key] = value.strip()
    return out


# ---------------------------------------------------------------- values


def parse_value(text: str, annotation: Any, default: Any, what: str) -> Any:
    """A value from its text.

    Parameters
    ----------
    text : str
    annotation : type           int, float, bool, str, None, Literal, tuple, list, and unions of these; none or Any:
                                by the type of `default`, and if that says nothing, a number if it looks like one
    default : object
    what : str                  for messages, "Parameter `n` of pump"

    Raises
    ------
    OptionError
    """
    if annotation in (_ABSENT, Any):
        known = default is not _ABSENT and default is not None
        annotation = type(default) if known else Union[bool, int, float, str]  # noqa: UP007  # a value, not a hint
    for candidate in _alternatives(annotation):
        try:
            return _as_type(text, candidate)
        except ValueError:
            continue
    raise OptionError(f"{what} must be {type_text(annotation)}, got {text!r}.")


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """Members of a union, str last: every text is one."""
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return tuple(sorted(typing.get_args(annotation), key=lambda member: member is str))
    return (annotation,)


def _as_type(text: str, kind: Any) -> Any:
    """`text` as `kind`; ValueError if it is none."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is type(None):
        if text.lower() == "none":
            return None
    elif kind is bool:
        if text.lower() in (*_TRUE, *_FALSE):
            return text.lower() in _TRUE
    elif kind is int:
        return int(text)
    elif kind is float:
        if not math.isnan(float(text)):
            return float(text)
    elif kind is str:
        return text
    elif origin is Literal:
        for value in arguments:
            if str(value) == text:
                return value
    elif kind in (tuple, list) or origin in (tuple, list):
        element = arguments[0] if arguments else Any
        entries = [part.strip() for part in text.split(",") if part.strip()]
        values = [parse_value(part, element, _ABSENT, "An entry") for part in entries]
        return tuple(values) if tuple in (kind, origin) else values
    raise ValueError(text)


def type_text(annotation: Any) -> str:
    """What a value of this type looks like, in words."""
    words = []
    for kind in _alternatives(annotation):
        if typing.get_origin(kind) is Literal:
            words += [repr(value) for value in typing.get_args(kind)]
        elif kind in (tuple, list) or typing.get_origin(kind) in (tuple, list):
            words.append("values separated by commas")
        else:
            names = {bool: "true or false", int: "an integer", float: "a number", str: "a text", type(None): "none"}
            words.append(names.get(kind, f"a {getattr(kind, '__name__', kind)} (which cannot be given as text)"))
    return " or ".join(words)


# ---------------------------------------------------------------- where problems live


def _installed(name: str) -> Any:
    known = registry.names(registry.PROBLEMS)
    if name not in known:
        raise OptionError(
            f"No problem {name!r}.{suggestion(name, known)} Installed: {', '.join(known) or 'none'}. "
            "Your own: `file.py:function`."
        )
    try:
        return registry.load(registry.PROBLEMS, name)
    except OptionError as error:
        cause = error.__cause__
        if isinstance(cause, ModuleNotFoundError) and cause.name == "torch":
            raise MissingExtraError(f"Problem {name} needs torch. Install `dfoattack[torch]`.") from error
        raise


def _module_of_file(path: Path) -> types.ModuleType:
    if not path.is_file():
        raise OptionError(f"No file {str(path)!r}. Give an installed problem (`dfoattack list`) or `file.py:function`.")
    module_name = path.stem
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise OptionError(f"{str(path)!r} cannot be imported as a Python module.")
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # as if the file were run as a script: it may import its neighbours
    module = importlib.util.module_from_spec(spec)
    return _imported(str(path), lambda: _executed(spec, module))


def _executed(spec: Any, module: types.ModuleType) -> types.ModuleType:
    sys.modules.setdefault(module.__name__, module)  # dataclasses and pickle look their module up
    try:
        spec.loader.exec_module(module)
    except BaseException:
        if sys.modules.get(module.__name__) is module:
            del sys.modules[module.__name__]
        raise
    return module


def _module(dotted: str) -> types.ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    return _imported(dotted, lambda: importlib.import_module(dotted))


def _imported(name: str, load: Callable[[], types.ModuleType]) -> types.ModuleType:
    try:
        return load()
    except Exception as error:
        raise OptionError(f"{name!r} could not be imported: {type(error).__name__}: {error}") from error


def _attribute(module: types.ModuleType, dotted: str, where: str) -> Any:
    found: Any = module
    for part in dotted.split("."):
        if not hasattr(found, part):
            public = [key for key, value in vars(module).items() if not key.startswith("_") and callable(value)]
            raise OptionError(f"{where!r} has no {dotted!r}.{suggestion(dotted, public)}")
        found = getattr(found, part)
    return found
