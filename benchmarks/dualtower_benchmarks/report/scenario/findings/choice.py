"""Five of the sentences that a page could open with.

A kind of result gives a sentence, or none where the page has nothing of it. The first four that are
there stand in the order of `CANDIDATES`, the most asked first. A page with fewer kinds than that
says more of the kinds that it has (`FURTHER`), then where it was measured; only where that is not
enough, what is missing is said, in one sentence. The last is always what was spoilt.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dualtower_benchmarks.report.scenario.findings import (
    clients,
    events,
    index,
    limits,
    loadgen,
    loads,
    machine,
    ratios,
    training,
)
from dualtower_benchmarks.report.scenario.findings.spoilt import spoilt
from dualtower_benchmarks.report.scenario.inputs import Inputs

__all__ = ["SENTENCES", "findings_of"]

SENTENCES = 5


Say = Callable[[Inputs], str]

CANDIDATES: tuple[Say, ...] = (
    loads.rates,
    loads.waits,
    limits.limits,
    limits.tuned,
    ratios.gpu,
    ratios.server_cost,
    ratios.edge,
    index.index,
    training.training,
    loadgen.results,
    events.swaps,
    events.overload,
    events.replica_lost,
    events.starts,
    events.soak,
    clients.codec,
    machine.noise,
    machine.roofline,
    machine.copies,
    loadgen.accuracy,
)
FURTHER: tuple[Say, ...] = (
    limits.at,
    limits.above,
    limits.probes,
    loadgen.others,
    loadgen.not_valid,
    events.recovered,
    events.soaked,
    events.void,
    index.exact,
    index.memory,
    index.builds,
    training.steps,
    clients.starts,
    clients.installed,
    loads.slowest,
    loads.fastest,
    machine.where,
    machine.what,
)
# what is said to be missing, where a page has little else
MISSING: Mapping[Say, str] = {
    loads.rates: 'the highest rate (no closed loop: in a scenario loop = "closed")',
    loads.waits: "what users wait for (no open loop with the samples for a percentile)",
    ratios.server_cost: "what a server costs over the model in process (no closed loop of one "
    "client has both at the same model and batch)",
    ratios.edge: "variants for a phone (no two LiteRT files of one model, of which one is float32)",
}


def findings_of(inputs: Inputs) -> list[str]:
    """Five, or fewer where the page has nothing of any kind; of each function one sentence."""
    said: dict[Say, str] = {}
    for say in (*CANDIDATES, *FURTHER):
        if len(said) < SENTENCES - 1 and (text := say(inputs)):
            said[say] = text
    texts = list(said.values())
    if len(texts) < SENTENCES - 1:
        missing = [what for say, what in MISSING.items() if say not in said]
        texts.append(f"Not measured: {'; '.join(missing)}.")
    return [*texts, spoilt(inputs, with_gpu=ratios.gpu not in said)]
