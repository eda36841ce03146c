"""Evaluation of a RUN folder: the towers and the baselines on its test period, evaluation.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dualtower.errors import DataError
from dualtower.files import write_text
from dualtower.progress import say, step
from dualtower_trainer.baselines import (
    Scorer,
    fit_ease,
    fit_itemknn,
    fit_popularity,
    fit_tfidf,
    interaction_matrix,
)
from dualtower_trainer.checkpoint import Trained, load_trained
from dualtower_trainer.data import Split, data_hashes, load_dataset, split
from dualtower_trainer.evaluate import evaluate_methods

__all__ = ["BASELINES", "EvaluateConfig", "evaluate_run"]

BASELINES = ("popularity", "tfidf", "itemknn", "ease")
_WARM_ONLY = ("popularity", "itemknn", "ease")
_DENSE = ("itemknn", "ease")


@dataclass(frozen=True)
class EvaluateConfig:
    """Section [evaluate].

    Attributes:
        baselines: which of BASELINES stand beside the towers.
        ease_regularisation: λ of EASE; of several, the best on the validation users is taken.
        itemknn_neighbours: neighbours that an item keeps.
        dense_items: above so many items ItemKNN and EASE are left out, since both need a dense
            matrix of items × items (4 bytes each).
    """

    baselines: tuple[str, ...] = BASELINES
    ease_regularisation: tuple[float, ...] = (300.0, 1000.0, 3000.0)
    itemknn_neighbours: int = 200
    dense_items: int = 20_000

    def __post_init__(self) -> None:
        unknown = [name for name in self.baselines if name not in BASELINES]
        if unknown:
            raise ValueError(f"no baseline {unknown[0]!r}; there are {', '.join(BASELINES)}")
        if not self.ease_regularisation or min(self.ease_regularisation) <= 0:
            raise ValueError(
                f"ease_regularisation must hold values above 0, got {self.ease_regularisation}"
            )
        if self.itemknn_neighbours < 1:
            raise ValueError(
                f"itemknn_neighbours must be at least 1, got {self.itemknn_neighbours}"
            )


def evaluate_run(run: Path, config: EvaluateConfig, data: Path | None = None) -> dict[str, Any]:
    """Ranks the test period and writes RUN/evaluation.json; reuses it when nothing has changed.

    Args:
        data: the data folder, if it has moved since the training.

    Returns:
        The content of evaluation.json and `reused`.

    Raises:
        DataError: the data is not what the run was trained on.
    """
    trained = load_trained(run)
    folder = data or trained.data_path
    request = {
        "weights_sha256": trained.weights_sha256,
        "data": data_hashes(folder),
        "evaluate": json.loads(json.dumps(asdict(config))),
    }
    path = run / "evaluation.json"
    if path.exists() and (before := _read(path)).get("request") == request:
        return {**before, "reused": True}
    parts = split(load_dataset(folder), trained.split)
    if list(parts.catalogue.item_ids) != list(trained.item_ids):
        raise DataError(
            f"{folder} has other items than {run} was trained on; "
            "give the folder of that training by --data, or train again"
        )
    methods, notes = _methods(trained, parts, config)
    result = {
        "request": request,
        "split": parts.report,
        "notes": notes,
        **evaluate_methods(parts, parts.test, methods, warm_only=_WARM_ONLY, reference="dualtower"),
    }
    write_text(path, json.dumps(result, indent=2) + "\n")
    return {**result, "reused": False}


def _methods(
    trained: Trained, parts: Split, config: EvaluateConfig
) -> tuple[dict[str, Scorer], dict[str, str]]:
    """Scorers by name, and a note on each choice that was made on the way."""
    notes: dict[str, str] = {}
    matrix = interaction_matrix(parts.train.users, parts.train.items, len(parts.catalogue))

    def ease() -> Scorer:
        best, regularisation = _best_ease(parts, matrix, config.ease_regularisation)
        notes["ease"] = f"λ = {regularisation:g}"
        if len(config.ease_regularisation) > 1:
            tried = ", ".join(f"{value:g}" for value in config.ease_regularisation)
            notes["ease"] += f", the best of {tried} on the validation users"
        return best

    fitters: dict[str, Callable[[], Scorer]] = {
        "popularity": lambda: fit_popularity(matrix),
        "tfidf": lambda: fit_tfidf(list(parts.catalogue.texts)),
        "itemknn": lambda: fit_itemknn(matrix, neighbours=config.itemknn_neighbours),
        "ease": ease,
    }
    methods: dict[str, Scorer] = {
        "dualtower": lambda histories: trained.embed_histories(list(histories)) @ trained.vectors.T
    }
    for name in config.baselines:
        if name in _DENSE and len(parts.catalogue) > config.dense_items:
            notes[name] = (
                f"left out: {len(parts.catalogue)} items are more than "
                f"evaluate.dense_items = {config.dense_items}"
            )
            say(f"  {name} {notes[name]}")
            continue
        with step(f"fit {name}"):
            methods[name] = fitters[name]()
    return methods, notes


def _best_ease(parts: Split, matrix: Any, choices: tuple[float, ...]) -> tuple[Scorer, float]:
    if len(choices) == 1:
        return fit_ease(matrix, regularisation=choices[0]), choices[0]
    recalls = {}
    for value in choices:
        scorer = fit_ease(matrix, regularisation=value)
        rows = evaluate_methods(parts, parts.validation, {"ease": scorer})["warm"]["methods"]
        recalls[value] = rows[0]["recall_at_20"]["value"]
    best = max(recalls, key=recalls.__getitem__)
    return fit_ease(matrix, regularisation=best), best


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content
