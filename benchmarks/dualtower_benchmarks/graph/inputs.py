"""What the engines of `bench graph` are given: the same weights and the same word pieces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dualtower_export.config import ExportConfig
from dualtower_export.length_buckets import bucket_of, buckets_up_to
from dualtower_trainer.bert import MASK_BIAS
from dualtower_trainer.bert_config import ACTIVATIONS
from dualtower_trainer.encoder import Encoder

__all__ = ["FIXED", "LONGEST", "TEXT_ROWS", "read_input", "write_job"]

FIXED, LONGEST = "texts, fixed width", "texts, longest"
TEXT_ROWS = 32
_CHECK_ROWS = 12


def write_job(
    folder: Path, batches: Sequence[int], columns: int, encoder: Encoder, texts: Sequence[str]
) -> dict[str, Any]:
    """Writes weights and inputs; returns the job that all engines get.

    Args:
        folder: where the files go.
        batches: rows of the inputs without padding, each named by its number.
        columns: word pieces of a row.
        encoder: whose weights they are.
        texts: real ones, of which TEXT_ROWS are drawn; none leaves their inputs out.
    """
    random = np.random.default_rng(0)
    vocabulary = encoder.config.vocab_size

    def tokens(rows: int, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ids = random.integers(vocabulary // 2, vocabulary, (rows, columns)).astype(np.int32)
        mask = (np.arange(columns) < lengths[:, np.newaxis]).astype(np.int32)
        return ids * mask, mask

    inputs = {str(batch): tokens(batch, np.full(batch, columns)) for batch in batches}
    # lengths from none, a row that is all padding, to all
    inputs["check"] = tokens(_CHECK_ROWS, np.linspace(0, columns, _CHECK_ROWS).astype(np.int32))
    if texts:
        some = [texts[row] for row in random.integers(0, len(texts), TEXT_ROWS)]
        ids, mask = encoder.tokenizer(some)
        buckets = buckets_up_to(encoder.max_tokens, ExportConfig().length_buckets)
        for name, width in (
            (FIXED, encoder.max_tokens), (LONGEST, bucket_of(ids.shape[1], buckets)),
        ):  # fmt: skip
            more = [(0, 0), (0, width - ids.shape[1])]
            inputs[name] = (np.pad(ids, more), np.pad(mask, more))
    arrays = {}
    for name, (ids, mask) in inputs.items():
        arrays[f"{name}/ids"], arrays[f"{name}/mask"] = ids, mask
    np.savez(folder / "inputs.npz", allow_pickle=False, **arrays)
    np.savez(folder / "weights.npz", allow_pickle=False, **encoder.tensors)
    encoder.save(folder / "bert")
    config = encoder.config
    return {
        "folder": str(folder / "bert"),
        "inputs": str(folder / "inputs.npz"),
        "weights": str(folder / "weights.npz"),
        "tokens": encoder.max_tokens,
        "order": [name for name in inputs if name != "check"],
        "bert": {
            "layers": config.num_hidden_layers,
            "heads": config.num_attention_heads,
            "head_size": config.head_size,
            "epsilon": config.layer_norm_eps,
            "gelu": "tanh" if ACTIVATIONS[config.hidden_act] else "none",
            "mask_bias": MASK_BIAS,
        },
    }


def read_input(job: Mapping[str, Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Ids and mask int32 [rows, columns] of an input of a job."""
    with np.load(job["inputs"]) as arrays:
        return arrays[f"{name}/ids"], arrays[f"{name}/mask"]
