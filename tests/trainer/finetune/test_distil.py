"""Distillation: the loss against numpy, and a student that comes closer to its teacher."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy.special import log_softmax

from dualtower.errors import DataError
from dualtower_trainer.bert_config import BertConfig
from dualtower_trainer.bert_weights import random_tensors
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.finetune import distil_into
from dualtower_trainer.finetune.distil import fit_width
from dualtower_trainer.finetune.objectives import likeness


def unit(*shape: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_the_loss_equals_numpy() -> None:
    student, teacher = unit(6, 5), unit(6, 5, seed=1)
    total = 0.0
    for row in range(6):
        others = np.arange(6) != row
        wanted = log_softmax((teacher @ teacher[row])[others] / 0.3)
        got = log_softmax((student @ student[row])[others] / 0.3)
        total += 1 - student[row] @ teacher[row] + np.sum(np.exp(wanted) * (wanted - got))
    loss = likeness(0.3)([tf.constant(student)], [tf.constant(teacher)])
    assert float(loss) == pytest.approx(total / 6, rel=1e-5)
    assert float(likeness(0.3)([tf.constant(teacher)], [tf.constant(teacher)])) == pytest.approx(
        0, abs=1e-5
    )


@pytest.mark.parametrize("width", [3, 8, 12])
def test_a_teacher_is_cut_or_filled(width: int) -> None:
    vectors = unit(40, 8) * np.array([9, 5, 3, 0.1, 0.1, 0.1, 0.1, 0.1], np.float32)
    fitted = fit_width(vectors, width)
    assert fitted.shape == (40, width)
    assert fitted.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(fitted, axis=1), 1, rtol=1e-5)
    whole = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    np.testing.assert_allclose(fitted @ fitted.T, whole @ whole.T, atol=0.02)


@pytest.mark.slow
def test_the_student_comes_closer(encoder, settings, texts, tmp_path: Path) -> None:
    """Measured on texts that it did not learn from."""
    small = BertConfig(
        vocab_size=encoder.config.vocab_size, hidden_size=16, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=32, max_position_embeddings=32,
    )  # fmt: skip
    student = Encoder(
        folder=Path(), config=small, tensors=random_tensors(small, seed=8, stddev=0.2),
        tokenizer=encoder.tokenizer,
    )  # fmt: skip
    random = np.random.default_rng(1)
    words = encoder.tokenizer.vocab[4:15]
    texts = [" ".join(random.choice(words, random.integers(2, 7))) for _ in range(600)]
    unseen = list(dict.fromkeys(texts))[-60:]
    learned = sorted(set(texts) - set(unseen))
    config = dataclasses.replace(
        settings, steps=150, batch_pairs=32, learning_rate=5e-3, ema_decay=0.9
    )
    out = distil_into(student, encoder, learned, config, tmp_path / "student")
    taught = Encoder.load(out, max_tokens=16)

    def distance(candidate: Encoder) -> tuple[float, float]:
        """Of neighbours: correlation of cosines over all pairs, and overlap of the nearest 5."""
        cosines = []
        for one in (candidate, encoder):
            vectors = one.encode(unseen)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            cosines.append(vectors @ vectors.T - 2 * np.eye(len(unseen)))
        off = ~np.eye(len(unseen), dtype=bool)
        near = [np.argsort(-c, axis=1)[:, :5] for c in cosines]
        overlap = np.mean([len(set(a) & set(b)) / 5 for a, b in zip(*near, strict=True)])
        return np.corrcoef(cosines[0][off], cosines[1][off])[0, 1], overlap

    (before, overlap_before), (after, overlap_after) = distance(student), distance(taught)
    assert after > max(before + 0.1, 0.8)
    assert overlap_after > overlap_before
    report = json.loads((out / "tuning.json").read_text())
    assert report["teacher_sha256"] == encoder.sha256
    assert report["texts"] == len(learned)


def test_one_text_is_not_enough(encoder, settings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 2 different texts, got 1"):
        distil_into(encoder, encoder, ["tea", "tea"], settings, tmp_path / "out")
