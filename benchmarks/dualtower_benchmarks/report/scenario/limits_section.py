"""The section of searches for a limit, and of what was tuned by them."""

from __future__ import annotations

from dualtower_benchmarks.report.hardware import hardware
from dualtower_benchmarks.report.scenario.inputs import Inputs
from dualtower_benchmarks.report.scenario.limits import (
    by_key,
    limits_table,
    probes_table,
    tune_table,
)
from dualtower_benchmarks.report.scenario.limits_figure import limit_panels
from dualtower_benchmarks.report.section import Section
from dualtower_benchmarks.report.svg import Panel
from dualtower_benchmarks.report.tables import Table

__all__ = ["limits_section"]


def limits_section(inputs: Inputs) -> Section:
    """A figure a case, a table of the limits, and all probes folded; what was tuned below."""
    panels: list[Panel] = []
    tables: list[Table] = []
    folded: list[Table] = []
    for place, one in enumerate(inputs.of("limits")):
        where = hardware(one.document)
        panels += limit_panels(one.found, where, name=f"limit-{place}")
        table = limits_table(one.found, where)
        tables += [table] if table else []
        folded += [probes_table(rows, where) for rows in by_key(one.found["rows"])]
    tables += [tune_table(one.found, hardware(one.document)) for one in inputs.of("tune")]
    return Section(
        "limits",
        "Limits under an SLO",
        note=(
            "Open loops at rates that are doubled and then halved in, each rate by a majority of "
            "its probes. A probe breaks by its percentile, by failed or skipped requests, or by a "
            "queue that grew; where the generator lagged it says nothing of the server."
        )
        if tables
        else "",
        panels=panels,
        tables=tables,
        folded=folded,
        missing=""
        if tables
        else "no search for the highest rate in these results (`dualtower bench limit`)",
    )
