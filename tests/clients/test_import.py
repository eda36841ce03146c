"""What importing the client brings, and what it offers."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import dualtower_clients

FORBIDDEN = ("tensorflow", "tensorflow_serving", "pyarrow", "ml_dtypes", "rich", "click")
MODULES = ("codec", "errors", "recommender", "results", "serving_client")


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


def test_public_modules_hide_nothing_and_promise_nothing_else():
    for name in MODULES:
        module = importlib.import_module(f"dualtower_clients.{name}")
        assert module.__all__ == sorted(module.__all__)
        own = {
            key
            for key, value in vars(module).items()
            if not key.startswith("_") and inspect.getmodule(value) is module
        }
        assert own <= set(module.__all__), name


def test_every_error_is_public():
    from dualtower_clients import errors

    assert set(errors.__all__) <= set(dualtower_clients.__all__)
