"""Every file of a deployment, as it is in `golden/`. To write them anew, and look at the diff:

DUALTOWER_WRITE_GOLDEN=1 pytest tests/serving/deploy/test_golden.py
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

GOLDEN = Path(__file__).with_name("golden")
CASES = {
    "image": {"namespace": "shop", "repository": "registry.example.com/shop/dualtower"},
    "volume": {"models": "volume", "storage_class": "fast", "cpus": 8},
}
# of the second only what differs by more than a number
OF_VOLUME = (
    "README.md", "compose.yaml", "kubernetes/base/deployment.yaml", "kubernetes/base/volume.yaml",
    "kubernetes/base/kustomization.yaml", "kserve/inference-service.yaml",
)  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_files_are_those_that_were_read_and_found_good(deploy, case: str) -> None:
    made = {
        name: text
        for name, text in deploy(**CASES[case]).files.items()
        if case == "image" or name in OF_VOLUME
    }
    folder = GOLDEN / case
    if os.environ.get("DUALTOWER_WRITE_GOLDEN"):
        shutil.rmtree(folder, ignore_errors=True)
        for name, text in made.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
    golden = {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert sorted(made) == sorted(golden)
    for name, text in made.items():
        assert text == golden[name], f"{name} differs; see this file's first lines"


def test_the_same_bundle_gives_the_same_bytes(deploy) -> None:
    assert deploy().files == deploy().files
