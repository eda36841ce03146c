"""An export, watched file by file, that was killed in each of its parts before."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.context import BaseContext
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from export_child import export

from dualtower.bundle import MODELS, Bundle
from dualtower.bundle_verify import verify
from dualtower.cli import main

pytestmark = pytest.mark.slow

# in a worker that converts; while TensorFlow writes what Python does not see
KILLED_ONCE_THERE = (".scratch/item_tower.float32.log", "serving/user_tower/1/variables")


@pytest.fixture(scope="module")
def empty_texts(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with two items without a text, and with raw features that are no numbers."""
    copy = tmp_path_factory.mktemp("empty-texts") / "run"
    shutil.copytree(run, copy)
    path = copy / "model" / "catalogue.parquet"
    table = pq.read_table(path)
    column = table.column_names.index("text")
    texts = ["", *table["text"].to_pylist()[1:-1], ""]
    table = table.set_column(column, "text", pa.array(texts, table.schema.field("text").type))
    table = table.append_column("features", pa.array([[np.nan, np.inf]] * len(texts)))
    pq.write_table(table, path)
    return copy


@pytest.fixture(scope="module")
def watched(
    forks: BaseContext,
    living_processes: Callable[[Path], list[str]],
    empty_texts: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, list[list[str]]]:
    """A bundle, where exports were killed before, and what its export did, by lines."""
    out = tmp_path_factory.mktemp("watched") / "bundle"

    def start(kill_at: int | str):
        place = tmp_path_factory.mktemp("export")
        (place / "tmp").mkdir()
        process = forks.Process(target=export, args=(empty_texts, out, kill_at, place))
        process.start()
        return process, place

    def check_killed(process, place: Path) -> None:
        process.join()
        assert process.exitcode == -signal.SIGKILL, (place / "log").read_text()[-4000:]
        assert not out.exists()
        _wait(lambda: not living_processes(out.parent))  # workers end when their export is gone
        # TensorFlow's own: removed when Python ends, which a killed one does not
        left = {path.name for path in (place / "tmp").iterdir()}
        assert {name for name in left if not name.startswith("__autograph_generated_file")} == set()

    check_killed(*start(1))
    for wait_for in KILLED_ONCE_THERE:
        process, place = start(0)
        try:
            mine = f"bundle.tmp-{process.pid}-*"
            (temporary,) = _wait(lambda: list(out.parent.glob(mine)))  # noqa: B023
            _wait(lambda: (temporary / wait_for).exists())  # noqa: B023
        finally:
            process.kill()
        check_killed(process, place)
        assert temporary.exists()  # the next export removes it
    check_killed(*start(str(out)))
    assert list(out.parent.iterdir()) != [], "the kill left its temporary"
    process, place = start(0)
    process.join()
    assert process.exitcode == 0, (place / "log").read_text()[-4000:]
    assert list((place / "tmp").iterdir()) == [], "left in TMPDIR"
    lines = [line.split(" ") for line in (place / "trace").read_text("utf-8").splitlines()]
    return out, lines


def test_what_a_killed_export_left_is_removed(
    empty_texts: Path, watched: tuple[Path, list[list[str]]]
) -> None:
    from dualtower_export import ExportConfig
    from dualtower_export.plan import plan_export

    out, _ = watched
    assert list(out.parent.iterdir()) == [out]
    assert verify(out) == []
    assert Bundle.open(out).fingerprint == plan_export(empty_texts, ExportConfig()).fingerprint


def test_a_variant_that_fails_its_gate_stays_out(watched: tuple[Path, list[list[str]]]) -> None:
    bundle = Bundle.open(watched[0])
    verdicts = {
        (entry["tower"], entry["variant"]): (entry["verdict"], entry["reason"])
        for entry in bundle.manifest["variants"]
    }
    assert verdicts["item_tower", "float32"] == ("ship", "")
    verdict, reason = verdicts["item_tower", "dynamic_int8"]
    assert verdict == "do not ship"
    assert "export.variant_cosine_min" in reason
    assert not (bundle.path / "edge" / "item_tower.dynamic_int8.tflite").exists()
    card = (bundle.path / "model_card.md").read_text(encoding="utf-8")
    assert "do not ship: cosine of tastes to float" in card


def test_empty_texts_and_features_that_are_no_numbers_are_served(
    watched: tuple[Path, list[list[str]]],
) -> None:
    """An item without a text is found by its id; raw features are not what a bundle serves."""
    bundle = Bundle.open(watched[0])
    main(["verify", str(bundle.path), "--deep"])
    assert pq.read_table(bundle.catalogue_path)["text"].to_pylist().count("") == 2


def test_saved_model_pb_is_the_last_of_its_version(watched: tuple[Path, list[list[str]]]) -> None:
    """TensorFlow writes it early; it is put aside until all else is there."""
    _, lines = watched
    for model in MODELS:
        version = f"/serving/{model}/1/"
        done = [line for line in lines if any(version in path for path in line[1:])]
        done = [line for line in done if line[0] in ("open", "mkdir", "rename")]
        assert done[-1][0] == "rename", done[-1]
        assert done[-1][2].endswith(f"{version}saved_model.pb")
        assert any("assets.extra" in " ".join(line) for line in done[:-1])


def test_the_manifest_is_the_last_file_and_all_is_flushed_before_the_name(
    watched: tuple[Path, list[list[str]]],
) -> None:
    out, lines = watched
    last = next(place for place, line in enumerate(lines) if line[-1] == str(out))
    assert lines[last][0] == "rename"
    temporary = lines[last][1]
    opened = [line[1] for line in lines[:last] if line[0] == "open"]
    assert opened[-1] == f"{temporary}/bundle.json"
    written = max(place for place, line in enumerate(lines[:last]) if line[0] == "open")
    flushed = {line[1] for line in lines[written:last] if line[0] == "fsync"}
    names = {path.relative_to(out).as_posix() for path in out.rglob("*")}
    assert {f"{temporary}/{name}" for name in names} | {temporary} <= flushed
    assert ["fsync", str(out.parent)] in lines[last:]


def test_killed_at_any_step_it_leaves_nothing_or_a_whole_bundle(
    watched: tuple[Path, list[list[str]]],
) -> None:
    """Until the rename nothing touches the bundle's place, and afterwards nothing changes it."""
    out, lines = watched
    renamed = next(place for place, line in enumerate(lines) if line[-1] == str(out))
    for place, (what, *paths) in enumerate(lines):
        if place != renamed and what != "fsync":
            assert not [path for path in paths if f"{path}/".startswith(f"{out}/")], (what, paths)


def _wait(what: Callable[[], object], limit_s: float = 300.0):
    end = time.monotonic() + limit_s
    while not (found := what()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)
    return found
