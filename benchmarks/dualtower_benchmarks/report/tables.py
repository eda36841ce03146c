"""Tables of the page, cells already written as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dualtower_benchmarks.numerals import (
    DASH,
    megabytes,
    number,
    plain,
    share,
    words,
)

__all__ = [
    "Cell",
    "Table",
    "facts_tables",
    "gates_table",
    "machine_table",
    "variants_table",
]


@dataclass(frozen=True)
class Cell:
    """A figure with its error or interval, which is set smaller."""

    text: str
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells; the first column names the row.

    Args:
        prose: names of the columns that hold words; the others hold figures, set to the right.
        marked: positions of rows that stand out.
        greyed: positions of rows that step back: differences within the noise.
        notes: sentences below.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    prose: frozenset[str] = frozenset()
    marked: frozenset[int] = frozenset()
    greyed: frozenset[int] = frozenset()
    notes: Sequence[str] = ()

    def is_prose(self, column: int) -> bool:
        return bool(self.head) and self.head[column] in self.prose


def facts_tables(document: Mapping[str, Any], caption: str) -> list[Table]:
    """Any nested counts: plain values in one table, each nested group in one of its own."""
    nested = {key: value for key, value in document.items() if isinstance(value, Mapping)}
    flat = {key: value for key, value in document.items() if key not in nested}
    tables = [_facts(caption, flat)] if flat else []
    return tables + [_facts(words(key), value) for key, value in nested.items() if value]


def _facts(caption: str, values: Mapping[str, Any]) -> Table:
    return Table(caption, (), [(name, plain(value)) for name, value in _flattened(values)])


def _flattened(values: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in values.items():
        name = f"{prefix}{words(key)}"
        if isinstance(value, Mapping):
            yield from _flattened(value, f"{name}: ")
        else:
            yield name, value


def gates_table(gates: Sequence[Mapping[str, Any]]) -> Table:
    """Every gate with what was measured and what was asked."""
    return Table(
        "Gates of the export",
        ("gate", "result", "value", "threshold", "detail"),
        [
            (
                str(gate["name"]),
                "passed" if gate["passed"] else "FAILED",
                _figure(gate.get("value")),
                _figure(gate.get("threshold")),
                str(gate.get("detail") or ""),
            )
            for gate in gates
        ],
        prose=frozenset({"result", "detail"}),
        marked=frozenset(i for i, gate in enumerate(gates) if not gate["passed"]),
    )


def _figure(value: Any) -> str:
    if value is None:
        return DASH
    if isinstance(value, float):
        return f"{value:.5g}"
    return plain(value)


def variants_table(
    variants: Sequence[Mapping[str, Any]], p50_ms: Mapping[tuple[str, str, int], float]
) -> Table:
    """Size, quality and, where measured, speed of every TFLite file, with its verdict.

    Args:
        p50_ms: of a call by tower, variant and threads.
    """
    threads = sorted({number_of for _, _, number_of in p50_ms})
    return Table(
        "TFLite files: size, fidelity to float, ranking on held-out users, p50 in ms",
        (
            "file",
            "verdict",
            "size",
            "cosine of tastes, mean",
            "Recall@10",
            "NDCG@10",
            "overlap@10",
            "× float32's time",
            "ops delegated",
            "peak memory",
            *(f"p50, {n} thread{'s' if n > 1 else ''}" for n in threads),
        ),
        [
            (
                f"{row['tower']} {row['variant']}",
                str(row.get("verdict", DASH)),
                Cell(megabytes(row.get("size_bytes")), f"gzip {megabytes(row.get('gzip_bytes'))}"),
                Cell(_cosine(row.get("cosine_mean")), f"min {_cosine(row.get('cosine_min'))}"),
                Cell(
                    share(row.get("recall_at_10")),
                    f"float {share(row.get('recall_at_10_float'))}",
                ),
                Cell(share(row.get("ndcg_at_10")), f"float {share(row.get('ndcg_at_10_float'))}"),
                share(row.get("overlap_at_10")),
                _times_float32(row),
                _delegated(row),
                megabytes(row.get("peak_memory_bytes")),
                *(number(p50_ms.get((row["tower"], row["variant"], n))) for n in threads),
            )
            for row in variants
        ],
        prose=frozenset({"verdict"}),
        marked=frozenset(i for i, row in enumerate(variants) if row.get("verdict") != "ship"),
        notes=[
            f"{row['tower']} {row['variant']}: {row['reason']}."
            for row in variants
            if row.get("reason")
        ],
    )


def _times_float32(row: Mapping[str, Any]) -> Cell | str:
    ratios = row.get("times_float32") or {}
    if "1" not in ratios:
        return DASH
    return Cell(f"{ratios['1']:.2f}", f"{(row.get('ms_p50') or {}).get('1', 0):.2f} ms")


def _delegated(row: Mapping[str, Any]) -> Cell | str:
    if row.get("ops") is None:
        return DASH
    return Cell(f"{row['delegated_ops']} / {row['ops']}", f"{row['partitions']} partitions")


def _cosine(value: float | None) -> str:
    return DASH if value is None else f"{value:.4f}"


def machine_table(machine: Mapping[str, Any]) -> Table:
    """Every fact; what could not be read says so."""
    rows = []
    for key, value in machine.items():
        if key.endswith("_bytes"):
            text = "none" if value is None else f"{number(value / 2**30)} GiB"
            rows.append((words(key.removesuffix("_bytes")), text))
        elif isinstance(value, Mapping):
            rows += [(name, plain(version)) for name, version in value.items()]
        else:
            rows.append((words(key), plain(value)))
    return Table("Machine of the measurements", (), rows)
