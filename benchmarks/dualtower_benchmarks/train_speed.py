"""Training steps a second: ours, with and without XLA, beside sentence-transformers where it is.

Engines take turns in short rounds, so that what else the machine does hits all of them alike, and
the ratio is taken round by round. All get the same weights and the same random ids without padding.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dualtower.progress import say
from dualtower_benchmarks.machine import machine_facts
from dualtower_benchmarks.train_peer import TrainPeer, script
from dualtower_trainer.bert_config import BertConfig

__all__ = [
    "MINILM",
    "OURS",
    "REFERENCE",
    "XLA",
    "Shop",
    "TrainCase",
    "TrainSpeed",
    "measure_training",
]

OURS, XLA, REFERENCE = "dualtower", "dualtower, XLA", "sentence-transformers"

# sizes of all-MiniLM-L6-v2; the speed of a step does not depend on the values of the weights
MINILM = BertConfig(
    vocab_size=30522,
    hidden_size=384,
    num_hidden_layers=6,
    num_attention_heads=12,
    intermediate_size=1536,
)
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class TrainCase:
    """One row of the table: pairs of a batch, and of a GradCache chunk (0: in one piece)."""

    batch: int
    chunk: int = 0


@dataclass(frozen=True)
class Shop:
    """The size of what the towers are trained on once the encodings are cached."""

    items: int = 3500
    users: int = 3500
    taken: int = 50


@dataclass(frozen=True)
class TrainSpeed:
    """How it is measured.

    Attributes:
        cases: the batches.
        tokens: of every text, no padding.
        threads: of every engine.
        rounds: turns of each engine; their median counts.
        steps: in a turn.
        shop: of the training on cached encodings; None leaves it out.
        xla: whether ours is also measured with `jit_compile`.
        reference_python: a Python with sentence-transformers; None looks in this one.
    """

    cases: tuple[TrainCase, ...] = (TrainCase(32), TrainCase(256, 32))
    tokens: int = 32
    threads: int = 2
    rounds: int = 5
    steps: int = 2
    xla: bool = True
    shop: Shop | None = Shop()
    reference_python: str | None = None

    def __post_init__(self) -> None:
        for name in ("threads", "rounds", "steps"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 3 <= self.tokens <= 512:
            raise ValueError(f"tokens must lie in 3..512, got {self.tokens}")
        for case in self.cases:
            if case.batch < 2 or (case.chunk and case.batch % case.chunk):
                chunks = f" in chunks of {case.chunk} (--batch)" if case.chunk else ""
                raise ValueError(
                    "a batch must be at least 2 pairs and a multiple of its chunk, got "
                    f"{case.batch}{chunks}"
                )


def measure_training(speed: TrainSpeed, bert: BertConfig = MINILM) -> dict[str, Any]:
    """Measures every case with an encoder of the sizes `bert`.

    Returns:
        `machine`, `settings`, `engines` (versions) and `cases`, each with `batch`, `chunk`,
        `flops_per_step`, `flops_per_s_peak` and an `engines` list of `name`, `step_s`, `rows_per_s`
        (pairs), `share_of_peak`, `first_loss`, and `ratio` to the reference (a dictionary of
        `value`, `low`, `high` over the rounds; None without one). `cached_training` is None, or has
        `step_s`, `histories_per_s` and `positives_per_s` of the towers' own step.

    Raises:
        UnavailableError: an engine cannot run.
    """
    facts = machine_facts()
    python = speed.reference_python or _python_with_reference()
    if python is None:
        say(
            f"  {REFERENCE} is not installed here; give --reference-python a Python that has it "
            "for the comparison"
        )
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="dualtower-bench-") as folder:
        _write_encoder(Path(folder, "bert"), bert, speed.tokens)
        cases = [
            _case(case, speed, bert, str(Path(folder, "bert")), python, versions)
            for case in speed.cases
        ]
    cached = _cached(speed, speed.shop, bert) if speed.shop is not None else None
    return {
        "machine": facts, "settings": asdict(speed), "engines": versions, "cases": cases,
        "cached_training": cached,
    }  # fmt: skip


def _case(
    case: TrainCase,
    speed: TrainSpeed,
    bert: BertConfig,
    folder: str,
    python: str | None,
    versions: dict[str, str],
) -> dict[str, Any]:
    job = {
        "folder": folder, "tokens": speed.tokens, "batch": case.batch, "chunk": case.chunk,
        "hidden": bert.hidden_size, "vocab_size": bert.vocab_size,
    }  # fmt: skip
    ours = [sys.executable, "-m", "dualtower_benchmarks.train_worker"]
    wanted = [(OURS, ours, {"xla": False}), *([(XLA, ours, {"xla": True})] if speed.xla else [])]
    if python is not None:
        wanted.append((REFERENCE, [python, script("train_reference.py")], {}))
    say(f"▸ {case.batch} pairs" + (f" in chunks of {case.chunk}" if case.chunk else ""))
    with ExitStack() as stack:
        peers = [
            stack.enter_context(TrainPeer(name, command, {**job, **extra}, threads=speed.threads))
            for name, command, extra in wanted
        ]
        versions.update({peer.name: peer.facts["ready"] for peer in peers})
        first = {peer.name: peer.steps(2)["losses"][0] for peer in peers}  # the first ones compile
        rounds = _rounds(peers, speed)
    return _result(case, speed, bert, rounds, first)


def _cached(speed: TrainSpeed, shop: Shop, bert: BertConfig) -> dict[str, float]:
    """The towers' step over cached encodings, the sampler's time included."""
    say("▸ towers on cached encodings")
    command = [sys.executable, "-m", "dualtower_benchmarks.train_cached_worker"]
    job = {**asdict(shop), "hidden": bert.hidden_size}
    with TrainPeer("cached training", command, job, threads=speed.threads) as peer:
        peer.steps(2)
        seconds = [statistics.median(peer.steps(10)["seconds"]) for _ in range(speed.rounds)]
    step_s = statistics.median(seconds)
    histories = peer.facts["histories"]
    return {
        "step_s": step_s,
        "histories": histories,
        "histories_per_s": histories / step_s,
        "positives_per_s": histories * peer.facts["targets"] / step_s,
    }


def _rounds(peers: Sequence[TrainPeer], speed: TrainSpeed) -> list[dict[str, dict[str, Any]]]:
    """What each engine says in each round; the order is turned round every time."""
    rounds = []
    for number in range(speed.rounds):
        order = list(peers) if number % 2 == 0 else list(reversed(peers))
        rounds.append({peer.name: peer.steps(speed.steps) for peer in order})
        shown = ", ".join(
            f"{name} {statistics.median(said['seconds']):.2f} s"
            for name, said in sorted(rounds[-1].items())
        )
        say(f"  round {number + 1} of {speed.rounds}: {shown}")
    return rounds


def _result(
    case: TrainCase,
    speed: TrainSpeed,
    bert: BertConfig,
    rounds: Sequence[dict[str, dict[str, Any]]],
    first: dict[str, float],
) -> dict[str, Any]:
    from dualtower_trainer.finetune.flops import training_flops
    from dualtower_trainer.finetune_config import FinetuneConfig

    config = FinetuneConfig(mode="full", batch_pairs=case.batch, chunk_pairs=case.chunk)
    flops = training_flops(bert, config, 2 * case.batch, speed.tokens)
    peak = max(said.get("flops_per_s", 0.0) for turn in rounds for said in turn.values())
    engines = []
    for name in first:
        steps = [statistics.median(turn[name]["seconds"]) for turn in rounds]
        step_s = statistics.median(steps)
        engines.append(
            {
                "name": name,
                "step_s": step_s,
                "rows_per_s": case.batch / step_s,
                "share_of_peak": flops / step_s / peak,
                "first_loss": first[name],
                "ratio": _ratio(rounds, name) if REFERENCE in first else None,
            }
        )
    return {
        "batch": case.batch, "chunk": case.chunk, "flops_per_step": flops,
        "flops_per_s_peak": peak, "engines": engines,
    }  # fmt: skip


def _ratio(rounds: Sequence[dict[str, dict[str, Any]]], name: str) -> dict[str, float]:
    """How many times the reference's rate, over the rounds."""
    ratios = [
        statistics.median(turn[REFERENCE]["seconds"]) / statistics.median(turn[name]["seconds"])
        for turn in rounds
    ]
    return {"value": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}


def _python_with_reference() -> str | None:
    """This Python, where it has the reference."""
    return sys.executable if importlib.util.find_spec("sentence_transformers") else None


def _write_encoder(folder: Path, bert: BertConfig, tokens: int) -> None:
    from dualtower.edge.tokenizer import Tokenizer
    from dualtower_trainer.bert_weights import random_tensors
    from dualtower_trainer.encoder import Encoder

    pieces = [*_SPECIAL, *(f"w{n}" for n in range(bert.vocab_size - len(_SPECIAL)))]
    Encoder(
        folder=folder,
        config=bert,
        tensors=random_tensors(bert, seed=0),
        tokenizer=Tokenizer(pieces, max_tokens=tokens),
    ).save(folder)
