"""Batches by length: widths, padding rows, negatives that are none, and the tokens saved."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from dualtower.errors import DataError
from dualtower_trainer.finetune.batches import PairBatches
from dualtower_trainer.pairs import Pairs


@pytest.fixture(scope="module")
def long_and_short(encoder) -> tuple[list[str], Pairs]:
    """Forty pairs of two words and forty of twelve, all texts different."""
    random = np.random.default_rng(0)
    words = ["tea", "green", "black", "cup", "wine", "red", "white", "glass", "bread", "rye", "oat"]
    texts = [
        " ".join(random.choice(words, 2 if n < 80 else 12)) + f" {n:03d}"[:4] for n in range(160)
    ]
    anchor = np.arange(0, 160, 2, dtype=np.int32)
    pairs = Pairs(anchor, anchor + 1, np.ones(80, np.float32), np.zeros(80, np.int8))
    return texts, pairs


def test_pairs_of_like_length_share_a_batch(encoder, long_and_short) -> None:
    texts, pairs = long_and_short
    batches = PairBatches(texts, pairs, encoder.tokenizer, batch_pairs=8, multiple=4)
    widths = {left for left, _ in batches.widths}
    assert len(batches.widths) == 2
    seen = set()
    for step in range(30):
        (batch,) = batches.batches(seed=0, step=step)
        (ids, mask), (right, right_mask) = batch.sides
        assert ids.shape == right.shape == mask.shape == (8, ids.shape[1])
        assert ids.shape[1] in widths
        assert ids.shape[1] - mask.sum(1).max() < 4
        seen.add(ids.shape[1])
        np.testing.assert_array_equal(mask, np.sort(mask)[:, ::-1])  # ones, then zeros
        assert ((ids == encoder.tokenizer.pad_id) == (mask == 0)).all()
        assert right_mask.any(axis=1).all()
    assert seen == widths


def test_tokens_are_counted_and_saved(encoder, long_and_short) -> None:
    texts, pairs = long_and_short
    count = PairBatches(texts, pairs, encoder.tokenizer, batch_pairs=8, multiple=1).tokens(seed=0)
    lengths = [len(row) for row in encoder.tokenizer.rows(texts)]
    assert count.real == sum(lengths)
    assert count.real <= count.bucketed < count.plain
    assert count.saved == pytest.approx(1 - count.bucketed / count.plain)
    assert count.saved > 0.2


def test_a_step_is_a_function_of_seed_and_number(encoder, texts, pairs) -> None:
    def make() -> PairBatches:
        return PairBatches(texts, pairs, encoder.tokenizer, batch_pairs=4, multiple=8)

    one, other = make(), make()
    one.batches(seed=0, step=0)
    for step in (3, 1):
        mine, theirs = (each.batches(seed=5, step=step)[0] for each in (one, other))
        np.testing.assert_array_equal(mine.sides[0][0], theirs.sides[0][0])
        np.testing.assert_array_equal(mine.sides[1][0], theirs.sides[1][0])
    (another,) = one.batches(seed=6, step=3)
    assert not np.array_equal(another.sides[0][0], one.batches(seed=5, step=3)[0].sides[0][0])


def test_accumulated_batches_differ_and_are_of_one_shape(encoder, long_and_short) -> None:
    texts, pairs = long_and_short
    batches = PairBatches(texts, pairs, encoder.tokenizer, batch_pairs=8, multiple=4)
    for step in range(10):
        group = batches.batches(seed=0, step=step, count=3)
        ids = [batch.sides[0][0] for batch in group]
        assert len({one.shape for one in ids}) == 1
        assert len({one.tobytes() for one in ids}) == 3


def test_rows_that_fill_up_count_for_nothing(encoder, texts, pairs) -> None:
    """36 texts give at most 18 pairs without a text twice; the batch has 24 rows."""
    batches = PairBatches(texts, pairs, encoder.tokenizer, batch_pairs=24, multiple=8)
    (batch,) = batches.batches(seed=0, step=0)
    accidental, weight = batch.constants
    real = int(weight.sum())
    assert 2 <= real <= 18
    assert (weight[:real] == 1).all()
    assert not weight[real:].any()
    outside = ~np.eye(24, dtype=bool)
    assert accidental[:, real:][outside[:, real:]].all()
    assert not accidental.diagonal().any()


def test_a_mined_pair_is_nobodys_negative(encoder, texts, pairs) -> None:
    """All texts of one kind are pairs, so only other kinds are negatives."""
    batches = PairBatches(texts, pairs, encoder.tokenizer, batch_pairs=8, multiple=8)
    (batch,) = batches.batches(seed=0, step=0)
    kinds = [
        np.isin(side[0], encoder.tokenizer.rows([word])[0][1]).any(axis=1)
        for word in ("tea", "wine", "bread")
        for side in batch.sides
    ]
    left = np.argmax(kinds[0::2], axis=0)
    right = np.argmax(kinds[1::2], axis=0)
    wanted = left[:, None] == right[None]
    np.fill_diagonal(wanted, False)
    np.testing.assert_array_equal(batch.constants[0], wanted)


@pytest.mark.parametrize("fault", ["few", "unknown"])
def test_pairs_that_cannot_be_used(encoder, texts, pairs, fault: str) -> None:
    one = slice(0, 1)
    few = Pairs(pairs.anchor[one], pairs.positive[one], pairs.weight[one], pairs.source[one])
    unknown = dataclasses.replace(pairs, positive=pairs.positive + 1000)
    bad, message = {
        "few": (few, "at least 2 pairs of texts, got 1"),
        "unknown": (unknown, "there are 36 texts"),
    }[fault]
    with pytest.raises(DataError, match=message):
        PairBatches(texts, bad, encoder.tokenizer, batch_pairs=4, multiple=8)
