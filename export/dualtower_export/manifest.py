"""The fields of `bundle.json` beside the contract's own."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from dualtower import __version__
from dualtower.errors import DataError
from dualtower_export.gate import Gate
from dualtower_export.gate_data import GateData
from dualtower_export.plan import Plan
from dualtower_trainer.checkpoint import Trained

__all__ = ["manifest_fields", "published_config", "read_results", "versions", "wide_sizes"]

_PACKAGES = ("tensorflow", "tensorflow-text", "tf-keras", "ai-edge-litert", "numpy")
# how the export works, not what it makes
_NOT_PUBLISHED = ("jobs",)
# a list for every look and every setting that was tried
_LONG = ("history", "tried")


def manifest_fields(
    plan: Plan,
    results: Mapping[str, Any],
    gates: Sequence[Gate],
    variants: Sequence[Mapping[str, Any]],
    recommenders: Sequence[Mapping[str, Any]],
    *,
    compared_on: GateData,
    data_path: Path,
    command: str,
) -> dict[str, Any]:
    """What `dualtower.bundle.write_manifest` takes; plain JSON.

    Args:
        plan: the export.
        results: what `read_results` found.
        gates: all of them passed.
        variants: entries of `Measured.as_json`.
        recommenders: entries of `MeasuredRecommender.as_json`.
        compared_on: the users and texts of the gates.
        data_path: the data folder, for who wants to rank its users later.
        command: how to repeat the export.
    """
    trained = plan.trained
    training = {key: value for key, value in trained.training.items() if key not in _LONG}
    return {
        "version": plan.config.version,
        "space": plan.space,
        "k_max": plan.k_max,
        "created": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": command,
        "data_path": str(data_path.resolve()),
        "config": published_config(plan),
        "versions": versions(),
        "catalogue": {
            "items": len(trained.item_ids),
            "warm": int(trained.warm.sum()),
            "blocked": int(trained.blocked.sum()),
        },
        "encoder": {
            "layers": plan.encoder.config.num_hidden_layers,
            "hidden": plan.encoder.config.hidden_size,
            "parameters": int(sum(tensor.size for tensor in plan.encoder.tensors.values())),
            "vocabulary": len(plan.encoder.tokenizer.vocab),
            "sha256": plan.encoder.sha256,
        },
        "wide": wide_sizes(trained),
        "training": training,
        "data_report": results.get("data_report", {}),
        "evaluation": results.get("evaluation", {}),
        "compared_on": compared_on.as_json(),
        "gates": [gate.as_json() for gate in gates],
        "variants": list(variants),
        "recommenders": list(recommenders),
    }


def wide_sizes(trained: Trained) -> dict[str, int]:
    """What the wide part of the item tower holds, and its bytes in float32 and int32."""
    wide = trained.item_head.get_layer("wide")
    table = sum(part.numpy().nbytes for part in (wide.table, wide.idf))
    lookups = (wide.slot, wide.keys, wide.grams, wide.multipliers)
    return {
        "pieces": wide.pieces,
        "pairs": wide.pairs,
        "table_bytes": table,
        "lookup_bytes": sum(part.numpy().nbytes for part in lookups),
    }


def published_config(plan: Plan) -> dict[str, Any]:
    """The [export] settings that decide what is in the bundle, as JSON reads them back."""
    settings = {k: v for k, v in asdict(plan.config).items() if k not in _NOT_PUBLISHED}
    return json.loads(json.dumps(settings))


def read_results(run: Path) -> dict[str, Any]:
    """`evaluation` and `data_report` of a run, where they are there.

    Raises:
        DataError: a file is there and cannot be read.
    """
    results = {}
    for name in ("evaluation", "data_report"):
        path = run / f"{name}.json"
        if not path.exists():
            continue
        try:
            results[name] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DataError(
                f"{path} is damaged ({error}); remove it, or make it again with "
                f"`dualtower evaluate {run}`"
            ) from error
    return results


def versions() -> dict[str, str]:
    """Versions of Python, dualtower and what computes, with `_` for `-` in the names."""
    found = {"python": platform.python_version(), "dualtower": __version__}
    for package in _PACKAGES:
        try:
            found[package.replace("-", "_")] = version(package)
        except PackageNotFoundError:  # a build of TensorFlow under another name
            found[package.replace("-", "_")] = "unknown"
    return found
