"""The served form of the encoder against the trainer's Keras model and against numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from dualtower.errors import UsageError
from dualtower_export.frozen import freeze
from dualtower_export.op_list import foreign_ops
from dualtower_export.serving_bert import ServingBert
from dualtower_export.serving_form import FEW_TOKENS, ServingForm
from dualtower_export.serving_weights import layer_weights, shard_count, shards_of
from dualtower_trainer.bert import build_bert, load_weights
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import expected_shapes

CONFIG = BertConfig(
    vocab_size=50, hidden_size=24, num_hidden_layers=2, num_attention_heads=4,
    intermediate_size=40, max_position_embeddings=40,
)  # fmt: skip
TOKENS = [tf.TensorSpec([None, None], tf.int32, name) for name in ("ids", "mask")]
FORMS = {
    "constants, 2 copies": ServingForm(),
    "constants, 1 copy": ServingForm(copies=1),
    "variables": ServingForm(constants=False),
    "one shard": ServingForm(shards=1),
    "a shard a head": ServingForm(copies=1, shards=99),
}
# on both sides of FEW_TOKENS, at it, and without rows
SHAPES = [(0, 5), (1, 1), (1, 7), (1, 40), (2, 32), (3, 22), (5, 13), (9, 8), (33, 11)]


def random_weights(config: BertConfig, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    return {
        name: random.normal(float(name.endswith("LayerNorm.weight")), 0.3, shape).astype("f4")
        for name, shape in expected_shapes(config).items()
    }


def tokens(rows: int, columns: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Random rows of random length: some all padding, some full, some with a hole."""
    random = np.random.default_rng(seed)
    lengths = random.integers(0, columns + 1, rows)
    if rows > 2:
        lengths[0], lengths[1] = 0, columns
    mask = (np.arange(columns) < lengths[:, None]).astype(np.int32)
    if rows > 2 and columns > 2:
        mask[1, 1] = 0
    return random.integers(0, CONFIG.vocab_size, (rows, columns)).astype(np.int32), mask


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    return random_weights(CONFIG, 3)


@pytest.fixture(scope="module")
def keras(weights):
    model = build_bert(CONFIG)
    load_weights(model, weights)
    return model


@pytest.fixture(scope="module", params=list(FORMS.values()), ids=list(FORMS))
def served(request, weights):
    bert = ServingBert(CONFIG, weights, request.param)
    function = tf.function(
        lambda ids, mask: bert([ids, mask]), input_signature=TOKENS, autograph=False
    )
    assert bool(bert.variables) != request.param.constants
    return function


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_encoder_of_the_trainer(served, keras, shape: tuple[int, int]) -> None:
    ids, mask = tokens(*shape, seed=sum(shape))
    found = served(ids, mask).numpy()
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, keras([ids, mask]).numpy(), atol=5e-6)


@pytest.mark.parametrize("rows", [1, 4, 30])
def test_rows_without_a_token_give_zeros(served, rows: int) -> None:
    ids = np.full((rows, 8), 7, np.int32)
    assert not served(ids, np.zeros_like(ids)).numpy().any()


def test_what_stands_in_a_pad_does_not_matter(served) -> None:
    for shape in ((3, 8), (20, 8)):
        ids, mask = tokens(*shape)
        other = np.where(mask > 0, ids, (ids + 11) % CONFIG.vocab_size)
        np.testing.assert_array_equal(served(ids, mask), served(other, mask))


def test_company_and_width_do_not_matter(served) -> None:
    """A row alone, in a large batch, and with more padding: the same up to rounding."""
    ids, mask = tokens(40, 9, seed=8)
    together = served(ids, mask).numpy()
    wide = served(np.pad(ids, [[0, 0], [0, 6]]), np.pad(mask, [[0, 0], [0, 6]])).numpy()
    np.testing.assert_allclose(wide, together, atol=5e-6)
    for row in (0, 1, 39):
        alone = served(ids[row : row + 1], mask[row : row + 1]).numpy()
        np.testing.assert_allclose(alone[0], together[row], atol=5e-6)


def test_the_weights_are_those_of_the_formula(weights) -> None:
    """One layer in float64 numpy from the paper, one head at a time, against `layer_weights`."""
    w = {name: value.astype(np.float64) for name, value in weights.items()}
    layer, size = layer_weights(CONFIG, weights, 1), CONFIG.head_size
    x = np.random.default_rng(5).normal(size=(6, CONFIG.hidden_size))
    at = "encoder.layer.1.attention.self"
    q, k, v = (x @ w[f"{at}.{n}.weight"].T + w[f"{at}.{n}.bias"] for n in ("query", "key", "value"))
    found = np.split(x @ layer.qkv + layer.qkv_bias, 3, axis=1)
    np.testing.assert_allclose(found[0] * math.sqrt(size), q, atol=1e-5)
    np.testing.assert_allclose(found[1], k, atol=1e-5)
    np.testing.assert_allclose(found[2], v, atol=1e-5)
    for head in range(CONFIG.num_attention_heads):
        part = slice(head * size, (head + 1) * size)
        np.testing.assert_allclose(
            found[0][:, part] @ found[1][:, part].T, q[:, part] @ k[:, part].T / math.sqrt(size),
            atol=1e-4,
        )  # fmt: skip


def test_both_activations(weights) -> None:
    ids, mask = tokens(2, 6, seed=1)
    found = {}
    for act in ("gelu", "gelu_new"):
        config = BertConfig(**{**vars(CONFIG), "hidden_act": act})
        model = build_bert(config)
        load_weights(model, weights)
        found[act] = ServingBert(config, weights, ServingForm())([ids, mask]).numpy()
        np.testing.assert_allclose(found[act], model([ids, mask]), atol=5e-6)
    assert np.abs(found["gelu"] - found["gelu_new"]).max() > 1e-5


@pytest.mark.parametrize(("dtype", "error"), [("bfloat16", 0.12), ("float16", 0.01)])
@pytest.mark.parametrize("constants", [True, False])
def test_half_precision_is_near(weights, keras, dtype: str, error: float, constants: bool) -> None:
    bert = ServingBert(CONFIG, weights, ServingForm(constants=constants, dtype=dtype))
    for shape in ((0, 4), (2, 9), (20, 12)):
        ids, mask = tokens(*shape, seed=2)
        found, wanted = bert([ids, mask]).numpy(), keras([ids, mask]).numpy()
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, wanted, atol=error)
        assert not found[(mask == 0).all(axis=1)].any()


def frozen_graph(weights, form: ServingForm) -> tf.compat.v1.GraphDef:
    bert = ServingBert(CONFIG, weights, form)
    embed = freeze(lambda ids, mask: bert([ids, mask]), TOKENS)
    outer = tf.function(lambda ids, mask: embed(ids, mask), input_signature=TOKENS, autograph=False)
    return outer.get_concrete_function().graph.as_graph_def()


@pytest.mark.parametrize("copies", [1, 2])
def test_the_graph_is_of_stock_ops_with_each_matrix_once_a_copy(weights, copies: int) -> None:
    graph = frozen_graph(weights, ServingForm(copies=copies))
    functions = {function.signature.name for function in graph.library.function}
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    assert not foreign_ops({node.op for node in nodes} - functions)
    assert not any("VariableOp" in node.op for node in nodes)
    raw = graph.SerializeToString()
    shards = shards_of(layer_weights(CONFIG, weights, 0), ServingForm().shards)
    for shard in shards:
        for matrix in (shard.qkv, shard.mix, shard.inner, shard.outer):
            assert raw.count(matrix.tobytes()) == copies
    assert raw.count(weights["embeddings.word_embeddings.weight"].tobytes()) == 1


def test_constants_that_no_graph_holds_are_refused_by_name() -> None:
    """The sizes of a BERT of 2 GB; the zeros take no memory."""
    config = BertConfig(
        vocab_size=1000, hidden_size=1024, num_hidden_layers=24, num_attention_heads=16,
        intermediate_size=4096,
    )  # fmt: skip
    large = {
        name: np.broadcast_to(np.float32(0), shape)
        for name, shape in expected_shapes(config).items()
    }
    with pytest.raises(UsageError, match=r"2\.\d GB .*encoder_copies=1"):
        ServingBert(config, large, ServingForm())


def test_shards_add_up_to_the_layer(weights) -> None:
    """Two layers of products over random states, whole and shard by shard."""
    whole = layer_weights(CONFIG, weights, 0)
    states = np.random.default_rng(4).normal(size=(5, CONFIG.hidden_size))
    count = CONFIG.num_attention_heads
    assert shard_count(CONFIG, 99) == count
    shards = shards_of(whole, count)
    assert len(shards) == count
    inner = sum(np.tanh(states @ s.inner + s.inner_bias) @ s.outer for s in shards)
    wanted = np.tanh(states @ whole.inner + whole.inner_bias) @ whole.outer
    np.testing.assert_allclose(inner, wanted, atol=1e-10)
    for head, shard in enumerate(shards):
        for part in range(3):  # the shard's queries, keys and values are those of its head
            first = part * CONFIG.hidden_size + head * CONFIG.head_size
            wanted = (states @ whole.qkv + whole.qkv_bias)[:, first : first + CONFIG.head_size]
            found = (states @ shard.qkv + shard.qkv_bias).reshape(5, 3, -1)[:, part]
            np.testing.assert_allclose(found, wanted, atol=1e-10)
    np.testing.assert_array_equal(np.concatenate([s.mix for s in shards]), whole.mix)


@pytest.mark.parametrize(
    ("heads", "neurons", "wanted", "count"),
    [(12, 1536, 2, 2), (12, 1536, 8, 6), (3, 40, 2, 1), (12, 1536, 99, 12), (4, 6, 4, 2)],
)
def test_as_many_shards_as_divide_heads_and_neurons(heads, neurons, wanted, count) -> None:
    config = BertConfig(
        vocab_size=9, hidden_size=heads * 4, num_hidden_layers=1, num_attention_heads=heads,
        intermediate_size=neurons, max_position_embeddings=8,
    )  # fmt: skip
    assert shard_count(config, wanted) == count


def test_forms_that_do_not_exist() -> None:
    with pytest.raises(ValueError, match="copies must be 1 or 2, got 3"):
        ServingForm(copies=3)
    with pytest.raises(ValueError, match="float32, bfloat16, float16, got int8"):
        ServingForm(dtype="int8")
    with pytest.raises(ValueError, match="shards must be at least 1, got 0"):
        ServingForm(shards=0)
    assert FEW_TOKENS in {rows * columns for rows, columns in SHAPES}
