"""One measurement of training before it starts: what takes steps, on how much."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from dualtower_benchmarks.scenario.keys import key_of
from dualtower_trainer.bert_config import BertConfig

__all__ = ["ENCODER", "ENCODERS", "TOWERS", "WHAT", "TrainingCase"]

ENCODER, TOWERS = "encoder", "towers"
WHAT = (ENCODER, TOWERS)
# minilm: the sizes of all-MiniLM-L6-v2; the speed of a step does not depend on the weights' values.
# tiny: a few thousand weights, which show that it runs.
ENCODERS = {
    "minilm": BertConfig(
        vocab_size=30522, hidden_size=384, num_hidden_layers=6, num_attention_heads=12,
        intermediate_size=1536,
    ),
    "tiny": BertConfig(
        vocab_size=60, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=16,
    ),
}  # fmt: skip
_STEP_S = 4.0  # of 32 pairs through MiniLM on two cores, three engines one after the other


@dataclass(frozen=True)
class TrainingCase:
    """A table [[train]] of a scenario; every key takes a value or a list of values.

    Args:
        what: encoder, whole steps through BERT; towers, the steps over its cached encodings, which
            have no counterpart.
        encoder: of `ENCODERS`; of the towers the width of an encoding.
        batch: pairs of a step of the encoder.
        chunk: pairs of a GradCache chunk; 0: in one piece.
        tokens: of every text, no padding.
        threads: of every engine; 0 takes the usable cores.
        xla: whether ours is also measured with `jit_compile`.
        rounds, steps: turns of each engine, and steps in a turn; ten times as many of the towers.
        items, people, taken: of the shop that the towers learn from, and what each person took.
    """

    what: str = ENCODER
    encoder: str = "minilm"
    batch: int = 32
    chunk: int = 0
    tokens: int = 32
    threads: int = 0
    xla: bool = True
    rounds: int = 5
    steps: int = 2
    items: int = 3500
    people: int = 3500
    taken: int = 50

    def __post_init__(self) -> None:
        if self.what not in WHAT:
            raise ValueError(f"what is one of {', '.join(WHAT)}, got {self.what!r}")
        if self.encoder not in ENCODERS:
            raise ValueError(f"encoder is one of {', '.join(ENCODERS)}, got {self.encoder!r}")
        for name in ("rounds", "steps", "items", "people", "taken"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.threads < 0:
            raise ValueError(f"threads must be at least 1, or 0, got {self.threads}")
        most = min(512, self.bert.max_position_embeddings)
        if not 3 <= self.tokens <= most:
            raise ValueError(f"tokens must lie in 3..{most}, got {self.tokens}")
        if self.batch < 2 or self.chunk < 0 or (self.chunk and self.batch % self.chunk):
            chunks = f" in chunks of {self.chunk}" if self.chunk else ""
            raise ValueError(
                "a batch must be at least 2 pairs and a multiple of its chunk, got "
                f"{self.batch}{chunks}"
            )
        if self.taken > self.items:
            raise ValueError(f"nobody takes {self.taken} of {self.items} items")

    @property
    def bert(self) -> BertConfig:
        return ENCODERS[self.encoder]

    @property
    def load_s(self) -> float:
        """Of its steps, roughly."""
        if self.what == TOWERS:
            return self.rounds * self.steps
        return self.rounds * self.steps * _STEP_S * self.batch / 32 * self.tokens / 32

    @property
    def words(self) -> str:
        if self.what == TOWERS:
            return f"training of the towers on cached encodings of {self.items:,} items"
        chunks = f" in chunks of {self.chunk}" if self.chunk else ""
        return f"training, {self.batch} pairs{chunks} of {self.tokens} tokens, {self.encoder}"

    @property
    def key(self) -> str:
        """Equal cases have equal keys in every run, and no key is one of another table's."""
        return key_of(["train", self.as_json()])

    def as_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)
