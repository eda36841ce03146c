"""The litert and index drivers: answers against numpy, doctored bundles, what is not here."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualtower.bundle import Bundle
from dualtower.errors import BundleError, UsageError
from dualtower_benchmarks.drivers.driver import NotHere
from dualtower_benchmarks.drivers.litert_driver import edge_feeds
from dualtower_benchmarks.drivers.opening import open_driver
from dualtower_benchmarks.load.load import Load
from dualtower_benchmarks.load.run import run_load
from dualtower_benchmarks.load.workload import Workload


def job(bundle: Bundle, **fields: Any) -> dict[str, Any]:
    return {"driver": "litert", "bundle": str(bundle.path), "model": "item_tower",
            "variant": "float32", "batch_rows": 1, **fields}  # fmt: skip


def copied(bundle: Bundle, folder: Path) -> Bundle:
    shutil.copytree(bundle.path, folder)
    return Bundle.open(folder)


def test_each_tower_answers_what_its_file_computes(small_bundle: Bundle) -> None:
    """The tiny towers sum: ids of the word pieces, vectors of the history."""
    workload = Workload.of(small_bundle, seed=0, history_texts=20)
    for model in ("item_tower", "user_tower"):
        driver = open_driver(job(small_bundle, model=model, threads=2))
        driver.check()
        client = driver.connect()
        feeds = edge_feeds({"tower": model}, small_bundle, workload)
        for index, feed in enumerate(feeds[:5]):
            if model == "item_tower":
                wanted = np.full(4, float((feed["ids"] * feed["mask"]).sum()))
            else:
                wanted = feed["items"].sum(axis=0)
            assert client.embed(index)[0] == pytest.approx(wanted)
        assert driver.facts()["threads"] == 2
        assert driver.facts()["device"] == "CPU"
        driver.close()


def test_texts_of_a_length_reach_the_file(small_bundle: Bundle) -> None:
    driver = open_driver(job(small_bundle, tokens="7"))
    assert driver.facts()["pieces_p50"] == driver.facts()["pieces_max"] == 7
    driver.close()


def test_clients_are_interpreters_of_their_own(small_bundle: Bundle) -> None:
    driver = open_driver(job(small_bundle))
    run = run_load(driver, Load(loop="closed", concurrency=3, measured_s=0.1, warmup_s=0.0))
    assert set(run.samples.status) == {"OK"}
    run = run_load(driver, Load(rate_qps=200.0, concurrency=2, measured_s=0.2, warmup_s=0.0))
    assert set(run.samples.status) == {"OK"}
    driver.close()


def test_what_is_not_there_is_not_here(small_bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(NotHere, match="no item_tower of variant 'int4'; it has float32"):
        open_driver(job(small_bundle, variant="int4"))
    with pytest.raises(NotHere, match="no recommender of variant 'int8'; it has none"):
        open_driver(job(small_bundle, model="recommender", variant="int8"))
    with pytest.raises(UsageError, match="one row a call"):
        open_driver(job(small_bundle, batch_rows=2))
    other = copied(small_bundle, tmp_path / "any")
    manifest = json.loads((other.path / "bundle.json").read_text())
    manifest["variants"][0]["item_tokens"] = 0
    (other.path / "bundle.json").write_text(json.dumps(manifest))
    with pytest.raises(NotHere, match="any length"):
        open_driver(job(other))


def test_a_file_that_answers_nonsense_is_refused(small_bundle: Bundle, tmp_path: Path) -> None:
    bad = copied(small_bundle, tmp_path / "bad")
    table = pq.read_table(bad.catalogue_path)
    vectors = pa.array([[float("nan")] * 4] * len(table), pa.list_(pa.float32()))
    place = table.column_names.index("vector")
    pq.write_table(table.set_column(place, "vector", vectors), bad.catalogue_path)
    driver = open_driver(job(bad, model="user_tower"))
    with pytest.raises(BundleError, match="not finite"):
        driver.check()


@pytest.mark.parametrize("backend", ["numpy", "usearch", "faiss"])
def test_an_index_finds_the_best(backend: str, small_bundle: Bundle) -> None:
    if backend != "numpy":
        pytest.importorskip(backend)
    driver = open_driver(job(small_bundle, driver="index", variant=backend, batch_rows=3))
    driver.check()
    client = driver.connect()
    for found, user in zip(client.found(0), client._users[0], strict=True):
        scores = np.sort(np.eye(8, 4)[:7] @ user)[::-1]
        assert found.scores == pytest.approx(scores[: len(found.scores)], abs=1e-5)
    assert driver.facts()["items"] == 7
    assert driver.facts()["backend"] == backend
    driver.close()


@pytest.mark.parametrize(
    ("fields", "module", "message"),
    [
        ({"driver": "index", "variant": "faiss"}, "faiss", r"faiss is not installed: .*\[faiss\]"),
        ({"driver": "onnxruntime"}, "onnxruntime", "onnxruntime is not installed"),
        ({"driver": "sentence_transformers"}, "sentence_transformers", "is not installed"),
        ({"driver": "litert"}, "ai_edge_litert", "LiteRT is not installed"),
    ],
)
def test_a_package_that_is_missing_is_not_here(
    fields: dict[str, Any],
    module: str,
    message: str,
    small_bundle: Bundle,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, f"{module}.interpreter", raising=False)
    with pytest.raises(NotHere, match=message):
        open_driver(job(small_bundle, **fields))


def test_what_a_driver_cannot_measure_is_wrong_use(small_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match="driver is one of grpc, rest, clients, saved_model"):
        open_driver(job(small_bundle, driver="tflite"))
    with pytest.raises(UsageError, match="variant of index is one of numpy, usearch, faiss"):
        open_driver(job(small_bundle, driver="index", variant="milvus"))
    with pytest.raises(UsageError, match="item_tower's encoder alone, got 'recommender'"):
        open_driver(job(small_bundle, driver="onnxruntime", model="recommender"))
    with pytest.raises(NotHere, match="float32 and without XLA"):
        open_driver(job(small_bundle, driver="onnxruntime", precision="float16"))
