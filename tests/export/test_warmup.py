"""Warm-up files: what is in them, and that a bad one is refused."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from dualtower.bundle import MODELS
from dualtower_export import warmup
from dualtower_export.gate_warmup import check_warmup
from dualtower_export.warmup import FILE_NAME, MAX_RECORDS, Request, read_requests
from dualtower_export.warmup_texts import WarmupTexts

BUCKETS = (8, 12)


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


def pieces_of(texts: set[str], plan) -> int:
    return max((len(row) for row in plan.encoder.tokenizer.rows(sorted(texts))), default=0)


def test_every_size_and_length_of_every_signature_is_in_the_bundle(bundle, plan) -> None:
    """Read back from the files: 1, 2 and 4 rows, with longest texts up to 8 and up to 12 pieces."""
    known = set(map(str, plan.trained.texts))
    width = plan.encoder.tokenizer.max_tokens
    assert width == 12
    for model in MODELS:
        shapes: dict[str, list[tuple[int, int]]] = {}
        for request in read_requests(bundle.model_path(model) / "1/assets.extra" / FILE_NAME):
            (rows,) = {len(value) for value in request.inputs.values()}
            longest = 0
            if "text" in request.inputs:
                longest = pieces_of({raw.decode() for raw in request.inputs["text"]}, plan)
            elif "history" in request.inputs:
                names = {raw.decode() for raw in request.inputs["history"].ravel()}
                longest = pieces_of(names - known - {""}, plan)
            elif "mask" in request.inputs:
                mask = request.inputs["mask"]
                longest = int(mask.reshape(rows, -1, width).sum(axis=2).max())
            bucket = 0 if longest == 0 else 8 if longest <= 8 else 12
            shapes.setdefault(request.signature, []).append((rows, bucket))
        assert len(shapes.pop("describe")) == 1
        for signature, found in shapes.items():
            buckets = (0,) if signature == "from_item_ids" else (8, 12)
            assert sorted(found) == [(rows, b) for rows in (1, 2, 4) for b in buckets]
            # a long text alone, then the largest batch: they choose oneDNN's layouts
            assert found[0] == (1, buckets[-1])
            assert buckets == (0,) or found[1] == (4, buckets[-1])


def test_texts_are_real_and_some_are_unknown(bundle, trained) -> None:
    requests = read_requests(bundle.model_path("recommender") / "1" / "assets.extra" / FILE_NAME)
    histories = [r.inputs["history"] for r in requests if "history" in r.inputs]
    found = {raw.decode() for history in histories for raw in history.ravel()} - {""}
    known = set(trained.texts)
    assert found & known
    assert found - known


def test_what_is_written_reads_back(tmp_path: Path, samples) -> None:
    requests = list(warmup.requests_of("user_tower", samples, (1, 5), BUCKETS))
    assert warmup.write(tmp_path / "w", "user_tower", requests) == len(requests) == 1 + 4 + 2 + 4
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
    """As it reads back: strings are bytes."""
    requests = list(warmup.requests_of("item_tower", samples, (1, 2), BUCKETS))
    for request in requests:
        if "text" in request.inputs:
            raw = [text.encode() for text in request.inputs["text"]]
            request.inputs["text"] = np.array(raw, object)
    return requests


def _check(served, plan, requests: list[Request]):
    known, tokenizer = set(map(str, plan.trained.texts)), plan.encoder.tokenizer
    longest = partial(warmup.longest_text, known=known, tokenizer=tokenizer)
    return check_warmup("item_tower", served["item_tower"], requests, (1, 2), BUCKETS, longest)


def test_a_good_file_passes(served, plan, samples) -> None:
    gate = _check(served, plan, _good(samples))
    assert gate.passed
    assert "longest texts of [8, 12] word pieces" in gate.detail


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (Request("serving_default", {"txt": np.array([b"a"], object)}), "a record fails"),
        (Request("no_such", {"text": np.array([b"a"], object)}), "a record fails"),
        (
            Request(
                "from_tokens",
                {"ids": np.full((1, 12), 999_999, np.int32), "mask": np.ones((1, 12), np.int32)},
            ),
            "a record fails",
        ),
        (
            Request("serving_default", {"text": np.array([b"a"] * 3, object)}),
            "serving_default has, against the settings, 3 rows with a longest text of 8",
        ),
    ],
    ids=["input", "signature", "token", "size"],
)
def test_a_bad_record_is_found(served, plan, samples, bad: Request, said: str) -> None:
    gate = _check(served, plan, [*_good(samples), bad])
    assert not gate.passed
    assert said in gate.detail


@pytest.mark.parametrize("lost", range(8))
def test_each_missing_shape_is_named(served, plan, samples, lost: int) -> None:
    _, *records = _good(samples)
    missing = records.pop(lost)
    gate = _check(served, plan, records)
    assert not gate.passed
    rows = len(next(iter(missing.inputs.values())))
    assert f"{missing.signature} lacks {rows} rows with a longest text of" in gate.detail


@pytest.mark.parametrize("texts", [["tea"], ["green tea", "x" * 60], ["茶", "a b c d e f g h i j"]])
def test_texts_of_every_length_whatever_the_catalogue_has(plan, texts: list[str]) -> None:
    """Word pieces are counted by the tokeniser; buckets so narrow that only one length fits."""
    tokenizer, buckets = plan.encoder.tokenizer, (3, 4, 5, 8, 12)
    made = WarmupTexts(texts, set(texts), tokenizer, buckets)
    for low, bucket in zip((0, 3, 4, 5, 8), buckets, strict=True):
        for rows in (1, 3, 32):
            lengths = [len(row) for row in tokenizer.rows(made.batch(rows, bucket))]
            assert len(lengths) == rows
            assert low < lengths[0] <= bucket
            assert max(lengths) <= bucket
        for number in range(5):
            text = made.unknown(bucket, number)
            assert text not in texts
            assert low < len(tokenizer.rows([text])[0]) <= bucket
