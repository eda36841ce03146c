"""Mini bundles."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BUILDER = Path(__file__).with_name("mini_bundle.py")


@pytest.fixture(scope="session")
def bundles(made_once) -> dict[str, Path]:
    """Mini bundles of two embedding spaces, a and b, in versions 1 and 2."""
    names = ("a1", "b2")
    folder = made_once(
        "mini-bundles",
        lambda folder: subprocess.run(
            [sys.executable, BUILDER, folder, *names], check=True, capture_output=True
        ),
    )
    return {name: folder / name for name in names}


@pytest.fixture(scope="session")
def mini_bundle(bundles) -> Path:
    return bundles["a1"]
