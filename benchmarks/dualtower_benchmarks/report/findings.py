"""The page's opening: sentences computed from the data, each with its n and its error.

They state; they do not judge. A sentence whose numbers are missing is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dualtower_benchmarks.numerals import (
    count,
    megabytes,
    milliseconds,
    number,
    percent,
    share,
)
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.inputs import Inputs
from dualtower_benchmarks.report.quality_findings import quality_findings

__all__ = ["findings"]

Row = Mapping[str, Any]


def findings(inputs: Inputs) -> list[str]:
    """All sentences that the inputs allow, in the order of the page."""
    found: list[str] = []
    if inputs.evaluation is not None:
        found += quality_findings(inputs.evaluation)
    if inputs.bundle is not None:
        found += _said(inputs.bundle, (_gates, _variants))
    if inputs.bench is not None:
        measured = (_capacity, _waiting, _overhead, _edge_speed, _device, _spoilt)
        found += _said(inputs.bench, measured)
    return found


def _said(
    document: Mapping[str, Any], sentences: Sequence[Callable[[Mapping[str, Any]], str | None]]
) -> list[str]:
    return [text for sentence in sentences if (text := sentence(document))]


def _gates(bundle: Mapping[str, Any]) -> str | None:
    gates = bundle.get("gates") or []
    if not gates:
        return None
    failed = [str(gate["name"]) for gate in gates if not gate["passed"]]
    if not failed:
        return f"The bundle passed all of its {len(gates)} gates."
    return f"{len(failed)} of the bundle's {len(gates)} gates failed: {', '.join(failed)}."


def _variants(bundle: Mapping[str, Any]) -> str | None:
    variants = [row for row in bundle.get("variants") or [] if row.get("tower") == "item_tower"]
    shipped = [row for row in variants if row.get("verdict") == "ship"]
    reference = next((row for row in variants if row["variant"] == "float32"), None)
    if not shipped or reference is None:
        return None
    smallest = min(shipped, key=lambda row: row["size_bytes"])
    text = (
        f"Of {len(variants)} files of the item tower {len(shipped)} have the verdict ship; the "
        f"smallest of these, {smallest['variant']}, takes {megabytes(smallest['size_bytes'])} "
        f"({percent(smallest['size_bytes'] / reference['size_bytes'])} of float32)"
    )
    if smallest.get("recall_at_10") is not None:
        text += (
            f" and has a Recall@10 of {share(smallest['recall_at_10'])} where float has "
            f"{share(smallest.get('recall_at_10_float'))}"
        )
    return text + "."


def _capacity(bench: Mapping[str, Any]) -> str | None:
    rows = [row for row in _of(bench, "server", "closed") if row["n"]]
    texts = []
    for model in dict.fromkeys(row["model"] for row in rows):
        top = max((r for r in rows if r["model"] == model), key=lambda row: row["rows_per_s"])
        texts.append(
            f"{model} {number(top['rows_per_s'])} rows a second (batch {top['batch_rows']}, "
            f"{top['concurrency']} clients, p50 {milliseconds(top['p50_ms'])} ms, "
            f"n = {count(top['n'])})"
        )
    if not texts:
        return None
    engine = f"{bench['server']['engine']} " if bench["server"]["engine"] else ""
    return (
        f"The most rows a closed loop got out of the {engine}server: "
        f"{'; '.join(texts)}. Measured on: {hardware(bench)}."
    )


def _waiting(bench: Mapping[str, Any]) -> str | None:
    rows = [row for row in _of(bench, "server", "open") if row["p50_ms"] and row["batch_rows"] == 1]
    texts = [
        f"{row['model']} at {number(row['offered_qps'])} requests a second p50 "
        f"{milliseconds(row['p50_ms'])} ms{_tail(row)} (n = {count(row['n'])})"
        for row in rows
    ]
    if not texts:
        return None
    part = percent(bench["config"]["open_load_share"])
    return (
        f"With Poisson arrivals at {part} of the closed-loop rate, batch 1, counted from the "
        f"scheduled instant: {'; '.join(texts)}."
    )


def _tail(row: Row) -> str:
    for name in ("p99_ms", "p90_ms"):
        if row[name]:
            return f", {name[:3]} {milliseconds(row[name])} ms"
    return ""


def _overhead(bench: Mapping[str, Any]) -> str | None:
    for ratio in bench["ratios"]:
        row = bench["points"][ratio["point"]]
        if row["part"] == "server" and row["batch_rows"] == 1:
            return (
                f"One text through the server takes {_ratio(ratio)} times as long as the same "
                "SavedModel in process on the CPU (p50, one client, item tower)."
            )
    return None


def _edge_speed(bench: Mapping[str, Any]) -> str | None:
    texts = []
    for ratio in bench["ratios"]:
        row = bench["points"][ratio["point"]]
        if row["part"] == "edge" and row["threads"] == max(bench["config"]["edge_threads"]):
            texts.append(f"{row['variant']} {_ratio(ratio)}")
    if not texts:
        return None
    threads = max(bench["config"]["edge_threads"])
    return (
        f"LiteRT with {threads} threads, relative to the SavedModel in process with one thread an "
        f"op, as it is served (p50, batch 1, item tower; LiteRT gets tokens, the SavedModel text): "
        f"{', '.join(texts)}."
    )


def _ratio(ratio: Row) -> str:
    return f"{number(ratio['value'])} ({number(ratio['low'])}–{number(ratio['high'])})"


def _device(bench: Mapping[str, Any]) -> str | None:
    in_process = bench["in_process"]
    if "absent" in in_process:
        return None
    gpu = in_process["GPU"]
    if isinstance(gpu, str):
        return f"On this machine there is {gpu}: every figure is of the CPU."
    texts = [
        f"batch {bench['points'][ratio['point']]['batch_rows']} {_ratio(ratio)}"
        for ratio in bench["ratios"]
        if bench["points"][ratio["point"]]["device"] == "GPU"
    ]
    if not texts:
        return None
    return f"Time on the GPU over time on the CPU (p50, item tower in process): {', '.join(texts)}."


def _spoilt(bench: Mapping[str, Any]) -> str | None:
    points = bench["points"]
    void = sum(row["void"] is not None for row in points)
    failed = sum(sum(row["errors"].values()) for row in points)
    skipped = sum(row["skipped"] for row in points)
    asked = sum(row["n"] for row in points) + failed
    return (
        f"Of {count(asked)} measured calls {count(failed)} failed and {count(skipped)} more were "
        f"skipped; {count(void)} of {count(len(points))} points are void."
    )


def _of(bench: Mapping[str, Any], part: str, loop: str) -> list[Row]:
    return [row for row in bench["points"] if row["part"] == part and row["loop"] == loop]
