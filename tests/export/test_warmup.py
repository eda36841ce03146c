"""Warm-up files: what is in them, and that a bad one is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dualtower.bundle import MODELS
from dualtower_export import warmup
from dualtower_export.gate_warmup import check_warmup
from dualtower_export.warmup import FILE_NAME, MAX_RECORDS, Request, read_requests


@pytest.fixture
def samples(plan) -> warmup.Samples:
    trained = plan.trained
    return warmup.Samples(
        histories=[np.array([3, 9, 1]), np.array([2])],
        item_ids=trained.item_ids,
        texts=trained.texts,
        history_items=trained.config.history_items,
        tokenizer=plan.encoder.tokenizer,
    )


def test_every_size_of_every_signature_is_in_the_bundle(bundle) -> None:
    for model in MODELS:
        requests = read_requests(bundle.model_path(model) / "1" / "assets.extra" / FILE_NAME)
        sizes: dict[str, list[int]] = {}
        for request in requests:
            (rows,) = {len(value) for value in request.inputs.values()}
            sizes.setdefault(request.signature, []).append(rows)
        assert sizes.pop("describe") == [1]
        assert sizes
        assert all(found == [1, 2, 4] for found in sizes.values())


def test_texts_are_real_and_some_are_unknown(bundle, trained) -> None:
    requests = read_requests(bundle.model_path("recommender") / "1" / "assets.extra" / FILE_NAME)
    histories = [r.inputs["history"] for r in requests if "history" in r.inputs]
    found = {raw.decode() for history in histories for raw in history.ravel()} - {""}
    known = set(trained.texts)
    assert found & known
    assert found - known


def test_what_is_written_reads_back(tmp_path: Path, samples) -> None:
    requests = list(warmup.requests_of("user_tower", samples, (1, 5)))
    assert warmup.write(tmp_path / "w", "user_tower", requests) == len(requests) == 7
    for before, after in zip(requests, read_requests(tmp_path / "w"), strict=True):
        assert before.signature == after.signature
        for name, value in before.inputs.items():
            expected = [str(cell).encode() for cell in value.ravel()]
            if value.dtype != object:
                expected = value.ravel().tolist()
            assert after.inputs[name].ravel().tolist() == expected
            assert after.inputs[name].shape == value.shape


def test_more_records_than_the_server_reads_are_refused(tmp_path: Path) -> None:
    request = Request("describe", {"ask": np.array([""], object)})
    with pytest.raises(ValueError, match="at most 1000"):
        warmup.write(tmp_path / "w", "item_tower", [request] * (MAX_RECORDS + 1))


def _good(samples: warmup.Samples) -> list[Request]:
    return list(warmup.requests_of("item_tower", samples, (1, 2)))


def test_a_good_file_passes(served, samples) -> None:
    assert check_warmup("item_tower", served["item_tower"], _good(samples), (1, 2)).passed


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (Request("serving_default", {"txt": np.array(["a"], object)}), "a record fails"),
        (Request("no_such", {"text": np.array(["a"], object)}), "a record fails"),
        (
            Request(
                "from_tokens",
                {"ids": np.full((1, 12), 999_999, np.int32), "mask": np.ones((1, 12), np.int32)},
            ),
            "a record fails",
        ),
        (Request("serving_default", {"text": np.array(["a"] * 3, object)}), "not every batch size"),
    ],
    ids=["input", "signature", "token", "size"],
)
def test_a_bad_record_is_found(served, samples, bad: Request, said: str) -> None:
    gate = check_warmup("item_tower", served["item_tower"], [*_good(samples), bad], (1, 2))
    assert not gate.passed
    assert said in gate.detail
