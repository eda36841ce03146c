"""How much a false share of the log costs: training on noise, judged on what truly followed.

    log before the test segment ──flip a share──► noisy folder ──► towers, towers with FGM, with
                                                                   PGD, EASE
    test segment, untouched ──────────────────────────► targets ──► Recall@20, NDCG@20

The methods know what a deployed system would: histories are noisy too, and so is the part of the
log on which settings are chosen. Nobody is given a false item that is a target.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.errors import DataError
from dualtower.progress import say, step
from dualtower_benchmarks.machine import machine_facts
from dualtower_trainer.adversarial_config import ADVERSARIAL_KINDS
from dualtower_trainer.baselines import BASELINES, Scorer, TrainingSet, Tuning
from dualtower_trainer.checkpoint import Trained, load_trained
from dualtower_trainer.data import Dataset, Heldout, Split, SplitConfig, load_dataset, split
from dualtower_trainer.data.merge import lists_by_user, sort_by_pair
from dualtower_trainer.data.segments import TEST, segment_rows
from dualtower_trainer.evaluate import rank_method, summarise
from dualtower_trainer.noise import flip_interactions, write_log
from dualtower_trainer.run_config import RunConfig
from dualtower_trainer.train import train
from dualtower_trainer.trial import Trial

__all__ = ["METRICS", "NoiseBench", "measure_noise"]

METRICS = ("recall_at_20", "ndcg_at_20", "recall_at_20_tail")
_TEST_SHARE = 0.15
_ENCODINGS = "encodings.npz"


@dataclass(frozen=True)
class NoiseBench:
    """What is measured.

    Attributes:
        data: a data folder.
        work: where noisy folders and runs are kept; a second call reuses them.
        shares: of the pairs of user and item that are flipped; 0 is always measured.
        seeds: trainings of each kind; a seed decides the noise and the training.
        attacks: kinds of adversarial training that stand beside none.
        config: of the trainings. Without a test segment the last 15 % of the log are one.
    """

    data: Path
    work: Path
    shares: tuple[float, ...] = (0.05, 0.1, 0.2)
    seeds: int = 1
    attacks: tuple[str, ...] = ("fgm", "pgd")
    config: RunConfig = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        if any(not 0 < share <= 1 for share in self.shares):
            raise ValueError(f"shares must be above 0 and at most 1, got {self.shares}")
        if len(set(self.shares)) < len(self.shares):
            raise ValueError(f"shares must differ, got {self.shares}")
        if self.seeds < 1:
            raise ValueError(f"seeds must be at least 1, got {self.seeds}")
        unknown = set(self.attacks) - set(ADVERSARIAL_KINDS[1:])
        if unknown:
            allowed = ", ".join(ADVERSARIAL_KINDS[1:])
            raise ValueError(f"attacks must be of {allowed}, got {sorted(unknown)}")

    @property
    def methods(self) -> dict[str, RunConfig]:
        """Configurations of the towers by name, without and with adversarial training."""
        asked = self.config.adversarial
        return {
            "dualtower" if kind == "off" else f"dualtower, {kind.upper()}": replace(
                self.config, adversarial=replace(asked, kind=kind)
            )
            for kind in dict.fromkeys(("off", *self.attacks))
        }


def measure_noise(bench: NoiseBench) -> dict[str, Any]:
    """Trains and judges every method at every share of noise.

    Returns:
        `settings`, `machine`, and `rows`: for each share, seed and method its metrics as
        {value, se, users}, and for towers what was kept of the training.

    Raises:
        DataError: nobody in the test segment can be asked.
    """
    dataset = load_dataset(bench.data)
    future = bench.config.split
    if not future.has_test:
        future = replace(future, test_share=_TEST_SHARE)
    parts = split(dataset, future, refit=True, activity=bench.config.filter)
    if not any(len(rows) for rows in parts.test.warm_targets):
        raise DataError(
            f"nobody takes anything new in the last part of {bench.data}; give a longer one, e.g. "
            "--set split.test_share=0.3"
        )
    machine = machine_facts()
    rows = []
    for seed in range(bench.seeds):
        for share in dict.fromkeys((0.0, *bench.shares)):
            with step(f"noise {share:.0%}, seed {seed}"):
                rows += _at(bench, dataset, parts, future, share, seed)
    return {
        "settings": {
            "data": str(bench.data),
            "shares": list(bench.shares),
            "seeds": bench.seeds,
            "test_share": future.test_share,
            "users": int(sum(len(targets) > 0 for targets in parts.test.warm_targets)),
            "train": _plain(bench.methods),
        },
        "machine": machine,
        "rows": rows,
    }


def _at(
    bench: NoiseBench, dataset: Dataset, parts: Split, future: SplitConfig, share: float, seed: int
) -> list[dict[str, Any]]:
    """The rows of one share and one seed."""
    place = bench.work / f"noise-{share:g}-seed-{seed}"
    place.mkdir(parents=True, exist_ok=True)
    n_items = len(dataset.catalogue)
    log = sort_by_pair(dataset.interactions, n_items)
    codes = segment_rows(log, dataset.catalogue.item_ids, future, has_time=dataset.has_time).codes
    try:
        noisy = flip_interactions(log.where(codes < TEST), n_items, share, seed=seed, taken=log)
    except ValueError as error:
        raise DataError(f"{bench.data}: {error}") from error
    folder = place / "data"
    write_log(folder, noisy, dataset.catalogue, dataset.path)
    seen = replace(bench.config.split, test_share=0.0, test_days=0.0, test_start=None)
    noisy_dataset = load_dataset(folder)
    refit = split(noisy_dataset, seen, refit=True, activity=bench.config.filter)
    trial = _trial(parts, refit)
    rows = []
    for number, (name, config) in enumerate(bench.methods.items()):
        run = place / f"run-{number}"
        run.mkdir(exist_ok=True)
        shared = bench.work / _ENCODINGS
        if shared.exists() and not (run / _ENCODINGS).exists():
            shutil.copyfile(shared, run / _ENCODINGS)
        chosen = replace(config, split=seen, train=replace(config.train, seed=seed))
        training = train(folder, run, chosen)
        if not shared.exists():
            shutil.copyfile(run / _ENCODINGS, shared)
        row = _judge(trial, name, _tower_scorer(load_trained(run)))
        rows.append({"share": share, "seed": seed, **row, "kept": training["kept"],
                     "steps": training["best_step"]})  # fmt: skip
    ease = _ease(noisy_dataset, refit, bench.config, seen, seed)
    rows.append({"share": share, "seed": seed, **_judge(trial, "EASE", ease, warm_only=True)})
    for row in rows:
        say(f"  {share:.0%} {row['method']}: recall@20 {row['recall_at_20']['value']:.4f}")
    return rows


def _tower_scorer(trained: Trained) -> Scorer:
    return lambda histories, users: trained.embed_histories(list(histories)) @ trained.vectors.T


def _trial(clean: Split, noisy: Split) -> Trial:
    """The people and targets of the clean test segment, with what the noisy log says of them."""
    held = clean.test
    ids = noisy.train.user_ids
    place = np.minimum(np.searchsorted(ids, held.user_ids), len(ids) - 1)
    codes = np.where(ids[place] == held.user_ids, place, -1).astype(np.int32)
    histories = lists_by_user(noisy.train, codes)
    popularity = np.bincount(clean.full.items, minlength=len(clean.catalogue))
    asked = Heldout(codes, held.user_ids, histories, held.warm_targets, held.cold_targets)
    return Trial(clean.catalogue, asked, clean.full_warm, clean.cold, popularity)


def _ease(
    dataset: Dataset, refit: Split, config: RunConfig, seen: SplitConfig, seed: int
) -> Scorer:
    inner = split(dataset, seen, activity=config.filter)
    texts = list(dataset.catalogue.texts)
    tuning = Tuning(
        train=TrainingSet(inner.train, texts, _no_content),
        full=TrainingSet(refit.train, texts, _no_content),
        validation=inner.validation,
        blocked=dataset.catalogue.blocked,
        seed=seed,
    )
    return BASELINES["ease"].fit(tuning).scorer


def _no_content() -> np.ndarray:
    raise DataError("EASE reads no content")


def _judge(trial: Trial, name: str, scorer: Scorer, *, warm_only: bool = False) -> dict[str, Any]:
    outcome = rank_method(trial, scorer, warm_only=warm_only)
    warm = summarise(trial, {name: outcome}, titles={})["warm"]["methods"][0]
    return {"method": name, **{metric: warm[metric] for metric in METRICS}}


def _plain(methods: Mapping[str, RunConfig]) -> dict[str, Any]:
    return {
        name: {
            "train": vars(config.train),
            "adversarial": vars(config.adversarial),
            "closed_form": vars(config.closed_form),
        }
        for name, config in methods.items()
    }
