"""Writes small SavedModels for tests of the model server.

    python small_models.py FOLDER        # FOLDER/examples/1, FOLDER/slow/1

`examples` reads tf.Example: classify, regress, and signatures that are not quite either.
`slow` answers after as many milliseconds as it is told, and counts how often it was asked.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

STRINGS = tf.TensorSpec([None], tf.string, name="inputs")


class Examples(tf.Module):
    """score = x * w, w is 1 where it is not given."""

    @staticmethod
    def scores_of(inputs: tf.Tensor) -> tf.Tensor:
        features = tf.io.parse_example(
            inputs,
            {
                "x": tf.io.FixedLenFeature([1], tf.float32),
                "w": tf.io.FixedLenFeature([1], tf.float32, [1.0]),
            },
        )
        return features["x"] * features["w"]

    @tf.function(input_signature=[STRINGS], autograph=False)
    def regress(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": self.scores_of(inputs)}

    @tf.function(input_signature=[STRINGS], autograph=False)
    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        score = self.scores_of(inputs)
        labels = tf.tile([[b"low", b"h\xff"]], [tf.shape(score)[0], 1])
        return {"classes": labels, "scores": tf.concat([1.0 - score, score], 1)}

    @tf.function(input_signature=[STRINGS], autograph=False)
    def uneven(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        score = self.scores_of(inputs)
        return {"classes": tf.strings.as_string(score), "scores": tf.concat([score, score], 1)}

    @tf.function(input_signature=[STRINGS], autograph=False)
    def other_rows(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": self.scores_of(inputs)[:1]}

    @tf.function(input_signature=[STRINGS], autograph=False)
    def wide(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": tf.tile(self.scores_of(inputs), [1, 2])}

    @tf.function(input_signature=[STRINGS], autograph=False)
    def whole_numbers(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": tf.cast(self.scores_of(inputs), tf.int64)}

    def signatures(self) -> dict[str, object]:
        return {
            "serving_default": self.regress,
            "classify": self.classify,
            "uneven": self.uneven,
            "other_rows": self.other_rows,
            "wide": self.wide,
            "whole_numbers": self.whole_numbers,
        }


class Slow(tf.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls = tf.Variable(0, dtype=tf.int64)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="ms")], autograph=False)
    def wait(self, ms: tf.Tensor) -> dict[str, tf.Tensor]:
        self.calls.assign_add(1)
        end = tf.timestamp() + tf.cast(tf.reduce_max(ms), tf.float64) / 1000.0
        waited = tf.while_loop(lambda _: tf.timestamp() < end, lambda one: [one + 1], [0])
        with tf.control_dependencies(waited):
            return {"ms": tf.identity(ms)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="any")], autograph=False)
    def count(self, any: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"calls": any * 0 + self.calls}

    def signatures(self) -> dict[str, object]:
        return {"serving_default": self.wait, "count": self.count}


def main() -> None:
    folder = Path(sys.argv[1])
    for name, model in (("examples", Examples()), ("slow", Slow())):
        tf.saved_model.save(model, str(folder / name / "1"), signatures=model.signatures())


if __name__ == "__main__":
    main()
