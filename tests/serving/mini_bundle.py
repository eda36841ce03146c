"""Writes a tiny bundle with the three models of the contract, for tests that need a server.

    python mini_bundle.py FOLDER a1 b1 b2        # FOLDER/a1 ...: embedding spaces a, b; versions

The "encoder" is a hash of the text into a fixed table, so that every output is a plain function of
the inputs. The signatures, `describe` with its default included, are those of a real bundle.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from dualtower.bundle import MODELS, fingerprint_of, write_manifest

DIM = 4
HISTORY_ITEMS = 6
K_MAX = 5
ITEM_IDS = [f"i{number}" for number in range(8)]
TEXTS = [f"item number {number}" for number in range(8)]
_BUCKETS = 64


class Model(tf.Module):
    """The parts that the three models share."""

    def __init__(self, name: str, salt: str, version: int) -> None:
        super().__init__(name=name)
        self.table = tf.constant(np.random.default_rng(7).normal(size=(_BUCKETS, DIM)), tf.float32)
        self.rows = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(ITEM_IDS, tf.range(len(ITEM_IDS))), -1
        )
        self.texts = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(TEXTS, tf.range(len(TEXTS))), -1
        )
        self.facts = {"model": name, "fingerprint": fingerprint_of(space(salt))}
        self.version = version

    def embed(self, texts: tf.Tensor) -> tf.Tensor:
        vectors = tf.gather(self.table, tf.strings.to_hash_bucket_fast(texts, _BUCKETS))
        return tf.math.l2_normalize(vectors, axis=-1)

    def embed_user(self, vectors: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        total = tf.reduce_sum(vectors * mask[..., tf.newaxis], axis=1)
        return tf.math.l2_normalize(total + 1e-3, axis=-1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="of")], autograph=False)
    def describe(self, of: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.shape(of)[:1]
        numbers = {"dim": DIM, "history_items": HISTORY_ITEMS, "item_tokens": 8, "k_max": K_MAX}
        return {
            **{name: tf.fill(rows, value) for name, value in self.facts.items()},
            **{name: tf.fill(rows, value) for name, value in numbers.items()},
            "bundle_version": tf.fill(rows, tf.constant(self.version, tf.int64)),
        }


class ItemTower(Model):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")], autograph=False)
    def serve(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"embedding": self.embed(text)}

    def signatures(self) -> dict[str, object]:
        return {"serving_default": self.serve, "describe": self.describe}


class UserTower(Model):
    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.string, name="history")], autograph=False
    )
    def serve(self, history: tf.Tensor) -> dict[str, tf.Tensor]:
        mask = tf.cast(tf.not_equal(history, ""), tf.float32)
        return {"embedding": self.embed_user(self.embed(history), mask)}

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.string, name="item_ids")], autograph=False
    )
    def by_ids(self, item_ids: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = self.rows.lookup(item_ids)
        vectors = tf.gather(self.embed(tf.constant(TEXTS)), tf.maximum(rows, 0))
        return {"embedding": self.embed_user(vectors, tf.cast(rows >= 0, tf.float32))}

    def signatures(self) -> dict[str, object]:
        return {
            "serving_default": self.serve,
            "from_item_ids": self.by_ids,
            "describe": self.describe,
        }


class Recommender(Model):
    _SPECS = (
        tf.TensorSpec([None, None], tf.string, name="exclude"),
        tf.TensorSpec([None, None], tf.string, name="history"),
    )

    @tf.function(input_signature=[_SPECS[1], _SPECS[0]], autograph=False)
    def serve(self, history: tf.Tensor, exclude: tf.Tensor) -> dict[str, tf.Tensor]:
        mask = tf.cast(tf.not_equal(history, ""), tf.float32)
        user = self.embed_user(self.embed(history), mask)
        return self.rank(
            user, tf.concat([self.texts.lookup(history), self.rows.lookup(exclude)], 1)
        )

    @tf.function(
        input_signature=[tf.TensorSpec([None, None], tf.string, name="item_ids"), _SPECS[0]],
        autograph=False,
    )
    def by_ids(self, item_ids: tf.Tensor, exclude: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = self.rows.lookup(item_ids)
        vectors = tf.gather(self.embed(tf.constant(TEXTS)), tf.maximum(rows, 0))
        user = self.embed_user(vectors, tf.cast(rows >= 0, tf.float32))
        return self.rank(user, tf.concat([rows, self.rows.lookup(exclude)], 1))

    def rank(self, user: tf.Tensor, forbidden: tf.Tensor) -> dict[str, tf.Tensor]:
        scores = tf.linalg.matmul(user, self.embed(tf.constant(TEXTS)), transpose_b=True)
        taken = tf.reduce_max(tf.one_hot(forbidden, len(TEXTS)), axis=1) > 0
        best = tf.math.top_k(tf.where(taken, float("-inf"), scores), K_MAX)
        ids = tf.gather(tf.constant(ITEM_IDS), best.indices)
        return {"item_ids": tf.where(tf.math.is_inf(best.values), "", ids), "scores": best.values}

    def signatures(self) -> dict[str, object]:
        return {
            "serving_default": self.serve,
            "from_item_ids": self.by_ids,
            "describe": self.describe,
        }


def space(salt: str) -> dict[str, object]:
    return {"dim": DIM, "salt": salt}


def save(model: Model, target: Path) -> None:
    tf.saved_model.save(model, str(target), signatures=model.signatures())
    path = target / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    signature = saved.meta_graphs[0].signature_def["describe"]
    signature.defaults["of"].CopyFrom(tf.make_tensor_proto([b""]))
    path.write_bytes(saved.SerializeToString())


def write_warmup(target: Path) -> None:
    path = target / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.inputs["text"].CopyFrom(tf.make_tensor_proto(["salted butter"]))
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(log.SerializeToString())


def write(folder: Path, *, salt: str, version: int) -> None:
    kinds = {"user_tower": UserTower, "item_tower": ItemTower, "recommender": Recommender}
    for name in MODELS:
        save(kinds[name](name, salt, version), folder / "serving" / name / str(version))
    write_warmup(folder / "serving" / "item_tower" / str(version))
    configs = "".join(
        f'  config {{ name: "{name}" base_path: "/models/{name}" model_platform: "tensorflow" }}\n'
        for name in MODELS
    )
    (folder / "serving" / "models.config").write_text(f"model_config_list {{\n{configs}}}\n")
    (folder / "serving" / "batching.config").write_text(
        "max_batch_size { value: 32 }\npad_variable_length_inputs: true\n"
    )
    (folder / "serving" / "monitoring.config").write_text("prometheus_config { enable: true }\n")
    write_manifest(folder, {"version": version, "space": space(salt)})


def main() -> None:
    folder = Path(sys.argv[1])
    for name in sys.argv[2:]:
        write(folder / name, salt=name[0], version=int(name[1:]))


if __name__ == "__main__":
    main()
