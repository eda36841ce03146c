"""Knowledge distillation: a small encoder learns the vectors of a large one, on the shop's texts.

The teacher's vectors are computed once. Where they are wider than the student's they are cut to its
width by their largest singular directions, which keep cosines best of all linear maps (Eckart and
Young 1936); where they are narrower, zeros fill them up. No projection is left to be shipped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dualtower.errors import DataError, UsageError
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.finetune.batches import Batch, pad_rows
from dualtower_trainer.finetune.objectives import likeness
from dualtower_trainer.finetune.replicas import choose_strategy
from dualtower_trainer.finetune.run import refuse_wrong_use, tune_and_save
from dualtower_trainer.finetune_config import FinetuneConfig

__all__ = ["distil_into", "fit_width"]


def distil_into(
    student: Encoder, teacher: Encoder, texts: Sequence[str], config: FinetuneConfig, out: Path
) -> Path:
    """Tunes `student` towards `teacher` on `texts`; see `objectives.likeness` for the loss.

    Args:
        student: where to start from; left as it is.
        teacher: any encoder.
        texts: without order; equal ones count once. A batch has `config.batch_pairs` of them.
        config: section [finetune], of any mode but "frozen".
        out: the new folder.

    Raises:
        UsageError: as `finetune`, or options that need pairs.
        DataError: fewer than two different texts.
    """
    different = list(dict.fromkeys(texts))
    if len(different) < 2:
        raise DataError(f"distillation needs at least 2 different texts, got {len(different)}")
    refuse_wrong_use(config, out)
    if config.more_negatives or config.learn_temperature:
        raise UsageError(
            "finetune.queue, hard_negatives and learn_temperature belong to pairs of texts; leave "
            "them off with --distil-from"
        )
    strategy = choose_strategy(config.devices)  # before TensorFlow computes anything
    wanted = fit_width(teacher.encode(different), student.hidden)
    rows = student.tokenizer.rows(different)

    def draw(step: int) -> list[Batch]:
        random = np.random.default_rng((config.seed, step))
        shape = (config.accumulate, config.batch_pairs)
        if len(different) < config.batch_pairs:
            places = random.integers(len(different), size=shape)
        else:
            order = [random.permutation(len(different))[: shape[1]] for _ in range(shape[0])]
            places = np.stack(order)
        longest = max(len(rows[place]) for place in places.flat)
        width = -(-longest // config.bucket_tokens) * config.bucket_tokens  # few shapes
        width = min(width, student.tokenizer.max_tokens)
        return [
            Batch(
                (pad_rows([rows[place] for place in part], width, student.tokenizer.pad_id),),
                (wanted[part],),
            )
            for part in places
        ]

    identity = hashlib.sha256(json.dumps([different, teacher.sha256]).encode()).hexdigest()
    return tune_and_save(
        student, config, out, strategy=strategy,
        objective=likeness(config.temperature), draw=draw, data_sha256=identity,
        facts={"texts": len(different), "teacher_sha256": teacher.sha256},
    )  # fmt: skip


def fit_width(vectors: npt.NDArray[np.float32], width: int) -> npt.NDArray[np.float32]:
    """Unit vectors float32 [n, width] whose cosines are as near to those of `vectors` as can be."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    if unit.shape[1] > width:
        _, directions = np.linalg.eigh((unit.T @ unit).astype(np.float64))
        unit = unit @ directions[:, ::-1][:, :width].astype(np.float32)
    else:
        unit = np.pad(unit, [(0, 0), (0, width - unit.shape[1])])
    unit /= np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    return np.ascontiguousarray(unit, np.float32)
