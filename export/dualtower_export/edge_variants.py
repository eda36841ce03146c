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

from dualtower.edge.metadata import with_card
from dualtower.edge.tokenizer import Tokenizer
from dualtower_export.config import ExportConfig
from dualtower_export.edge_cards import Identity, tower_card
from dualtower_export.edge_files import half_vectors
from dualtower_export.edge_forks import Forks
from dualtower_export.edge_inputs import HARD_TEXTS, write_edge_inputs
from dualtower_export.edge_jobs import run_jobs
from dualtower_export.edge_probes import Probe, probe_tower
from dualtower_export.edge_source import ANY_LENGTH, ITEM_TOWER, USER_TOWER
from dualtower_export.edge_worker import Job
from dualtower_export.fidelity import compare_rankings, cosines, taste
from dualtower_export.gate_data import GateData
from dualtower_export.reference import Reference
from dualtower_export.verdict import Measured
from dualtower_trainer.checkpoint import Trained

__all__ = ["ConvertedFile", "convert_variants", "measure_variants", "planned_files"]


@dataclass(frozen=True)
class ConvertedFile:
    """A TFLite file, what it said to the gate's inputs, and what it costs.

    Attributes:
        tower: which.
        variant: as the file is named, its length included where it is not the run's.
        tokens: length of an item tower's input, or ANY_LENGTH; ANY_LENGTH for a user tower.
        tflite: the file.
        embeddings: npy of what it said.
        probe: time, memory and ops.
    """

    tower: str
    variant: str
    tokens: int
    tflite: Path
    embeddings: Path
    probe: Probe


def planned_files(config: ExportConfig, max_tokens: int) -> list[tuple[str, str, str, int]]:
    """Tower, variant, name of that variant at a length, and the length, of every file.

    Args:
        config: which variants and lengths.
        max_tokens: of the run; lengths that are not below it are left out.
    """
    files = [(ITEM_TOWER, variant, variant, max_tokens) for variant in config.variants]
    for tokens in config.edge_tokens:
        suffix = "any" if tokens == ANY_LENGTH else f"t{tokens}"
        if tokens < max_tokens:
            files += [
                (ITEM_TOWER, variant, f"{variant}.{suffix}", tokens)
                for variant in config.edge_tokens_variants
            ]
    return files + [(USER_TOWER, variant, variant, ANY_LENGTH) for variant in config.variants]


def convert_variants(
    trained: Trained,
    tokenizer: Tokenizer,
    data: GateData,
    config: ExportConfig,
    identity: Identity,
    *,
    edge: Path,
    scratch: Path,
    forks: Forks,
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
        forks: where the conversions run.
    """
    inputs = write_edge_inputs(
        trained, tokenizer, data, scratch,
        calibration_examples=config.calibration_examples, seed=config.seed,
    )  # fmt: skip
    planned = planned_files(config, trained.max_tokens)
    jobs = [
        Job(
            run=str(trained.path.resolve()),
            tower=tower,
            variant=variant,
            tokens=tokens,
            steps=config.train_steps,
            seed=config.seed,
            calibration=str(inputs.calibration[tower]),
            inputs=str(inputs.asked[tower]),
            tflite=str(edge / f"{tower}.{name}.tflite"),
            embeddings=str(scratch / f"{tower}.{name}.npy"),
        )
        for tower, variant, name, tokens in planned
    ]
    run_jobs(jobs, scratch, at_once=config.jobs, forks=forks)
    for job, (tower, _, name, tokens) in zip(jobs, planned, strict=True):
        card = tower_card(identity, trained, tokenizer, tower, name, tokens=tokens)
        path = Path(job.tflite)
        path.write_bytes(with_card(path.read_bytes(), card))
    files = []
    for tower in (ITEM_TOWER, USER_TOWER):
        own = [(job, name, tokens) for job, (one, _, name, tokens) in
               zip(jobs, planned, strict=True) if one == tower]  # fmt: skip
        probes = probe_tower(
            tower,
            {name: Path(job.tflite) for job, name, _ in own},
            {name: tokens for _, name, tokens in own},
            inputs.asked[tower],
            scratch,
            at_once=config.jobs,
        )
        files += [
            ConvertedFile(tower, name, tokens, Path(job.tflite), Path(job.embeddings), probes[name])
            for job, name, tokens in own
        ]
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
                item_tokens=file.tokens if file.tower == ITEM_TOWER else None,
                timings=file.probe.timings,
                delegation=file.probe.delegation,
                peak_memory_bytes=file.probe.peak_memory_bytes,
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
