"""Points under the roofline (Williams, Waterman and Patterson 2009, doi:10.1145/1498765.1498785).

    roof(intensity) = min(peak, intensity × bandwidth)

Peak and bandwidth are the highest medians that this machine showed, in the precision of the point.
Intensity is FLOPs by bytes where nothing stays in a cache between two ops (see `graph_count`), so
the slope is too low for a batch that fits into the caches, and a point may stand above it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.roofline.peaks import best_of

__all__ = ["ROOFLINE_KEYS", "roof_gflops", "roofline_fields"]

ROOFLINE_KEYS = (
    "flops_per_row",
    "bytes_per_row",
    "least_bytes_per_row",
    "intensity",
    "achieved_gflops",
    "roof_gflops",
    "share_of_peak",
)
_COUNTED = ROOFLINE_KEYS[:4]


def roof_gflops(peak_gflops: float, bandwidth_gbytes_per_s: float, intensity: float) -> float:
    """The most that a machine can do at an intensity of FLOPs by byte."""
    return min(peak_gflops, intensity * bandwidth_gbytes_per_s)


def roofline_fields(
    count: Mapping[str, Any] | None,
    peaks: Mapping[str, Any] | None,
    *,
    rows_per_s: float | None,
    precision: str = "float32",
) -> dict[str, Any]:
    """The keys of a point; null where something of it is not known.

    Args:
        count: of its graph, see `GraphCount.as_json`.
        peaks: of the device that it was computed on, see `measure_peaks`.
        rows_per_s: that were answered; None: it was not measured.
    """
    fields: dict[str, Any] = dict.fromkeys(ROOFLINE_KEYS)
    if count is None:
        return fields
    fields |= {key: count[key] for key in _COUNTED}
    if rows_per_s is not None:
        fields["achieved_gflops"] = rows_per_s * count["flops_per_row"] / 1e9
    best = best_of(peaks, precision=precision) if peaks else None
    if best and count["intensity"] is not None:
        fields["roof_gflops"] = roof_gflops(*best, count["intensity"])
    if best and fields["achieved_gflops"] is not None:
        fields["share_of_peak"] = fields["achieved_gflops"] / best[0]
    return fields
