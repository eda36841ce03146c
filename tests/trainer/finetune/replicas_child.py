"""Some steps on one or more replicas, in a process of its own.

HOW is "one" (a single device), "two" (two logical CPUs of this process) or "worker" (one of the
hosts that TF_CONFIG names).
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np

import dualtower_trainer  # noqa: F401  sets TensorFlow's environment

ROWS, STEPS = 8, 3


def train_quietly(how: str, outs: dict[int, Path], log: Path, environment: dict[str, str]) -> None:
    """Trains once for each number of pairs in a chunk; what it says goes into a file."""
    os.environ.update(
        TF_NUM_INTRAOP_THREADS="1", TF_NUM_INTEROP_THREADS="2", **environment
    )  # read when TensorFlow is first used
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(file, stream)
    import tensorflow as tf

    if how == "two":
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(
            cpu, [tf.config.LogicalDeviceConfiguration()] * 2
        )
    for chunk_pairs, out in outs.items():
        train(how, chunk_pairs, out)


def train(how: str, chunk_pairs: int, out: Path) -> None:
    """Writes the losses and every tuned tensor to the .npz `out`."""
    from dualtower.edge.tokenizer import Tokenizer
    from dualtower_trainer.bert_config import BertConfig
    from dualtower_trainer.bert_weights import random_tensors
    from dualtower_trainer.encoder import Encoder
    from dualtower_trainer.finetune import FinetuneConfig
    from dualtower_trainer.finetune.batches import Batch
    from dualtower_trainer.finetune.objectives import contrastive
    from dualtower_trainer.finetune.replicas import all_agree, choose_strategy
    from dualtower_trainer.finetune.tuner import Tuner

    strategy = choose_strategy(("CPU:0", "CPU:1") if how == "two" else ())
    assert strategy.num_replicas_in_sync == (1 if how == "one" else 2)
    assert all_agree(strategy, 5)
    if how == "worker":
        index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
        assert not all_agree(strategy, index)
    bert = BertConfig(
        vocab_size=20, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=24, max_position_embeddings=12,
    )  # fmt: skip
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnop"]
    encoder = Encoder(
        folder=Path(), config=bert, tensors=random_tensors(bert, seed=3, stddev=0.2),
        tokenizer=Tokenizer(vocab, max_tokens=12),
    )  # fmt: skip
    config = FinetuneConfig(
        mode="full", batch_pairs=ROWS, chunk_pairs=chunk_pairs, dropout=0.0, learning_rate=1e-2,
        clip_norm=0.5, ema_decay=0.5, steps=STEPS,
    )  # fmt: skip
    tuner = Tuner(encoder, config, contrastive(0.2), strategy)
    losses = []
    for step in range(STEPS):
        random = np.random.default_rng(step)
        sides = []
        for width in (6, 6) if step else (6, 4):
            ids = random.integers(2, 20, (ROWS, width)).astype(np.int32)
            mask = np.arange(width) < random.integers(2, width + 1, (ROWS, 1))
            sides.append((ids, mask.astype(np.int32)))
        accidental = np.zeros((ROWS, ROWS), bool)
        accidental[1, 6] = True
        weight = random.uniform(0.5, 1, ROWS).astype(np.float32)
        losses.append(tuner.step([Batch(tuple(sides), (accidental, weight))], step).loss)
    np.savez(out, losses=losses, **tuner.tensors())
