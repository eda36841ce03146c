"""Small logs on disk, and wheels that pip can find without an index."""

from __future__ import annotations

import csv
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

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


@pytest.fixture
def write_workbook() -> Callable[..., Path]:
    """Writes .xlsx files as Excel does: a zip of the parts that ECMA-376 asks for.

    Texts go through the shared strings, numbers stand in the cells, None leaves a cell out.
    """
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    head = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'

    def cell(value: str | float, reference: str, texts: dict[str, int]) -> str:
        if isinstance(value, str):
            number = texts.setdefault(value, len(texts))
            return f'<c r="{reference}" t="s"><v>{number}</v></c>'
        return f'<c r="{reference}"><v>{value!r}</v></c>'

    def write(
        path: Path, *sheets: Iterable[Sequence[str | float | None]], from_1904: bool = False
    ) -> Path:
        texts: dict[str, int] = {}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, rows in enumerate(sheets, start=1):
                with archive.open(f"xl/worksheets/sheet{number}.xml", "w") as stream:
                    stream.write(f"{head}<worksheet {main}><sheetData>".encode())
                    for line, row in enumerate(rows, start=1):
                        cells = "".join(
                            cell(value, f"{chr(65 + place)}{line}", texts)
                            for place, value in enumerate(row)
                            if value is not None
                        )
                        stream.write(f'<row r="{line}">{cells}</row>'.encode())
                    stream.write(b"</sheetData></worksheet>")
            strings = "".join(f"<si><t>{escape(text)}</t></si>" for text in texts)
            archive.writestr("xl/sharedStrings.xml", f"{head}<sst {main}>{strings}</sst>")
            properties = '<workbookPr date1904="1"/>' if from_1904 else "<workbookPr/>"
            archive.writestr("xl/workbook.xml", f"{head}<workbook {main}>{properties}</workbook>")
        return path

    return write
