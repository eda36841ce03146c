"""Our side of `bench train`: the tuner's step over a BERT folder, on demand. See `peer`."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from dualtower_trainer.quiet_tensorflow import import_tensorflow

__all__ = ["main"]

_TEMPERATURE = 0.05  # sentence-transformers' scale of 20
_SMALLEST_ID = 1000


def main() -> None:
    """Reads the job, then takes steps as they are asked for."""
    job = json.loads(sys.stdin.readline())
    import_tensorflow()
    import tensorflow as tf

    from dualtower_trainer.encoder import Encoder
    from dualtower_trainer.finetune import FinetuneConfig
    from dualtower_trainer.finetune.plan import matmul_flops_per_s
    from dualtower_trainer.finetune.tuner import Tuner

    config = FinetuneConfig(
        mode="full", batch_pairs=job["batch"], chunk_pairs=job["chunk"], jit_compile=job["xla"],
        dropout=0.0, ema_decay=0.0, clip_norm=0.0, layer_decay=1.0, warmup_share=0.0,
        steps=1_000_000,
    )  # fmt: skip
    encoder = Encoder.load(job["folder"], job["tokens"])
    tuner = Tuner(encoder, config, _objective(), tf.distribute.get_strategy())
    _answer({"ready": f"tensorflow {tf.__version__}"})
    step = 0
    for line in sys.stdin:
        seconds, losses = [], []
        for _ in range(json.loads(line)["steps"]):
            batch = _batch(job, encoder.config.vocab_size, step)
            begin_ns = time.perf_counter_ns()
            result = tuner.step([batch], step)
            seconds.append((time.perf_counter_ns() - begin_ns) / 1e9)
            losses.append(result.loss)
            step += 1
        _answer({"seconds": seconds, "losses": losses, "flops_per_s": matmul_flops_per_s()})


def _objective() -> Any:
    """Left finds right, not the reverse: what MultipleNegativesRankingLoss does."""
    from dualtower_trainer.losses import info_nce

    def loss(vectors: Sequence[Any], constants: Sequence[Any]) -> Any:
        del constants
        return info_nce(*vectors, temperature=_TEMPERATURE)

    return loss


def _batch(job: dict[str, Any], vocab_size: int, step: int) -> Any:
    """Random ids without padding; the same numbers as `train_reference` draws."""
    from dualtower_trainer.finetune.batches import Batch

    shape = (2, job["batch"], job["tokens"])
    low = min(_SMALLEST_ID, vocab_size // 2)
    ids = np.random.default_rng(step).integers(low, vocab_size, shape).astype(np.int32)
    return Batch(tuple((side, np.ones_like(side)) for side in ids), ())


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
