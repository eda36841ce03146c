"""`dualtower bench`: each measurement has its command beside it.

Their modules import click only; what measures is loaded by the command that runs.
"""

from __future__ import annotations

import click

from dualtower_benchmarks.client.cli import clients
from dualtower_benchmarks.compare.cli import compare
from dualtower_benchmarks.events.cli import events
from dualtower_benchmarks.faults.cli import faults
from dualtower_benchmarks.graph.cli import graph
from dualtower_benchmarks.index.cli import index
from dualtower_benchmarks.limit.cli import limit
from dualtower_benchmarks.markdown.cli import keep, markdown, readme
from dualtower_benchmarks.mlperf.cli import agreement, mlperf
from dualtower_benchmarks.noise.cli import noise
from dualtower_benchmarks.roofline.cli import roofline
from dualtower_benchmarks.scenario.cli import run, scenarios
from dualtower_benchmarks.scenario.glance import COMMANDS
from dualtower_benchmarks.schema.cli import schema
from dualtower_benchmarks.serving_cost.cli import serving
from dualtower_benchmarks.training.cli import train
from dualtower_benchmarks.tune.cli import tune

__all__ = ["bench"]


@click.group(
    epilog="Start with: dualtower bench all bundle --quick --out bench.json",
)
def bench() -> None:
    """Measure a bundle: a server under load, the model without one, the files for a phone.

    Every number comes with its interval, its count and the machine; raw nanoseconds are kept beside
    the results. Draw them with `dualtower report bench.json`.
    """


for command in (
    run,
    scenarios,
    compare,
    mlperf,
    agreement,
    limit,
    tune,
    events,
    *COMMANDS,
    train,
    graph,
    roofline,
    noise,
    index,
    serving,
    clients,
    faults,
    schema,
    keep,
    markdown,
    readme,
):
    bench.add_command(command)
