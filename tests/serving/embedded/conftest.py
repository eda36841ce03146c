"""Small models for a server to load."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BUILDER = Path(__file__).with_name("small_models.py")


@pytest.fixture(scope="session")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the models `examples` and `slow`; see small_models.py."""
    folder = tmp_path_factory.mktemp("small")
    subprocess.run([sys.executable, BUILDER, folder], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="session")
def small_config(small_models: Path) -> Path:
    """Their configuration file."""
    path = small_models / "models.config"
    entries = "".join(
        f'config {{ name: "{name}" base_path: "{small_models}/{name}" '
        'model_platform: "tensorflow" }\n'
        for name in ("examples", "slow")
    )
    path.write_text(f"model_config_list {{\n{entries}}}\n")
    return path
