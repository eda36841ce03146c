"""What is in a data folder, in numbers: size, shape, texts, the split and its promises."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt

from dualtower.errors import DataError
from dualtower_trainer.data.dataset import Dataset, Strings
from dualtower_trainer.data.leakage import check_leakage
from dualtower_trainer.data.merge import merge_repeats, sort_by_pair
from dualtower_trainer.data.split_config import SplitConfig
from dualtower_trainer.data.splitting import split
from dualtower_trainer.data.timestamps import iso_utc

__all__ = ["describe"]

_QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
_TOP_CATEGORIES = 10


def describe(dataset: Dataset, config: SplitConfig | None = None) -> dict[str, Any]:
    """Counts and quantiles of a data set, the report of its split and the leakage checks.

    A log that cannot be split as configured is described all the same; `split` is then None and
    `split_problem` says why.
    """
    config = config or SplitConfig()
    catalogue, log = dataset.catalogue, dataset.interactions
    pairs = merge_repeats(sort_by_pair(log, len(catalogue)))
    per_item = np.bincount(pairs.items, minlength=len(catalogue))
    first_s, last_s = int(log.timestamps.min()), int(log.timestamps.max())
    timed = dataset.has_time
    words = np.array([len(text.split()) for text in catalogue.texts])
    texts = Counter(catalogue.texts)
    facts: dict[str, Any] = {
        "path": str(dataset.path),
        "interactions": len(log),
        "unknown_item_interactions": dataset.unknown_items,
        "users": len(log.user_ids),
        "items": len(catalogue),
        "items_without_interactions": int((per_item == 0).sum()),
        "blocked_items": int(catalogue.blocked.sum()),
        "user_item_pairs": len(pairs),
        "density": len(pairs) / (len(log.user_ids) * len(catalogue)),
        "repeat_share": 1 - len(pairs) / len(log),
        "first": iso_utc(first_s) if timed else None,
        "last": iso_utc(last_s) if timed else None,
        "days": (last_s - first_s) / 86_400 if timed else None,
        "items_per_user": _quantiles(np.bincount(pairs.users)),
        "users_per_item": _quantiles(per_item),
        "text_words": _quantiles(words),
        "items_sharing_a_text": sum(count for count in texts.values() if count > 1),
        "categories": _categories(catalogue.categories),
        "split": None,
        "split_problem": None,
        "leakage": None,
    }
    try:
        parts = split(dataset, config)
    except DataError as error:
        facts["split_problem"] = str(error)
        return facts
    facts["split"] = parts.report
    facts["leakage"] = [
        {
            "promise": check.promise,
            "violations": check.violations,
            "passed": check.passed,
            "binding": check.binding,
        }
        for check in check_leakage(dataset, parts)
    ]
    return facts


def _quantiles(values: npt.NDArray[np.int64]) -> dict[str, float]:
    """`{"0%": smallest, …, "100%": largest}`."""
    found = np.quantile(values, _QUANTILES)
    return {f"{q:.0%}": float(value) for q, value in zip(_QUANTILES, found, strict=True)}


def _categories(names: Strings | None) -> dict[str, Any]:
    counts = Counter(name for name in (() if names is None else names) if name)
    top = [{"category": name, "items": n} for name, n in counts.most_common(_TOP_CATEGORIES)]
    return {"distinct": len(counts), "items_with_one": sum(counts.values()), "largest": top}
