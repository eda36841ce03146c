"""Every recipe beside an oracle: numpy, the tokeniser, the float tower, the interpreter."""

from __future__ import annotations

import struct
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from dualtower.edge.flatbuffer import (
    add_metadata,
    fields_of,
    metadata_of,
    root_of,
    tables_at,
)
from dualtower.edge.tokenizer import Tokenizer
from dualtower_export.config import VARIANTS
from dualtower_export.edge_delegation import delegation_of
from dualtower_export.edge_source import ANY_LENGTH, ITEM_TOWER, USER_TOWER, EdgeSource, cut_to
from dualtower_export.fidelity import cosines, taste

TEXTS = ["green tea", "tea", "café", "", "dark cocoa powder & milk", "sweet red apple pear nut box"]


@pytest.fixture(scope="module")
def source(trained):
    """Makes sources: tower, length and steps."""
    tokenizer = trained.encoder().tokenizer
    ids, mask = tokenizer(list(trained.texts))
    short = [(0, 0), (0, trained.max_tokens - ids.shape[1])]
    texts = {"ids": np.pad(ids, short), "mask": np.pad(mask, short)}
    random, width = np.random.default_rng(0), trained.config.history_items
    lengths = random.integers(0, width + 1, 60)
    people = {
        "rows": random.integers(0, len(trained.vectors), (60, width)).astype(np.int32),
        "mask": (np.arange(width) < lengths[:, None]).astype(np.float32),
        "vectors": trained.vectors.astype("<f2"),
    }

    def make(tower: str, tokens: int | None = None, steps: int = 3) -> EdgeSource:
        inputs = texts if tower == ITEM_TOWER else people
        length = trained.max_tokens if tokens is None else tokens
        return EdgeSource(trained, tower, inputs, length, steps)

    return make


@pytest.fixture(scope="module")
def made(source):
    """The file of a tower and a variant; made once."""
    from dualtower_export.edge_recipes import RECIPES

    @cache
    def make(tower: str, variant: str, tokens: int | None = None) -> bytes:
        return RECIPES[variant](source(tower, tokens))

    return make


def _answers(content: bytes, source: EdgeSource) -> np.ndarray:
    runner = Interpreter(model_content=content, num_threads=1).get_signature_runner()
    return np.concatenate([runner(**request)["embedding"] for request in source.requests()])


def _weights(content: bytes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Two-dimensional int8 constants by name, with their steps [rows]."""
    interpreter = Interpreter(
        model_content=content, num_threads=1, experimental_preserve_all_tensors=True
    )
    interpreter.allocate_tensors()
    found = {}
    for tensor in interpreter.get_tensor_details():
        steps = tensor["quantization_parameters"]["scales"]
        if tensor["dtype"] == np.int8 and len(tensor["shape"]) == 2 and len(steps):
            found[tensor["name"]] = (interpreter.get_tensor(tensor["index"]), steps)
    return found


def test_the_registry_knows_every_name_of_the_settings() -> None:
    from dualtower_export.edge_recipes import RECIPES

    assert tuple(RECIPES) == VARIANTS


@pytest.mark.parametrize("tower", [ITEM_TOWER, USER_TOWER])
def test_weight_only_rows_are_rounded_by_a_step_of_their_own(made, tower: str) -> None:
    plain = Interpreter(
        model_content=made(tower, "float32"),
        num_threads=1,
        experimental_preserve_all_tensors=True,
    )
    plain.allocate_tensors()
    floats = {
        t["name"]: plain.get_tensor(t["index"])
        for t in plain.get_tensor_details()
        if t["dtype"] == np.float32 and len(t["shape"]) == 2
    }
    small = _weights(made(tower, "weight_only_int8"))
    compared = 0
    for name, (codes, steps) in small.items():
        if name not in floats or floats[name].shape != codes.shape:
            continue
        wanted = floats[name]
        largest = np.abs(wanted).max(axis=1)
        np.testing.assert_allclose(steps, np.maximum(largest, 1e-9) / 127, rtol=0.01, atol=1e-8)
        assert np.abs(codes * steps[:, None] - wanted).max(axis=1).max() <= 0.51 * steps.max()
        compared += 1
    assert compared >= 3


@pytest.mark.parametrize(
    ("variant", "least"),
    [("float16", 0.9999), ("weight_only_int8", 0.99), ("dynamic_int8", 0.98),
     ("embedding_int4", 0.9), ("pruned", 0.5), ("clustered", 0.9), ("qat_int8", 0.9)],
)  # fmt: skip
@pytest.mark.parametrize("tower", [ITEM_TOWER, USER_TOWER])
def test_a_file_says_about_what_float_says(
    made, source, trained, tower: str, variant: str, least: float
) -> None:
    asked = source(tower)
    wanted = _answers(made(tower, "float32"), asked)
    found = _answers(made(tower, variant), asked)
    assert cosines(taste(wanted), taste(found)).mean() > least
    if variant == "float16":
        truth = trained.embed_texts(list(trained.texts)) if tower == ITEM_TOWER else wanted
        assert cosines(taste(truth), taste(wanted)).min() > 0.99999


@pytest.mark.parametrize("variant", ["float32", "weight_only_int8", "dynamic_int8", "naive_int8"])
def test_delegated_ops_are_those_without_memory_of_their_own(made, variant: str) -> None:
    """The interpreter gives a tensor inside of a partition no memory."""
    interpreter = Interpreter(model_content=made(ITEM_TOWER, variant), num_threads=1)
    interpreter.allocate_tensors()
    found = delegation_of(interpreter)
    for one in interpreter.get_input_details():
        interpreter.set_tensor(one["index"], np.zeros(one["shape"], one["dtype"]))
    interpreter.invoke()
    nodes = interpreter._get_ops_details()
    pieces = [node for node in nodes if node["op_name"] == "DELEGATE"]
    own = [node for node in nodes if node["op_name"] != "DELEGATE"]

    shown = {int(tensor) for piece in pieces for tensor in piece["outputs"]}

    def inside(node: dict) -> bool:
        if shown & set(map(int, node["outputs"])):
            return True
        try:
            interpreter.get_tensor(int(node["outputs"][0]))
        except ValueError:
            return True
        return False

    assert found.ops == len(own)
    assert found.partitions == len(pieces)
    assert found.delegated_ops == sum(map(inside, own))
    assert 0 < found.delegated_ops < found.ops


def test_half_of_a_pruned_kernel_is_zero(source) -> None:
    from dualtower_export.edge_compressed import prune

    for tower in (ITEM_TOWER, USER_TOWER):
        core, errors = prune(source(tower, steps=12))
        kernels = [w.numpy() for w in core.weights if w.name.endswith("kernel:0")]
        assert len(kernels) >= 3
        for kernel in kernels:
            assert (kernel == 0).mean() == pytest.approx(0.5, abs=0.02)
        assert len(errors) == 12


def test_a_pruned_file_has_the_zeros_and_a_smaller_download(made) -> None:
    import gzip

    shares = [(codes == 0).mean() for codes, _ in _weights(made(ITEM_TOWER, "pruned")).values()]
    assert sum(share > 0.45 for share in shares) >= 8  # the products of two layers
    small, usual = (
        len(gzip.compress(made(USER_TOWER, name))) for name in ("pruned", "dynamic_int8")
    )
    assert small < usual


def test_a_clustered_kernel_has_few_values(source) -> None:
    from dualtower_export.edge_compressed import CENTROIDS, cluster

    core, _ = cluster(source(ITEM_TOWER, steps=2))
    for layer in core.layers:
        if layer.name.endswith(("_inner", "_out")) and "attention" not in layer.name:
            assert len(np.unique(layer.kernel.numpy())) <= CENTROIDS
        elif layer.name.endswith("_qkv"):
            assert len(np.unique(layer.kernel.numpy())) > 10 * CENTROIDS


def test_distillation_brings_a_harmed_tower_back(source) -> None:
    from dualtower_export.edge_student import Student, distil, student_core

    asked = source(USER_TOWER, steps=40)
    core = student_core(asked)
    random = np.random.default_rng(1)
    for weight in core.trainable_variables:
        weight.assign_add(random.normal(0, 0.02, weight.shape).astype(np.float32))
    errors = distil(Student(asked, core), learning_rate=3e-3)
    assert np.mean(errors[-5:]) < 0.5 * np.mean(errors[:5])


def test_relative_error_by_hand() -> None:
    from dualtower_export.edge_student import relative_error

    wanted = np.array([[3, 4, 0, 9], [0, 2, 7, 7]], np.float32)
    found = np.array([[3, 3, 5, 5], [1, 2, 0, 0]], np.float32)
    assert float(relative_error(found, wanted)) == pytest.approx((1 / 25 + 1 / 4) / 2, rel=1e-6)


@pytest.mark.parametrize("tokens", [2, 4, 7, 12, 15])
def test_cutting_is_what_a_shorter_tokeniser_does(trained, tokens: int) -> None:
    long = trained.encoder().tokenizer
    short = Tokenizer(long.vocab, lowercase=long.lowercase, max_tokens=tokens)
    texts = [*TEXTS, *map(str, trained.texts)]
    ids, mask = long(texts)
    cut = cut_to({"ids": ids, "mask": mask}, tokens)
    wanted_ids, wanted_mask = short(texts)
    room = [(0, 0), (0, max(tokens - wanted_ids.shape[1], 0))]
    if tokens <= trained.max_tokens:
        np.testing.assert_array_equal(cut["ids"], np.pad(wanted_ids, room))
        np.testing.assert_array_equal(cut["mask"], np.pad(wanted_mask, room))
    else:  # nothing to cut, only room behind
        np.testing.assert_array_equal(cut["mask"].sum(axis=1), mask.sum(axis=1))
    assert cut["ids"].shape == (len(texts), tokens)


def _item_tower(made, trained, tokens: int, folder, name: str):
    from dualtower.edge.metadata import with_card
    from dualtower.edge.runner import EdgeItemTower
    from dualtower_export.edge_cards import Identity, tower_card

    card = tower_card(
        Identity("f", "t", 1, ""), trained, trained.encoder().tokenizer, ITEM_TOWER, name,
        tokens=tokens,
    )  # fmt: skip
    path = folder / f"item_tower.{name}.tflite"
    path.write_bytes(with_card(made(ITEM_TOWER, "float32", tokens), card))
    return EdgeItemTower(path)


def test_a_shorter_file_is_the_float_tower_of_texts_cut(made, trained, tmp_path) -> None:
    from dualtower_trainer.checkpoint import embed_texts
    from dualtower_trainer.encoder import Encoder

    tower = _item_tower(made, trained, 5, tmp_path, "float32.t5")
    assert tower.model.facts["item_tokens"] == 5
    cut = Encoder.load(trained.encoder_folder, 5)
    wanted = embed_texts(cut, trained.item_head, TEXTS)
    np.testing.assert_allclose(tower.embed(TEXTS), wanted, atol=2e-6)
    whole = trained.embed_texts(TEXTS)
    near = np.abs(tower.embed(TEXTS) - whole).max(axis=1)
    assert (near[:3] < 2e-6).all()  # short enough to be read wholly
    assert near[4] > 1e-3


def test_a_file_of_any_length_is_the_float_tower(made, trained, tmp_path) -> None:
    tower = _item_tower(made, trained, 0, tmp_path, "float32.any")
    assert tower.model.facts["any_length"] is True
    np.testing.assert_allclose(tower.embed(TEXTS), trained.embed_texts(TEXTS), atol=2e-6)


def test_buffers_behind_the_flatbuffer_move_with_it(trained) -> None:
    """A quantiser puts those of a file above 256 KB there, by their places in 64 bits each."""
    from dualtower_export.edge_recipes import RECIPES
    from dualtower_trainer.towers import TowerConfig, build_user_tower

    config = TowerConfig(dim=384, history_items=4, hidden_units=384)
    tower = build_user_tower(config)
    random = np.random.default_rng(5)
    for weight in tower.weights:
        weight.assign_add(random.normal(0, 0.1, weight.shape).astype(np.float32))
    people = {
        "rows": random.integers(0, 9, (5, 4)).astype(np.int32),
        "mask": np.ones((5, 4), np.float32),
        "vectors": random.normal(0, 0.1, (9, 384)).astype("<f2"),
    }
    asked = EdgeSource(
        replace(trained, config=config, user_tower=tower), USER_TOWER, people, ANY_LENGTH
    )
    content = RECIPES["weight_only_int8"](asked)
    buffers = tables_at(root_of(content), 4)
    places = [fields_of(buffer).get(1) for buffer in buffers]
    assert any(place and struct.unpack_from("<Q", content, place)[0] > 1 for place in places)
    told = add_metadata(content, "told", b"it")
    assert metadata_of(told, "told") == b"it"
    np.testing.assert_array_equal(_answers(told, asked), _answers(content, asked))


def test_a_source_of_nothing_known_is_refused(trained) -> None:
    with pytest.raises(ValueError, match="tower must be"):
        EdgeSource(trained, "tower", {}, 0)
    for tokens in (1, -1, trained.max_tokens + 1):
        with pytest.raises(ValueError, match="tokens must be"):
            EdgeSource(trained, ITEM_TOWER, {}, tokens)
