"""Keras models as functions whose weights are constants of the graph.

oneDNN packs a weight once only if it is a constant; a variable is packed again on every call. A
frozen function is traced once, so that all signatures of a SavedModel share one copy of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

from dualtower_export.quiet import quiet_tensorflow

__all__ = ["freeze"]


def freeze(
    function: Callable[..., tf.Tensor], inputs: Sequence[tf.TensorSpec]
) -> Callable[..., tf.Tensor]:
    """The same function of the same inputs, with every variable it reads as a constant.

    Args:
        function: from tensors to one tensor.
        inputs: dtype, shape and name of each argument.
    """
    traced = tf.function(function, input_signature=list(inputs), autograph=False)
    with quiet_tensorflow():
        frozen = convert_variables_to_constants_v2(
            traced.get_concrete_function(),
            lower_control_flow=False,  # no op of TensorFlow 1
        )

    def call(*tensors: tf.Tensor) -> tf.Tensor:
        (result,) = frozen(*tensors)
        return result

    return call
