"""Worker processes that fail say why."""

from __future__ import annotations

from pathlib import Path

import pytest

from dualtower.errors import UnavailableError
from dualtower_export.edge_jobs import conversion_forks, run_jobs
from dualtower_export.edge_worker import Job


def test_the_end_of_what_a_failed_worker_said_is_told(tmp_path: Path) -> None:
    job = Job(
        run=str(tmp_path / "no run"),
        tower="item_tower",
        variant="float16",
        tokens=12,
        steps=0,
        seed=0,
        calibration="",
        inputs="",
        tflite=str(tmp_path / "item_tower.float16.tflite"),
        embeddings="",
    )
    with (
        conversion_forks(tmp_path) as forks,
        pytest.raises(UnavailableError, match=r"item_tower\.float16 ended with code 1") as caught,
    ):
        run_jobs([job] * 3, tmp_path, at_once=1, forks=forks)
    assert "holds no trained model" in str(caught.value)
    assert not (tmp_path / "item_tower.float16.tflite").exists()
