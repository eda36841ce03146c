"""The other side of `bench train`: sentence-transformers on torch. See `peer`.

Runs under a Python that has sentence-transformers, which is no dependency of ours; it imports
nothing of dualtower.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

_SMALLEST_ID = 1000


def main() -> None:
    """Reads the job, then takes steps as they are asked for."""
    job = json.loads(sys.stdin.readline())
    import numpy as np
    import sentence_transformers  # type: ignore[import-not-found]
    import torch  # type: ignore[import-not-found]

    torch.set_num_threads(job["threads"])
    model, loss = _model_and_loss(job)
    vocab_size = job["vocab_size"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-5, weight_decay=0.01)
    model.train()
    versions = f"sentence-transformers {sentence_transformers.__version__}, torch"
    _answer({"ready": f"{versions} {torch.__version__}"})
    step, low = 0, min(_SMALLEST_ID, vocab_size // 2)
    for line in sys.stdin:
        seconds, losses = [], []
        for _ in range(json.loads(line)["steps"]):
            shape = (2, job["batch"], job["tokens"])
            ids = torch.from_numpy(np.random.default_rng(step).integers(low, vocab_size, shape))
            features = [
                {
                    "input_ids": side,
                    "attention_mask": torch.ones_like(side),
                    "token_type_ids": torch.zeros_like(side),
                }
                for side in ids
            ]
            begin_ns = time.perf_counter_ns()
            value = loss(features, None)
            value.backward()
            optimizer.step()
            optimizer.zero_grad()
            seconds.append((time.perf_counter_ns() - begin_ns) / 1e9)
            losses.append(float(value))
            step += 1
        _answer({"seconds": seconds, "losses": losses})


def _model_and_loss(job: dict[str, Any]) -> tuple[Any, Any]:
    """MiniLM with mean pooling and no dropout, and the loss in chunks where they are asked for."""
    import torch
    from sentence_transformers import SentenceTransformer, losses, models

    bert = models.Transformer(job["folder"], max_seq_length=job["tokens"])
    pooling = models.Pooling(job["hidden"])
    model = SentenceTransformer(modules=[bert, pooling], device="cpu")
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        for name in ("attention_dropout", "dropout_prob"):  # read by the fused attention
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    if job["chunk"]:
        return model, losses.CachedMultipleNegativesRankingLoss(model, mini_batch_size=job["chunk"])
    return model, losses.MultipleNegativesRankingLoss(model)


def _answer(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
