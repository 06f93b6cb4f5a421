"""Rules that hold for the text of every kernel, and bit-equality with the compiler off."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from tests.kernels.digest import digest

ROOT = Path(__file__).parents[2]
FILES = [path for path in sorted((ROOT / "dfoattack" / "kernels").glob("*.py")) if not path.name.startswith("_")]
TREES = {path.name: ast.parse(path.read_text()) for path in FILES}
KERNELS = [(name, node) for name, tree in TREES.items() for node in tree.body if isinstance(node, ast.FunctionDef)]
IDS = [f"{name}:{node.name}" for name, node in KERNELS]

ALLOWED_IMPORTS = ("__future__", "math", "numpy", "dfoattack._typing", "dfoattack.kernels")
ALLOWED_NUMPY = {"empty", "zeros", "rint", "inf", "int64", "bool_"}
ALLOWED_CALLS = {"abs", "min", "max", "range", "float", "int", "bool", *(node.name for _, node in KERNELS)}
FORBIDDEN = (
    ast.Raise, ast.Try, ast.Assert, ast.With, ast.Lambda, ast.Yield, ast.YieldFrom, ast.Await, ast.Global, ast.Nonlocal,
    ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp, ast.JoinedStr, ast.MatMult, ast.Pow, ast.Import,
    ast.ImportFrom, ast.AsyncFunctionDef, ast.ClassDef,
)  # fmt: skip


def test_there_are_kernels() -> None:
    assert len(KERNELS) > 25


@pytest.mark.parametrize("name", TREES)
def test_imports(name: str) -> None:
    for node in ast.walk(TREES[name]):
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for module in modules:
            assert module.startswith(ALLOWED_IMPORTS), module


@pytest.mark.parametrize(("name", "node"), KERNELS, ids=IDS)
def test_nodes(name: str, node: ast.FunctionDef) -> None:
    assert [ast.unparse(decorator) for decorator in node.decorator_list] == ["kernel"]
    for inner in ast.walk(node):
        assert not isinstance(inner, FORBIDDEN), ast.unparse(inner)
        assert inner is node or not isinstance(inner, ast.FunctionDef), "nested function"
        if isinstance(inner, ast.Attribute) and isinstance(inner.value, ast.Name) and inner.value.id == "np":
            assert inner.attr in ALLOWED_NUMPY, ast.unparse(inner)
        if isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name):
            assert inner.func.id in ALLOWED_CALLS, ast.unparse(inner)


@pytest.mark.parametrize(("name", "node"), KERNELS, ids=IDS)
def test_documented_and_tested(name: str, node: ast.FunctionDef) -> None:
    docstring = " ".join((ast.get_docstring(node) or "").split())
    assert "Source: " in docstring
    assert f"Twin: tests/kernels/naive.py::{node.name}." in docstring
    twins = [
        item.name for item in ast.parse((ROOT / "tests/kernels/naive.py").read_text()).body if hasattr(item, "name")
    ]
    assert node.name in twins
    tests = [path.read_text() for path in (ROOT / "tests" / "kernels").glob("test_*.py")]
    assert any(f".{node.name}(" in text for text in tests), "no test calls it"


def test_output_arrays_come_last() -> None:
    for _, node in KERNELS:
        is_output = [argument.arg.startswith("out_") for argument in node.args.args]
        assert is_output == sorted(is_output), node.name


def test_the_one_decorator() -> None:
    tree = ast.parse((ROOT / "dfoattack" / "kernels" / "_jit.py").read_text())
    calls = [
        ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call) and "njit" in ast.unparse(node.func)
    ]
    assert "numba.njit(cache=True, nogil=True)" in calls
    for path in FILES:
        assert "njit" not in path.read_text() and "fastmath=" not in path.read_text()


def test_same_bits_without_the_compiler() -> None:
    environment = dict(os.environ, NUMBA_DISABLE_JIT="0" if numba.config.DISABLE_JIT else "1")
    command = [sys.executable, "-W", "error", "-m", "tests.kernels.digest"]
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    here = digest()
    assert json.loads(run.stdout) == here
    assert set(here) == {node.name for _, node in KERNELS}
