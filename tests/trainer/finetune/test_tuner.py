"""The step: accumulation, skipped steps, precision, XLA."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from dualtower.errors import UsageError
from dualtower_trainer.finetune.batches import Batch
from dualtower_trainer.finetune.objectives import contrastive
from dualtower_trainer.finetune.tuner import Tuner, refuse_uneven

STRATEGY = tf.distribute.get_strategy()


def run(encoder, settings, batches, objective=None) -> tuple[dict[str, np.ndarray], list]:
    tuner = Tuner(encoder, settings, objective or contrastive(0.2), STRATEGY)
    results = [tuner.step(group, step) for step, group in enumerate(batches)]
    return tuner.tensors(), results


def cut(batch: Batch, begin: int, end: int) -> Batch:
    return Batch(tuple((ids[begin:end], mask[begin:end]) for ids, mask in batch.sides), ())


def test_accumulation_equals_the_big_batch(encoder, settings, make_batch) -> None:
    """For a mean over rows that do not see each other."""

    def apart(vectors, constants):
        return tf.reduce_mean(1.0 - tf.reduce_sum(vectors[0] * vectors[1], axis=1))

    wide = [make_batch(12, seed=step) for step in range(3)]
    whole, losses = run(
        encoder, dataclasses.replace(settings, batch_pairs=12),
        [[cut(b, 0, 12)] for b in wide], apart,
    )  # fmt: skip
    parts, part_losses = run(
        encoder, dataclasses.replace(settings, batch_pairs=4, accumulate=3),
        [[cut(b, 0, 4), cut(b, 4, 8), cut(b, 8, 12)] for b in wide], apart,
    )  # fmt: skip
    for one, other in zip(losses, part_losses, strict=True):
        np.testing.assert_allclose(one[:2], other[:2], rtol=1e-4)
    same = [n for n in whole if "key.bias" not in n]  # its gradient is rounding alone
    for name in same:
        np.testing.assert_allclose(whole[name], parts[name], atol=1e-5, err_msg=name)


def test_it_learns(encoder, settings, make_batch) -> None:
    settings = dataclasses.replace(settings, batch_pairs=8, steps=30, learning_rate=3e-3)
    _, results = run(encoder, settings, [[make_batch(8)]] * 30)
    assert results[-1].loss < 0.5 * results[0].loss


def test_xla_gives_the_same(encoder, settings, make_batch) -> None:
    """Without dropout: XLA draws other masks from the same seed."""
    settings = dataclasses.replace(settings, mode="top", top_layers=1)
    batches = [[make_batch(8, seed=step)] for step in range(2)]
    plain, losses = run(encoder, settings, batches)
    compiled, compiled_losses = run(
        encoder, dataclasses.replace(settings, jit_compile=True), batches
    )
    for one, other in zip(losses, compiled_losses, strict=True):
        np.testing.assert_allclose(one[:2], other[:2], rtol=1e-3)
    name = "encoder.layer.1.intermediate.dense.weight"
    np.testing.assert_allclose(plain[name], compiled[name], atol=1e-4)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_half_precision_learns_the_same(encoder, settings, make_batch, precision: str) -> None:
    settings = dataclasses.replace(settings, learning_rate=3e-3, steps=10)
    batches = [[make_batch(8)]] * 10
    _, full = run(encoder, settings, batches)
    _, half = run(encoder, dataclasses.replace(settings, precision=precision), batches)
    assert all(result.applied for result in half)
    np.testing.assert_allclose(half[0].gradient_norm, full[0].gradient_norm, rtol=0.05)
    assert half[-1].loss == pytest.approx(full[-1].loss, rel=0.1)


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_a_planted_infinity_skips_the_step(encoder, settings, make_batch, precision: str) -> None:
    tuner = Tuner(
        encoder, dataclasses.replace(settings, precision=precision), contrastive(0.2), STRATEGY
    )
    good = make_batch(8)
    tuner.step([good], 0)
    before = tuner.state()
    weight = good.constants[1].copy()
    weight[3] = np.inf
    result = tuner.step([Batch(good.sides, (good.constants[0], weight))], 1)
    after = tuner.state()
    assert not result.applied
    for name in set(before) - {"loss_scale", "good_steps"}:
        np.testing.assert_array_equal(before[name], after[name], err_msg=name)
    halved = 0.5 if precision == "float16" else 1.0
    assert after["loss_scale"] == halved * before["loss_scale"]
    assert tuner.step([good], 2).applied


def test_clipping_shortens_what_is_applied(encoder, settings, make_batch) -> None:
    """Adam forgets a common factor, so the moments show it."""
    batch = make_batch(8)
    moments, norms = [], []
    for clip_norm in (0.0, 1e-3):
        tuner = Tuner(
            encoder, dataclasses.replace(settings, clip_norm=clip_norm), contrastive(0.2), STRATEGY
        )
        norms.append(tuner.step([batch], 0).gradient_norm)
        state = tuner.state()
        moments.append(
            np.sqrt(sum(np.sum(v**2) for n, v in state.items() if n.startswith("first/")))
        )
    assert norms[0] == pytest.approx(norms[1])
    assert moments[0] == pytest.approx(0.1 * norms[0], rel=1e-4)
    assert moments[1] == pytest.approx(0.1 * 1e-3, rel=1e-4)


def test_what_replicas_cannot_share_is_refused(settings) -> None:
    refuse_uneven(settings, 2)
    with pytest.raises(UsageError, match=r"cannot be cut into 3 equal parts; choose a multiple"):
        refuse_uneven(settings, 3)
    with pytest.raises(UsageError, match=r"into 2 equal parts of chunks of 8; .* multiple of 16"):
        refuse_uneven(dataclasses.replace(settings, chunk_pairs=8), 2)
    with pytest.raises(UsageError, match="jit_compile works on one device, there are 2"):
        refuse_uneven(dataclasses.replace(settings, jit_compile=True), 2)
