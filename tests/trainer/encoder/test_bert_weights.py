from __future__ import annotations

import numpy as np
import pytest

from dualtower.errors import UsageError
from dualtower_trainer.bert import build_bert, load_weights, read_weights
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import canonical_tensors, expected_shapes, random_tensors

WORDS = "embeddings.word_embeddings.weight"


@pytest.fixture
def tensors(config: BertConfig) -> dict[str, np.ndarray]:
    return random_tensors(config, seed=1)


def test_names_are_hugging_faces(config: BertConfig) -> None:
    names = set(expected_shapes(config))
    assert len(names) == 5 + 16 * config.num_hidden_layers
    assert "encoder.layer.1.attention.self.query.weight" in names
    assert "embeddings.LayerNorm.bias" in names


def test_weights_read_back_bit_for_bit(config: BertConfig, tensors: dict[str, np.ndarray]) -> None:
    model = build_bert(config)
    load_weights(model, tensors)
    read = read_weights(model)
    assert list(read) == sorted(tensors)
    for name, value in read.items():
        assert value.dtype == np.float32
        assert value.flags.c_contiguous
        np.testing.assert_array_equal(value, tensors[name])


def test_a_checkpoint_with_a_task_head_is_the_same(
    config: BertConfig, tensors: dict[str, np.ndarray]
) -> None:
    extra = np.zeros((3, 3), np.float32)
    with_head = {f"bert.{name}": value for name, value in tensors.items()}
    with_head |= {"bert.pooler.dense.weight": extra, "classifier.weight": extra, "cls.bias": extra}
    bare = {**tensors, "embeddings.position_ids": extra, "pooler.dense.bias": extra}
    for given in (with_head, bare):
        canonical = canonical_tensors(config, given)
        assert list(canonical) == sorted(tensors)
        np.testing.assert_array_equal(canonical[WORDS], tensors[WORDS])


def test_gamma_and_beta_are_weight_and_bias(
    config: BertConfig, tensors: dict[str, np.ndarray]
) -> None:
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): value
        for name, value in tensors.items()
    }
    assert set(old) != set(tensors)
    assert set(canonical_tensors(config, old)) == set(tensors)


def test_half_precision_becomes_float32(config: BertConfig, tensors: dict[str, np.ndarray]) -> None:
    half = {name: value.astype(np.float16) for name, value in tensors.items()}
    canonical = canonical_tensors(config, half)
    assert {value.dtype for value in canonical.values()} == {np.dtype(np.float32)}
    np.testing.assert_array_equal(canonical[WORDS], half[WORDS].astype(np.float32))


def test_missing_tensors_are_named(config: BertConfig, tensors: dict[str, np.ndarray]) -> None:
    del tensors[WORDS]
    with pytest.raises(UsageError, match=rf"lacks tensors: {WORDS}; its weights and its config"):
        canonical_tensors(config, tensors)


def test_many_missing_tensors_are_counted(config: BertConfig) -> None:
    with pytest.raises(UsageError, match="and 33 more"):
        canonical_tensors(config, {})


def test_a_layer_too_many_is_named(config: BertConfig, tensors: dict[str, np.ndarray]) -> None:
    tensors["encoder.layer.2.output.dense.bias"] = np.zeros(24, np.float32)
    with pytest.raises(UsageError, match=r"has unknown tensors: encoder\.layer\.2\.output"):
        canonical_tensors(config, tensors)


def test_mis_shaped_tensors_are_named_and_nothing_is_loaded(
    config: BertConfig, tensors: dict[str, np.ndarray]
) -> None:
    model = build_bert(config)
    load_weights(model, tensors)
    changed = {**random_tensors(config, seed=2), WORDS: np.zeros((7, 24), np.float32)}
    with pytest.raises(UsageError, match=rf"mis-shaped tensors: {WORDS} \[7, 24\] instead of"):
        load_weights(model, changed)
    np.testing.assert_array_equal(read_weights(model)[WORDS], tensors[WORDS])


def test_fresh_weights_depend_on_the_seed_alone(config: BertConfig) -> None:
    one, same, other = (random_tensors(config, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one[WORDS], other[WORDS])
    assert np.all(one["embeddings.LayerNorm.weight"] == 1)
    assert not np.any(one["encoder.layer.0.output.dense.bias"])
