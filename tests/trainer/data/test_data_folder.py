"""The data folder: read back as written, refused when broken, replaced only by a whole one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualtower.errors import DataError, UsageError
from dualtower_trainer.data import Dataset, load_dataset
from dualtower_trainer.data.canonical import new_folder, write_interactions, write_items

Make = Callable[..., Dataset]
ITEMS = pa.table({"item_id": ["a"], "text": ["x"], "category": ["c"], "blocked": [False]})
LOG = pa.table({"user_id": ["u"], "item_id": ["a"], "timestamp": [5], "weight": [1.0]})


def _fill(folder: Path, text: str = "x") -> None:
    write_items(folder, ITEMS.set_column(1, "text", [[text]]))
    write_interactions(folder, [LOG])


def test_round_trip(make_dataset: Make, tmp_path: Path) -> None:
    rows = [("zoe", "b", 30, 0.5), ("ann", "a", 10, 2), ("zoe", "a", 20, 1), ("ann", "gone", 5, 1)]
    dataset = make_dataset(rows, ["a", "b", "c"], blocked=["c"])
    log = dataset.interactions
    assert dataset.path == tmp_path / "data"
    assert dataset.unknown_items == 1
    assert log.user_ids.tolist() == ["ann", "zoe"]
    assert log.users.tolist() == [1, 0, 1]
    assert log.items.tolist() == [1, 0, 0]
    assert log.timestamps.tolist() == [30, 10, 20]
    assert log.weights.tolist() == [0.5, 2, 1]
    assert [a.dtype for a in (log.users, log.items, log.timestamps, log.weights)] == [
        np.int32,
        np.int32,
        np.int64,
        np.float32,
    ]
    catalogue = dataset.catalogue
    assert catalogue.rows == {"a": 0, "b": 1, "c": 2}
    assert catalogue.blocked.tolist() == [False, False, True]
    assert catalogue.categories is not None
    assert len(catalogue) == 3


def test_only_what_is_required(tmp_path: Path) -> None:
    """A folder that another program wrote: no weight, no category, large strings, a dictionary."""
    items = pa.table({"item_id": pa.array(["a"], pa.large_string()), "text": ["x"]})
    log = pa.table(
        {
            "user_id": pa.array(["u", "u"]).dictionary_encode(),
            "item_id": ["a", "a"],
            "timestamp": pa.array([1, 2], pa.int32()),
            "features": [[1.0], [2.0]],
        }
    )
    pq.write_table(items, tmp_path / "items.parquet")
    pq.write_table(log, tmp_path / "interactions.parquet")
    dataset = load_dataset(str(tmp_path))
    assert dataset.interactions.weights.tolist() == [1, 1]
    assert dataset.catalogue.categories is None
    assert not dataset.catalogue.blocked.any()


def test_ratings_and_events(tmp_path: Path) -> None:
    log = pa.table(
        {
            "user_id": ["u"] * 4,
            "item_id": ["a", "gone", "a", "a"],
            "timestamp": [1, 2, 3, 4],
            "rating": [4.5, 1.0, None, 3.0],
            "event": ["view", "buy", None, "buy"],
        }
    )
    pq.write_table(ITEMS, tmp_path / "items.parquet")
    pq.write_table(log, tmp_path / "interactions.parquet")
    dataset = load_dataset(tmp_path)
    np.testing.assert_array_equal(dataset.ratings, np.array([4.5, np.nan, 3.0], np.float32))
    assert dataset.event_names == ("buy", "view")
    assert dataset.events is not None
    assert dataset.events.tolist() == [1, -1, 0]
    nothing = pa.table({**LOG.to_pydict(), "rating": pa.nulls(1), "event": pa.nulls(1)})
    pq.write_table(nothing, tmp_path / "interactions.parquet")
    dataset = load_dataset(tmp_path)
    assert dataset.ratings is dataset.events is None


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("items", lambda t: t.drop_columns(["text"]), "no column 'text', it has item_id"),
        ("items", lambda t: t.slice(0, 0), "has no items"),
        ("items", lambda t: pa.concat_tables([t, t]), "item id 'a' occurs more than once"),
        ("items", lambda t: t.set_column(1, "text", [[""]]), "'text' has 1 empty"),
        ("items", lambda t: t.set_column(1, "text", [[["x"]]]), "it must be string"),
        ("interactions", lambda t: t.drop_columns(["timestamp"]), "no column 'timestamp'"),
        ("interactions", lambda t: t.set_column(2, "timestamp", [["soon"]]), "must be int64"),
        (
            "interactions",
            lambda t: t.set_column(0, "user_id", pa.array([None], pa.string())),
            "'user_id' has 1 empty",
        ),
        ("interactions", lambda t: t.set_column(1, "item_id", [["z"]]), "none of its 1 inter"),
        ("interactions", lambda t: t.set_column(2, "timestamp", [[-1]]), "between 1970 and 2100"),
        ("interactions", lambda t: t.set_column(2, "timestamp", [[10**12]]), "1000000000000"),
        ("interactions", lambda t: t.set_column(3, "weight", [[0.0]]), "above 0"),
        ("interactions", lambda t: t.set_column(3, "weight", [[float("nan")]]), "above 0"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, file: str, change: Callable[[pa.Table], pa.Table], message: str
) -> None:
    for name, table in (("items", ITEMS), ("interactions", LOG)):
        changed = change(table) if name == file else table
        pq.write_table(changed, tmp_path / f"{name}.parquet")
    with pytest.raises(DataError, match=message):
        load_dataset(tmp_path)


def test_missing_and_cut_files(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist; make a data folder with"):
        load_dataset(tmp_path / "nowhere")
    _fill(tmp_path)
    path = tmp_path / "interactions.parquet"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match="import it again"):
        load_dataset(tmp_path)


def test_an_existing_folder_is_kept(tmp_path: Path) -> None:
    target = tmp_path / "data"
    with new_folder(target, overwrite=False) as folder:
        _fill(folder)
    with pytest.raises(UsageError, match="--overwrite"), new_folder(target, overwrite=False):
        raise AssertionError("not reached")
    with new_folder(target, overwrite=True) as folder:
        _fill(folder, "y")
    assert load_dataset(target).catalogue.texts.tolist() == ["y"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_is_no_data_folder_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "diary.txt").write_text("dear diary")
    with (
        pytest.raises(UsageError, match="not a data folder"),
        new_folder(tmp_path / "data", overwrite=True),
    ):
        raise AssertionError("not reached")
    assert (tmp_path / "data" / "diary.txt").exists()


def test_an_error_while_overwriting_keeps_the_old(tmp_path: Path) -> None:
    target = tmp_path / "data"
    with new_folder(target, overwrite=False) as folder:
        _fill(folder)

    def overwrite() -> None:
        with new_folder(target, overwrite=True) as folder:
            _fill(folder, "y")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError, match="in the middle"):
        overwrite()
    assert load_dataset(target).catalogue.texts.tolist() == ["x"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_killed_between_the_two_renames(tmp_path: Path) -> None:
    target = tmp_path / "data"
    with new_folder(target, overwrite=False) as folder:
        _fill(folder)
    target.rename(tmp_path / "data.previous")  # what a crash at the worst moment leaves
    with pytest.raises(UsageError, match="exists already"), new_folder(target, overwrite=False):
        raise AssertionError("not reached")
    assert load_dataset(target).catalogue.texts.tolist() == ["x"]


def test_killed_while_writing(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from dualtower_trainer.data.canonical import new_folder\n"
        "with new_folder(Path(sys.argv[1]), overwrite=True) as folder:\n"
        "    (folder / 'items.parquet').write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    target = tmp_path / "data"
    with new_folder(target, overwrite=False) as folder:
        _fill(folder)
    done = subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert load_dataset(target).catalogue.texts.tolist() == ["x"]
    with new_folder(target, overwrite=True) as folder:
        _fill(folder, "y")
    assert load_dataset(target).catalogue.texts.tolist() == ["y"]
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with (
        pytest.raises(UsageError, match="cannot be written"),
        new_folder(tmp_path / "locked" / "data", overwrite=False),
    ):
        raise AssertionError("not reached")


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(UsageError, match="in the way"),
        new_folder(tmp_path / "file" / "data", overwrite=False),
    ):
        raise AssertionError("not reached")


def test_a_full_disk_keeps_the_old_data(tmp_path: Path) -> None:
    """A real file system of one megabyte, in a mount namespace of its own."""
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from dualtower.errors import UnavailableError\n"
        "from dualtower_trainer.data import import_files\n"
        "log, items, disk = map(Path, sys.argv[1:])\n"
        "few = disk / 'few.csv'\n"
        "few.write_text('user_id,item_id\\nu,1\\n')\n"
        "import_files(few, items, disk / 'data')\n"
        "try:\n"
        "    import_files(log, items, disk / 'data', overwrite=True)\n"
        "except UnavailableError as error:\n"
        "    print(error)\n"
        "print(sorted(path.name for path in disk.iterdir()))\n"
        "print(sorted(path.name for path in (disk / 'data').iterdir()))\n"
    )
    disk, log, items = tmp_path / "disk", tmp_path / "log.csv", tmp_path / "items.csv"
    disk.mkdir()
    items.write_text("item_id,text\n1,one\n2,two\n")
    rows = (f"user {n * 7919 % 1_000_003},{n % 2 + 1},{n * 7919}\n" for n in range(200_000))
    log.write_text("user_id,item_id,timestamp\n" + "".join(rows))
    if shutil.which("unshare") is None:
        pytest.skip("no mount namespace here")
    mount = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$4" "$5" "$1"'
    command = ["unshare", "-rm", "sh", "-c", mount, "sh"]
    done = subprocess.run(
        [*command, str(disk), sys.executable, code, str(log), str(items)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("no mount namespace here")
    assert done.returncode == 0, done.stderr
    message, on_disk, in_data = done.stdout.splitlines()
    assert "no space left" in message
    assert on_disk == "['data', 'few.csv']"
    assert in_data == "['import_report.json', 'interactions.parquet', 'items.parquet']"
