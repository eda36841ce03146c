"""Fewer different weights: half of them zero, or all out of a few values; then int8 as usual.

By tensorflow-model-optimization, while the tower learns to say what it said before. A phone's file
is as large as that of dynamic_int8; what shrinks is its download. Gradual pruning by magnitude: Zhu
and Gupta 2017 (https://arxiv.org/abs/1710.01878); weight clustering: Han et al. 2016
(https://arxiv.org/abs/1510.00149).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow_model_optimization as tfmot
import tf_keras

from dualtower_export.edge_convert import dynamic_range
from dualtower_export.edge_source import EdgeSource
from dualtower_export.edge_student import (
    Student,
    converter_with,
    custom_objects,
    distil,
    student_core,
)

__all__ = ["CENTROIDS", "SPARSITY", "cluster", "clustered", "prune", "pruned"]

SPARSITY, CENTROIDS = 0.5, 32
_TURNS = 10  # in which the share of zeros rises

Wrap = Callable[[tf_keras.layers.Dense], tf_keras.layers.Layer]


def pruned(source: EdgeSource) -> bytes:
    """Half of the weights of each product are zero."""
    return dynamic_range(converter_with(source, prune(source)[0]))


def clustered(source: EdgeSource) -> bytes:
    """Each feed-forward product of BERT, or each of a user tower, knows 32 weights."""
    return dynamic_range(converter_with(source, cluster(source)[0]))


def prune(source: EdgeSource) -> tuple[tf_keras.Model, list[float]]:
    """The core with `SPARSITY` of each kernel zero, and the error of every training step."""
    last = max(1, source.steps * 3 // 4)  # then the rest settles
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        0.0, SPARSITY, begin_step=0, end_step=last, frequency=max(1, last // _TURNS)
    )
    core = _wrapped(
        student_core(source),
        lambda dense: tfmot.sparsity.keras.prune_low_magnitude(dense, pruning_schedule=schedule),
    )
    step = tfmot.sparsity.keras.UpdatePruningStep()
    step.set_model(core)
    step.on_train_begin()
    errors = distil(Student(source, core))
    step.on_epoch_end(None)  # the last step moved what was zero
    return tfmot.sparsity.keras.strip_pruning(core), errors


def cluster(source: EdgeSource) -> tuple[tf_keras.Model, list[float]]:
    """The core with `CENTROIDS` values a kernel, and the error of every training step.

    Attention's products stay free: they lose the most, and weigh a third.
    """
    float_core = student_core(source)
    objects = custom_objects(float_core)
    core = _wrapped(
        float_core,
        lambda dense: tfmot.clustering.keras.cluster_weights(
            dense,
            number_of_clusters=CENTROIDS,
            cluster_centroids_init=tfmot.clustering.keras.CentroidInitialization.KMEANS_PLUS_PLUS,
        ),
        leave=("_qkv", "_attention_out"),
    )
    errors = distil(Student(source, core))
    with tf_keras.utils.custom_object_scope(objects):
        return tfmot.clustering.keras.strip_clustering(core), errors


def _wrapped(core: tf_keras.Model, wrap: Wrap, leave: tuple[str, ...] = ()) -> tf_keras.Model:
    """The core with its Dense layers wrapped, but those whose names end with one of `leave`."""

    def choose(layer: tf_keras.layers.Layer) -> tf_keras.layers.Layer:
        if isinstance(layer, tf_keras.layers.Dense) and not layer.name.endswith(leave or ("\0",)):
            return wrap(layer)
        return layer

    return tf_keras.models.clone_model(core, clone_function=choose)
