"""Small models for a server to load."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # http2_port

BUILDER = Path(__file__).with_name("small_models.py")


@pytest.fixture(scope="session")
def small_models(made_by_script) -> Path:
    """A folder with the models `examples` and `slow`; see small_models.py."""
    return made_by_script("small-models", BUILDER)


@pytest.fixture(scope="session")
def small_config(small_models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Their configuration file."""
    path = tmp_path_factory.mktemp("small") / "models.config"
    entries = "".join(
        f'config {{ name: "{name}" base_path: "{small_models}/{name}" '
        'model_platform: "tensorflow" }\n'
        for name in ("examples", "slow")
    )
    path.write_text(f"model_config_list {{\n{entries}}}\n")
    return path
