"""Training steps as tables, one for each measurement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.numerals import DASH, bounds, count, number
from dualtower_benchmarks.scenario.blocks import Block
from dualtower_benchmarks.training.case import TOWERS

__all__ = ["training_blocks", "training_title", "training_words"]

_HEAD = ("", "rows/s", "of the rounds", "step, s", "of the matrix peak", "× reference",
         "first loss", "steps")  # fmt: skip


def training_blocks(found: Mapping[str, Any]) -> list[Block]:
    """The rows, then what is absent."""
    groups: dict[tuple[str, int], list[Mapping[str, Any]]] = {}
    for row in found["rows"]:
        groups.setdefault((row["key"], row["repeat"]), []).append(row)
    absent = dict.fromkeys((case["engine"], case["reason"]) for case in found["absent"])
    return [
        *(Block(training_title(rows[0]), _HEAD, list(map(_cells, rows)))
          for rows in groups.values()),
        Block(notes=[f"absent: {engine}: {reason}" for engine, reason in absent]),
    ]  # fmt: skip


def training_title(row: Mapping[str, Any]) -> str:
    """The words, with what a step takes: "…; 123 GFLOP a step, peak 456 GFLOP/s"."""
    if row["what"] == TOWERS:
        return training_words(row)
    return (
        f"{training_words(row)}; {number(row['flops_per_step'] / 1e9)} GFLOP a step, "
        f"peak {number(row['flops_per_s_peak'] / 1e9)} GFLOP/s"
    )


def training_words(row: Mapping[str, Any]) -> str:
    """What was measured: "32 pairs of 32 tokens, minilm, threads: 2"."""
    threads = f"threads: {row['threads_found']}"
    if row["what"] == TOWERS:
        return f"Towers on cached encodings, {count(row['batch_rows'])} histories a step, {threads}"
    chunks = f" in chunks of {row['chunk']}" if row["chunk"] else ""
    return f"{row['batch']} pairs{chunks} of {row['tokens']} tokens, {row['encoder']}, {threads}"


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    ratio, share = row["ratio"], row["share_of_peak"]
    return (
        row["engine"],
        number(row["rows_per_s"]["value"]),
        bounds(row["rows_per_s"]),
        number(row["step_s"]["value"]),
        DASH if share is None else f"{share:.0%}",
        DASH if ratio is None else f"{number(ratio['value'])} ({bounds(ratio)})",
        number(row["first_loss"], 5),
        count(row["n"]),
    )
