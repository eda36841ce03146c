"""What a run and a bundle recorded. What is not there is absent, with a reason."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dualtower.bundle import Bundle
from dualtower.errors import UsageError

__all__ = ["Road", "read_road"]

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Road:
    """Parsed documents; None where absent, and then `absent` has the reason under the same name."""

    data_report: Document | None
    training: Document | None
    evaluation: Document | None
    bundle: Document | None
    absent: Mapping[str, str]


def read_road(*, run: Path | None, bundle: Path | None) -> Road:
    """Reads what was given.

    Raises:
        UsageError: a file of the run is missing or broken.
        BundleError: there is no bundle.
    """
    absent: dict[str, str] = {}
    manifest = None if bundle is None else Bundle.open(bundle).manifest
    if manifest is None:
        absent["bundle"] = "no bundle given (--bundle BUNDLE, made by `dualtower export`)"
    return Road(
        data_report=_of_run(run, "data_report", "train", manifest, absent),
        training=_of_run(run, "training", "train", None, absent),
        evaluation=_of_run(run, "evaluation", "evaluate", manifest, absent),
        bundle=manifest,
        absent=absent,
    )


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
