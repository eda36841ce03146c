"""Runs of LoadGen as a table. A run that is not valid shows its reasons, no result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_benchmarks.mlperf.agreement import PERCENTILES
from dualtower_benchmarks.numerals import DASH, count, number
from dualtower_benchmarks.scenario.blocks import Block
from dualtower_benchmarks.scenario.columns import aligned
from dualtower_benchmarks.scenario.subject import device_words, what

__all__ = ["RESULT_WORDS", "agreement_text", "mlperf_blocks"]

_HEAD = ("LoadGen", "what", "device", "batch", "offered/s", "verdict", "result", "p50 ms", "p90 ms",
         "p99 ms", "queries")  # fmt: skip
RESULT_WORDS = {
    "p90_ms": "p90 {} ms",
    "p99_ms": "p99 {} ms",
    "completed_samples_per_s": "{} samples/s",
    "samples_per_s": "{} samples/s",
}
_LEFT = (0, 1, 2, 5)


def mlperf_blocks(found: Mapping[str, Any]) -> list[Block]:
    """The rows, why some are not valid, and what is absent."""
    rows = found["rows"]
    lines: list[str] = []
    for row in rows:
        lines += [f"INVALID: {row['scenario']} {what(row)}, {why}" for why in row["reasons"]]
    absent: dict[str, list[str]] = {}
    for case in found["absent"]:
        name = "accuracy" if case["mode"] == "accuracy" else case["scenario"]
        absent.setdefault(f"{what(case)}, {case['reason']}", []).append(name)
    lines += [f"absent: {', '.join(names)} {reason}" for reason, names in absent.items()]
    for row in found.get("accuracy", []):
        lowest = DASH if row["cosine_min"] is None else f"{row['cosine_min']:.6f}"
        lines.append(
            f"accuracy: {what(row)}, {count(row['samples'])} samples, smallest cosine to "
            f"{row['reference']} {lowest}: {'valid' if row['valid'] else 'INVALID'}"
        )
        lines += [f"INVALID: accuracy {what(row)}, {why}" for why in row["reasons"]]
    versions = sorted({row["loadgen_version"] for row in rows})
    lines += [f"LoadGen {version}; no MLPerf submission" for version in versions]
    return [Block("", _HEAD, list(map(_cells, rows)), _LEFT, lines)]


def agreement_text(found: Mapping[str, Any]) -> str:
    """What `agreement_as_json` gave: a line a generator, then the differences between them."""
    rows: list[Sequence[str]] = [
        ("latency from due, ms", *PERCENTILES, "latest send and answer", "n")
    ]
    for one in found["generators"]:
        n = count(one["n"])
        late = f"{one['late_ms']:.1f}" if one["late_ms"] is not None else ""
        rows.append((one["name"], *_two_digits(one["latency_ms"]), late, n))
        if one["truth_ms"] is not None:
            rows.append(("  the truth of them", *_two_digits(one["truth_ms"]), "", n))
    lines = aligned(rows)
    confidence = found["settings"]["confidence"]
    for one in found["differences"]:
        lines.append(
            f"{one['name']}, {one['percentile']} minus LoadGen's: {one['value_ms']:+.2f} ms, "
            f"{confidence:.0%} interval {one['low_ms']:+.2f} to {one['high_ms']:+.2f} ms"
        )
    return "\n".join(lines)


def _two_digits(levels: Mapping[str, float | None]) -> list[str]:
    return [f"{level:.2f}" if level is not None else DASH for level in levels.values()]


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    valid = row["valid"]
    return (
        row["scenario"],
        what(row),
        device_words(row["device_found"], row["device_name"]),
        str(row["batch_rows"]),
        number(row["offered_qps"]) if row["offered_qps"] else DASH,
        "valid" if valid else "INVALID",
        RESULT_WORDS[row["result_name"]].format(number(row["result"])) if valid else DASH,
        *(number(row[name]) for name in ("p50_ms", "p90_ms", "p99_ms")),
        count(row["queries"]),
    )
