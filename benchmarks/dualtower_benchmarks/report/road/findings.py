"""Sentences on the road to a bundle, computed from the data, each with its n and its error.

They state; they do not judge. A sentence whose numbers are missing is left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.numerals import megabytes, percent, share
from dualtower_benchmarks.report.road.inputs import Road
from dualtower_benchmarks.report.road.quality_findings import quality_findings

__all__ = ["road_findings"]


def road_findings(road: Road) -> list[str]:
    """Those that a run and a bundle allow, five at most."""
    found = quality_findings(road.evaluation) if road.evaluation is not None else []
    if road.bundle is None:
        return found
    said = (sentence(road.bundle) for sentence in (_gates, _variants))
    return [*found, *(text for text in said if text)]


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
