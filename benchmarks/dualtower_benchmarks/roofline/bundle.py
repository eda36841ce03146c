"""`dualtower bench roofline`: the models of a bundle at some batches, counted, timed, under a roof.

What a scenario measured can get the same keys: `with_roofline` counts the graphs of its points.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dualtower.bundle import Bundle
from dualtower.errors import UnavailableError, UsageError
from dualtower.files import write_text
from dualtower.progress import say, step
from dualtower_benchmarks.load.load import Load
from dualtower_benchmarks.load.process import LoadProcess
from dualtower_benchmarks.load.workload import Workload
from dualtower_benchmarks.machine import cpu_words, machine_facts
from dualtower_benchmarks.roofline.counts import counting
from dualtower_benchmarks.roofline.peaks import PeakSettings, measure_peaks
from dualtower_benchmarks.roofline.points import roofline_fields
from dualtower_benchmarks.roofline.tflite_count import count_tflite
from dualtower_benchmarks.scenario.subject import CPU

__all__ = [
    "COUNTED",
    "DRIVERS",
    "add_to_results",
    "count_bundle",
    "roofline_of_bundle",
    "with_roofline",
]

COUNTED = ("item_tower", "recommender")
DRIVERS = ("grpc", "rest", "saved_model")  # that run the SavedModels which are counted
_EDGE = "litert"
_FLOAT_FILES = ("float32", "float16")  # which compute in float32; of int8 no peak is measured
_SEED = 7


def count_bundle(
    bundle: Bundle, asked: Sequence[tuple[str, int]], *, seed: int, history_texts: int
) -> dict[tuple[str, int], dict[str, Any]]:
    """Counts by (model, rows of a request), a process a model."""
    workload = Workload.of(bundle, seed=seed, history_texts=history_texts)
    found = {}
    for model in dict.fromkeys(model for model, _ in asked):
        with step(f"count {model}"), counting(bundle, model) as counter:
            for batch_rows in sorted({rows for name, rows in asked if name == model}):
                width = int(bundle.manifest["space"]["history_items"])
                requests = workload.requests(model, batch_rows, history_width=width)
                found[model, batch_rows] = counter.count(requests, batch_rows)
    return found


def roofline_of_bundle(
    path: Path, *, batches: Sequence[int], settings: PeakSettings, measured_s: float
) -> dict[str, Any]:
    """Peaks of this machine, and the SavedModels under them, called in process one by one.

    Returns:
        `machine`, `bundle`, `peaks` and `points`: rows of `model`, `batch_rows`, `rows_per_s`
        (null where there is no driver that calls the model in process), those of
        `ROOFLINE_KEYS`, and `count`.
    """
    bundle = Bundle.open(path)
    machine = machine_facts()
    asked = [(model, rows) for model in COUNTED for rows in batches]
    counts = count_bundle(bundle, asked, seed=_SEED, history_texts=20)
    rates = {key: _rows_per_s(bundle, *key, measured_s) for key in asked}
    peaks = measure_peaks(settings)
    points = [
        {
            "model": model,
            "batch_rows": rows,
            "rows_per_s": rates[model, rows],
            "precision": "float32",
            **roofline_fields(counts[model, rows], peaks, rows_per_s=rates[model, rows]),
            "count": counts[model, rows],
        }
        for model, rows in asked
    ]
    return {
        "machine": machine,
        "bundle": {"fingerprint": bundle.fingerprint, "version": bundle.version},
        "roofline": peaks,
        "points": points,
    }


def with_roofline(
    document: Mapping[str, Any], bundle: Bundle, peaks: Mapping[str, Any]
) -> dict[str, Any]:
    """Results of a scenario whose points have `ROOFLINE_KEYS`, and `roofline` beside them.

    Args:
        document: of the same bundle; its texts are drawn again by its seed.
        peaks: of the CPU of the machine that it was measured on. Points on a GPU have their
            FLOPs and no roof.

    Raises:
        UsageError: it is of another bundle.
    """
    measured = (document["bundle"] or {}).get("fingerprint", "none")
    if measured != bundle.fingerprint:
        raise UsageError(
            f"the results are of bundle {measured}, {bundle.path} is "
            f"{bundle.fingerprint}; give the bundle that was measured"
        )
    settings = document["scenario"]["settings"]
    counted = [row for row in document["points"] if _is_counted(row)]
    counts = count_bundle(
        bundle,
        list(dict.fromkeys((row["model"], row["batch_rows"]) for row in counted)),
        seed=settings["seed"],
        history_texts=settings["history_texts"],
    )
    edge = _edge_counts(bundle, document["points"])
    points = [_joined(row, counts, edge, peaks) for row in document["points"]]
    by_name = [
        {"model": model, "batch_rows": rows, **count} for (model, rows), count in counts.items()
    ]
    by_name += [
        {"model": model, "variant": variant, "batch_rows": 1, **count}
        for (model, variant), count in edge.items()
    ]
    return {**document, "points": points, "roofline": {**peaks, "counts": by_name}}


def add_to_results(path: Path, bundle: Bundle, settings: PeakSettings) -> dict[str, Any]:
    """Rewrites a results file with the keys of its points.

    Raises:
        UsageError: the file is none, of another bundle, or of another machine.
    """
    from dualtower_benchmarks.schema.read import read_results

    document = read_results(path, with_raw=False).document
    found, here = cpu_words(document["machine"]), cpu_words(machine_facts())
    if found != here:
        raise UsageError(
            f"{path} was measured on {found}, this is {here}; measure the peaks where it was made"
        )
    joined = with_roofline(document, bundle, measure_peaks(settings))
    write_text(path, json.dumps(joined, indent=1, ensure_ascii=False) + "\n")
    return joined


def _joined(
    row: Mapping[str, Any],
    counts: Mapping[tuple[str, int], Mapping[str, Any]],
    edge: Mapping[tuple[str, str], Mapping[str, Any]],
    peaks: Mapping[str, Any],
) -> dict[str, Any]:
    precision = row["precision"]
    if row["driver"] == _EDGE:
        count = edge.get((row["model"], row["variant"]))
        precision = row["variant"] if row["variant"] not in _FLOAT_FILES else "float32"
    else:
        count = counts[row["model"], row["batch_rows"]] if _is_counted(row) else None
    if count is not None and row["precision"] != "float32":  # whose numbers are shorter
        count = {**count, **dict.fromkeys(("bytes_per_row", "least_bytes_per_row", "intensity"))}
    on_cpu = row.get("device_metered", row["device_found"]) == CPU
    fields = roofline_fields(
        count,
        peaks if on_cpu else None,
        rows_per_s=row["rows_per_s"] if row["n"] else None,
        precision=precision,
    )
    return {**row, **fields}


def _edge_counts(
    bundle: Bundle, points: Sequence[Mapping[str, Any]]
) -> dict[tuple[str, str], dict[str, Any]]:
    """Of the files for a phone that the points ran, by model and variant."""
    asked = {(row["model"], row["variant"]) for row in points if row["driver"] == _EDGE}
    return {
        (entry["tower"], entry["variant"]): count_tflite(bundle.path / entry["file"]).as_json()
        for entry in bundle.manifest.get("variants", [])
        if (entry["tower"], entry["variant"]) in asked
    }


def _is_counted(row: Mapping[str, Any]) -> bool:
    """Whether the row ran a SavedModel on the catalogue's own texts."""
    return row["driver"] in DRIVERS and row["model"] in COUNTED and row["tokens"] == "catalogue"


def _rows_per_s(bundle: Bundle, model: str, batch_rows: int, measured_s: float) -> float | None:
    """Of one caller in process; None where the model cannot be called so."""
    job = {
        "driver": "saved_model", "bundle": str(bundle.path), "model": model,
        "batch_rows": batch_rows, "seed": _SEED,
    }  # fmt: skip
    load = Load(loop="closed", concurrency=1, measured_s=measured_s, warmup_s=measured_s / 4)
    try:
        with step(f"call {model}, batch {batch_rows}"), LoadProcess(job) as process:
            samples = process.run(load).samples
    except (UsageError, UnavailableError) as reason:
        say(f"  {model} is not timed: {reason}")
        return None
    kept = samples.due_from(int(samples.due_ns.min() + load.warmup_s * 1e9))
    latency_ns = kept.latency_ns
    return len(latency_ns) * batch_rows / kept.elapsed_s if len(latency_ns) else None
