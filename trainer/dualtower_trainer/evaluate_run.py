"""Evaluation of RUN folders: the towers and the baselines on one future, evaluation.json.

The future is the run's own test segment, or a later log that the user gives. A run that was trained
on all of its data has no test segment, and its validation targets chose its settings, so that they
cannot judge it.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dualtower.bundle import sha256_of
from dualtower.config import load_section
from dualtower.errors import DataError, DualtowerError, UsageError
from dualtower.files import write_text
from dualtower.progress import bar, say, step
from dualtower_trainer.baselines import BASELINES, Scorer, TrainingSet, Tuning
from dualtower_trainer.checkpoint import Trained, load_trained
from dualtower_trainer.data import Split, data_hashes, load_dataset, split
from dualtower_trainer.encoder import EncoderConfig
from dualtower_trainer.encoder_source import resolve_encoder
from dualtower_trainer.evaluate import Outcome, rank_method, summarise
from dualtower_trainer.evaluate_config import EvaluateConfig
from dualtower_trainer.evaluate_seeds import over_seeds
from dualtower_trainer.evaluation_tables import FAIR, OURS
from dualtower_trainer.later_log import read_candidates, read_later_log
from dualtower_trainer.trial import Trial

__all__ = ["EvaluateConfig", "Future", "evaluate_run", "evaluate_runs"]

_SCHEMA = 2  # of evaluation.json; an older one is not reused


@dataclass(frozen=True)
class Future:
    """What is to be predicted instead of the run's own test segment.

    Attributes:
        interactions: a later log, a file as `dualtower data import` reads it.
        candidates: item ids, one a line, among which is ranked; None is the whole catalogue.
    """

    interactions: Path
    candidates: Path | None = None


def evaluate_run(
    run: Path, config: EvaluateConfig, data: Path | None = None, future: Future | None = None
) -> dict[str, Any]:
    """Ranks the future and writes RUN/evaluation.json; reuses it when nothing has changed.

    Args:
        run: a RUN folder.
        config: what stands beside the towers.
        data: the data folder, if it has moved since the training.
        future: a later log, where the run's own test segment is not meant.

    Returns:
        The content of evaluation.json and `reused`.

    Raises:
        UsageError: the run has no test segment and no later log is given.
        DataError: the data is not what the run was trained on, or the later log cannot be used.
    """
    return evaluate_runs([run], config, data, future)["runs"][0]


def evaluate_runs(
    runs: Sequence[Path],
    config: EvaluateConfig,
    data: Path | None = None,
    future: Future | None = None,
) -> dict[str, Any]:
    """Several runs of one recipe on one future, the baselines fitted once for all of them.

    Returns:
        `runs`: as `evaluate_run` gives each. With two runs or more `seeds`: by scope and method
        the mean over the runs with its standard error over the runs.

    Raises:
        UsageError: the runs have other data or another split than the first.
        DataError: see `evaluate_run`.
    """
    if not runs:
        raise UsageError("no run is given; dualtower evaluate --run RUN [--run RUN …]")
    first = load_trained(runs[0])
    request = _request(first, data or first.data_path, config, future)
    if len(runs) == 1 and (before := _read(runs[0])).get("request") == request:
        return {"runs": [{**before, "reused": True}]}
    field = _Field(first, data or first.data_path, config, future)
    results, outcomes = [], []
    for run in runs:
        trained = first if run == runs[0] else load_trained(run)
        field.check(trained)
        outcome = field.outcomes_with(trained)
        result = {
            "request": _request(trained, field.folder, config, future),
            "split": field.parts.report,
            "notes": field.notes,
            **field.extra,
            **field.summary(outcome),
        }
        write_text(run / "evaluation.json", json.dumps(result, indent=2) + "\n")
        results.append({**result, "reused": False})
        outcomes.append(outcome)
    found: dict[str, Any] = {"runs": results}
    if len(runs) > 1:
        found["seeds"] = over_seeds(
            field.trial, outcomes, results, ours=OURS, draws=config.bootstrap_draws,
            seed=config.seed,
        )  # fmt: skip
    return found


class _Field:
    """Everything that runs of one recipe share: the data, the question, and the baselines."""

    def __init__(
        self, trained: Trained, folder: Path, config: EvaluateConfig, future: Future | None
    ) -> None:
        self.folder, self._config, self._trained = folder, config, trained
        if future is None and not trained.split.has_test:
            raise UsageError(
                f"{trained.path} was trained on all of its data, so nothing is left to judge it; "
                f"give a later log: dualtower evaluate {trained.path} --interactions FILE, or hold "
                "a test out: dualtower train --data DATA --out RUN --set split.test_share=0.15"
            )
        dataset = load_dataset(folder)
        if list(dataset.catalogue.item_ids) != list(trained.item_ids):
            raise DataError(
                f"{folder} has other items than {trained.path} was trained on; "
                "give the folder of that training by --data, or train again"
            )
        self._inner = split(dataset, trained.split)
        self.parts: Split = split(dataset, trained.split, refit=True)
        self.notes: dict[str, str] = {}
        self.extra: dict[str, Any] = {}
        if dataset.catalogue.categories is None:
            self.notes["calibration"] = "left out: no item has a category"
        self._encoder_name = "encoder"
        self.trial = self._trial(trained, future)
        self._baselines = self._fitted_outcomes()

    def check(self, trained: Trained) -> None:
        """Refuses a run that was not asked the same question."""
        if trained.split != self._trained.split or not np.array_equal(
            trained.warm, self._trained.warm
        ):
            raise UsageError(
                f"{trained.path} was trained on other data or another split than "
                f"{self._trained.path}; --run takes trainings that differ in their seed alone"
            )
        if list(trained.item_ids) != list(self._trained.item_ids):
            raise UsageError(f"{trained.path} has other items than {self._trained.path}")

    def outcomes_with(self, trained: Trained) -> dict[str, Outcome]:
        """The outcomes of one run's towers and of all baselines, in the order of the table."""
        ours = {OURS: self._rank(OURS, _tower_scorer(trained))}
        if self._config.exposure_weight > 0:
            ours[FAIR] = self._rank(
                FAIR, _tower_scorer(trained), exposure_weight=self._config.exposure_weight
            )
        return {**ours, **self._baselines}

    def summary(self, outcomes: Mapping[str, Outcome]) -> dict[str, Any]:
        """The part of evaluation.json that holds numbers."""
        titles = {name: baseline.title for name, baseline in BASELINES.items()}
        titles["encoder"] = f"{self._encoder_name}, zero-shot"
        titles[FAIR] = f"dualtower, exposure weight {self._config.exposure_weight:g}"
        return summarise(
            self.trial,
            outcomes,
            titles=titles,
            warm_only=[name for name, baseline in BASELINES.items() if baseline.warm_only],
            stands_for={name: baseline.stands_for for name, baseline in BASELINES.items()},
            variant_of={FAIR: OURS},
            reference=OURS,
            draws=self._config.bootstrap_draws,
            seed=self._config.seed,
        )

    def _trial(self, trained: Trained, future: Future | None) -> Trial:
        parts = self.parts
        popularity = np.bincount(parts.full.items, minlength=len(parts.catalogue))
        heldout, cold, chosen = parts.test, parts.cold, None
        if future is not None:
            later = read_later_log(future.interactions, parts.catalogue, parts.full, trained.warm)
            self.extra["later_log"] = later.report
            heldout, cold = later.heldout, ~trained.warm
            if (early := later.report["rows_not_later_than_training"]) > 0:
                self.notes["later_log"] = (
                    f"{early} of its rows are not later than the end of the training data"
                )
            if future.candidates is not None:
                chosen, lacking = read_candidates(future.candidates, parts.catalogue)
                self.extra["candidates"] = {"items": int(chosen.sum()), "not_in_run": lacking}
        return Trial(parts.catalogue, heldout, trained.warm, cold, popularity, chosen)

    def _fitted_outcomes(self) -> dict[str, Outcome]:
        """Each baseline fitted, ranked and forgotten, so that one of them is in memory."""
        texts = list(self.parts.catalogue.texts)
        content, features = functools.cache(self._content), self._trained.catalogue.features
        tuning = Tuning(
            train=TrainingSet(self._inner.train, texts, content, features),
            full=TrainingSet(self.parts.full, texts, content, features),
            validation=self._inner.validation,
            blocked=self.parts.catalogue.blocked,
            seed=self._config.seed,
        )
        outcomes = {}
        for name in self._config.baselines:
            baseline, items = BASELINES[name], len(texts)
            if baseline.dense and items > self._config.dense_items:
                self.notes[name] = (
                    f"left out: {items} items are more than "
                    f"evaluate.dense_items = {self._config.dense_items}"
                )
            elif not baseline.installed:
                self.notes[name] = (
                    f"left out: it needs the package {baseline.package!r}; "
                    "run: pip install 'dualtower[bench]'"
                )
            else:
                with step(f"fit {name}"):
                    fitted = baseline.fit(tuning)
                if fitted.note:
                    self.notes[name] = "; ".join(filter(None, [fitted.note, self.notes.get(name)]))
                outcomes[name] = self._rank(name, fitted.scorer, warm_only=baseline.warm_only)
            if name in self.notes:
                say(f"  {name}: {self.notes[name]}")
        return outcomes

    def _content(self) -> np.ndarray:
        """Vectors of the texts by the encoder as it was before this training, [items, hidden]."""
        texts = list(self.parts.catalogue.texts)
        try:
            config = load_section("encoder", EncoderConfig, path=self._trained.path / "config.toml")
            encoder = resolve_encoder(config, texts, self._trained.path)
            self._encoder_name = "MiniLM" if config.name == "minilm" else Path(config.name).name
        except DualtowerError as error:
            self.notes["encoder"] = f"the run's own encoder, since the one before is gone: {error}"
            encoder = self._trained.encoder()
        return encoder.encode(texts)

    def _rank(
        self, name: str, scorer: Scorer, *, warm_only: bool = False, exposure_weight: float = 0.0
    ) -> Outcome:
        with bar(f"rank {name}", len(self.trial.heldout)) as moving:
            return rank_method(
                self.trial,
                scorer,
                warm_only=warm_only,
                exposure_weight=exposure_weight,
                exposure_pool=self._config.exposure_pool,
                moving=moving,
            )


def _tower_scorer(trained: Trained) -> Scorer:
    return lambda histories, users: trained.embed_histories(list(histories)) @ trained.vectors.T


def _request(
    trained: Trained, folder: Path, config: EvaluateConfig, future: Future | None
) -> dict[str, Any]:
    """What makes an evaluation itself."""
    request: dict[str, Any] = {
        "schema": _SCHEMA,
        "weights_sha256": trained.weights_sha256,
        "data": data_hashes(folder),
        "evaluate": json.loads(json.dumps(asdict(config))),
    }
    if future is not None:
        files = {"interactions": future.interactions, "candidates": future.candidates}
        request["future"] = {name: _hash(path) for name, path in files.items() if path is not None}
    return request


def _hash(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _read(run: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content
