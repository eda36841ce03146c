"""The k best of a large catalogue: ours in a SavedModel, beside faiss where it is.

Engines take turns in short rounds, each in a process of its own, so that what else the machine does
hits all of them alike; ratios are taken round by round. Ours also leaves out five items a user and
answers with ids; faiss answers with rows.
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

import numpy as np

from dualtower.progress import say, step
from dualtower_benchmarks.machine import machine_facts
from dualtower_benchmarks.topk_catalogue import make_catalogue, true_best
from dualtower_benchmarks.train_peer import TrainPeer, script

__all__ = ["EXACT", "OURS", "REFERENCE", "TopkSpeed", "measure_topk", "recall_of"]

OURS, REFERENCE = "dualtower", "faiss"
EXACT = "exact_float32"
_FLAT = "flat"


@dataclass(frozen=True)
class TopkSpeed:
    """How it is measured.

    Attributes:
        items: of the catalogue.
        dim: numbers of taste, which both sides multiply.
        k: length of the lists.
        lists: of both inverted files; 0 takes twice the root of the items.
        probes: numbers of lists read, for the curve.
        batches: users of a call.
        threads: of each side, one after the other.
        users: people who are asked for, and over whom the recall is taken.
        rounds: turns of each engine; their median counts.
        calls: in a turn.
        seed: of the catalogue.
        reference_python: a Python with faiss; None looks in this one.
    """

    items: int = 100_000
    dim: int = 128
    k: int = 100
    lists: int = 0
    probes: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128)
    batches: tuple[int, ...] = (1, 32)
    threads: tuple[int, ...] = (1, 2)
    users: int = 128
    rounds: int = 5
    calls: int = 4
    seed: int = 0
    reference_python: str | None = None

    def __post_init__(self) -> None:
        for name in ("items", "dim", "k", "users", "rounds", "calls"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.k >= self.items:
            raise ValueError(f"k must be below the {self.items} items, got {self.k}")
        if not 0 <= self.lists <= self.items:
            raise ValueError(f"lists must lie in 0..{self.items}, got {self.lists}")
        for name in ("probes", "batches", "threads"):
            values = getattr(self, name)
            if not values or min(values) < 1 or len(set(values)) < len(values):
                raise ValueError(f"{name} must be distinct and at least 1, got {list(values)}")
        if max(self.batches) > self.users:
            raise ValueError(f"a batch of {max(self.batches)} is more than {self.users} users")
        if max(self.probes) > self.number_of_lists:
            raise ValueError(
                f"probes must not exceed the {self.number_of_lists} lists, got {max(self.probes)}"
            )

    @property
    def number_of_lists(self) -> int:
        return self.lists or max(1, round(2 * self.items**0.5))


def measure_topk(speed: TopkSpeed) -> dict[str, Any]:
    """Measures every engine at every batch and number of threads.

    Returns:
        `machine`, `settings`, `engines` (versions) and `points`, each with `side`, `engine`,
        `batch`, `threads`, `wall_ms`, `cpu_ms` (medians over the rounds), `recall`, and the ratios
        `cpu_to_reference`, `wall_to_reference` (to faiss' flat index), `wall_to_exact` (to our own
        exact search) as `value`, `low`, `high` over the rounds; None where there is nothing to
        compare with.

    Raises:
        UnavailableError: an engine cannot run.
    """
    facts = machine_facts()
    python = speed.reference_python or (sys.executable if _has_reference() else None)
    if python is None:
        say(
            f"  {REFERENCE} is not installed here; give --reference-python a Python that has it "
            "for the comparison"
        )
    points: list[dict[str, Any]] = []
    versions: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="dualtower-bench-") as name:
        folder = Path(name)
        with step(f"{speed.items:,} items of {speed.dim} numbers"):
            catalogue = make_catalogue(speed.items, speed.dim, speed.users, seed=speed.seed)
            for part in ("vectors", "users", "seen"):
                np.save(folder / f"{part}.npy", getattr(catalogue, part))
            best = {
                OURS: true_best(catalogue, speed.k, without_seen=True),
                REFERENCE: true_best(catalogue, speed.k, without_seen=False),
            }
            del catalogue
        recalls: dict[tuple[str, str], float] = {}
        for threads in speed.threads:
            with step(f"{threads} threads"):
                points += _measured(speed, folder, threads, python, best, recalls, versions)
    settings = {**asdict(speed), "lists": speed.number_of_lists}
    return {"machine": facts, "settings": settings, "engines": versions, "points": points}


def _measured(
    speed: TopkSpeed,
    folder: Path,
    threads: int,
    python: str | None,
    best: dict[str, list[np.ndarray]],
    recalls: dict[tuple[str, str], float],
    versions: dict[str, str],
) -> list[dict[str, Any]]:
    job = {
        "folder": str(folder), "k": speed.k, "lists": speed.number_of_lists,
        "probes": list(speed.probes),
    }  # fmt: skip
    inverted = [f"ivf_{probes}" for probes in speed.probes]
    engines = {OURS: [EXACT, "exact_float16", "exact_int8", *inverted]}
    commands = {OURS: [sys.executable, "-m", "dualtower_benchmarks.topk_worker"]}
    if python is not None:
        engines[REFERENCE] = [_FLAT, *inverted]
        commands[REFERENCE] = [python, script("topk_reference.py")]
    with ExitStack() as stack:
        peers = {
            side: stack.enter_context(TrainPeer(side, command, job, threads=threads))
            for side, command in commands.items()
        }
        versions.update({side: str(peer.facts["ready"]) for side, peer in peers.items()})
        turns = [(side, engine) for side in peers for engine in engines[side]]
        for side, engine in turns:
            if (side, engine) not in recalls:
                found = _ask(peers[side], engine, speed.users, [0], rows=True)["rows"]
                recalls[side, engine] = recall_of(found, best[side])
        points = []
        for batch in speed.batches:
            rounds = [_round(peers, turns, speed, batch, number) for number in range(speed.rounds)]
            points += [
                _point(side, engine, batch, threads, rounds, recalls[side, engine])
                for side, engine in turns
            ]
    return points


def recall_of(found: Sequence[Sequence[int]], best: Sequence[np.ndarray]) -> float:
    """The mean share of each exact list that was found."""
    shares = [
        np.isin(rows, found_rows).mean() for rows, found_rows in zip(best, found, strict=True)
    ]
    return float(np.mean(shares))


def _round(
    peers: dict[str, TrainPeer],
    turns: Sequence[tuple[str, str]],
    speed: TopkSpeed,
    batch: int,
    number: int,
) -> dict[tuple[str, str], dict[str, float]]:
    """What each engine takes in one round; the order is turned round every time."""
    places = max(1, speed.users // batch)
    begins = [(number * speed.calls + call) % places * batch for call in range(speed.calls)]
    order = turns if number % 2 == 0 else list(reversed(turns))
    taken = {}
    for side, engine in order:
        _ask(peers[side], engine, batch, begins[:1], rows=False)  # caches as if it ran alone
        said = _ask(peers[side], engine, batch, begins, rows=False)
        taken[side, engine] = {
            "wall_ms": statistics.median(said["wall_ns"]) / 1e6,
            "cpu_ms": statistics.median(said["cpu_ns"]) / 1e6,
        }
    return taken


def _ask(
    peer: TrainPeer, engine: str, batch: int, begins: Sequence[int], *, rows: bool
) -> dict[str, Any]:
    return peer.ask({"engine": engine, "batch": batch, "begins": list(begins), "rows": rows})


def _point(
    side: str,
    engine: str,
    batch: int,
    threads: int,
    rounds: Sequence[dict[tuple[str, str], dict[str, float]]],
    recall: float,
) -> dict[str, Any]:
    def over(other: tuple[str, str], measure: str) -> dict[str, float] | None:
        if other not in rounds[0]:
            return None
        ratios = [turn[side, engine][measure] / turn[other][measure] for turn in rounds]
        return {"value": statistics.median(ratios), "low": min(ratios), "high": max(ratios)}

    return {
        "side": side, "engine": engine, "batch": batch, "threads": threads, "recall": recall,
        **{
            measure: statistics.median(turn[side, engine][measure] for turn in rounds)
            for measure in ("wall_ms", "cpu_ms")
        },
        "cpu_to_reference": over((REFERENCE, _FLAT), "cpu_ms"),
        "wall_to_reference": over((REFERENCE, _FLAT), "wall_ms"),
        "wall_to_exact": over((OURS, EXACT), "wall_ms"),
    }  # fmt: skip


def _has_reference() -> bool:
    return importlib.util.find_spec("faiss") is not None
