"""Every public door is complete, sorted, and opens."""

from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys

import pytest

PACKAGES = (
    "dualtower",
    "dualtower_trainer.data",
    "dualtower_trainer.finetune",
    "dualtower_trainer.losses",
    "dualtower_trainer.pairs",
    "dualtower_export",
    "dualtower_serving",
    "dualtower_clients",
    "dualtower_benchmarks.report",
)
ALL = ("dualtower", "dualtower_trainer", "dualtower_export", "dualtower_serving",
       "dualtower_clients", "dualtower_benchmarks")  # fmt: skip


def order(name: str) -> tuple[int, str]:
    """CONSTANTS, then Classes, then the rest, each by name: as ruff sorts them."""
    kind = 0 if name.isupper() else 1 if name[:1].isupper() else 2
    return kind, name


@pytest.mark.parametrize("package", PACKAGES)
def test_all_is_complete_and_sorted(package: str) -> None:
    module = importlib.import_module(package)
    names = list(module.__all__)
    assert names == sorted(names, key=order)
    assert len(set(names)) == len(names)
    for name in names:
        assert getattr(module, name) is not None
    imported = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "").startswith(package)
    }
    assert imported <= set(names)


def modules() -> list[str]:
    names = []
    for package in ALL:
        root = importlib.import_module(package)
        names += [info.name for info in pkgutil.walk_packages(root.__path__, f"{package}.")]
    return [name for name in names if "_pb2" not in name and not name.endswith("__main__")]


@pytest.mark.parametrize("name", modules())
def test_every_module_says_what_it_is_for(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    for public in getattr(module, "__all__", ()):
        value = getattr(module, public)
        if callable(value) and getattr(value, "__module__", None) == name:
            assert value.__doc__, f"{name}.{public} has no docstring"


@pytest.mark.parametrize(
    "package", ["dualtower", "dualtower_clients", "dualtower_clients.cli", "dualtower_serving"]
)
def test_light_packages_import_no_tensorflow(package: str) -> None:
    heavy = ("tensorflow", "tf_keras", "pyarrow", "matplotlib")
    code = f"import {package}, sys; print([n for n in {heavy} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
