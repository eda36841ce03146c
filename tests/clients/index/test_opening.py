"""Bundles and files that an index is opened from, and what is wrong with them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualtower.bundle import Bundle, write_manifest
from dualtower.errors import BundleError, UsageError
from dualtower_clients import BundleMismatch
from dualtower_clients.index import FaissBackend, ItemIndex, MilvusBackend, UsearchBackend


@pytest.fixture
def copied(catalogue, tmp_path):
    """A bundle that a test may break."""
    return shutil.copytree(catalogue.path, tmp_path / "bundle")


def rewritten(bundle, change):
    """The bundle with another table, as its manifest says."""
    path = bundle / "index" / "catalogue.parquet"
    pq.write_table(change(pq.read_table(path)), path)
    manifest = json.loads((bundle / "bundle.json").read_text())
    write_manifest(bundle, {"version": 1, "space": manifest["space"]})


def test_a_bundle_may_be_given_by_its_manifest_too(catalogue):
    index = ItemIndex.open(Bundle.open(catalogue.path))
    assert len(index) == 540


def test_a_catalogue_that_was_changed_is_refused(copied):
    path = copied / "index" / "catalogue.parquet"
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"changed after the export; run: dualtower verify"):
        ItemIndex.open(copied)


def test_a_catalogue_that_is_missing_is_refused(copied):
    (copied / "index" / "catalogue.parquet").unlink()
    with pytest.raises(BundleError, match=r"cannot be read .*export the bundle again"):
        ItemIndex.open(copied)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda table: table.drop_columns(["vector"]), id="no-vectors"),
        pytest.param(lambda table: pa.concat_tables([table, table]), id="ids-twice"),
        pytest.param(
            lambda table: table.set_column(
                5, "vector", pa.array([[1.0]] * len(table), pa.list_(pa.float32()))
            ),
            id="another-dim",
        ),
        pytest.param(
            lambda table: table.set_column(0, "item_id", pa.nulls(len(table), pa.string())),
            id="no-ids",
        ),
    ],
)
def test_a_catalogue_that_does_not_fit_is_refused(copied, change):
    rewritten(copied, change)
    with pytest.raises(BundleError, match=r"catalogue.parquet cannot be read"):
        ItemIndex.open(copied)


@pytest.mark.parametrize("backend", ["numpy", "usearch", "faiss"])
def test_a_catalogue_of_blocked_items_is_an_empty_index(copied, backend):
    rewritten(
        copied, lambda table: table.set_column(3, "blocked", pa.array(np.ones(len(table), bool)))
    )
    index = ItemIndex.open(copied, backend)
    query = np.eye(1, 16, dtype=np.float32)
    assert len(index) == 0
    assert index.search(query)[0].item_ids == ()
    index.add(["first"], query)
    assert index.search(query)[0].item_ids == ("first",)


def test_what_is_no_bundle_and_no_index_is_refused(tmp_path):
    with pytest.raises(BundleError, match="is no bundle"):
        ItemIndex.open(tmp_path / "nothing")
    (tmp_path / "text").write_text("hello")
    with pytest.raises(BundleError, match=r"no bundle and no whole index file"):
        ItemIndex.open(tmp_path / "text")


@pytest.mark.parametrize("backend", ["numpy", "usearch", "faiss"])
def test_a_damaged_index_file_is_refused(catalogue, tmp_path, backend):
    path = tmp_path / "items.index"
    ItemIndex.open(catalogue.path, backend).save(path)
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    query = catalogue.vectors[:1]
    best = ItemIndex.open(path, backend).search(query, 5)[0]
    for place in random.integers(0, len(whole), 40):
        damaged = bytearray(whole)
        damaged[place] ^= 0x40
        path.write_bytes(damaged)
        try:
            found = ItemIndex.open(path, backend).search(query, 5)[0]
        except BundleError:
            continue
        assert found.item_ids == best.item_ids  # a byte that says nothing, such as a date
        np.testing.assert_array_equal(found.scores, best.scores)
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(BundleError, match="no whole index file"):
            ItemIndex.open(path, backend)


def test_an_index_file_of_another_fingerprint_is_refused(catalogue, other_catalogue, tmp_path):
    ItemIndex.open(other_catalogue.path).save(tmp_path / "items.index")
    expected = Bundle.open(catalogue.path).fingerprint
    with pytest.raises(BundleMismatch, match=expected):
        ItemIndex.open(tmp_path / "items.index", expect_fingerprint=expected)


def test_equal_indexes_are_equal_files(catalogue, tmp_path):
    for name in ("one", "two"):
        ItemIndex.open(catalogue.path).save(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("saving", ["usearch", "faiss"])
@pytest.mark.parametrize("opening", ["numpy", "usearch", "faiss"])
def test_any_backend_opens_what_another_saved(catalogue, tmp_path, saving, opening):
    path = tmp_path / "items.index"
    first = ItemIndex.open(catalogue.path, saving)
    first.remove(["i0"])
    first.save(path)
    opened = ItemIndex.open(path, opening)
    found = opened.search(catalogue.vectors[:5], 5)
    expected = ItemIndex.open(path).search(catalogue.vectors[:5], 5)
    same = sum(a.item_ids[0] == b.item_ids[0] for a, b in zip(found, expected, strict=True))
    assert same >= (5 if opening == "numpy" else 4)  # threads build a graph in any order
    assert "i0" not in found[0].item_ids


def test_a_save_that_fails_leaves_the_old_file(catalogue, tmp_path):
    index = ItemIndex.open(catalogue.path)
    with pytest.raises(UsageError, match="is a folder; give the name of a file"):
        index.save(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="in the way"):
        index.save(tmp_path / "file" / "items.index")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_backends_are_named():
    with pytest.raises(UsageError, match="numpy, usearch, faiss, milvus, got 'annoy'"):
        ItemIndex.open(".", "annoy")
    with pytest.raises(UsageError, match=r"MilvusBackend\(uri='http://HOST:19530'\)"):
        ItemIndex.open(".", "milvus")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UsearchBackend(connectivity=0), "connectivity must be at least 1, got 0"),
        (lambda: MilvusBackend("items"), r"ends in .db, or an address .* got 'items'"),
        (lambda: MilvusBackend("a.db", prefix="1-x"), "prefix must be letters, .* got '1-x'"),
    ],
)
def test_settings_that_cannot_be_are_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()


@pytest.mark.parametrize(
    ("backend", "message"),
    [
        (FaissBackend("Nonsense"), r"cannot build 'Nonsense' of 540 vectors: could not parse"),
        (FaissBackend("IVF9999,Flat"), r"cannot build 'IVF9999,Flat' of 540 vectors: "),
        (FaissBackend(search="colour=3"), "cannot search 'HNSW32' with 'colour=3'"),
    ],
)
def test_what_faiss_does_not_take_is_refused(catalogue, backend, message):
    with pytest.raises(UsageError, match=message):
        ItemIndex.open(catalogue.path, backend)


_WITHOUT = """
import sys
from dualtower.errors import UnavailableError
from dualtower_clients.index import ItemIndex, MilvusBackend
milvus = MilvusBackend("/nowhere/items.db")
for package, backend in (
    ("usearch", "usearch"), ("faiss", "faiss"), ("milvus_lite", milvus), ("pymilvus", milvus),
    ("pyarrow", "numpy"),
):
    sys.modules[package] = None  # as if it were not installed
    try:
        ItemIndex.open(sys.argv[1], backend)
    except UnavailableError as error:
        print(error)
"""


def test_a_missing_package_is_named_with_its_extra(catalogue):
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT, catalogue.path], capture_output=True, text=True, check=True
    )
    for line, extra in zip(
        done.stdout.splitlines(), ["usearch", "faiss", "milvus", "milvus", "bulk"], strict=True
    ):
        assert f"pip install 'dualtower[{extra}]'" in line


def test_a_saved_index_needs_numpy_alone(catalogue, tmp_path):
    ItemIndex.open(catalogue.path).save(tmp_path / "items.index")
    code = f"""
import sys
for package in ("pyarrow", "faiss", "usearch", "pymilvus"):
    sys.modules[package] = None
import numpy
from dualtower_clients.index import ItemIndex
index = ItemIndex.open({str(tmp_path / "items.index")!r})
print(index.search(numpy.eye(1, 16, dtype=numpy.float32), 1)[0].item_ids[0])
assert "tensorflow" not in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == catalogue.best(np.eye(1, 16, dtype=np.float32)[0])[0]


def test_importing_the_package_imports_no_backend():
    code = "import sys, dualtower_clients.index; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert not imported & {"faiss", "usearch", "pymilvus", "pyarrow", "pandas", "tensorflow"}
