"""The result of `bench train` as a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower.tables import Table

__all__ = ["train_tables"]

_HEADER = ("", "pairs/s", "step", "of the matrix peak", "× reference", "first loss")


def train_tables(document: Mapping[str, Any]) -> list[Table]:
    """One table a case, and one of the training on cached encodings."""
    tables = []
    tokens, threads = document["settings"]["tokens"], document["settings"]["threads"]
    for case in document["cases"]:
        chunks = f" in chunks of {case['chunk']}" if case["chunk"] else ""
        title = (
            f"{case['batch']} pairs{chunks}, {tokens} tokens, {threads} threads; "
            f"{case['flops_per_step'] / 1e9:,.0f} GFLOP a step, "
            f"peak {case['flops_per_s_peak'] / 1e9:,.0f} GFLOP/s"
        )
        tables.append(Table(title, [_row(engine) for engine in case["engines"]], _HEADER))
    cached = document["cached_training"]
    if cached is not None:
        title = f"Towers on cached encodings, {cached['histories']} histories a step"
        rows = [
            ("step", f"{cached['step_s']:.3f} s"),
            ("histories/s", f"{cached['histories_per_s']:,.0f}"),
            ("positives/s", f"{cached['positives_per_s']:,.0f}"),
        ]
        tables.append(Table(title, rows))
    return tables


def _row(engine: Mapping[str, Any]) -> list[str]:
    ratio = engine["ratio"]
    shown = (
        "" if ratio is None else f"{ratio['value']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f})"
    )
    return [
        engine["name"],
        f"{engine['rows_per_s']:.1f}",
        f"{engine['step_s']:.3f} s",
        f"{engine['share_of_peak']:.0%}",
        shown,
        f"{engine['first_loss']:.4f}",
    ]
