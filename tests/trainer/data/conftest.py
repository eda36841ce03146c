"""Small logs on disk, and wheels that pip can find without an index."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from dualtower_trainer.data import Dataset, load_dataset
from dualtower_trainer.data.canonical import new_folder, write_interactions, write_items

DAY_S = 86_400
T0_S = 1_480_550_400  # 2016-12-01


@pytest.fixture
def wheelhouse(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that pip takes wheels from, and nothing else."""
    folder = tmp_path / "wheelhouse"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    return folder


@pytest.fixture
def make_wheel(wheelhouse: Path) -> Callable[..., str]:
    """Writes a wheel with these members into the wheelhouse and returns its sha256."""

    def make(name: str, version: str, members: Mapping[str, bytes], requires: str = "") -> str:
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        if requires:
            metadata += f"Requires-Dist: {requires}\n"
        info = f"{name}-{version}.dist-info"
        files = {
            **members,
            f"{info}/METADATA": metadata.encode(),
            f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{info}/RECORD": b"",
        }
        path = wheelhouse / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, content in files.items():
                archive.writestr(member, content)
        return hashlib.sha256(path.read_bytes()).hexdigest()

    return make


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., Path]:
    """Writes rows (header first) as CSV and returns the path."""

    def write(name: str, rows: Sequence[Sequence[object]], delimiter: str = ",") -> Path:
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
        path = tmp_path / name
        path.write_text(text.getvalue(), encoding="utf-8")
        return path

    return write


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Dataset]:
    """A data folder of (user, item, seconds[, weight]) rows and item ids, loaded."""

    def make(
        rows: Sequence[tuple[object, ...]],
        items: Sequence[str],
        blocked: Sequence[str] = (),
        name: str = "data",
    ) -> Dataset:
        log = pa.table(
            {
                "user_id": [str(row[0]) for row in rows],
                "item_id": [str(row[1]) for row in rows],
                "timestamp": pa.array([row[2] for row in rows], pa.int64()),
                "weight": pa.array([row[3] if len(row) > 3 else 1.0 for row in rows], pa.float32()),
            }
        )
        catalogue = pa.table(
            {
                "item_id": pa.array(items, pa.string()),
                "text": pa.array([f"text of {item}" for item in items], pa.string()),
                "category": pa.array(["kind"] * len(items), pa.string()),
                "blocked": [item in blocked for item in items],
            }
        )
        with new_folder(tmp_path / name, overwrite=True) as folder:
            write_interactions(folder, [log])
            write_items(folder, catalogue)
        return load_dataset(tmp_path / name)

    return make
