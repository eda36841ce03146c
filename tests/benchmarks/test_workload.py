"""Requests out of a catalogue: seeded, decodable, in the shapes of the real client."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dualtower.bundle import Bundle
from dualtower.errors import BundleError
from dualtower_benchmarks.load.workload import DISTINCT_REQUESTS, Workload, check_answer
from dualtower_clients.codec import decode, encode
from dualtower_clients.proto.inference_pb2 import PredictRequest, PredictResponse

DIM = 3


def bundle_with(folder: Path, texts: list[str], blocked: list[bool]) -> Bundle:
    (folder / "index").mkdir(parents=True)
    vectors = np.arange(len(texts) * DIM, dtype=np.float32).reshape(-1, DIM)
    table = pa.table(
        {
            "item_id": [f"i{row}" for row in range(len(texts))],
            "text": pa.array(texts, pa.string()),
            "blocked": pa.array(blocked, pa.bool_()),
            "vector": pa.array(vectors.tolist(), pa.list_(pa.float32())),
        }
    )
    pq.write_table(table, folder / "index" / "catalogue.parquet")
    return Bundle(folder, {})


def workload(folder: Path, count: int = 40, *, seed: int = 1, history_texts: int = 5) -> Workload:
    texts = [f"tea {row} ü" for row in range(count)]
    bundle = bundle_with(folder, texts, [row == 0 for row in range(count)])
    return Workload.of(bundle, seed=seed, history_texts=history_texts)


def test_blocked_items_are_never_sent(tmp_path: Path) -> None:
    drawn = workload(tmp_path)
    assert len(drawn.texts) == 39
    assert "tea 0 ü" not in drawn.texts
    assert drawn.vectors.dtype == np.float32
    assert drawn.vectors[0].tolist() == [3.0, 4.0, 5.0]


def test_requests_decode_to_the_signatures_inputs(tmp_path: Path) -> None:
    drawn = workload(tmp_path)
    for encoded in drawn.requests("item_tower", 4, history_width=9):
        request = PredictRequest.FromString(encoded)
        assert request.model_spec.name == "item_tower"
        texts = decode(request.inputs["text"])
        assert texts.shape == (4,)
        assert {text.decode() for text in texts} <= set(drawn.texts)
    requests = drawn.requests("recommender", 2, history_width=9)
    assert len(requests) == DISTINCT_REQUESTS
    for encoded in requests:
        inputs = PredictRequest.FromString(encoded).inputs
        history = decode(inputs["history"])
        assert history.shape == (2, 9)
        assert decode(inputs["exclude"]).shape == (2, 8)
        for row in history:
            assert (row[5:] == b"").all()
            assert len(set(row[:5].tolist())) == 5
    assert len(set(requests)) > DISTINCT_REQUESTS // 2


def test_the_seed_decides(tmp_path: Path) -> None:
    one, same, other = (
        workload(tmp_path / name, seed=seed).requests("recommender", 1, history_width=9)
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert one == same != other


def test_a_catalogue_smaller_than_a_history_repeats_nothing(tmp_path: Path) -> None:
    drawn = workload(tmp_path, count=4, history_texts=20)
    assert drawn.history_rows(5).shape == (5, 3)
    assert len(drawn.item_rows(100)) == 100


@pytest.mark.parametrize("blocked", [[True, True], []])
def test_nothing_to_send_is_an_error(tmp_path: Path, blocked: list[bool]) -> None:
    bundle = bundle_with(tmp_path, ["a", "b"][: len(blocked)], blocked)
    with pytest.raises(BundleError, match="no item that may be recommended"):
        Workload.of(bundle, seed=1, history_texts=5)


def test_a_broken_catalogue_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="dualtower verify"):
        Workload.of(Bundle(tmp_path, {}), seed=1, history_texts=5)
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "catalogue.parquet").write_bytes(b"PAR1 broken PAR1")
    with pytest.raises(BundleError, match="dualtower verify"):
        Workload.of(Bundle(tmp_path, {}), seed=1, history_texts=5)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((2, DIM), np.float32), "shape"),
        (np.full((3, DIM), np.nan, np.float32), "NaN"),
        (np.zeros(3, np.float32), "shape"),
    ],
)
def test_wrong_answers_stop_the_run(values: np.ndarray, said: str) -> None:
    good = PredictResponse(outputs={"embedding": encode(np.zeros((3, DIM), np.float32))})
    check_answer("item_tower", 3, good.SerializeToString())
    bad = PredictResponse(outputs={"embedding": encode(values)})
    with pytest.raises(BundleError, match=said):
        check_answer("item_tower", 3, bad.SerializeToString())
    with pytest.raises(BundleError, match="shape"):
        check_answer("recommender", 3, good.SerializeToString())
