"""The reports of an import and of a description as tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower.tables import Table

__all__ = ["counts_table", "description_tables", "import_tables"]

_BAR_CHARS = 24
_SHOWN_BINS = 26


def import_tables(report: Mapping[str, Any]) -> list[Table]:
    """The report of an import, of whichever source."""
    totals = ("interactions", "users", "items", "first", "last")
    tables = [counts_table("Data", {name: report[name] for name in totals})]
    for part in ("transactions", "products", "interactions_file", "items_file"):
        if part in report:
            tables.append(counts_table(part.replace("_", " ").capitalize(), report[part]))
    return tables


def description_tables(facts: Mapping[str, Any]) -> list[Table]:
    """What `describe` found."""
    counts = (
        "interactions",
        "users",
        "items",
        "unknown_item_interactions",
        "items_without_interactions",
        "blocked_items",
        "items_sharing_a_text",
        "shared_texts",
        "user_item_pairs",
    )
    size = [
        *(_row(name, facts[name]) for name in counts),
        ("sparsity", f"{facts['sparsity']:.3%}"),
        ("repeats", f"{facts['repeat_share']:.1%}"),
        ("Gini of popularity", f"{facts['popularity_gini']:.3f}"),
        ("first", facts["first"] or "no times"),
        ("last", facts["last"] or "no times"),
        *([("days", f"{facts['days']:.1f}")] if facts["days"] is not None else []),
    ]
    quantiles = [
        (label, *(f"{value:,.0f}" for value in facts[name].values()))
        for label, name in (
            ("items per user", "items_per_user"),
            ("users per item", "users_per_item"),
            (f"text length in {facts['text_length_unit']}", "text_length"),
        )
    ]
    tables = [
        Table(facts["path"], size),
        Table("Quantiles", quantiles, header=("", *facts["items_per_user"])),
        *_histograms(facts["histograms"]),
    ]
    if shared := facts["most_shared_texts"]:
        rows = [(text, f"{count:,}") for text, count in shared.items()]
        tables.append(Table("Texts that most items share", rows))
    categories = facts["categories"]
    if categories["distinct"]:
        largest = [(c["category"], f"{c['items']:,}") for c in categories["largest"]]
        tables.append(Table(f"Largest of {categories['distinct']:,} categories, items", largest))
    if facts["split"] is None:
        return [*tables, Table("Split", [("not possible", facts["split_problem"])])]
    tables.append(counts_table("Split", facts["split"]))
    promises = [(check["promise"], _verdict(check)) for check in facts["leakage"]]
    return [*tables, Table("Leakage", promises)]


def _histograms(histograms: Mapping[str, Mapping[str, int]]) -> list[Table]:
    """Each bin with its count and a bar; of a long log the last weeks."""
    tables = []
    for name, bins in histograms.items():
        if not bins:
            continue
        shown = list(bins.items())[-_SHOWN_BINS:]
        title = name.replace("_", " ").capitalize()
        if len(shown) < len(bins):
            title += f", the last {len(shown)} of {len(bins)}"
        most = max(count for _, count in shown) or 1
        rows = [
            (label, f"{count:,}", ("▇" * -(-count * _BAR_CHARS // most)).ljust(_BAR_CHARS))
            for label, count in shown
        ]
        tables.append(Table(title, rows))
    return tables


def counts_table(title: str, counts: Mapping[str, Any]) -> Table:
    """Counts, nested ones indented below their name; empty ones and None are left out."""
    rows: list[tuple[str, str]] = []
    for name, value in counts.items():
        if not isinstance(value, Mapping) and value is not None:
            rows.append(_row(name, value))
        elif value:
            rows.append((name.replace("_", " "), ""))
            rows += [("  " + label, shown) for label, shown in counts_table("", value).rows]
    return Table(title, rows)


def _verdict(check: Mapping[str, Any]) -> str:
    if check["passed"]:
        return "holds"
    return f"{'BROKEN' if check['binding'] else 'but for'} {check['violations']:,} times"


def _row(name: str, value: Any) -> tuple[str, str]:
    return name.replace("_", " "), f"{value:,}" if isinstance(value, int) else str(value)
