"""TFLite variants of both towers: converted, run on real inputs, and judged against float.

The item tower is judged on rankings of items by their text alone, under the trainer's user vectors;
the user tower on rankings of the whole catalogue. Its inputs and the ranking are the float16 table
that a phone holds, so that the numbers are those of a phone.
"""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dualtower_export.config import ExportConfig
from dualtower_export.edge_cards import Identity, tower_card
from dualtower_export.edge_files import half_vectors
from dualtower_export.edge_inputs import HARD_TEXTS, write_edge_inputs
from dualtower_export.edge_jobs import run_jobs
from dualtower_export.edge_metadata import with_card
from dualtower_export.edge_source import ITEM_TOWER, USER_TOWER
from dualtower_export.edge_worker import Job
from dualtower_export.fidelity import compare_rankings, cosines, taste
from dualtower_export.gate_data import GateData
from dualtower_export.reference import Reference
from dualtower_export.verdict import Measured
from dualtower_trainer.checkpoint import Trained
from dualtower_trainer.tokenizer import Tokenizer

__all__ = ["ConvertedFile", "convert_variants", "measure_variants"]

TOWERS = (ITEM_TOWER, USER_TOWER)


@dataclass(frozen=True)
class ConvertedFile:
    """A TFLite file, and the npy of what it said to the gate's inputs."""

    tower: str
    variant: str
    tflite: Path
    embeddings: Path


def convert_variants(
    trained: Trained,
    tokenizer: Tokenizer,
    data: GateData,
    config: ExportConfig,
    identity: Identity,
    *,
    edge: Path,
    scratch: Path,
) -> list[ConvertedFile]:
    """Writes `edge/TOWER.VARIANT.tflite` for all, each from its own process, with its metadata.

    Args:
        trained: the run.
        tokenizer: of the item tower.
        data: the texts and histories that the files are run on.
        config: which variants, and how many processes.
        identity: what the metadata names.
        edge: the `edge` folder of the bundle.
        scratch: a folder for inputs and embeddings.
    """
    inputs = write_edge_inputs(
        trained, tokenizer, data, scratch,
        calibration_examples=config.calibration_examples, seed=config.seed,
    )  # fmt: skip
    files = [
        ConvertedFile(
            tower, variant, edge / f"{tower}.{variant}.tflite", scratch / f"{tower}.{variant}.npy"
        )
        for tower in TOWERS
        for variant in config.variants
    ]
    jobs = [
        Job(
            run=str(trained.path.resolve()),
            tower=file.tower,
            variant=file.variant,
            tokens=trained.max_tokens if file.tower == ITEM_TOWER else 0,
            steps=0,
            seed=config.seed,
            calibration=str(inputs.calibration[file.tower]),
            inputs=str(inputs.asked[file.tower]),
            tflite=str(file.tflite),
            embeddings=str(file.embeddings),
        )
        for file in files
    ]
    run_jobs(jobs, scratch, at_once=config.jobs)
    for file in files:
        card = tower_card(identity, trained, tokenizer, file.tower, file.variant)
        file.tflite.write_bytes(with_card(file.tflite.read_bytes(), card))
    return files


def measure_variants(
    files: Sequence[ConvertedFile], trained: Trained, reference: Reference, data: GateData
) -> list[Measured]:
    """What each converted file is worth beside the trainer's towers."""
    texts = reference.items([*trained.texts[data.candidates], *HARD_TEXTS])
    users = trained.embed_histories(data.histories)
    half = half_vectors(trained.vectors).astype(np.float32)
    measured = []
    for file in files:
        found = np.load(file.embeddings)
        if file.tower == ITEM_TOWER:
            near = cosines(taste(texts), taste(found))
            targets = [_columns(data.candidates, rows) for rows in data.targets]
            seen = [_columns(data.candidates, rows) for rows in data.histories]
            blocked = np.flatnonzero(trained.blocked[data.candidates])
            before, after = (
                users @ vectors[: len(data.candidates)].T for vectors in (texts, found)
            )
        else:
            near = cosines(taste(users), taste(found))
            targets, seen = data.targets, data.histories
            blocked = np.flatnonzero(trained.blocked)
            before, after = users @ trained.vectors.T, found @ half.T
        for scores in (before, after):
            _leave_out(scores, seen, blocked)
        content = file.tflite.read_bytes()
        measured.append(
            Measured(
                tower=file.tower,
                variant=file.variant,
                size_bytes=len(content),
                gzip_bytes=len(gzip.compress(content, compresslevel=6, mtime=0)),
                cosine_mean=float(near.mean()),
                cosine_min=float(near.min()),
                ranking=compare_rankings(before, after, targets),
            )
        )
    return measured


def _columns(candidates: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Places of catalogue rows among the ascending candidates; others are dropped."""
    return np.flatnonzero(np.isin(candidates, rows))


def _leave_out(scores: np.ndarray, seen: Sequence[np.ndarray], blocked: np.ndarray) -> None:
    scores[:, blocked] = -np.inf
    for user, rows in enumerate(seen):
        scores[user, rows] = -np.inf
