"""What importing the client brings, and what it offers."""

from __future__ import annotations

import ast
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path
from typing import TypeVar

import pytest

import dualtower_clients

FORBIDDEN = ("tensorflow", "tensorflow_serving", "pyarrow", "ml_dtypes", "rich", "click")
GENERATED = "dualtower_clients.proto."
MODULES = [
    module.name
    for module in pkgutil.walk_packages(dualtower_clients.__path__, "dualtower_clients.")
    if not any(part.startswith("_") for part in module.name.split("."))
    and not module.name.startswith(GENERATED)
]


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_fresh_interpreter_imports_no_tensorflow():
    loaded = run("import sys, dualtower_clients; print(*sys.modules)").split()
    assert not set(FORBIDDEN) & set(loaded)


def test_the_command_imports_no_tensorflow():
    loaded = run("import sys, dualtower_clients.cli; print(*sys.modules)").split()
    assert not (set(FORBIDDEN) - {"click"}) & set(loaded)


def test_all_is_complete_and_sorted():
    tree = ast.parse(Path(dualtower_clients.__file__).read_text())
    imported = [  # also what is imported late, whose names stand under TYPE_CHECKING
        alias.name
        for node in ast.walk(ast.Module([one for one in tree.body if not _is_function(one)], []))
        if isinstance(node, ast.ImportFrom) and node.module.startswith("dualtower_clients")
        for alias in node.names
    ]
    assert all(hasattr(dualtower_clients, name) for name in imported)
    assert sorted(imported) == dualtower_clients.__all__ == sorted(dualtower_clients.__all__)


def _is_function(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef)


def test_modules_are_found():
    known = {"async_recommender", "codec", "errors", "recommender", "results", "serving_client"}
    assert {f"dualtower_clients.{name}" for name in known} <= set(MODULES)
    assert len(MODULES) > 50


@pytest.mark.parametrize("name", MODULES)
def test_public_modules_hide_nothing_and_promise_nothing_else(name):
    module = importlib.import_module(name)
    assert all(hasattr(module, public) for public in module.__all__)
    constants_first = sorted(module.__all__, key=lambda public: (not public.isupper(), public))
    assert module.__all__ == constants_first
    own = {
        key
        for key, value in vars(module).items()
        if not key.startswith("_")
        and not isinstance(value, TypeVar)
        and inspect.getmodule(value) is module
    }
    assert own <= set(module.__all__), name


def test_every_error_is_public():
    from dualtower_clients import errors

    assert set(errors.__all__) <= set(dualtower_clients.__all__)
