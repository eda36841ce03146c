"""The tower of 8-bit products, its pieces against numpy and its file against the float tower."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from dualtower_export.edge_full_int8 import full_int8, watch
from dualtower_export.edge_naive_int8 import naive_int8
from dualtower_export.edge_source import ITEM_TOWER, USER_TOWER, EdgeSource
from dualtower_export.edge_worker import embed
from dualtower_export.fidelity import cosines, taste
from dualtower_export.int8_bert import Int8Bert
from dualtower_export.int8_ops import Rounded, Watched, int8_rows
from dualtower_export.int8_ranges import Affine, Range, bounds_of, large_channels, smoothing
from dualtower_trainer.bert import build_bert, load_weights
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import random_tensors


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture(scope="module")
def sources(trained) -> dict[str, EdgeSource]:
    random = np.random.default_rng(5)
    ids, mask = trained.encoder().tokenizer(list(trained.texts))
    short = [(0, 0), (0, trained.max_tokens - ids.shape[1])]
    texts = {"ids": np.pad(ids, short), "mask": np.pad(mask, short)}
    width, items = trained.config.history_items, len(trained.item_ids)
    length = random.integers(0, width + 1, 40)
    histories = {
        "rows": random.integers(0, items, (40, width)).astype(np.int32),
        "mask": (np.arange(width) < length[:, None]).astype(np.float32),
        "vectors": trained.vectors.astype("<f2"),
    }
    return {
        ITEM_TOWER: EdgeSource(trained, ITEM_TOWER, texts, trained.max_tokens),
        USER_TOWER: EdgeSource(trained, USER_TOWER, histories, trained.max_tokens),
    }


@pytest.fixture(scope="module")
def files(sources, tmp_path_factory) -> dict[str, bytes]:
    return {tower: full_int8(source) for tower, source in sources.items()}


def _rounded(x: np.ndarray, low: float, high: float) -> np.ndarray:
    """Affine quantisation to 8 bits by its definition: x ≈ step · (q - zero)."""
    step = (high - low) / 255
    zero = round(-low / step)
    return step * (np.clip(np.round(x / step) + zero, 0, 255) - zero)


def test_smoothing_is_the_papers_formula() -> None:
    largest = np.array([1.0, 100.0, 4.0], np.float32)
    kernel = np.array([[0.5, -2.0], [0.1, 0.05], [0.0, 1.0]], np.float32)
    by_hand = np.array([1 / 2**0.4, 100**0.6 / 0.1**0.4, 4**0.6])
    np.testing.assert_allclose(smoothing(largest, kernel), by_hand / by_hand.mean(), rtol=1e-6)


def test_large_channels_are_those_far_above_the_others() -> None:
    flat = np.linspace(1, 1.9, 50).astype(np.float32)
    assert large_channels(flat, 8).tolist() == []
    flat[[7, 31]] = 40, 60
    assert large_channels(flat, 8).tolist() == [7, 31]
    assert large_channels(flat, 1).tolist() == []  # 60 is not twice 40
    assert (
        large_channels(np.array([5.0, 1.0], np.float32), 8).tolist() == []
    )  # too few to part them


def test_bounds_hold_every_product(random) -> None:
    kernel, low = random.normal(size=(4, 3)), -random.random(4)
    high = random.random(4)
    bounds = bounds_of(Range(low, high), kernel)
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), -1).reshape(-1, 4) @ kernel
    np.testing.assert_allclose([bounds.low, bounds.high], [corners.min(0), corners.max(0)])


def test_watching_changes_nothing_and_leaves_padding_out(random) -> None:
    ops = Watched()
    affine = Affine(random.normal(size=(4, 3)).astype("f"), random.normal(size=3).astype("f"))
    seen = []
    for real in (np.array([True, True, False]), np.array([True, False, False])):
        x = random.normal(size=(3, 4)).astype("f")
        x[~real] = 1e6
        ops.real = real
        out = ops.dense("one", tf.constant(x), affine).numpy()
        np.testing.assert_allclose(out, x @ affine.kernel + affine.bias, rtol=1e-5)
        seen.append(x[real])
    every = np.concatenate(seen)
    np.testing.assert_array_equal(ops.ranges["one.in"].low, every.min(0))
    np.testing.assert_array_equal(ops.ranges["one.in"].high, every.max(0))


def test_a_product_is_rounded_as_its_rewriting_says(random) -> None:
    """Against the same in numpy, the steps by their definition; only `matmul` order differs."""
    x = (random.normal(size=(64, 6)) * [1, 1, 50, 1, 1, 0.1]).astype("f")
    affine = Affine(random.normal(size=(6, 5)).astype("f"), random.normal(size=5).astype("f"))
    affine.kernel[:, 2] *= 100
    watched = Watched()
    exact = watched.dense("p", tf.constant(x), affine).numpy()
    out = Rounded(watched.ranges).dense("p", tf.constant(x), affine).numpy()

    smooth = smoothing(np.abs(x).max(0), affine.kernel)
    taken = _rounded(x / smooth, (x / smooth).min(), (x / smooth).max())
    stretch = np.abs(exact).max(0)
    given = exact / stretch
    product = taken @ (affine.kernel * smooth[:, None] / stretch) + affine.bias / stretch
    by_hand = _rounded(product, given.min(), given.max()) * stretch
    step = (given.max() - given.min()) / 255 * stretch
    # where the last bit of a product decides, one step either way
    assert (np.abs(out - by_hand) < 1.01 * step).all()
    assert (np.abs(out - by_hand) < 1e-3 * step).mean() > 0.98
    # what the rewriting is for: a plain step would lose the small channel altogether
    plain = _rounded(exact, exact.min(), exact.max())
    small = [0, 1, 3, 4]
    assert np.abs(out - exact)[:, small].max() < 0.1 * np.abs(plain - exact)[:, small].max()


def test_a_large_neuron_takes_no_digits_of_the_others(random) -> None:
    inner = Affine(random.normal(size=(8, 40)).astype("f"), np.zeros(40, "f"))
    inner.kernel[:, 11] *= 1000
    outer = Affine(random.normal(size=(40, 6)).astype("f"), random.normal(size=6).astype("f"))
    outer.kernel[11] = 0  # it says nothing itself, and is the largest all the same
    x = tf.constant(random.normal(size=(100, 8)).astype("f"))
    watched = Watched()
    exact = watched.neurons("n", x, inner, tf.nn.relu, outer).numpy()
    hidden = np.maximum(x.numpy() @ inner.kernel, 0)
    np.testing.assert_allclose(exact, hidden @ outer.kernel + outer.bias, rtol=1e-3, atol=1e-2)
    found = Rounded(watched.ranges).neurons("n", x, inner, tf.nn.relu, outer).numpy()
    one_step = _rounded(hidden, 0, hidden.max()) @ outer.kernel + outer.bias
    assert np.abs(found - exact).mean() < 0.1 * np.abs(one_step - exact).mean()


def test_rows_of_a_table_in_int8(random) -> None:
    """In the file they are int8 with zero 0, and each number is the nearest of 127 steps."""
    table = (random.normal(size=(30, 16)) * np.linspace(0.1, 9, 16)).astype("f")
    # rounded only beside something rounded, as in the towers
    graph = tf.function(
        lambda ids: (
            tf.quantization.fake_quant_with_min_max_vars(int8_rows(table, ids) * 1e-6, -6.0, 6.0)
            + int8_rows(table, ids)
        ),
        input_signature=[tf.TensorSpec([30], tf.int32)],
        autograph=False,
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [graph.get_concrete_function()], tf.Module()
    )
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    interpreter = Interpreter(model_content=converter.convert())
    tables = [
        tensor
        for tensor in interpreter.get_tensor_details()
        if tensor["dtype"] == np.int8 and list(tensor["shape"]) == [31, 16]
    ]
    assert {tensor["quantization"][1] for tensor in tables} == {0}
    (rows,) = interpreter.get_signature_runner()(ids=np.arange(30, dtype=np.int32)).values()
    largest = np.abs(table).max(0)
    np.testing.assert_allclose(rows, np.round(table / largest * 127) / 127 * largest, atol=1e-5)


@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
def test_watched_it_is_the_encoder_of_the_trainer(activation: str) -> None:
    config = BertConfig(
        vocab_size=50, hidden_size=24, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=40, max_position_embeddings=16, hidden_act=activation,
    )  # fmt: skip
    tensors = random_tensors(config, seed=1, stddev=0.3)
    random = np.random.default_rng(0)
    ids = random.integers(0, 50, (7, 9)).astype(np.int32)
    mask = (np.arange(9) < random.integers(1, 10, 7)[:, None]).astype(np.int32)
    bert = build_bert(config)
    load_weights(bert, tensors)
    ours = Int8Bert(config, tensors)(Watched(), tf.constant(ids), tf.constant(mask))
    # the table of words alone is rounded when the file is written, not here
    np.testing.assert_allclose(ours, bert([ids, mask]), atol=2e-5)


def test_every_product_is_of_int8_with_steps_fixed_in_the_file(files) -> None:
    for tower, content in files.items():
        interpreter = Interpreter(model_content=content)
        interpreter.allocate_tensors()
        kinds = {tensor["index"]: tensor["dtype"] for tensor in interpreter.get_tensor_details()}
        sizes = {tensor["index"]: tensor["shape"] for tensor in interpreter.get_tensor_details()}
        operations = interpreter._get_ops_details()
        products = [
            operation
            for operation in operations
            if (
                operation["op_name"] == "FULLY_CONNECTED" and sizes[operation["inputs"][1]][0] > 1
            )  # not the weight of each item of a history
            or (tower == ITEM_TOWER and operation["op_name"] in ("BATCH_MATMUL", "SOFTMAX", "GELU"))
        ]
        assert len(products) >= 3
        for operation in products:
            used = [*operation["inputs"][:2], *operation["outputs"]]
            assert {kinds[index] for index in used if index >= 0} == {np.int8}, operation["op_name"]
        names = Counter(operation["op_name"] for operation in operations)
        assert not [name for name in names if "Flex" in name or name == "CUSTOM"]
        if tower == ITEM_TOWER:
            assert names["EMBEDDING_LOOKUP"] == 2
    assert len(files) == 2


def test_both_files_keep_the_float_towers(files, sources, trained, tmp_path) -> None:
    for tower, content in files.items():
        path = tmp_path / f"{tower}.tflite"
        path.write_bytes(content)
        source = sources[tower]
        found = embed(path, source)
        if tower == ITEM_TOWER:
            arrays = source.calibration
            pooled = trained.encoder().encode(list(trained.texts))
            nothing = np.zeros((len(pooled), trained.config.dim - 1), np.float32)
            exact = trained.item_head({"pooled": pooled, **arrays, "id_vector": nothing}).numpy()
        else:
            requests = list(source.requests())
            exact = np.concatenate([trained.user_tower(one).numpy() for one in requests])
        assert cosines(taste(exact), taste(found)).mean() > 0.998
        assert cosines(taste(exact), taste(found)).min() > 0.98
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3)


def test_any_length(sources, files, tmp_path) -> None:
    source = replace(sources[ITEM_TOWER], tokens=0)
    paths = [tmp_path / "any.tflite", tmp_path / "fixed.tflite"]
    paths[0].write_bytes(full_int8(source))
    paths[1].write_bytes(files[ITEM_TOWER])
    free, fixed = embed(paths[0], source), embed(paths[1], sources[ITEM_TOWER])
    assert cosines(taste(free), taste(fixed)).mean() > 0.998


@pytest.mark.slow
def test_outlier_channels_ruin_the_converters_own_int8_and_not_this(new_run, tmp_path) -> None:
    """A trained BERT has a few; here one neuron and one channel are made so."""
    from dualtower_trainer.checkpoint import load_trained

    def alter(tensors: dict[str, np.ndarray]) -> None:
        for name in ("encoder.layer.0", "encoder.layer.1"):
            tensors[f"{name}.intermediate.dense.weight"][5] *= 6  # a large neuron
            tensors[f"{name}.output.dense.weight"][9, 5] *= 15  # that feeds one channel

    trained = load_trained(new_run("outliers", alter=alter))
    encoder = trained.encoder()
    ids, mask = encoder.tokenizer(list(trained.texts))
    short = [(0, 0), (0, trained.max_tokens - ids.shape[1])]
    arrays = {"ids": np.pad(ids, short), "mask": np.pad(mask, short)}
    source = EdgeSource(trained, ITEM_TOWER, arrays, trained.max_tokens)
    pooled = encoder.encode(list(trained.texts))
    nothing = np.zeros((len(pooled), trained.config.dim - 1), np.float32)
    exact = trained.item_head({"pooled": pooled, **arrays, "id_vector": nothing}).numpy()
    near = {}
    for name, make in (("naive", naive_int8), ("full", full_int8)):
        (tmp_path / name).write_bytes(make(source))
        near[name] = cosines(taste(exact), taste(embed(tmp_path / name, source))).mean()
    assert near["full"] > 0.98
    assert 1 - near["full"] < 0.2 * (1 - near["naive"])


def test_ranges_cover_what_was_seen(sources) -> None:
    ranges = watch(sources[USER_TOWER])
    assert set(ranges) == {
        f"{name}.{end}"
        for name in ("turn", "person.inner", "person.outer")
        for end in ("in", "out")
    }
    assert all((one.low <= one.high).all() for one in ranges.values())
    some, other = (Range(np.array([low]), np.array([high])) for low, high in [(-1, 2), (0, 3)])
    joined = some.joined(other)
    assert (joined.low, joined.high, joined.largest) == (-1, 3, 3)
