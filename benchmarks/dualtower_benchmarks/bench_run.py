"""One benchmark run: the asked parts one after the other, then one document and its raw data.

    bench.json            schema 1: config, machine, bundle, points, ratios
    bench.samples.parquet every request behind the points

Parts never run at the same time. A part that was not asked for, or that cannot run here, says why.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dualtower.bundle import Bundle
from dualtower.errors import UsageError
from dualtower.files import write_text
from dualtower.progress import say, step
from dualtower_benchmarks.edge import measure_edge
from dualtower_benchmarks.in_process import measure_in_process
from dualtower_benchmarks.machine import NO_GPU, machine_facts
from dualtower_benchmarks.points import Points
from dualtower_benchmarks.ratios import ratios_of
from dualtower_benchmarks.raw_store import write_raw
from dualtower_benchmarks.server_grid import measure_server, running_server
from dualtower_benchmarks.settings import PARTS, BenchConfig
from dualtower_benchmarks.workload import Workload

__all__ = ["SCHEMA", "read_bench", "run_bench"]

SCHEMA = 1

_NOT_ASKED = "not asked for in this run"


def run_bench(
    bundle_path: Path,
    *,
    config: BenchConfig,
    out: Path,
    parts: Sequence[str] = PARTS,
    address: str | None = None,
    engine: str = "",
    command: str = "",
) -> dict[str, Any]:
    """Measures `parts` of a bundle and writes `out` and its raw data.

    Args:
        bundle_path: the bundle; its catalogue gives the texts of every request.
        config: what to measure, and for how long.
        out: the JSON file; the raw data lies beside it as `<stem>.samples.parquet`.
        parts: some of PARTS.
        address: a running server of the same bundle; None starts one.
        engine: what serves at `address`, for the results; "" where that is not known.
        command: the command line, for whoever wants to run it again.

    Returns:
        the document that was written.
    """
    bundle = Bundle.open(bundle_path)
    machine = machine_facts()
    workload = Workload.of(bundle, seed=config.seed, history_texts=config.history_texts)
    points = Points(config)
    begin_ns = time.monotonic_ns()
    created = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    found: dict[str, Any] = {part: {"absent": _NOT_ASKED} for part in PARTS}
    if "server" in parts:
        with (
            step("server"),
            running_server(
                bundle,
                config,
                address=address,
                engine=engine,
                has_gpu=machine["gpu"] != NO_GPU,
            ) as server,
        ):
            say(f"  {server.engine or 'server'} at {server.address}")
            found["server"] = measure_server(server, bundle, workload, points)
    if "in_process" in parts:
        with step("SavedModel in process"):
            found["in_process"] = measure_in_process(bundle, workload, points)
    if "edge" in parts:
        with step("edge"):
            found["edge"] = {"files": measure_edge(bundle, workload, points)}
    samples_path = out.with_name(f"{out.stem}.samples.parquet")
    document = {
        "schema": SCHEMA,
        "created": created,
        "command": command,
        "bundle": {"fingerprint": bundle.fingerprint, "version": bundle.version},
        "seed": config.seed,
        "config": dataclasses.asdict(config),
        "machine": machine,
        **found,
        "points": points.rows,
        "ratios": ratios_of(points),
        "raw_file": samples_path.name,
        "wall_s": (time.monotonic_ns() - begin_ns) / 1e9,
    }
    write_raw(samples_path, points.raw)
    write_text(out, json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return document


def read_bench(path: Path) -> dict[str, Any]:
    """The document of an earlier run.

    Raises:
        UsageError: the file is missing, no JSON, or of another schema.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(
            f"cannot read {path}: {error.strerror}; make it with "
            f"`dualtower bench all BUNDLE --out {path}`"
        ) from error
    except ValueError as error:
        raise UsageError(f"{path} is no JSON: {error}") from error
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise UsageError(
            f"{path} is no result of `dualtower bench` with schema {SCHEMA}; measure again"
        )
    return document
