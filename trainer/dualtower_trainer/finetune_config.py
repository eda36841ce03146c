"""Section [finetune]: whether and how the BERT itself is tuned. No TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass

from dualtower_trainer.pairs.miner import HardNegativeConfig

__all__ = ["LORA_TARGETS", "MODES", "PAIR_KINDS", "PRECISIONS", "FinetuneConfig"]

MODES = ("frozen", "top", "full", "lora", "bitfit")
PAIR_KINDS = ("items", "histories")
PRECISIONS = ("float32", "bfloat16", "float16")
# the matrices of one layer that may carry a low-rank update
LORA_TARGETS = ("query", "key", "value", "output", "inner", "outer")


@dataclass(frozen=True)
class FinetuneConfig:
    """Section [finetune].

    Attributes:
        mode: "frozen" (off), "top" (the last `top_layers`), "full", "lora" (low-rank updates,
            https://arxiv.org/abs/2106.09685) or "bitfit" (biases only,
            https://arxiv.org/abs/2106.10199).
        top_layers: how many layers "top" tunes.
        lora_rank: rank of an update.
        lora_alpha: an update is scaled by alpha / rank.
        lora_dropout: on what an update reads.
        lora_targets: which matrices of a layer get one, of LORA_TARGETS.
        pairs: "items" (two that the same people took) or "histories" (the texts of a person's last
            items, and the next one).
        history_items: items of a history.
        histories_per_user: at most so many histories of a person.
        seed: of batches, dropout and new weights.
        steps: optimiser steps.
        batch_pairs: pairs of one loss; the others' right sides are the negatives.
        chunk_pairs: above 0, a batch goes through BERT in chunks of so many pairs and twice
            (GradCache, https://arxiv.org/abs/2101.06983), so that memory does not bound the batch.
        accumulate: batches whose mean gradient makes one step.
        queue: above 0, so many right sides of earlier batches are negatives too (cross-batch
            memory, https://arxiv.org/abs/1912.06798).
        queue_warmup: steps before they are: until then vectors move too fast.
        hard_negatives: texts mined for each pair's left side, negatives of the whole batch; 0 is
            off. All left and right sides are encoded at every mining.
        hard_first_rank: what ranks before it is too likely to belong to the left side.
        hard_last_rank: one past the last rank that counts as hard.
        hard_max_score: hard negatives have at most this cosine.
        hard_margin: and at most (1 - hard_margin) of the mean cosine of the left side's own pairs.
        hard_warmup: steps before anything is mined.
        hard_refresh_every: steps between two minings, each with the weights of then.
        temperature: by which cosines are divided.
        learn_temperature: whether it is learned from there,
        temperature_min: clamped to this
        temperature_max: and this,
        temperature_rate: with this peak of the learning rate, of its logarithm.
        learning_rate: peak of a linear warm-up and a cosine decay; of the top layer.
        warmup_share: share of the steps that warm up.
        layer_decay: each layer learns at this share of the rate of the one above it.
        weight_decay: of AdamW, on matrices and tables.
        clip_norm: longest gradient over all weights together; 0 is off.
        ema_decay: of the mean over steps that is saved in place of the last weights; 0 is off.
        dropout: on embeddings, attention and sublayers; it costs a CPU two thirds of a step more.
        precision: of matrix products; "bfloat16" is fast where the processor has it; "float16"
            scales the loss so that gradients do not vanish.
        jit_compile: compile the step by XLA, once for each width of a batch.
        bucket_tokens: pairs share a batch if their longer texts end in the same run of so many.
        checkpoint_every: steps between two states that a killed run goes on from.
        devices: names for MirroredStrategy such as "GPU:0"; empty: all GPUs, several hosts where
            TF_CONFIG names them.
    """

    mode: str = "frozen"
    top_layers: int = 2
    lora_rank: int = 8
    lora_alpha: float = 16.0
    lora_dropout: float = 0.0
    lora_targets: tuple[str, ...] = ("query", "key", "value", "output")
    pairs: str = "items"
    history_items: int = 4
    histories_per_user: int = 8
    seed: int = 0
    steps: int = 300
    batch_pairs: int = 64
    chunk_pairs: int = 0
    accumulate: int = 1
    queue: int = 0
    queue_warmup: int = 100
    hard_negatives: int = 0
    hard_first_rank: int = 5
    hard_last_rank: int = 50
    hard_max_score: float = 0.95
    hard_margin: float = 0.05
    hard_warmup: int = 100
    hard_refresh_every: int = 100
    temperature: float = 0.05
    learn_temperature: bool = False
    temperature_min: float = 0.01
    temperature_max: float = 0.5
    temperature_rate: float = 1e-2
    learning_rate: float = 1e-4
    warmup_share: float = 0.1
    layer_decay: float = 0.9
    weight_decay: float = 0.01
    clip_norm: float = 1.0
    ema_decay: float = 0.99
    dropout: float = 0.0
    precision: str = "float32"
    jit_compile: bool = False
    bucket_tokens: int = 4
    checkpoint_every: int = 50
    devices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _one_of("mode", self.mode, MODES)
        _one_of("pairs", self.pairs, PAIR_KINDS)
        _one_of("precision", self.precision, PRECISIONS)
        if not self.lora_targets or len(set(self.lora_targets)) != len(self.lora_targets):
            raise ValueError(f"lora_targets must name different matrices, got {self.lora_targets}")
        for target in self.lora_targets:
            _one_of("lora_targets", target, LORA_TARGETS)
        for name in (
            "top_layers", "lora_rank", "history_items", "histories_per_user", "steps", "accumulate",
            "bucket_tokens", "checkpoint_every", "hard_refresh_every",
        ):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.batch_pairs < 2:
            raise ValueError(
                f"batch_pairs must be at least 2, got {self.batch_pairs}: the other pairs of a "
                "batch are its negatives"
            )
        if self.chunk_pairs < 0 or (self.chunk_pairs and self.batch_pairs % self.chunk_pairs):
            raise ValueError(
                f"chunk_pairs must be 0 or divide batch_pairs {self.batch_pairs}, got "
                f"{self.chunk_pairs}"
            )
        for name in (
            "seed", "weight_decay", "clip_norm", "queue", "queue_warmup", "hard_negatives",
        ):  # fmt: skip
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("lora_dropout", "dropout", "ema_decay"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 0 to below 1, got {getattr(self, name)}")
        if not 0 <= self.warmup_share <= 1:
            raise ValueError(f"warmup_share must be from 0 to 1, got {self.warmup_share}")
        if not 0 < self.layer_decay <= 1:
            raise ValueError(f"layer_decay must be above 0 and at most 1, got {self.layer_decay}")
        for name in ("learning_rate", "temperature", "temperature_rate", "lora_alpha"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be above 0, got {getattr(self, name)}")
        if self.learn_temperature and not (
            0 < self.temperature_min <= self.temperature <= self.temperature_max
        ):
            raise ValueError(
                "0 < temperature_min <= temperature <= temperature_max must hold, got "
                f"{self.temperature_min}, {self.temperature}, {self.temperature_max}"
            )
        self.mining()

    @property
    def more_negatives(self) -> bool:
        """Whether a batch has other negatives than its own right sides."""
        return bool(self.queue or self.hard_negatives)

    def mining(self) -> HardNegativeConfig:
        """How hard negatives are mined, as the miner takes it."""
        return HardNegativeConfig(
            per_anchor=self.hard_negatives,
            first_rank=self.hard_first_rank,
            last_rank=self.hard_last_rank,
            max_score=self.hard_max_score,
            margin=self.hard_margin,
            warmup_steps=self.hard_warmup,
            refresh_steps=self.hard_refresh_every,
        )


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
