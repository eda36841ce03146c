"""Warm-up files: real requests that the server replays before it calls a version available.

A TFRecord of PredictionLog at `assets.extra/tf_serving_warmup_requests`. Every batched signature is
there at every batch size that the server forms, with texts of every length that it pads to, so that
no client meets a first run.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from dualtower.edge.tokenizer import Tokenizer
from dualtower_export.contract import DESCRIBE_INPUT
from dualtower_export.warmup_texts import WarmupTexts

__all__ = [
    "FILE_NAME",
    "MAX_RECORDS",
    "Request",
    "Samples",
    "longest_text",
    "read_requests",
    "requests_of",
    "token_rows",
    "write",
]

FILE_NAME = "tf_serving_warmup_requests"
MAX_RECORDS = 1000  # the server refuses a version with more
_TOKEN_ITEMS = 4  # items a history from tokens: each costs a run of BERT
_UNKNOWN_EVERY = 4  # every fourth history has a text that the catalogue lacks
_EXCLUDED = 8  # columns of a request's `exclude`
_TEXTS = 1024  # texts that requests are made of


@dataclass(frozen=True)
class Request:
    """One call of a signature: its inputs as numpy arrays."""

    signature: str
    inputs: dict[str, np.ndarray]


@dataclass(frozen=True)
class Samples:
    """Real material for requests.

    Attributes:
        histories: catalogue rows of people, most recent first, at least one history.
        item_ids: object str [n].
        texts: object str [n].
        history_items: length of a history in a request.
        tokenizer: that of the item tower.
    """

    histories: list[np.ndarray]
    item_ids: np.ndarray
    texts: np.ndarray
    history_items: int
    tokenizer: Tokenizer


def requests_of(
    model: str, samples: Samples, batch_sizes: Sequence[int], buckets: Sequence[int]
) -> Iterator[Request]:
    """The warm-up requests of one of the three models, signature by signature.

    Every batch size comes with every bucket of lengths where texts or word pieces are read, and the
    longest text of the request is in that bucket. Signatures of item ids run no BERT: one a size.

    Args:
        model: its name in the contract.
        samples: what requests are made of.
        batch_sizes: those that the server forms.
        buckets: see `length_buckets.buckets_up_to`.
    """
    yield Request("describe", {DESCRIBE_INPUT: _strings([""])})
    some = [str(text) for row in samples.histories for text in samples.texts[row]][:_TEXTS]
    known = set(map(str, samples.texts))
    texts = WarmupTexts(some or list(samples.texts[:1]), known, samples.tokenizer, buckets)
    shapes = _in_order(batch_sizes, buckets)
    if model == "item_tower":
        for size, bucket in shapes:
            yield Request("serving_default", {"text": _strings(texts.batch(size, bucket))})
        for size, bucket in shapes:
            yield Request("from_tokens", _tokens_of(texts, size, bucket, 1, samples.tokenizer))
        return
    for size, bucket in shapes:
        histories = {"history": _unknown_among(samples, texts, size, bucket)}
        yield Request("serving_default", {**histories, **_excluded(model, samples, size)})
    for size in batch_sizes:
        rows = [samples.item_ids[row] for row in _histories(samples, size)]
        ids = {"item_ids": _strings(_pad(rows, samples.history_items))}
        yield Request("from_item_ids", {**ids, **_excluded(model, samples, size)})
    if model == "user_tower":
        for size, bucket in shapes:
            tokens = _tokens_of(texts, size, bucket, _TOKEN_ITEMS, samples.tokenizer)
            yield Request("from_tokens", tokens)


def write(path: Path, model: str, requests: Iterable[Request]) -> int:
    """Writes a warm-up file; returns how many records it has.

    Raises:
        ValueError: more records than the server reads.
    """
    count = 0
    with tf.io.TFRecordWriter(str(path)) as writer:
        for count, request in enumerate(requests, start=1):
            if count > MAX_RECORDS:
                raise ValueError(f"a warm-up file holds at most {MAX_RECORDS} records")
            predict = predict_pb2.PredictRequest()
            predict.model_spec.name = model
            predict.model_spec.signature_name = request.signature
            for name, value in request.inputs.items():
                predict.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=predict)
            )
            writer.write(log.SerializeToString())
    return count


def read_requests(path: Path) -> list[Request]:
    """The requests of a warm-up file."""
    requests = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        predict = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        inputs = {name: tf.make_ndarray(value) for name, value in predict.inputs.items()}
        requests.append(Request(predict.model_spec.signature_name, inputs))
    return requests


def longest_text(request: Request, known: Collection[str], tokenizer: Tokenizer) -> int:
    """Word pieces of the longest text of a request that BERT reads; 0 where it reads none.

    Args:
        request: one of a warm-up file, strings as bytes.
        known: the catalogue's texts, which a history looks up.
        tokenizer: that of the item tower.
    """
    if "mask" in request.inputs:
        places = np.arange(1, tokenizer.max_tokens + 1)
        return int((request.inputs["mask"].reshape(-1, len(places)) * places).max(initial=0))
    texts = {text.decode() for text in request.inputs.get("text", np.array([])).ravel()}
    history = {text.decode() for text in request.inputs.get("history", np.array([])).ravel()}
    texts |= history - set(known) - {""}
    return max(map(len, tokenizer.rows(sorted(texts))), default=0)


def _in_order(batch_sizes: Sequence[int], buckets: Sequence[int]) -> list[tuple[int, int]]:
    """Every size with every bucket, beginning with one long text, then the largest batch.

    oneDNN keeps one packed layout of each matrix, that of the first call. BERT has a matrix for few
    tokens and one for many (see `serving_bert`), and these two calls give each the right layout.
    """
    first = [(batch_sizes[0], buckets[-1]), (batch_sizes[-1], buckets[-1])]
    shapes = [(size, bucket) for size in batch_sizes for bucket in buckets]
    return list(dict.fromkeys([*first, *shapes]))


def _histories(samples: Samples, size: int) -> list[np.ndarray]:
    return [samples.histories[place % len(samples.histories)] for place in range(size)]


def _unknown_among(samples: Samples, texts: WarmupTexts, size: int, bucket: int) -> np.ndarray:
    """Histories as texts, every fourth of which begins with one that the catalogue lacks."""
    rows = [list(samples.texts[row]) for row in _histories(samples, size)]
    for number, row in enumerate(rows[::_UNKNOWN_EVERY]):
        row[:1] = [texts.unknown(bucket, number)]
    return _strings(_pad(rows, samples.history_items))


def _excluded(model: str, samples: Samples, size: int) -> dict[str, np.ndarray]:
    if model != "recommender":
        return {}
    rows = [samples.item_ids[row[-2:]] for row in _histories(samples, size)]
    return {"exclude": _strings(_pad(rows, _EXCLUDED))}


def _tokens_of(
    texts: WarmupTexts, size: int, bucket: int, items: int, tokenizer: Tokenizer
) -> dict[str, np.ndarray]:
    batch = texts.batch(size * items, bucket)
    rows = [batch[begin : begin + items] for begin in range(0, len(batch), items)]
    return token_rows(rows, items, tokenizer)


def _pad(rows: Iterable[Sequence[str]], width: int) -> list[list[str]]:
    return [[*row[:width], *[""] * (width - len(row))] for row in rows]


def token_rows(
    histories: Sequence[Sequence[str]], items: int, tokenizer: Tokenizer
) -> dict[str, np.ndarray]:
    """`ids` and `mask` int32 [histories, items * max_tokens]: item beside item, zeros behind."""
    width = tokenizer.max_tokens
    found = {name: np.zeros((len(histories), items * width), np.int32) for name in ("ids", "mask")}
    for row, history in enumerate(histories):
        for place, pieces in enumerate(tokenizer.rows(history[:items])):
            begin = place * width
            found["ids"][row, begin : begin + len(pieces)] = pieces
            found["mask"][row, begin : begin + len(pieces)] = 1
    return found


def _strings(values: object) -> np.ndarray:
    return np.array(values, object)
