"""The last sentence: what is void, failed, was skipped or absent, and whether a GPU was there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_benchmarks.numerals import NBSP, count, number
from dualtower_benchmarks.pace.summary import change_of
from dualtower_benchmarks.report.scenario.inputs import Inputs
from dualtower_benchmarks.schema.labels import DRIVER_NAMES

__all__ = ["spoilt"]

Row = Mapping[str, Any]
_NAMED = 4  # drivers in a sentence


def spoilt(inputs: Inputs, *, with_gpu: bool) -> str:
    """Whatever there is, this can be said.

    Args:
        with_gpu: whether to say why no GPU is in any other sentence.
    """
    rows = [row for run in inputs.runs for row in run.results.points]
    device = _device(inputs) if with_gpu else ""
    parts = [*([_points(rows)] if rows else []), *_others(inputs)]
    said = "; ".join(parts) or "no load of a sweep is among these results"
    text = f"{device}{said}{_absent(inputs)}{_pace(inputs)}."
    return text[0].upper() + text[1:]


def _points(rows: Sequence[Row]) -> str:
    void = sum(row["void"] is not None for row in rows)
    failed = sum(sum(row["errors"].values()) for row in rows)
    return _counted(
        f"of {count(len(rows))} points {count(void)} {_are(void)} void",
        answered=sum(row["n"] for row in rows),
        failed=failed,
        skipped=sum(row["skipped"] for row in rows),
    )


def _others(inputs: Inputs) -> list[str]:
    """The same of probes, events and runs of LoadGen."""
    texts = []
    if probes := [probe for row in _rows(inputs, "limits") for probe in row.get("probes", [])]:
        void = sum(probe["verdict"] == "void" for probe in probes)
        text = f"of {count(len(probes))} probes {count(void)} {_are(void)} void"
        texts.append(
            _counted(
                text,
                answered=sum(probe["n"] for probe in probes),
                failed=sum(sum(probe["errors"].values()) for probe in probes),
                skipped=sum(probe["skipped"] for probe in probes),
            )
        )
    if attempts := [row for row in _rows(inputs, "events") if "void" in row]:
        spoilt = [row["kind"].replace("_", " ") for row in attempts if row["void"] is not None]
        kinds = f" ({', '.join(dict.fromkeys(spoilt))})" if spoilt else ""
        texts.append(
            f"of {count(len(attempts))} attempts at events {count(len(spoilt))} "
            f"{_are(len(spoilt))} void{kinds}"
        )
    if runs := _rows(inputs, "mlperf"):
        failed = sum(sum(row.get("failed", {}).values()) for row in runs)
        texts.append(
            f"of {count(sum(row['queries'] for row in runs))} queries of LoadGen {count(failed)} "
            "failed"
        )
    if searched := _rows(inputs, "index"):
        calls, engines = sum(row["n"] for row in searched), {row["engine"] for row in searched}
        texts.append(f"{count(len(engines))} engines searched an index in {count(calls)} calls")
    return texts


def _counted(text: str, *, answered: int, failed: int, skipped: int) -> str:
    were = "was" if skipped == 1 else "were"
    return (
        f"{text}, of {count(answered + failed + skipped)} requests {count(failed)} failed and "
        f"{count(skipped)} {were} skipped"
    )


def _are(void: int) -> str:
    return "is" if void == 1 else "are"


def _rows(inputs: Inputs, kind: str) -> list[Row]:
    return [
        row
        for one in inputs.of(kind)
        if isinstance(one.found, Mapping)
        for row in one.found.get("rows", [])
    ]


def _device(inputs: Inputs) -> str:
    absent = [case for run in inputs.runs for case in run.document["absent"]]
    if any(case["device"] == "GPU" for case in absent):
        return "GPU: no GPU here; "
    measured = any(case["device"] == "GPU" for run in inputs.runs for case in run.cases)
    return "GPU: no pair of cases to compare; " if measured else "GPU: not asked for; "


def _absent(inputs: Inputs) -> str:
    absent = [case for run in inputs.runs for case in run.document["absent"]]
    for other in inputs.others:
        absent += other.found.get("absent", []) if isinstance(other.found, Mapping) else []
    if not absent:
        return ""
    names = list(dict.fromkeys(_who(case) for case in absent))
    plural = "s were" if len(absent) > 1 else " was"
    more = ", …" if len(names) > _NAMED else ""
    return f", and {len(absent)} case{plural} absent ({', '.join(names[:_NAMED])}{more})"


def _pace(inputs: Inputs) -> str:
    """How much the machine's own pace changed; "" where it was not taken."""
    paces = [pace for one in inputs.documents if (pace := one.get("pace"))]
    if not paces:
        return ""
    most = max(paces, key=change_of)
    return (
        f"; the machine's own pace changed by up to ×{number(change_of(most))} within a run "
        f"(n{NBSP}={NBSP}{count(most['n'])})"
    )


def _who(case: Mapping[str, Any]) -> str:
    """What was not there: the driver, or the engine of an index or of training."""
    name = str(case.get("driver") or case.get("engine") or case.get("kind") or "a case")
    return DRIVER_NAMES.get(name, name)
