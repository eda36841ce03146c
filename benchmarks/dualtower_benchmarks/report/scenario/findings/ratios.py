"""p50 of one caller over that of another, with the interval of all repeats' requests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from dualtower_benchmarks.devices.against import crossovers, matches
from dualtower_benchmarks.numerals import NBSP, count, number
from dualtower_benchmarks.report.scenario.inputs import Inputs, Run
from dualtower_benchmarks.schema.measured import Measured
from dualtower_benchmarks.stats.percentiles import ratio_of_percentiles

__all__ = ["edge", "gpu", "server_cost"]

_SERVED = ("grpc", "rest")
_EDGE = "litert"
_IN_PROCESS = "saved_model"
_SAME_ON_BOTH = ("driver", "model", "variant", "precision", "xla", "batch_rows", "tokens")
_NAMED = 4  # variants or batches in a sentence

Pair = tuple[Run, Measured, Measured]


def server_cost(inputs: Inputs) -> str:
    """A server over the model in process; "" where no case has both."""
    texts = []
    for run, served, alone in _pairs(inputs, _SERVED, _IN_PROCESS):
        ratio = _ratio(run, served, alone)
        if ratio is not None:
            texts.append(
                f"{ratio} times for {run.says(served)} (batch {served['batch_rows']}, "
                f"{number(served.value('p50_ms'))} ms over {number(alone.value('p50_ms'))} ms, "
                f"n{NBSP}={NBSP}{count(served.n)} and {count(alone.n)})"
            )
    if not texts:
        return ""
    return f"p50 of one client by a server over the SavedModel in process: {'; '.join(texts[:2])}."


def _pairs(inputs: Inputs, ours: Sequence[str], reference: str) -> Iterator[Pair]:
    """Cases of one client with the same model and batch, the reference on the CPU."""
    for run in inputs.runs:
        alone = [c for c in run.of("closed") if c.rows and c["concurrency"] == 1]
        for case in alone:
            if case["driver"] not in ours:
                continue
            for other in alone:
                same = all(case[name] == other[name] for name in ("model", "batch_rows", "tokens"))
                plain = other["device"] == "CPU" and not other["xla"]
                if other["driver"] == reference and same and plain:
                    yield run, case, other
                    break


def edge(inputs: Inputs) -> str:
    """Files for a phone over the float32 one; "" where there are no two."""
    texts = []
    for run in inputs.runs:
        alone = [
            case for case in run.of("closed")
            if case.rows and case["driver"] == _EDGE and case["concurrency"] == 1
        ]  # fmt: skip
        for case in alone:
            if case["variant"] == "float32":
                continue
            floats = (
                other for other in alone
                if other["variant"] == "float32"
                and all(other[n] == case[n] for n in ("model", "threads", "batch_rows", "tokens"))
            )  # fmt: skip
            reference = next(floats, None)
            ratio = _ratio(run, case, reference) if reference else None
            if ratio is not None:
                texts.append(
                    f"{run.says(case)} {ratio} ({number(case.value('p50_ms'))} ms, "
                    f"n{NBSP}={NBSP}{count(case.n)})"
                )
    if not texts:
        return ""
    return f"p50 of one caller over that of the float32 file: {'; '.join(texts[:_NAMED])}."


def gpu(inputs: Inputs) -> str:
    """A GPU over the CPU, and from where on it is the faster; "" where no case has both."""
    texts = [
        f"{ratio} at batch {case['batch_rows']} of {run.says(case)} (n{NBSP}={NBSP}"
        f"{count(case.n)} and {count(twin.n)})"
        for run, case, twin in _twins(inputs)
        if (ratio := _ratio(run, case, twin)) is not None
    ]
    if not texts:
        return ""
    found = [one for run in inputs.runs for one in _crossings(run)]
    return (
        f"p50 of one client on the GPU over that on the CPU: {'; '.join(texts[:_NAMED])}"
        f"{'; ' if found else ''}{'; '.join(found[:2])}."
    )


def _twins(inputs: Inputs) -> Iterator[Pair]:
    """Cases of one client that both devices ran, the GPU's first."""
    for run in inputs.runs:
        alone = [c for c in run.of("closed") if c.rows and c["concurrency"] == 1]
        for case in alone:
            if case["device"] != "GPU":
                continue
            for other in alone:
                same = all(case[name] == other[name] for name in _SAME_ON_BOTH)
                if other["device"] == "CPU" and same:
                    yield run, case, other
                    break


def _crossings(run: Run) -> Iterator[str]:
    """Where rows a second of one device overtake those of the other, along the batch."""
    for one in crossovers(matches(run.results.points), "batch_rows"):
        if one.at is not None:
            after = "CPU" if one.faster_before == "GPU" else "GPU"
            doubt = "" if one.decided else ", not in every repeat"
            yield (
                f"{one.case['model']} with {one.case['concurrency']} "
                f"client{'s' if one.case['concurrency'] > 1 else ''} has more rows a second on the "
                f"{after} from batch {number(one.at)} on{doubt}"
            )


def _ratio(run: Run, case: Measured, reference: Measured) -> str | None:
    """p50 over p50 of all repeats' requests, with its interval; None where they are too few.

    Of results that were kept without their requests the ratio of the medians, without an interval.
    """
    if not run.results.has_requests:
        p50, other = case.value("p50_ms"), reference.value("p50_ms")
        return f"{number(p50 / other)} (no interval)" if p50 and other else None
    ours, theirs = (
        np.concatenate([run.kept(row).latency_ns for row in one.rows]) for one in (case, reference)
    )
    seed = int(run.document["scenario"]["settings"]["seed"])
    found = ratio_of_percentiles(ours, theirs, 0.5, seed=seed, confidence=run.confidence)
    if found is None:
        return None
    return f"{number(found.value)} ({number(found.low)}–{number(found.high)})"
