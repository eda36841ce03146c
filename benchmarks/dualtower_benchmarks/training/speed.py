"""Training steps a second: ours, with and without XLA, beside sentence-transformers where it is.

Engines take turns in short rounds, so that what else the machine does hits all of them alike, and
the ratio is taken round by round. All get the same weights and the same random ids without padding.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dualtower.progress import say
from dualtower_benchmarks.machine import usable_cores
from dualtower_benchmarks.peer import Peer, script
from dualtower_benchmarks.training.case import TOWERS, TrainingCase

__all__ = ["OURS", "REFERENCE", "REFERENCE_PYTHON", "XLA", "measured", "reference_python"]

OURS, XLA, REFERENCE = "dualtower", "dualtower, XLA", "sentence-transformers"
REFERENCE_PYTHON = "DUALTOWER_REFERENCE_PYTHON"  # names a Python that has it

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_TOWERS_STEPS = 10  # in the time of one through BERT

Turn = dict[str, Any]


def reference_python() -> str | None:
    """A Python with sentence-transformers: by the environment, or this one."""
    if named := os.environ.get(REFERENCE_PYTHON):
        return named
    return sys.executable if importlib.util.find_spec("sentence_transformers") else None


def measured(case: TrainingCase, python: str | None) -> list[dict[str, Any]]:
    """A row for each engine.

    Args:
        python: with the reference; None leaves it out.

    Returns:
        rows with `engine`, `version`, `n` (steps), `step_s` and `rows_per_s` (of the median round,
        with the fastest and the slowest one), `ratio` to the reference's rate, and what else the
        schema says.

    Raises:
        UnavailableError: an engine cannot run.
    """
    threads = case.threads or usable_cores() or 1
    return _towers(case, threads) if case.what == TOWERS else _encoder(case, python, threads)


def _encoder(case: TrainingCase, python: str | None, threads: int) -> list[dict[str, Any]]:
    ours = [sys.executable, "-m", "dualtower_benchmarks.training.worker"]
    wanted = [(OURS, ours, {"xla": False}), *([(XLA, ours, {"xla": True})] if case.xla else [])]
    if python is not None:
        wanted.append((REFERENCE, [python, script("training/reference.py")], {}))
    say(f"▸ {case.words}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dualtower-bench-")))
        _write_encoder(folder / "bert", case)
        job = {
            "folder": str(folder / "bert"), "tokens": case.tokens, "batch": case.batch,
            "chunk": case.chunk, "hidden": case.bert.hidden_size,
            "vocab_size": case.bert.vocab_size,
        }  # fmt: skip
        peers = [
            stack.enter_context(Peer(name, command, {**job, **extra}, threads=threads))
            for name, command, extra in wanted
        ]
        first = {peer.name: peer.steps(2)["losses"][0] for peer in peers}  # the first ones compile
        rounds = _rounds(peers, case)
    flops = _flops(case)
    peak = max(said.get("flops_per_s", 0.0) for turn in rounds for said in turn.values())
    rows = []
    for peer in peers:
        steps = [statistics.median(turn[peer.name]["seconds"]) for turn in rounds]
        row = _row(peer.name, peer.facts["ready"], steps, case.batch, case.steps, threads)
        row |= {
            "first_loss": first[peer.name],
            "flops_per_step": flops,
            "flops_per_s_peak": peak,
            "share_of_peak": flops / row["step_s"]["value"] / peak,
            "ratio": _ratio(rounds, peer.name) if REFERENCE in first else None,
        }
        rows.append(row)
    return rows


def _towers(case: TrainingCase, threads: int) -> list[dict[str, Any]]:
    """The towers' step over cached encodings, the sampler's time included."""
    say(f"▸ {case.words}")
    command = [sys.executable, "-m", "dualtower_benchmarks.training.cached_worker"]
    job = {
        "items": case.items, "users": case.people, "taken": case.taken,
        "hidden": case.bert.hidden_size,
    }  # fmt: skip
    each = _TOWERS_STEPS * case.steps
    with Peer("training of the towers", command, job, threads=threads) as peer:
        first = peer.steps(2)["losses"][0]
        steps = [statistics.median(peer.steps(each)["seconds"]) for _ in range(case.rounds)]
    row = _row(OURS, peer.facts["ready"], steps, peer.facts["histories"], each, threads)
    row |= {
        "first_loss": first, "flops_per_step": None, "flops_per_s_peak": None,
        "share_of_peak": None, "ratio": None,
    }  # fmt: skip
    return [row]


def _row(
    engine: str, version: str, steps: Sequence[float], batch_rows: int, each: int, threads: int
) -> dict[str, Any]:
    """Of the medians of the rounds, in seconds."""
    middle, fastest, slowest = statistics.median(steps), min(steps), max(steps)
    rates = {"value": middle, "low": slowest, "high": fastest}
    return {
        "engine": engine,
        "version": version,
        "threads_found": threads,
        "n": each * len(steps),
        "batch_rows": batch_rows,
        "step_s": {"value": middle, "low": fastest, "high": slowest},
        "rows_per_s": {name: batch_rows / step_s for name, step_s in rates.items()},
    }


def _rounds(peers: Sequence[Peer], case: TrainingCase) -> list[dict[str, Turn]]:
    """What each engine says in each round; the order is turned round every time."""
    rounds = []
    for number in range(case.rounds):
        order = list(peers) if number % 2 == 0 else list(reversed(peers))
        rounds.append({peer.name: peer.steps(case.steps) for peer in order})
    return rounds


def _flops(case: TrainingCase) -> float:
    from dualtower_trainer.finetune.flops import training_flops
    from dualtower_trainer.finetune_config import FinetuneConfig

    config = FinetuneConfig(mode="full", batch_pairs=case.batch, chunk_pairs=case.chunk)
    return float(training_flops(case.bert, config, 2 * case.batch, case.tokens))


def _ratio(rounds: Sequence[dict[str, Turn]], name: str) -> dict[str, float]:
    """How many times the reference's rate, over the rounds."""
    ratios = [
        statistics.median(turn[REFERENCE]["seconds"]) / statistics.median(turn[name]["seconds"])
        for turn in rounds
    ]
    return {"value": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}


def _write_encoder(folder: Path, case: TrainingCase) -> None:
    from dualtower.edge.tokenizer import Tokenizer
    from dualtower_trainer.bert_weights import random_tensors
    from dualtower_trainer.encoder import Encoder

    bert = case.bert
    pieces = [*_SPECIAL, *(f"w{n}" for n in range(bert.vocab_size - len(_SPECIAL)))]
    Encoder(
        folder=folder,
        config=bert,
        tensors=random_tensors(bert, seed=0),
        tokenizer=Tokenizer(pieces, max_tokens=case.tokens),
    ).save(folder)
