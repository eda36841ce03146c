"""A tuning that a test kills, for a process of its own.

It kills itself with SIGKILL before the step is taken, so that no handler, finaliser or buffer can
help; a step of 0 lets it end. "more" has a queue, mined negatives and a learned temperature too.
"""

from __future__ import annotations

import dataclasses
import os
import signal
from pathlib import Path

import numpy as np

from dualtower_trainer.encoder import Encoder
from dualtower_trainer.finetune import FinetuneConfig
from dualtower_trainer.finetune.batches import PairBatches
from dualtower_trainer.finetune.negatives import TextNegatives
from dualtower_trainer.finetune.objectives import contrastive
from dualtower_trainer.finetune.replicas import choose_strategy
from dualtower_trainer.finetune.run import tune_and_save
from dualtower_trainer.losses import Temperature
from dualtower_trainer.pairs import Pairs

CONFIG = FinetuneConfig(
    mode="lora", steps=9, batch_pairs=6, learning_rate=1e-2, dropout=0.1, lora_dropout=0.1,
    checkpoint_every=2, precision="float16", temperature=0.2,
)  # fmt: skip
MORE = dataclasses.replace(
    CONFIG, queue=10, queue_warmup=2, hard_negatives=1, hard_warmup=1, hard_refresh_every=3,
    hard_first_rank=0, hard_last_rank=8, hard_max_score=1.0, hard_margin=0.0,
    learn_temperature=True,
)  # fmt: skip


def tune(encoder_folder: Path, out: Path, kill_at: int, kind: str) -> None:
    config = MORE if kind == "more" else CONFIG
    encoder = Encoder.load(encoder_folder, max_tokens=16)
    texts = [f"{colour} tea {n}" for colour in ("green", "black", "red") for n in range(8)]
    anchor = np.arange(0, 24, 2, dtype=np.int32)
    pairs = Pairs(anchor, anchor + 1, np.ones(12, np.float32), np.zeros(12, np.int8))
    batches = PairBatches(texts, pairs, encoder.tokenizer, batch_pairs=6, multiple=8)

    def draw(step: int) -> list:
        if kill_at and step == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return batches.batches(seed=0, step=step)

    temperature = Temperature(0.2, minimum=0.01, maximum=0.5) if kind == "more" else None
    tune_and_save(
        encoder, config, out, strategy=choose_strategy(()),
        objective=contrastive(temperature or config.temperature), draw=draw,
        data_sha256="the same", facts={}, temperature=temperature,
        negatives=TextNegatives(batches, pairs, config, encoder.hidden),
    )  # fmt: skip
