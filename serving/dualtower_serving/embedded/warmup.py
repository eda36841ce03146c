"""Replays a version's warm-up file before it answers anyone.

`VERSION/assets.extra/tf_serving_warmup_requests` is a TFRecord file of PredictionLog messages. Each
is sent through the same code as a request; model name and version inside are ignored. One that
fails, fails the load: a version that cannot answer its own examples must not replace one that can.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine, Iterator
from typing import Any

import tensorflow as tf
from google.protobuf.message import DecodeError

from dualtower_clients.proto import prediction_log_pb2
from dualtower_serving.embedded import examples
from dualtower_serving.embedded.execution import Call, LoadedModel
from dualtower_serving.embedded.predict import AnswerSettings, predict
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["WARMUP_FILE", "warm_up"]

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
_MAX_RECORDS = 1000
_FRAME_BYTES = 16  # of each record: its length and two checksums
_OF_KIND = {
    "predict_log": predict,
    "classify_log": examples.classify,
    "regress_log": examples.regress,
    "multi_inference_log": examples.multi_inference,
}


async def warm_up(
    model: LoadedModel,
    version: int,
    path: str,
    settings: AnswerSettings,
    *,
    iterations: int = 1,
) -> int:
    """Runs every record of the version in folder `path` that often; returns how many there are.

    Raises:
        StatusError: the file is no TFRecord, holds too many records, or one of them fails.
    """
    file = os.path.join(path, WARMUP_FILE)
    if not os.path.isfile(file):
        return 0
    count = 0
    for count, record in enumerate(_records(file), 1):
        if count > _MAX_RECORDS:
            raise StatusError(
                Code.INVALID_ARGUMENT,
                f"Number of warmup records exceeds the maximum ({_MAX_RECORDS}) at {file}",
            )
        for _ in range(iterations):
            await _replay(_parse(record), model, version, settings)
    return count


async def _replay(
    log: prediction_log_pb2.PredictionLog,
    model: LoadedModel,
    version: int,
    settings: AnswerSettings,
) -> None:
    kind = log.WhichOneof("log_type")
    if kind is None:
        return  # an empty log asks for nothing
    answer: Any = _OF_KIND.get(kind)
    if answer is None:
        field = prediction_log_pb2.PredictionLog.DESCRIPTOR.fields_by_name[kind]
        raise StatusError(Code.UNIMPLEMENTED, f"Unsupported log_type for warmup: {field.number}")
    run: Coroutine[Any, Any, Any] = answer(
        model, version, getattr(log, kind).request, settings, Call()
    )
    await run


def _records(file: str) -> Iterator[bytes]:
    records = tf.compat.v1.io.tf_record_iterator(file)
    read_bytes = 0
    while True:
        try:
            record = next(records)
        except StopIteration:
            break
        except tf.errors.OpError as error:
            raise StatusError(error.error_code, f"{file}: {error.message}") from error
        read_bytes += len(record) + _FRAME_BYTES
        yield record
    if read_bytes != os.path.getsize(file):  # TensorFlow passes over a cut-off length in silence
        raise StatusError(Code.DATA_LOSS, f"{file} ends within a record")


def _parse(record: bytes) -> prediction_log_pb2.PredictionLog:
    try:
        return prediction_log_pb2.PredictionLog.FromString(record)
    except DecodeError as error:
        raise StatusError(
            Code.INVALID_ARGUMENT, "Failed to parse warmup record, no PredictionLog"
        ) from error
