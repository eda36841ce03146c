"""Life events as tables, a few lines each. What is void shows its reason."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from dualtower_benchmarks.numerals import DASH, bounds, count, milliseconds, number
from dualtower_benchmarks.scenario.blocks import Block

__all__ = ["event_blocks", "failures_words", "verdict_words"]

_PARTS = ("before", "during", "after")
_INDENT = "  "


def event_blocks(found: Mapping[str, Any]) -> list[Block]:
    """Every row, then what is absent."""
    blocks: list[Block] = []
    for row in found["rows"]:
        body = _BODIES[row["kind"]](row[row["kind"]])
        body[0] = replace(body[0], title=_head(row))
        if row["void"]:
            notes = (*body[-1].notes, f"void: {row['void']}")
            body[-1] = replace(body[-1], notes=notes)
        blocks += body
    absent = [f"{one['kind'].replace('_', ' ')}, {one['reason']}" for one in found["absent"]]
    return [*blocks, Block(notes=[f"absent: {words}" for words in absent])]


def failures_words(part: Mapping[str, Any]) -> str:
    """Failed and skipped requests by name: "UNAVAILABLE 3, skipped 2", or "none"."""
    words = [f"{name} {count(n)}" for name, n in sorted(part["failed"].items())]
    words += [f"skipped {count(part['skipped'])}"] if part["skipped"] else []
    return ", ".join(words) or "none"


def verdict_words(result: Mapping[str, Any]) -> str:
    """What became of the goodput of an overload."""
    if result["verdict"] is None:
        return "no verdict, since the highest load is void"
    share = result["steps"][-1]["share"]
    return (
        f"goodput {result['verdict']}: at {share:g} × the capacity it is "
        f"{number(result['goodput_share'])} of the best, the floor is {result['floor']:g}"
    )


def _head(row: Mapping[str, Any]) -> str:
    name = row["kind"].replace("_", " ")
    load = f", {number(row['offered_qps'])}/s offered" if row["offered_qps"] else ""
    capacity = f", capacity {number(row['capacity_qps'])}/s" if row["capacity_qps"] else ""
    engine = f", {row['engine']}" if row["engine"] else ""
    return f"{name}: {row['model']}, batch {row['batch_rows']}{engine}{load}{capacity}"


def _block(head: Sequence[str], rows: Sequence[Sequence[str]], *notes: str) -> Block:
    return Block("", head, rows, notes=notes, indent=_INDENT)


def _parts(result: Mapping[str, Any], *notes: str) -> Block:
    head = ("", "s", "n", "p50 ms", "p90 ms", "p99 ms", "p99 from–to", "slowest ms", "failed")
    return _block(head, [_part_cells(name, result[name]) for name in _PARTS], *notes)


def _part_cells(name: str, part: Mapping[str, Any]) -> tuple[str, ...]:
    return (
        name,
        number(part["seconds"]),
        count(part["n"]),
        *(milliseconds(part[key]) for key in ("p50_ms", "p90_ms", "p99_ms")),
        bounds(part["p99_ms"]) or DASH,
        number(part["slowest_ms"]),
        failures_words(part) + (" (void)" if part["void"] else ""),
    )


def _swap(result: Mapping[str, Any]) -> list[Block]:
    names = ("until_noticed_s", "until_available_s", "until_first_new_s", "until_last_old_s",
             "until_ended_s")  # fmt: skip
    head = ("change", "at s", "noticed +s", "available +s", "first new +s", "last old +s",
            "ended +s")  # fmt: skip
    rows = [
        (
            f"{one['from']} → {one['to']}{' (back)' if one['is_back'] else ''}",
            number(one["published_s"]),
            *(number(one[name]) for name in names),
        )
        for one in result["changes"]
    ]
    answers = ", ".join(f"version {v}: {count(n)}" for v, n in result["answers"].items())
    return [_parts(result), _block(head, rows, f"answers by {answers}")]


def _cold_start(result: Mapping[str, Any]) -> list[Block]:
    head = ("", "process s", "port open s", "AVAILABLE s", "first answer s")
    steps = ("process_s", "port_s", "available_s", "answer_s")
    rows = [
        (f"start {place}", *(number(one[step]) for step in steps))
        for place, one in enumerate(result["starts"], start=1)
    ]
    median = ("median", *(number(result["median"][step]) for step in steps))
    return [_block(head, [*rows, median], f"page cache: {result['page_cache']}")]


def _first_request(result: Mapping[str, Any]) -> list[Block]:
    variants = result["variants"]
    shown = min(6, len(variants[0]["median_ms"]))
    head = ("median ms of request", *map(str, range(1, shown + 1)), "then p50 ms", "n")
    rows = [
        (
            f"{'with' if one['warmup_file'] else 'without'} warm-up file",
            *(number(value) for value in one["median_ms"][:shown]),
            milliseconds(one["steady_p50_ms"]),
            count(one["steady_n"]),
        )
        for one in variants
    ]
    rounds = len(variants[0]["first_ms"])
    return [_block(head, rows, f"servers of each kind, in turns: {rounds}")]


def _replica_lost(result: Mapping[str, Any]) -> list[Block]:
    answers = ", ".join(f"{who}: {count(n)}" for who, n in result["answers"].items())
    times = (
        f"last failed request {number(result['until_last_failed_s'])} s after the kill; good again "
        f"after {number(result['until_good_s'])} s; ready {number(result['until_ready_s'])} s, "
        f"takes load {number(result['until_takes_load_s'])} s after it"
    )
    return [_parts(result, times, f"answers by {answers}")]


def _overload(result: Mapping[str, Any]) -> list[Block]:
    head = ("× capacity", "offered/s", "goodput/s", "p50 ms", "p99 ms", "good", "late", "rejected",
            "failed", "skipped")  # fmt: skip
    rows = [
        (
            f"{step['share']:g}",
            number(step["offered_qps"]),
            number(step["goodput_qps"]),
            milliseconds(step["p50_ms"]),
            milliseconds(step["p99_ms"]),
            count(step["good"]),
            count(step["late"]),
            count(sum(step["rejected"].values())),
            count(sum(step["failed"].values())),
            count(step["skipped"]) + (" (void)" if step["void"] else ""),
        )
        for step in result["steps"]
    ]
    back = result["recovery"]
    good_s = back["until_good_s"]
    after = (
        f"not within the SLO in the {back['seconds']:g} s after it"
        if good_s is None
        else f"within the SLO {number(good_s)} s after it"
    )
    verdict = f"deadline {result['deadline_ms']:g} ms; {verdict_words(result)}; {after}"
    return [_block(head, rows, verdict)]


def _soak(result: Mapping[str, Any]) -> list[Block]:
    memory, whole = result["memory"], result["whole"]
    rss = memory["rss_mb"]
    head = ("s", "n", "p50 ms", "p99 ms", "slowest ms", "failed", "RSS MB from–to", "threads",
            "descriptors")  # fmt: skip
    cells = (
        number(whole["seconds"]), count(whole["n"]), milliseconds(whole["p50_ms"]),
        milliseconds(whole["p99_ms"]), number(whole["slowest_ms"]), failures_words(whole),
        f"{number(min(rss))}–{number(max(rss))}" if rss else DASH,
        _span(memory["threads"]), _span(memory["descriptors"]),
    )  # fmt: skip
    growths = (
        f"memory {_growth(result['memory_growth'], 'MB')}",
        f"p99 {_growth(result['p99_growth'], 'ms')}",
    )
    return [_block(head, [cells], *growths)]


def _growth(found: Mapping[str, Any] | None, unit: str) -> str:
    if found is None:
        return "has too few values for a slope"
    verdict = "grows" if found["grows"] else "does not grow"
    return (
        f"{verdict}: {found['value']:+.3g} {unit} over {number(found['span_s'])} s, "
        f"{found['low']:+.3g} to {found['high']:+.3g}, floor {number(found['floor'])} {unit}"
    )


def _span(values: Sequence[int | None]) -> str:
    there = [value for value in values if value is not None]
    return f"{count(min(there))}–{count(max(there))}" if there else DASH


_BODIES: Mapping[str, Callable[[Mapping[str, Any]], list[Block]]] = {
    "swap": _swap,
    "cold_start": _cold_start,
    "first_request": _first_request,
    "replica_lost": _replica_lost,
    "overload": _overload,
    "soak": _soak,
}
