"""Cases of a results file as a Markdown table; offered load and n in every row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dualtower_benchmarks.machine import cpu_words
from dualtower_benchmarks.numerals import DASH, NBSP, count, moment, number
from dualtower_benchmarks.pace.summary import change_of
from dualtower_benchmarks.scenario.subject import device_words
from dualtower_benchmarks.schema.labels import Labels, load_words
from dualtower_benchmarks.schema.measured import Measured
from dualtower_benchmarks.schema.read import git_commits_of

__all__ = ["escaped", "machine_line", "table_line", "table_of"]

_HEAD = ("what", "rows", "load", "rows/s", "p50 ms", "p99 ms", "p99.9 ms", "n", "failed", "device")
_LEFT = ("what", "load", "device")


def table_of(document: Mapping[str, Any], cases: Iterable[Measured]) -> str:
    """A row a case, medians over repeats; `–`: too few samples; absent cases say why."""
    labels = Labels([*document["points"], *document["absent"]])
    rows = [_cells(labels, case) for case in cases]
    rows += [
        (labels(case), str(case["batch_rows"]), str(case["reason"]), *[DASH] * 6, case["device"])
        for case in document["absent"]
    ]
    rule = ("---" if name in _LEFT else "---:" for name in _HEAD)
    return "\n".join(table_line(row) for row in (_HEAD, tuple(rule), *rows))


def machine_line(document: Mapping[str, Any]) -> str:
    """Hardware, versions, seed, commit and time of the run, as a sentence."""
    machine, settings = document["machine"], document["scenario"]["settings"]
    gpu, versions = machine["gpu"], machine["package_versions"]
    parts = [
        cpu_words(machine),
        f"{machine['usable_cores']} cores",
        gpu if isinstance(gpu, str) else ", ".join(gpu),
        f"load before {number(machine['load_average_1_min_before'])}",
        f"TensorFlow {versions['tensorflow']}" if versions.get("tensorflow") else "",
        f"own pace within ×{number(change_of(pace))}" if (pace := document.get("pace")) else "",
        f"repeats {settings['repeats']}",
        f"seed {settings['seed']}",
        f"commit {' and '.join(commit[:12] for commit in git_commits_of(document))}",
        moment(str(document["created"])).replace(NBSP, " "),
    ]
    return escaped(f"Measured on {', '.join(part for part in parts if part)}.")


def _cells(labels: Labels, case: Measured) -> tuple[str, ...]:
    load = load_words(case, case.offered_qps)
    void = f" (void {len(case.void)} of {len(case.void) + len(case.rows)})" if case.void else ""
    return (
        labels(case),
        str(case["batch_rows"]),
        load + void,
        number(case.value("rows_per_s")),
        *(number(case.value(name)) for name in ("p50_ms", "p99_ms", "p99_9_ms")),
        count(case.n),
        count(case.failed + case.skipped),
        device_words(case["device_found"], case["device_name"]),
    )


def table_line(cells: Sequence[str]) -> str:
    """A row of a table."""
    return f"| {' | '.join(escaped(str(cell)) for cell in cells)} |"


def escaped(text: str) -> str:
    """Text that is no markup in a Markdown table."""
    text = " ".join(text.split())
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("`", "\\`")
