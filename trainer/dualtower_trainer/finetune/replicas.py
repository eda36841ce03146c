"""Several replicas that compute one joint loss: who takes which rows, and the gather between them.

Every replica computes the loss over the vectors of all of them, and keeps the gradient to its own.
The sum of the weights' gradients over the replicas is then the gradient of the joint loss, whatever
the loss is; no replica's part has to be corrected.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from dualtower.errors import UsageError
from dualtower.progress import say

__all__ = ["all_agree", "choose_strategy", "gather_vectors", "is_chief", "rows_of_replica"]


def choose_strategy(devices: Sequence[str]) -> tf.distribute.Strategy:
    """Several hosts where TF_CONFIG names them, several devices of this one, or just it.

    Raises:
        UsageError: a device that TensorFlow does not see.
    """
    if json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster"):
        return tf.distribute.MultiWorkerMirroredStrategy()
    seen = [
        f"{d.device_type}:{d.name.rpartition(':')[2]}" for d in tf.config.list_logical_devices()
    ]
    unknown = [device for device in devices if device.upper() not in seen]
    if unknown:
        raise UsageError(
            f"finetune.devices names {', '.join(unknown)}; TensorFlow sees {', '.join(seen)}"
        )
    gpus = [name for name in seen if name.startswith("GPU:")]
    if not gpus and not devices:
        say("  no GPU: training on CPU")
    chosen = [device.upper() for device in devices] or gpus
    return tf.distribute.MirroredStrategy(chosen) if len(chosen) > 1 else _one_device(chosen)


def _one_device(chosen: Sequence[str]) -> tf.distribute.Strategy:
    return tf.distribute.OneDeviceStrategy(chosen[0]) if chosen else tf.distribute.get_strategy()


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes files; of several hosts only the first does."""
    resolver = strategy.cluster_resolver
    return (
        resolver is None
        or resolver.task_type in (None, "chief")
        or (resolver.task_type == "worker" and resolver.task_id == 0)
    )


def all_agree(strategy: tf.distribute.Strategy, number: int) -> bool:
    """Whether every replica, on whatever host, was given the same whole number."""
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return True

    def moments() -> tf.Tensor:
        context = tf.distribute.get_replica_context()
        own = tf.constant([number, number * number], tf.int64)
        return context.all_reduce(tf.distribute.ReduceOp.SUM, own)

    total = tf.function(lambda: strategy.run(moments), autograph=False)()
    first, second = strategy.experimental_local_results(total)[0].numpy().tolist()
    return first * first == second * replicas  # the variance is zero


def rows_of_replica(strategy: tf.distribute.Strategy, array: np.ndarray) -> tf.Tensor:
    """`array` [rows, ...] cut into equal parts, one for each replica in turn."""
    parts = np.split(array, strategy.num_replicas_in_sync)
    if len(parts) == 1:
        return tf.convert_to_tensor(array)

    def of(context: tf.distribute.ValueContext) -> tf.Tensor:
        return tf.convert_to_tensor(parts[context.replica_id_in_sync_group])

    return strategy.experimental_distribute_values_from_function(of)


def gather_vectors(vectors: tf.Tensor) -> tf.Tensor:
    """The rows of all replicas, in their order; the gradient is the part of this one's rows.

    Called in replica context; [rows, dim] to [replicas * rows, dim].
    """
    context = tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync
    if replicas == 1:
        return vectors
    rows, place = vectors.shape[0], context.replica_id_in_sync_group

    @tf.custom_gradient
    def gather(own: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        joint = tf.ensure_shape(context.all_gather(own, axis=0), [replicas * rows, own.shape[1]])
        return joint, lambda upstream: upstream[place * rows : (place + 1) * rows]

    return gather(vectors)
