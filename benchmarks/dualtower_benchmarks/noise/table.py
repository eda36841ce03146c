"""The result of `bench noise` as tables: a metric each, methods by share of noise."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dualtower.tables import Table

__all__ = ["noise_tables"]

_TITLES = {
    "recall_at_20": "Recall@20",
    "ndcg_at_20": "NDCG@20",
    "recall_at_20_tail": "Recall@20 of the tail",
}


def noise_tables(document: Mapping[str, Any]) -> list[Table]:
    """One table a metric: the mean over the seeds, its standard error, and the share that is left.

    With one seed the standard error is over users, else over seeds.
    """
    rows = document["rows"]
    shares = sorted({row["share"] for row in rows})
    methods = list(dict.fromkeys(row["method"] for row in rows))
    seeds, users = document["settings"]["seeds"], document["settings"]["users"]
    over = "users" if seeds == 1 else f"{seeds} seeds"
    tables = []
    for metric, title in _TITLES.items():
        body = []
        for method in methods:
            found = {
                share: [
                    row[metric] for row in rows
                    if row["share"] == share and row["method"] == method
                ]
                for share in shares
            }  # fmt: skip
            clean = float(np.mean([value["value"] for value in found[0.0]]))
            body.append([method, *(_cell(found[share], clean) for share in shares)])
        header = ("", *(f"{share:.0%} noise" for share in shares))
        tables.append(Table(f"{title}, {users} users; ± over {over}", body, header))
    kept = [
        [f"{row['share']:.0%}, seed {row['seed']}", row["method"], f"{row['kept']}, {row['steps']}"]
        for row in rows
        if "kept" in row
    ]
    return [*tables, Table("Kept on the inner split, best step", kept)]


def _cell(found: list[Mapping[str, float]], clean: float) -> str:
    values = [one["value"] for one in found]
    mean = float(np.mean(values))
    error = found[0]["se"] if len(values) == 1 else np.std(values, ddof=1) / np.sqrt(len(values))
    return f"{mean:.4f} ± {error:.4f} ({mean / clean:.0%})"
