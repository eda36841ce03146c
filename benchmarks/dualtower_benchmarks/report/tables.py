"""Tables of the page, cells already written as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dualtower_benchmarks.numerals import (
    DASH,
    bounds,
    count,
    megabytes,
    milliseconds,
    number,
    percent,
    plain,
    share,
    words,
)
from dualtower_benchmarks.points import PERCENTILES
from dualtower_benchmarks.report.hardware import hardware

__all__ = [
    "Cell",
    "Table",
    "facts_tables",
    "gates_table",
    "in_process_table",
    "machine_table",
    "points_table",
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
        notes: sentences below.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str | Cell]]
    prose: frozenset[str] = frozenset()
    marked: frozenset[int] = frozenset()
    notes: Sequence[str] = ()

    def is_prose(self, column: int) -> bool:
        return bool(self.head) and self.head[column] in self.prose


def _percentile(interval: Mapping[str, float] | None) -> Cell:
    return Cell(milliseconds(interval), bounds(interval))


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


def variants_table(variants: Sequence[Mapping[str, Any]], points: Sequence[Any]) -> Table:
    """Size, quality and, where measured, speed of every TFLite file, with its verdict."""
    edge = [row for row in points if row["part"] == "edge"]
    threads = sorted({row["threads"] for row in edge})
    speed = {(row["model"], row["variant"], row["threads"]): row["p50_ms"] for row in edge}
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
                *(milliseconds(speed.get((row["tower"], row["variant"], n))) for n in threads),
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


def points_table(bench: Mapping[str, Any], part: str) -> Table:
    """Every point of one part, with load, count, errors, and why it is void."""
    rows = [row for row in bench["points"] if row["part"] == part]
    confidence = percent(bench["config"]["confidence"])
    return Table(
        f"Percentiles in ms with {confidence} intervals; – where the samples are too few",
        (
            "subject",
            "load",
            *(name.replace("_ms", "") for name in PERCENTILES),
            "rows/s",
            "n",
            "failed",
            "skipped",
            "lag p99, ms",
            "device",
        ),
        [
            (
                _subject(row),
                _load(row),
                *(Cell("void") if row["void"] else _percentile(row[name]) for name in PERCENTILES),
                number(row["rows_per_s"]),
                count(row["n"]),
                plain(row["errors"]) if row["errors"] else "0",
                count(row["skipped"]),
                number(row["lag_p99_ms"]),
                str(row["device"]),
            )
            for row in rows
        ],
        prose=frozenset({"device", "load"}),
        notes=[f"{_subject(row)}, {_load(row)}: {row['void']}." for row in rows if row["void"]],
        marked=frozenset(i for i, row in enumerate(rows) if row["void"] or row["errors"]),
    )


def _subject(row: Mapping[str, Any]) -> str:
    name = " ".join(str(part) for part in (row["model"], row["variant"]) if part)
    return f"{name}, batch {row['batch_rows']}"


def _load(row: Mapping[str, Any]) -> str:
    if row["loop"] == "open":
        return f"open, Poisson {number(row['offered_qps'])}/s"
    if row["threads"]:
        return f"closed, {row['threads']} thread{'s' if row['threads'] > 1 else ''}"
    return f"closed, {row['concurrency']} client{'s' if row['concurrency'] > 1 else ''}"


def in_process_table(bench: Mapping[str, Any]) -> Table:
    """p50 per batch on both devices; a device that is not there says so in its column."""
    points = [row for row in bench["points"] if row["part"] == "in_process"]
    found = {(row["batch_rows"], row["device"]): row for row in points}
    gpu = bench["in_process"]["GPU"]
    rows: list[Sequence[str | Cell]] = []
    for batch in dict.fromkeys(row["batch_rows"] for row in points):
        cells: list[str | Cell] = []
        for device in ("CPU", "GPU"):
            row = found.get((batch, device))
            if row is None:
                cells.append(str(gpu))
            else:
                interval = bounds(row["p50_ms"])
                cells.append(
                    Cell(milliseconds(row["p50_ms"]), f"{interval}, n = {count(row['n'])}")
                )
        rows.append((f"batch {batch}", *cells))
    return Table(
        f"Item tower in process, closed loop, one caller: p50 in ms; {hardware(bench)}",
        ("rows", "CPU", "GPU"),
        rows,
    )


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
