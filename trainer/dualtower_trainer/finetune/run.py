"""Tunes an encoder on pairs of texts and writes it as a new folder; goes on where it was killed.

OUT.tuning/ beside OUT holds the state of a run that has not ended; OUT appears whole.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from dualtower.errors import UsageError
from dualtower.files import disk_errors, exclusive_lock, remove_stale
from dualtower.progress import bar, say
from dualtower_trainer.encoder import Encoder
from dualtower_trainer.finetune.batches import Batch, PairBatches
from dualtower_trainer.finetune.negatives import TextNegatives
from dualtower_trainer.finetune.objectives import Objective, contrastive
from dualtower_trainer.finetune.replicas import all_agree, choose_strategy, is_chief
from dualtower_trainer.finetune.schedule import check_losses
from dualtower_trainer.finetune.training_state import Training, restore_state, save_state
from dualtower_trainer.finetune.tuner import Tuner
from dualtower_trainer.finetune_config import FinetuneConfig
from dualtower_trainer.losses import Temperature
from dualtower_trainer.pairs import Pairs

__all__ = ["finetune", "refuse_wrong_use", "tune_and_save"]

_STATE = "state.safetensors"
_REPORT = "tuning.json"
_SHOWN_LOSSES = 20


def finetune(
    encoder: Encoder, texts: Sequence[str], pairs: Pairs, config: FinetuneConfig, out: Path
) -> Path:
    """Tunes `encoder` so that the two texts of a pair lie together and others apart.

    Run it again with the same arguments to go on after a kill, with the same losses.

    Args:
        encoder: where to start from; left as it is.
        texts: what the pairs name: item texts, or histories and item texts.
        pairs: rows of `texts`, left (`anchor`) and right (`positive`).
        config: of any mode but "frozen".
        out: the new folder, as `Encoder.save` writes it, with `tuning.json` beside the weights.

    Raises:
        UsageError: the mode is "frozen", `out` exists, or a run of other settings is under way.
        DataError: too few pairs, or training came apart.

    Example:
        pairs = mine_positives(interactions, len(texts), MiningOptions())
        tuned = Encoder.load(finetune(encoder, texts, pairs, FinetuneConfig(mode="lora"), out))
    """
    refuse_wrong_use(config, out)
    strategy = choose_strategy(config.devices)  # before TensorFlow computes anything
    temperature: float | Temperature = config.temperature
    if config.learn_temperature:
        with strategy.scope():
            temperature = Temperature(
                config.temperature, minimum=config.temperature_min, maximum=config.temperature_max
            )
    batches = PairBatches(
        texts, pairs, encoder.tokenizer, batch_pairs=config.batch_pairs,
        multiple=config.bucket_tokens,
    )  # fmt: skip
    tokens = batches.tokens(seed=config.seed)
    widths = ", ".join(f"{left}+{right}" for left, right in batches.widths)
    say(f"  {len(pairs):,} pairs; widths {widths}: {tokens.saved:.0%} of the tokens saved")

    def draw(step: int) -> list[Batch]:
        return batches.batches(seed=config.seed, step=step, count=config.accumulate)

    identity = _digest(texts, pairs.anchor, pairs.positive, pairs.weight)
    return tune_and_save(
        encoder, config, out, strategy=strategy,
        objective=contrastive(temperature), draw=draw, data_sha256=identity,
        facts={"pairs": len(pairs), "tokens": dataclasses.asdict(tokens)},
        negatives=TextNegatives(batches, pairs, config, encoder.hidden),
        temperature=None if isinstance(temperature, float) else temperature,
    )  # fmt: skip


def tune_and_save(
    encoder: Encoder,
    config: FinetuneConfig,
    out: Path,
    *,
    strategy: tf.distribute.Strategy,
    objective: Objective,
    draw: Callable[[int], Sequence[Batch]],
    data_sha256: str,
    facts: dict[str, object],
    negatives: TextNegatives | None = None,
    temperature: Temperature | None = None,
) -> Path:
    """Takes all steps and writes `out`; `draw` gives the batches of a step from its number alone.

    Args:
        encoder: where to start from.
        config: section [finetune].
        out: the new folder.
        strategy: of `choose_strategy`.
        objective: the loss.
        draw: the batches of a step.
        data_sha256: of what `draw` draws from; a state of other data is refused.
        facts: for tuning.json.
        negatives: what the batches are given beside their own, if anything.
        temperature: of the loss, where it is learned.
    """
    out = Path(out)
    work = out.with_name(f"{out.name}.tuning")
    identity = {**dataclasses.asdict(config), "encoder": encoder.sha256, "data": data_sha256}
    tuner = Tuner(encoder, config, objective, strategy, temperature)
    training = Training(tuner, negatives)
    if not is_chief(strategy):
        losses = restore_state(training, work / _STATE, identity)
        _refuse_other_steps(strategy, len(losses), work)
        _steps(training, config, draw, losses, lambda losses: None)
        return out
    with exclusive_lock(work / "lock"):
        remove_stale(work)
        losses = restore_state(training, work / _STATE, identity)
        _refuse_other_steps(strategy, len(losses), work)

        def keep(done: Sequence[float]) -> None:
            save_state(training, work / _STATE, identity, done)

        begin_ns = time.monotonic_ns()
        _steps(training, config, draw, losses, keep)
        if temperature is not None:
            facts = {**facts, "temperature": tuner.temperature}
        report = {
            "finetune": dataclasses.asdict(config), "from_encoder_sha256": encoder.sha256,
            **facts, "losses": losses, "wall_s": (time.monotonic_ns() - begin_ns) / 1e9,
        }  # fmt: skip
        _publish(encoder, tuner.tensors(), report, work, out)
    shutil.rmtree(work)
    few = max(1, min(_SHOWN_LOSSES, len(losses) // 2))
    say(f"  loss {np.mean(losses[:few]):.4f} → {np.mean(losses[-few:]):.4f}")
    return out


def refuse_wrong_use(config: FinetuneConfig, out: Path | None) -> None:
    """Raises what can be known before any work; `out` is None where nothing will be written.

    Raises:
        UsageError: the mode is "frozen", or `out` exists.
    """
    if config.mode == "frozen":
        raise UsageError(
            "finetune.mode is frozen, so there is nothing to tune; set it to top, full, lora or "
            "bitfit (--set finetune.mode=lora)"
        )
    if out is not None and Path(out).exists():
        raise UsageError(f"{out} exists already; remove it or choose another folder")


def _steps(
    training: Training,
    config: FinetuneConfig,
    draw: Callable[[int], Sequence[Batch]],
    losses: list[float],
    keep: Callable[[Sequence[float]], None],
) -> None:
    """Takes the steps that `losses` lacks, and appends theirs."""
    rows, first, skipped = config.batch_pairs * config.accumulate, len(losses), 0
    begin_ns = time.monotonic_ns()
    with bar("tune the encoder, steps", config.steps) as moving:
        moving.advance(first)
        for step in range(first, config.steps):
            result = training.step(draw(step), step)
            losses.append(result.loss)
            skipped = 0 if result.applied else skipped + 1
            check_losses(losses, skipped, scaled=config.precision == "float16")
            passed_s = (time.monotonic_ns() - begin_ns) / 1e9
            left_s = passed_s / (step + 1 - first) * (config.steps - step - 1)
            rate = rows * (step + 1 - first) / passed_s
            moving.advance(note=f"loss {result.loss:.4f} · {rate:.0f} rows/s · {left_s:.0f} s left")
            if (step + 1) % config.checkpoint_every == 0 and step + 1 < config.steps:
                keep(losses)


def _refuse_other_steps(strategy: tf.distribute.Strategy, done: int, work: Path) -> None:
    """Hosts that go on from different steps would wait for each other without end."""
    if not all_agree(strategy, done):
        raise UsageError(
            f"the hosts see different states in {work} (this one is after step {done}); put the "
            "new folder where all of them can read, or remove that folder to start again"
        )


def _publish(
    encoder: Encoder,
    tensors: dict[str, np.ndarray],
    report: dict[str, object],
    work: Path,
    out: Path,
) -> None:
    tuned = Encoder(folder=out, config=encoder.config, tensors=tensors, tokenizer=encoder.tokenizer)
    whole = work / "encoder"
    shutil.rmtree(whole, ignore_errors=True)
    tuned.save(whole)
    with disk_errors(out):
        (whole / _REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        os.rename(whole, out)


def _digest(texts: Sequence[str], *arrays: np.ndarray) -> str:
    digest = hashlib.sha256(json.dumps(list(texts)).encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()
