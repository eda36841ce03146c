"""How requests share runs of a graph: `--batching_parameters_file`, and one file a version.

Both are protobuf text with wrapped numbers, `max_batch_size { value: 32 }`. What a file leaves out
takes TensorFlow Serving's default; messages are that server's own where it has one.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from google.protobuf import text_format

from dualtower_clients.proto import server_config_pb2
from dualtower_serving.embedded.status import Code, StatusError

__all__ = ["PER_MODEL_FILE", "BatchingSettings", "read_file", "read_per_model_file"]

PER_MODEL_FILE = "batching_params.pbtxt"  # beside saved_model.pb

_MAX_BATCH_SIZE = 1000
_MAX_ENQUEUED_BATCHES = 10


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class BatchingSettings:
    """The parameters of batching, checked.

    Attributes:
        max_batch_size: most rows of one batch, and of one request.
        batch_timeout_micros: longest wait of a batch that is not full.
        max_enqueued_batches: most batches that wait in one queue; 0 means 1, unless requests are
            split.
        num_batch_threads: batches that run at a time, of all models together; None: one a core.
        allowed_batch_sizes: a batch is padded to the first of these that holds it. The last is
            `max_batch_size`.
        pad_variable_length_inputs: whether inputs of different widths may share a batch.
        enable_large_batch_splitting: whether a request may be spread over several batches.
        max_execution_batch_size: most rows of one batch when requests are split; None:
            `max_batch_size`, which is then only the most rows of one request.
        thread_pool_name: what the threads are called.
    """

    max_batch_size: int = _MAX_BATCH_SIZE
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = _MAX_ENQUEUED_BATCHES
    num_batch_threads: int | None = None
    allowed_batch_sizes: tuple[int, ...] = ()
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int | None = None
    thread_pool_name: str = "batch_threads"

    def __post_init__(self) -> None:
        for problem in self._problems():
            raise StatusError(Code.INVALID_ARGUMENT, problem)

    @property
    def threads(self) -> int:
        """How many batches run at a time."""
        return _cores() if self.num_batch_threads is None else self.num_batch_threads

    @property
    def execution_rows(self) -> int:
        """Most rows of one run, before padding."""
        if not self.enable_large_batch_splitting or self.max_execution_batch_size is None:
            return self.max_batch_size
        return self.max_execution_batch_size

    @property
    def queue_batches(self) -> int:
        """Most batches that wait in one queue, the open one included."""
        return max(1, self.max_enqueued_batches)

    def _problems(self) -> Iterator[str]:
        """What is wrong, in the order in which TensorFlow Serving looks."""
        if self.num_batch_threads is not None and self.num_batch_threads < 1:
            yield f"num_batch_threads must be positive; was {self.num_batch_threads}"
        sizes = self.allowed_batch_sizes
        if sizes and sizes[-1] != self.max_batch_size:
            yield (
                "Last entry in allowed_batch_sizes must match max_batch_size; "
                f"last entry was {sizes[-1]}; expected {self.max_batch_size}"
            )
        if self.max_batch_size < 1:
            yield f"max_batch_size must be positive; was {self.max_batch_size}"
        if self.batch_timeout_micros < 0:
            yield f"batch_timeout_micros must be non-negative; was {self.batch_timeout_micros}"
        if self.max_enqueued_batches < 0:
            yield f"max_enqueued_batches must be non-negative; was {self.max_enqueued_batches}"
        if self.enable_large_batch_splitting:
            if self.max_enqueued_batches == 0:
                yield "max_enqueued_batches must be positive; was 0"
            if self.execution_rows < 1:
                yield f"max_execution_batch_size must be positive; was {self.execution_rows}"
            if self.execution_rows > self.max_batch_size:  # the stock server crashes at the load
                yield (
                    "When enable_large_batch_splitting is true, max_batch_size must be greater "
                    "than or equal to max_execution_batch_size; "
                    f"were {self.max_batch_size} and {self.execution_rows}"
                )


def read_file(path: str) -> BatchingSettings:
    """The settings in a file of protobuf's text format.

    Raises:
        StatusError: the file cannot be read or parsed, or its values do not fit together.
    """
    parameters = server_config_pb2.BatchingParameters()
    try:
        with open(path, encoding="utf-8") as stream:
            text_format.Parse(stream.read(), parameters)
    except OSError as error:
        raise StatusError(
            Code.NOT_FOUND, f"cannot read the batching parameters {path}: {error.strerror}"
        ) from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise StatusError(
            Code.INVALID_ARGUMENT,
            f"Invalid protobuf file: '{path}': {error}; "
            "numbers are wrapped: max_batch_size { value: 32 }",
        ) from error
    return _settings_of(parameters)


def read_per_model_file(version_path: str) -> BatchingSettings | None:
    """The settings in a version's own folder; None where it has none, and is not batched.

    Raises:
        StatusError: as `read_file`.
    """
    path = os.path.join(version_path, PER_MODEL_FILE)
    return read_file(path) if os.path.lexists(path) else None


def _settings_of(parameters: server_config_pb2.BatchingParameters) -> BatchingSettings:
    """Of wrapped fields, those that are set: a value of 0 is not the same as none."""
    wrapped = {
        name: getattr(parameters, name).value
        for name in (
            "max_batch_size",
            "batch_timeout_micros",
            "max_enqueued_batches",
            "num_batch_threads",
            "thread_pool_name",
            "enable_large_batch_splitting",
            "max_execution_batch_size",
        )
        if parameters.HasField(name)
    }
    return BatchingSettings(
        **wrapped,
        allowed_batch_sizes=tuple(parameters.allowed_batch_sizes),
        pad_variable_length_inputs=parameters.pad_variable_length_inputs,
    )
