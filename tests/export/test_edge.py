"""The files for a phone, run with LiteRT."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from dualtower.edge.tokenizer import Tokenizer
from dualtower_export.config import DEFAULT_VARIANTS as VARIANTS
from dualtower_export.fidelity import cosines, taste


def _runner(path):
    return Interpreter(model_path=str(path), num_threads=1).get_signature_runner()


@pytest.mark.parametrize("variant", VARIANTS)
def test_inputs_and_outputs(bundle, variant: str) -> None:
    item = _runner(bundle.edge_path / f"item_tower.{variant}.tflite")
    user = _runner(bundle.edge_path / f"user_tower.{variant}.tflite")
    shapes = {
        name: (detail["shape"].tolist(), detail["dtype"])
        for runner in (item, user)
        for name, detail in runner.get_input_details().items()
    }
    assert shapes["ids"] == ([1, 12], np.int32)
    assert shapes["items"] == ([1, 8, 32], np.float32)
    assert item.get_input_details()["mask"]["dtype"] == np.int32
    assert user.get_input_details()["mask"]["shape"].tolist() == [1, 8]
    for runner in (item, user):
        (name,) = runner.get_output_details()
        assert name == "embedding"
        assert runner.get_output_details()[name]["shape"].tolist() == [1, 32]


@pytest.mark.parametrize("variant", VARIANTS)
def test_only_built_in_ops_and_the_table_is_an_embedding_lookup(bundle, variant: str) -> None:
    interpreter = Interpreter(
        model_path=str(bundle.edge_path / f"item_tower.{variant}.tflite"), num_threads=1
    )
    names = {op["op_name"] for op in interpreter._get_ops_details()}
    assert "EMBEDDING_LOOKUP" in names
    assert not [name for name in names if "Flex" in name or name == "CUSTOM"]


def test_int8_shrinks_the_table_too(bundle) -> None:
    """The word pieces alone are 16,000 bytes as float32 here."""
    sizes = {
        variant: (bundle.edge_path / f"item_tower.{variant}.tflite").stat().st_size
        for variant in VARIANTS
    }
    assert sizes["float32"] > sizes["float16"] > sizes["dynamic_int8"]
    assert sizes["dynamic_int8"] < 0.6 * sizes["float32"]  # the metadata and graph stay as they are


def test_the_manifest_says_what_the_files_are(bundle) -> None:
    entries = bundle.manifest["variants"]
    assert {(e["tower"], e["variant"]) for e in entries} == {
        (tower, variant) for tower in ("item_tower", "user_tower") for variant in VARIANTS
    }
    for entry in entries:
        content = (bundle.path / entry["file"]).read_bytes()
        assert entry["size_bytes"] == len(content)
        assert entry["gzip_bytes"] == len(gzip.compress(content, 6, mtime=0))
        assert entry["verdict"] == "ship"
        assert 0.98 < entry["cosine_min"] <= entry["cosine_mean"] <= 1.0001
        assert 0 <= entry["recall_at_10"] <= 1
        assert 0.8 <= entry["overlap_at_10"] <= 1


@pytest.mark.parametrize("variant", VARIANTS)
def test_numbers_in_the_manifest_are_found_again(bundle, plan, reference, variant: str) -> None:
    """The least cosine over the gate's texts, measured here once more through `edge/` alone."""
    tokenizer = Tokenizer.from_vocab(bundle.edge_path / "vocab.txt", max_tokens=12)
    texts = [*plan.trained.texts, "", "🍵"]
    runner = _runner(bundle.edge_path / f"item_tower.{variant}.tflite")
    found = []
    for text in texts:
        ids, mask = tokenizer([text])
        short = [(0, 0), (0, 12 - ids.shape[1])]
        found.append(runner(ids=np.pad(ids, short), mask=np.pad(mask, short))["embedding"][0])
    least = cosines(taste(reference.items(texts)), taste(np.array(found))).min()
    (entry,) = [
        e for e in bundle.manifest["variants"]
        if (e["tower"], e["variant"]) == ("item_tower", variant)
    ]  # fmt: skip
    assert entry["cosine_min"] == pytest.approx(least, abs=1e-6)


def test_int8_keeps_tastes_beside_a_large_rest(trained) -> None:
    """Tastes a hundredth as long as the rest, as of a long history of a trained run."""
    import tensorflow as tf

    from dualtower_export.edge_user_tower import split_user_tower
    from dualtower_trainer.towers import TowerConfig, build_user_tower

    random, dim, history = np.random.default_rng(3), 128, 12
    tower = build_user_tower(TowerConfig(dim=dim, history_items=history, hidden_units=32))
    kernel, _ = tower.get_layer("turn").weights
    kernel.assign(
        np.diag(np.r_[random.choice([-1, 1], dim - 2), 0, 0]) + random.normal(0, 1e-4, (dim, dim))
    )
    people = []
    for _ in range(20):
        items = np.zeros((1, history, dim), np.float32)
        items[0, :, :-2] = random.normal(0, 0.03 / np.sqrt(dim), (history, dim - 2))
        items[..., -1] = 1
        people.append({"items": items, "mask": np.ones((1, history), np.float32)})
    wanted = np.concatenate([tower(person).numpy() for person in people])

    def least(model) -> float:
        signature = [tf.TensorSpec([1, history, dim], name="items"),
                     tf.TensorSpec([1, history], name="mask")]  # fmt: skip
        graph = tf.function(
            lambda items, mask: {"embedding": model({"items": items, "mask": mask})},
            input_signature=signature,
            autograph=False,
        )
        module = tf.Module()
        module.model = model
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [graph.get_concrete_function()], module
        )
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        runner = Interpreter(model_content=converter.convert()).get_signature_runner()
        found = np.concatenate([runner(**person)["embedding"] for person in people])
        return cosines(taste(wanted), taste(found)).min()

    assert least(tower) < 0.9
    assert least(split_user_tower(tower)) > 0.999


def test_a_phone_recommends_what_the_server_does(bundle, served) -> None:
    edge = bundle.edge_path
    facts = json.loads((edge / "edge.json").read_text(encoding="utf-8"))
    assert facts["fingerprint"] == bundle.fingerprint
    ids = json.loads((edge / facts["item_ids"]).read_text(encoding="utf-8"))
    vectors = np.frombuffer((edge / facts["item_vectors"]).read_bytes(), "<f2")
    vectors = vectors.reshape(facts["items"], facts["dim"]).astype(np.float32)
    runner = _runner(edge / "user_tower.float32.tflite")
    history = [4, 19, 33]
    items = np.zeros((1, facts["history_items"], facts["dim"]), np.float32)
    mask = np.zeros((1, facts["history_items"]), np.float32)
    items[0, :3], mask[0, :3] = vectors[history], 1
    scores = vectors @ runner(items=items, mask=mask)["embedding"][0]
    scores[[*history, *facts["blocked_rows"]]] = -np.inf
    best = [ids[row] for row in np.argsort(-scores, kind="stable")[:10]]
    names = np.array([[ids[row] for row in history]], object)
    served_ids = served["recommender"](
        "from_item_ids", item_ids=names, exclude=np.array([[""]], object)
    )["item_ids"][0]
    assert len(set(best) & {raw.decode() for raw in served_ids[:10]}) >= 9
    assert best[0] == served_ids[0].decode()
