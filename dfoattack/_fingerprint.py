"""Fingerprints: short texts that are equal for the same definition, in every process, and differ when it changes.

A function is its bytecode, its constants, its defaults and the values it closes over or reads from its module. What a
function *writes* (a call counter, a log) is state, not definition, and is left out: otherwise a run could not be
resumed after the first call. Bytecode depends on the Python version, so fingerprints of functions are compared within
one version only.
"""

from __future__ import annotations

import dis
import functools
import hashlib
import importlib
import re
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

__all__ = ["fingerprint_of", "is_torch_module", "mentions_torch", "written_by"]

_WRITES = ("STORE_DEREF", "STORE_GLOBAL", "STORE_ATTR")
_MUTATORS = frozenset("append appendleft add extend insert pop popleft remove update setdefault clear put".split())
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_ATOMS = (type(None), bool, int, float, complex, str, bytes, np.dtype, range, type(Ellipsis))
_MAX_DEPTH = 12


def fingerprint_of(obj: Any) -> str:
    """Return a hex digest (32 digits) of what `obj` computes or holds.

    An object with a `fingerprint()` method speaks for itself; arrays, numbers and texts are hashed by value; functions
    as the module docstring says; torch modules and tensors by their state; other objects by the code of their class and
    their attributes.
    """
    digest = hashlib.sha256()
    for part in _parts(obj, _MAX_DEPTH, {}, frozenset(), False):
        digest.update(len(part).to_bytes(8, "little"))  # lengths keep ("ab", "c") and ("a", "bc") apart
        digest.update(part)
    return digest.hexdigest()[:32]


def mentions_torch(obj: Any) -> bool:
    """True iff the code of `obj` names torch, or holds a torch object.

    Static: nothing is called, so the answer is the same in a resumed run.
    """
    return any(part == b"torch" for part in _parts(obj, _MAX_DEPTH, {}, frozenset(), False))


def _parts(
    obj: Any, depth: int, seen: dict[int, Any], written: frozenset[str], mutating: bool
) -> Iterator[bytes | memoryview]:
    """Yield byte strings that identify `obj`; `written`, `mutating`: what its holder changes (`written_by`)."""
    if isinstance(obj, np.generic):  # not repr, which differs between NumPy versions
        obj = obj.item()
    if isinstance(obj, _ATOMS):
        yield f"{type(obj).__name__}:{obj!r}".encode()
        return
    if isinstance(obj, np.ndarray):
        yield f"array:{obj.dtype.str}:{obj.shape}".encode()
        if obj.dtype == object:
            yield _ADDRESS.sub("", repr(obj.tolist())).encode()
        else:  # a view of contiguous data: training sets may be large
            yield np.ascontiguousarray(obj).reshape(-1).view(np.uint8).data
        return
    if depth == 0 or id(obj) in seen:
        yield b"again"
        return
    seen[id(obj)] = obj  # kept alive, so that its id is not given to another object meanwhile
    if isinstance(obj, types.ModuleType):
        yield b"module"
        yield obj.__name__.partition(".")[0].encode() if obj.__name__.startswith("torch") else obj.__name__.encode()
    elif isinstance(obj, (list, tuple, dict, set, frozenset, Mapping)):
        yield from _container_parts(obj, depth, seen, written, mutating)
    elif isinstance(obj, types.CodeType):
        yield from _code_parts(obj, depth, seen)
    elif isinstance(obj, type):
        yield f"class:{obj.__module__}.{obj.__qualname__}".encode()
    elif (type(obj).__module__ or "").partition(".")[0] == "torch" or is_torch_module(obj):
        yield b"torch"
        yield importlib.import_module("dfoattack.torch_backend").fingerprint(obj).encode()
    elif (type(obj).__module__ or "").partition(".")[0] == "jaxlib" and hasattr(obj, "__array__"):
        yield from _parts(np.asarray(obj), depth, seen, written, mutating)
    elif callable(getattr(obj, "fingerprint", None)):
        yield str(obj.fingerprint()).encode()
    else:
        yield from _callable_parts(obj, depth, seen)


def _container_parts(
    obj: Any, depth: int, seen: dict[int, Any], written: frozenset[str], mutating: bool
) -> Iterator[bytes | memoryview]:
    yield type(obj).__name__.encode()
    if mutating and isinstance(obj, (list, dict, set)):
        return  # a log that the function fills
    if isinstance(obj, (set, frozenset)):
        # iteration order of sets depends on the hash seed of the process
        yield "".join(sorted(fingerprint_of(entry) for entry in obj)).encode()
        return
    entries = [entry for pair in obj.items() for entry in pair] if isinstance(obj, Mapping) else obj
    yield str(len(entries)).encode()
    for entry in entries:
        yield from _parts(entry, depth - 1, seen, written, mutating)


def _callable_parts(obj: Any, depth: int, seen: dict[int, Any]) -> Iterator[bytes | memoryview]:
    if (type(obj).__module__ or "").partition(".")[0] == "jaxlib" and hasattr(obj, "__wrapped__"):
        yield from _parts(obj.__wrapped__, depth, seen, frozenset(), False)  # what jax.jit compiles
    elif isinstance(obj, types.MethodType):
        yield b"method"
        yield from _parts(obj.__func__, depth, seen, frozenset(), False)
        yield from _parts(obj.__self__, depth - 1, seen, frozenset(), False)
    elif isinstance(obj, functools.partial):
        yield b"partial"
        for part in (obj.func, obj.args, obj.keywords):
            yield from _parts(part, depth - 1, seen, frozenset(), False)
    elif isinstance(obj, types.FunctionType):
        yield from _function_parts(obj, depth, seen)
    elif isinstance(obj, (types.BuiltinFunctionType, np.ufunc)):
        name = f"{getattr(obj, '__module__', '')}.{getattr(obj, '__qualname__', obj.__name__)}"
        yield b"torch" if name.startswith("torch") else b"builtin"
        yield name.encode()
    else:
        yield from _instance_parts(obj, depth, seen)


def _function_parts(fn: types.FunctionType, depth: int, seen: dict[int, Any]) -> Iterator[bytes | memoryview]:
    written, mutating = written_by(fn.__code__)
    yield b"function"
    yield from _code_parts(fn.__code__, depth, seen)
    yield from _parts(fn.__defaults__, depth - 1, seen, frozenset(), False)
    yield from _parts(fn.__kwdefaults__, depth - 1, seen, frozenset(), False)
    outside: dict[str, Any] = {}
    for name, cell in zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=True):
        try:
            outside[name] = cell.cell_contents
        except ValueError:  # a name that is assigned later, such as a function that calls itself
            continue
    for name in sorted(_names(fn.__code__)):
        value = fn.__globals__.get(name)
        if name in fn.__globals__ and _foreign(value) and not _same_package(value, fn):
            yield f"foreign:{value.__module__}.{getattr(value, '__qualname__', name)}".encode()
        elif name in fn.__globals__:
            outside.setdefault(name, value)
    for name, value in outside.items():
        if name not in written:
            yield name.encode()
            yield from _parts(value, depth - 1, seen, written, mutating)


def _code_parts(code: types.CodeType, depth: int, seen: dict[int, Any]) -> Iterator[bytes | memoryview]:
    yield code.co_code
    for name in code.co_names:
        yield name.encode()
    yield ",".join(code.co_varnames[: code.co_argcount]).encode()
    for constant in code.co_consts:
        # equal constants are often one object, so "seen" must not cut them
        yield from _parts(constant, depth - 1, seen if isinstance(constant, types.CodeType) else {}, frozenset(), False)


def _instance_parts(obj: Any, depth: int, seen: dict[int, Any]) -> Iterator[bytes | memoryview]:
    """An object: its class by name, the code of its methods, and the attributes that these do not change."""
    cls = type(obj)
    yield f"instance:{cls.__module__}.{cls.__qualname__}".encode()
    if cls.__module__.partition(".")[0] in sys.stdlib_module_names and cls.__module__ != "__main__":
        return  # locks, loggers, files: state, not definition
    written: set[str] = set()
    mutating = False
    members = {name: member for base in reversed(cls.__mro__[:-1]) for name, member in vars(base).items()}
    for name, member in sorted(members.items()):
        fn = getattr(member, "__func__", member)
        if not isinstance(fn, types.FunctionType):
            continue
        if name not in ("__init__", "__setstate__"):
            names, stores = written_by(fn.__code__)
            written |= names
            mutating = mutating or stores
        if not _foreign(fn):
            yield name.encode()
            yield from _parts(fn, depth - 1, seen, frozenset(), False)
    for name, value in sorted(getattr(obj, "__dict__", {}).items()):
        if name not in written:
            yield name.encode()
            yield from _parts(value, depth - 1, seen, frozenset(written), mutating)


def _foreign(value: Any) -> bool:
    """True for a function of an installed package: its name identifies it, and its insides hold caches and locks."""
    if not isinstance(value, types.FunctionType):
        return False
    installed = {"site-packages", "dist-packages"} & set(re.split(r"[/\\]", value.__code__.co_filename))
    return bool(installed) or value.__module__.partition(".")[0] in sys.stdlib_module_names - {"__main__"}


def _same_package(value: Any, fn: types.FunctionType) -> bool:
    return str(value.__module__).partition(".")[0] == str(fn.__module__).partition(".")[0]


def _names(code: types.CodeType) -> set[str]:
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


@functools.lru_cache(maxsize=1024)
def written_by(code: types.CodeType) -> tuple[frozenset[str], bool]:
    """Return the outside names the code rebinds, and whether it changes containers (by item or a mutating method)."""
    names: set[str] = set()
    mutating = False
    own = set(code.co_cellvars)
    for instruction in dis.get_instructions(code):
        if instruction.opname in _WRITES and instruction.argval not in own:
            names.add(str(instruction.argval))
        elif instruction.opname == "STORE_SUBSCR" or (
            instruction.opname in ("LOAD_METHOD", "LOAD_ATTR") and instruction.argval in _MUTATORS
        ):
            mutating = True
        elif isinstance(instruction.argval, types.CodeType):
            inner, stores = written_by(instruction.argval)
            names |= inner
            mutating = mutating or stores
    return frozenset(names), mutating


def is_torch_module(obj: Any) -> bool:
    """True iff obj is a torch.nn.Module; never imports torch."""
    module: Callable[..., Any] | None = getattr(getattr(sys.modules.get("torch"), "nn", None), "Module", None)
    return isinstance(module, type) and isinstance(obj, module)
