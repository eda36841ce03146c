"""Writes a bundle: three tiny SavedModels, two tiny TFLite files, a catalogue of eight items.

    python small_bundle.py FOLDER

The vectors are a hash of the text into a fixed table: enough for a server and LiteRT to do real
work on the signatures of a real bundle. A program of its own, so that TensorFlow stays out of the
process that measures.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from dualtower.bundle import MODELS, fingerprint_of, write_manifest

DIM, HISTORY_ITEMS, ITEM_TOKENS, ITEMS, BUCKETS, VERSION = 4, 6, 8, 8, 64, 1
TEXTS = [f"item number {row}" for row in range(ITEMS)]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "item", "number", *"0123456789"]
SPACE = {
    "dim": DIM,
    "history_items": HISTORY_ITEMS,
    "item_tokens": ITEM_TOKENS,
    "lowercase": True,
}
STRINGS = tf.TensorSpec([None, None], tf.string)


class Model(tf.Module):
    """All three models in one; each SavedModel has the signatures of its name."""

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.table = tf.constant(np.random.default_rng(7).normal(size=(BUCKETS, DIM)), tf.float32)

    def embed(self, texts: tf.Tensor) -> tf.Tensor:
        vectors = tf.gather(self.table, tf.strings.to_hash_bucket_fast(texts, BUCKETS))
        return tf.math.l2_normalize(vectors, axis=-1)

    def embed_user(self, history: tf.Tensor) -> tf.Tensor:
        present = tf.cast(tf.not_equal(history, ""), tf.float32)[..., tf.newaxis]
        return tf.math.l2_normalize(tf.reduce_sum(self.embed(history) * present, 1) + 1e-3, -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="ask")], autograph=False)
    def describe(self, ask: tf.Tensor) -> dict[str, tf.Tensor]:
        facts = {
            "model": self.name,
            "fingerprint": fingerprint_of(SPACE),
            "bundle_version": np.int64(VERSION),
            "dim": np.int32(DIM),
            "history_items": np.int32(HISTORY_ITEMS),
            "item_tokens": np.int32(ITEM_TOKENS),
            "k_max": np.int32(ITEMS),
        }
        return {key: tf.fill(tf.shape(ask), tf.constant(value)) for key, value in facts.items()}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")], autograph=False)
    def item_tower(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": self.embed(text)}

    @tf.function(input_signature=[STRINGS], autograph=False)
    def user_tower(self, history: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": self.embed_user(history)}

    @tf.function(input_signature=[STRINGS, STRINGS], autograph=False)
    def recommender(self, history: tf.Tensor, exclude: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = self.embed_user(history) @ tf.transpose(self.embed(tf.constant(TEXTS)))
        best = tf.math.top_k(scores, ITEMS)
        # `exclude` is an input of the contract; here it only has to be fed
        ids = tf.gather(tf.constant([f"i{row}" for row in range(ITEMS)]), best.indices)
        return {
            "item_ids": ids,
            "scores": best.values + 0.0 * tf.cast(tf.size(exclude), tf.float32),
        }


def save(name: str, folder: Path) -> None:
    model = Model(name)
    signatures = {"serving_default": getattr(model, name), "describe": model.describe}
    tf.saved_model.save(model, str(folder), signatures=signatures)
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    describe = saved.meta_graphs[0].signature_def["describe"]
    describe.defaults["ask"].CopyFrom(tf.make_tensor_proto([b""]))
    path.write_bytes(saved.SerializeToString())


def convert(function: Callable[..., dict[str, tf.Tensor]], specs: list[tf.TensorSpec]) -> bytes:
    traced = tf.function(function, input_signature=specs, autograph=False)
    module = tf.Module()
    return tf.lite.TFLiteConverter.from_concrete_functions(
        [traced.get_concrete_function()], module
    ).convert()


def edge_item_tower(ids: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
    summed = tf.reduce_sum(tf.cast(ids * mask, tf.float32), axis=1, keepdims=True)
    return {"embedding": tf.tile(summed, [1, DIM])}


def edge_user_tower(items: tf.Tensor, mask: tf.Tensor) -> dict[str, tf.Tensor]:
    return {"embedding": tf.reduce_sum(items * mask[:, :, tf.newaxis], axis=1)}


def write_edge(folder: Path) -> list[dict[str, object]]:
    folder.mkdir()
    tokens = [tf.TensorSpec([1, ITEM_TOKENS], tf.int32, name) for name in ("ids", "mask")]
    vectors = [
        tf.TensorSpec([1, HISTORY_ITEMS, DIM], tf.float32, "items"),
        tf.TensorSpec([1, HISTORY_ITEMS], tf.float32, "mask"),
    ]
    variants = []
    for tower, function, specs in (
        ("item_tower", edge_item_tower, tokens),
        ("user_tower", edge_user_tower, vectors),
    ):
        content = convert(function, specs)
        (folder / f"{tower}.float32.tflite").write_bytes(content)
        variants.append(
            {
                "tower": tower,
                "variant": "float32",
                "file": f"edge/{tower}.float32.tflite",
                "size_bytes": len(content),
                "verdict": "ship",
            }
        )
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n")
    return variants


def main() -> None:
    folder = Path(sys.argv[1])
    for name in MODELS:
        save(name, folder / "serving" / name / str(VERSION))
    configs = "".join(
        f'  config {{ name: "{name}" base_path: "/models/{name}" model_platform: "tensorflow" }}\n'
        for name in MODELS
    )
    (folder / "serving" / "models.config").write_text(f"model_config_list {{\n{configs}}}\n")
    (folder / "serving" / "batching.config").write_text("pad_variable_length_inputs: true\n")
    (folder / "serving" / "monitoring.config").write_text("prometheus_config { enable: true }\n")
    (folder / "index").mkdir()
    table = pa.table(
        {
            "item_id": [f"i{row}" for row in range(ITEMS)],
            "text": TEXTS,
            "category": [""] * ITEMS,
            "blocked": [False] * (ITEMS - 1) + [True],
            "vector": pa.array(np.eye(ITEMS, DIM).tolist(), pa.list_(pa.float32())),
        }
    )
    pq.write_table(table, folder / "index" / "catalogue.parquet")
    variants = write_edge(folder / "edge")
    write_manifest(folder, {"version": VERSION, "space": SPACE, "variants": variants})


if __name__ == "__main__":
    main()
