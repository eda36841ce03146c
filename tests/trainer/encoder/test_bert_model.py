"""The BERT against a plain float64 numpy forward pass written here from the paper."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from scipy.special import erf

from dualtower.errors import UsageError
from dualtower_trainer.bert import build_bert, load_weights, read_weights
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import expected_shapes, random_tensors


def layer_norm(x: np.ndarray, weights: Mapping[str, np.ndarray], name: str, eps: float):
    mean = x.mean(-1, keepdims=True)
    deviation = np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + eps)
    return (x - mean) / deviation * weights[f"{name}.weight"] + weights[f"{name}.bias"]


def linear(x: np.ndarray, weights: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]


def gelu(x: np.ndarray, act: str) -> np.ndarray:
    if act == "gelu":
        return x * 0.5 * (1 + erf(x / math.sqrt(2)))
    return x * 0.5 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def oracle(
    config: BertConfig, tensors: Mapping[str, np.ndarray], ids: np.ndarray, mask: np.ndarray
) -> np.ndarray:
    """One text and one head at a time, pads cut off and not masked."""
    weights = {name: value.astype(np.float64) for name, value in tensors.items()}
    eps, width = config.layer_norm_eps, config.hidden_size // config.num_attention_heads
    pooled = np.zeros((len(ids), config.hidden_size))
    for row in range(len(ids)):
        kept = np.flatnonzero(mask[row])
        if not len(kept):
            continue
        x = (
            weights["embeddings.word_embeddings.weight"][ids[row, kept]]
            + weights["embeddings.position_embeddings.weight"][kept]
            + weights["embeddings.token_type_embeddings.weight"][0]
        )
        x = layer_norm(x, weights, "embeddings.LayerNorm", eps)
        for index in range(config.num_hidden_layers):
            at = f"encoder.layer.{index}"
            q = linear(x, weights, f"{at}.attention.self.query")
            k = linear(x, weights, f"{at}.attention.self.key")
            v = linear(x, weights, f"{at}.attention.self.value")
            heads = []
            for head in range(config.num_attention_heads):
                part = slice(head * width, (head + 1) * width)
                scores = q[:, part] @ k[:, part].T / math.sqrt(width)
                share = np.exp(scores - scores.max(1, keepdims=True))
                heads.append(share / share.sum(1, keepdims=True) @ v[:, part])
            mixed = linear(np.concatenate(heads, 1), weights, f"{at}.attention.output.dense")
            x = layer_norm(x + mixed, weights, f"{at}.attention.output.LayerNorm", eps)
            inner = gelu(linear(x, weights, f"{at}.intermediate.dense"), config.hidden_act)
            out = linear(inner, weights, f"{at}.output.dense")
            x = layer_norm(x + out, weights, f"{at}.output.LayerNorm", eps)
        pooled[row] = x.mean(0)
    return pooled


@pytest.fixture(scope="module")
def tensors(config: BertConfig) -> dict[str, np.ndarray]:
    """Random in every entry, biases and LayerNorms too."""
    generator = np.random.default_rng(7)
    return {
        name: generator.normal(0.1, 0.5, shape).astype(np.float32)
        for name, shape in expected_shapes(config).items()
    }


def batch(config: BertConfig, lengths: list[int], tokens: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    ids = generator.integers(0, config.vocab_size, (len(lengths), tokens)).astype(np.int32)
    mask = (np.arange(tokens) < np.array(lengths)[:, None]).astype(np.int32)
    return ids, mask


@pytest.mark.parametrize("act", ["gelu", "gelu_new"])
def test_equals_the_oracle(config: BertConfig, tensors: dict[str, np.ndarray], act: str) -> None:
    config = dataclasses.replace(config, hidden_act=act)
    model = build_bert(config)
    load_weights(model, tensors)
    ids, mask = batch(config, [9, 1, 4, 0, 7], 9)
    np.testing.assert_allclose(model([ids, mask]), oracle(config, tensors, ids, mask), atol=1e-5)


@pytest.mark.parametrize(("tokens", "rows"), [(None, None), (6, None), (None, 2), (6, 2), (1, 1)])
def test_static_and_dynamic_shapes_agree(
    config: BertConfig, tensors: dict[str, np.ndarray], tokens: int | None, rows: int | None
) -> None:
    model = build_bert(config, tokens=tokens, batch=rows)
    load_weights(model, tensors)
    assert model.output_shape == (rows, config.hidden_size)
    ids, mask = batch(config, [6, 3][: rows or 2], tokens or 6)
    np.testing.assert_allclose(model([ids, mask]), oracle(config, tensors, ids, mask), atol=1e-5)


def test_any_batch_and_length_through_one_graph(
    config: BertConfig, tensors: dict[str, np.ndarray]
) -> None:
    import tensorflow as tf

    model = build_bert(config)
    load_weights(model, tensors)
    spec = tf.TensorSpec([None, None], tf.int32)
    graph = tf.function(
        lambda ids, mask: model([ids, mask]), input_signature=[spec, spec], autograph=False
    )
    for lengths, tokens in [([3], 3), ([1, 5, 2], 5), ([64], 64)]:
        ids, mask = batch(config, lengths, tokens)
        np.testing.assert_allclose(graph(ids, mask), oracle(config, tensors, ids, mask), atol=1e-5)
    assert graph(np.zeros((0, 4), np.int32), np.zeros((0, 4), np.int32)).shape == (0, 24)
    assert graph.experimental_get_tracing_count() == 1


def test_a_row_of_pads_gives_zeros_and_finite_gradients(
    config: BertConfig, tensors: dict[str, np.ndarray]
) -> None:
    import tensorflow as tf

    model = build_bert(config)
    load_weights(model, tensors)
    ids, mask = batch(config, [0, 2], 5)
    with tf.GradientTape() as tape:
        pooled = model([ids, mask])
        loss = tf.reduce_sum(pooled**2)
    assert not np.any(pooled[0])
    for gradient in tape.gradient(loss, model.trainable_variables):
        assert np.all(np.isfinite(tf.convert_to_tensor(gradient)))


def test_padding_does_not_change_a_vector(
    config: BertConfig, tensors: dict[str, np.ndarray]
) -> None:
    model = build_bert(config)
    load_weights(model, tensors)
    ids, mask = batch(config, [4], 4)
    alone = model([ids, mask]).numpy()
    garbage = np.concatenate([ids, np.full((1, 20), 9, np.int32)], axis=1)
    longer = np.concatenate([mask, np.zeros((1, 20), np.int32)], axis=1)
    np.testing.assert_allclose(model([garbage, longer]), alone, atol=1e-6)


def test_a_clone_keeps_layers_and_weights(
    config: BertConfig, tensors: dict[str, np.ndarray]
) -> None:
    import tf_keras

    model = build_bert(config)
    load_weights(model, tensors)
    clone = tf_keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    for name, value in read_weights(clone).items():
        np.testing.assert_array_equal(value, tensors[name])


def test_it_can_be_trained(config: BertConfig) -> None:
    import tensorflow as tf
    import tf_keras

    model = build_bert(config)
    load_weights(model, random_tensors(config, seed=0))
    model.compile(tf_keras.optimizers.Adam(0.01), "mse")
    ids, mask = batch(config, [5, 3, 4, 2], 5)
    wanted = tf.one_hot([0, 1, 2, 3], config.hidden_size)
    history = model.fit([ids, mask], wanted, epochs=30, verbose=0).history["loss"]
    assert history[-1] < 0.2 * history[0]


def test_tokens_beyond_the_positions_are_refused(config: BertConfig) -> None:
    with pytest.raises(UsageError, match=r"tokens must lie in 1\.\.64 .* got 65"):
        build_bert(config, tokens=65)


def test_tflite_fuses_it_whole(
    config: BertConfig, tensors: dict[str, np.ndarray], tmp_path: Path
) -> None:
    """EMBEDDING_LOOKUP and GELU are there, XNNPACK takes one part, and the values are the same."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    model = build_bert(config, tokens=8, batch=1)
    load_weights(model, tensors)
    spec = [tf.TensorSpec([1, 8], tf.int32, name=name) for name in ("ids", "mask")]
    graph = tf.function(
        lambda ids, mask: {"pooled": model([ids, mask])}, input_signature=spec, autograph=False
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [graph.get_concrete_function()], model
    )
    path = tmp_path / "bert.tflite"
    path.write_bytes(converter.convert())
    interpreter = Interpreter(str(path), num_threads=1)
    interpreter.allocate_tensors()
    ops = [op["op_name"] for op in interpreter._get_ops_details()]
    assert ops.count("EMBEDDING_LOOKUP") == 1
    assert ops.count("GELU") == config.num_hidden_layers
    assert ops.count("FULLY_CONNECTED") == 4 * config.num_hidden_layers
    assert ops.count("DELEGATE") <= 1
    assert not {"GATHER", "SQUARED_DIFFERENCE", "UNPACK"} & set(ops)
    run = interpreter.get_signature_runner()
    for length in (8, 3):
        ids, mask = batch(config, [length], 8)
        got = run(ids=ids, mask=mask)["pooled"]
        np.testing.assert_allclose(got, oracle(config, tensors, ids, mask), atol=1e-5)


@pytest.mark.network
def test_minilm_equals_the_oracle(minilm: Path) -> None:
    from dualtower_trainer.encoder import Encoder

    encoder = Encoder.load(minilm, max_tokens=32)
    ids, mask = encoder.tokenizer(["White hanging heart T-light holder", "soup", "½ l café ™"])
    np.testing.assert_allclose(
        encoder.model([ids, mask]), oracle(encoder.config, encoder.tensors, ids, mask), atol=1e-5
    )


@pytest.mark.network
def test_minilm_gives_its_published_vectors(minilm: Path) -> None:
    """The first numbers that the model's own example prints."""
    from dualtower_trainer.encoder import Encoder

    encoder = Encoder.load(minilm, max_tokens=32)
    vectors = encoder.encode(["This is an example sentence", "Each sentence is converted"])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    published = [
        [6.76569194e-02, 6.34959713e-02, 4.87131476e-02, 7.93049857e-02, 3.74480709e-02],
        [8.64386037e-02, 1.02762647e-01, 5.39455097e-03, 2.04443280e-03, -9.96339694e-03],
    ]
    np.testing.assert_allclose(vectors[:, :5], published, atol=1e-6)
