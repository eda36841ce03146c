"""What a training runs on, in words."""

from __future__ import annotations

import os

import tensorflow as tf

__all__ = ["device_line"]


def device_line() -> str:
    """The GPUs that TensorFlow will use, or that there is none."""
    gpus = tf.config.list_physical_devices("GPU")
    if not gpus:
        return f"no GPU: training on {os.cpu_count()} CPU cores"
    names = [
        str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name))
        for gpu in gpus
    ]
    return f"training on {', '.join(names)}"
