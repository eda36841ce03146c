"""The result files that the page is made of. What is not there is absent, with a reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtower.bundle import Bundle
from dualtower.errors import BundleMismatch, UsageError
from dualtower_benchmarks.bench_run import read_bench

__all__ = ["Inputs", "read_inputs"]

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Inputs:
    """Parsed documents; None where absent, and then `absent` has the reason under the same name."""

    data_report: Document | None
    training: Document | None
    evaluation: Document | None
    bundle: Document | None
    bench: Document | None
    absent: Mapping[str, str]
    topk: Document | None = None  # of `bench topk`, which is about no bundle


def read_inputs(
    *, run: Path | None, bundle: Path | None, bench: Path | None, topk: Path | None = None
) -> Inputs:
    """Reads what was given.

    Raises:
        UsageError: nothing was given, or a file that was given is missing or broken.
        BundleMismatch: the measurements are of another bundle.
    """
    if run is None and bundle is None and bench is None and topk is None:
        raise UsageError(
            "a report needs something to report: give --run RUN, --bundle BUNDLE, --bench FILE or "
            "--topk FILE"
        )
    absent: dict[str, str] = {}
    manifest = None if bundle is None else Bundle.open(bundle).manifest
    if manifest is None:
        absent["bundle"] = "no bundle given (--bundle BUNDLE, made by `dualtower export`)"
    measured = None if bench is None else read_bench(bench)
    if measured is None:
        absent["bench"] = "no bench.json given (--bench FILE, made by `dualtower bench all BUNDLE`)"
    if manifest is not None and measured is not None:
        _hold_one_bundle(manifest, measured, bench)
    return Inputs(
        data_report=_of_run(run, "data_report", "train", manifest, absent),
        training=_of_run(run, "training", "train", None, absent),
        evaluation=_of_run(run, "evaluation", "evaluate", manifest, absent),
        bundle=manifest,
        bench=measured,
        absent=absent,
        topk=None if topk is None else _read_topk(topk),
    )


def _read_topk(path: Path) -> Document:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}); run `dualtower bench topk --out {path}`"
        ) from error
    if not isinstance(document, dict) or not {"settings", "points", "machine"} <= set(document):
        raise UsageError(f"{path} is no result of `dualtower bench topk`; run it with --out {path}")
    return document


def _of_run(
    run: Path | None,
    name: str,
    command: str,
    manifest: Document | None,
    absent: dict[str, str],
) -> Document | None:
    """A file of the run; without a run what the bundle kept of it."""
    if run is None:
        if manifest is not None and manifest.get(name):
            kept: Document = manifest[name]
            return kept
        absent[name] = "no run given (--run RUN, made by `dualtower train`)"
        return None
    path = run / f"{name}.json"
    if not run.is_dir():
        raise UsageError(f"{run} is no folder of a run; make one with `dualtower train`")
    if not path.exists():
        absent[name] = f"{run.name} has no {name}.json; `dualtower {command}` writes it"
        return None
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{path} cannot be read ({error}); run `dualtower {command}` again"
        ) from error
    if not isinstance(document, dict):
        raise UsageError(f"{path} holds no JSON object; run `dualtower {command}` again")
    return document


def _hold_one_bundle(manifest: Document, measured: Document, bench: Path | None) -> None:
    found = measured["bundle"]["fingerprint"]
    if found != manifest["fingerprint"]:
        raise BundleMismatch(
            expected=str(manifest["fingerprint"]),
            found=str(found),
            where=str(bench),
            repair="measure this bundle: dualtower bench all BUNDLE",
        )
