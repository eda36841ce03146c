"""AdamW under a linear warm-up and a cosine decay, a share of the rate for each group of variables.

AdamW: Loshchilov and Hutter 2019, https://arxiv.org/abs/1711.05101; the cosine is theirs of 2017,
https://arxiv.org/abs/1608.03983, without restarts.
"""

from __future__ import annotations

import tensorflow as tf
import tf_keras as keras

from dualtower_trainer.train_config import TrainConfig

__all__ = ["adamw", "learning_rates"]

_LAST_SHARE = 0.05  # of the peak, at the last step


def learning_rates(
    train: TrainConfig, share: float = 1.0
) -> keras.optimizers.schedules.CosineDecay:
    """Step to rate: up to `share` of `train.learning_rate`, then down again."""
    warmup = max(1, min(train.warmup_steps, train.steps // 4))
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=share * train.learning_rate / warmup,
        decay_steps=max(train.steps - warmup, 1),
        alpha=_LAST_SHARE,
        warmup_target=share * train.learning_rate,
        warmup_steps=warmup,
    )


def adamw(
    variables: list[tf.Variable], train: TrainConfig, share: float
) -> keras.optimizers.Optimizer:
    """An optimiser of these variables, its slots made; only weight matrices decay."""
    optimizer = keras.optimizers.AdamW(
        learning_rates(train, share), weight_decay=train.weight_decay, jit_compile=False
    )
    kernels = {id(v) for v in variables if v.name.partition(":")[0].endswith("kernel")}
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if id(v) not in kernels])
    optimizer.build(variables)
    return optimizer
