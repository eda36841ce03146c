"""Tables of the page: every case, every device, the facts of a run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dualtower_benchmarks.numerals import (
    DASH,
    count,
    duration,
    moment,
    number,
    percent,
    plain,
    words,
)
from dualtower_benchmarks.pace.summary import pace_of_cases
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.scenario.inputs import Inputs, Run
from dualtower_benchmarks.report.scenario.spoilt_figure import is_spoilt
from dualtower_benchmarks.report.tables import Cell, Table
from dualtower_benchmarks.scenario.subject import device_words
from dualtower_benchmarks.schema.labels import asked, load_words
from dualtower_benchmarks.schema.measured import Measured
from dualtower_benchmarks.schema.read import git_commits_of

__all__ = ["absent_table", "cases_table", "files_table", "servers_table", "settings_table"]

_PERCENTILES = ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p99_9_ms", "p99_99_ms")


def files_table(inputs: Inputs) -> Table:
    """Every file of a page of several: what it is called, when and on what it was measured."""
    return Table(
        "Results on this page",
        ("results", "title", "measured", "took", "on"),
        [
            (
                name,
                str(document.get("scenario", {}).get("settings", {}).get("title") or DASH),
                moment(str(document.get("created", DASH))),
                duration(document.get("wall_s")),
                hardware(document),
            )
            for name, document in inputs.named
        ],
        prose=frozenset({"title", "measured", "on"}),
    )


def cases_table(run: Run) -> Table | None:
    """Every case with its load, percentiles over the repeats, and why it is void; None of none."""
    cases = list(run.cases)
    if not cases:
        return None
    paces = pace_of_cases(run.document)
    how = (
        f"medians of {run.repeats} repeats, smallest and largest beside them"
        if run.repeats > 1
        else f"{percent(run.confidence)} intervals beside them"
    )
    return Table(
        f"Percentiles in ms, {how}; – where the samples are too few; pace: how long the machine "
        "took for a fixed computation around the case, over the run's median",
        (
            "what", "load", "rows", *(_head(name) for name in _PERCENTILES), "rows/s", "n",
            "failed", "skipped", "void", "level kept", "left out, s", "lag p99, ms", "pace",
            "device",
        ),
        [
            (
                run.labels(case),
                load_words(case, case.offered_qps),
                str(case["batch_rows"]),
                *(_percentile(case, name) for name in _PERCENTILES),
                _with_span(case, "rows_per_s"),
                count(case.n),
                _errors(case),
                count(case.skipped),
                f"{len(case.void)} of {len(case.rows) + len(case.void)}",
                _level(case),
                number(case.value("warmup_left_out_s")),
                number(case.value("lag_p99_ms")),
                _pace(case, paces),
                device_words(case["device_found"], case["device_name"]),
            )
            for case in cases
        ],
        prose=frozenset({"load", "device", "failed"}),
        notes=[
            f"{run.labels(case)}, batch {case['batch_rows']}, "
            f"{load_words(case, case.offered_qps)}: {reason}."
            for case in cases
            for reason in dict.fromkeys(row["void"] for row in case.void)
        ],
        marked=frozenset(place for place, case in enumerate(cases) if is_spoilt(case)),
    )  # fmt: skip


def absent_table(run: Run) -> Table | None:
    """Cases that could not be measured, by their reason; None where there are none."""
    absent = run.document["absent"]
    if not absent:
        return None
    return Table(
        "Cases that are absent",
        ("what", "load", "rows", "reason"),
        [
            (
                run.labels(case),
                _asked_load(case),
                str(case["batch_rows"]),
                str(case["reason"]),
            )
            for case in absent
        ],
        prose=frozenset({"load", "reason"}),
    )


def servers_table(run: Run) -> Table | None:
    """Servers that were asked, with their flags and commands; None without any."""
    servers = run.document["servers"]
    if not servers:
        return None
    distinct = list(
        {plain(server["command"]) + server["flags"]: server for server in servers}.values()
    )
    return Table(
        "Servers and their flags",
        ("engine", "batching", "flags", "started for this run", "command"),
        [
            (
                str(server["engine"] or "not known, an address was given"),
                str(server["batching"]),
                str(server["flags"] or "none"),
                plain(server["started_for_this_run"]),
                " ".join(server["command"]) or "not known",
            )
            for server in distinct
        ],
        prose=frozenset({"batching", "flags", "started for this run", "command"}),
    )


def settings_table(run: Run) -> Table:
    """Section [scenario] and what identifies the run."""
    document = run.document
    facts: dict[str, Any] = {
        "scenario": document["scenario"]["name"],
        **document["scenario"]["settings"],
        **_bundle(document["bundle"]),
        "created": document["created"],
        "wall time, s": document["wall_s"],
        "git commit": ", ".join(git_commits_of(document)),
        "raw file": document["raw_file"],
    }
    return Table(
        "Settings of the run",
        (),
        [
            (words(key), plain(value) if value not in ("", {}) else "none")
            for key, value in facts.items()
        ],
    )


def _kind_of(server: Mapping[str, Any]) -> list[str]:
    """A server without its port, which is another one each time it starts."""
    return [str(server["engine"]), str(server["batching"]), str(server["flags"])]


def _head(name: str) -> str:
    return name.removesuffix("_ms").replace("_", ".")


def _percentile(case: Measured, name: str) -> Cell | str:
    return _with_span(case, name) if case.rows else "void"


def _with_span(case: Measured, name: str) -> Cell:
    span = case.span(name)
    beside = "" if span is None or span[0] == span[1] else f"{number(span[0])}–{number(span[1])}"
    return Cell(number(case.value(name)), beside)


def _errors(case: Measured) -> str:
    counted: dict[str, int] = {}
    for row in case.rows:
        for name, times in row["errors"].items():
            counted[name] = counted.get(name, 0) + times
    return plain(counted) if counted else "0"


def _level(case: Measured) -> str:
    """Whether the latencies stayed where they were, in how many repeats."""
    told = [row["stationary"] for row in case.rows if row.get("stationary") is not None]
    if not told:
        return "not known"
    return "yes" if all(told) else f"not in {told.count(False)} of {len(told)}"


def _pace(case: Measured, paces: Mapping[tuple[str, int], Mapping[str, float]]) -> str:
    """Of computing, from the fastest repeat to the slowest."""
    rows = (*case.rows, *case.void)
    found = [
        paces[place]["compute_ms"]
        for row in rows
        if (place := (row["key"], row["repeat"])) in paces
    ]
    if not found:
        return DASH
    low, high = (f"×{end(found):.2f}" for end in (min, max))
    return low if low == high else f"{low}–{high[1:]}"


def _asked_load(case: Mapping[str, Any]) -> str:
    if case["loop"] == "closed":
        return load_words(case, None)
    share = f"{case['rate_share']:g} of the closed loop"
    return f"open, {share if case['rate_share'] else asked(case['rate_qps']) + '/s'}"


def _bundle(bundle: Mapping[str, Any] | None) -> dict[str, Any]:
    if bundle is None:
        return {"bundle": "none was needed"}
    return {"bundle": bundle["fingerprint"], "bundle version": bundle["version"]}
