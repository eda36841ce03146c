"""A job that makes the recommender of one variant in both forms, and asks it.

`edge_jobs` runs it; by hand: `python -m dualtower_export.edge_recommender_worker JOB`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from dualtower_export.edge_worker import run_worker

__all__ = ["RecommenderJob", "ask_one_file", "ask_two_files", "work"]

THREADS = (1, 2)
_TIMED_CALLS = 60

Answer = dict[str, np.ndarray]


@dataclass(frozen=True)
class RecommenderJob:
    """What one worker does.

    Attributes:
        run: the trained run.
        variant: one of `config.RECOMMENDERS`.
        k: length of a list.
        inputs: npz of `rows` and `mask` [users, history_items].
        user_tower: the TFLite file of the user tower that the catalogue is asked with.
        one_file: where the recommender goes.
        catalogue: where the catalogue goes.
        answers: npz of `rows` and `scores` [users, k] by form, e.g. `recommender.rows`, and of the
            time of a call in milliseconds by form and threads, e.g. `catalogue.ms.2` [calls].
    """

    module: ClassVar[str] = "dualtower_export.edge_recommender_worker"
    forked: ClassVar[bool] = True

    run: str
    variant: str
    k: int
    inputs: str
    user_tower: str
    one_file: str
    catalogue: str
    answers: str

    @property
    def name(self) -> str:
        return f"recommender.{self.variant}"

    @property
    def output(self) -> str:
        return self.one_file

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def ask_one_file(path: Path, threads: int) -> Callable[[np.ndarray, np.ndarray], Answer]:
    """The recommender as a function of `history` int32 and `mask` float32 [1, history_items]."""
    runner = _interpreter(path, threads).get_signature_runner()
    return lambda history, mask: runner(history=history, mask=mask)


def ask_two_files(
    tower: Path, catalogue: Path, threads: int
) -> Callable[[np.ndarray, np.ndarray], Answer]:
    """The same by a user tower and a catalogue."""
    table = _interpreter(catalogue, threads)
    vectors, rank = (table.get_signature_runner(name) for name in ("vectors", "rank"))
    embed = _interpreter(tower, threads).get_signature_runner()

    def ask(history: np.ndarray, mask: np.ndarray) -> Answer:
        items = vectors(history=history)["items"] * mask[..., None]
        embedding = embed(items=items, mask=mask)["embedding"]
        return rank(embedding=embedding, history=history, mask=mask)

    return ask


def _interpreter(path: Path, threads: int) -> Any:
    from ai_edge_litert.interpreter import Interpreter

    return Interpreter(model_path=str(path), num_threads=threads)


def work(request: str) -> None:
    """Does what a `RecommenderJob` in JSON says."""
    job = RecommenderJob(**json.loads(request))
    from dualtower_export.edge_recommender import convert_recommender
    from dualtower_trainer.checkpoint import load_trained

    trained = load_trained(Path(job.run))
    files = {"recommender": Path(job.one_file), "catalogue": Path(job.catalogue)}
    for form, path in files.items():
        path.write_bytes(convert_recommender(trained, form, job.variant, job.k))
    with np.load(job.inputs) as inputs:
        users = [(inputs["rows"][i : i + 1], inputs["mask"][i : i + 1])
                 for i in range(len(inputs["mask"]))]  # fmt: skip
    found: Answer = {}
    for threads in THREADS:
        forms = {
            "recommender": ask_one_file(files["recommender"], threads),
            "catalogue": ask_two_files(Path(job.user_tower), files["catalogue"], threads),
        }
        for form, ask in forms.items():
            if threads == THREADS[0]:
                answers = [ask(*user) for user in users]
                for name in ("rows", "scores"):
                    found[f"{form}.{name}"] = np.concatenate([one[name] for one in answers])
            found[f"{form}.ms.{threads}"] = _timed(ask, users)
    np.savez(job.answers, **found)  # type: ignore[arg-type]


def _timed(
    ask: Callable[[np.ndarray, np.ndarray], Answer], users: list[tuple[np.ndarray, np.ndarray]]
) -> np.ndarray:
    """Milliseconds of each of some calls."""
    ask(*users[0])
    elapsed_ns = []
    for call in range(_TIMED_CALLS):
        begin_ns = time.perf_counter_ns()
        ask(*users[call % len(users)])
        elapsed_ns.append(time.perf_counter_ns() - begin_ns)
    return np.array(elapsed_ns) / 1e6


if __name__ == "__main__":
    run_worker(work)
