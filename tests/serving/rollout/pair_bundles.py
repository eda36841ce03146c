"""Writes mini bundles that answer differently: FOLDER NAME...

    python pair_bundles.py FOLDER a1 b2 c3        # FOLDER/a1 ...: embedding spaces; versions

`z` is a space without any sense (each text has one vector, the same). `x` loads, describes itself,
and its recommender fails at everything else. `w` cannot be warmed up, so that no server takes it.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import mini_bundle
import numpy as np
import tensorflow as tf

from dualtower.bundle import write_manifest

_SHARED = 5.0  # of the table that a, b, c, ... have in common; their own part has the size 1


def table_of(salt: str) -> np.ndarray:
    """[buckets, dim]: alike for ordinary spaces, though rotated against each other."""
    shape = (mini_bundle._BUCKETS, mini_bundle.DIM)
    if salt == "z":
        return np.ones(shape)
    own = np.random.default_rng(ord(salt))
    rotation, _ = np.linalg.qr(own.normal(size=(shape[1], shape[1])))
    mixed = _SHARED * np.random.default_rng(7).normal(size=shape) + own.normal(size=shape)
    return mixed @ rotation


def _refuse(texts: tf.Tensor) -> tf.Tensor:
    with tf.control_dependencies([tf.debugging.Assert(tf.size(texts) < 0, ["no table"])]):
        return tf.identity(texts)


class _Salted:
    """In place of `Model.__init__`: a table by salt."""

    def __init__(self, plain) -> None:
        self._plain = plain

    def __call__(self, model, name: str, salt: str, version: int) -> None:
        self._plain(model, name, salt, version)
        model.table = tf.constant(table_of(salt), tf.float32)
        if salt == "x" and name == "recommender":
            plain = model.embed
            model.embed = lambda texts: plain(_refuse(texts))


def main() -> None:
    salted = _Salted(mini_bundle.Model.__init__)
    mini_bundle.Model.__init__ = lambda self, name, salt, version: salted(self, name, salt, version)
    folder = Path(sys.argv[1])
    for name in sys.argv[2:]:
        salt, version = name[0], int(name[1:])
        mini_bundle.write(folder / name, salt=salt, version=version)
        if salt == "w":
            warmup = f"serving/recommender/{version}/assets.extra/tf_serving_warmup_requests"
            (folder / name / warmup).parent.mkdir()
            (folder / name / warmup).write_bytes(b"no record")
            write_manifest(folder / name, {"version": version, "space": mini_bundle.space(salt)})


if __name__ == "__main__":
    main()
