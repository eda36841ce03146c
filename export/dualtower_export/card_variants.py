"""The part of `model_card.md` about the TFLite files, from the manifest's fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["HEAD", "variant_rows", "variants_section"]

_Z95 = 1.96
HEAD = (
    "tower",
    "variant",
    "MB (gzip)",
    "cosine of tastes: mean (least)",
    "Recall@10 (float)",
    "NDCG@10 (float)",
    "overlap@10",
    "ms with 1 / 2 threads",
    "× float32, 1 / 2 threads",
    "ops delegated / all (partitions)",
    "peak memory MB",
    "verdict",
)


def variants_section(
    variants: Sequence[Mapping[str, Any]], compared_on: Mapping[str, Any], people: str
) -> str:
    """The section in Markdown.

    Args:
        variants: entries of the manifest.
        compared_on: its entry of that name.
        people: who the users are, in words.
    """
    return f"""## TFLite variants
Against the float towers on {compared_on["users"]} {people}. The item
tower is judged on {compared_on["texts"]} texts alone, the user tower on the whole catalogue, so
their Recall@10 are not comparable. ± is the 95 % interval of the difference to float, user by user.
Times are medians of calls of one row by LiteRT on the machine that exported; × float32 compares
calls in turns with the float32 file. Ops delegated are XNNPACK's. Peak memory is what a process
needs to load and ask the file, beyond a bare interpreter. A file with `.tN` reads N word pieces,
one with `.any` any number.

{_table(HEAD, variant_rows(variants))}"""


def variant_rows(variants: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """The cells of each variant, in the order of HEAD."""
    return [
        [
            v["tower"],
            v["variant"],
            f"{v['size_bytes'] / 1e6:.2f} ({v['gzip_bytes'] / 1e6:.2f})",
            f"{v['cosine_mean']:.4f} ({v['cosine_min']:.4f})",
            _beside_float(v, "recall_at_10"),
            _beside_float(v, "ndcg_at_10"),
            f"{v['overlap_at_10']:.3f}",
            _by_threads(v.get("ms_p50"), 2),
            _by_threads(v.get("times_float32"), 2),
            _ops(v),
            "–" if v.get("peak_memory_bytes") is None else f"{v['peak_memory_bytes'] / 1e6:.0f}",
            v["verdict"] + (f": {v['reason']}" if v["reason"] else ""),
        ]
        for v in variants
    ]


def _beside_float(entry: Mapping[str, Any], metric: str) -> str:
    value, float_value = entry.get(metric), entry.get(f"{metric}_float")
    if value is None or float_value is None:
        return "–"
    interval = _Z95 * (entry.get(f"{metric}_loss_se") or 0.0)
    return f"{value:.4f} ± {interval:.4f} ({float_value:.4f})"


def _by_threads(values: Mapping[str, float] | None, digits: int) -> str:
    if not values:
        return "–"
    return " / ".join(f"{values[threads]:.{digits}f}" for threads in sorted(values))


def _ops(entry: Mapping[str, Any]) -> str:
    if entry.get("ops") is None:
        return "–"
    return f"{entry['delegated_ops']} / {entry['ops']} ({entry['partitions']})"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |"
                     for line in lines)  # fmt: skip
