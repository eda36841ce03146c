"""What MLPerf LoadGen found: its verdicts, its own figures, and how near the embeddings are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dualtower_benchmarks.numerals import NBSP, count
from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.scenario.inputs import Inputs
from dualtower_benchmarks.report.scenario.loadgen import answers, result_words, subject_words

__all__ = ["accuracy", "not_valid", "others", "results"]

Row = Mapping[str, Any]
_NAMED = 4  # its scenarios


def results(inputs: Inputs) -> str:
    """How many runs are valid, and each scenario's result of the first subject; "" without any."""
    rows = [row for one in inputs.of("mlperf") for row in one.found["rows"]]
    if not rows:
        return ""
    valid = [row for row in rows if row["valid"]]
    of_all = f"Of {count(len(rows))} runs of MLPerf LoadGen {count(len(valid))} are valid"
    if not valid:
        return f"{of_all}."
    (first, *_) = _by_subject(valid).items()
    return f"{of_all}; {_of_subject(*first)}; on {_where(inputs)}."


def others(inputs: Inputs) -> str:
    """The valid results of further subjects; "" where there is one or none."""
    rows = [row for one in inputs.of("mlperf") for row in one.found["rows"] if row["valid"]]
    further = list(_by_subject(rows).items())[1 : 1 + _NAMED]
    texts = [_of_subject(name, of) for name, of in further]
    return f"LoadGen on {'; '.join(texts)}; on {_where(inputs)}." if texts else ""


def not_valid(inputs: Inputs) -> str:
    """Which runs are not valid, and the first reason of each; "" where all are."""
    rows = [row for one in inputs.of("mlperf") for row in one.found["rows"] if not row["valid"]]
    why: dict[str, list[Row]] = {}
    for row in rows:
        why.setdefault(_reason(row), []).append(row)
    texts = []
    for reason, of in list(why.items())[:_NAMED]:
        names = ", ".join(dict.fromkeys(f"{row['scenario']} on {subject_words(row)}" for row in of))
        texts.append(f"{names} (n{NBSP}={NBSP}{count(answers(of))} queries): {reason}")
    return (
        f"Not valid by LoadGen's own verdict: {'; '.join(texts)}; on {_where(inputs)}."
        if texts
        else ""
    )


def _reason(row: Row) -> str:
    """The shortest of its reasons, which has no log line in it."""
    return min(row["reasons"], key=len).rstrip(".") if row["reasons"] else "no reason was logged"


def _by_subject(rows: Sequence[Row]) -> dict[str, dict[str, list[Row]]]:
    """The runs of each scenario by what they drove: "gRPC item_tower at batch 1"."""
    found: dict[str, dict[str, list[Row]]] = {}
    for row in rows:
        name = f"{subject_words(row)} at batch {row['batch_rows']}"
        found.setdefault(name, {}).setdefault(row["scenario"], []).append(row)
    return found


def _of_subject(name: str, by_scenario: Mapping[str, Sequence[Row]]) -> str:
    texts = [f"{scenario} {_result(of)}" for scenario, of in list(by_scenario.items())[:_NAMED]]
    return f"{name}: {', '.join(texts)}"


def _where(inputs: Inputs) -> str:
    return hardware(inputs.of("mlperf")[0].document)


def _result(rows: Sequence[Row]) -> str:
    return f"{result_words(rows)} (n{NBSP}={NBSP}{count(answers(rows))})"


def accuracy(inputs: Inputs) -> str:
    """The smallest cosine of each subject to the reference; "" without an accuracy run."""
    rows = [row for one in inputs.of("mlperf") for row in one.found.get("accuracy") or []]
    lowest: dict[str, Row] = {}
    for row in rows:
        name = subject_words(row)
        if row["cosine_min"] is not None and (
            name not in lowest or row["cosine_min"] < lowest[name]["cosine_min"]
        ):
            lowest[name] = row
    if not lowest:
        return ""
    texts = [
        f"{name} {row['cosine_min']:.4f} (n{NBSP}={NBSP}{count(row['samples'])})"
        for name, row in list(lowest.items())[:_NAMED]
    ]
    return f"The smallest cosine to the SavedModel's embeddings: {'; '.join(texts)}."
