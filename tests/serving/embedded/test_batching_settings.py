"""The batching parameters of a file: what is read, what is refused."""

from __future__ import annotations

import os

import pytest

from dualtower_serving.embedded.batching_settings import (
    BatchingSettings,
    read_file,
    read_per_model_file,
)
from dualtower_serving.embedded.status import Code, StatusError


def read(tmp_path, text: str) -> BatchingSettings:
    path = tmp_path / "batching.txt"
    path.write_text(text)
    return read_file(str(path))


def test_every_field(tmp_path):
    settings = read(
        tmp_path,
        """
        max_batch_size { value: 16 }  # a comment
        batch_timeout_micros { value: 2500 } max_enqueued_batches { value: 7 }
        num_batch_threads { value: 3 }
        thread_pool_name { value: "mine" }
        allowed_batch_sizes: [ 4, 16 ]
        pad_variable_length_inputs: true
        enable_large_batch_splitting { value: true }
        max_execution_batch_size { value: 4 }
        """,
    )
    assert settings == BatchingSettings(16, 2500, 7, 3, (4, 16), True, True, 4, "mine")
    assert (settings.threads, settings.execution_rows, settings.queue_batches) == (3, 4, 7)


@pytest.mark.parametrize("text", ["", "# nothing\n"])
def test_defaults(tmp_path, text):
    settings = read(tmp_path, text)
    assert settings == BatchingSettings()
    assert (settings.max_batch_size, settings.batch_timeout_micros) == (1000, 0)
    assert (settings.max_enqueued_batches, settings.allowed_batch_sizes) == (10, ())
    assert settings.execution_rows == 1000
    assert 1 <= settings.threads <= (os.cpu_count() or 1)


def test_no_room_for_a_waiting_batch_means_one(tmp_path):
    assert read(tmp_path, "max_enqueued_batches { value: 0 }").queue_batches == 1


def test_execution_size_counts_only_with_splitting(tmp_path):
    assert read(tmp_path, "max_execution_batch_size { value: 4 }").execution_rows == 1000
    split = "enable_large_batch_splitting { value: true } max_batch_size { value: 64 }"
    assert read(tmp_path, split).execution_rows == 64


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("num_batch_threads { value: 0 }", "num_batch_threads must be positive; was 0"),
        ("num_batch_threads {}", "num_batch_threads must be positive; was 0"),
        (
            "max_batch_size { value: 4 } allowed_batch_sizes: 2 allowed_batch_sizes: 8",
            "Last entry in allowed_batch_sizes must match max_batch_size; "
            "last entry was 8; expected 4",
        ),
        (
            "allowed_batch_sizes: 32",
            "Last entry in allowed_batch_sizes must match max_batch_size; "
            "last entry was 32; expected 1000",
        ),
        ("max_batch_size { value: 0 }", "max_batch_size must be positive; was 0"),
        (
            "batch_timeout_micros { value: -1 }",
            "batch_timeout_micros must be non-negative; was -1",
        ),
        (
            "max_enqueued_batches { value: -3 }",
            "max_enqueued_batches must be non-negative; was -3",
        ),
        (
            "max_enqueued_batches { value: 0 } enable_large_batch_splitting { value: true }",
            "max_enqueued_batches must be positive; was 0",
        ),
        (
            "max_batch_size { value: 4 } max_execution_batch_size { value: 8 } "
            "enable_large_batch_splitting { value: true }",
            "When enable_large_batch_splitting is true, max_batch_size must be greater than or "
            "equal to max_execution_batch_size; were 4 and 8",
        ),
        (
            "max_execution_batch_size { value: 0 } enable_large_batch_splitting { value: true }",
            "max_execution_batch_size must be positive; was 0",
        ),
    ],
)
def test_values_that_do_not_fit(tmp_path, text, message):
    with pytest.raises(StatusError) as caught:
        read(tmp_path, text)
    assert (caught.value.code, caught.value.message) == (Code.INVALID_ARGUMENT, message)


@pytest.mark.parametrize("text", ["max_batch_size: 4", "max_batch { value: 4 }", "{", "\x00"])
def test_text_that_does_not_parse(tmp_path, text):
    with pytest.raises(StatusError, match=r"Invalid protobuf file: '.*batching\.txt'") as caught:
        read(tmp_path, text)
    assert caught.value.code == Code.INVALID_ARGUMENT
    assert "max_batch_size { value: 32 }" in caught.value.message


def test_bytes_that_are_no_text(tmp_path):
    path = tmp_path / "batching.txt"
    path.write_bytes(b"max_batch_size \xff")
    with pytest.raises(StatusError, match="Invalid protobuf file"):
        read_file(str(path))


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(StatusError, match="No such file") as caught:
        read_file(str(tmp_path / "absent"))
    assert caught.value.code == Code.NOT_FOUND


def test_a_version_with_and_without_a_file(tmp_path):
    assert read_per_model_file(str(tmp_path)) is None
    (tmp_path / "batching_params.pbtxt").write_text("max_batch_size { value: 5 }")
    settings = read_per_model_file(str(tmp_path))
    assert settings is not None
    assert settings.max_batch_size == 5


def test_a_version_whose_file_cannot_be_read(tmp_path):
    (tmp_path / "batching_params.pbtxt").symlink_to(tmp_path / "gone")
    with pytest.raises(StatusError):
        read_per_model_file(str(tmp_path))
