"""What is in a data folder, in numbers: size, shape, texts, the split and its promises."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower.errors import DataError
from dualtower_trainer.data.activity_filter import FilterConfig
from dualtower_trainer.data.dataset import Catalogue, Dataset, Strings
from dualtower_trainer.data.histograms import octaves, weeks
from dualtower_trainer.data.leakage import check_leakage
from dualtower_trainer.data.merge import merge_repeats, sort_by_pair
from dualtower_trainer.data.split_config import SplitConfig
from dualtower_trainer.data.splitting import Split, split
from dualtower_trainer.data.text_lengths import text_lengths
from dualtower_trainer.data.timestamps import iso_utc
from dualtower_trainer.list_metrics import gini

__all__ = ["data_report", "describe"]

_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_TOP = 10
_SHOWN_CHARS = 80


def describe(
    dataset: Dataset,
    config: SplitConfig | None = None,
    *,
    activity: FilterConfig | None = None,
    vocabulary: Path | None = None,
) -> dict[str, Any]:
    """Counts, quantiles and histograms of a data set, its split's report and the leakage checks.

    A log that cannot be split as configured is described all the same; `split` is then None and
    `split_problem` says why.

    Args:
        dataset: what `load_dataset` read.
        config: how it is to be split.
        activity: users to leave out of training.
        vocabulary: counts the texts in its word pieces; None counts words.
    """
    facts = _log_facts(dataset, vocabulary)
    facts |= {"split": None, "split_problem": None, "leakage": None}
    try:
        parts = split(dataset, config, activity=activity)
    except DataError as error:
        facts["split_problem"] = str(error)
        return facts
    return facts | {"split": parts.report, "leakage": _leakage(dataset, parts)}


def data_report(
    dataset: Dataset, parts: Split, *, vocabulary: Path | None = None
) -> dict[str, Any]:
    """What a training writes as data_report.json: the split's counts, and what it was made of."""
    return {
        **parts.report,
        "log": _log_facts(dataset, vocabulary),
        "leakage": {check["promise"]: check["violations"] for check in _leakage(dataset, parts)},
    }


def _log_facts(dataset: Dataset, vocabulary: Path | None) -> dict[str, Any]:
    catalogue, log = dataset.catalogue, dataset.interactions
    pairs = merge_repeats(sort_by_pair(log, len(catalogue)))
    items_per_user = np.bincount(pairs.users, minlength=len(log.user_ids))
    users_per_item = np.bincount(pairs.items, minlength=len(catalogue))
    timed = dataset.has_time
    first_s, last_s = int(log.timestamps.min()), int(log.timestamps.max())
    lengths, unit = text_lengths(list(catalogue.texts), vocabulary)
    density = len(pairs) / (len(log.user_ids) * len(catalogue))
    return {
        "path": str(dataset.path),
        "interactions": len(log),
        "unknown_item_interactions": dataset.unknown_items,
        "users": len(log.user_ids),
        "items": len(catalogue),
        "items_without_interactions": int((users_per_item == 0).sum()),
        "blocked_items": int(catalogue.blocked.sum()),
        "user_item_pairs": len(pairs),
        "density": density,
        "sparsity": 1 - density,
        "popularity_gini": gini(users_per_item),
        "repeat_share": 1 - len(pairs) / len(log),
        "first": iso_utc(first_s) if timed else None,
        "last": iso_utc(last_s) if timed else None,
        "days": (last_s - first_s) / 86_400 if timed else None,
        "items_per_user": _quantiles(items_per_user),
        "users_per_item": _quantiles(users_per_item),
        "text_length": _quantiles(lengths),
        "text_length_unit": unit,
        "histograms": {
            "users_by_interactions": octaves(np.bincount(log.users, minlength=len(log.user_ids))),
            "items_by_interactions": octaves(np.bincount(log.items, minlength=len(catalogue))),
            "items_by_text_length": octaves(lengths),
            "interactions_by_week": weeks(log.timestamps) if timed else {},
        },
        **_duplicates(catalogue),
        "categories": _categories(catalogue.categories),
    }


def _leakage(dataset: Dataset, parts: Split) -> list[dict[str, Any]]:
    return [
        {
            "promise": check.promise,
            "violations": check.violations,
            "passed": check.passed,
            "binding": check.binding,
        }
        for check in check_leakage(dataset, parts)
    ]


def _quantiles(values: npt.NDArray[np.int64]) -> dict[str, float]:
    """`{"0%": smallest, …, "100%": largest}`."""
    found = np.quantile(values, _QUANTILES)
    return {f"{q:.0%}": float(value) for q, value in zip(_QUANTILES, found, strict=True)}


def _duplicates(catalogue: Catalogue) -> dict[str, Any]:
    """Texts that several items have, and the most frequent of them."""
    counts = Counter(catalogue.texts)
    shared = {text: count for text, count in counts.most_common() if count > 1}
    return {
        "items_sharing_a_text": sum(shared.values()),
        "shared_texts": len(shared),
        "most_shared_texts": {
            text[:_SHOWN_CHARS]: count for text, count in list(shared.items())[:_TOP]
        },
    }


def _categories(names: Strings | None) -> dict[str, Any]:
    counts = Counter(name for name in (() if names is None else names) if name)
    top = [{"category": name, "items": n} for name, n in counts.most_common(_TOP)]
    return {"distinct": len(counts), "items_with_one": sum(counts.values()), "largest": top}
