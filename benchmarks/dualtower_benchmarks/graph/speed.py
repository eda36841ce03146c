"""The encoder's graph on a CPU, trick by trick, beside ONNX Runtime float32 where that is.

Two processes at a time take turns, one form and the reference, so that what else the machine does
hits both; the time of a turn is its fastest call, since noise only adds. A ratio is the median over
the turns with its distribution-free interval. All engines get the same weights and word pieces.
"""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.errors import UsageError
from dualtower.progress import say, step
from dualtower_benchmarks.graph.forms import FORMS, JOINED, SERVED, GraphForm
from dualtower_benchmarks.graph.inputs import FIXED, LONGEST, TEXT_ROWS, read_input, write_job
from dualtower_benchmarks.machine import machine_facts
from dualtower_benchmarks.peer import Peer, script
from dualtower_benchmarks.stats.percentiles import minimum_samples, percentile
from dualtower_trainer.encoder import Encoder

__all__ = ["REFERENCE", "GraphSpeed", "measure_graphs", "read_source"]

REFERENCE = "ONNX Runtime"
_LONG_CALL_ROWS = 8  # batches from here on get a tenth of the calls
_MICRO = 1_000_000


@dataclass(frozen=True)
class GraphSpeed:
    """How it is measured.

    Attributes:
        batches: rows of a call, the smallest first, which chooses oneDNN's layouts.
        tokens: of every row, no padding.
        threads: of every engine; each number is a table.
        rounds: turns of each engine.
        calls: in a turn at small batches; large ones get a tenth.
        forms: rows of the table.
        reference_python: a Python with onnx and onnxruntime; None looks in this one.
    """

    batches: tuple[int, ...] = (1, 32)
    tokens: int = 32
    threads: tuple[int, ...] = (1, 2)
    rounds: int = 9
    calls: int = 30
    forms: tuple[GraphForm, ...] = FORMS
    reference_python: str | None = None

    def __post_init__(self) -> None:
        for name in ("batches", "threads"):
            values = getattr(self, name)
            if not values or min(values) < 1 or list(values) != sorted(set(values)):
                raise ValueError(f"{name} must rise from 1 or more, got {list(values)}")
        fewest = minimum_samples(0.5)
        if self.rounds < fewest:
            raise ValueError(
                f"rounds must be at least {fewest}, for an interval; got {self.rounds}"
            )
        if self.calls < 1:
            raise ValueError(f"calls must be at least 1, got {self.calls}")
        if not 3 <= self.tokens <= 512:
            raise ValueError(f"tokens must lie in 3..512, got {self.tokens}")


def read_source(path: Path, tokens: int) -> tuple[Encoder, list[str]]:
    """The encoder of a run with the texts of its catalogue, or of a BERT folder without any.

    Raises:
        UsageError: it is neither.
    """
    if (path / "config.json").is_file():
        return Encoder.load(path, tokens), []
    if (path / "bundle.json").is_file():
        raise UsageError(
            f"{path} is a bundle, whose weights lie in graphs; give the run that it was exported "
            "from, or a BERT folder"
        )
    from dualtower_trainer.checkpoint import load_trained

    trained = load_trained(path)
    return trained.encoder(), [str(text) for text in trained.texts]


def measure_graphs(speed: GraphSpeed, encoder: Encoder, texts: Sequence[str]) -> dict[str, Any]:
    """Measures every form at every number of threads.

    Args:
        speed: how.
        encoder: whose weights all engines get.
        texts: real ones, for the table of padding; none leaves it out.

    Returns:
        `machine`, `settings`, `engines` (versions), `forms` (rows of `name`, `threads`, `batch`,
        `wall_ms`, `cpu_ms`, `error`, `file_bytes`, and `ratio`, `cpu_ratio` to the reference, None
        without one), `reference` (the reference's own rows) and `padding` (rows of `name`,
        `threads`, `tokens`, `wall_ms`, `cpu_ms`, `ratio`, `cpu_ratio` to a fixed width).

    Raises:
        UnavailableError: an engine cannot run.
    """
    facts, python = machine_facts(), speed.reference_python or _python_with_reference()
    if python is None:
        say(
            "  onnx and onnxruntime are not installed here; give --reference-python a Python that "
            "has them for the ratios"
        )
    document: dict[str, Any] = {
        "machine": facts, "settings": {**asdict(speed), "forms": [f.name for f in speed.forms]},
        "engines": {}, "forms": [], "reference": [], "padding": [],
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="dualtower-bench-") as folder:
        job = write_job(Path(folder), speed.batches, speed.tokens, encoder, texts)
        wanted = np.asarray(encoder.model(list(read_input(job, "check"))))
        for threads in speed.threads:
            for form in speed.forms:
                with step(f"{form.name}, {threads} threads"):
                    _compare(document, speed, job, form, python, threads, wanted)
            if texts:
                with step(f"real texts, {threads} threads"):
                    document["padding"] += _padding(speed, job, threads)
    document["load_average_1_min_after"] = os.getloadavg()[0]
    return document


def _compare(
    document: dict[str, Any],
    speed: GraphSpeed,
    job: Mapping[str, Any],
    form: GraphForm,
    python: str | None,
    threads: int,
    wanted: np.ndarray,
) -> None:
    """Adds the rows of one form, and of the reference that it took turns with."""
    with ExitStack() as stack:
        peers = [stack.enter_context(_ours(form, job, threads))]
        if python is not None:
            command = [python, script("graph/reference.py")]
            peers.append(stack.enter_context(Peer(REFERENCE, command, job, threads=threads)))
        for peer in peers:
            document["engines"][peer.name] = peer.facts["ready"]
        for batch in speed.batches:
            turns = _turns(peers, [str(batch)] * len(peers), speed, batch)
            for place, peer in enumerate(peers):
                row = {
                    "name": peer.name, "threads": threads, "batch": batch,
                    "file_bytes": peer.facts["file_bytes"],
                    "error": float(np.abs(np.array(peer.facts["check"]) - wanted).max()),
                    **_times(turns[place]),
                }  # fmt: skip
                if place:
                    document["reference"].append({**row, "beside": form.name})
                else:
                    ratios = _ratios(turns[0], turns[1]) if python is not None else _NO_RATIOS
                    document["forms"].append({**row, **ratios})


def _padding(speed: GraphSpeed, job: Mapping[str, Any], threads: int) -> list[dict[str, Any]]:
    """32 real texts in rows of a fixed width, of their longest, and without pads."""
    with _ours(JOINED, job, threads) as plain, _ours(SERVED, job, threads) as served:
        asked = [(plain, FIXED), (plain, LONGEST), (served, LONGEST)]
        peers, names = [peer for peer, _ in asked], [name for _, name in asked]
        turns = _turns(peers, names, speed, TEXT_ROWS)
    tokens = [read_input(job, name)[1].size for name in names]
    tokens[2] = int(read_input(job, LONGEST)[1].sum())
    labels = (
        "every text as wide as the longest allowed",
        "as wide as the longest of the batch, to a bucket",
        "real tokens alone: the served form",
    )
    return [
        {
            "name": label, "threads": threads, "tokens": count, **_times(turn),
            **_ratios(turn, turns[0]),
        }
        for label, count, turn in zip(labels, tokens, turns, strict=True)
    ]  # fmt: skip


def _turns(
    peers: Sequence[Peer], names: Sequence[str], speed: GraphSpeed, rows: int
) -> list[dict[str, list[float]]]:
    """The fastest call of each turn of each peer; the order is turned round every time."""
    calls = speed.calls if rows < _LONG_CALL_ROWS else max(1, speed.calls // 10)
    found: list[dict[str, list[float]]] = [{"wall_s": [], "cpu_s": []} for _ in peers]
    places = list(range(len(peers)))
    for number in range(speed.rounds):
        for place in places if number % 2 == 0 else reversed(places):
            said = peers[place].ask({"input": names[place], "calls": calls})
            for clock, best in found[place].items():
                best.append(min(said[clock]))
    return found


def _times(turn: Mapping[str, list[float]]) -> dict[str, float]:
    return {
        "wall_ms": 1e3 * float(np.median(turn["wall_s"])),
        "cpu_ms": 1e3 * float(np.median(turn["cpu_s"])),
    }


_NO_RATIOS = {"ratio": None, "cpu_ratio": None}


def _ratios(ours: Mapping[str, list[float]], theirs: Mapping[str, list[float]]) -> dict[str, Any]:
    """Ours over theirs, turn by turn: the median with its interval, of wall and of CPU time."""
    found = {}
    for name, clock in (("ratio", "wall_s"), ("cpu_ratio", "cpu_s")):
        shares = np.array(ours[clock]) / np.array(theirs[clock])
        estimate = percentile(np.round(shares * _MICRO).astype(np.int64), 0.5)
        assert estimate is not None  # GraphSpeed sees to the number of rounds
        found[name] = {part: getattr(estimate, part) / _MICRO for part in ("value", "low", "high")}
    return found


def _ours(form: GraphForm, job: Mapping[str, Any], threads: int) -> Peer:
    command = [sys.executable, "-m", "dualtower_benchmarks.graph.worker"]
    op_threads = form.op_threads or threads
    # a session's own number comes too late: the first device of a process makes the pool for all
    environment = {**form.environment, "TF_NUM_INTRAOP_THREADS": str(op_threads)}
    orders = {**job, "form": form.name, "environment": environment, "op_threads": op_threads}
    return Peer(form.name, command, orders, threads=threads)


def _python_with_reference() -> str | None:
    """This Python, where it has the reference."""
    there = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime"))
    return sys.executable if there else None
