"""Warm-up files: real requests that the server replays before it calls a version available.

A TFRecord of PredictionLog at `assets.extra/tf_serving_warmup_requests`. Every batched signature is
there at every batch size that the server forms, so that no client meets a first run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from dualtower_export.contract import DESCRIBE_INPUT
from dualtower_trainer.tokenizer import Tokenizer

__all__ = [
    "FILE_NAME",
    "MAX_RECORDS",
    "Request",
    "Samples",
    "read_requests",
    "requests_of",
    "token_rows",
    "write",
]

FILE_NAME = "tf_serving_warmup_requests"
MAX_RECORDS = 1000  # the server refuses a version with more
_TOKEN_ITEMS = 4  # items a history from tokens: each costs a run of BERT
_UNKNOWN_EVERY = 4  # every fourth history has a text that the catalogue lacks


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


def requests_of(model: str, samples: Samples, batch_sizes: Iterable[int]) -> Iterator[Request]:
    """The warm-up requests of one of the three models, small batches first.

    oneDNN keeps one packed layout of a weight, and the first shape seen wins: single requests,
    which a person waits for, come first.
    """
    yield Request("describe", {DESCRIBE_INPUT: _strings([""])})
    for size in batch_sizes:
        rows = [samples.histories[place % len(samples.histories)] for place in range(size)]
        histories = _strings(_pad(_texts(rows, samples), samples.history_items))
        ids = _strings(_pad([samples.item_ids[row] for row in rows], samples.history_items))
        exclude = _strings(_pad([samples.item_ids[row[-2:]] for row in rows], 8))
        items = np.concatenate(rows)[:size]
        if model == "item_tower":
            texts = np.resize(samples.texts[items], size)
            yield Request("serving_default", {"text": _strings(texts)})
            tokens = token_rows([[text] for text in texts], 1, samples.tokenizer)
            yield Request("from_tokens", tokens)
        elif model == "user_tower":
            yield Request("serving_default", {"history": histories})
            yield Request("from_item_ids", {"item_ids": ids})
            some = [list(samples.texts[row[:_TOKEN_ITEMS]]) for row in rows]
            yield Request("from_tokens", token_rows(some, _TOKEN_ITEMS, samples.tokenizer))
        else:
            yield Request("serving_default", {"history": histories, "exclude": exclude})
            yield Request("from_item_ids", {"item_ids": ids, "exclude": exclude})


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


def _texts(rows: list[np.ndarray], samples: Samples) -> list[list[str]]:
    texts = [list(samples.texts[row]) for row in rows]
    for place, history in enumerate(texts):
        if history and place % _UNKNOWN_EVERY == 0:
            history[0] += " new"
    return texts


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
