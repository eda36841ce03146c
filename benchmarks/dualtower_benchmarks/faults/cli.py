"""`dualtower bench faults`."""

from __future__ import annotations

import json
import os
import sys

import click

__all__ = ["faults"]


@click.command(epilog="Example: dualtower bench faults --only killed --only replica-slow")
@click.option("--only", multiple=True, metavar="FAULT", help="This fault; may be repeated.")
@click.option("--quick", is_flag=True, help="Every fault small: under half a minute.")
@click.option("--json", "as_json", is_flag=True, help="The result as JSON on stdout.")
def faults(only: tuple[str, ...], quick: bool, as_json: bool) -> None:
    """What the clients do while servers, names, bytes and callers go wrong.

    Each fault is made for real, under load, for the client of threads and that of asyncio: servers
    are processes that are killed, frozen and swapped. A line says how many calls were answered, how
    many failed by the name of the error, how long after its deadline a call ended at most, and what
    was left after close. Exit 1 where an answer was wrong, an error had no name of ours, a call
    hung, or something leaked.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it writes a line for each wrong handshake
    from dualtower.tables import show
    from dualtower_benchmarks.faults.catalogue import FaultBench, measure_faults
    from dualtower_benchmarks.faults.sizes import Sizes
    from dualtower_benchmarks.faults.table import fault_tables

    sizes = Sizes().quick() if quick else Sizes()
    document = measure_faults(FaultBench(only, sizes))
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        show(fault_tables(document))
    if document["complaints"]:
        sys.exit(1)
