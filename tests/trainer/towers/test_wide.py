"""The wide part: numpy and graph against counting by hand, and hash tables that never lie."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

import dualtower_trainer  # noqa: F401  before TensorFlow
from dualtower_trainer.wide import WideVocabulary, build_wide_vocabulary
from dualtower_trainer.wide_layer import WideBag, bucket_count, pair_tables

CLS, SEP, PAD = 1, 2, 0
TEXTS = [
    [5, 6, 7],
    [5, 6, 6, 5, 6],  # repeats, of pieces and of the pair (5, 6)
    [7, 6, 5],
    [9, 9, 9],  # in this text alone, so never a gram
    [],
    [6],
    [5, 10, 6],  # an unknown piece parts the pair
    [8, 8],
    [8, 5],
]
WIDTH = 8


def tokens(texts: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    ids = np.zeros((len(texts), WIDTH), np.int32)
    mask = np.zeros_like(ids)
    for row, text in enumerate(texts):
        pieces = [CLS, *text, SEP]
        ids[row, : len(pieces)] = pieces
        mask[row, : len(pieces)] = 1
    return ids, mask


def grams_of(text: list[int]) -> list[tuple[int, ...]]:
    return [*((piece,) for piece in text), *itertools.pairwise(text)]


def by_hand(texts: list[list[int]], known: list[list[int]]) -> tuple[list, np.ndarray]:
    """Names of the grams, pieces first, and the bag."""
    counted: dict[tuple[int, ...], int] = {}
    for text in known:
        for gram in set(grams_of(text)):
            counted[gram] = counted.get(gram, 0) + 1
    names = sorted((gram for gram, n in counted.items() if n >= 2), key=lambda g: (len(g), g))
    idf = {gram: math.log((1 + len(known)) / (1 + counted[gram])) + 1 for gram in names}
    bag = np.zeros((len(texts), len(names)))
    for row, text in enumerate(texts):
        found = [gram for gram in grams_of(text) if gram in idf]
        length = math.sqrt(sum(idf[gram] ** 2 for gram in found))
        for gram in found:
            bag[row, names.index(gram)] += idf[gram] / length
    return names, bag


@pytest.fixture(scope="module")
def vocabulary() -> WideVocabulary:
    return build_wide_vocabulary(*tokens(TEXTS), special_ids=(CLS, SEP), max_grams=1000)


def layer_of(vocabulary: WideVocabulary, size: int, units: int = 3) -> WideBag:
    layer = WideBag(
        len(vocabulary.pieces), len(vocabulary.pairs), bucket_count(vocabulary), size, units
    )
    layer((np.zeros((1, 2), np.int32), np.zeros((1, 2), np.int32)))  # makes its weights
    layer.fill(vocabulary)
    table = np.random.default_rng(0).normal(size=layer.table.shape).astype(np.float32)
    table[0] = 0
    layer.table.assign(table)
    return layer


def test_the_vocabulary_holds_what_two_texts_share(vocabulary: WideVocabulary) -> None:
    names, _ = by_hand(TEXTS, TEXTS)
    pieces = [(int(piece),) for piece in vocabulary.pieces]
    pairs = [tuple(int(vocabulary.pieces[slot]) for slot in pair) for pair in vocabulary.pairs]
    assert pieces + pairs == names
    assert (5, 6) in pairs
    assert (9,) not in pieces
    assert len(vocabulary) == len(vocabulary.idf) == len(names)


@pytest.mark.parametrize(
    "texts", [TEXTS, [[11, 11], [5, 6, 7, 6, 5, 6]], [[]], [[5, 5, 5, 5, 5, 5]]]
)
def test_bag_and_layer_are_the_count_by_hand(
    vocabulary: WideVocabulary, texts: list[list[int]]
) -> None:
    _, expected = by_hand(texts, TEXTS)
    ids, mask = tokens(texts)
    bag = vocabulary.bag(ids, mask)
    np.testing.assert_allclose(bag.toarray(), expected, atol=1e-6)
    layer = layer_of(vocabulary, 12)
    found = layer((ids, mask)).numpy()
    np.testing.assert_allclose(found, expected @ layer.table.numpy()[1:], atol=1e-5)
    assert np.isfinite(found).all()


def test_padding_and_the_width_change_nothing(vocabulary: WideVocabulary) -> None:
    ids, mask = tokens(TEXTS)
    dirty = np.where(mask > 0, ids, 5).astype(np.int32)
    layer = layer_of(vocabulary, 12)
    expected = layer((ids, mask)).numpy()
    np.testing.assert_allclose(layer((dirty, mask)).numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(layer((ids[:, :7], mask[:, :7])).numpy(), expected, atol=1e-6)
    assert (vocabulary.bag(dirty, mask) != vocabulary.bag(ids, mask)).nnz == 0


def test_only_the_most_frequent_grams_are_kept() -> None:
    small = build_wide_vocabulary(*tokens(TEXTS), special_ids=(CLS, SEP), max_grams=2)
    assert len(small) == 2
    assert small.pieces.tolist() == [5, 6]  # in five texts each
    empty = build_wide_vocabulary(*tokens(TEXTS), special_ids=(CLS, SEP), max_grams=0)
    assert len(empty) == 0
    assert empty.bag(*tokens(TEXTS)).shape == (len(TEXTS), 0)


@pytest.mark.parametrize("seed", range(12))
def test_a_hash_table_finds_every_pair_and_never_another(seed: int) -> None:
    random = np.random.default_rng(seed)
    slots = int(random.integers(1, 60))
    everything = np.array(list(itertools.product(range(1, slots + 1), repeat=2)))
    chosen = random.choice(len(everything), int(random.integers(0, len(everything) + 1)), False)
    pairs = everything[np.sort(chosen)].astype(np.int32).reshape(-1, 2)
    tables = pair_tables(pairs, slots, first_gram=slots + 1)
    places = {tuple(pair): slots + 1 + row for row, pair in enumerate(pairs.tolist())}
    buckets = tables.keys.shape[1]
    for left, right in everything.tolist():
        found = sum(
            int(tables.grams[side, bucket])
            for side in (0, 1)
            for bucket in [(left * int(tables.multipliers[side]) + right) % buckets]
            if tables.keys[side, bucket] == left * (slots + 1) + right
        )
        assert found == places.get((left, right), 0)
    largest = slots * int(tables.multipliers.max()) + slots
    assert max(largest, (slots + 1) ** 2) < 2**31, "int32 in the graph"


@pytest.mark.parametrize("seed", range(3))
def test_the_layer_takes_no_strange_pair_for_a_gram(seed: int) -> None:
    """Random vocabularies and random texts, in the graph's own arithmetic."""
    random = np.random.default_rng(seed)
    pieces = np.sort(random.choice(np.arange(3, 400), 120, replace=False)).astype(np.int32)
    pairs = np.unique(random.integers(0, 120, (900, 2)), axis=0).astype(np.int32)
    idf = random.uniform(1, 5, 120 + len(pairs)).astype(np.float32)
    vocabulary = WideVocabulary(pieces, pairs, idf)
    ids = random.choice(np.concatenate([pieces[:40], [390, 399]]), (300, 9)).astype(np.int32)
    mask = (np.arange(9) < random.integers(0, 10, (300, 1))).astype(np.int32)
    layer = layer_of(vocabulary, 400, units=4)
    expected = vocabulary.bag(ids, mask) @ layer.table.numpy()[1:]
    np.testing.assert_allclose(layer((ids, mask)).numpy(), expected, atol=1e-5)


def test_too_many_pieces_are_named() -> None:
    with pytest.raises(ValueError, match="at most 46,339"):
        pair_tables(np.array([[1, 2]], np.int32), 46_340, 46_341)
