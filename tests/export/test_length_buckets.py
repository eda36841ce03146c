"""Lengths to which a batch is padded: every length against a search by hand."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from dualtower_export.length_buckets import bucket_of, buckets_up_to, pad_to_bucket


@pytest.mark.parametrize(
    ("max_tokens", "wanted", "found"),
    [
        (32, (8, 16, 32, 64), (8, 16, 32)),
        (24, (8, 16, 32), (8, 16, 24)),
        (6, (8, 16), (6,)),
        (12, (), (12,)),
    ],
)
def test_the_last_bucket_is_the_longest_text(max_tokens: int, wanted, found) -> None:
    assert buckets_up_to(max_tokens, wanted) == found


def test_every_length_goes_to_the_next_bucket() -> None:
    buckets = (3, 8, 16)
    pad = tf.function(
        lambda ids, mask: pad_to_bucket(ids, mask, buckets),
        input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2,
        autograph=False,
    )
    for tokens in range(1, 17):
        expected = min(bucket for bucket in buckets if bucket >= tokens)
        assert bucket_of(tokens, buckets) == expected
        for rows in (0, 1, 3):
            ids = np.arange(rows * tokens, dtype=np.int32).reshape(rows, tokens) + 5
            padded, mask = (part.numpy() for part in pad(ids, np.ones_like(ids)))
            assert padded.shape == mask.shape == (rows, expected)
            np.testing.assert_array_equal(padded[:, :tokens], ids)
            assert not padded[:, tokens:].any()
            np.testing.assert_array_equal(mask.sum(axis=1), [tokens] * rows)


def test_a_row_beyond_the_last_bucket_is_left_as_it_is() -> None:
    """Nothing is cut off here; `tidy` and the tokeniser have cut already."""
    ids = np.ones((2, 9), np.int32)
    padded, mask = pad_to_bucket(ids, ids, (4, 8))
    assert padded.shape == mask.shape == (2, 9)
